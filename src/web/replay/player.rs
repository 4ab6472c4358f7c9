//! Plays the lines of a recording when their time has come.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{Control, Progress, Replay, Speed};
use crate::engine::recording::{Item, Recording};
use crate::engine::report::Report;
use crate::web::app::App;
use crate::web::live::Origin;

/// How long the longest gap takes, whatever the speed.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How late the player may be and still make up for it.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How many lines are read ahead.
const AHEAD: usize = 256;
/// How many lines are played in a row before others have their turn.
const IN_A_ROW: u32 = 256;

/// Why the player stopped where it was.
enum Stopped {
    /// It is to begin again.
    Again,
    /// The process ends.
    Ends,
}

/// Plays until the process ends: after the last line it waits to be begun again.
pub async fn play(app: &App) {
    let Some(replay) = &app.replay else { return };
    let mut control = replay.control.subscribe();
    loop {
        let begun = control.borrow_and_update().begun;
        app.live.reset(Origin::Recording, None);
        replay.advance(|progress| *progress = Progress::default());
        let stopped = match once(app, replay, &mut control, begun).await {
            Ok(stopped) => stopped,
            Err(report) => {
                replay.advance(|progress| progress.failed = Some(report));
                None
            }
        };
        let stopped = match stopped {
            Some(stopped) => stopped,
            None => {
                replay.advance(|progress| progress.over = true);
                app.touch();
                until_again(app, &mut control, begun).await
            }
        };
        match stopped {
            Stopped::Again => (),
            Stopped::Ends => return,
        }
    }
}

async fn until_again(app: &App, control: &mut watch::Receiver<Control>, begun: u64) -> Stopped {
    let again = control.wait_for(|control| control.begun != begun);
    match app.stop().run_until_cancelled(again).await {
        Some(Ok(_)) => Stopped::Again,
        _ => Stopped::Ends,
    }
}

/// Plays all lines once; why it stopped before the last.
async fn once(app: &App, replay: &Replay, control: &mut watch::Receiver<Control>, begun: u64) -> Result<Option<Stopped>, Report> {
    let mut lines = read(replay.file.clone());
    let mut clock = Clock::new();
    let mut in_a_row = 0;
    while let Some(item) = lines.recv().await {
        let item = item?;
        if let Some(stopped) = clock.wait(app, control, begun, item.at()).await {
            return Ok(Some(stopped));
        }
        if let Some(at) = item.at() {
            replay.advance(|progress| progress.at = Some(at));
        }
        app.live.write(|shown| match item {
            Item::Event(event) => shown.apply(&event),
            Item::Progress(progress) => shown.progress(progress),
        });
        app.touch();
        in_a_row += 1;
        if in_a_row % IN_A_ROW == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(None)
}

/// Reads ahead in a thread, as far as the queue holds; it ends when nobody takes the lines any more.
fn read(file: PathBuf) -> mpsc::Receiver<Result<Item, Report>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || match Recording::open(&file) {
        Ok(recording) => {
            for item in recording {
                if sender.blocking_send(item).is_err() {
                    return;
                }
            }
        }
        Err(report) => drop(sender.blocking_send(Err(report))),
    });
    lines
}

/// When the next line is due.
struct Clock {
    due: Instant,
    last: Option<Timestamp>,
}

impl Clock {
    fn new() -> Clock {
        Clock { due: Instant::now(), last: None }
    }

    /// Waits until the time of a line has come.
    async fn wait(
        &mut self,
        app: &App,
        control: &mut watch::Receiver<Control>,
        begun: u64,
        at: Option<Timestamp>,
    ) -> Option<Stopped> {
        let gap = at.zip(self.last).map_or(Duration::ZERO, |(at, last)| gap(last, at));
        self.last = at.max(self.last);
        // Of the gap, what is left, from 1 to 0: a change of the speed concerns the rest of it only.
        let mut left = 1.0;
        loop {
            let now = *control.borrow_and_update();
            if now.begun != begun {
                return Some(Stopped::Again);
            }
            if app.stop().is_cancelled() {
                return Some(Stopped::Ends);
            }
            if now.paused {
                let changed = app.stop().run_until_cancelled(control.changed()).await;
                if !matches!(changed, Some(Ok(()))) {
                    return Some(Stopped::Ends);
                }
                self.due = Instant::now();
                continue;
            }
            let whole = wait_for(gap, now.speed);
            let begins = self.due.max(Instant::now().checked_sub(LATE_MAX).unwrap_or(self.due));
            let due = begins + whole.mul_f64(left);
            if due <= Instant::now() {
                self.due = due;
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {
                    self.due = due;
                    return None;
                }
                () = app.stop().cancelled() => return Some(Stopped::Ends),
                changed = control.changed() => {
                    if changed.is_err() {
                        return Some(Stopped::Ends);
                    }
                    let rest = due.saturating_duration_since(Instant::now());
                    left = if whole.is_zero() { 0.0 } else { (rest.as_secs_f64() / whole.as_secs_f64()).clamp(0.0, 1.0) };
                    self.due = Instant::now();
                }
            }
        }
    }
}

/// The time between two lines; nothing where clocks ran backwards.
fn gap(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// How long a gap takes at a speed.
fn wait_for(gap: Duration, speed: Speed) -> Duration {
    match speed {
        Speed::Fastest => Duration::ZERO,
        Speed::Times(times) => Duration::try_from_secs_f64(gap.as_secs_f64() / times).unwrap_or(WAIT_MAX).min(WAIT_MAX),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn gaps_are_divided_by_the_speed_and_bounded() {
        let second = Duration::from_secs(1);
        assert_eq!(wait_for(second, Speed::Times(10.0)), Duration::from_millis(100));
        assert_eq!(wait_for(second, Speed::Fastest), Duration::ZERO);
        assert_eq!(wait_for(second * 3600, Speed::Times(10.0)), WAIT_MAX);
        assert_eq!(wait_for(Duration::MAX, Speed::Times(0.01)), WAIT_MAX);
        let (earlier, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(2).unwrap());
        assert_eq!((gap(earlier, later), gap(later, earlier)), (second * 2, Duration::ZERO));
    }
}
