//! `neon-migrate check` through the front door.

use std::time::Duration;

use serde_json::Value;

use crate::support::child::{Outcome, Run};
use crate::support::cluster::Cluster;
use crate::support::roles::owner_of;

const LIMIT: Duration = Duration::from_secs(60);
/// No part of it occurs anywhere by chance.
const PASSWORD: &str = "plantedPw8264";

async fn check(source: &str, more: &[&str]) -> Outcome {
    Run::new([&["check"], more].concat()).env("NEON_MIGRATE_SOURCE", source).finish(LIMIT).await
}

async fn json(source: &str, more: &[&str]) -> Value {
    let outcome = check(source, &[&["--output", "json"], more].concat()).await;
    assert_eq!(outcome.stdout.lines().count(), 1, "{}", outcome.stdout);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(outcome.code(), Some(if report["blocked"] == true { 3 } else { 0 }), "{}", outcome.stderr);
    report
}

fn status(report: &Value, code: &str) -> Vec<String> {
    let outcomes = report["outcomes"].as_array().unwrap().iter();
    outcomes.filter(|outcome| outcome["code"] == code).map(|outcome| outcome["status"].as_str().unwrap().to_owned()).collect()
}

fn way<'a>(report: &'a Value, id: &str) -> &'a str {
    report["ways"].as_array().unwrap().iter().find(|way| way["id"] == id).unwrap()["open"].as_str().unwrap()
}

/// Codes, statuses and sentences: all that does not change from one second to the next.
fn said(report: &Value) -> Vec<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |outcome: &Value| {
        let findings = outcome["findings"].as_array().unwrap();
        (text(&outcome["code"]), text(&outcome["status"]), findings.iter().map(|finding| text(&finding["sentence"])).collect())
    };
    report["outcomes"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn a_plain_source_is_ready_and_the_five_come_first() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        let report = json(&source, &["--once"]).await;
        assert_eq!((&report["event"], &report["blocked"]), (&"checkup".into(), &false.into()), "{report:#}");
        let five: Vec<&str> = report["headlines"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(
            five,
            ["postgres_version", "region", "supported_extensions", "extension_versions", "logical_replication"],
            "Postgres {major}"
        );
        let text = check(&source, &["--once"]).await.expect_code(0).stdout;
        let places: Vec<usize> =
            ["Postgres version", "Hosting region", "Supported extensions", "Extension versions", "Logical replication", "Notes"]
                .into_iter()
                .filter_map(|words| text.find(words))
                .collect();
        assert!(places.len() >= 5 && places.is_sorted(), "{text}");
        assert!(text.contains("Ready: 0 blockers"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "a line is too long:\n{text}");
    }
}

#[tokio::test]
async fn what_blocks_ends_with_3_and_live_replication_weighs_by_the_wish() {
    let cluster = Cluster::build(17).with_setting("wal_level", "replica").start().await;
    cluster.create_database("src").await;
    cluster.psql("src", "create table public.\"No \"\"key\" (note text)").await;
    let source = cluster.superuser_url("src");
    let open = json(&source, &[]).await;
    let live = json(&source, &["--live"]).await;
    let once = json(&source, &["--once"]).await;
    assert_eq!([&open, &live, &once].map(|report| report["blocked"].as_bool().unwrap()), [false, true, false]);
    for report in [&open, &live, &once] {
        let found = report["outcomes"].as_array().unwrap().iter().find(|outcome| outcome["code"] == "F1").unwrap();
        assert_eq!(found["findings"][0]["if_live"], "blocker");
        assert_eq!((way(report, "copy_once"), way(report, "live_relay")), ("yes", "no"), "{report:#}");
    }
    let severity = |report: &Value| {
        let found = report["outcomes"].as_array().unwrap().iter().find(|outcome| outcome["code"] == "B3").unwrap();
        found["findings"][0]["severity"].as_str().unwrap().to_owned()
    };
    assert_eq!([severity(&open), severity(&live), severity(&once)], ["warning", "blocker", "note"]);
    assert_eq!(open["headlines"][4]["standing"], "attention");
}

#[tokio::test]
async fn a_pair_is_compared_and_measured() {
    let (old, new) = (Cluster::start(14).await, Cluster::start(18).await);
    let source = old.plain_owner("src").await;
    let target = new.neon_shaped_target("dst").await;
    old.psql("src", "create table t as select n, repeat('x', 500) from generate_series(1, 20000) n; analyze t").await;
    let report = json(&source, &["--target", &target]).await;
    let estimate = &report["estimate"];
    assert!(estimate["source_rate"].as_f64().unwrap() > 1e6 && estimate["target_rate"].as_f64().unwrap() > 1e6, "{estimate:#}");
    assert!(estimate["copy_s"][0].as_u64() <= estimate["copy_s"][1].as_u64() && estimate["wal_rate"].is_number(), "{estimate:#}");
    assert_eq!(report["target"]["provider"], "Neon");
    assert_eq!(status(&report, "I1"), ["passed"]);
    let left: i64 = new.query("dst", "select count(*) from pg_class where relname = 'neon_migrate_probe'").await.parse().unwrap();
    assert_eq!(left, 0);
    new.psql("dst", "create table public.full (id int)").await;
    let report = json(&source, &["--target", &target]).await;
    assert_eq!((status(&report, "I1"), way(&report, "copy_once")), (vec!["found".to_owned()], "no"));
}

#[tokio::test]
async fn the_published_facts_of_neon_stand_for_a_target_that_is_not_there() {
    let cluster = Cluster::start(16).await;
    cluster.psql("postgres", "create database src encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0").await;
    cluster.psql("src", "create extension hstore; create extension file_fdw").await;
    let source = cluster.superuser_url("src");
    let alone = json(&source, &[]).await;
    assert_eq!(
        (status(&alone, "E1"), status(&alone, "D1")),
        (vec!["not_applicable".to_owned()], vec!["not_applicable".to_owned()])
    );
    assert_eq!(alone["headlines"][2]["standing"], "attention", "extensions are compared with Neon whatever the target is");
    assert_eq!(alone["blocked"], false, "and never block");
    let neon = json(&source, &["--neon"]).await;
    assert_eq!((status(&neon, "E1"), status(&neon, "D1")), (vec!["found".to_owned()], vec!["found".to_owned()]), "{neon:#}");
    assert_eq!((&neon["target"]["assumed"], &neon["target"]["provider"]), (&true.into(), &"Neon".into()));
}

#[tokio::test]
async fn a_file_of_answers_says_what_a_session_says() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.load_odd("src").await;
        let dir = tempfile::tempdir().unwrap();
        let (script, file) = (dir.path().join("questions.sql"), dir.path().join("metadata.jsonl"));
        let printed = Run::new(["check", "--only-metadata"]).finish(LIMIT).await.expect_code(0).stdout;
        assert!(!printed.lines().any(|line| line.starts_with('\\')), "it is plain SQL");
        std::fs::write(&script, printed).unwrap();
        // As a superuser over a socket both times, so that neither sees more than the other.
        let source = format!("postgresql://postgres@/src?host={}&port={}", cluster.socket_dir().display(), cluster.port);
        std::fs::write(&file, cluster.psql_file("src", &script).await).unwrap();
        let from_file = json("", &["--from-file", file.to_str().unwrap()]).await;
        let live = json(&source, &[]).await;
        // Settings of the session itself differ between psql's and ours, and so do the sessions that there are.
        let own = ["A2", "A7", "B7", "B9", "G24"];
        let comparable = |report: &Value| {
            let mut said = said(report);
            said.retain(|(code, ..)| !own.contains(&code.as_str()));
            said
        };
        let (left, right) = (comparable(&from_file), comparable(&live));
        let evaluated = left.iter().filter(|(_, status, _)| status != "not_applicable").count();
        assert!(evaluated > 50, "only {evaluated} checks were evaluated from the file");
        for (left, right) in left.iter().zip(&right) {
            let probe_or_machine = left.1 == "not_applicable";
            assert!(probe_or_machine || left == right, "Postgres {major}: {left:?}\n{right:?}");
        }
        assert_eq!(from_file["holdings"], live["holdings"]);
    }
}

#[tokio::test]
async fn a_question_that_failed_is_not_evaluated_and_other_files_are_refused() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("src").await;
    let dir = tempfile::tempdir().unwrap();
    let (script, file) = (dir.path().join("questions.sql"), dir.path().join("metadata.jsonl"));
    std::fs::write(&script, Run::new(["check", "--only-metadata"]).finish(LIMIT).await.expect_code(0).stdout).unwrap();
    let answers = cluster.psql_file("src", &script).await;
    let path = file.to_str().unwrap();
    // Without every second answer but the first, which every report needs.
    let some: Vec<&str> = answers.lines().enumerate().filter(|(n, _)| *n < 12 || n % 2 == 0).map(|(_, line)| line).collect();
    std::fs::write(&file, some.join("\n")).unwrap();
    let report = json("", &["--from-file", path]).await;
    let blind = said(&report).into_iter().filter(|(_, status, _)| status == "not_evaluated").count();
    assert!(blind > 10, "{blind}");
    assert_ne!(way(&report, "live_subscription"), "yes");
    for (text, code) in [("select 1", "metadata-file"), (answers.lines().next().unwrap(), "metadata-file")] {
        std::fs::write(&file, text).unwrap();
        let refused = check("", &["--from-file", path]).await.expect_code(2);
        assert!(refused.stderr.contains(&format!("error[{code}]")), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn nothing_changes_on_the_source_and_no_password_is_shown() {
    let cluster = Cluster::start(17).await;
    cluster.load_odd("src").await;
    cluster.psql("postgres", &format!("create role app superuser login password '{PASSWORD}'")).await;
    let before = cluster.pg_dump("src", &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let files = ["r.html", "r.md", "r.json"].map(|name| dir.path().join(name));
    let url = cluster.url("app", PASSWORD, "src");
    let mut args = vec!["check".to_owned(), url, "-vv".to_owned()];
    args.extend(files.iter().flat_map(|file| ["--report".to_owned(), file.display().to_string()]));
    let outcome = Run::new(&args).finish(LIMIT).await;
    assert!(outcome.code() == Some(0) || outcome.code() == Some(3), "{}", outcome.stderr);
    let shown = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>();
    for text in [&outcome.stdout, &outcome.stderr, &shown] {
        assert!(!text.contains(PASSWORD), "a password is shown");
    }
    assert!(outcome.stderr.contains("command line"), "{}", outcome.stderr);
    assert!(cluster.pg_dump("src", &[]).await == before, "the source was changed");
}

#[tokio::test]
async fn a_provider_is_seen_and_its_platform_stays_behind() {
    let cluster = Cluster::start(16).await;
    let rds = cluster.rds_like("shop").await;
    let report = json(&rds, &["--live"]).await;
    assert_eq!(report["source"]["provider"], "Amazon RDS");
    cluster.psql("postgres", "create role supabase_admin superuser; alter role supabase_admin nologin").await;
    cluster
        .psql(
            "shop",
            "drop role if exists nobody_at_all;
             create schema auth; create table auth.\"no key\" (n int); create table public.mine (n int)",
        )
        .await;
    let report = json(&cluster.superuser_url("shop"), &["--live"]).await;
    assert_eq!(report["source"]["provider"], "Supabase");
    let named = |report: &Value| {
        let found = report["outcomes"].as_array().unwrap().iter().find(|outcome| outcome["code"] == "F1").unwrap();
        found["findings"][0]["objects_total"].as_u64()
    };
    assert_eq!(named(&report), Some(1), "auth belongs to the platform");
    let copies = |report: &Value| {
        let plan = report["plan"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap_or_default().to_owned());
        plan.filter(|command| command.starts_with("neon-migrate copy")).collect::<Vec<_>>()
    };
    assert_eq!(copies(&report), ["neon-migrate copy --exclude auth"], "what was not looked at is not copied");
    assert_eq!(named(&json(&cluster.superuser_url("shop"), &["--live", "--with-platform"]).await), Some(2));
}

#[tokio::test]
async fn a_role_with_no_right_gets_a_report_that_says_what_it_does_not_know() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.load_odd("src").await;
        cluster.psql("postgres", "create role nobody_much login password 'n'").await;
        let report = json(&cluster.url("nobody_much", "n", "src"), &["--live"]).await;
        assert_eq!(report["blocked"], true);
        assert_eq!(way(&report, "copy_once"), "no");
        for outcome in report["outcomes"].as_array().unwrap() {
            let blind = outcome["status"] == "not_evaluated";
            for finding in outcome["findings"].as_array().unwrap() {
                let says = finding["sentence"].as_str().unwrap().starts_with("Not evaluated: ");
                assert!(!blind || says && finding["fix"].is_string(), "{outcome:#}");
            }
        }
        assert!(!cluster.log().contains("statement timeout"), "{}", cluster.log());
        assert!(owner_of("src").starts_with("src"));
    }
}

#[tokio::test]
async fn codes_are_explained_and_slips_are_told() {
    let text = Run::new(["check", "--explain", "f1"]).finish(LIMIT).await.expect_code(0).stdout;
    assert!(text.starts_with("F1  Replica identity\n"), "{text}");
    let all = Run::new(["check", "--explain", "all"]).finish(LIMIT).await.expect_code(0).stdout;
    assert!(["A3  ", "B3  ", "C6  ", "D1  ", "E2  ", "I1  ", "S1  "].iter().all(|code| all.contains(code)));
    let cases = [
        (vec!["check", "--explain", "Z9"], "unknown-check"),
        (vec!["check"], "no-source"),
        (vec!["check", "postgresql://localhost/d", "--report", "report"], "report-form"),
        (vec!["check", "postgresql://localhost/d", "--report", "/nonexistent/r.md"], "report-file"),
        (vec!["check", "--from-file", "/nonexistent/file"], "metadata-file"),
    ];
    for (args, code) in cases {
        let outcome = Run::new(&args).finish(LIMIT).await.expect_code(2);
        assert!(outcome.stderr.contains(&format!("error[{code}]")), "{args:?}: {}", outcome.stderr);
    }
}
