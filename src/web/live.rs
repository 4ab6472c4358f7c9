//! The migration that is shown: the engine's view of it, and what a page needs beside: which table changed when, the log, the speed over time.
//!
//! It is fed by events and progress alone, so it does not matter whether they come from a run of this process, from the journal of another
//! one, or from a recording.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::app::App;
use crate::engine::event::{Event, EventIndex, EventKind, TableId};
use crate::engine::journal::History;
use crate::engine::lock::{self, Owner};
use crate::engine::progress::Progress;
use crate::engine::report::Report;
use crate::engine::step::{self, Cx};
use crate::engine::view::View;

/// How many samples of the speed are kept: an hour, one each second. Of a longer run, every other one goes.
const SAMPLES_MAX: usize = 3600;
/// How many lines the log has; of more, the oldest go.
const LOG_MAX: usize = 500;
/// How often the journal of another process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where what is shown comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// There is no migration.
    #[default]
    Nothing,
    /// A run of this process.
    Own,
    /// Another process works on it.
    Elsewhere {
        /// Its pid, if it could be read.
        pid: Option<u32>,
    },
    /// Nobody works on it.
    Past,
    /// A recording.
    Recording,
}

/// How much had passed at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Rows so far.
    pub rows: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// The sentence.
    pub text: String,
    /// Whether it deserves attention.
    pub warning: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Shown {
    /// What is known.
    pub view: View,
    /// Where it comes from.
    pub origin: Origin,
    /// The migration's directory, unless it is a recording.
    pub dir: Option<PathBuf>,
    /// What happened, oldest first.
    pub log: VecDeque<LogLine>,
    /// How much had passed when, oldest first.
    pub samples: VecDeque<Sample>,
    changed: HashMap<TableId, EventIndex>,
    /// The event that last said which tables there are.
    planned_at: EventIndex,
    paces: HashMap<TableId, Pace>,
    /// Tells apart what is shown now from what was shown before under the same numbers.
    epoch: u64,
}

/// A table between its first and its latest sign of progress in one run.
#[derive(Debug, Clone, Copy)]
struct Pace {
    began: (Timestamp, u64),
    latest: (Timestamp, u64),
}

impl Shown {
    /// Takes in an event.
    pub fn apply(&mut self, event: &Event) {
        if event.index <= self.view.index {
            return;
        }
        match &event.kind {
            EventKind::PlanMade { tables, .. } => {
                self.changed.extend(tables.iter().map(|table| (table.id, event.index)));
                self.planned_at = event.index;
            }
            EventKind::RunStarted { .. } => {
                self.planned_at = event.index;
                self.paces.clear();
            }
            EventKind::Table { id, .. } => drop(self.changed.insert(*id, event.index)),
            EventKind::TableVerified { result } => drop(self.changed.insert(result.id, event.index)),
            EventKind::BegunAnew => {
                self.changed.clear();
                self.planned_at = event.index;
                self.samples.clear();
            }
            _ => (),
        }
        self.view.apply(event);
        if let Some(line) = logged(event) {
            if self.log.len() == LOG_MAX {
                self.log.pop_front();
            }
            self.log.push_back(line);
        }
    }

    /// Takes in the latest progress.
    pub fn progress(&mut self, progress: Progress) {
        if let Some(at) = progress.at {
            let due = self.samples.back().is_none_or(|last| at.duration_since(last.at).as_millis() >= 900);
            if due && progress.fraction.is_some() {
                self.sample(Sample { at, rows: progress.rows, bytes: progress.bytes });
            }
        }
        if let Some(at) = progress.at {
            for table in &progress.tables {
                let now = (at, table.bytes);
                self.paces.entry(table.id).or_insert(Pace { began: now, latest: now }).latest = now;
            }
        }
        self.view.progress = Some(progress);
    }

    fn sample(&mut self, sample: Sample) {
        if self.samples.len() >= SAMPLES_MAX {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.samples.push_back(sample);
    }

    /// Bytes of a table in a second, over the time for which it was seen at work; nothing if that was too short to tell.
    pub fn pace(&self, id: TableId) -> Option<f64> {
        let Pace { began, latest } = self.paces.get(&id)?;
        let seconds = latest.0.duration_since(began.0).as_secs_f64();
        (seconds >= 1.0).then(|| latest.1.saturating_sub(began.1) as f64 / seconds)
    }

    /// Whether a page that saw the event `seen` has another list of tables than there is now.
    pub fn is_replanned_since(&self, seen: EventIndex) -> bool {
        seen < self.planned_at || seen == 0
    }

    /// The event that changed a table last.
    pub fn changed_at(&self, id: TableId) -> EventIndex {
        self.changed.get(&id).copied().unwrap_or(0)
    }
}

/// What an event adds to the log.
fn logged(event: &Event) -> Option<LogLine> {
    let (text, warning) = match &event.kind {
        EventKind::RunStarted { command, .. } => (format!("The {command} begins."), false),
        EventKind::PhaseStarted { phase } => (format!("{}.", phase.title()), false),
        EventKind::StepFinished { message, outcome, .. } if !message.is_empty() => {
            (message.clone(), matches!(outcome, crate::engine::event::Outcome::Warning))
        }
        EventKind::StepFailed { report, .. } => (report.message.clone(), true),
        EventKind::Retrying { what, attempt, attempts_max, reason, .. } => {
            (format!("Attempt {attempt} of {attempts_max} at {what} failed and is made again. {reason}"), true)
        }
        EventKind::SnapshotTaken { lsn, .. } => (format!("The source's rows are read as they were at {lsn}."), false),
        EventKind::SnapshotReleased { .. } => ("The snapshot was given up: the source's vacuum is free again.".to_owned(), false),
        EventKind::LeftOut { kind, name, reason } => (format!("Left out: {} {name}. {reason}", kind.to_lowercase()), true),
        EventKind::Notice { message, warning } => (message.clone(), *warning),
        EventKind::RunFinished { report, .. } => match report {
            Some(report) => (report.message.clone(), true),
            None => ("Done.".to_owned(), false),
        },
        _ => return None,
    };
    Some(LogLine { at: event.at, text, warning })
}

/// What is shown, shared.
#[derive(Debug, Default)]
pub struct Live(RwLock<Shown>);

impl Live {
    /// Looks at it. What is done in `look` must not take long.
    pub fn read<T>(&self, look: impl FnOnce(&Shown) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes it.
    pub fn write<T>(&self, change: impl FnOnce(&mut Shown) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows another migration, or the same from its beginning.
    pub fn reset(&self, origin: Origin, dir: Option<PathBuf>) {
        self.write(|shown| {
            let epoch = shown.epoch + 1;
            *shown = Shown { origin, dir, epoch, ..Shown::default() };
        });
    }

    /// The last event that was taken in.
    pub fn index(&self) -> EventIndex {
        self.read(|shown| shown.view.index)
    }

    /// Changes when another migration is shown, or the same from its beginning.
    pub fn epoch(&self) -> u64 {
        self.read(|shown| shown.epoch)
    }

    /// The id of an event of the stream: an index means nothing to another process, nor to another migration.
    pub fn id(&self, index: EventIndex) -> String {
        format!("{}.{}.{index}", std::process::id(), self.epoch())
    }

    /// From where a page that saw an event goes on.
    pub fn resumes_from(&self, id: &str) -> EventIndex {
        let ours = self.id(0);
        let prefix = ours.strip_suffix('0').unwrap_or_default();
        id.strip_prefix(prefix).and_then(|index| index.parse().ok()).filter(|index| *index <= self.index()).unwrap_or(0)
    }
}

/// Shows a run of this process until it ends.
///
/// # Errors
/// The journal cannot be read.
pub async fn follow_run(app: &App, cx: &Cx) -> Result<(), Report> {
    app.live.reset(Origin::Own, Some(cx.dir().to_owned()));
    past(app, cx.dir())?;
    app.live.write(|shown| shown.origin = Origin::Own);
    let mut events = cx.subscribe()?;
    let mut progress = cx.progress();
    loop {
        tokio::select! {
            next = events.next() => {
                let next = next?;
                if next.is_empty() {
                    break;
                }
                if let Some(log) = &app.options.log {
                    next.iter().for_each(log.event);
                }
                app.live.write(|shown| next.iter().for_each(|event| shown.apply(event)));
            }
            Ok(()) = progress.changed() => {
                let latest = progress.borrow_and_update().clone();
                app.live.write(|shown| shown.progress(latest));
            }
        }
        app.touch();
    }
    app.live.write(|shown| shown.origin = Origin::Past);
    app.touch();
    Ok(())
}

/// Takes in what the journal holds.
fn past(app: &App, dir: &Path) -> Result<History, Report> {
    let mut history = History::open(dir)?;
    app.live.write(|shown| history.read(|event| shown.apply(&event)))?;
    let samples = history.samples()?;
    app.live.write(|shown| {
        for stored in samples {
            if let Ok(at) = Timestamp::from_microsecond(stored.at) {
                shown.sample(Sample { at, rows: stored.rows, bytes: stored.bytes });
            }
        }
    });
    Ok(history)
}

/// Whether the journal in `dir` tells of a copy.
pub fn is_copy(dir: &Path) -> bool {
    let mut is_copy = false;
    let look = |event: Event| is_copy |= matches!(&event.kind, EventKind::RunStarted { command, .. } if command == "copy");
    // One that cannot be read is shown as what it is by whoever opens it; here there is another.
    History::open(dir).and_then(|mut history| history.read(look)).is_ok() && is_copy
}

/// Shows the migration in `dir`, which another process may be working on, until nobody does or this process begins one itself.
///
/// # Errors
/// The journal cannot be read.
pub async fn follow_journal(app: &App, dir: &Path) -> Result<(), Report> {
    app.live.reset(Origin::Past, Some(dir.to_owned()));
    let mut history = past(app, dir)?;
    loop {
        let owner = lock::owner(dir);
        let ours = app.live.write(|shown| {
            if shown.origin == Origin::Own || shown.dir.as_deref() != Some(dir) {
                return Ok(true);
            }
            history.read(|event| shown.apply(&event))?;
            shown.origin = match owner {
                Owner::Nobody => Origin::Past,
                Owner::Process(pid) => Origin::Elsewhere { pid },
            };
            let began = shown.view.run.as_ref().map(|run| run.started_at);
            match step::published(dir).filter(|progress| progress.at >= began) {
                Some(progress) if owner != Owner::Nobody => shown.progress(progress),
                _ => shown.view.progress = None,
            }
            Ok::<_, Report>(false)
        })?;
        app.touch();
        if ours || app.stop().run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{PlannedTable, TableState};

    fn event(index: EventIndex, kind: EventKind) -> Event {
        Event { index, at: Timestamp::UNIX_EPOCH, kind }
    }

    fn planned(id: TableId) -> PlannedTable {
        PlannedTable {
            id,
            name: format!("public.t{id}"),
            rows_estimate: 1,
            bytes_estimate: 1,
            parts: 1,
            format: "binary".to_owned(),
            indexes: 0,
        }
    }

    #[test]
    fn a_table_knows_the_event_that_changed_it_last() {
        let mut shown = Shown::default();
        shown.apply(&event(1, EventKind::PlanMade { tables: vec![planned(7), planned(8)], post_data: 0, jobs: 1 }));
        let copied = event(2, EventKind::Table { id: 8, state: TableState::Copied, rows: 1, bytes: 1 });
        shown.apply(&copied);
        assert_eq!((shown.changed_at(7), shown.changed_at(8), shown.changed_at(9)), (1, 2, 0));
        shown.apply(&event(3, EventKind::Notice { message: "Said once.".to_owned(), warning: true }));
        shown.apply(&event(3, EventKind::Notice { message: "Said twice.".to_owned(), warning: true }));
        assert_eq!(shown.log.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["Said once."]);
    }

    #[test]
    fn a_page_goes_on_only_from_where_it_was_in_this_process_and_migration() {
        let live = Live::default();
        live.write(|shown| shown.apply(&event(1, EventKind::BegunAnew)));
        let id = live.id(1);
        assert_eq!(live.resumes_from(&id), 1);
        for strange in ["", "1", "x.y.z", &format!("{id}0"), &format!("0{id}"), &live.id(2)] {
            assert_eq!(live.resumes_from(strange), 0, "{strange}");
        }
        live.reset(Origin::Past, None);
        live.write(|shown| shown.apply(&event(1, EventKind::BegunAnew)));
        assert_eq!(live.resumes_from(&id), 0, "another migration has the same numbers");
    }

    #[test]
    fn the_samples_of_a_long_run_are_thinned_and_end_with_the_latest() {
        let mut shown = Shown::default();
        for second in 0..10_000_i64 {
            let at = Timestamp::from_second(second).ok();
            shown.progress(Progress { at, fraction: Some(0.5), bytes: second.unsigned_abs(), ..Progress::default() });
        }
        assert!(shown.samples.len() <= SAMPLES_MAX && shown.samples.len() > SAMPLES_MAX / 4, "{}", shown.samples.len());
        assert_eq!(shown.samples.back().map(|sample| sample.bytes), Some(9_999));
    }
}
