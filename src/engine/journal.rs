//! The journal: every event of a migration, durable and in order.
//!
//! Why an index has no gap and no twin: a place in the store's queue is taken first (the only wait), then the next index is given and
//! the event is sent under one lock, without a wait in between. So the order of the indexes is the order in the queue, which is the order on disk,
//! and a caller that is cancelled while it waits has taken no index. The store refuses everything after the first failed write.
//!
//! Subscribers read committed events back from the store, by index. A slow one therefore costs no memory, a late one misses nothing, and
//! all see exactly what a later run will see, with one addition: the keys of rows that differ are kept in memory only.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::event::{Event, EventIndex, EventKind, TableState};
use super::report::{Exit, Report};
use crate::store::{Committed, Reader, Slot, Store, StoreError, StoredEvent, StoredSample, Write};

/// The name of the database in a migration's directory.
pub const FILE: &str = "journal.db";
/// How many events a subscriber is given at once.
const READ_MAX: usize = 1000;
/// For how many tables the keys of differing rows are kept, to be shown.
const DIFFERENCES_MAX: usize = 1000;

/// The journal of one migration, open for writing. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    next: Mutex<EventIndex>,
    steps: Mutex<HashMap<String, String>>,
    unstored: Arc<Unstored>,
    dir: PathBuf,
}

/// The keys of rows that differ, by the event that they belong to.
type Unstored = Mutex<BTreeMap<EventIndex, Vec<String>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Opens the journal in `dir`, and makes both where they are missing. The caller holds the migration's lock.
    pub fn open(dir: &Path) -> Result<Journal, Report> {
        let explain = |error| store_report(dir, &error);
        let store = Store::open(&dir.join(FILE)).map_err(explain)?;
        let steps = store.reader().and_then(|reader| reader.steps()).map_err(explain)?;
        let next = store.committed().borrow().index + 1;
        Ok(Journal(Arc::new(Inner {
            store,
            next: Mutex::new(next),
            steps: Mutex::new(steps.into_iter().collect()),
            unstored: Arc::default(),
            dir: dir.to_owned(),
        })))
    }

    /// Appends an event, waits until it is durable, and gives its index.
    pub async fn append(&self, kind: EventKind) -> Result<EventIndex, Report> {
        self.append_with(kind, Vec::new()).await
    }

    /// Appends an event without waiting: it is durable at the latest when the next awaited event is.
    pub async fn append_soon(&self, kind: EventKind) -> Result<EventIndex, Report> {
        let slot = self.slot().await?;
        let (index, _) = self.send(slot, kind, Vec::new())?;
        Ok(index)
    }

    /// The recorded value of a step, as JSON.
    pub fn step_value(&self, id: &str) -> Option<String> {
        lock(&self.0.steps).get(id).cloned()
    }

    /// Appends the event that a step is done, together with its value: both are durable, or neither.
    pub async fn append_step(&self, kind: EventKind, id: &str, value: String) -> Result<EventIndex, Report> {
        let write = Write::Step { id: id.to_owned(), value: value.clone() };
        let index = self.append_with(kind, vec![write]).await?;
        lock(&self.0.steps).insert(id.to_owned(), value);
        Ok(index)
    }

    /// Forgets the value of a step, durably.
    pub async fn forget_step(&self, id: &str) -> Result<(), Report> {
        lock(&self.0.steps).remove(id);
        self.write(Write::Forget { id: id.to_owned() }).await
    }

    /// Appends [`EventKind::BegunAnew`] and forgets the values of all steps: both are durable, or neither.
    pub async fn begin_anew(&self) -> Result<EventIndex, Report> {
        let index = self.append_with(EventKind::BegunAnew, vec![Write::ForgetAll]).await?;
        lock(&self.0.steps).clear();
        Ok(index)
    }

    /// Records one sample of the progress.
    pub async fn sample(&self, sample: StoredSample) -> Result<(), Report> {
        self.write(Write::Sample { at: sample.at, rows: sample.rows, bytes: sample.bytes }).await
    }

    /// Records a property of the migration, durably. Never a secret.
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), Report> {
        self.write(Write::Meta { key: key.to_owned(), value: value.to_owned() }).await
    }

    /// A property of the migration.
    pub fn meta(&self, key: &str) -> Result<Option<String>, Report> {
        self.0.store.reader().and_then(|reader| reader.meta(key)).map_err(|error| store_report(&self.0.dir, &error))
    }

    /// The events after `after`, then those to come.
    pub fn subscribe(&self, after: EventIndex) -> Result<Subscription, Report> {
        let reader = self.0.store.reader().map_err(|error| store_report(&self.0.dir, &error))?;
        Ok(Subscription {
            reader: Arc::new(Mutex::new(reader)),
            committed: self.0.store.committed(),
            unstored: Arc::clone(&self.0.unstored),
            last: after,
            dir: self.0.dir.clone(),
        })
    }

    /// Why nothing more can be recorded, if a write has failed.
    pub fn failure(&self) -> Option<Report> {
        let failure = self.0.store.committed().borrow().failure.clone();
        failure.map(|error| store_report(&self.0.dir, &error))
    }

    /// Writes what is queued and closes the database. Subscriptions end after the last event.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.0);
        // The task only fails if the writer panicked; then there is nothing left to close.
        let _ = tokio::task::spawn_blocking(move || inner.store.close()).await;
    }

    async fn slot(&self) -> Result<Slot, Report> {
        self.0.store.slot().await.map_err(|error| store_report(&self.0.dir, &error))
    }

    async fn write(&self, write: Write) -> Result<(), Report> {
        let receipt = self.slot().await?.send(vec![write]);
        receipt.durable().await.map_err(|error| store_report(&self.0.dir, &error))
    }

    async fn append_with(&self, kind: EventKind, writes: Vec<Write>) -> Result<EventIndex, Report> {
        let slot = self.slot().await?;
        let (index, receipt) = self.send(slot, kind, writes)?;
        receipt.durable().await.map_err(|error| store_report(&self.0.dir, &error))?;
        Ok(index)
    }

    /// Gives the event its index and queues it, with the writes that belong to it.
    fn send(&self, slot: Slot, mut kind: EventKind, mut writes: Vec<Write>) -> Result<(EventIndex, crate::store::Receipt), Report> {
        let differences = take_differences(&mut kind);
        let json = serde_json::to_string(&kind).map_err(|error| unencodable(&error))?;
        let mut next = lock(&self.0.next);
        let index = *next;
        *next += 1;
        if !differences.is_empty() {
            let mut unstored = lock(&self.0.unstored);
            if unstored.len() < DIFFERENCES_MAX {
                unstored.insert(index, differences);
            }
        }
        writes.push(Write::Event(StoredEvent { index, at: jiff::Timestamp::now().as_microsecond(), json }));
        Ok((index, slot.send(writes)))
    }
}

/// Whether the caller of `emit` waits until an event of this kind is durable. Those that only say that something is under way are not
/// worth a wait: if they are lost in a crash, the next run finds the same state.
pub fn is_awaited(kind: &EventKind) -> bool {
    match kind {
        EventKind::Table { state, .. } => !matches!(state, TableState::Copying),
        EventKind::PhaseStarted { .. }
        | EventKind::StepStarted { .. }
        | EventKind::Retrying { .. }
        | EventKind::FindingRaised { .. }
        | EventKind::BuildStarted { .. }
        | EventKind::LeftOut { .. }
        | EventKind::Notice { .. } => false,
        _ => true,
    }
}

/// Row keys are shown, and never stored.
fn take_differences(kind: &mut EventKind) -> Vec<String> {
    match kind {
        EventKind::TableVerified { result } => std::mem::take(&mut result.differences),
        _ => Vec::new(),
    }
}

/// The events of a migration from an index on, in the process that writes them.
#[derive(Debug)]
pub struct Subscription {
    reader: Arc<Mutex<Reader>>,
    committed: watch::Receiver<Committed>,
    unstored: Arc<Unstored>,
    last: EventIndex,
    dir: PathBuf,
}

impl Subscription {
    /// Waits for events and gives those that are there, in order; nothing once the journal is closed and all were given.
    /// It can be cancelled and called again.
    pub async fn next(&mut self) -> Result<Vec<Event>, Report> {
        let last = self.last;
        let closed = self.committed.wait_for(|committed| committed.index > last).await.is_err();
        if closed && self.committed.borrow().index <= last {
            return Ok(Vec::new());
        }
        let reader = Arc::clone(&self.reader);
        let read = tokio::task::spawn_blocking(move || read_events(&lock(&reader), last)).await;
        let mut events = read
            .unwrap_or(Err(StoreError::Closed))
            .map_err(|error| store_report(&self.dir, &error))?
            .into_iter()
            .collect::<Vec<_>>();
        for event in &mut events {
            if let EventKind::TableVerified { result } = &mut event.kind
                && let Some(differences) = lock(&self.unstored).get(&event.index)
            {
                result.differences.clone_from(differences);
            }
        }
        if let Some(event) = events.last() {
            self.last = event.index;
        }
        Ok(events)
    }
}

/// Reads up to [`READ_MAX`] events after `after`.
fn read_events(reader: &Reader, after: EventIndex) -> Result<Vec<Event>, StoreError> {
    reader.events(after, READ_MAX)?.into_iter().map(decode).collect()
}

fn decode(stored: StoredEvent) -> Result<Event, StoreError> {
    let index = stored.index;
    let at =
        jiff::Timestamp::from_microsecond(stored.at).map_err(|error| StoreError::Broken { index, reason: error.to_string() })?;
    let kind = serde_json::from_str(&stored.json).map_err(|error| StoreError::Broken { index, reason: error.to_string() })?;
    Ok(Event { index, at, kind })
}

/// The journal as another process sees it.
#[derive(Debug)]
pub struct History {
    reader: Reader,
    last: EventIndex,
    dir: PathBuf,
}

impl History {
    /// Opens the journal in `dir` for reading.
    pub fn open(dir: &Path) -> Result<History, Report> {
        let reader = Reader::open(&dir.join(FILE)).map_err(|error| store_report(dir, &error))?;
        Ok(History { reader, last: 0, dir: dir.to_owned() })
    }

    /// The events since the last call, all of them.
    pub fn read(&mut self, mut each: impl FnMut(Event)) -> Result<(), Report> {
        loop {
            let events = read_events(&self.reader, self.last).map_err(|error| store_report(&self.dir, &error))?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                self.last = event.index;
                each(event);
            }
        }
    }

    /// The samples of the progress.
    pub fn samples(&self) -> Result<Vec<StoredSample>, Report> {
        self.reader.samples().map_err(|error| store_report(&self.dir, &error))
    }
}

fn unencodable(error: &serde_json::Error) -> Report {
    Report::new("internal", Exit::Bug, "An event or the value of a step cannot be written as JSON.").with_cause(error.to_string())
}

/// What a person is told when the database of a migration fails.
fn store_report(dir: &Path, error: &StoreError) -> Report {
    let dir = dir.display();
    match error {
        StoreError::TooNew { .. } => {
            Report::new("state-too-new", Exit::State, format!("The state in {dir} was written by a newer version of neon-migrate."))
                .with_cause(format!("{error}."))
                .with_fix("Go on with the version that began this migration, or a newer one; `neon-migrate --version` prints it.")
        }
        StoreError::Closed => Report::new("state-closed", Exit::Bug, "The journal was already closed."),
        StoreError::File { .. } | StoreError::Sqlite(_) | StoreError::Broken { .. } => Report::new(
            "state-failed",
            Exit::State,
            format!("The journal of this migration in {dir} cannot be read or written."),
        )
        .with_cause(format!("{error}."))
        .with_fix(
            "Make sure that the disk has free space and that the directory belongs to you, then run the same command again: \
                     what is in the journal is kept. Another place can be named with `--state-dir`.",
        ),
    }
}

#[cfg(test)]
mod tests;
