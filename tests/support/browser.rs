//! The page in a real browser: our binary serves it, and a script of `tests/ui` tells the story with Chromium.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::child::{Run, Running};
use super::poll;

/// How long one story may take.
const LIMIT: Duration = Duration::from_secs(280);
/// How long it may take until the page is served.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A `neon-migrate ui` that serves its page. Dropping it kills the process.
pub struct Ui {
    pub running: Running,
    /// The address with the one-time token.
    pub url: String,
}

impl Ui {
    /// The command with a state directory of its own, and more words; at any port that is free unless they name one.
    pub fn command(state: &Path, more: &[&str]) -> Run {
        let port: &[&str] = if more.contains(&"--port") || more.contains(&"--listen") { &[] } else { &["--port", "0"] };
        let words = ["ui", "--no-open", "--state-dir", state.to_str().unwrap()];
        Run::new(words.iter().chain(port).chain(more))
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
        self.tell_with(script, given, secrets, async |cue| panic!("the story asks for {cue}")).await;
    }

    /// As [`Ui::tell`], with a story that has something done outside the browser: `await cue('name')` there waits for `act("name")` here, and gives
    /// what that answers.
    pub async fn tell_with(&self, script: &str, given: &[(&str, &str)], secrets: &[&str], act: impl AsyncFnMut(&str) -> String) {
        let secrets = serde_json::to_string(secrets).unwrap();
        let own = [("UI_URL", self.url.as_str()), ("UI_SECRETS", secrets.as_str())];
        let given: Vec<_> = own.iter().chain(given).copied().collect();
        let failed = tell_with(script, &given, act).await;
        if let Err(words) = failed {
            panic!("{script}: {words}\nthe program said:\n{}\n{}", self.running.stdout(), self.running.stderr());
        }
    }
}

/// Tells a story of `tests/ui`, and does what it asks for meanwhile.
///
/// # Errors
/// It failed, or did not end in time.
pub async fn tell_with(script: &str, given: &[(&str, &str)], mut act: impl AsyncFnMut(&str) -> String) -> Result<(), String> {
    let cues = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", cues.local_addr().unwrap());
    let given: Vec<_> = given.iter().copied().chain([("UI_CUES", address.as_str())]).collect();
    let mut story = std::pin::pin!(tell(script, &given));
    loop {
        let mut stream = tokio::select! {
            ended = &mut story => return ended,
            asked = cues.accept() => BufReader::new(asked.unwrap().0),
        };
        let mut request = String::new();
        stream.read_line(&mut request).await.unwrap();
        let cue = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let answer = act(&cue).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes()).await.unwrap();
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
    let told = temporary.path().join("told");
    let output = std::fs::File::create(&told).unwrap();
    let mut node = tokio::process::Command::new("node");
    node.arg(root.join("tests/ui").join(script)).envs(given.iter().copied()).env("TMPDIR", temporary.path());
    node.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, node.status()).await.map(|status| status.expect("node is installed"));
    if ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Ok(());
    }
    let how = ended.map_or_else(|_| format!("the story did not end within {LIMIT:?}"), |status| status.to_string());
    Err(format!("{how}\n{}", std::fs::read_to_string(told).unwrap_or_default()))
}
