//! Step 3 of the page, by plain HTTP on real clusters: the copy that this process runs, what keeps it from beginning, and the lines that do it by hand.

use std::time::Duration;

use crate::support::child::Run;
use crate::support::cluster::Cluster;
use crate::support::page::Page;
use crate::support::postgres::client_bin;

/// The password of both roles; it may be in no answer but the one that asks for it.
const SECRET: &str = "planted-s3cret-4711";

struct Pair {
    old: Cluster,
    new: Cluster,
    source: String,
    target: String,
    state: tempfile::TempDir,
}

impl Pair {
    async fn start() -> Pair {
        let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
        let (source, target) = (old.plain_owner("app").await, new.neon_shaped_target("app").await);
        old.psql(
            "app",
            "set role app_owner; create table \"odd <script>\" (id int primary key, t text);
             insert into \"odd <script>\" select g, md5(g::text) from generate_series(1, 2000) g; create table small (n int); insert into small values (7);",
        )
        .await;
        let state = tempfile::tempdir().unwrap();
        Pair { old, new, source, target, state }
    }

    /// Gives both roles the planted password.
    async fn with_secret(mut self) -> Pair {
        for (cluster, end) in [(&self.old, &mut self.source), (&self.new, &mut self.target)] {
            cluster.psql("app", &format!("alter role app_owner password '{SECRET}'")).await;
            *end = cluster.url("app_owner", SECRET, "app");
        }
        self
    }

    fn state(&self) -> &str {
        self.state.path().to_str().unwrap()
    }

    async fn page(&self) -> Page {
        self.page_of(&[("NEON_MIGRATE_SOURCE", &self.source), ("NEON_MIGRATE_TARGET", &self.target)]).await
    }

    async fn page_of(&self, environment: &[(&str, &str)]) -> Page {
        let bin = client_bin();
        Page::open(&["--state-dir", self.state(), "--pg-bin-dir", bin.to_str().unwrap()], environment).await
    }

    async fn on_target(&self, sql: &str) -> String {
        self.new.query("app", sql).await
    }
}

#[tokio::test]
async fn a_plan_writes_nothing_and_the_copy_after_it_ends_with_a_certificate() {
    let pair = Pair::start().await.with_secret().await;
    let page = pair.page().await;
    page.post("/copy/start", &[("action", "plan")]).await.expect(303);
    page.until("/copy", "Nothing stands in the way.").await;
    assert_eq!(pair.on_target("select count(*) from pg_tables where schemaname = 'public'").await, "0");
    page.post_scripted("/copy/start", &[("action", "copy"), ("method", "strict")]).await.expect(204);
    let end = page.until("/copy", "all rows are equal").await;
    assert!(end.contains("hash of every value&#39;s text") && end.contains("odd &#60;script&#62;"), "{end}");
    assert!(!end.contains("odd <script>"), "a name became markup");
    assert_eq!(pair.on_target("select count(*) from \"odd <script>\"").await, "2000");
    let sent = page.stream_until("/live/copy", None, "event: rows").await;
    assert!(sent.contains("\"all\":true") && sent.contains("Copied, equal"), "{sent}");
    // A comparison since then has a journal of its own, and the copy is shown all the same.
    page.post("/finish/verify", &[("method", "hash")]).await.expect(303);
    page.until("/finish", "Compare again").await;
    let again = pair.page_of(&[]).await;
    let past = again.until("/copy", "all rows are equal").await;
    assert!(past.contains("What was copied"), "{past}");
    let migrations = neon_migrate::engine::state::migrations(std::path::Path::new(pair.state()));
    let log = migrations.iter().find_map(|dir| std::fs::read_to_string(dir.join("run.log")).ok()).unwrap();
    assert!(log.contains("a run began") && !log.contains(SECRET), "{log}");
    page.assert_never_said(SECRET);
    again.assert_never_said(SECRET);
}

#[tokio::test]
async fn a_list_of_tables_is_found_and_sorted_without_scripts() {
    let pair = Pair::start().await;
    let page = pair.page().await;
    page.post("/copy/start", &[("action", "plan")]).await.expect(303);
    page.until("/copy", "Nothing stands in the way.").await;
    let found = page.get("/copy?find=SMALL").await.body;
    assert!(found.contains("1 of 2 tables") && !found.contains("odd &#60;script&#62;</td>"), "{found}");
    let sorted = page.get("/copy?sort=name&order=down").await.body;
    let place = |name: &str| sorted.find(&format!("{name}</td>")).unwrap();
    assert!(place("public.small") < place("&#34;odd &#60;script&#62;&#34;"), "{sorted}");
}

#[tokio::test]
async fn what_is_in_the_target_is_removed_only_by_its_name() {
    let pair = Pair::start().await;
    pair.new.psql("app", "create table precious (n int); insert into precious values (1)").await;
    let page = pair.page().await;
    page.post("/copy/start", &[("action", "copy")]).await.expect(303);
    page.until("/copy", "The target").await;
    page.until("/copy", "precious").await;
    page.post("/copy/start", &[("action", "copy"), ("replace", "on")]).await.expect(303);
    page.until("/copy", "Type the name of the database").await;
    page.post("/copy/confirm", &[("name", "another")]).await.expect(303);
    page.until("/copy", "That is not the name").await;
    assert_eq!(pair.on_target("select count(*) from precious").await, "1");
    page.post("/copy/cancel", &[]).await.expect(303);
    assert!(!page.get("/copy").await.body.contains("Type the name of the database"));
    // What is confirmed is what was looked at, and not what was named meanwhile.
    page.post("/copy/start", &[("action", "copy"), ("replace", "on")]).await.expect(303);
    page.until("/copy", "Type the name of the database").await;
    page.post("/create/target/forget", &[]).await.expect(303);
    page.post("/copy/confirm", &[("name", "app")]).await.expect(303);
    page.until("/copy", "Other databases were named since both ends were looked at.").await;
    assert_eq!(pair.on_target("select count(*) from precious").await, "1");
    page.post("/create/target", &[("connection", &pair.target)]).await.expect(303);
    page.until("/create", "precious").await;
    page.post("/copy/start", &[("action", "copy"), ("replace", "on")]).await.expect(303);
    page.until("/copy", "Type the name of the database").await;
    page.post("/copy/confirm", &[("name", "app")]).await.expect(303);
    page.until("/copy", "all rows are equal").await;
    assert_eq!(pair.on_target("select to_regclass('precious') is null").await, "t");
}

#[tokio::test]
async fn what_cannot_be_chosen_is_said_at_its_field_and_nothing_begins() {
    let pair = Pair::start().await;
    let page = pair.page().await;
    page.post("/copy/start", &[("action", "copy"), ("jobs", "0"), ("exclude", "a.b.c.d")]).await.expect(303);
    let body = page.get("/copy").await.body;
    assert!(body.contains("id=\"copy-jobs-error\"") && body.contains("id=\"copy-exclude-error\""), "{body}");
    assert!(body.contains("a.b.c.d") && body.contains("aria-invalid=\"true\""), "{body}");
    assert_eq!(pair.on_target("select count(*) from pg_tables where schemaname = 'public'").await, "0");
    let nobody = pair.page_of(&[]).await;
    nobody.post("/copy/start", &[("action", "copy")]).await.expect(303);
    nobody.until("/copy", "Enter their connection strings in steps 1 and 2.").await;
}

#[tokio::test]
async fn a_copy_is_paused_and_goes_on_where_it_was() {
    let pair = Pair::start().await;
    pair.old.psql("app", "set role app_owner; create table big as select g as id, repeat(md5(g::text), 8) as t from generate_series(1, 400000) g").await;
    let page = pair.page().await;
    page.post("/copy/start", &[("action", "copy"), ("jobs", "1")]).await.expect(303);
    page.until("/copy", ">Pause</button>").await;
    page.post("/copy/pause", &[]).await.expect(303);
    let paused = page.until("/copy", ">Resume</button>").await;
    assert!(paused.contains("The copy stopped on the way"), "{paused}");
    // Another process that was never told the connection strings says what to do.
    let other = pair.page_of(&[]).await;
    other.until("/copy", "enter the source in <a href=\"/check\">step 1</a>").await;
    page.post("/copy/resume", &[]).await.expect(303);
    page.until("/copy", ">Pause</button>").await;
    page.post("/copy/pause", &[("at_once", "true")]).await.expect(303);
    let stopped = page.until("/copy", ">Resume</button>").await;
    assert!(stopped.contains("Stopping at once: connections are dropped."), "{stopped}");
    page.post("/copy/resume", &[]).await.expect(303);
    let end = page.until("/copy", "all rows are equal").await;
    assert!(end.contains("in 3 runs"), "{end}");
    assert_eq!(pair.on_target("select count(*), count(distinct id) from big").await, "400000|400000");
}

#[tokio::test]
async fn a_copy_of_another_process_is_shown_while_it_runs_and_after_it_was_killed() {
    let pair = Pair::start().await;
    pair.old.psql("app", "set role app_owner; create table big as select g as id, repeat(md5(g::text), 8) as t from generate_series(1, 400000) g").await;
    let run = Run::new(["copy", "--output", "json", "--jobs", "1", "--state-dir", pair.state()])
        .env("NEON_MIGRATE_SOURCE", &pair.source)
        .env("NEON_MIGRATE_TARGET", &pair.target)
        .start();
    run.until_it_says("\"copying\"", Duration::from_secs(60)).await;
    let page = pair.page().await;
    let pid = format!("It is the process with pid {}", run.pid());
    page.until("/copy", &pid).await;
    run.signal(9);
    page.until("/copy", "To go on, choose below what was chosen when it began").await;
    page.post("/copy/start", &[("action", "copy")]).await.expect(303);
    page.until("/copy", "all rows are equal").await;
    assert_eq!(pair.on_target("select count(*), count(distinct id) from big").await, "400000|400000");
}
