//! How the process ends, and how it is asked to.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::engine::event::EventKind;
use crate::engine::report::{Exit, Report};
use crate::engine::step::Cx;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Handles Ctrl-C and SIGTERM from here on. The first stops the run at its next safe point, the second drops everything, connections
/// included, the third ends the process. Each of the first two is said as a notice. The handler lives as long as the returned guard.
///
/// # Errors
/// The system does not let signals be handled.
pub fn handle_signals(cx: &Cx) -> Result<SignalGuard, Report> {
    let (mut interrupts, mut terminations) = signals()?;
    let cx = cx.clone();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupts.recv() => (),
                _ = terminations.recv() => (),
            }
            let message = if cx.cancel().is_cancelled() {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            } else if cx.stop().is_cancelled() {
                cx.cancel().cancel();
                "Stopping at once: connections are dropped. The same command goes on from here."
            } else {
                cx.stop().cancel();
                "Stopping at the next safe point; what is finished is kept. Press Ctrl-C again to stop at once."
            };
            // A journal that fails ends the run by itself.
            let _ = cx.emit(EventKind::Notice { message: message.to_owned(), warning: true }).await;
        }
    });
    Ok(SignalGuard(task))
}

/// Cancelled by Ctrl-C or SIGTERM, for commands that keep no journal. A second one ends the process.
///
/// # Errors
/// The system does not let signals be handled.
pub fn stop_on_signal() -> Result<CancellationToken, Report> {
    let (mut interrupts, mut terminations) = signals()?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupts.recv() => (),
                _ = terminations.recv() => (),
            }
            if told.is_cancelled() {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
            told.cancel();
        }
    });
    Ok(stop)
}

fn signals() -> Result<(Signal, Signal), Report> {
    let listen = || Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    listen().map_err(|error| Report::new("internal", Exit::Bug, "Signals cannot be handled.").with_cause(format!("{error}.")))
}

/// Ends the handling of signals when it is dropped.
#[derive(Debug)]
pub struct SignalGuard(tokio::task::JoinHandle<()>);

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn terminate_me() {
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    #[tokio::test]
    async fn the_first_signal_stops_gently_and_the_second_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Cx::open(dir.path()).await.unwrap();
        let mut events = cx.subscribe().unwrap();
        let guard = handle_signals(&cx).unwrap();
        terminate_me();
        cx.stop().cancelled().await;
        assert!(!cx.cancel().is_cancelled());
        assert!(matches!(&events.next().await.unwrap()[0].kind, EventKind::Notice { warning: true, .. }));
        terminate_me();
        cx.cancel().cancelled().await;
        drop(guard);
    }
}
