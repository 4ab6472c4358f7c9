//! The one way to wait for a condition in a test: ask again until it holds, up to a limit.

use std::time::{Duration, Instant};

/// Asks `ready` until it answers `Some`, and returns the answer. Panics with `what` when `limit` has passed.
pub async fn until<T>(limit: Duration, what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ready().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
}

/// As [`until`], for a plain yes or no.
pub async fn until_true(limit: Duration, what: &str, mut ready: impl AsyncFnMut() -> bool) {
    until(limit, what, async || ready().await.then_some(())).await;
}
