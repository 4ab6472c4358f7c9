//! The report as it looks at 80 columns, in a ticket, and to a program.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::engine::checkup::{PlanStep, TopTable, UsedSequence};

fn outcome(code: &str, status: Status, findings: Vec<Finding>) -> Outcome {
    Outcome { code: code.to_owned(), title: format!("What {code} looks at"), status, reason: None, findings }
}

fn headline(id: &str, title: &str, standing: Standing, sentence: &str, items: &[&str]) -> Headline {
    let items = items.iter().map(|item| (*item).to_owned()).collect();
    Headline { id: id.to_owned(), title: title.to_owned(), standing, sentence: sentence.to_owned(), items, fix: None }
}

fn way(id: &str, kind: WayKind, title: &str, open: Open, reason: &str) -> Way {
    Way { id: id.to_owned(), kind, title: title.to_owned(), open, reasons: vec![reason.to_owned()] }
}

fn checkup() -> Checkup {
    let sentence = "2 tables have no replica identity, and one of them has been updated.".to_owned();
    let why = "Once they are published, the source refuses every update and delete of their rows.";
    let mut blocker = Finding::new("F1", Severity::Blocker, "source", sentence, why)
        .with_objects(vec!["table shop.\"Odd \"\"name\"".to_owned(), "table shop.log (12 updates)".to_owned()])
        .with_fix("Execute this on the source as the owner of the tables:\nalter table \"shop\".\"log\" replica identity full;");
    blocker.objects_total = 31;
    blocker.if_live = Some(Severity::Blocker);
    let note = Finding::new("A8", Severity::Note, "source", "Sessions begin with statement_timeout = 60000 ms.".to_owned(), "Why.");
    let blind =
        Finding::not_evaluated("I7", "source", "it is not known which standbys there are, because the role may not see them.")
            .with_fix("Execute this on the source as a superuser:\ngrant pg_monitor to \"app\";");
    let database = |label: &str, provider: &str, region: Option<&str>, assumed: bool| Database {
        label: label.to_owned(),
        server: "Postgres 17.10".to_owned(),
        provider: provider.to_owned(),
        region: region.map(str::to_owned),
        database: "shop".to_owned(),
        role: "app".to_owned(),
        bytes: (!assumed).then_some(13_207_024_435),
        assumed,
    };
    Checkup {
        version: "0.1.0".to_owned(),
        at: "2026-11-24T20:00:00Z".parse().unwrap(),
        elapsed_ms: 930,
        source: database("app@shop.abc.eu-central-1.rds.amazonaws.com:5432/shop", "Amazon RDS", Some("AWS eu-central-1"), false),
        target: Some(database("a project at Neon, by published facts", "Neon", Some("aws-eu-central-1"), true)),
        headlines: vec![
            headline(
                "postgres_version",
                "Postgres version",
                Standing::Good,
                "The source is Postgres 17.10; Neon offers the same major.",
                &[],
            ),
            headline(
                "supported_extensions",
                "Supported extensions",
                Standing::Attention,
                "Neon offers 1 of the 2 extensions of the database on Postgres 17. Nothing is blocked by it.",
                &["hstore: offered", "pgaudit: not offered. Neon does not offer it."],
            ),
            headline("logical_replication", "Logical replication", Standing::Blocked, "It is off: wal_level is replica.", &[]),
        ],
        outcomes: vec![
            outcome("A8", Status::Found, vec![note]),
            outcome("C6", Status::Passed, Vec::new()),
            outcome("F1", Status::Found, vec![blocker]),
            outcome("I7", Status::NotEvaluated, vec![blind]),
        ],
        ways: vec![
            way("copy_once", WayKind::Move, "Copy once, with writes stopped", Open::Yes, "Writes stop for as long as it takes."),
            way("live_relay", WayKind::Move, "Live, by a relay", Open::No, "F1: 2 tables have no replica identity."),
            way("lock_tables", WayKind::Fence, "Lock the tables", Open::Yes, "Writers wait."),
            way("reverse", WayKind::Rollback, "Go back after the switch", Open::Unknown, "It depends on the target."),
        ],
        estimate: Some(Estimate {
            source_rtt_ms: 21.43,
            target_rtt_ms: 18.0,
            source_rate: 52_000_000.0,
            target_rate: 31_000_000.0,
            copy_s: (107, 620),
            wal_rate: Some(1_500_000.0),
            wal_retained: Some((160_500_000, 930_000_000)),
            assumptions: vec!["Sizes are those of the last vacuum or analyze.".to_owned()],
        }),
        holdings: Some(Holdings {
            objects: vec![("tables".to_owned(), 214), ("indexes".to_owned(), 512)],
            top_tables: vec![TopTable {
                name: "shop.order_items_with_a_name_that_is_longer_than_its_column_allows".to_owned(),
                rows: Some(41_207_115),
                heap_bytes: 4_500_000_000,
                toast_bytes: 8192,
                index_bytes: 3_100_000_000,
            }],
            sequences: vec![UsedSequence {
                name: "shop.orders_id_seq".to_owned(),
                percent: 91,
                last_value: "1954210122".to_owned(),
                max_value: "2147483647".to_owned(),
            }],
        }),
        plan: vec![PlanStep {
            title: "Create the Neon project".to_owned(),
            sentence: "Postgres 17; it asks before it creates.".to_owned(),
            command: Some("neon-migrate create-project".to_owned()),
        }],
    }
}

#[test]
fn at_80_columns() {
    let lines: Vec<String> = lines(&checkup(), 80).iter().map(Line::unpainted).collect();
    for line in lines.iter().filter(|line| !line.starts_with("    alter") && !line.starts_with("    grant")) {
        assert!(unicode_width::UnicodeWidthStr::width(line.as_str()) <= 80, "{line}");
    }
    insta::assert_snapshot!("checkup_at_80_columns", lines.join("\n"));
}

#[test]
fn what_was_not_told_is_said() {
    let mut checkup = checkup();
    assert!(checkup.gaps().is_empty(), "a target that does not exist yet is not measured");
    (checkup.estimate, checkup.holdings) = (None, None);
    checkup.target = Some(Database { assumed: false, ..checkup.source.clone() });
    let text: Vec<String> = lines(&checkup, 80).iter().map(Line::unpainted).collect();
    assert!(text.iter().any(|line| line.contains("was not reckoned")) && text.iter().any(|line| line.contains("is not listed")));
    let (markdown, html) = (checkup_file::markdown(&checkup), checkup_file::html(&checkup).unwrap());
    assert!(checkup.gaps().iter().all(|gap| markdown.contains(gap) && html.contains(gap)));
}

#[test]
fn quietly_only_what_matters_is_said() {
    let lines: Vec<String> = short(&checkup(), 80).iter().map(Line::unpainted).collect();
    insta::assert_snapshot!("checkup_quietly", lines.join("\n"));
}

#[test]
fn in_a_ticket() {
    insta::assert_snapshot!("checkup_markdown", checkup_file::markdown(&checkup()));
}

#[test]
fn to_a_program() {
    let value: serde_json::Value = serde_json::from_str(&checkup_file::json(&checkup())).unwrap();
    insta::assert_snapshot!("checkup_json", serde_json::to_string_pretty(&value).unwrap());
    let again: Checkup = serde_json::from_value(value).unwrap();
    assert_eq!(again, checkup(), "what is written can be read again");
}
