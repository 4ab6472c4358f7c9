//! The bridge: a private unix socket behind which a child such as pg_dump finds the server, already logged in.
//!
//! The child needs no secret, no network and no TLS. Every connection that it makes is answered here: we log in to the real server with our own
//! dialer, hand the child the server's greeting, and from then on pass bytes both ways. Three things keep the socket private: a directory with a random
//! name and mode 0700, the kernel's word on who connects (`SO_PEERCRED`), and its end with the [`Bridge`].
//!
//! Waiting is bounded up to the end of the login. After that a session may be silent for as long as its statement runs; it ends with either
//! side, with the cancellation token, or when the keepalive finds the server dead.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::auth::Canceller;
use super::conninfo::Conninfo;
use super::error::PgError;

mod session;

/// The port in the socket's name; it is not a network port.
const PORT: u16 = 5432;

/// How many connections may be open at once: pg_restore opens one per job.
const SESSION_LIMIT: usize = 64;

/// The longest path of a unix socket, in bytes, that every system takes.
const PATH_LIMIT: usize = 100;

/// Variables that a child keeps; all others, with what secrets they hold, stay here.
const KEPT_VARIABLES: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LD_LIBRARY_PATH", "TMPDIR", "TZ"];

/// A private socket for children. It is gone, with all its sessions, when this is dropped.
#[derive(Debug)]
pub struct Bridge {
    dir: PathBuf,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// What the sessions of a bridge share.
#[derive(Debug)]
struct Shared {
    info: Conninfo,
    /// Who may connect.
    uid: u32,
    /// Sessions that can be cancelled, with the process id and the key that the child knows.
    sessions: Mutex<Vec<Canceller>>,
    last_error: Mutex<Option<Arc<PgError>>>,
    to_server: AtomicU64,
    to_child: AtomicU64,
    slots: Arc<Semaphore>,
}

impl Bridge {
    /// Opens the socket in a new directory below `dir`; below the system's directory for temporary files if that path would be too long
    /// for a socket.
    ///
    /// # Errors
    /// The directory or the socket could not be made.
    pub fn start(info: Conninfo, dir: &Path, cancel: CancellationToken) -> Result<Bridge, PgError> {
        let dir = private_dir(dir)?;
        let stop = cancel.child_token();
        // From here on the directory is removed whatever happens.
        let mut bridge = Bridge { dir, shared: Arc::new(Shared::new(info)), stop };
        bridge.listen()?;
        Ok(bridge)
    }

    fn listen(&mut self) -> Result<(), PgError> {
        let path = self.dir.join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        tokio::spawn(accept(listener, Arc::clone(&self.shared), self.stop.clone()));
        Ok(())
    }

    /// The variables that lead a libpq program here. The password, if one is set elsewhere, is blanked, and the password file is one that
    /// does not exist.
    pub fn env(&self) -> Vec<(String, String)> {
        let dir = self.dir.display().to_string();
        let passfile = self.dir.join("none").display().to_string();
        let pairs = [
            ("PGHOST", dir.as_str()),
            ("PGPORT", &PORT.to_string()),
            ("PGUSER", self.shared.info.user()),
            ("PGDATABASE", self.shared.info.database()),
            ("PGSSLMODE", "disable"),
            ("PGGSSENCMODE", "disable"),
            ("PGCHANNELBINDING", "disable"),
            ("PGPASSWORD", ""),
            ("PGPASSFILE", &passfile),
            ("PGOPTIONS", ""),
            ("PGHOSTADDR", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.to_vec()
    }

    /// Gives a command an environment that leads here and holds nothing else: the variables of this process may hold secrets.
    pub fn prepare(&self, command: &mut Command) {
        command.env_clear();
        command.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.env());
    }

    /// The last error that kept a child from its session, or that broke one.
    pub fn last_error(&self) -> Option<Arc<PgError>> {
        self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that have gone from children to the server.
    pub fn bytes_to_server(&self) -> u64 {
        self.shared.to_server.load(Ordering::Relaxed)
    }

    /// Bytes that have come from the server to children.
    pub fn bytes_to_child(&self) -> u64 {
        self.shared.to_child.load(Ordering::Relaxed)
    }

    /// The directory that holds the socket.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.cancel();
        // Whoever wrote into a directory that is ours alone is us; what cannot be removed is empty and harmless.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Shared {
    fn new(info: Conninfo) -> Self {
        Shared {
            info,
            uid: rustix::process::geteuid().as_raw(),
            sessions: Mutex::default(),
            last_error: Mutex::default(),
            to_server: AtomicU64::new(0),
            to_child: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(SESSION_LIMIT)),
        }
    }

    fn keep_error(&self, error: PgError) {
        tracing::warn!(%error, "a session of the bridge failed");
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(error));
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Vec<Canceller>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a directory with a random name that only we may enter.
fn private_dir(parent: &Path) -> Result<PathBuf, PgError> {
    let mut name = String::from("bridge-");
    for byte in rand::random::<[u8; 12]>() {
        let _ = write!(name, "{byte:02x}");
    }
    let socket_name = format!("/.s.PGSQL.{PORT}").len();
    let mut dir = parent.join(&name);
    if dir.as_os_str().len() + socket_name > PATH_LIMIT {
        dir = std::env::temp_dir().join(&name);
    }
    if dir.as_os_str().len() + socket_name > PATH_LIMIT {
        dir = Path::new("/tmp").join(&name);
    }
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

/// Takes connections until the bridge is gone; sessions end with it.
async fn accept(listener: UnixListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = sessions.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let child = match accepted {
            Ok((child, _)) => child,
            Err(error) => {
                shared.keep_error(error.into());
                // Out of file descriptors, for example: the next attempt would fail as fast.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        if is_ours(&child, shared.uid)
            && let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned()
        {
            let shared = Arc::clone(&shared);
            sessions.spawn(async move {
                if let Err(error) = session::serve(child, &shared).await {
                    shared.keep_error(error);
                }
                drop(slot);
            });
        }
    }
    // A server notices a client that is gone only when it has something to say; what it still does for our children is cancelled.
    let running = shared.sessions().clone();
    sessions.shutdown().await;
    for canceller in running {
        let _ = canceller.cancel().await;
    }
}

/// Whether the process at the other end runs as we do.
fn is_ours(child: &UnixStream, uid: u32) -> bool {
    child.peer_cred().is_ok_and(|peer| peer.uid() == uid)
}
