//! A recording on the page: it ends as it ended, it can be steered, and nothing can be done in it.

use std::time::Duration;

use neon_migrate::engine::recording::Recording;
use serde_json::Value;

use crate::support::child::Run;
use crate::support::page::Page;
use crate::support::recording::{folded, recording, write};

struct Played {
    page: Page,
    home: tempfile::TempDir,
}

async fn played(tables: u32, speed: &str) -> Played {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("migration.jsonl");
    write(&file, &recording(tables));
    let state = home.path().join("state");
    let args = ["--replay", file.to_str().unwrap(), "--speed", speed, "--state-dir", state.to_str().unwrap()];
    // What the environment names is no part of a recording.
    let page = Page::open(&args, &[("NEON_MIGRATE_SOURCE", "postgresql://u:planted-pw-3@planted-host/d")]).await;
    Played { page, home }
}

async fn view(page: &Page) -> Value {
    let report = page.get("/finish/report.json").await.expect(200);
    assert!(report.headers["content-disposition"].contains("neon-migrate-recording.json"), "{:?}", report.headers);
    serde_json::from_str::<Value>(&report.body).unwrap()["view"].take()
}

#[tokio::test]
async fn ten_thousand_tables_end_as_they_ended() {
    let Played { page, home } = played(10_000, "max").await;
    page.until("/check", "The recording is over.").await;
    let told = view(&page).await;
    let items = Recording::open(&home.path().join("migration.jsonl")).unwrap().map(Result::unwrap);
    // As text and back, as the page's was.
    let folded: Value = serde_json::from_str(&serde_json::to_string(&folded(items)).unwrap()).unwrap();
    assert_eq!(told["tables"].as_array().map(Vec::len), Some(10_000));
    assert!(told == folded, "the page shows another end than the recording has");
    for path in ["/check", "/create", "/copy", "/replicate", "/finish"] {
        let body = page.get(path).await.expect(200).body;
        assert!(body.len() < 400_000, "{path} has {} bytes", body.len());
        assert!(body.contains("This is a recording") && !body.contains("<script>alert"), "{path}");
    }
    let check = page.get("/check").await.body;
    assert!(check.contains("2 tables have no primary key.") && check.contains("replica identity full"), "{check}");
    page.get("/finish/report.html").await.expect(200);
    page.get("/finish/bundle.jsonl").await.expect(404);
    page.assert_never_said("planted");
}

#[tokio::test]
async fn it_is_steered_and_nothing_else_can_be_done() {
    let Played { mut page, home: _home } = played(50, "0.01").await;
    let begun = page.until("/copy", "Playing: ").await;
    assert!(begun.contains("It is played at 0.01×") && begun.contains("action=\"/replay\""), "{begun}");
    let forms: Vec<&str> = begun.split("<form").skip(1).map(|form| form.split('>').next().unwrap()).collect();
    assert!(forms.iter().all(|form| form.contains("\"/replay\"") || form.contains("\"/share\"")), "{forms:?}");
    for path in ["/copy/start", "/create/target", "/create/key", "/check/run"] {
        let refused = page.post(path, &[]).await.expect(403);
        assert!(refused.body.contains("This is a recording"), "{path}: {}", refused.body);
    }

    let wish = async |page: &Page, wish: &str| page.post("/replay", &[("wish", wish), ("step", "copy")]).await;
    assert_eq!(wish(&page, "pause").await.expect(303).location(), "/copy");
    page.until("/copy", "Paused").await;
    wish(&page, "nonsense").await.expect(303);
    wish(&page, "max").await.expect(303);
    let paused = page.get("/copy").await.body;
    assert!(paused.contains("Paused") && paused.contains("as fast as possible"), "{paused}");
    page.post_scripted("/replay", &[("wish", "continue"), ("step", "copy")]).await.expect(204);
    page.until("/copy", "The recording is over.").await;
    assert_eq!(view(&page).await["ended"]["exit"], "done");

    wish(&page, "0.01").await.expect(303);
    wish(&page, "again").await.expect(303);
    page.until("/copy", "Playing").await;
    assert!(view_is_young(&page).await, "it did not begin again");

    let share = page.post("/share", &[("role", "watcher")]).await.expect(200).body;
    let link = share.split("<pre tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    page.cookie = page.enter(&link).await.expect("the link lets a watcher in");
    let watched = page.get("/copy").await.expect(200).body;
    assert!(watched.contains("This is a recording") && !watched.contains("<form"), "{watched}");
    page.post("/replay", &[("wish", "pause"), ("step", "copy")]).await.expect(403);
}

async fn view_is_young(page: &Page) -> bool {
    let report = page.get("/finish/report.json").await;
    // Before the first event there is nothing to report.
    report.status == 404 || serde_json::from_str::<Value>(&report.body).is_ok_and(|report| report["view"]["ended"].is_null())
}

#[tokio::test]
async fn the_stream_brings_it_while_it_is_played() {
    let Played { page, home: _home } = played(50, "100").await;
    let sent = page.stream_until("/live/check", None, "The recording is over.").await;
    assert!(sent.matches("Playing: 24 November 2026").count() > 1, "it came in one piece:\n{sent}");
}

#[tokio::test]
async fn what_is_no_recording_is_refused_before_a_page_is_served() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("broken.jsonl");
    write(&file, &recording(3));
    let lines = std::fs::read_to_string(&file).unwrap();
    assert!(Recording::open(&file).unwrap().all(|item| item.is_ok()));
    std::fs::write(&file, format!("{lines}not a line\n")).unwrap();
    let run = Run::new(["ui", "--no-open", "--port", "0", "--replay", file.to_str().unwrap()]);
    let refused = run.finish(Duration::from_secs(30)).await.expect_code(2);
    let number = lines.lines().count() + 1;
    assert!(refused.stderr.contains(&format!("Line {number} of the recording")), "{}", refused.stderr);
}
