//! The page in a real browser: our binary serves it, and a script of `tests/ui` tells the story with Chromium.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::child::{Run, Running};
use super::poll;

/// How long one story may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How long it may take until the page is served.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A `neon-migrate ui` that serves its page. Dropping it kills the process.
pub struct Ui {
    pub running: Running,
    /// The address with the one-time token.
    pub url: String,
}

impl Ui {
    /// The command with a state directory of its own, and more words.
    pub fn command(state: &Path, more: &[&str]) -> Run {
        let words = ["ui", "--no-open", "--port", "0", "--state-dir", state.to_str().unwrap()];
        Run::new(words.iter().chain(more))
    }

    /// Starts it, and waits until it says where the page is.
    pub async fn start(run: Run) -> Ui {
        let mut running = run.start();
        let address = |said: &str| said.lines().find(|line| line.starts_with("http")).map(str::to_owned);
        let url = poll::until(START_LIMIT, "the page is served", async || {
            let ended = running.ends_within(Duration::ZERO).await;
            assert!(ended.is_none(), "it ended with {ended:?}\n{}\n{}", running.stdout(), running.stderr());
            address(&running.stdout())
        });
        let url = url.await;
        Ui { running, url }
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        let authority = self.url.find("://").unwrap() + 3;
        self.url[authority..].find('/').map_or(self.url.as_str(), |end| &self.url[..authority + end])
    }

    /// Tells a story of `tests/ui` about this page; none of `secrets` may be sent to the browser.
    pub async fn tell(&self, script: &str, given: &[(&str, &str)], secrets: &[&str]) {
        let secrets = serde_json::to_string(secrets).unwrap();
        let own = [("UI_URL", self.url.as_str()), ("UI_SECRETS", secrets.as_str())];
        let given: Vec<_> = own.iter().chain(given).copied().collect();
        let failed = tell(script, &given).await;
        if let Err(words) = failed {
            panic!("{script}: {words}\nthe program said:\n{}\n{}", self.running.stdout(), self.running.stderr());
        }
    }
}

/// Runs a script of `tests/ui` to its end, with these variables; what it said if it failed.
///
/// # Errors
/// It failed, or did not end in time.
pub async fn tell(script: &str, given: &[(&str, &str)]) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    assert!(root.join(".cache/ui/.stamp").exists(), "what drives the browser is missing: run scripts/fetch-ui-tools");
    // The profiles of the browser are in there.
    let temporary = tempfile::tempdir().unwrap();
    let mut node = tokio::process::Command::new("node");
    node.arg(root.join("tests/ui").join(script)).envs(given.iter().copied()).env("TMPDIR", temporary.path());
    node.stdin(Stdio::null()).kill_on_drop(true);
    let Ok(done) = tokio::time::timeout(LIMIT, node.output()).await else {
        return Err(format!("the story did not end within {LIMIT:?}"));
    };
    let done = done.expect("node is installed");
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{}{}", done.status, String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}
