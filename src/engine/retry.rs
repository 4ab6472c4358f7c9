//! Trying again what may pass: with growing pauses, a limit on attempts and on time, and an event for every attempt that failed.

use std::time::{Duration, Instant};

use rand::Rng;

use super::event::EventKind;
use super::report::Report;
use super::step::{Cx, ToReport};

/// A schedule of attempts: each pause is up to twice as long as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// How many attempts there are at most, the first included.
    pub attempts_max: u32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// No attempt begins later than this after the first one began.
    pub total_max: Duration,
}

impl Backoff {
    /// For a server that restarts or a network that fails for a moment: about five minutes.
    pub const SERVER: Backoff = Backoff {
        attempts_max: 12,
        first: Duration::from_millis(500),
        pause_max: Duration::from_secs(60),
        total_max: Duration::from_secs(300),
    };

    /// [`Backoff::SERVER`]; a debug build takes a limit in milliseconds from `NEON_MIGRATE_RETRY_MS`, so that a test need not wait for minutes.
    pub fn server() -> Backoff {
        #[cfg(debug_assertions)]
        if let Some(limit) = std::env::var("NEON_MIGRATE_RETRY_MS").ok().and_then(|value| value.parse().ok()) {
            let total_max = Duration::from_millis(limit);
            return Backoff {
                attempts_max: 1000,
                first: Duration::from_millis(50),
                pause_max: Duration::from_millis(500),
                total_max,
            };
        }
        Backoff::SERVER
    }

    /// The pause after attempt number `attempt` (from 1) has failed, or nothing if it was the last. The pause is drawn between half
    /// and the whole of the schedule's, so that those who failed together do not come back together.
    pub fn pause(&self, attempt: u32, since_first: Duration, rng: &mut impl Rng) -> Option<Duration> {
        if attempt >= self.attempts_max {
            return None;
        }
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        let pause = doubled.min(self.pause_max).mul_f64(rng.random_range(0.5..=1.0));
        (since_first.saturating_add(pause) <= self.total_max).then_some(pause)
    }
}

/// Where a schedule of attempts stands.
///
/// Time counts from the first failure, not from the beginning: work that went well for hours has all attempts left when it fails. An
/// attempt counts for at most the longest pause, because it may have worked for hours before it failed, too.
#[derive(Debug)]
pub struct Attempts {
    backoff: Backoff,
    failed: u32,
    spent: Duration,
    begun: Instant,
}

impl Attempts {
    /// Before the first attempt, which begins now.
    pub fn new(backoff: Backoff) -> Self {
        Attempts { backoff, failed: 0, spent: Duration::ZERO, begun: Instant::now() }
    }

    /// The present attempt has come further than those before: what has failed so far does not count.
    pub fn begin_anew(&mut self) {
        (self.failed, self.spent) = (0, Duration::ZERO);
    }

    /// How many attempts have failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// The present attempt has failed; gives the pause before the next one, or nothing if it was the last.
    pub fn pause(&mut self) -> Option<Duration> {
        if self.failed > 0 {
            self.spent += self.begun.elapsed().min(self.backoff.pause_max);
        }
        self.failed += 1;
        let pause = self.backoff.pause(self.failed, self.spent, &mut rand::rng())?;
        self.spent += pause;
        Some(pause)
    }

    /// Waits, and begins the next attempt.
    pub async fn wait(&mut self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.begun = Instant::now();
    }
}

/// Attempts `work` until it succeeds, fails for good, or the schedule ends; gives its last error then. `work` is handed the number of the
/// attempt, from 1. A run that is to stop begins no further attempt, and says at once that it was interrupted.
pub async fn retry<T, E, F>(
    cx: &Cx,
    what: &str,
    backoff: &Backoff,
    is_transient: impl Fn(&E) -> bool,
    mut work: impl FnMut(u32) -> F,
) -> Result<T, E>
where
    E: ToReport + From<Report>,
    F: Future<Output = Result<T, E>>,
{
    let mut attempts = Attempts::new(*backoff);
    loop {
        let error = match work(attempts.failed() + 1).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(pause) = attempts.pause().filter(|_| is_transient(&error)) else { return Err(error) };
        cx.emit(EventKind::Retrying {
            what: what.to_owned(),
            attempt: attempts.failed(),
            attempts_max: backoff.attempts_max,
            delay_ms: pause.as_millis() as u64,
            reason: error.to_report().message,
        })
        .await?;
        if cx.stop().run_until_cancelled(attempts.wait(pause)).await.is_none() {
            return Err(cx.safe_point().err().map_or(error, E::from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds_and_end() {
        let backoff = Backoff::SERVER;
        let mut rng = rand::rng();
        let mut waited = Duration::ZERO;
        for attempt in 1..backoff.attempts_max {
            let Some(pause) = backoff.pause(attempt, waited, &mut rng) else { break };
            let whole = (backoff.first * 2_u32.pow(attempt - 1)).min(backoff.pause_max);
            assert!(pause >= whole / 2 && pause <= whole, "attempt {attempt}: {pause:?}");
            waited += pause;
        }
        assert!(waited <= backoff.total_max);
        assert_eq!(backoff.pause(backoff.attempts_max, Duration::ZERO, &mut rng), None);
        assert_eq!(backoff.pause(1, backoff.total_max, &mut rng), None);
    }
}
