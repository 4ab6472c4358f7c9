//! Named places where a test can have this process killed, as if the machine had lost power.
//!
//! `NEON_MIGRATE_CRASH_AT=<point>[:n]` kills the process with SIGKILL when `point` is reached for the n-th time (1 unless given).
//! SIGKILL and not a panic: nothing is unwound, flushed or closed, which is what resuming must cope with.
//!
//! `NEON_MIGRATE_PAUSE_AT=<point>[:n]` makes the process wait there instead, until the file named by `NEON_MIGRATE_PAUSE_FILE` is removed: the process makes
//! it when it arrives. So a test can change a server at an exact moment. Release builds contain none of this.

/// Marks a place where a crash would be interesting. Cheap enough for a line per task; not meant for a loop over rows.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;

    static CRASH: OnceLock<Option<Trap>> = OnceLock::new();
    static PAUSE: OnceLock<Option<Trap>> = OnceLock::new();

    if PAUSE.get_or_init(|| Trap::of("NEON_MIGRATE_PAUSE_AT")).as_ref().is_some_and(|trap| trap.is_sprung(name)) {
        pause();
    }
    if CRASH.get_or_init(|| Trap::of("NEON_MIGRATE_CRASH_AT")).as_ref().is_some_and(|trap| trap.is_sprung(name)) {
        kill();
    }
}

/// A point that is waited for, and how often it was passed.
#[cfg(debug_assertions)]
struct Trap {
    name: String,
    count: u64,
    hits: std::sync::atomic::AtomicU64,
}

#[cfg(debug_assertions)]
impl Trap {
    fn of(variable: &str) -> Option<Trap> {
        let (name, count) = parse(&std::env::var(variable).ok()?);
        Some(Trap { name, count, hits: std::sync::atomic::AtomicU64::new(0) })
    }

    fn is_sprung(&self, name: &str) -> bool {
        self.name == name && self.hits.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == self.count
    }
}

/// Waits until the test has done its part, at most two minutes.
#[cfg(debug_assertions)]
fn pause() {
    use std::time::{Duration, Instant};

    let Some(file) = std::env::var_os("NEON_MIGRATE_PAUSE_FILE") else { return };
    let arrived = std::fs::write(&file, b"");
    let started = Instant::now();
    tokio::task::block_in_place(|| {
        while arrived.is_ok() && std::path::Path::new(&file).exists() && started.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
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
