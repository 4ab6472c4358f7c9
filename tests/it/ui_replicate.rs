//! Steps 4 and 5 of the page on real clusters, without scripts: the lines that it shows are run in a shell, what it says changes, and at the end
//! nothing is left.

use std::process::Stdio;
use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::page::Page;
use crate::support::roles::OWNER_PASSWORD;
use crate::support::{poll, postgres};

const LIMIT: Duration = Duration::from_secs(90);
const SOURCE_PASSWORD: &str = "planted-s0urce";

const FILL: &str = r#"create table "<b>It's</b>" (id serial primary key, v text);
    insert into "<b>It's</b>" (v) select 'row ' || n from generate_series(1, 500) n;
    create table big (id int primary key, v text); insert into big select n, repeat('x', 200) from generate_series(1, 2000) n;
    create sequence numbers; alter table "<b>It's</b>" owner to mover; alter table big owner to mover; alter sequence numbers owner to mover;"#;

struct Shown {
    old: Cluster,
    new: Cluster,
    page: Page,
    _state: tempfile::TempDir,
}

impl Shown {
    async fn start() -> Shown {
        let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
        old.psql("postgres", &format!("create role mover login replication password '{SOURCE_PASSWORD}'")).await;
        old.psql("postgres", "create database shop owner mover").await;
        old.psql("shop", FILL).await;
        let (source, target) = (old.url("mover", SOURCE_PASSWORD, "shop"), new.neon_shaped_target("shop").await);
        let state = tempfile::tempdir().unwrap();
        let bin = postgres::client_bin();
        let args = ["--state-dir", state.path().to_str().unwrap(), "--pg-bin-dir", bin.to_str().unwrap()];
        let page = Page::open(&args, &[("NEON_MIGRATE_SOURCE", &source), ("NEON_MIGRATE_TARGET", &target)]).await;
        Shown { old, new, page, _state: state }
    }

    /// Runs lines of the page as somebody would who copies them into a shell.
    async fn paste(&self, html: &str, step: &str) {
        let lines = format!("{}\n{}", code(html, "part-connections"), code(html, &format!("hand-{step}")));
        let dir = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new("bash");
        command.args(["-euc", &lines]).env_clear().current_dir(dir.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", format!("{}:/usr/bin:/bin", postgres::client_bin().display())).env("HOME", dir.path());
        command.env("SOURCE_PASSWORD", SOURCE_PASSWORD).env("TARGET_PASSWORD", OWNER_PASSWORD);
        let done = tokio::time::timeout(LIMIT, command.output()).await.expect("the lines end").unwrap();
        assert!(done.status.success(), "{step}: {}\n{lines}", String::from_utf8_lossy(&done.stderr));
    }
}

/// The text of the first lines to copy after the element of this id.
fn code(html: &str, id: &str) -> String {
    let (_, after) = html.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("there is no {id} in\n{html}"));
    let (_, after) = after.split_once("<pre tabindex=\"0\">").unwrap();
    let text = after.split("</pre>").next().unwrap();
    let entities =
        [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\"")];
    entities
        .iter()
        .fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

#[tokio::test]
async fn replication_is_set_up_with_the_page_s_lines_watched_and_ended() {
    let shown = Shown::start().await;
    let page = &shown.page;
    page.until("/replicate", "Nothing is set up yet.").await;
    page.post("/commands/ask", &[("step", "replicate")]).await.expect(303);
    let html = page.until("/replicate", "id=\"hand-live-1-publication\"").await;
    assert!(html.contains("<meta http-equiv=\"refresh\""), "a page without scripts loads itself again");
    shown.paste(&html, "live-1-publication").await;
    page.stream_until("/live/replicate", None, "The publication lr_publication has 2 tables.").await;
    page.until("/replicate", "Next, create the definitions").await;
    set_up(&shown, &html).await;
    end(&shown).await;
    compare(&shown).await;
    reveal(&shown).await;
}

async fn set_up(shown: &Shown, html: &str) {
    let page = &shown.page;
    // What the lines of a step leave behind in a folder is used by the same lines only.
    shown.paste(html, "live-2-schema").await;
    page.until("/replicate", "Next, subscribe").await;
    shown.paste(html, "live-3-subscription").await;
    page.until("/replicate", "All 2 tables follow the source.").await;
    page.until("/replicate", "caught up").await;
    page.until("/finish", "It is set up, and has to be turned off at the end.").await;
    let mut holder = shown.new.connect("shop").await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("lock table big in access exclusive mode").await.unwrap();
    shown.old.psql("shop", "insert into big select n, repeat(md5(n::text), 40) from generate_series(10001, 30000) n").await;
    page.until("/replicate", " MiB behind").await;
    held.rollback().await.unwrap();
    page.until("/replicate", "caught up").await;
    let other = page.get("/replicate?shell=powershell").await.body;
    assert!(other.contains("Use-Target") && !other.contains("&lt;b&gt;It") && !other.contains("<b>It"), "{other}");
}

async fn end(shown: &Shown) {
    let page = &shown.page;
    page.post("/finish/off/look", &[]).await.expect(303);
    let html = page.until("/finish", "alter subscription").await;
    let statements =
        ["alter subscription &#34;lr_subscription&#34; disable;", "drop publication if exists &#34;lr_publication&#34;;"];
    statements.iter().for_each(|sql| assert!(html.contains(sql), "{sql} is not in\n{html}"));
    page.post("/finish/off", &[]).await.expect(303);
    page.until("/finish", "Stop what writes to the source first, and say so here.").await;
    assert_eq!(shown.new.query("shop", "select count(*) from pg_subscription where subenabled").await, "1", "nobody agreed");
    page.post("/finish/off", &[("stopped", "yes")]).await.expect(303);
    let html = page.until("/finish", "Replication is off.").await;
    assert_eq!(html.matches("<dd>0 left</dd>").count(), 3, "{html}");
    let left = "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication)";
    assert_eq!(shown.old.query("shop", left).await, "0");
    assert_eq!(shown.new.query("shop", "select count(*) from pg_subscription").await, "0");
    // Once more, and somebody who presses the button of an old page.
    page.post("/finish/off", &[("stopped", "yes")]).await.expect(303);
    page.post("/finish/off/look", &[]).await.expect(303);
    page.until("/finish", "Nothing of it is there: 0 left on both sides.").await;
}

async fn compare(shown: &Shown) {
    let page = &shown.page;
    shown.old.psql("shop", "select setval('numbers', 41)").await;
    page.post("/finish/sequences", &[]).await.expect(303);
    assert_eq!(shown.new.query("shop", "select last_value from numbers").await, "1", "nothing was shown yet");
    page.post("/finish/sequences/compare", &[]).await.expect(303);
    let html = page.until("/finish", "2 behind").await;
    assert!(html.contains("setval(&#39;&#34;public&#34;.&#34;numbers&#34;&#39;::pg_catalog.regclass, 41, true)"), "{html}");
    page.post("/finish/sequences", &[]).await.expect(303);
    page.until("/finish", "2 were set on the target.").await;
    assert_eq!(shown.new.query("shop", "select last_value from numbers").await, "41");
    page.post("/finish/verify", &[("method", "hash")]).await.expect(303);
    let html = page.until("/finish", "Tables equal").await;
    assert!(html.contains("<dd>2 of 2</dd>") && html.contains("<dd>22,500</dd>"), "{html}");
    // A row that is missing is found by the next comparison.
    shown.new.psql("shop", "delete from big where id = 7").await;
    page.post("/finish/verify", &[("method", "hash")]).await.expect(303);
    page.until("/finish", "Rows differ in 1 table.").await;
}

/// The password is in no answer but the one that asks for it.
async fn reveal(shown: &Shown) {
    let page = &shown.page;
    for framework in ["env", "psql", "node", "prisma", "django", "rails", "sqlalchemy", "jdbc", "go"] {
        let html = page.get(&format!("/finish?for={framework}")).await.body;
        assert!(html.contains("postgresql://shop_owner:…@"), "{html}");
    }
    page.assert_never_said(SOURCE_PASSWORD);
    page.assert_never_said(OWNER_PASSWORD);
    let told = page.post_scripted("/finish/password", &[("for", "django")]).await.expect(200);
    assert!(told.body.contains(OWNER_PASSWORD) && told.body.contains("DATABASE_PASSWORD"), "{told:?}");
    assert_eq!(told.headers["cache-control"], "no-store");
    let plain = page.post("/finish/password", &[("for", "env")]).await.expect(200);
    assert!(plain.body.contains(OWNER_PASSWORD) && !plain.body.contains(SOURCE_PASSWORD), "{plain:?}");
    assert!(!page.get("/finish").await.body.contains(OWNER_PASSWORD));
}

/// Nobody is asked while nobody looks, and a side that fails is told and tried again.
#[tokio::test]
async fn both_sides_are_looked_at_only_while_somebody_does() {
    let mut shown = Shown::start().await;
    shown.page.until("/replicate", "Nothing is set up yet.").await;
    let sessions = "select count(*) from pg_stat_activity where application_name like 'neon-migrate%' and datname = 'shop'";
    assert_ne!(shown.old.query("shop", sessions).await, "0");
    poll::until_true(LIMIT, "the sessions end", async || shown.old.query("shop", sessions).await == "0").await;
    shown.new.stop().await;
    let html = shown.page.until("/replicate", "It is looked at again in").await;
    assert!(html.contains("The publication lr_publication is not there."), "the other side is shown: {html}");
    shown.new.start_again().await;
    shown.page.post("/replicate/look", &[]).await.expect(303);
    shown.page.until("/replicate", "Nothing is set up yet.").await;
}
