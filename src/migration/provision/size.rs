//! How large the compute is: the rule, and the limits that Neon sets.
//!
//! A compute unit is about 4 GB of memory. The *smallest* size decides how much of it an index build gets (67 MB at 1 CU, 134 at 2, 268 at 4,
//! 537 at 8) and how many connections there are, so it grows with the database; the largest leaves Neon room while rows and indexes
//! arrive together. Neon's limits: at least 0.25; up to 16 the two may differ by 8 at most; above 16 there are only fixed sizes.

use super::account::Limits;
use crate::engine::report::{Exit, Report};

/// Databases below so many bytes get from so many to so many compute units.
const RULE: [(u64, f64, f64); 4] = [(1 << 30, 0.25, 2.0), (10 << 30, 1.0, 4.0), (100 << 30, 2.0, 8.0), (500 << 30, 4.0, 12.0)];
/// What larger ones get.
const LARGEST: (f64, f64) = (8.0, 16.0);
/// What one of unknown size gets.
const UNKNOWN: (f64, f64) = (1.0, 4.0);

const CU_MIN: f64 = 0.25;
const SPAN_MAX: f64 = 8.0;
const AUTOSCALED_MAX: f64 = 16.0;

/// From so many to so many compute units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) min: f64,
    pub(super) max: f64,
}

/// The sizes for a database, within what is asked for and what the plan allows.
///
/// # Errors
/// What is asked for is outside Neon's limits.
pub(super) fn choose(bytes: Option<u64>, wanted: (Option<f64>, Option<f64>), limits: Limits) -> Result<Range, Report> {
    let by_rule = rule(bytes, limits);
    let range = match wanted {
        (None, None) => by_rule,
        (Some(min), Some(max)) => Range { min, max },
        (Some(min), None) if min > AUTOSCALED_MAX => Range { min, max: min },
        (None, Some(max)) if max > AUTOSCALED_MAX => Range { min: max, max },
        (Some(min), None) => Range { min, max: by_rule.max.min(min + SPAN_MAX).min(AUTOSCALED_MAX).max(min) },
        (None, Some(max)) => Range { min: by_rule.min.max(max - SPAN_MAX).min(max), max },
    };
    check(range).map(|()| range)
}

fn rule(bytes: Option<u64>, limits: Limits) -> Range {
    let (min, max) = match bytes {
        None => UNKNOWN,
        Some(bytes) => RULE.iter().find(|(below, ..)| bytes < *below).map_or(LARGEST, |(_, min, max)| (*min, *max)),
    };
    let cap = limits.cu_max.unwrap_or(f64::INFINITY).max(CU_MIN);
    Range { min: min.min(cap), max: max.min(cap) }
}

fn check(range: Range) -> Result<(), Report> {
    let Range { min, max } = range;
    let refused = |why: &str| {
        let message = format!("No compute can range from {min} to {max} compute units.");
        Err(Report::new("neon-setting", Exit::Usage, message).with_cause(why).with_fix("Choose others with --min-cu and --max-cu."))
    };
    // Written so that what is no number at all is refused too.
    if !(min >= CU_MIN && max.is_finite()) {
        return refused("The smallest compute has 0.25 compute units.");
    }
    if min > max {
        return refused("The smallest size is above the largest.");
    }
    if max > AUTOSCALED_MAX && min < max {
        return refused("Above 16 compute units there are fixed sizes only: both must be the same.");
    }
    if max - min > SPAN_MAX {
        return refused("They may differ by 8 at most.");
    }
    Ok(())
}

/// A size for people.
pub(crate) fn human(bytes: u64) -> String {
    let (unit, name) = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit)
        .unwrap_or((1 << 10, "KiB"));
    format!("{:.1} {name}", bytes as f64 / unit as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const NO_LIMITS: Limits = Limits { free: false, cu_max: None };

    fn range(min: f64, max: f64) -> Range {
        Range { min, max }
    }

    #[test]
    fn the_compute_grows_with_the_database() {
        let of = |bytes: u64| choose(Some(bytes), (None, None), NO_LIMITS).unwrap();
        assert_eq!(of(0), range(0.25, 2.0));
        assert_eq!(of(5 << 30), range(1.0, 4.0));
        assert_eq!(of(42 << 30), range(2.0, 8.0));
        assert_eq!(of(100 << 30), range(4.0, 12.0));
        assert_eq!(of(4 << 40), range(8.0, 16.0));
        assert_eq!(choose(None, (None, None), NO_LIMITS).unwrap(), range(1.0, 4.0));
    }

    #[test]
    fn the_plan_caps_the_rule() {
        let free = Limits { free: true, cu_max: Some(2.0) };
        assert_eq!(choose(Some(42 << 30), (None, None), free).unwrap(), range(2.0, 2.0));
        assert_eq!(choose(Some(0), (None, None), free).unwrap(), range(0.25, 2.0));
    }

    #[test]
    fn one_bound_moves_the_other() {
        let of = |min, max| choose(Some(42 << 30), (min, max), NO_LIMITS).map_err(|report| report.causes[0].clone());
        assert_eq!(of(Some(12.0), None), Ok(range(12.0, 12.0)));
        assert_eq!(of(Some(0.5), None), Ok(range(0.5, 8.0)));
        assert_eq!(of(None, Some(1.0)), Ok(range(1.0, 1.0)));
        assert_eq!(of(None, Some(16.0)), Ok(range(8.0, 16.0)));
        assert_eq!(of(None, Some(32.0)), Ok(range(32.0, 32.0)));
        assert_eq!(of(Some(24.0), None), Ok(range(24.0, 24.0)));
        assert!(of(Some(f64::NAN), None).is_err() && of(None, Some(f64::NAN)).is_err());
        for (min, max) in
            [(0.1, 1.0), (4.0, 2.0), (1.0, 10.0), (10.0, 20.0), (f64::NAN, 1.0), (1.0, f64::NAN), (1.0, f64::INFINITY)]
        {
            assert!(of(Some(min), Some(max)).is_err(), "{min} to {max}");
        }
    }

    proptest! {
        #[test]
        fn the_rule_never_breaks_neons_limits(bytes in proptest::option::of(any::<u64>()), cap in proptest::option::of(0.0..64.0_f64)) {
            let limits = Limits { free: false, cu_max: cap };
            let range = choose(bytes, (None, None), limits).unwrap();
            prop_assert!(range.max <= cap.unwrap_or(64.0).max(0.25));
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([0, 5 << 20, 42 << 30, 3 << 40].map(human), ["0.0 KiB", "5.0 MiB", "42.0 GiB", "3.0 TiB"]);
    }
}
