#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::engine::event::{TableVerdict, Verdict};

fn notice(message: &str) -> EventKind {
    EventKind::Notice { message: message.into(), warning: false }
}

fn mismatch() -> EventKind {
    EventKind::TableVerified {
        result: TableVerdict {
            id: 1,
            name: "public.t".into(),
            verdict: Verdict::Mismatch,
            method: "hash".into(),
            source_rows: 2,
            target_rows: 1,
            differences: vec!["missing (email)=(planted@example.org)".into()],
            reason: None,
        },
    }
}

fn replay(dir: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    History::open(dir).unwrap().read(|event| events.push(event)).unwrap();
    events
}

async fn collect(mut subscription: Subscription) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let next = subscription.next().await.unwrap();
        if next.is_empty() {
            return events;
        }
        events.extend(next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_append_without_gaps_and_subscribers_see_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let early = tokio::spawn(collect(journal.subscribe(0).unwrap()));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let journal = journal.clone();
        tasks.spawn(async move {
            for n in 0..250 {
                let kind = notice(&format!("{task}.{n}"));
                if n % 50 == 0 { journal.append(kind).await } else { journal.append_soon(kind).await }.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let late = journal.subscribe(1990).unwrap();
    journal.close().await;

    let stored = replay(dir.path());
    assert_eq!(stored.iter().map(|event| event.index).collect::<Vec<_>>(), (1..=2000).collect::<Vec<_>>());
    assert_eq!(early.await.unwrap(), stored);
    assert_eq!(collect(late).await, stored[1990..]);
    for task in 0..8 {
        let prefix = format!("{task}.");
        let own = stored.iter().filter_map(|event| match &event.kind {
            EventKind::Notice { message, .. } => message.strip_prefix(&prefix).map(|n| n.parse::<u32>().unwrap()),
            _ => None,
        });
        assert!(own.eq(0..250), "each task's events are in its order");
    }
}

#[tokio::test]
async fn row_keys_are_shown_and_never_stored() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let shown = journal.subscribe(0).unwrap();
    journal.append(mismatch()).await.unwrap();
    journal.close().await;
    assert_eq!(collect(shown).await[0].kind, mismatch());
    drop(journal);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"planted"));
    }
    assert!(matches!(&replay(dir.path())[0].kind, EventKind::TableVerified { result } if result.differences.is_empty()));
}

#[tokio::test]
async fn numbering_goes_on_where_an_earlier_process_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.append(notice("a")).await.unwrap(), 1);
    journal.append_step(notice("b"), "step", "7".into()).await.unwrap();
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.append(notice("c")).await.unwrap(), 3);
    assert_eq!(journal.step_value("step").as_deref(), Some("7"));
    journal.forget_step("step").await.unwrap();
    drop(journal);
    assert_eq!(Journal::open(dir.path()).unwrap().step_value("step"), None);
}

#[tokio::test]
async fn a_newer_state_is_refused_with_its_own_exit() {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::open(dir.path()).unwrap());
    rusqlite::Connection::open(dir.path().join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let report = Journal::open(dir.path()).unwrap_err();
    assert_eq!((report.code.as_str(), report.exit), ("state-too-new", Exit::State));
}

#[tokio::test]
async fn properties_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.meta("source").unwrap(), None);
    journal.set_meta("source", "host/db").await.unwrap();
    assert_eq!(journal.meta("source").unwrap().as_deref(), Some("host/db"));
}
