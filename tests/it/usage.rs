//! The command line from outside: exit codes of usage, and passwords that do not stay in the process list.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::child::Run;
use crate::support::poll;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_is_not_understood_ends_with_2_and_help_with_0() {
    for (args, code) in [
        (vec![], 2),
        (vec!["copy"], 2),
        (vec!["copy", "--source", "a", "--target", "b", "--include", "a.b.c"], 2),
        (vec!["no-such-command"], 2),
        (vec!["--help"], 0),
        (vec!["copy", "--help"], 0),
        (vec!["--version"], 0),
    ] {
        let outcome = Run::new(&args).finish(LIMIT).await;
        assert_eq!(outcome.code(), Some(code), "{args:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_password_in_the_environment_is_not_shown_by_help_or_errors() {
    for args in [vec!["copy", "--help"], vec!["copy", "--no-such-flag"], vec!["demo", "load", "--scale", "x"]] {
        let run = Run::new(&args).env("NEON_MIGRATE_SOURCE", "postgresql://u:planted-secret@127.0.0.1:1/d");
        let outcome = run.env("NEON_MIGRATE_TARGET", "host=/ password=planted-secret").finish(LIMIT).await;
        assert!(!outcome.stdout.contains("planted") && !outcome.stderr.contains("planted"), "{outcome:?}");
    }
}

const WITH_PASSWORD: [&str; 4] =
    ["verify", "--source=postgresql://u:planted-secret@127.0.0.1:1/d", "--target", "host=/nonexistent password=planted-secret"];

#[tokio::test]
async fn a_password_on_the_command_line_gives_a_notice() {
    let outcome = Run::new(WITH_PASSWORD).finish(LIMIT).await;
    assert!(outcome.stderr.contains("A password was given on the command line"), "{outcome:?}");
    assert!(!outcome.stderr.contains("planted") && !outcome.stdout.contains("planted"), "{outcome:?}");
}

/// Standard error is a pipe that is full, so the process stops at its notice and can be looked at.
#[tokio::test]
async fn a_password_on_the_command_line_leaves_the_process_list() {
    let (_reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 65_536]).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_neon-migrate"));
    let mut child = command.args(WITH_PASSWORD).stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    let arguments = || std::fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
    poll::until_true(LIMIT, "the password leaves the arguments", async || {
        arguments().contains("verify") && !arguments().contains("planted")
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}
