//! SQLite: one writer thread, readers, and the schema.
//!
//! Why what is acknowledged is durable: only the writer thread changes the database, `synchronous = full` makes SQLite flush the
//! WAL file before a commit returns, and a caller is answered after the commit. What waits in the queue at that moment shares one
//! transaction, so that a burst of a thousand events costs one flush. Why nothing is lost in between: after the first write that
//! fails, every later one is refused with the same error, so the events on disk are always a prefix of those that were sent.

mod reader;
mod schema;

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot, watch};

pub use reader::{Reader, StoredEvent, StoredSample};

/// How many jobs wait for the writer at most; a sender waits beyond that.
const QUEUE_MAX: usize = 4096;
/// How many jobs share a transaction at most.
const BATCH_MAX: usize = 1024;
/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What can go wrong with the database of a migration.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory could not be made or changed.
    #[error("{path} could not be opened: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("SQLite answered: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database was written by a newer version of this program.
    #[error("the state has format {found}, and this version knows formats up to {known}")]
    TooNew {
        /// The format of the database.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// What is stored does not say what it should.
    #[error("event {index} cannot be understood: {reason}")]
    Broken {
        /// The event.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The writer has ended.
    #[error("the state is closed")]
    Closed,
}

/// One change of the database. A job's changes are committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Adds an event.
    Event(StoredEvent),
    /// Remembers the value of a step.
    Step {
        /// The step.
        id: String,
        /// Its value, as JSON.
        value: String,
    },
    /// Forgets the value of a step.
    Forget {
        /// The step.
        id: String,
    },
    /// Forgets the values of all steps.
    ForgetAll,
    /// Adds a sample of the progress; a second sample of the same moment replaces the first.
    Sample {
        /// When, in microseconds since 1970.
        at: i64,
        /// Rows copied by then.
        rows: u64,
        /// Bytes copied by then.
        bytes: u64,
    },
    /// Sets a property of the migration.
    Meta {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
}

type Answer = Result<(), Arc<StoreError>>;

struct Job {
    writes: Vec<Write>,
    done: Option<oneshot::Sender<Answer>>,
}

/// What is durable so far.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// The index of the last durable event.
    pub index: u64,
    /// Why nothing more will be, if a write failed.
    pub failure: Option<Arc<StoreError>>,
}

/// The database of one migration, open for writing. Its owner makes sure that there is only one.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    committed: watch::Receiver<Committed>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A place in the queue: what is sent through it follows everything that was sent before.
#[derive(Debug)]
pub struct Slot(mpsc::OwnedPermit<Job>);

/// The answer to a job: it arrives once the job is durable, or has failed.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Answer>);

impl Slot {
    /// Sends a job and gives its receipt.
    pub fn send(self, writes: Vec<Write>) -> Receipt {
        let (done, receipt) = oneshot::channel();
        self.0.send(Job { writes, done: Some(done) });
        Receipt(receipt)
    }
}

impl Receipt {
    /// Waits until the job is durable.
    pub async fn durable(self) -> Answer {
        self.0.await.unwrap_or_else(|_| Err(Arc::new(StoreError::Closed)))
    }
}

impl Store {
    /// Opens the database at `path`, and makes it and its directory (mode 0700, file 0600) where they are missing.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        if let Some(dir) = path.parent() {
            make_private_dir(dir)?;
        }
        // SQLite gives its WAL files the mode of the database, so the database is made first, with the right one.
        let file = |source| StoreError::File { path: path.to_owned(), source };
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(file)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(file)?;

        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        schema::migrate(&mut connection)?;
        let index = connection.query_row("select coalesce(max(\"index\"), 0) from events", [], |row| row.get(0).map(unsigned))?;

        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let (progress, committed) = watch::channel(Committed { index, failure: None });
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_all(connection, jobs, &progress))
            .map_err(file)?;
        Ok(Store { path: path.to_owned(), queue: Mutex::new(Some(queue)), committed, writer: Mutex::new(Some(writer)) })
    }

    /// Waits for a place in the queue. Giving up the wait leaves no trace.
    pub async fn slot(&self) -> Result<Slot, Arc<StoreError>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(failure) = self.committed.borrow().failure.clone() {
            return Err(failure);
        }
        match queue {
            Some(queue) => queue.reserve_owned().await.map(Slot).map_err(|_| Arc::new(StoreError::Closed)),
            None => Err(Arc::new(StoreError::Closed)),
        }
    }

    /// What is durable, and a wake-up whenever there is more. The channel closes when the store does.
    pub fn committed(&self) -> watch::Receiver<Committed> {
        self.committed.clone()
    }

    /// Opens a reader.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }

    /// Writes what is queued and closes the database.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer has already been seen by those who waited for its answers.
            let _ = writer.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes a directory that only its owner may look into.
pub fn make_private_dir(dir: &Path) -> Result<(), StoreError> {
    let file = |source| StoreError::File { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(file)
}

/// The writer thread: takes what waits, commits it at once, answers.
fn write_all(mut connection: Connection, mut jobs: mpsc::Receiver<Job>, progress: &watch::Sender<Committed>) {
    let mut batch = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH_MAX
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let failed = progress.borrow().failure.clone();
        let result = match failed {
            Some(failure) => Err(failure),
            None => commit(&mut connection, &batch).map_err(|error| Arc::new(StoreError::from(error))),
        };
        progress.send_modify(|committed| match &result {
            Ok(Some(index)) => committed.index = *index,
            Ok(None) => (),
            Err(failure) => committed.failure = Some(Arc::clone(failure)),
        });
        for job in batch.drain(..) {
            if let Some(done) = job.done {
                // Nobody waits for events that need not be awaited.
                let _ = done.send(result.as_ref().map(|_| ()).map_err(Arc::clone));
            }
        }
    }
}

/// Commits the batch and gives the index of the last event in it.
fn commit(connection: &mut Connection, batch: &[Job]) -> Result<Option<u64>, rusqlite::Error> {
    let transaction = connection.transaction()?;
    let mut insert_event = transaction.prepare("insert into events (\"index\", at, json) values (?, ?, ?)")?;
    let mut last = None;
    for write in batch.iter().flat_map(|job| &job.writes) {
        match write {
            Write::Event(event) => {
                insert_event.execute(params![signed(event.index), event.at, event.json])?;
                last = Some(event.index);
            }
            Write::Step { id, value } => {
                transaction.execute("insert or replace into steps (id, value) values (?, ?)", [id, value])?;
            }
            Write::Forget { id } => {
                transaction.execute("delete from steps where id = ?", [id])?;
            }
            Write::ForgetAll => {
                transaction.execute("delete from steps", [])?;
            }
            Write::Sample { at, rows, bytes } => {
                transaction.execute(
                    "insert or replace into samples (at, rows, bytes) values (?, ?, ?)",
                    params![at, signed(*rows), signed(*bytes)],
                )?;
            }
            Write::Meta { key, value } => {
                transaction.execute("insert or replace into meta (key, value) values (?, ?)", [key, value])?;
            }
        }
    }
    drop(insert_event);
    transaction.commit()?;
    Ok(last)
}

/// SQLite's integers are signed; ours are never so large that it matters.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
