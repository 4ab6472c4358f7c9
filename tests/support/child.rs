//! Our own binary as a child process, with an environment of its own, watched and killed at will.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{poll, postgres};

/// A run of `neon-migrate` that is about to be.
pub struct Run {
    command: Command,
}

/// A run that was started. Dropping it kills the process.
pub struct Running {
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

/// A run that is over.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

struct Captured {
    text: watch::Receiver<String>,
    reader: JoinHandle<()>,
}

impl Run {
    /// `neon-migrate` with these arguments, in an environment that holds no PG* variables of the developer and has the
    /// client tools of version 18 first on its PATH.
    pub fn new(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neon-migrate"));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PG") || name.starts_with("NEON_") {
                command.env_remove(name.as_ref());
            }
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", postgres::client_bin().display()));
        Run { command }
    }

    /// Sets one variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Has the process kill itself at a named point (see `engine::crash`), when it is reached for the n-th time.
    pub fn kill_at(self, point: &str, nth: u64) -> Run {
        self.env("NEON_MIGRATE_CRASH_AT", format!("{point}:{nth}"))
    }

    /// Starts the process; its output is read in the background, so that it never waits for us.
    pub fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let stdout = capture(child.stdout.take().unwrap());
        let stderr = capture(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    /// Runs the process to its end, which must come within `limit`.
    pub async fn finish(self, limit: Duration) -> Outcome {
        self.start().finish(limit).await
    }
}

impl Running {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process was not waited for yet")
    }

    /// Sends a signal, for example `libc::SIGINT`.
    pub fn signal(&self, signal: i32) {
        postgres::signal(self.pid(), signal);
    }

    /// What has been written to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text.borrow().clone()
    }

    /// What has been written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text.borrow().clone()
    }

    /// Waits until standard output or standard error holds `words`.
    pub async fn until_it_says(&self, words: &str, limit: Duration) {
        let what = format!("the process says {words:?}");
        poll::until_true(limit, &what, async || self.stdout().contains(words) || self.stderr().contains(words)).await;
    }

    /// Waits for the end for a while; the exit code if it came.
    pub async fn ends_within(&mut self, limit: Duration) -> Option<Option<i32>> {
        tokio::time::timeout(limit, self.child.wait()).await.ok().map(|status| status.unwrap().code())
    }

    /// Waits for the end, which must come within `limit`; a process that is late is killed and fails the test.
    pub async fn finish(mut self, limit: Duration) -> Outcome {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            panic!("the process did not end within {limit:?}\nstdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
        };
        for captured in [&mut self.stdout, &mut self.stderr] {
            // A grandchild may hold the pipe open; what it writes later is not part of this run.
            let _ = tokio::time::timeout(Duration::from_secs(2), &mut captured.reader).await;
        }
        Outcome { status: status.unwrap(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Outcome {
    /// The exit code; a process that was ended by a signal has none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it was ended by SIGKILL, as at a crash point.
    pub fn was_killed(&self) -> bool {
        std::os::unix::process::ExitStatusExt::signal(&self.status) == Some(libc::SIGKILL)
    }

    /// Fails the test with the whole output unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Outcome {
        assert_eq!(self.code(), Some(code), "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

fn capture(pipe: impl AsyncRead + Unpin + Send + 'static) -> Captured {
    let (sender, text) = watch::channel(String::new());
    let reader = tokio::spawn(async move {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(&line)));
            line.clear();
        }
    });
    Captured { text, reader }
}
