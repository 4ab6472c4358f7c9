#![allow(clippy::unwrap_used, clippy::expect_used)]

use insta::assert_snapshot;

use super::*;
use crate::engine::event::{EventKind, Outcome, PlannedTable, TableState, TableVerdict, Verdict};
use crate::engine::finding::{Finding, Severity};
use crate::engine::progress::{BuildProgress, TableProgress};
use crate::engine::report::Exit;

/// A story: its events, a second apart unless said otherwise.
pub(crate) struct Story {
    events: Vec<Event>,
    at: Timestamp,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story { events: Vec::new(), at: "2026-11-23T12:00:00Z".parse().unwrap() }
    }

    pub(crate) fn then(mut self, kind: EventKind) -> Story {
        self.at += jiff::SignedDuration::from_secs(1);
        self.events.push(Event { index: self.events.len() as u64 + 1, at: self.at, kind });
        self
    }

    fn later(mut self, seconds: i64) -> Story {
        self.at += jiff::SignedDuration::from_secs(seconds);
        self
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn view(&self) -> View {
        let mut view = View::default();
        self.events.iter().for_each(|event| view.apply(event));
        view
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The first event of a run of this process.
    pub(crate) fn events_of_a_run(&self) -> EventKind {
        EventKind::RunStarted {
            command: "copy".into(),
            version: "0.1.0".into(),
            pid: std::process::id(),
            source: "app@db.example.org:5432/shop".into(),
            target: "app@ep-calm-sea-123.eu-central-1.aws.neon.tech:5432/shop".into(),
        }
    }

    /// The story up to the middle of the copy.
    pub(crate) fn copying() -> Story {
        let finding =
            Finding::new("C6", Severity::Warning, "public.Odd \"name\"", "The index is invalid.".into(), "It is not built.")
                .with_fix("reindex index concurrently public.orders_bad;")
                .with_objects((1..=25).map(|n| format!("public.i{n}")).collect());
        Story::new()
            .then(EventKind::RunStarted {
                command: "copy".into(),
                version: "0.1.0".into(),
                pid: 4242,
                source: "app@db.example.org:5432/shop".into(),
                target: "app@ep-calm-sea-123.eu-central-1.aws.neon.tech:5432/shop".into(),
            })
            .then(EventKind::PhaseStarted { phase: Phase::Preflight })
            .then(EventKind::FindingRaised { finding })
            .then(EventKind::PhaseFinished { phase: Phase::Preflight })
            .then(EventKind::PhaseStarted { phase: Phase::Schema })
            .then(EventKind::StepStarted {
                step: "schema.dump".into(),
                phase: Phase::Schema,
                title: "Reading the definitions".into(),
            })
            .then(EventKind::StepFinished { step: "schema.dump".into(), outcome: Outcome::Success, message: "214 objects.".into() })
            .then(EventKind::LeftOut {
                kind: "EXTENSION".into(),
                name: "pg_cron".into(),
                reason: "The target does not have it.".into(),
            })
            .then(EventKind::PhaseFinished { phase: Phase::Schema })
            .then(EventKind::PhaseStarted { phase: Phase::Copy })
            .then(plan())
            .then(EventKind::SnapshotTaken { generation: 1, lsn: "0/1A2B3C4".into() })
            .then(table(1, TableState::Copying, 0, 0))
            .then(table(2, TableState::Copying, 0, 0))
            .then(EventKind::Retrying {
                what: "the copy of public.events".into(),
                attempt: 1,
                attempts_max: 12,
                delay_ms: 430,
                reason: "The connection to the source was lost.".into(),
            })
            .later(40)
            .then(table(3, TableState::Copied, 12, 4096))
            .then(verdict(3, Verdict::Match))
            .then(EventKind::PhaseStarted { phase: Phase::Index })
            .then(EventKind::BuildStarted { id: 9, kind: "INDEX".into(), name: "public.orders_pkey".into() })
    }

    pub(crate) fn ended_with(self, verdicts: [Verdict; 2]) -> Story {
        let exit = if verdicts.contains(&Verdict::Mismatch) { Exit::Mismatch } else { Exit::Done };
        self.then(table(1, TableState::Copied, 1_234_567, 600 << 20))
            .then(table(2, TableState::Copied, 765_433, 424 << 20))
            .then(EventKind::SnapshotReleased { generation: 1 })
            .then(EventKind::PhaseFinished { phase: Phase::Copy })
            .then(EventKind::BuildFinished { ids: vec![7, 8, 9] })
            .then(EventKind::PhaseFinished { phase: Phase::Index })
            .then(EventKind::PhaseStarted { phase: Phase::Verify })
            .then(verdict(1, verdicts[0]))
            .then(verdict(2, verdicts[1]))
            .then(EventKind::InventoryCompared {
                objects: 214,
                differences: if exit == Exit::Done { vec![] } else { vec!["Index public.orders_by_day is missing.".into()] },
                explained: vec![
                    "The extension pg_cron is missing on the target. The target does not have it.".into(),
                    "The publication feed is missing on the target. Publications are not carried over.".into(),
                ],
                not_compared: vec![
                    "Not compared, because Postgres 17 and 18 write it differently: the body of 3 functions.".into(),
                    "Not compared, because they are not kept: owners and grants.".into(),
                ],
            })
            .then(EventKind::PhaseFinished { phase: Phase::Verify })
            .then(EventKind::RunFinished { exit, report: (exit == Exit::Mismatch).then(mismatch) })
    }
}

fn table(id: u32, state: TableState, rows: u64, bytes: u64) -> EventKind {
    EventKind::Table { id, state, rows, bytes }
}

const NAMES: [&str; 3] =
    ["public.orders", "public.events", "\"Odd\".\"a\nname\u{1b}[31m of 63 bytes that is longer than most of them\""];

fn plan() -> EventKind {
    let planned = |id: u32, rows_estimate, bytes_estimate| PlannedTable {
        id,
        name: NAMES[id as usize - 1].into(),
        rows_estimate,
        bytes_estimate,
        parts: 1,
        format: "binary".into(),
        indexes: 1,
    };
    EventKind::PlanMade {
        tables: vec![planned(1, 1_200_000, 600 << 20), planned(2, 800_000, 500 << 20), planned(3, 10, 8192)],
        post_data: 3,
        jobs: 4,
    }
}

fn verdict(id: u32, verdict: Verdict) -> EventKind {
    let differs = verdict == Verdict::Mismatch;
    EventKind::TableVerified {
        result: TableVerdict {
            id,
            name: NAMES[id as usize - 1].into(),
            verdict,
            method: if verdict == Verdict::NotEvaluated { "none" } else { "hash" }.into(),
            source_rows: 1_000_000,
            target_rows: if differs { 999_999 } else { 1_000_000 },
            differences: if differs { vec!["missing (id)=(5)".into()] } else { vec![] },
            reason: (verdict == Verdict::NotEvaluated).then(|| "A column's type cannot be hashed.".into()),
        },
    }
}

fn mismatch() -> Report {
    Report::new("verification-mismatch", Exit::Mismatch, "1 table differs between the source and the target.")
        .with_cause(
            "A row of public.events is missing on the target, which nobody but an application or a person can have removed.",
        )
        .with_fix("Look at the keys above, then copy the table again:\nneon-migrate copy --resume --include public.events")
}

pub(crate) fn progress() -> Progress {
    Progress {
        at: None,
        rows: 900_000,
        bytes: 512 << 20,
        fraction: Some(0.437),
        bytes_per_second: Some(40.0 * 1_048_576.0),
        rows_per_second: Some(70_000.0),
        eta_seconds: Some((18, 25)),
        tables: vec![
            TableProgress { id: 1, rows: 700_000, bytes: 400 << 20, fraction: 0.583 },
            TableProgress { id: 2, rows: 200_000, bytes: 112 << 20, fraction: 0.25 },
            TableProgress { id: 3, rows: 5, bytes: 100, fraction: 0.5 },
            TableProgress { id: 99, rows: 1, bytes: 100, fraction: 0.0 },
            TableProgress { id: 100, rows: 1, bytes: 100, fraction: 0.0 },
        ],
        builds: vec![BuildProgress { id: 9, kind: "INDEX".into(), name: "public.orders_pkey".into(), percent: Some(40) }],
    }
}

pub(crate) fn shown(lines: &[Line]) -> String {
    lines.iter().map(|line| line.unpainted().trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn plain_log(story: &Story) -> String {
    let mut plain = plain::Plain::default();
    let mut view = View::default();
    let mut lines = Vec::new();
    for event in story.events() {
        view.apply(event);
        lines.extend(plain.event(event, &view));
        view.progress = Some(progress());
        lines.extend(plain.tick(&view, event.at));
    }
    shown(&lines)
}

#[test]
fn plain_lines() {
    assert_snapshot!(plain_log(&Story::copying().ended_with([Verdict::Match, Verdict::Mismatch])));
}

#[test]
fn json_lines() {
    let story = Story::copying().ended_with([Verdict::Mismatch, Verdict::NotEvaluated]);
    let mut lines: Vec<String> = story.events().iter().map(|event| recording::event_line(event).unwrap()).collect();
    lines.push(recording::progress_line(&progress()).unwrap());
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn live_lines() {
    let story = Story::copying();
    let view = story.view().with_progress(progress());
    let draw = |width: usize| {
        let lines: Vec<String> = term::lines(&view, story.now(), width)
            .iter()
            .map(|line| {
                let drawn = anstream::adapter::strip_str(&line.fit(width)).to_string();
                assert!(Line::new(&drawn).width() <= width, "{drawn}");
                drawn.trim_end().to_owned()
            })
            .collect();
        lines.join("\n")
    };
    assert_snapshot!(format!("{}\n--- narrow\n{}", draw(80), draw(50)));
}

#[test]
fn nothing_is_live_before_and_after_a_run() {
    let story = Story::copying().ended_with([Verdict::Match, Verdict::Match]);
    assert!(term::lines(&story.view(), story.now(), 80).is_empty());
    assert!(term::lines(&View::default(), story.now(), 80).is_empty());
}

#[test]
fn lasting_lines() {
    let story = Story::copying().ended_with([Verdict::Match, Verdict::Match]);
    let mut view = View::default();
    let mut lines = Vec::new();
    for event in story.events() {
        view.apply(event);
        lines.extend(term::lasting(event, &view, 80));
    }
    assert_snapshot!(shown(&lines));
}

#[test]
fn certificate_when_all_is_equal() {
    let view = Story::copying().ended_with([Verdict::Match, Verdict::Match]).view();
    assert_snapshot!(shown(&certificate::certificate(&view, 80)));
}

#[test]
fn certificate_when_a_table_differs() {
    let view = Story::copying().ended_with([Verdict::Match, Verdict::Mismatch]).view();
    assert_snapshot!(shown(&certificate::certificate(&view, 80)));
}

#[test]
fn certificate_when_a_table_was_not_compared() {
    let view = Story::copying().ended_with([Verdict::Hot, Verdict::NotEvaluated]).view();
    assert_snapshot!(shown(&certificate::certificate(&view, 80)));
}

#[test]
fn the_plan_of_a_dry_run() {
    let story = Story::new()
        .then(Story::new().events_of_a_run())
        .then(EventKind::PhaseStarted { phase: Phase::Schema })
        .then(plan())
        .then(EventKind::PhaseFinished { phase: Phase::Schema })
        .then(EventKind::RunFinished { exit: Exit::Done, report: None });
    assert_snapshot!(shown(&certificate::certificate(&story.view(), 80)));
}

#[test]
fn certificate_when_only_an_object_differs() {
    let all = Story::copying().ended_with([Verdict::Match, Verdict::Match]);
    let differing = EventKind::InventoryCompared {
        objects: 214,
        differences: vec!["The index public.orders_by_day is missing on the target.".into()],
        explained: Vec::new(),
        not_compared: Vec::new(),
    };
    let view = all.then(differing).then(EventKind::RunFinished { exit: Exit::Mismatch, report: None }).view();
    assert_snapshot!(shown(&certificate::certificate(&view, 80)));
}

#[test]
fn commands_in_a_fix_stay_as_they_are() {
    let fix = "Run this where it is, because of this and of that, and of some more reasons:\n  select  1,\n    2 -- a long line that is to be pasted and not to be broken, ever";
    let told = shown(&report::report(&Report::new("a-code", Exit::Target, "It failed.").with_fix(fix), 60));
    assert!(
        told.contains("\n      select  1,\n        2 -- a long line that is to be pasted and not to be broken, ever"),
        "{told}"
    );
}

#[test]
fn a_report() {
    assert_snapshot!(shown(&report::report(&mismatch(), 80)));
}

#[test]
fn colours_are_there_to_be_stripped() {
    let line = report::report(&mismatch(), 80)[0].to_string();
    assert!(line.contains("\u{1b}["));
    assert_eq!(anstream::adapter::strip_str(&line).to_string(), report::report(&mismatch(), 80)[0].unpainted());
}

/// Every name that a JSON line can hold, below `value`.
fn names(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                names(value, found);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => (),
    }
}

#[test]
fn the_json_guide_has_every_event_and_field() {
    let guide = include_str!("../../../docs/guide/json.md");
    let story = Story::copying().ended_with([Verdict::Mismatch, Verdict::NotEvaluated]);
    let more = [
        EventKind::StepFailed { step: "a".into(), report: mismatch() },
        EventKind::Notice { message: "N.".into(), warning: false },
        EventKind::BegunAnew,
    ];
    let story = more.into_iter().fold(story, Story::then);
    let mut found = Vec::new();
    let mut lines: Vec<String> = story.events().iter().map(|event| recording::event_line(event).unwrap()).collect();
    lines.push(recording::progress_line(&progress()).unwrap());
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        found.push(line["event"].as_str().unwrap().to_owned());
        names(&line, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    let missing: Vec<_> = found.iter().filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/guide/json.md does not say what these are: {missing:?}");
}
