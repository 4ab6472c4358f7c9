//! What is asked on a terminal.
//!
//! A read from a terminal cannot be taken back, so it has a thread of its own that nobody waits for: a person who presses Ctrl-C
//! at a question has stopped, whatever that thread still waits for. The terminal's echo is turned on again on every way out.

use std::io::{BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::engine::report::{Exit, Report};

/// Whether there is somebody to ask.
pub fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line. The end of the input is an empty answer.
///
/// # Errors
/// A wish to stop.
pub async fn line(question: &str, stop: &CancellationToken) -> Result<String, Report> {
    anstream::eprint!("{question}");
    // A question that cannot be written is answered in vain.
    let _ = std::io::stderr().flush();
    let (sender, answer) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        // Nobody waits any more for an answer that comes after a wish to stop.
        let _ = sender.send(read.map(|_| line));
    });
    match stop.run_until_cancelled(answer).await {
        Some(Ok(Ok(line))) => Ok(line.trim().to_owned()),
        Some(_) => Ok(String::new()),
        None => Err(stopped()),
    }
}

/// Asks for a line that is not shown while it is typed.
///
/// # Errors
/// A wish to stop; a terminal that does not turn its echo off.
pub async fn hidden(question: &str, stop: &CancellationToken) -> Result<SecretString, Report> {
    let hidden = Hidden::start().map_err(|error| {
        Report::new("usage", Exit::Usage, "The terminal would show what is typed, so nothing was asked.")
            .with_cause(format!("{error}."))
            .with_fix("Give the key in the environment variable NEON_API_KEY.")
    })?;
    let answer = line(question, stop).await;
    drop(hidden);
    answer.map(SecretString::from)
}

/// Stopped before anything was done.
pub fn stopped() -> Report {
    Report::new("interrupted", Exit::Interrupted, "Stopped on request; nothing was created.")
        .with_fix("Run the same command again.")
}

/// A terminal without echo, until it is dropped.
struct Hidden(Termios);

impl Hidden {
    fn start() -> std::io::Result<Hidden> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone has no echo to turn on.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
