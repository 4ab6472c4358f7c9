//! What is planted in a journal is not in its recording, and the recording tells the same story.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::cli::render::tests::Story;
use crate::engine::event::{Outcome, PlannedTable, TableVerdict, Verdict};
use crate::engine::finding::{Finding, Severity};
use crate::engine::phase::Phase;
use crate::engine::recording::{Item, Recording};
use crate::engine::step::Cx;

async fn journal(dir: &Path, kinds: Vec<EventKind>) {
    let cx = Cx::open(dir).await.unwrap();
    for kind in kinds {
        cx.emit(kind).await.unwrap();
    }
    cx.finish(Exit::Done, None).await.unwrap();
}

fn recorded(dir: &Path) -> String {
    let mut out = Vec::new();
    write(dir, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn items(text: &str) -> Vec<Item> {
    Recording::new(text.as_bytes(), Path::new("r")).collect::<Result<_, _>>().unwrap()
}

fn folded(items: &[Item]) -> View {
    let mut view = View::default();
    for item in items {
        if let Item::Event(event) = item {
            view.apply(event);
        }
    }
    view
}

#[tokio::test]
async fn the_recording_folds_to_the_view_of_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("shop-1");
    let story = Story::copying().ended_with([Verdict::Match, Verdict::NotEvaluated]);
    let mut kinds: Vec<EventKind> = story.events().iter().map(|event| event.kind.clone()).collect();
    kinds.pop();
    journal(&dir, kinds).await;
    let mut journal = View::default();
    History::open(&dir).unwrap().read(|event| journal.apply(&event)).unwrap();

    let items = items(&recorded(&dir));
    let mut again = folded(&items);
    let run = again.run.as_mut().unwrap();
    assert_eq!((run.source.as_str(), run.target.as_str()), ("source", "target"));
    let told = journal.run.clone().unwrap();
    (run.source, run.target) = (told.source, told.target);
    assert_eq!(again, journal);

    let samples: Vec<&Progress> =
        items.iter().filter_map(|item| if let Item::Progress(one) = item { Some(one) } else { None }).collect();
    let stored = History::open(&dir).unwrap().samples().unwrap();
    assert!(!stored.is_empty());
    assert_eq!(
        samples.iter().map(|one| (one.rows, one.bytes)).collect::<Vec<_>>(),
        stored.iter().map(|one| (one.rows, one.bytes)).collect::<Vec<_>>()
    );
    let times: Vec<_> = items.iter().filter_map(Item::at).collect();
    assert!(times.is_sorted(), "samples stand where they were taken");
}

fn server_said() -> Report {
    Report::new("target-failed", Exit::Target, "The target failed while copying public.t.")
        .with_cause("The server answered: value plantedRow is wrong: plantedRow (SQLSTATE P0001).")
        .with_cause("It is about the table public.t.")
        .with_cause("The server's hint: plantedRow")
        .with_cause("pg_restore: error: plantedRow")
        .with_fix("Connect to plantedHost.example.org as plantedUser with postgresql://plantedUser:plantedPw@plantedHost.example.org/plantedDb.")
}

fn planted() -> Vec<EventKind> {
    let result = TableVerdict {
        id: 1,
        name: "public.t".into(),
        verdict: Verdict::NotEvaluated,
        method: "none".into(),
        source_rows: 0,
        target_rows: 0,
        differences: vec!["missing (id)=(plantedRow)".into()],
        reason: Some("The target could not be read: the server answered: plantedRow (SQLSTATE 22P02).".into()),
    };
    let finding = Finding::not_evaluated("I7", "source", "the server answered: plantedRow (SQLSTATE XX000)")
        .with_fix("alter role \"plantedUser\" password 'plantedPw';")
        .with_objects(vec!["a session of plantedUser from 192.0.2.77".into()]);
    let differs =
        "The column public.t.c differs in default: on the source 'plantedRow'::text, on the target not set. It was announced.";
    vec![
        EventKind::Notice { message: "Before the labels are known, plantedUser waits.".into(), warning: false },
        EventKind::RunStarted {
            command: "copy".into(),
            version: "0.1.0".into(),
            pid: 7,
            source: "plantedUser@plantedHost.example.org:5432/plantedDb".into(),
            target: "plantedOwner@ep-planted-sea-1-pooler.eu.aws.neon.tech:5432/plantedDb".into(),
        },
        EventKind::FindingRaised { finding: Finding { severity: Severity::Warning, ..finding } },
        EventKind::StepStarted { step: "s".into(), phase: Phase::Schema, title: "Reading plantedHost.example.org".into() },
        EventKind::StepFinished { step: "s".into(), outcome: Outcome::Warning, message: "As plantedOwner.".into() },
        EventKind::StepFailed { step: "s".into(), report: server_said() },
        EventKind::Retrying {
            what: "copying from plantedHost.example.org:5432".into(),
            attempt: 1,
            attempts_max: 2,
            delay_ms: 1,
            reason: "The target failed while copying public.t. The server answered: plantedRow (SQLSTATE 57P01).".into(),
        },
        EventKind::LeftOut {
            kind: "MATERIALIZED VIEW".into(),
            name: "public.m".into(),
            reason: "The target refused it: plantedRow (SQLSTATE 22012).".into(),
        },
        EventKind::TableVerified { result },
        EventKind::InventoryCompared {
            objects: 1,
            differences: vec![differs.into()],
            explained: vec![differs.into(), "The default privileges of plantedOwner are missing on the target.".into()],
            not_compared: vec!["Not compared: the settings of the database plantedDb.".into()],
        },
        EventKind::Notice { message: "ep-planted-sea-1 sleeps; use --replace-target=plantedDb.".into(), warning: true },
        EventKind::RunFinished { exit: Exit::Target, report: Some(server_said()) },
    ]
}

#[tokio::test]
async fn nothing_that_is_planted_is_in_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("plantedDb-1");
    let mut kinds = planted();
    let in_state_dir = format!("The file {} is locked.", dir.join("lock").display());
    kinds.push(EventKind::Notice { message: in_state_dir, warning: false });
    journal(&dir, kinds).await;
    let text = recorded(&dir);
    let held: Vec<&str> = text.lines().filter(|line| line.contains("planted") || line.contains("192.0.2.77")).collect();
    assert!(held.is_empty(), "{held:#?}");
    for kept in [
        "The target failed while copying public.t.",
        "(SQLSTATE P0001)",
        "It is about the table public.t.",
        "differs in default",
        "[source user]",
        "[state directory]/lock",
    ] {
        assert!(text.contains(kept), "{kept} is gone:\n{text}");
    }
}

#[test]
fn samples_tell_how_far_it_was_and_how_fast() {
    let table = |id, rows| PlannedTable {
        id,
        name: format!("t{id}"),
        rows_estimate: rows,
        bytes_estimate: 8192,
        parts: 1,
        format: "binary".into(),
        indexes: 0,
    };
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let state = |id, state, rows| EventKind::Table { id, state, rows, bytes: rows * 10 };
    let kinds = [
        (0, EventKind::PlanMade { tables: vec![table(1, 100), table(2, 0)], post_data: 0, jobs: 1 }),
        (0, state(1, TableState::Copying, 0)),
        (5, state(1, TableState::Copied, 200)),
        (6, state(2, TableState::Copied, 0)),
    ];
    let samples = [(1, 0), (3, 50), (4, 150), (7, 200)].map(|(second, rows)| Sample { at: at(second), rows, bytes: rows * 10 });
    let mut out = Vec::new();
    let mut lines = Lines { out: &mut out, samples: samples.into(), view: View::default(), recent: VecDeque::new() };
    for (index, (second, kind)) in kinds.into_iter().enumerate() {
        lines.event(&Event { index: index as u64 + 1, at: at(second), kind }).unwrap();
    }
    lines.samples_before(None).unwrap();
    let told: Vec<_> = items(std::str::from_utf8(&out).unwrap())
        .into_iter()
        .filter_map(|item| if let Item::Progress(one) = item { Some((one.fraction, one.rows_per_second)) } else { None })
        .collect();
    assert_eq!(told, [(Some(0.0), None), (Some(0.5), Some(25.0)), (Some(0.99), Some(50.0)), (Some(1.0), None)]);
}
