//! How fast calls are repeated, and for how long.

use std::time::{Duration, Instant};

use rand::Rng;

/// The times of a client. The limits are Neon's: 700 calls in a minute, and operations that take seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often one call is tried at most, the first time included.
    pub attempts_max: u32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause that we choose ourselves.
    pub pause_max: Duration,
    /// No attempt begins later than this after the first one failed; `Retry-After` is obeyed within it.
    pub total_max: Duration,
    /// How long one call may take.
    pub request: Duration,
    /// The time between two questions about an operation.
    pub poll: Duration,
    /// How long a project's operations may take.
    pub operations: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            attempts_max: 12,
            first: Duration::from_millis(250),
            pause_max: Duration::from_secs(15),
            total_max: Duration::from_secs(120),
            request: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            operations: Duration::from_secs(300),
        }
    }
}

impl Pace {
    /// The default; a debug build takes three numbers of milliseconds from `NEON_MIGRATE_API_PACE` (the longest pause, the limit of a call, the
    /// limit of operations), so that a test need not wait for minutes.
    pub fn of_process() -> Pace {
        let pace = Pace::default();
        #[cfg(debug_assertions)]
        if let Ok(text) = std::env::var("NEON_MIGRATE_API_PACE") {
            let mut times = text.split(',').filter_map(|number| number.parse().ok()).map(Duration::from_millis);
            if let (Some(pause), Some(request), Some(operations)) = (times.next(), times.next(), times.next()) {
                return Pace { first: pause, pause_max: pause, poll: pause, request, operations, ..pace };
            }
        }
        pace
    }
}

/// Where the attempts of one call stand.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    pace: &'a Pace,
    failed: u32,
    first_failure: Option<Instant>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(pace: &'a Pace) -> Self {
        Attempts { pace, failed: 0, first_failure: None }
    }

    /// The present attempt has failed; gives the pause before the next one, or nothing if it was the last. The pause is drawn between half and
    /// the whole of the schedule's, so that those who were refused together do not come back together; it is never shorter than
    /// what the API asks for.
    pub(super) fn pause(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        self.failed += 1;
        let spent = self.first_failure.get_or_insert_with(Instant::now).elapsed();
        if self.failed >= self.pace.attempts_max {
            return None;
        }
        let doubled = self.pace.first.saturating_mul(2_u32.saturating_pow(self.failed - 1)).min(self.pace.pause_max);
        let drawn = doubled.mul_f64(rand::rng().random_range(0.5..=1.0));
        let pause = retry_after.map_or(drawn, |asked| asked.saturating_add(drawn));
        (spent.saturating_add(pause) <= self.pace.total_max).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds_and_end() {
        let pace = Pace::default();
        let mut attempts = Attempts::new(&pace);
        let mut pauses = Vec::new();
        while let Some(pause) = attempts.pause(None) {
            pauses.push(pause);
        }
        assert_eq!(pauses.len(), 11);
        for (earlier, pause) in pauses.iter().enumerate() {
            let whole = (pace.first * 2_u32.pow(u32::try_from(earlier).unwrap())).min(pace.pause_max);
            assert!(*pause >= whole / 2 && *pause <= whole, "{pauses:?}");
        }
    }

    #[test]
    fn what_the_api_asks_for_is_obeyed_within_the_limit() {
        let pace = Pace::default();
        let pause = Attempts::new(&pace).pause(Some(Duration::from_secs(20))).unwrap();
        assert!(pause >= Duration::from_secs(20) && pause <= Duration::from_secs(21), "{pause:?}");
        assert_eq!(Attempts::new(&pace).pause(Some(Duration::from_secs(3600))), None);
        assert_eq!(Attempts::new(&pace).pause(Some(Duration::MAX)), None);
    }
}
