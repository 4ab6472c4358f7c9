//! What a nervous person may type: each gives the documented exit code, one clear sentence and a fix, and nothing is written to either side.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;

use crate::connect::Authority;
use crate::support::child::{Outcome, Run};
use crate::support::cluster::Cluster;
use crate::support::pooler::Pooler;
use crate::support::postgres::SUPERUSER;
use crate::support::roles::OWNER_PASSWORD;

const LIMIT: Duration = Duration::from_secs(60);

/// Everything that a person could have made in a database, by name and version of its catalog row.
const CATALOG: &str = "
select string_agg(line, e'\\n' order by line) from (
    select 'class ' || oid::regclass || xmin from pg_class where relnamespace not in ('pg_toast'::regnamespace) and relpersistence <> 't'
    union all select 'schema ' || nspname || xmin from pg_namespace where nspname !~ '^pg_(toast_)?temp'
    union all select 'proc ' || oid::regprocedure from pg_proc where oid >= 16384
    union all select 'role ' || rolname from pg_roles
    union all select 'database ' || datname from pg_database
    union all select 'slot ' || slot_name from pg_replication_slots
) as t (line)";

/// One thing to type.
struct Case {
    what: &'static str,
    source: String,
    target: String,
    more: Vec<String>,
    code: i32,
}

fn case(what: &'static str, source: &str, target: &str, code: i32) -> Case {
    Case { what, source: source.to_owned(), target: target.to_owned(), more: Vec::new(), code }
}

impl Case {
    fn with(mut self, more: &[&str]) -> Case {
        self.more.extend(more.iter().map(|word| (*word).to_owned()));
        self
    }

    async fn run(&self, state: &Path, output: &str) -> Outcome {
        let run = Run::new(
            ["copy", "--output", output, "--state-dir"]
                .map(String::from)
                .into_iter()
                .chain([state.display().to_string()])
                .chain(self.more.clone()),
        );
        run.env("NEON_MIGRATE_SOURCE", &self.source).env("NEON_MIGRATE_TARGET", &self.target).finish(LIMIT).await
    }
}

/// Runs every case, and gives what a person reads. `both` are databases whose catalogs must not change.
async fn told(cases: &[Case], both: &[(&Cluster, &str)]) -> String {
    let state = tempfile::tempdir().unwrap();
    let mut page = String::new();
    let mut wrong = Vec::new();
    let before = catalogs(both).await;
    for case in cases {
        let outcome = case.run(state.path(), "plain").await;
        wrong.extend(faults(&outcome.stderr).map(|fault| format!("{}: {fault}", case.what)));
        if outcome.code() != Some(case.code) {
            wrong.push(format!("{}: {:?} and not {}", case.what, outcome.code(), case.code));
        }
        page += &format!("── {} (exit code {})\n{}\n", case.what, case.code, outcome.stderr);
        let outcome = case.run(state.path(), "json").await;
        assert_json_end(case, &outcome);
    }
    assert_eq!(catalogs(both).await, before, "something was written");
    assert!(wrong.is_empty(), "{wrong:#?}\n{page}");
    page
}

async fn catalogs(both: &[(&Cluster, &str)]) -> Vec<String> {
    let mut all = Vec::new();
    for (cluster, database) in both {
        all.push(cluster.query(database, CATALOG).await);
    }
    all
}

/// What is wrong with a text that should be one error, with advice, in which nothing is said twice.
fn faults(stderr: &str) -> Option<String> {
    let words: String = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut sentences: Vec<&str> = words.split(". ").filter(|sentence| sentence.len() > 20).collect();
    sentences.sort_unstable();
    if let Some(twice) = sentences.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("said twice: {}", twice[0]));
    }
    if stderr.matches("error[").count() != 1 || !stderr.contains("help: ") {
        return Some("it is not one error with advice".to_owned());
    }
    ["Error {", "os error", "db error"]
        .iter()
        .find(|bare| stderr.contains(**bare))
        .map(|bare| format!("a bare library text: {bare}"))
}

/// A program sees the end too, and the exit code in it.
fn assert_json_end(case: &Case, outcome: &Outcome) {
    let last = outcome.stdout.lines().last().unwrap_or_else(|| panic!("{}: no JSON: {outcome:?}", case.what));
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["event"], "run_finished", "{}: {last}", case.what);
    assert!(last["report"]["message"].is_string() && last["report"]["fix"].is_string(), "{}: {last}", case.what);
    assert_eq!(outcome.code(), Some(case.code), "{}: {outcome:?}", case.what);
}

/// Ports and places differ from run to run.
fn filtered() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(127\.0\.0\.1|localhost|port|::1\]?):? ?\d{4,5}", "$1:[port]");
    settings.add_filter(r"s\.PGSQL\.\d+", "s.PGSQL.[port]");
    settings.add_filter(r"(/[\w.-]+)*/(nm-test-\d+/c[\d-]+|\.tmp\w+)", "[dir]");
    settings.add_filter(r"(/[\w.-]+)*/client/bin", "[client]");
    settings.add_filter(r"\[dir\]:\d{4,5}", "[dir]:[port]");
    // The commands of this machine's own packages.
    settings.add_filter(r"(--pg-bin-dir:)(\n {6}[^\n]+)+", "$1\n      [install]");
    settings
}

fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{text} has no {from}");
    text.replace(from, to)
}

#[tokio::test]
async fn connections_that_cannot_be_made() {
    let source = Cluster::start(17).await;
    let target = Cluster::start(18).await;
    let files = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let secure = Cluster::build(18).with_tls(&authority.server(&["localhost"])).start().await;
    let roots = files.path().join("other.pem");
    std::fs::write(&roots, &other.pem).unwrap();
    source.create_database("shop").await;
    source.psql("shop", "create table orders (id int primary key); insert into orders values (1)").await;
    let (s, t) = (source.superuser_url("shop"), target.neon_shaped_target("shop").await);
    let free = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    target.psql(SUPERUSER, "create role barred login password 'x'; revoke connect on database shop from public").await;
    let verify = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        replace(&secure.superuser_url("shop"), "127.0.0.1", "localhost"),
        roots.display()
    );
    let cases = [
        case("wrong password of the source", &source.url(SUPERUSER, "wrong", "shop"), &t, 6),
        case("wrong password of the target", &s, &replace(&t, OWNER_PASSWORD, "wrong"), 7),
        case("no password", &replace(&s, ":super-s3cret@", "@"), &t, 6),
        case("a role that is not there", &s, &target.url("nobody_here", "x", "shop"), 7),
        case("unknown host", "postgresql://u:p@no-such-host.invalid/shop", &t, 6),
        case("refused port", &s, &format!("postgresql://u:p@127.0.0.1:{free}/shop"), 7),
        case("no unix socket", "host=/nonexistent user=u dbname=shop", &t, 6),
        case("TLS refused", &s, &format!("{t}?sslmode=require"), 7),
        case("certificate untrusted", &s, &verify, 7),
        case("database missing", &source.superuser_url("shpo"), &t, 6),
        case("no right to connect", &s, &target.url("barred", "x", "shop"), 7),
        case("malformed URL", "postgresql://u:planted@:port/shop", &t, 2),
        case("unknown parameter", &format!("{s}?sslmod=require"), &t, 2),
        case("unknown sslmode", &s, &format!("{t}?sslmode=maybe"), 2),
    ];
    let page = told(&cases, &[(&source, "shop"), (&target, "shop")]).await;
    assert!(!page.contains("planted") && !page.contains(OWNER_PASSWORD) && !page.contains("super-s3cret"), "{page}");
    filtered().bind(|| assert_snapshot!(page));
}

#[tokio::test]
async fn databases_that_cannot_be_used() {
    let mut source = Cluster::start(17).await;
    let target = Cluster::start(18).await;
    source.create_database("shop").await;
    source.psql("shop", "create table orders (id int primary key); insert into orders values (1)").await;
    source.plain_owner("guarded").await;
    source
        .psql(
            "guarded",
            "create table mine (id int primary key); alter table mine enable row level security; \
             create table theirs (id int); revoke all on theirs from public; grant select on mine to guarded_owner",
        )
        .await;
    let (s, t) = (source.superuser_url("shop"), target.neon_shaped_target("shop").await);
    let full = target.neon_shaped_target("full").await;
    target.psql("full", "create table there (id int); create view seen as select 1 as one").await;
    let read_only = target.neon_shaped_target("quiet").await;
    target.psql(SUPERUSER, "alter role quiet_owner set default_transaction_read_only = on").await;
    let not_mine = target.plain_owner("mine_not").await;
    target
        .psql("mine_not", "alter database mine_not owner to postgres; revoke create on schema public from public, mine_not_owner")
        .await;
    let pooler = Pooler::start(&source, "shop").await;
    let socket = format!("host={} port={} user={SUPERUSER} dbname=shop", source.socket_dir().display(), source.port);
    let (old, none) = (tools("15.8"), tempfile::tempdir().unwrap());
    let dir = |dir: &tempfile::TempDir| dir.path().display().to_string();
    let mut cases = vec![
        case("source through a pooler", &format!("{}?sslmode=disable", pooler.url()), &t, 3),
        case("target not empty", &s, &full, 3),
        case("same database by another name", &replace(&s, "127.0.0.1", "localhost"), &s, 3),
        case("same database by its socket", &s, &socket, 3),
        case("target is read-only", &s, &read_only, 3),
        case("no right on the target", &s, &not_mine, 3),
        case("tables that cannot be read, and hidden rows", &source.url("guarded_owner", OWNER_PASSWORD, "guarded"), &t, 3),
        case("patterns that match nothing", &s, &t, 3).with(&["--include", "shop.ordesr", "--exclude", "logs.*"]),
        case("pg_dump too old", &s, &t, 3).with(&["--pg-bin-dir", &dir(&old)]),
        case("pg_dump missing", &s, &t, 3).with(&["--pg-bin-dir", &dir(&none)]),
        case("nothing to resume", &s, &t, 3).with(&["--resume"]),
        case("target older than the source", &target.superuser_url("postgres"), &s, 3),
    ];
    cases.push(case("the wrong name is typed", &s, &full, 2).with(&["--replace-target=shop"]));
    let both =
        [(&source, "shop"), (&source, "guarded"), (&target, "shop"), (&target, "full"), (&target, "quiet"), (&target, "mine_not")];
    let mut page = told(&cases, &both).await;

    source.stop().await;
    std::fs::write(source.data().join("standby.signal"), "").unwrap();
    source.start_again().await;
    page += &told(&[case("source is a standby", &s, &t, 3)], &[(&source, "shop"), (&target, "shop")]).await;
    filtered().bind(|| assert_snapshot!(page));
}

/// A directory with a pg_dump and a pg_restore that say that they are of this version.
fn tools(version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["pg_dump", "pg_restore"] {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

#[tokio::test]
async fn a_target_in_the_same_cluster_is_fine() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("shop").await;
    cluster.psql("shop", "create table orders (id int primary key); insert into orders select generate_series(1, 10)").await;
    cluster.create_database("copy").await;
    let state = tempfile::tempdir().unwrap();
    let case = case("same cluster", &cluster.superuser_url("shop"), &cluster.superuser_url("copy"), 0);
    case.run(state.path(), "plain").await.expect_code(0);
    assert_eq!(cluster.query("copy", "select count(*) from orders").await, "10");
}

#[tokio::test]
async fn a_command_line_that_is_not_understood_is_json_for_programs_and_hides_passwords() {
    let outcome = Run::new(["copy", "--output", "json", "--jobs", "many"]).finish(LIMIT).await.expect_code(2);
    let line: serde_json::Value = serde_json::from_str(outcome.stdout.trim()).unwrap();
    assert_eq!(
        (&line["event"], &line["exit"], &line["report"]["code"]),
        (&"run_finished".into(), &"usage".into(), &"usage".into())
    );
    let outcome = Run::new(["copy", "postgresql://u:planted@h/d"]).finish(LIMIT).await.expect_code(2);
    assert!(!outcome.stderr.contains("planted") && outcome.stderr.contains("--source"), "{outcome:?}");
}
