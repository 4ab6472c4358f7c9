//! What the process behind the page knows, shared by everything that serves it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::Guard;
use super::live::Live;
use super::replay::Replay;
use super::{check, commands, copy, create, finish, replicate};
use crate::engine::event::Event;
use crate::migration::ends::{Source, Target};

/// The stack of a thread for a migration: as large as that of the thread that the command line runs one on.
const STACK: usize = 16 * 1024 * 1024;

/// What was asked for on the command line.
#[derive(Debug, Default)]
pub struct Options {
    /// The root of the state directory.
    pub state_root: PathBuf,
    /// Where pg_dump and pg_restore are.
    pub pg_bin_dir: Option<PathBuf>,
    /// The address of Neon's API.
    pub api_url: String,
    /// The source, if the environment or the command line names it.
    pub source: Option<Source>,
    /// The target, likewise.
    pub target: Option<Target>,
    /// The key of Neon's API, if the environment has it.
    pub api_key: Option<SecretString>,
    /// Where runs are logged; nowhere if there is none.
    pub log: Option<Log>,
    /// The recording that is played, instead of a migration.
    pub replay: Option<Replay>,
}

/// Where a run of this process is logged.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Opens the log in a migration's directory.
    pub open: fn(&Path),
    /// Logs an event.
    pub event: fn(&Event),
}

/// The databases and the key. They are kept in memory only.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    /// The source.
    pub source: Option<Source>,
    /// The target.
    pub target: Option<Target>,
    /// The key of Neon's API.
    pub api_key: Option<SecretString>,
}

/// Everything that the page is made from. Clones share it.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

/// See [`App`]; each step keeps its own state.
#[derive(Debug)]
pub struct Inner {
    /// What was asked for on the command line.
    pub options: Options,
    /// Who may see it.
    pub guard: Guard,
    /// The migration that is shown.
    pub live: Live,
    /// The recording that is played.
    pub replay: Option<Replay>,
    /// Step 1.
    pub check: check::State,
    /// Step 2.
    pub create: create::State,
    /// Step 3.
    pub copy: copy::State,
    /// The lines for those who do it by hand, of steps 3 and 4.
    pub commands: commands::State,
    /// Step 4.
    pub replicate: replicate::State,
    /// Step 5.
    pub finish: finish::State,
    ends: Mutex<Ends>,
    changed: watch::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Begins with what the command line says. `stop` ends everything.
    pub fn new(mut options: Options, guard: Guard, stop: CancellationToken) -> App {
        let ends = Ends { source: options.source.take(), target: options.target.take(), api_key: options.api_key.take() };
        let replay = options.replay.take();
        App(Arc::new(Inner {
            options,
            replay,
            guard,
            live: Live::default(),
            check: check::State::default(),
            create: create::State::default(),
            copy: copy::State::default(),
            commands: commands::State::default(),
            replicate: replicate::State::default(),
            finish: finish::State::default(),
            ends: Mutex::new(ends),
            changed: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            stop,
        }))
    }

    /// Runs work that belongs to the process and not to a request: closing the browser does not stop it. It has to end by itself soon after
    /// [`App::stop`] is cancelled; the process waits for it.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let app = self.clone();
        self.tasks.spawn(async move {
            work.await;
            app.touch();
        });
    }

    /// Like [`App::spawn`], on a thread of its own: for futures that cannot be moved between threads. The process does not wait for one that does
    /// not end.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn spawn_apart<F>(&self, work: impl FnOnce() -> F + Send + 'static) -> std::io::Result<()>
    where
        F: Future<Output = ()>,
    {
        let (app, runtime, under_way) = (self.clone(), tokio::runtime::Handle::current(), self.tasks.token());
        let thread = std::thread::Builder::new().name("migration".to_owned()).stack_size(STACK);
        thread.spawn(move || {
            let _under_way = under_way;
            runtime.block_on(work());
            app.touch();
        })?;
        Ok(())
    }

    /// The work that goes on.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when the process is to end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Says that something on a page may have changed.
    pub fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Changes whenever something on a page may have.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The databases and the key, as they are now.
    pub fn ends(&self) -> Ends {
        lock(&self.ends).clone()
    }

    /// Changes the databases or the key.
    pub fn set_ends(&self, change: impl FnOnce(&mut Ends)) {
        change(&mut lock(&self.ends));
        self.touch();
    }
}

/// Locks what no code can leave half-changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
