//! The context of a run: what every part of a migration holds to say what it does, remember it, count, and notice that it is to stop.
//!
//! A migration is straight-line code. A step that is done once and for all ([`Cx::step_once`]) remembers its value in the same transaction as
//! the event that it is done, so that a run after a crash either gets the value or does the step again. What dies with the process (a
//! snapshot, a connection) must not be remembered: it belongs in [`Cx::step`].

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::cancel::Cancel;
use super::event::{EventIndex, EventKind, Outcome};
use super::journal::{self, History, Journal, Subscription};
use super::lock::Lock;
use super::phase::Phase;
use super::progress::{Board, Progress};
use super::report::{Exit, Report};
use super::view::View;
use crate::store::StoredSample;

/// How often the progress is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// How many samples there are to one that is stored.
const SAMPLES_PER_STORED: u32 = 4;
/// The file in a migration's directory that holds the latest progress, for readers in other processes.
pub const PROGRESS_FILE: &str = "progress.json";

/// An error that can be told to a person.
pub trait ToReport {
    /// The text, its code and the way the process ends because of it.
    fn to_report(&self) -> Report;
}

impl ToReport for Report {
    fn to_report(&self) -> Report {
        self.clone()
    }
}

/// The context of a run. Clones share it; it can be moved into every task.
#[derive(Debug, Clone)]
pub struct Cx(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Journal,
    board: Arc<Board>,
    cancel: Cancel,
    progress: watch::Receiver<Progress>,
    history: View,
    dir: PathBuf,
    sampler: CancellationToken,
    sampling: Mutex<Option<tokio::task::JoinHandle<()>>>,
    _stop_sampler: DropGuard,
    _lock: Lock,
}

impl Cx {
    /// Becomes the owner of the migration in `dir` (one directory per migration, made if it is missing), opens its journal and reads what earlier
    /// runs did.
    pub async fn open(dir: &Path) -> Result<Cx, Report> {
        let lock = Lock::acquire(dir)?;
        let journal = Journal::open(dir)?;
        let board = Arc::new(Board::default());
        let mut history = View::default();
        History::open(dir)?.read(|event| {
            board.observe(&event.kind);
            history.apply(&event);
        })?;
        let (latest, progress) = watch::channel(Progress::default());
        let sampler = CancellationToken::new();
        let cancel = Cancel::default();
        let sampling = Sampler {
            board: Arc::clone(&board),
            journal: journal.clone(),
            cancel: cancel.clone(),
            latest,
            file: dir.join(PROGRESS_FILE),
            started: Instant::now(),
        };
        let sampling = tokio::spawn(sampling.run(sampler.clone()));
        Ok(Cx(Arc::new(Inner {
            journal,
            board,
            cancel,
            progress,
            history,
            dir: dir.to_owned(),
            sampling: Mutex::new(Some(sampling)),
            _stop_sampler: sampler.clone().drop_guard(),
            sampler,
            _lock: lock,
        })))
    }

    /// What earlier runs of this migration did: the fold of the journal as it was when this run opened it.
    pub fn history(&self) -> &View {
        &self.0.history
    }

    /// The migration's directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// The counters.
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// Cancelled when everything is to be dropped at once.
    pub fn cancel(&self) -> &CancellationToken {
        self.0.cancel.now()
    }

    /// Cancelled when the run is to stop at its next safe point.
    pub fn stop(&self) -> &CancellationToken {
        self.0.cancel.soon()
    }

    /// Both ways of stopping, for the handler of signals.
    pub fn cancellation(&self) -> &Cancel {
        &self.0.cancel
    }

    /// A safe point: an error that ends the run if it is to stop.
    pub fn safe_point(&self) -> Result<(), Report> {
        self.0.cancel.safe_point()
    }

    /// The latest progress, four times a second.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.clone()
    }

    /// The events of this run, for a renderer: those after what [`Cx::history`] holds.
    pub fn subscribe(&self) -> Result<Subscription, Report> {
        self.0.journal.subscribe(self.0.history.index)
    }

    /// Records that something happened. It is durable when this returns, unless it only says that something is under way
    /// ([`journal::is_awaited`]). An error means that nothing can be recorded any more: the run must end.
    pub async fn emit(&self, kind: EventKind) -> Result<EventIndex, Report> {
        self.0.board.observe(&kind);
        if journal::is_awaited(&kind) { self.0.journal.append(kind).await } else { self.0.journal.append_soon(kind).await }
    }

    /// Records several things at once and waits for all of them together: one flush of the disk instead of one for each.
    pub async fn emit_all(&self, kinds: Vec<EventKind>) -> Result<(), Report> {
        let mut kinds = kinds.into_iter().peekable();
        while let Some(kind) = kinds.next() {
            self.0.board.observe(&kind);
            if kinds.peek().is_some() {
                self.0.journal.append_soon(kind).await?;
            } else {
                self.0.journal.append(kind).await?;
            }
        }
        Ok(())
    }

    /// Records that something happened without waiting for the disk, whatever its kind: it is durable before anything that is emitted later.
    pub async fn emit_soon(&self, kind: EventKind) -> Result<EventIndex, Report> {
        self.0.board.observe(&kind);
        self.0.journal.append_soon(kind).await
    }

    /// Runs a phase: says that it began and, if it succeeds, that it ended.
    pub async fn phase<T, E: From<Report>>(&self, phase: Phase, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.emit(EventKind::PhaseStarted { phase }).await?;
        let value = work.await?;
        self.emit(EventKind::PhaseFinished { phase }).await?;
        Ok(value)
    }

    /// Runs a step: says that it began, and how it ended. `work` gives its value, its outcome, and what came of it in one sentence
    /// (empty where there is nothing to say).
    pub async fn step<T, M, E, F>(&self, id: &str, phase: Phase, title: &str, work: F) -> Result<T, E>
    where
        M: Into<String>,
        E: ToReport + From<Report>,
        F: Future<Output = Result<(T, Outcome, M), E>>,
    {
        let (value, finished) = self.begin_step(id, phase, title, work).await?;
        self.emit(finished).await?;
        Ok(value)
    }

    /// Runs a step that is done once and for all: if an earlier run did it, its recorded value is returned and `work` is not polled.
    pub async fn step_once<T, M, E, F>(&self, id: &str, phase: Phase, title: &str, work: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        M: Into<String>,
        E: ToReport + From<Report>,
        F: Future<Output = Result<(T, Outcome, M), E>>,
    {
        // A value that cannot be read any more, because its type has changed, is one that was never recorded.
        let recorded = self.0.journal.step_value(id).and_then(|json| serde_json::from_str(&json).ok());
        if let Some(value) = recorded {
            let done = async { Ok::<_, E>((value, Outcome::Skipped, "Done by an earlier run.")) };
            return self.step(id, phase, title, done).await;
        }
        let (value, finished) = self.begin_step(id, phase, title, work).await?;
        let json = serde_json::to_string(&value).map_err(|error| {
            Report::new("internal", Exit::Bug, format!("The value of step {id} cannot be written as JSON."))
                .with_cause(error.to_string())
        })?;
        self.0.journal.append_step(finished, id, json).await?;
        Ok(value)
    }

    /// Forgets that a step was done.
    pub async fn forget(&self, id: &str) -> Result<(), Report> {
        self.0.journal.forget_step(id).await
    }

    /// Records that the target was emptied: no step and no table is done any more. [`Cx::history`] goes on to say what was.
    pub async fn begin_anew(&self) -> Result<(), Report> {
        self.0.board.observe(&EventKind::BegunAnew);
        self.0.journal.begin_anew().await.map(|_| ())
    }

    /// Everything that has happened so far, this run included.
    pub fn view(&self) -> Result<View, Report> {
        let mut view = View::default();
        History::open(&self.0.dir)?.read(|event| view.apply(&event))?;
        Ok(view)
    }

    /// Ends the run: records how, and closes the journal, so that renderers end too. The migration stays owned until the last clone is dropped.
    pub async fn finish(&self, exit: Exit, report: Option<Report>) -> Result<(), Report> {
        self.0.sampler.cancel();
        let sampling = self.0.sampling.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sampling) = sampling {
            // A sampler that panicked has nothing more to say.
            let _ = sampling.await;
        }
        let recorded = self.emit(EventKind::RunFinished { exit, report }).await;
        self.0.journal.close().await;
        recorded.map(|_| ())
    }

    async fn begin_step<T, M, E, F>(&self, id: &str, phase: Phase, title: &str, work: F) -> Result<(T, EventKind), E>
    where
        M: Into<String>,
        E: ToReport + From<Report>,
        F: Future<Output = Result<(T, Outcome, M), E>>,
    {
        let step = id.to_owned();
        self.emit(EventKind::StepStarted { step: step.clone(), phase, title: title.to_owned() }).await?;
        match work.await {
            Ok((value, outcome, message)) => Ok((value, EventKind::StepFinished { step, outcome, message: message.into() })),
            Err(error) => {
                self.emit(EventKind::StepFailed { step, report: error.to_report() }).await?;
                Err(error)
            }
        }
    }
}

/// Reads the board four times a second and hands the result to whoever looks.
struct Sampler {
    board: Arc<Board>,
    journal: Journal,
    cancel: Cancel,
    latest: watch::Sender<Progress>,
    file: PathBuf,
    started: Instant,
}

impl Sampler {
    async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut count = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.sample(count % SAMPLES_PER_STORED == 0).await;
            count += 1;
            if self.journal.failure().is_some() {
                // Nothing that is done from here on could be remembered.
                self.cancel.now().cancel();
                break;
            }
        }
        self.sample(true).await;
    }

    async fn sample(&self, store: bool) {
        let progress = self.board.sample(jiff::Timestamp::now(), self.started.elapsed());
        if store {
            // Charts and other processes miss one sample at worst; a journal that fails is noticed by the caller.
            let at = progress.at.map_or(0, jiff::Timestamp::as_microsecond);
            let _ = self.journal.sample(StoredSample { at, rows: progress.rows, bytes: progress.bytes }).await;
            let _ = publish(&self.file, &progress);
        }
        self.latest.send_replace(progress);
    }
}

/// Writes the progress where other processes find it; they see the old file or the new one, and nothing in between.
fn publish(file: &Path, progress: &Progress) -> std::io::Result<()> {
    let next = file.with_extension("new");
    let json = serde_json::to_vec(progress)?;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?.write_all(&json)?;
    std::fs::rename(&next, file)
}

/// The latest progress that the owner of the migration in `dir` has published, if any.
pub fn published(dir: &Path) -> Option<Progress> {
    serde_json::from_slice(&std::fs::read(dir.join(PROGRESS_FILE)).ok()?).ok()
}

#[cfg(test)]
mod tests;
