//! A recording, played into the page at any speed and without databases.
//!
//! The recording's own clock is what counts: each of its gaps, divided by the speed, is what the player owes before the next line. What it owes
//! is bounded, so that a night in which nothing happened is over soon, and so is what it may be late by, so that a machine that was asleep does not
//! make everything happen at once. Nobody has to watch: the player belongs to the process and not to a page.

mod draw;
mod player;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use axum::{Form, Router};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

use super::app::{App, lock};
use super::page::{self, Step};
use crate::engine::recording::{Item, Recording};
use crate::engine::report::{Exit, Report};

pub use draw::{banner, part, standing};
pub use player::play;

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it happened.
    Times(f64),
    /// Without any wait.
    Fastest,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Speed::Fastest),
            Ok(times) if times.is_finite() && (0.01..=1_000_000.0).contains(&times) => Ok(Speed::Times(times)),
            _ => Err("it must be a number between 0.01 and 1000000, or max".to_owned()),
        }
    }
}

/// What the people at the page want.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Control {
    speed: Speed,
    paused: bool,
    /// How often it was to begin again.
    begun: u64,
}

/// Where the player is.
#[derive(Debug, Clone, Default)]
struct Progress {
    at: Option<Timestamp>,
    over: bool,
    failed: Option<Report>,
}

/// A recording that is played.
#[derive(Debug)]
pub struct Replay {
    file: PathBuf,
    begins: Timestamp,
    ends: Timestamp,
    skipped: u64,
    control: watch::Sender<Control>,
    progress: Mutex<Progress>,
}

impl Replay {
    /// Reads a recording once from its beginning to its end, so that one that is broken is refused before anything is shown of it.
    ///
    /// # Errors
    /// It cannot be read, a line is broken, or nothing happens in it.
    pub fn open(file: &Path, speed: Speed) -> Result<Replay, Report> {
        let mut recording = Recording::open(file)?;
        let mut times: Option<(Timestamp, Timestamp)> = None;
        for item in recording.by_ref() {
            if let Item::Event(event) = item? {
                let (begins, ends) = times.unwrap_or((event.at, event.at));
                times = Some((begins.min(event.at), ends.max(event.at)));
            }
        }
        let (begins, ends) = times.ok_or_else(|| {
            Report::new("recording-file", Exit::Usage, format!("The recording {} has no event.", file.display()))
                .with_fix("Give a file that was written by `neon-migrate report --bundle FILE.jsonl`.")
        })?;
        let skipped = recording.skipped();
        let control = watch::Sender::new(Control { speed, paused: false, begun: 0 });
        Ok(Replay { file: file.to_owned(), begins, ends, skipped, control, progress: Mutex::default() })
    }

    fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    fn advance(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut lock(&self.progress));
    }
}

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new().route("/replay", post(steer))
}

/// What a button of the banner says.
#[derive(Deserialize)]
struct Wish {
    wish: String,
    /// The step that the page shows.
    step: Step,
}

async fn steer(State(app): State<App>, headers: HeaderMap, Form(wish): Form<Wish>) -> Response {
    if let Some(replay) = &app.replay {
        replay.control.send_modify(|control| match wish.wish.as_str() {
            "pause" => control.paused = true,
            "continue" => control.paused = false,
            "again" => {
                control.begun += 1;
                control.paused = false;
            }
            speed => control.speed = speed.parse().unwrap_or(control.speed),
        });
        app.touch();
    }
    page::after(&headers, wish.step)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn speeds_are_numbers_or_max() {
        assert_eq!("max".parse(), Ok(Speed::Fastest));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        for wrong in ["", "0", "-1", "nan", "inf", "fast", "1e9"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_recording_in_which_nothing_happens_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let report = Replay::open(file.path(), Speed::Fastest).unwrap_err();
        assert!(report.message.ends_with("has no event."), "{report:?}");
    }
}
