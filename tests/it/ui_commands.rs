//! The lines for those who do it by hand, on the page.

use crate::support::cluster::Cluster;
use crate::support::page::Page;

#[tokio::test]
async fn the_lines_are_made_shown_for_any_shell_and_hold_no_password_until_it_is_asked_for() {
    let (from, to) = tokio::join!(Cluster::start(17), Cluster::start(18));
    from.create_database("src").await;
    to.create_database("dst").await;
    let state = tempfile::tempdir().unwrap();
    let (source, target) = (from.superuser_url("src"), to.superuser_url("dst"));
    let password = source.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    let ends = [("NEON_MIGRATE_SOURCE", source.as_str()), ("NEON_MIGRATE_TARGET", target.as_str())];
    let page = Page::open(&["--state-dir", state.path().to_str().unwrap()], &ends).await;
    assert!(page.get("/copy").await.body.contains("Make the commands"));
    assert_eq!(page.post("/commands/ask", &[("step", "copy")]).await.expect(303).location(), "/copy");
    let bash = page.until("/copy", "Why these flags").await;
    assert!(bash.contains("1-dump.sh") && bash.contains("Why these flags") && !bash.contains("Get-Content"), "{bash}");
    let parallel = page.get("/copy?shell=powershell&way=parallel").await.body;
    assert!(parallel.contains("parallel-1-dump.ps1") && parallel.contains("$env:"), "{parallel}");
    let script = page.get("/commands/bash/1-dump.sh").await.expect(200);
    assert!(script.headers["content-disposition"].contains("1-dump.sh") && script.body.contains("pg_dump"));
    let whole = page.get("/commands/bash/all-one-file.sh").await.expect(200).body;
    assert!(whole.starts_with("#!/usr/bin/env bash\nset -euo pipefail") && whole.contains("pg_restore"), "{whole}");
    page.get("/commands/bash/nothing.sh").await.expect(404);
    page.assert_never_said(&password);

    let shown = page.post_scripted("/commands/passwords", &[("step", "copy"), ("shell", "bash")]).await.expect(200);
    let answer: serde_json::Value = serde_json::from_str(&shown.body).unwrap();
    assert!(answer["parts"][0]["html"].as_str().unwrap().contains(&password), "{answer}");
    assert!(!answer["then"][0]["html"].as_str().unwrap().contains(&password), "it is to be taken away again");
    assert_eq!(shown.headers["cache-control"], "no-store");
    assert!(!page.get("/copy").await.body.contains(&password));
    let plain = page.post("/commands/passwords", &[("step", "copy"), ("shell", "powershell")]).await.expect(200).body;
    assert!(plain.contains(&password) && plain.contains("Hide the passwords"), "{plain}");
    page.post("/commands/passwords", &[("step", "copy"), ("shell", "powershell"), ("hide", "true")]).await.expect(303);
}
