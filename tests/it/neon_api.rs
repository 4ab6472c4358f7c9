//! `neon-migrate create-project` against a small Neon that loses answers, refuses, locks and fails.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use neon_migrate::pg::conninfo::{Conninfo, Environment};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::child::{Outcome, Run};
use crate::support::cluster::Cluster;
use crate::support::neon::{FakeNeon, Fault, KEY, PASSWORD};
use crate::support::poll;
use crate::support::terminal::Terminal;

const LIMIT: Duration = Duration::from_secs(60);
/// Pauses, the limit of a call and that of operations, in milliseconds.
const PACE: &str = "5,1500,20000";
const VALUES: [&str; 8] = ["--name", "shop", "--pg-version", "17", "--database", "shop", "--role", "app"];

/// A Neon, and a state directory.
struct House {
    neon: FakeNeon,
    home: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        House { neon: FakeNeon::start().await, home: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> std::path::PathBuf {
        self.home.path().join("state")
    }

    fn command(&self, more: &[&str]) -> Run {
        let state = self.state();
        let words = ["create-project", "--api-url", &self.neon.url, "--state-dir", state.to_str().unwrap()];
        Run::new(words.iter().chain(&VALUES).chain(more)).env("NEON_API_KEY", KEY).env("NEON_MIGRATE_API_PACE", PACE)
    }

    /// Runs it, and looks for secrets in what it leaves and shows.
    async fn run(&self, more: &[&str]) -> Outcome {
        let outcome = self.command(more).finish(LIMIT).await;
        self.assert_no_secret(&outcome);
        outcome
    }

    fn assert_no_secret(&self, outcome: &Outcome) {
        for planted in [KEY, PASSWORD] {
            assert!(!outcome.stdout.contains(planted) && !outcome.stderr.contains(planted), "{planted} is shown: {outcome:?}");
            for (path, text) in files(&self.state()) {
                assert!(!text.contains(planted), "{planted} is in {path}");
            }
        }
    }

    /// What was saved of the only project.
    fn saved(&self) -> Value {
        let found: Vec<_> = files(&self.state()).into_iter().filter(|(path, _)| path.ends_with(".json")).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        serde_json::from_str(&found[0].1).unwrap()
    }
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

fn events(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn event<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == kind).unwrap_or_else(|| panic!("there is no {kind} in {events:#?}"))
}

#[tokio::test]
async fn a_script_gets_one_project_and_every_line_is_json() {
    let house = House::new().await;
    let more = [
        "--yes",
        "--output",
        "json",
        "--region",
        "aws-eu-central-1",
        "--min-cu",
        "0.5",
        "--max-cu",
        "1",
        "--history-retention",
        "6h",
    ];
    let outcome = house.run(&more).await.expect_code(0);
    let expected = json!({
        "name": "shop", "region_id": "aws-eu-central-1", "pg_version": 17, "store_passwords": true,
        "branch": { "database_name": "shop", "role_name": "app" }, "history_retention_seconds": 21_600,
        "default_endpoint_settings": {
            "autoscaling_limit_min_cu": 0.5, "autoscaling_limit_max_cu": 1.0, "suspend_timeout_seconds": -1
        },
    });
    assert_eq!(house.neon.creations(), std::slice::from_ref(&expected));
    let events = events(&outcome);
    assert_eq!(event(&events, "project_planned")["request"], expected);
    let operations: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "operation")
        .map(|event| (event["action"].as_str(), event["status"].as_str()))
        .collect();
    assert!(operations.contains(&(Some("warm_up_the_sofa"), Some("finished"))), "{operations:?}");
    let created = event(&events, "project_created");
    assert_eq!(
        created["connection"],
        "postgresql://app@ep-calm-lake-1.eu-central-1.aws.neon.tech/shop?sslmode=require&channel_binding=require"
    );
    assert_eq!(created["connection_file"], Value::Null);
    let end = events.last().unwrap();
    assert_eq!((&end["event"], &end["exit"], &end["index"]), (&json!("run_finished"), &json!("done"), &json!(0)));
    let saved = house.saved();
    assert_eq!((&saved["id"], &saved["host"]), (&json!("calm-lake-1"), &json!("ep-calm-lake-1.eu-central-1.aws.neon.tech")));
}

#[tokio::test]
async fn a_person_sees_the_proposal_with_reasons_and_what_comes_next() {
    let house = House::new().await;
    let cluster = Cluster::start(16).await;
    cluster.psql("postgres", "create role \"App owner\"").await;
    cluster.psql("postgres", "create database \"Odd \"\"shop\"\"\" owner \"App owner\"").await;
    let state = house.state();
    let words = ["create-project", "--yes", "--api-url", &house.neon.url, "--state-dir", state.to_str().unwrap()];
    let run = Run::new(words).env("NEON_API_KEY", KEY).env("NEON_MIGRATE_API_PACE", PACE);
    let source = format!("host=127.0.0.1 port={} user=postgres password=super-s3cret dbname='Odd \"shop\"'", cluster.port);
    let outcome = run.env("NEON_MIGRATE_SOURCE", source).finish(LIMIT).await.expect_code(0);
    house.assert_no_secret(&outcome);
    assert!(!outcome.stdout.contains("super-s3cret"));
    let shown = format!("{}\n── standard error\n{}", outcome.stdout, outcome.stderr);
    let shown = shown.replace(&house.neon.url, "URL").replace(&cluster.port.to_string(), "PORT");
    insta::with_settings!({filters => [(r"has \d+\.\d MiB", "has SIZE")]}, {
        assert_snapshot!("a_project_for_a_source", shown);
    });
    let made = &house.neon.creations()[0];
    assert_eq!((&made["pg_version"], &made["branch"]["role_name"]), (&json!(16), &json!("App owner")));
    assert_eq!(house.saved()["source"], format!("postgres@127.0.0.1:{}/Odd \"shop\"", cluster.port));
}

#[tokio::test]
async fn whatever_is_lost_there_is_one_project_in_the_end() {
    for (faults, creations) in [
        (vec![Fault::CutBefore], 2),
        (vec![Fault::CutAfter], 1),
        (vec![Fault::Silence], 1),
        (vec![Fault::Late(2)], 1),
        (vec![Fault::Nonsense("{\"project\": ")], 1),
        (vec![Fault::Nonsense("<html>")], 1),
        (vec![Fault::Refuse(503, "", "no capacity"), Fault::Refuse(503, "", "no capacity")], 3),
        (vec![Fault::Refuse(502, "", "bad gateway")], 2),
        (vec![Fault::Refuse(423, "", "locked"), Fault::Refuse(423, "", "locked")], 3),
        (vec![Fault::RefuseWith(429, "slow down", "retry-after: 0\r\n".to_owned()), Fault::CutAfter], 2),
    ] {
        let house = House::new().await;
        for fault in &faults {
            house.neon.fail("POST", "/projects", fault.clone());
        }
        let outcome = house.run(&["--yes", "--output", "json"]).await.expect_code(0);
        assert_eq!((house.neon.projects(), house.neon.creations().len()), (1, creations), "{faults:?}");
        let created = events(&outcome);
        assert_eq!(event(&created, "project_created")["id"], "calm-lake-1", "{faults:?}");
        assert!(house.saved()["connection"].as_str().unwrap().starts_with("postgresql://app@ep-calm-lake-1."), "{faults:?}");
    }
}

#[tokio::test]
async fn two_projects_from_one_lost_answer_are_listed_and_none_is_taken() {
    let house = House::new().await;
    house.neon.fail("POST", "/projects", Fault::Twice);
    let outcome = house.run(&["--yes"]).await.expect_code(9);
    assert!(outcome.stderr.contains("error[neon-ambiguous]"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("calm-lake-1") && outcome.stderr.contains("calm-lake-2"), "{}", outcome.stderr);
    assert_eq!(house.neon.creations().len(), 1);
}

#[tokio::test]
async fn a_project_that_appears_after_we_had_looked_is_told() {
    let house = House::new().await;
    house.neon.fail("POST", "/projects", Fault::Late(5));
    let outcome = house.run(&["--yes"]).await.expect_code(0);
    assert_eq!((house.neon.projects(), house.neon.creations().len()), (2, 2));
    assert!(outcome.stderr.contains("Another new project has the same name: calm-lake-1."), "{}", outcome.stderr);
    assert_eq!(house.saved()["id"], "calm-lake-2");
}

#[tokio::test]
async fn a_project_that_was_there_before_is_not_taken_for_ours() {
    let house = House::new().await;
    house.run(&["--yes"]).await.expect_code(0);
    house.neon.fail("POST", "/projects", Fault::CutBefore);
    let outcome = house.run(&["--yes", "--output", "json"]).await.expect_code(0);
    assert_eq!(house.neon.projects(), 2);
    let events = events(&outcome);
    assert_eq!(event(&events, "project_planned")["projects_of_that_name"], json!(["calm-lake-1"]));
    assert_eq!(event(&events, "project_created")["id"], "calm-lake-2");
}

#[tokio::test]
async fn reading_goes_on_through_locks_limits_and_cuts() {
    let house = House::new().await;
    for (path, fault) in [
        ("/auth", Fault::CutBefore),
        ("/me", Fault::RefuseWith(429, "slow down", "retry-after: 0\r\n".to_owned())),
        ("/regions", Fault::Silence),
        ("/projects", Fault::Refuse(500, "", "oops")),
        ("/op-1", Fault::Refuse(503, "", "no capacity")),
        ("/op-2", Fault::CutAfter),
    ] {
        house.neon.fail("GET", path, fault);
    }
    house.run(&["--yes"]).await.expect_code(0);
    assert_eq!((house.neon.projects(), house.neon.requests("GET", "/auth"), house.neon.requests("GET", "/regions")), (1, 2, 2));
}

#[tokio::test]
async fn nothing_is_created_unless_it_was_confirmed() {
    let house = House::new().await;
    let outcome = house.run(&[]).await.expect_code(2);
    assert!(outcome.stderr.contains("neon-not-confirmed") && outcome.stderr.contains("--yes"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("aws-us-east-2"), "the proposal is shown: {}", outcome.stdout);
    let outcome = house.run(&["--dry-run"]).await.expect_code(0);
    assert!(outcome.stdout.contains("Nothing was created"), "{}", outcome.stdout);
    house.run(&["--dry-run", "--yes"]).await.expect_code(2);
    assert_eq!(house.neon.requests("POST", ""), 0);
    assert!(files(&house.state()).is_empty());
}

#[tokio::test]
async fn the_password_is_kept_or_shown_only_on_request() {
    let house = House::new().await;
    let uri =
        format!("postgresql://app:{PASSWORD}@ep-calm-lake-1.us-east-2.aws.neon.tech/shop?sslmode=require&channel_binding=require");
    let outcome = house.command(&["--yes", "--keep-password"]).finish(LIMIT).await.expect_code(0);
    assert!(!outcome.stdout.contains(PASSWORD) && !outcome.stderr.contains(PASSWORD));
    let kept = house.state().join("projects/calm-lake-1.connection");
    assert!(outcome.stdout.contains(&format!("export NEON_MIGRATE_TARGET=\"$(cat '{}')\"", kept.display())), "{}", outcome.stdout);
    assert_eq!(std::fs::read_to_string(&kept).unwrap().trim(), uri);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = house.state().join("projects");
    assert_eq!((mode(&kept), mode(&folder.join("calm-lake-1.json")), mode(&folder)), (0o600, 0o600, 0o700));
    assert!(!std::fs::read_to_string(folder.join("calm-lake-1.json")).unwrap().contains(PASSWORD));

    let house = House::new().await;
    let outcome = house.command(&["--yes", "--show-password"]).finish(LIMIT).await.expect_code(0);
    assert!(outcome.stdout.contains(&uri) && !outcome.stderr.contains(PASSWORD), "{outcome:?}");
}

/// The commands that a run shows, for a POSIX shell.
fn commands(outcome: &Outcome, beginnings: &[&str]) -> Vec<String> {
    let lines = outcome.stdout.lines().filter_map(|line| line.strip_prefix("  "));
    lines.filter(|line| beginnings.iter().any(|beginning| line.starts_with(beginning))).map(str::to_owned).collect()
}

fn shell(script: &str, home: &Path) -> String {
    let path = format!("{}:{}", home.display(), std::env::var("PATH").unwrap());
    let done =
        Command::new("sh").args(["-ec", script]).env("HOME", home).env("PATH", path).env("NEON_API_KEY", KEY).output().unwrap();
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn the_lines_to_paste_work_with_names_of_any_kind() {
    for (more, password) in [(vec![], "PASSWORD"), (vec!["--keep-password"], PASSWORD)] {
        let house = House::new().await;
        let (database, role) = ("Odd 'shop': \"x\" é", r"App\owner: 'y'");
        let home = house.home.path();
        let state = home.join("it's mine");
        let words =
            ["create-project", "--yes", "--api-url", &house.neon.url, "--database", database, "--role", role, "--state-dir"];
        let run = Run::new(words.into_iter().chain([state.to_str().unwrap()]).chain(more)).env("NEON_API_KEY", KEY);
        let outcome = run.env("NEON_MIGRATE_API_PACE", PACE).finish(LIMIT).await.expect_code(0);

        let lines = commands(&outcome, &["(umask", "export NEON_MIGRATE_TARGET"]).join("\n");
        let target = shell(&format!("{lines}\nprintf '%s' \"$NEON_MIGRATE_TARGET\""), home);
        let environment = Environment { home: Some(home.to_owned()), user: Some("me".to_owned()), ..Environment::default() };
        let info = Conninfo::parse(&target, &environment).unwrap();
        assert_eq!((info.database(), info.user()), (database, role));
        assert_eq!(info.password(&info.endpoints()[0]).unwrap().expose_secret(), password);
        assert!(info.is_pooled_hint().is_none());

        // The key goes to curl where nobody sees it.
        let curl = home.join("curl");
        std::fs::write(&curl, "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done; cat >> \"$HOME/stdin\"\n").unwrap();
        std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).unwrap();
        let words = shell(&commands(&outcome, &["printf"]).join("\n"), home);
        assert!(words.contains("{\"endpoint\":{\"suspend_timeout_seconds\":0}}") && !words.contains(KEY), "{words}");
        let header = format!("header = \"Authorization: Bearer {KEY}\"\n");
        assert_eq!(std::fs::read_to_string(home.join("stdin")).unwrap(), header.repeat(2));
    }
}

#[tokio::test]
async fn the_organization_is_the_only_one_or_has_to_be_named() {
    let house = House::new().await;
    let org = |id: &str, name: &str| json!({ "id": id, "name": name, "plan": "free_v3" });
    house.neon.with(|state| state.organizations = json!([org("org-a", "First")]));
    house.run(&["--yes"]).await.expect_code(0);
    let first = house.neon.creations()[0].clone();
    assert_eq!(first["org_id"], "org-a");
    assert_eq!(first["default_endpoint_settings"]["suspend_timeout_seconds"], Value::Null, "the free plan does not allow it");
    house.neon.with(|state| state.organizations = json!([org("org-a", "First"), org("org-b", "Second")]));
    let outcome = house.run(&["--yes"]).await.expect_code(2);
    assert!(outcome.stderr.contains("--org org-b   # Second"), "{}", outcome.stderr);
    house.run(&["--yes", "--org", "Second"]).await.expect_code(0);
    house.neon.with(|state| state.auth_method = "api_key_org");
    house.run(&["--yes"]).await.expect_code(0);
    let orgs: Vec<_> = house.neon.creations().iter().map(|made| made["org_id"].clone()).collect();
    assert_eq!(orgs, [json!("org-a"), json!("org-b"), Value::Null]);
}

#[tokio::test]
async fn what_the_plan_refuses_is_left_out_and_said() {
    let house = House::new().await;
    house.neon.fail("POST", "/projects", Fault::Refuse(422, "", "suspend timeout can not be changed on this plan"));
    house.neon.fail("POST", "/projects", Fault::Refuse(400, "", "history_retention_seconds is below the minimum"));
    let outcome = house.run(&["--yes"]).await.expect_code(0);
    assert!(outcome.stderr.contains("does not let a compute stay awake"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("does not let history be that short"), "{}", outcome.stderr);
    let last = house.neon.creations().pop().unwrap();
    assert_eq!(
        (&last["default_endpoint_settings"]["suspend_timeout_seconds"], &last["history_retention_seconds"]),
        (&Value::Null, &Value::Null)
    );
    assert!(!outcome.stdout.contains("curl"), "there is nothing to give back: {}", outcome.stdout);

    let house = House::new().await;
    house.neon.fail("POST", "/projects", Fault::Refuse(422, "", "suspend timeout can not be changed on this plan"));
    let outcome = house.run(&["--yes", "--suspend-timeout", "never"]).await.expect_code(9);
    assert!(outcome.stderr.contains("neon-refused"), "{}", outcome.stderr);
    assert_eq!(house.neon.projects(), 0);
}

/// One way to fail: what is prepared, what is typed.
type Case = (&'static str, fn(&FakeNeon), &'static [&'static str]);

#[tokio::test]
async fn each_failure_is_told_with_what_to_do() {
    let cases: [Case; 14] = [
        ("a wrong key", |neon| neon.fail("GET", "/auth", Fault::Refuse(401, "", "invalid credentials")), &[]),
        (
            "a project's key",
            |neon| neon.fail("POST", "/projects", Fault::Refuse(403, "", "not allowed for project-scoped keys")),
            &[],
        ),
        (
            "too many projects",
            |neon| neon.fail("POST", "/projects", Fault::Refuse(422, "PROJECTS_LIMIT_EXCEEDED", "limit of 10 reached")),
            &[],
        ),
        (
            "a used-up plan",
            |neon| neon.fail("POST", "/projects", Fault::Refuse(403, "COMPUTE_TIME_EXCEEDED", "no hours left")),
            &[],
        ),
        ("an organization is wanted", |neon| neon.fail("POST", "/projects", Fault::Refuse(400, "", "org_id is required")), &[]),
        (
            "a value is refused",
            |neon| neon.fail("POST", "/projects", Fault::Refuse(400, "", "pg_version 19 is not available here")),
            &[],
        ),
        (
            "a long wait",
            |neon| neon.fail("GET", "/auth", Fault::RefuseWith(429, "slow down", "retry-after: 3600\r\n".to_owned())),
            &[],
        ),
        ("always locked", |neon| (0..40).for_each(|_| neon.fail("POST", "/projects", Fault::Refuse(423, "", "locked"))), &[]),
        ("always down", |neon| (0..40).for_each(|_| neon.fail("GET", "/regions", Fault::Refuse(503, "", "no capacity"))), &[]),
        ("nonsense", |neon| (0..40).for_each(|_| neon.fail("GET", "/regions", Fault::Nonsense("{\"regions\": 7}"))), &[]),
        (
            "sent elsewhere",
            |neon| neon.fail("GET", "/auth", Fault::RefuseWith(302, "", "location: http://127.0.0.1:9/x\r\n".to_owned())),
            &[],
        ),
        ("a region that is not offered", |_| (), &["--region", "azure-gwc"]),
        ("sizes too far apart", |_| (), &["--min-cu", "1", "--max-cu", "12"]),
        ("a reserved name", |_| (), &["--role", "pg_admin"]),
    ];
    let mut page = String::new();
    for (what, prepare, more) in cases {
        let house = House::new().await;
        prepare(&house.neon);
        let words: Vec<&str> = ["--yes", "--quiet"].iter().chain(more).copied().collect();
        // A flag that is given twice is refused by its parser, so what a case gives replaces the common one.
        let state = house.state();
        let values = VALUES.chunks(2).filter(|pair| !more.contains(&pair[0])).flatten().copied();
        let fixed = ["create-project", "--api-url", &house.neon.url, "--state-dir", state.to_str().unwrap()];
        let run = Run::new(fixed.into_iter().chain(values).chain(words)).env("NEON_API_KEY", KEY);
        let outcome = run.env("NEON_MIGRATE_API_PACE", PACE).finish(LIMIT).await;
        house.assert_no_secret(&outcome);
        assert_eq!(house.neon.projects(), 0, "{what}");
        page += &format!("── {what} (exit code {:?})\n{}\n", outcome.code().unwrap(), outcome.stderr);
    }
    insta::with_settings!({filters => [(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "REQUEST-ID")]}, {
        assert_snapshot!("failures_of_the_api", page);
    });
}

#[tokio::test]
async fn failures_of_the_way_there_are_told_too() {
    let house = House::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let at = |url: &str| {
        let state = house.state();
        Run::new(["create-project", "--yes", "--api-url", url, "--state-dir", state.to_str().unwrap()])
            .env("NEON_API_KEY", KEY)
            .env("NEON_MIGRATE_API_PACE", "1,300,300")
            .finish(LIMIT)
    };
    for (url, code, exit) in [
        (nobody.as_str(), "neon-unreachable", 9),
        ("https://no-such-host.invalid", "neon-unreachable", 9),
        ("http://console.neon.tech/api/v2", "neon-api-url", 2),
        (&format!("https://localhost:{}", stranger().await), "neon-tls", 9),
    ] {
        let outcome = at(url).await.expect_code(exit);
        assert!(outcome.stderr.contains(&format!("error[{code}]")), "{url}: {}", outcome.stderr);
        house.assert_no_secret(&outcome);
    }
    (0..40).for_each(|_| house.neon.fail("GET", "/auth", Fault::Silence));
    let outcome = at(&house.neon.url).await.expect_code(9);
    assert!(outcome.stderr.contains("error[neon-timeout]"), "{}", outcome.stderr);
    let state = house.state();
    let outcome = Run::new(["create-project", "--yes", "--state-dir", state.to_str().unwrap()]).finish(LIMIT).await.expect_code(2);
    assert!(outcome.stderr.contains("error[neon-key-missing]"), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_wrong_key_is_not_repeated_by_whoever_repeats_it() {
    let house = House::new().await;
    let outcome = house.command(&["--yes"]).env("NEON_API_KEY", "napi_plantedWrong77").finish(LIMIT).await.expect_code(9);
    assert!(outcome.stderr.contains("neon-key-refused") && outcome.stderr.contains("[hidden]"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("plantedWrong77"), "{}", outcome.stderr);
}

#[tokio::test]
async fn nobody_knows_whether_it_was_created() {
    let house = House::new().await;
    house.neon.fail("POST", "/projects", Fault::CutAfter);
    // The two lists before the creation are answered.
    (0..2).for_each(|_| house.neon.fail("GET", "/projects", Fault::None));
    (0..40).for_each(|_| house.neon.fail("GET", "/projects", Fault::CutBefore));
    let outcome = house.run(&["--yes"]).await.expect_code(9);
    assert!(outcome.stderr.contains("error[neon-lost-answer]"), "{}", outcome.stderr);
    assert_eq!((house.neon.projects(), house.neon.creations().len()), (1, 1));
}

#[tokio::test]
async fn operations_that_fail_or_do_not_end_are_told_and_the_project_is_kept_in_mind() {
    let house = House::new().await;
    house.neon.with(|state| state.ends_as = "failed");
    let outcome = house.run(&["--yes"]).await.expect_code(9);
    assert!(outcome.stderr.contains("error[neon-operation-failed]"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("\"the sofa is too heavy\".") && outcome.stderr.contains("calm-lake-1"), "{}", outcome.stderr);
    assert_eq!((house.saved()["id"].as_str(), &house.saved()["connection"]), (Some("calm-lake-1"), &Value::Null));

    let house = House::new().await;
    house.neon.with(|state| state.polls = u32::MAX);
    let run = house.command(&["--yes"]).env("NEON_MIGRATE_API_PACE", "5,1500,200").finish(LIMIT).await.expect_code(9);
    assert!(run.stderr.contains("error[neon-operations-late]") && run.stderr.contains("create_timeline"), "{}", run.stderr);
    assert_eq!(house.saved()["id"], "calm-lake-1");
}

#[tokio::test]
async fn ctrl_c_while_neon_is_at_work_keeps_what_is_known() {
    let house = House::new().await;
    house.neon.with(|state| state.polls = u32::MAX);
    let run = house.command(&["--yes"]).start();
    house.neon.until_asked("GET", "/op-2").await;
    run.signal(libc::SIGINT);
    let outcome = run.finish(LIMIT).await.expect_code(130);
    assert!(outcome.stderr.contains("the project was created") && outcome.stderr.contains("calm-lake-1"), "{}", outcome.stderr);
    assert_eq!(house.saved()["id"], "calm-lake-1");
}

#[tokio::test]
async fn ctrl_c_while_neon_thinks_about_the_creation_waits_for_the_answer() {
    let house = House::new().await;
    house.neon.fail("POST", "/projects", Fault::Silence);
    let run = house.command(&["--yes"]).start();
    house.neon.until_asked("POST", "/projects").await;
    run.signal(libc::SIGINT);
    let outcome = run.finish(LIMIT).await.expect_code(9);
    assert!(outcome.stderr.contains("error[neon-lost-answer]"), "{}", outcome.stderr);
    assert_eq!((house.neon.projects(), house.neon.creations().len()), (1, 1));
}

/// The port of a server whose certificate nobody has signed but itself.
async fn stranger() -> u16 {
    use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            assert!(acceptor.accept(stream).await.is_err(), "a stranger was trusted");
        }
    });
    port
}

#[tokio::test]
async fn on_a_terminal_the_key_is_asked_for_unseen_and_the_project_confirmed() {
    for (answer, projects, code) in [("y", 1, 0), ("n", 0, 2), ("", 0, 2)] {
        let house = House::new().await;
        let org = |id: &str| json!({ "id": id, "name": id, "plan": "scale" });
        house.neon.with(|state| state.organizations = json!([org("org-a"), org("org-b")]));
        let mut command = Command::new(env!("CARGO_BIN_EXE_neon-migrate"));
        command.args(["create-project", "--api-url", &house.neon.url, "--state-dir", house.state().to_str().unwrap()]).args(VALUES);
        command.env_remove("NEON_API_KEY").env_remove("NEON_MIGRATE_SOURCE").env("NEON_MIGRATE_API_PACE", PACE).env("TERM", "dumb");
        let (mut terminal, mut child) = Terminal::start(&mut command);
        terminal.answer("Neon API key", KEY).await;
        terminal.answer("Its number: ", "2").await;
        terminal.answer("Create it? [y/N] ", answer).await;
        let begun = Instant::now();
        let status = poll::until(Duration::from_secs(30), "the process ends", async || child.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(code), "after {:?}: {}", begun.elapsed(), terminal.shown());
        assert!(!terminal.shown().contains(KEY), "the key is shown: {}", terminal.shown());
        assert_eq!(house.neon.projects(), projects);
        assert!(house.neon.creations().iter().all(|made| made["org_id"] == "org-b"));
    }
}

#[tokio::test]
async fn ctrl_c_at_a_question_ends_it_and_gives_the_echo_back() {
    let house = House::new().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_neon-migrate"));
    command.args(["create-project", "--api-url", &house.neon.url, "--state-dir", house.state().to_str().unwrap()]);
    command.env_remove("NEON_API_KEY").env_remove("NEON_MIGRATE_SOURCE").env("TERM", "dumb");
    let (terminal, mut child) = Terminal::start(&mut command);
    poll::until_true(Duration::from_secs(20), "the question", async || terminal.shown().contains("Neon API key")).await;
    assert!(!terminal.echoes(), "the key would be shown");
    crate::support::postgres::signal(child.id(), libc::SIGINT);
    let status = poll::until(Duration::from_secs(20), "the process ends", async || child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(130), "{}", terminal.shown());
    assert!(terminal.echoes(), "the terminal stays silent");
    assert_eq!(house.neon.requests("GET", ""), 0);
}
