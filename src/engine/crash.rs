//! Named places where a test can have this process killed, as if the machine had lost power.
//!
//! `NEON_MIGRATE_CRASH_AT=<point>[:n]` kills the process with SIGKILL when `point` is reached for the n-th time (1 unless given).
//! SIGKILL and not a panic: nothing is unwound, flushed or closed, which is what resuming must cope with. Release builds
//! contain none of this.

/// Marks a place where a crash would be interesting. Cheap enough for a line per task; not meant for a loop over rows.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| std::env::var("NEON_MIGRATE_CRASH_AT").ok().map(|value| parse(&value)));
    if let Some((wanted, count)) = wanted
        && wanted == name
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        kill();
    }
}

/// Marks a place where a crash would be interesting. Release builds do nothing here.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Splits `point:3` into the point and the count; a count that is no number belongs to the name.
#[cfg(debug_assertions)]
fn parse(value: &str) -> (String, u64) {
    let split = value.rsplit_once(':').and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
    split.unwrap_or_else(|| (value.to_owned(), 1))
}

#[cfg(debug_assertions)]
#[allow(unsafe_code)]
fn kill() -> ! {
    // SAFETY: neither call touches memory; `raise` with SIGKILL does not return.
    unsafe {
        libc::raise(libc::SIGKILL);
    }
    std::process::abort()
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::parse;

    #[test]
    fn a_point_may_carry_a_count() {
        assert_eq!(parse("copy.table.done:3"), ("copy.table.done".to_owned(), 3));
        assert_eq!(parse("copy.table.done"), ("copy.table.done".to_owned(), 1));
        assert_eq!(parse("odd:name"), ("odd:name".to_owned(), 1));
    }
}
