//! Step 1 of the page: strings that are explained, checks that stream in, one that is mended and made again, the report.

use std::time::Duration;

use serde_json::Value;

use crate::support::cluster::{Cluster, percent_encode};
use crate::support::page::{Answer, Page};
use crate::support::roles::owner_of;

/// No part of it occurs anywhere by chance.
const PASSWORD: &str = "planted@Pw/9127";
/// What is shown of nothing, in any form.
const PIECES: [&str; 3] = [PASSWORD, "planted%40Pw%2F9127", "Pw/9127"];

/// A source whose owner logs in with [`PASSWORD`], and a page.
struct House {
    cluster: Cluster,
    state: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        let cluster = Cluster::build(17).with_setting("wal_level", "replica").start().await;
        cluster.plain_owner("src").await;
        cluster.psql("src", &format!("alter role {} password '{PASSWORD}'", owner_of("src"))).await;
        House { cluster, state: tempfile::tempdir().unwrap() }
    }

    fn source(&self) -> String {
        self.cluster.url(&owner_of("src"), PASSWORD, "src")
    }

    async fn page(&self, environment: &[(&str, &str)]) -> Page {
        Page::open(&["--state-dir", self.state.path().to_str().unwrap()], environment).await
    }
}

async fn run(page: &Page, connection: &str, password: &str) -> Answer {
    let fields = [("connection", connection), ("password", password), ("compared", "neon")];
    page.post("/check/run", &fields).await.expect(303)
}

async fn parsed(page: &Page, connection: &str, password: &str) -> (bool, String) {
    let answer = page.post_scripted("/check/parse", &[("connection", connection), ("password", password)]).await.expect(200);
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    (said["ok"].as_bool().unwrap(), said["html"].as_str().unwrap().to_owned())
}

fn assert_never_said(page: &Page) {
    PIECES.iter().for_each(|piece| page.assert_never_said(piece));
}

async fn report(page: &Page) -> Value {
    serde_json::from_str(&page.get("/check/report.json").await.expect(200).body).unwrap()
}

fn status<'a>(report: &'a Value, code: &str) -> &'a str {
    report["outcomes"].as_array().unwrap().iter().find(|one| one["code"] == code).unwrap()["status"].as_str().unwrap()
}

#[tokio::test]
async fn strings_are_read_as_they_are_typed_and_never_repeated() {
    let (state, secret) = (tempfile::tempdir().unwrap(), percent_encode(PASSWORD));
    let page = Page::open(&["--state-dir", state.path().to_str().unwrap()], &[("PGPASSWORD", "planted@Pw/9127")]).await;
    for (typed, means) in [
        (
            format!("postgresql://me:{secret}@db.example.com:5433/a%20b?sslmode=require"),
            vec!["db.example.com:5433", "a b", "me", "sslmode=require"],
        ),
        (format!("host=h user=u dbname=d password='{PASSWORD}'"), vec!["h:5432", "given with the connection string"]),
        ("postgresql://u@h/d".to_owned(), vec!["from PGPASSWORD"]),
        ("postgresql://u@ep-x-pooler.eu-central-1.aws.neon.tech/d".to_owned(), vec!["pooler", "ep-x.eu-central-1.aws.neon.tech"]),
        (format!("psql 'postgresql://u:{secret}@h/d'"), vec!["h:5432"]),
        (format!("jdbc:postgresql://h/d?user=u&password={secret}"), vec!["was read as"]),
        ("postgresql://u@h/%3Cscript%3E".to_owned(), vec!["&#60;script&#62;"]),
    ] {
        let (ok, html) = parsed(&page, &typed, "").await;
        assert!(ok && means.iter().all(|words| html.contains(words)), "{typed}: {html}");
    }
    let (ok, html) = parsed(&page, "postgresql://u@h/d", PASSWORD).await;
    assert!(ok && html.contains("the one in the field"), "{html}");
    for (typed, why) in [
        (format!("postgresql://u:{PASSWORD}@h/d"), "must be written as %40"),
        (format!("u:{PASSWORD}@h:5432/d"), "does not start with postgres://"),
        (format!("mysql://u:{secret}@h/d"), "is not a Postgres connection string"),
        ("postgresql://u@h:54x/d".to_owned(), "port"),
        (format!("postgresql://u:{secret}@h/d?sslmod=require"), "sslmod"),
        (format!("host=h password={PASSWORD} sslmode=off"), "sslmode must be one of"),
        (format!("host=h password='{PASSWORD}"), "quote"),
        (format!("host=h {PASSWORD}"), "no = sign"),
        ("prisma://x".to_owned(), "Prisma"),
        ("postgresql://u@[::1/d".to_owned(), "bracket"),
        ("postgresql://u:100%@h/d".to_owned(), "%25"),
    ] {
        let (ok, html) = parsed(&page, &typed, "").await;
        assert!(!ok && html.contains(why), "{typed}: {html}");
        run(&page, &typed, "").await;
        let shown = page.get("/check").await.body;
        assert!(shown.contains("aria-invalid=\"true\"") && shown.contains(why), "{typed} is not explained at its field:\n{shown}");
        assert!(shown.contains("id=\"source-error\"") && shown.contains("source-hint source-error"), "{shown}");
    }
    run(&page, "  ", "").await;
    assert!(page.get("/check").await.body.contains("There is no connection string yet"));
    assert_never_said(&page);
}

#[tokio::test]
async fn what_cannot_be_reached_is_explained_at_the_field_and_the_field_goes_on_from_there() {
    let house = House::new().await;
    let (page, role) = (house.page(&[]).await, owner_of("src"));
    let address = format!("127.0.0.1:{}", house.cluster.port);
    for (string, password, why, fix) in [
        (format!("postgresql://{role}@{address}/src"), "wrong", "did not accept the password", "Check the user and the password"),
        (format!("postgresql://{role}@{address}/nowhere"), PASSWORD, "there is no database nowhere", "Check the name"),
        (format!("postgresql://{role}@{address}/src?sslmode=require"), PASSWORD, "does not offer TLS", "sslmode=disable"),
        ("postgresql://u@no-such-host.invalid/d".to_owned(), PASSWORD, "there is no host named", "Check the spelling"),
        ("postgresql://u@127.0.0.1:1/d".to_owned(), PASSWORD, "nothing listens at", "Check host and port"),
    ] {
        run(&page, &string, password).await;
        let shown = page.until("/check", why).await;
        assert!(shown.contains("aria-invalid=\"true\"") && shown.contains(fix), "{string}:\n{shown}");
        assert!(!shown.contains("class=\"ends\""), "{string} is not a source:\n{shown}");
        assert!(shown.contains("value=\"postgresql://"), "what was typed is gone");
    }
    // The string of the last attempt but two, with the right database: its password is typed only once.
    run(&page, &format!("postgresql://{role}@{address}/src"), PASSWORD).await;
    let shown = page.until("/check", "verdict-title").await;
    assert!(!shown.contains("aria-invalid"), "{shown}");
    let field = shown.split("id=\"source\"").nth(1).unwrap().split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(field, format!("postgresql://{role}@{address}/src"));
    run(&page, field, "").await;
    page.until("/check", "verdict-title").await;
    assert_never_said(&page);
}

#[tokio::test]
async fn checks_stream_in_and_one_that_is_mended_is_made_again_by_itself() {
    let house = House::new().await;
    house.cluster.psql("src", "create table public.hidden (id int primary key); revoke all on public.hidden from public").await;
    house.cluster.psql("src", "create table public.\"No <key>\" (note text)").await;
    // Two checks of one code cannot look then.
    house.cluster.psql("src", "revoke select on pg_catalog.pg_publication from public").await;
    let source = house.source();
    let page = house.page(&[("NEON_MIGRATE_SOURCE", source.as_str())]).await;
    let shown = page.get("/check").await.body;
    assert!(shown.contains("was named when neon-migrate was started") && shown.contains("Run checks"), "{shown}");
    page.get("/check/report.html").await.expect(404);

    // Somebody holds a catalog of the later checks, so that the look cannot end.
    let holder = house.cluster.connect("src").await;
    holder.batch_execute("begin; lock table pg_catalog.pg_publication in access exclusive mode").await.unwrap();
    let begin = async {
        page.post("/check/again", &[]).await.expect(303);
    };
    let (stream, ()) = tokio::join!(page.stream_until("/live/check", None, "five-logical_replication"), begin);
    assert!(stream.contains("five-postgres_version") && !stream.contains("verdict-title"), "{stream}");
    holder.batch_execute("rollback").await.unwrap();
    page.stream_until("/live/check", None, "verdict-title").await;
    let before = report(&page).await;
    assert_eq!((status(&before, "C4"), &before["blocked"]), ("found", &true.into()), "{before:#}");
    let shown = page.get("/check").await.body;
    for words in [
        "1 finding stands in the way of moving src",
        "C. Privileges",
        "Why it matters",
        "What is affected",
        "table public.hidden",
        "grant select on",
        "wal_level is replica",
        "Which ways are open",
        "What there is to move",
        "What next",
        "table public.&#34;No &#60;key&#62;&#34;",
    ] {
        assert!(shown.contains(words), "the page does not say {words:?}:\n{shown}");
    }
    assert!(!shown.contains("<key>"));
    let mut keys: Vec<&str> = shown.split("data-key=\"").skip(1).filter_map(|after| after.split('"').next()).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all, "what is put into place by its key needs one of its own");

    // What another check would find meanwhile.
    house.cluster.psql("src", "create unlogged table public.later (id int primary key)").await;
    house.cluster.psql("src", &format!("grant select on all tables in schema public to \"{}\"", owner_of("src"))).await;
    page.post("/check/again", &[("code", "C4")]).await.expect(303);
    let shown = page.until("/check", "Check C4 was made again").await;
    assert!(
        shown.contains("Check C4 was made again: it is in order now.") && shown.contains("Nothing stands in the way of moving src"),
        "{shown}"
    );
    let after = report(&page).await;
    assert_eq!((status(&after, "C4"), &after["blocked"]), ("passed", &false.into()));
    assert!(!after["outcomes"].to_string().contains("public.later"), "more was looked at than was asked for");
    page.post("/check/again", &[]).await.expect(303);
    page.until("/check", "table public.later").await;
    assert_never_said(&page);
}

#[tokio::test]
async fn the_report_is_downloaded_and_a_watcher_sees_it_and_cannot_act() {
    let house = House::new().await;
    let mut page = house.page(&[]).await;
    run(&page, &house.source(), "").await;
    page.until("/check", "verdict-title").await;
    for (extension, kind, words) in [
        ("html", "text/html", "<!doctype html>"),
        ("md", "text/markdown", "# Is src ready to move?"),
        ("json", "application/json", "\"checkup\""),
    ] {
        let answer = page.get(&format!("/check/report.{extension}")).await.expect(200);
        assert!(answer.headers["content-type"].starts_with(kind) && answer.body.contains(words), "{answer:?}");
        assert_eq!(answer.headers["content-disposition"], format!("attachment; filename=\"check-src.{extension}\""));
    }
    for path in ["/check/report.pdf", "/check/report.", "/check/other"] {
        page.get(path).await.expect(404);
    }
    let share = page.post("/share", &[("role", "watcher")]).await.expect(200).body;
    let link = share.split("<pre tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    page.cookie = page.enter(&link).await.expect("the link lets a watcher in");
    let shown = page.get("/check").await.expect(200).body;
    assert!(shown.contains("verdict-title") && !shown.contains("<form"), "{shown}");
    page.get("/check/report.html").await.expect(200);
    for path in ["/check/run", "/check/again", "/check/cancel", "/check/parse"] {
        page.post(path, &[("connection", "postgresql://u@h/d")]).await.expect(403);
    }
    assert_never_said(&page);
}

#[tokio::test]
async fn a_look_can_be_cancelled_and_the_report_of_before_stays() {
    let house = House::new().await;
    let page = house.page(&[]).await;
    run(&page, &house.source(), "").await;
    page.until("/check", "verdict-title").await;
    let before = report(&page).await;
    // Somebody holds a catalog, so that the look goes on until it is cancelled.
    let holder = house.cluster.connect("src").await;
    holder.batch_execute("begin; lock table pg_catalog.pg_extension in access exclusive mode").await.unwrap();
    page.post("/check/again", &[]).await.expect(303);
    let shown = page.until("/check", "Looking at the source").await;
    assert!(shown.contains("action=\"/check/cancel\"") && shown.contains("http-equiv=\"refresh\""), "{shown}");
    // There is one look at a time.
    page.post("/check/again", &[("code", "B3")]).await.expect(303);
    page.post("/check/cancel", &[]).await.expect(303);
    let shown = page.get("/check").await.body;
    assert!(shown.contains("The check was cancelled") && shown.contains("verdict-title"), "{shown}");
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(report(&page).await, before);
    // A source that is lost on the way.
    holder.batch_execute("begin; lock table pg_catalog.pg_extension in access exclusive mode").await.unwrap();
    page.post("/check/again", &[]).await.expect(303);
    page.until("/check", "Looking at the source").await;
    let ended = crate::support::poll::until(Duration::from_secs(20), "its sessions are ended", async || {
        (house.cluster.terminate_backends("neon-migrate%").await > 0).then_some(())
    });
    ended.await;
    let shown = page.until("/check", "could not be looked at").await;
    assert!(shown.contains("run the checks again") && !shown.contains("run the same command again"), "{shown}");
    assert_eq!(report(&page).await, before);
    assert_never_said(&page);
}
