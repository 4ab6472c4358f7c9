//! The source's schema as pg_dump wrote it, and as pg_restore turns it into SQL.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::script::{self, Entry};
use crate::engine::report::{Exit, Report};
use crate::migration::error::{Error, Side};
use crate::migration::shapes;
use crate::pg::bridge::Bridge;
use crate::pg::error::PgError;
use crate::pg::tools::Tools;
use crate::pg::types::SnapshotId;

/// How long pg_dump may go without a byte from the source.
const STALL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long pg_restore may take to write a script; it works on a local file.
const RESTORE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How much of a child's messages is kept, in bytes.
const STDERR_BYTES_MAX: u64 = 64 * 1024;

/// What of the source's ownership and rights is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// `alter … owner to …`
    pub owners: bool,
    /// `grant …`
    pub grants: bool,
}

/// The archive's entries, in the order in which they are to be created.
#[derive(Debug, Default)]
pub struct Archive {
    /// What must exist before rows can be copied.
    pub pre_data: Vec<Entry>,
    /// What follows the rows.
    pub post_data: Vec<Entry>,
}

/// What is left out whatever the target is.
const NEVER: [&str; 4] = ["--no-tablespaces", "--no-publications", "--no-subscriptions", "--no-security-labels"];

/// The file names in the state directory.
const ARCHIVE_FILE: &str = "schema.dump";

/// Whether an earlier run left a complete archive.
pub fn exists(dir: &Path) -> bool {
    dir.join(ARCHIVE_FILE).is_file()
}

/// Removes what an earlier run left.
///
/// # Errors
/// A file that cannot be removed.
pub fn remove(dir: &Path) -> Result<(), Error> {
    for name in [ARCHIVE_FILE, "schema.dump.part", "pre-data.sql", "post-data.sql", shapes::FILE] {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { doing: "removing files of the migration".to_owned(), error });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Has pg_dump write the schema, seen in the given snapshot, to the state directory. The file appears only when it is complete.
///
/// # Errors
/// A pg_dump that cannot be run, fails, or hangs; or an interruption.
pub async fn dump(
    tools: &Tools,
    bridge: &Bridge,
    snapshot: &SnapshotId,
    dir: &Path,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let partial = dir.join("schema.dump.part");
    let mut command = child(&tools.pg_dump);
    bridge.prepare(&mut command);
    command
        .args([
            "--format=custom",
            "--compress=0",
            "--no-password",
            "--no-blobs",
            "--quote-all-identifiers",
            "--lock-wait-timeout=60000",
        ])
        .args(["--section=pre-data", "--section=post-data", "--exclude-schema=neon_migrate"])
        // What is never carried over is not written either: a subscription holds a password.
        .args(NEVER)
        .arg(format!("--snapshot={}", snapshot.0))
        .arg("--file")
        .arg(&partial);
    let output = run(command, "pg_dump", cancel, Some(bridge)).await?;
    if !output.status.success() {
        let failed = |error| Side::Source.failed("reading the schema with pg_dump", error);
        if let Some(error) = bridge.last_error() {
            let said = error.to_string();
            return Err(failed(if error.is_transient() { lost(said) } else { PgError::Protocol(said) }));
        }
        if let Some(said) = says_lost(&output) {
            return Err(failed(lost(said)));
        }
        return Err(tool_failed("pg_dump", "source-dump", Exit::Source, &output).into());
    }
    std::fs::rename(&partial, dir.join(ARCHIVE_FILE)).map_err(|error| Error::File { doing: "keeping the schema".to_owned(), error })
}

fn lost(said: String) -> PgError {
    PgError::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, said))
}

/// The line of pg_dump's messages that says that its connection was lost, or the snapshot with the session that held it.
fn says_lost(output: &Output) -> Option<String> {
    const SIGNS: [&str; 4] =
        ["server closed the connection", "terminating connection", "no connection to the server", "invalid snapshot identifier"];
    let messages = String::from_utf8_lossy(&output.stderr);
    let line = messages.lines().find(|line| SIGNS.iter().any(|sign| line.contains(sign)))?;
    Some(crate::pg::names::human_line(line.trim()))
}

/// Reads the archive in the state directory.
///
/// # Errors
/// A pg_restore that cannot be run or fails, or a script that cannot be read.
pub async fn read(tools: &Tools, keep: Keep, dir: &Path, cancel: &CancellationToken) -> Result<Archive, Error> {
    let pre_data = section(tools, keep, dir, cancel, "pre-data");
    let (pre_data, post_data) = tokio::try_join!(pre_data, section(tools, keep, dir, cancel, "post-data"))?;
    Ok(Archive { pre_data, post_data })
}

async fn section(tools: &Tools, keep: Keep, dir: &Path, cancel: &CancellationToken, name: &str) -> Result<Vec<Entry>, Error> {
    let mut filter = vec![format!("--section={name}")];
    filter.extend(NEVER.map(str::to_owned));
    if !keep.owners {
        filter.push("--no-owner".to_owned());
    }
    if !keep.grants {
        filter.push("--no-acl".to_owned());
    }

    // The script stays in the state directory for whoever asks what was run. It holds definitions only, no rows; but those of
    // user mappings may hold passwords, so it goes when the migration ends, and nobody else may read it.
    let file = dir.join(format!("{name}.sql"));
    let write = ["--verbose".to_owned(), "--file".to_owned(), file.to_string_lossy().into_owned()];
    let list = ["--list".to_owned()];
    let (list, _) = tokio::try_join!(restore(tools, dir, cancel, &filter, &list), restore(tools, dir, cancel, &filter, &write))?;
    let list = script::parse_list(&String::from_utf8_lossy(&list.stdout));
    let read = std::fs::read(&file).map_err(|error| Error::File { doing: "reading pg_restore's script".to_owned(), error })?;
    let script = String::from_utf8(read).map_err(|_| {
        Report::new("schema-encoding", Exit::Source, "The source's schema holds names or texts that are not valid UTF-8.")
            .with_fix("Mend them on the source: pg_dump writes them as they are, and no target takes them.")
    })?;
    let entries = script::parse(&script, &list).map_err(|error| {
        Report::new("schema-script", Exit::Bug, "The script of pg_restore could not be taken apart.")
            .with_cause(format!("{error}."))
            .with_fix("Please report this, with the versions of pg_dump and of both servers.")
    })?;
    Ok(entries)
}

async fn restore(
    tools: &Tools,
    dir: &Path,
    cancel: &CancellationToken,
    filter: &[String],
    action: &[String],
) -> Result<Output, Error> {
    let mut command = child(&tools.pg_restore);
    command.args(filter).args(action).arg(dir.join(ARCHIVE_FILE));
    let output = match tokio::time::timeout(RESTORE_LIMIT, run(command, "pg_restore", cancel, None)).await {
        Ok(output) => output?,
        Err(_) => return Err(Report::new("schema-script", Exit::Bug, "pg_restore did not end within ten minutes.").into()),
    };
    if output.status.success() { Ok(output) } else { Err(tool_failed("pg_restore", "schema-script", Exit::Bug, &output).into()) }
}

/// A child that inherits nothing of ours that could hold a secret.
fn child(program: &PathBuf) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").kill_on_drop(true);
    for name in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SystemRoot"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a child to its end. With a bridge it may take as long as bytes come through.
async fn run(mut command: Command, name: &str, cancel: &CancellationToken, bridge: Option<&Bridge>) -> Result<Output, Error> {
    let doing = format!("running {name}");
    let file_error = |error| Error::File { doing: doing.clone(), error };
    let mut child = command.spawn().map_err(file_error)?;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(file_error(std::io::Error::other("the child has no output")));
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = async {
        let errors = async {
            (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut err).await?;
            // More than is kept is read away, or the child would wait for us.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await
        };
        tokio::try_join!(stdout.read_to_end(&mut out), errors)
    };
    let finished = async {
        read.await?;
        child.wait().await
    };
    tokio::select! {
        status = finished => Ok(Output { status: status.map_err(file_error)?, stdout: out, stderr: err }),
        () = cancel.cancelled() => Err(Error::Interrupted),
        () = stalled(bridge) => Err(Report::new("source-dump", Exit::Paused, format!("{name} got nothing from the source for ten minutes."))
            .with_fix("Look for sessions on the source that hold locks, then run the same command again.").into()),
    }
}

/// Ends when nothing came through the bridge for [`STALL_LIMIT`]; never without a bridge.
async fn stalled(bridge: Option<&Bridge>) {
    let Some(bridge) = bridge else { return std::future::pending().await };
    let mut seen = bridge.bytes_to_child();
    loop {
        tokio::time::sleep(STALL_LIMIT).await;
        let now = bridge.bytes_to_child();
        if now == seen {
            return;
        }
        seen = now;
    }
}

fn tool_failed(name: &str, code: &str, exit: Exit, output: &Output) -> Report {
    let mut report = Report::new(code, exit, format!("{name} failed."));
    let messages = String::from_utf8_lossy(&output.stderr);
    let lines = messages.lines().filter(|line| !line.trim().is_empty()).take(10);
    report.causes = lines.map(|line| crate::pg::names::human_line(line.trim())).collect();
    report.with_fix("Mend what the message names, then run the same command again.")
}
