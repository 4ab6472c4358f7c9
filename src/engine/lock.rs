//! One owner per migration.
//!
//! The owner holds `flock` on a file in the migration's directory. The kernel gives the lock up when the process ends, however it ends, so
//! a crash leaves nothing to clean; the pid in the file only names the owner, and is believed only while the lock is held.
//! Children do not inherit the lock: Rust opens files close-on-exec.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::report::{Exit, Report};
use crate::store;

/// The name of the file in a migration's directory.
pub const FILE: &str = "lock";
/// A reader holds the lock for an instant while it looks whether somebody owns it, so a refusal is tried again a few times.
const ATTEMPTS: u32 = 5;
const ATTEMPT_DELAY: Duration = Duration::from_millis(40);

/// The ownership of a migration; dropping it gives it up.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Becomes the owner of the migration in `dir`, which is made if it is missing.
    pub fn acquire(dir: &Path) -> Result<Lock, Report> {
        store::make_private_dir(dir).map_err(|error| unusable(dir, &error))?;
        let path = dir.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(dir, &error))?;
        let mut attempt = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => {
                    attempt += 1;
                    std::thread::sleep(ATTEMPT_DELAY);
                }
                Err(TryLockError::WouldBlock) => return Err(owned(dir, read_pid(&mut file))),
                Err(TryLockError::Error(error)) => return Err(unusable(dir, &error)),
            }
        }
        write_pid(&mut file).map_err(|error| unusable(dir, &error))?;
        Ok(Lock { _file: file })
    }
}

/// Who works on a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody; any process may go on with it.
    Nobody,
    /// A living process: its pid, if it could be read.
    Process(Option<u32>),
}

/// Looks who owns the migration in `dir`.
pub fn owner(dir: &Path) -> Owner {
    let Ok(mut file) = File::open(dir.join(FILE)) else { return Owner::Nobody };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Owner::Process(read_pid(&mut file)),
        Ok(()) | Err(TryLockError::Error(_)) => Owner::Nobody,
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn owned(dir: &Path, pid: Option<u32>) -> Report {
    let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process with pid {pid}"));
    Report::new("state-locked", Exit::State, format!("This migration is already being worked on by {who}."))
        .with_cause(format!("It holds the lock in {}.", dir.display()))
        .with_fix(
            "Watch it with `neon-migrate status --follow`, or stop it with Ctrl-C in its terminal and run this command again.",
        )
}

fn unusable(dir: &Path, error: &dyn std::error::Error) -> Report {
    Report::new("state-failed", Exit::State, format!("The state directory {} cannot be used.", dir.display()))
        .with_cause(format!("{error}."))
        .with_fix("Name a directory that you may write to with `--state-dir`; it must be on a file system that supports locks.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_second_owner_is_refused_by_name_and_readers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("m");
        assert_eq!(owner(&dir), Owner::Nobody);
        let lock = Lock::acquire(&dir).unwrap();
        assert_eq!(owner(&dir), Owner::Process(Some(std::process::id())));
        let report = Lock::acquire(&dir).unwrap_err();
        assert_eq!((report.code.as_str(), report.exit), ("state-locked", Exit::State));
        assert!(report.message.contains(&std::process::id().to_string()), "{report:?}");
        drop(lock);
        assert_eq!(owner(&dir), Owner::Nobody);
        Lock::acquire(&dir).unwrap();
    }

    #[test]
    fn the_pid_of_an_owner_that_is_gone_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "4194304999 and more than a shorter pid\n").unwrap();
        assert_eq!(owner(dir.path()), Owner::Nobody);
        let _lock = Lock::acquire(dir.path()).unwrap();
        assert_eq!(owner(dir.path()), Owner::Process(Some(std::process::id())));
    }
}
