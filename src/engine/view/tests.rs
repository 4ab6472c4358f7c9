#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Preflight, Phase::Schema, Phase::Copy, Phase::Index, Phase::Verify])
}

fn planned(id: TableId) -> PlannedTable {
    PlannedTable {
        id,
        name: format!("public.t{id}"),
        rows_estimate: 10,
        bytes_estimate: 100,
        parts: 1,
        format: "binary".into(),
        indexes: 1,
    }
}

fn any_table_event() -> impl Strategy<Value = EventKind> {
    let states = vec![TableState::Pending, TableState::Copying, TableState::Copied, TableState::Failed];
    (0..6_u32, prop::sample::select(states), 0..9_u64).prop_map(|(id, state, n)| EventKind::Table {
        id,
        state,
        rows: n,
        bytes: n * 10,
    })
}

fn any_verdict() -> impl Strategy<Value = EventKind> {
    let verdicts = vec![Verdict::Match, Verdict::Mismatch, Verdict::Hot, Verdict::NotEvaluated];
    (0..6_u32, prop::sample::select(verdicts)).prop_map(|(id, verdict)| EventKind::TableVerified {
        result: TableVerdict {
            id,
            name: format!("public.t{id}"),
            verdict,
            method: "hash".into(),
            source_rows: 1,
            target_rows: 1,
            differences: Vec::new(),
            reason: None,
        },
    })
}

fn any_step_event() -> impl Strategy<Value = EventKind> {
    let started = ("[ab]", any_phase()).prop_map(|(step, phase)| EventKind::StepStarted { step, phase, title: "T".into() });
    let outcomes = vec![Outcome::Success, Outcome::Warning, Outcome::Skipped];
    let finished = ("[ab]", prop::sample::select(outcomes)).prop_map(|(step, outcome)| EventKind::StepFinished {
        step,
        outcome,
        message: "M".into(),
    });
    let failed = "[ab]".prop_map(|step| EventKind::StepFailed { step, report: Report::new("c", Exit::Source, "F") });
    prop_oneof![started, finished, failed]
}

fn any_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        Just(EventKind::RunStarted { command: "copy".into(), version: "0".into(), pid: 1, source: "s".into(), target: "t".into() }),
        Just(EventKind::BegunAnew),
        any_phase().prop_map(|phase| EventKind::PhaseStarted { phase }),
        any_phase().prop_map(|phase| EventKind::PhaseFinished { phase }),
        any_step_event(),
        any_table_event(),
        any_table_event(),
        any_verdict(),
        vec(0..6_u32, 0..5).prop_map(|mut ids| {
            ids.sort_unstable();
            ids.dedup();
            EventKind::PlanMade { tables: ids.into_iter().map(planned).collect(), post_data: 4, jobs: 2 }
        }),
        (0..4_u32).prop_map(|id| EventKind::BuildStarted { id, kind: "INDEX".into(), name: format!("i{id}") }),
        vec(0..4_u32, 0..3).prop_map(|ids| EventKind::BuildFinished { ids }),
        (1..3_u32).prop_map(|generation| EventKind::SnapshotTaken { generation, lsn: "0/1".into() }),
        (1..3_u32).prop_map(|generation| EventKind::SnapshotReleased { generation }),
        "[xy]".prop_map(|name| EventKind::LeftOut { kind: "TABLE".into(), name, reason: "R.".into() }),
        any::<bool>().prop_map(|warning| EventKind::Notice { message: "N.".into(), warning }),
        Just(EventKind::Retrying { what: "w".into(), attempt: 1, attempts_max: 3, delay_ms: 500, reason: "r".into() }),
        Just(EventKind::FindingRaised { finding: Finding::new("A1", Severity::Note, "source", "S.".into(), "W.") }),
        Just(EventKind::RunFinished { exit: Exit::Paused, report: None }),
    ]
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    vec((any_kind(), 0..5_i64), 0..60).prop_map(|kinds| {
        let mut second = 1_700_000_000;
        let number = |(index, (kind, seconds)): (usize, (EventKind, i64))| {
            second += seconds;
            Event { index: index as u64 + 1, at: Timestamp::from_second(second).unwrap(), kind }
        };
        kinds.into_iter().enumerate().map(number).collect()
    })
}

fn fold<'a>(view: View, events: impl IntoIterator<Item = &'a Event>) -> View {
    events.into_iter().fold(view, |mut view, event| {
        view.apply(event);
        view
    })
}

proptest! {
    #[test]
    fn an_event_applied_twice_changes_nothing(events in any_events()) {
        let once = fold(View::default(), &events);
        let twice = fold(View::default(), events.iter().flat_map(|event| [event, event]));
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(&fold(once.clone(), &events), &once);
    }

    #[test]
    fn a_late_joiner_that_is_handed_an_overlap_sees_the_same(events in any_events(), cut in 0..60_usize, overlap in 0..10_usize) {
        let cut = cut.min(events.len());
        let early = fold(View::default(), &events[..cut]);
        prop_assert_eq!(fold(early, &events[cut.saturating_sub(overlap)..]), fold(View::default(), &events));
    }

    #[test]
    fn a_replay_from_json_is_the_same(events in any_events()) {
        let text: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let read: Vec<Event> = text.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(fold(View::default(), &read), fold(View::default(), &events));
    }

    #[test]
    fn a_view_is_sound(events in any_events()) {
        let view = fold(View::default(), &events);
        let mut ids: Vec<_> = view.tables.iter().map(|table| table.planned.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), view.tables.len());
        for table in &view.tables {
            prop_assert_eq!(view.table(table.planned.id), Some(table));
            prop_assert!(table.state == TableState::Copied || table.rows == 0);
        }
        if view.ended.is_some() && matches!(events.last().map(|event| &event.kind), Some(EventKind::RunFinished { .. })) {
            prop_assert!(view.builds.running.is_empty() && view.phases_running().next().is_none());
        }
        prop_assert_eq!(view.verdict_counts().total(), view.verdicts().count() as u64);
    }
}

#[test]
fn what_a_killed_run_had_under_way_is_interrupted_by_the_next_and_its_time_counts() {
    let run =
        || EventKind::RunStarted { command: "copy".into(), version: "0".into(), pid: 1, source: "s".into(), target: "t".into() };
    let kinds = [
        (0, run()),
        (1, EventKind::PhaseStarted { phase: Phase::Copy }),
        (1, EventKind::PlanMade { tables: vec![planned(1), planned(2)], post_data: 0, jobs: 1 }),
        (2, EventKind::Table { id: 1, state: TableState::Copied, rows: 5, bytes: 50 }),
        (3, EventKind::Table { id: 2, state: TableState::Copying, rows: 0, bytes: 0 }),
        (1000, run()),
    ];
    let number = |(index, (second, kind)): (usize, (i64, EventKind))| Event {
        index: index as u64 + 1,
        at: Timestamp::from_second(second).unwrap(),
        kind,
    };
    let events: Vec<Event> = kinds.into_iter().enumerate().map(number).collect();
    let view = fold(View::default(), &events);
    assert_eq!((view.runs, view.tables_copied()), (2, 1));
    assert_eq!(view.phase(Phase::Copy).unwrap().state, State::Interrupted);
    assert_eq!(view.table(2).unwrap().state, TableState::Pending);
    assert_eq!(view.elapsed(Timestamp::from_second(1002).unwrap()), Duration::from_secs(5));
}
