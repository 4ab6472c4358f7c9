//! What is known about a migration: a pure fold over its events, and the latest progress.
//!
//! The terminal, the page, `status` and JSON render this and nothing else, so they cannot disagree. An event whose index was already
//! applied changes nothing, so a renderer may be handed events twice. What a process had under way when it died is set to
//! interrupted by the `RunStarted` of the next one, since nothing in the journal can say that it died.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::event::{Event, EventIndex, EventKind, Outcome, PlannedTable, TableId, TableState, TableVerdict, Verdict};
use super::finding::{Finding, Severity};
use super::phase::Phase;
use super::progress::Progress;
use super::report::{Exit, Report};

/// How many notices are kept; of more, the oldest go.
const NOTICES_MAX: usize = 500;

/// What is known about a migration.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct View {
    /// The last event that was applied.
    pub index: EventIndex,
    /// When that was.
    pub at: Option<Timestamp>,
    /// The run: the last one, if there were several.
    pub run: Option<Run>,
    /// How many runs there were.
    pub runs: u32,
    /// How long earlier runs took together, in milliseconds.
    pub earlier_ms: u64,
    /// The phases that were begun, in the order in which they were.
    pub phases: Vec<PhaseView>,
    /// The steps that were begun, in the order in which they were.
    pub steps: Vec<StepView>,
    /// What the checks of this run found.
    pub findings: Vec<Finding>,
    /// The tables of the plan, in its order.
    pub tables: Vec<TableView>,
    /// How many connections work at once on each side.
    pub jobs: u32,
    /// The objects that follow the data.
    pub builds: Builds,
    /// The snapshot that was taken last.
    pub snapshot: Option<Snapshot>,
    /// What is tried again at the moment, by what it is.
    pub retrying: Option<Retrying>,
    /// What is not on the target, and why.
    pub left_out: Vec<LeftOut>,
    /// The comparisons of tables that are in no plan (`verify` alone makes none).
    pub other_verdicts: Vec<TableVerdict>,
    /// The comparison of the inventories.
    pub inventory: Option<Inventory>,
    /// What people should read, of this run.
    pub notices: Vec<Notice>,
    /// How the last run ended; nothing while it goes on, or if it was killed.
    pub ended: Option<Ended>,
    /// The latest progress.
    pub progress: Option<Progress>,
    /// Where a table is in `tables`.
    #[serde(skip)]
    places: HashMap<TableId, usize>,
}

/// A process that worked on the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// `copy`, `verify`, ….
    pub command: String,
    /// The version of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// The source without secrets.
    pub source: String,
    /// The target without secrets.
    pub target: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// Where a phase or a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Done, with something to know.
    Warned,
    /// Not needed, or done by an earlier run.
    Skipped,
    /// It failed.
    Failed,
    /// Its process ended before it did.
    Interrupted,
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseView {
    /// Which.
    pub phase: Phase,
    /// Where it is.
    pub state: State,
    /// When it began, for the last time.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// The phase that it belongs to.
    pub phase: Phase,
    /// What it does, in words.
    pub title: String,
    /// Where it is.
    pub state: State,
    /// What came of it.
    pub message: String,
    /// When it began, for the last time.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A table of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableView {
    /// What the plan says about it.
    #[serde(flatten)]
    pub planned: PlannedTable,
    /// Where it is.
    pub state: TableState,
    /// Rows copied, once it is.
    pub rows: u64,
    /// Bytes copied, once it is.
    pub bytes: u64,
    /// What its comparison found.
    pub verdict: Option<TableVerdict>,
}

/// The objects that follow the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Builds {
    /// How many there are.
    pub total: u64,
    /// How many are built.
    pub finished: u64,
    /// Those being built.
    pub running: Vec<Build>,
    /// The numbers of those that are built: one that is announced again, by a run that finds it done, counts once.
    #[serde(skip)]
    finished_ids: BTreeSet<u32>,
}

/// An object being built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Its number.
    pub id: u32,
    /// `INDEX`, `FK CONSTRAINT`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// When it was begun.
    pub started_at: Timestamp,
}

/// A snapshot of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Which one, from 1.
    pub generation: u32,
    /// The position of the source's WAL.
    pub lsn: String,
    /// Whether it still holds the source's vacuum back.
    pub held: bool,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// Something that is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retrying {
    /// What.
    pub what: String,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// How many there are at most.
    pub attempts_max: u32,
    /// Why it failed.
    pub reason: String,
    /// When the next attempt begins.
    pub next_at: Timestamp,
}

/// An object that is not on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// `EXTENSION`, `TABLE`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The comparison of the inventories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// How many objects there are on the source.
    pub objects: u64,
    /// The differences that nobody announced.
    pub differences: Vec<String>,
    /// The differences that were announced, with their reasons.
    pub explained: Vec<String>,
    /// What was not compared, with the reasons.
    pub not_compared: Vec<String>,
}

/// Something that people should read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The sentence.
    pub message: String,
    /// Whether it deserves attention.
    pub warning: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// Why.
    pub report: Option<Report>,
    /// When.
    pub at: Timestamp,
}

/// How many tables were compared, and what was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct VerdictCounts {
    /// Equal.
    pub matching: u64,
    /// Different.
    pub different: u64,
    /// Changing too fast.
    pub hot: u64,
    /// Not compared.
    pub not_evaluated: u64,
}

impl VerdictCounts {
    /// All of them.
    pub fn total(self) -> u64 {
        self.matching + self.different + self.hot + self.not_evaluated
    }
}

impl View {
    /// Applies an event; one that was applied before changes nothing.
    pub fn apply(&mut self, event: &Event) {
        if event.index <= self.index {
            return;
        }
        if let EventKind::RunStarted { .. } = event.kind {
            self.begin_run(event);
        }
        self.index = event.index;
        self.at = Some(event.at);
        self.apply_kind(event.at, &event.kind);
    }

    /// The view with the latest progress.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The table with this number, if the plan has it.
    pub fn table(&self, id: TableId) -> Option<&TableView> {
        self.places.get(&id).map(|place| &self.tables[*place])
    }

    /// All comparisons of tables.
    pub fn verdicts(&self) -> impl Iterator<Item = &TableVerdict> {
        self.tables.iter().filter_map(|table| table.verdict.as_ref()).chain(&self.other_verdicts)
    }

    /// How the comparisons of tables came out.
    pub fn verdict_counts(&self) -> VerdictCounts {
        let mut counts = VerdictCounts::default();
        for result in self.verdicts() {
            match result.verdict {
                Verdict::Match => counts.matching += 1,
                Verdict::Mismatch => counts.different += 1,
                Verdict::Hot => counts.hot += 1,
                Verdict::NotEvaluated => counts.not_evaluated += 1,
            }
        }
        counts
    }

    /// How many tables are copied.
    pub fn tables_copied(&self) -> usize {
        self.tables.iter().filter(|table| table.state == TableState::Copied).count()
    }

    /// Rows and bytes copied by now: those of the latest progress, or those of the finished tables, whichever are more.
    pub fn copied(&self) -> (u64, u64) {
        let finished = self.tables.iter().fold((0, 0), |(rows, bytes), table| (rows + table.rows, bytes + table.bytes));
        let latest = self.progress.as_ref().map_or((0, 0), |progress| (progress.rows, progress.bytes));
        if self.ended.is_none() && latest.1 > finished.1 { latest } else { finished }
    }

    /// The phases under way.
    pub fn phases_running(&self) -> impl Iterator<Item = &PhaseView> {
        self.phases.iter().filter(|phase| phase.state == State::Running)
    }

    /// The phase, if it was begun.
    pub fn phase(&self, phase: Phase) -> Option<&PhaseView> {
        self.phases.iter().find(|view| view.phase == phase)
    }

    /// How many findings there are of a severity.
    pub fn findings_of(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// How long all runs have taken together; `now` counts while a run goes on.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        let end = self.ended.as_ref().map_or(now, |ended| ended.at);
        let current = self.run.as_ref().map_or(0, |run| milliseconds(run.started_at, end));
        Duration::from_millis(self.earlier_ms + current)
    }

    /// Closes what the run before has left open.
    fn begin_run(&mut self, event: &Event) {
        if let (Some(run), Some(last)) = (&self.run, self.at) {
            self.earlier_ms += milliseconds(run.started_at, last.min(event.at));
        }
        self.close_open(State::Interrupted);
        for table in &mut self.tables {
            if table.state == TableState::Copying {
                table.state = TableState::Pending;
            }
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.held = false;
        }
        self.findings.clear();
        self.notices.clear();
        self.ended = None;
        self.progress = None;
    }

    /// Forgets everything: what is begun next is a first run.
    fn begin_anew(&mut self) {
        let before = std::mem::take(self);
        *self = View { index: before.index, at: before.at, ..View::default() };
    }

    fn close_open(&mut self, state: State) {
        let phases = self.phases.iter_mut().map(|phase| &mut phase.state);
        let steps = self.steps.iter_mut().map(|step| &mut step.state);
        for open in phases.chain(steps).filter(|open| **open == State::Running) {
            *open = state;
        }
        self.builds.running.clear();
        self.retrying = None;
    }

    fn apply_kind(&mut self, at: Timestamp, kind: &EventKind) {
        match kind {
            EventKind::RunStarted { command, version, pid, source, target } => {
                let (command, version) = (command.clone(), version.clone());
                let (source, target) = (source.clone(), target.clone());
                self.run = Some(Run { command, version, pid: *pid, source, target, started_at: at });
                self.runs += 1;
            }
            EventKind::BegunAnew => self.begin_anew(),
            EventKind::PhaseStarted { phase } => self.start_phase(*phase, at),
            EventKind::PhaseFinished { phase } => self.finish_phase(*phase, State::Done, at),
            EventKind::StepStarted { step, phase, title } => self.start_step(step, *phase, title, at),
            EventKind::StepFinished { step, outcome, message } => {
                let state = match outcome {
                    Outcome::Success => State::Done,
                    Outcome::Warning => State::Warned,
                    Outcome::Skipped => State::Skipped,
                };
                self.finish_step(step, state, message, at);
            }
            EventKind::StepFailed { step, report } => self.finish_step(step, State::Failed, &report.message, at),
            EventKind::Retrying { what, attempt, attempts_max, delay_ms, reason } => {
                let delay = jiff::SignedDuration::from_millis((*delay_ms).min(86_400_000) as i64);
                self.retrying = Some(Retrying {
                    what: what.clone(),
                    attempt: *attempt,
                    attempts_max: *attempts_max,
                    reason: reason.clone(),
                    next_at: at.checked_add(delay).unwrap_or(at),
                });
            }
            EventKind::FindingRaised { finding } => self.findings.push(finding.clone()),
            EventKind::PlanMade { tables, post_data, jobs } => self.plan(tables, *post_data, *jobs),
            EventKind::SnapshotTaken { generation, lsn } => {
                self.snapshot = Some(Snapshot { generation: *generation, lsn: lsn.clone(), held: true, taken_at: at });
            }
            EventKind::SnapshotReleased { generation } => {
                if let Some(snapshot) = &mut self.snapshot
                    && snapshot.generation == *generation
                {
                    snapshot.held = false;
                }
            }
            EventKind::Table { id, state, rows, bytes } => self.move_table(*id, *state, *rows, *bytes),
            EventKind::BuildStarted { id, kind, name } => {
                self.builds.running.retain(|build| build.id != *id);
                self.builds.running.push(Build { id: *id, kind: kind.clone(), name: name.clone(), started_at: at });
            }
            EventKind::BuildFinished { ids } => {
                self.builds.running.retain(|build| !ids.contains(&build.id));
                self.builds.finished_ids.extend(ids);
                self.builds.finished = self.builds.finished_ids.len() as u64;
            }
            EventKind::LeftOut { kind, name, reason } => {
                self.left_out.retain(|left| (&left.kind, &left.name) != (kind, name));
                self.left_out.push(LeftOut { kind: kind.clone(), name: name.clone(), reason: reason.clone() });
            }
            EventKind::TableVerified { result } => self.verified(result),
            EventKind::InventoryCompared { objects, differences, explained, not_compared } => {
                let (differences, explained) = (differences.clone(), explained.clone());
                self.inventory = Some(Inventory { objects: *objects, differences, explained, not_compared: not_compared.clone() });
            }
            EventKind::Notice { message, warning } => {
                if self.notices.len() == NOTICES_MAX {
                    self.notices.remove(0);
                }
                self.notices.push(Notice { message: message.clone(), warning: *warning });
            }
            EventKind::RunFinished { exit, report } => {
                self.close_open(State::Interrupted);
                self.ended = Some(Ended { exit: *exit, report: report.clone(), at });
            }
        }
    }

    fn start_phase(&mut self, phase: Phase, at: Timestamp) {
        self.retrying = None;
        self.phases.retain(|view| view.phase != phase);
        self.phases.push(PhaseView { phase, state: State::Running, started_at: at, finished_at: None });
    }

    fn finish_phase(&mut self, phase: Phase, state: State, at: Timestamp) {
        self.retrying = None;
        if let Some(view) = self.phases.iter_mut().find(|view| view.phase == phase) {
            view.state = state;
            view.finished_at = Some(at);
        }
    }

    fn start_step(&mut self, id: &str, phase: Phase, title: &str, at: Timestamp) {
        let (id, title) = (id.to_owned(), title.to_owned());
        self.steps.retain(|step| step.id != id);
        self.steps.push(StepView {
            id,
            phase,
            title,
            state: State::Running,
            message: String::new(),
            started_at: at,
            finished_at: None,
        });
    }

    fn finish_step(&mut self, id: &str, state: State, message: &str, at: Timestamp) {
        self.retrying = None;
        // The step is most likely one of the last.
        let Some(step) = self.steps.iter_mut().rev().find(|step| step.id == id) else { return };
        message.clone_into(&mut step.message);
        step.state = state;
        step.finished_at = Some(at);
        let phase = step.phase;
        if state == State::Failed
            && let Some(view) = self.phases.iter_mut().find(|view| view.phase == phase)
        {
            view.state = State::Failed;
        }
    }

    /// A new plan keeps what is known about the tables that it shares with the one before.
    fn plan(&mut self, planned: &[PlannedTable], post_data: u64, jobs: u32) {
        let mut before: HashMap<TableId, TableView> = self.tables.drain(..).map(|table| (table.planned.id, table)).collect();
        self.places.clear();
        for planned in planned {
            let planned = planned.clone();
            let table = match before.remove(&planned.id) {
                Some(table) => TableView { planned, ..table },
                None => TableView { planned, state: TableState::Pending, rows: 0, bytes: 0, verdict: None },
            };
            self.places.insert(table.planned.id, self.tables.len());
            self.tables.push(table);
        }
        self.builds.total = post_data;
        self.jobs = jobs;
    }

    fn move_table(&mut self, id: TableId, state: TableState, rows: u64, bytes: u64) {
        self.retrying = None;
        let Some(place) = self.places.get(&id) else { return };
        let table = &mut self.tables[*place];
        table.state = state;
        (table.rows, table.bytes) = if state == TableState::Copied { (rows, bytes) } else { (0, 0) };
        if matches!(state, TableState::Pending | TableState::Copying) {
            table.verdict = None;
        }
    }

    fn verified(&mut self, result: &TableVerdict) {
        match self.places.get(&result.id) {
            Some(place) => self.tables[*place].verdict = Some(result.clone()),
            None => {
                self.other_verdicts.retain(|other| other.id != result.id);
                self.other_verdicts.push(result.clone());
            }
        }
    }
}

/// The time from `from` to `to`, in milliseconds; nothing if it runs backwards, as clocks may.
pub fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
