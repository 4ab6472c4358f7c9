//! The report of a check as a file: opened in a real browser, it loads nothing and says nothing wrong.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::child::Run;
use crate::support::cluster::Cluster;

const LIMIT: Duration = Duration::from_secs(90);

/// Opens a file in Chromium without a window; gives what it drew as a document, what it said, and the log of its network.
async fn open(file: &Path, profile: &Path) -> (String, String, String) {
    let net = profile.join("net.json");
    let mut chromium = tokio::process::Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-sync",
        "--enable-logging=stderr",
        "--v=0",
    ]);
    chromium.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--dump-dom",
        "--net-log-capture-mode=Default",
    ]);
    chromium.arg(format!("--user-data-dir={}", profile.display())).arg(format!("--log-net-log={}", net.display()));
    chromium.arg(format!("file://{}", file.display())).stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(LIMIT, chromium.output()).await.expect("the browser ends").expect("chromium is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&done.stdout), text(&done.stderr), std::fs::read_to_string(net).unwrap())
}

/// The addresses that the browser asked for, except its own.
fn requested(net: &str) -> Vec<String> {
    let mut found: Vec<String> = net
        .split("\"url\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .filter(|url| !url.starts_with("chrome") && !url.starts_with("data:"))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test]
async fn the_report_opens_in_a_browser_and_loads_nothing() {
    let cluster = Cluster::start(17).await;
    cluster.load_odd("src").await;
    cluster.psql("src", "create table public.\"<script>alert(1)</script><img src=x onerror=alert(2)>\" (n int)").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.html");
    let outcome = Run::new(["check", "--live", "--report", file.to_str().unwrap()])
        .env("NEON_MIGRATE_SOURCE", cluster.superuser_url("src"))
        .finish(LIMIT)
        .await
        .expect_code(3);
    assert!(outcome.stdout.contains("The report was written to"), "{}", outcome.stdout);
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.len() < 400_000 && !written.contains("<script") && !written.contains("<img"), "{}", written.len());
    assert!(!written.contains("http://") && !written.contains("https://"), "it refers to something");
    let (drawn, said, net) = open(&file, &dir.path().join("profile")).await;
    assert!(drawn.contains("Is src ready to move?") && drawn.contains("&lt;script&gt;alert(1)"), "{drawn}");
    assert!(!said.contains("CONSOLE"), "{said}");
    let asked: Vec<String> = requested(&net).into_iter().filter(|url| !url.starts_with("file:")).collect();
    assert!(asked.is_empty(), "the report asks for {asked:?}");
}

#[tokio::test]
async fn markdown_and_json_say_the_same() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("src").await;
    cluster.psql("src", "create table public.\"a|b `c`\" (n int)").await;
    let dir = tempfile::tempdir().unwrap();
    let (markdown, json) = (dir.path().join("r.md"), dir.path().join("r.json"));
    let args = ["check", "--live", "--report", markdown.to_str().unwrap(), "--report", json.to_str().unwrap()];
    Run::new(args).env("NEON_MIGRATE_SOURCE", cluster.superuser_url("src")).finish(LIMIT).await.expect_code(3);
    let text = std::fs::read_to_string(markdown).unwrap();
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert!(text.contains("## Blockers (1)") && text.contains("### F1: ") && text.contains("a\\|b \\`c\\`"), "{text}");
    assert!(text.contains("alter table \"public\".\"a|b `c`\" replica identity full;"), "what is pasted stays as it is: {text}");
    for step in report["plan"].as_array().unwrap() {
        assert!(text.contains(step["title"].as_str().unwrap()));
    }
}
