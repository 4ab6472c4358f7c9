#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::engine::event::{PlannedTable, TableState};
use crate::engine::retry::{Backoff, retry};
use crate::engine::view::State;

async fn fold(cx: &Cx) -> View {
    let mut view = View::default();
    History::open(cx.dir()).unwrap().read(|event| view.apply(&event)).unwrap();
    view
}

fn run_started() -> EventKind {
    EventKind::RunStarted {
        command: "copy".into(),
        version: "0.1.0".into(),
        pid: 1,
        source: "a@b:5432/c".into(),
        target: "a@d:5432/c".into(),
    }
}

async fn load(cx: &Cx, runs: &mut u32) -> Result<u64, Report> {
    cx.step_once("schema.load", Phase::Schema, "Loading the schema", async {
        *runs += 1;
        Ok((42_u64, Outcome::Success, "42 objects."))
    })
    .await
}

#[tokio::test]
async fn a_step_that_was_done_is_not_done_again_until_it_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = 0;
    let cx = Cx::open(dir.path()).await.unwrap();
    assert_eq!(load(&cx, &mut runs).await.unwrap(), 42);
    drop(cx);
    let cx = Cx::open(dir.path()).await.unwrap();
    assert_eq!(cx.history().steps[0].state, State::Done);
    assert_eq!(load(&cx, &mut runs).await.unwrap(), 42);
    assert_eq!(runs, 1);
    cx.emit(EventKind::PhaseFinished { phase: Phase::Schema }).await.unwrap();
    assert_eq!(fold(&cx).await.steps[0].state, State::Skipped);
    cx.forget("schema.load").await.unwrap();
    load(&cx, &mut runs).await.unwrap();
    assert_eq!(runs, 2);
}

#[tokio::test]
async fn an_emptied_target_makes_all_work_undone() {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = 0;
    let cx = Cx::open(dir.path()).await.unwrap();
    cx.emit(run_started()).await.unwrap();
    load(&cx, &mut runs).await.unwrap();
    cx.emit(EventKind::BuildFinished { ids: vec![1, 2] }).await.unwrap();
    cx.emit(EventKind::BuildFinished { ids: vec![2, 3] }).await.unwrap();
    assert_eq!(fold(&cx).await.builds.finished, 3);
    cx.begin_anew().await.unwrap();
    let view = fold(&cx).await;
    assert_eq!((view.builds.finished, view.steps.len(), view.runs), (0, 0, 0));
    load(&cx, &mut runs).await.unwrap();
    assert_eq!(runs, 2);
}

#[tokio::test]
async fn a_step_that_fails_says_so_and_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Cx::open(dir.path()).await.unwrap();
    let failed: Result<(), Report> = cx
        .step_once("a", Phase::Copy, "Trying", async {
            Err::<((), Outcome, String), _>(Report::new("source-lost", Exit::Source, "The source is gone."))
        })
        .await;
    assert_eq!(failed.unwrap_err().code, "source-lost");
    let view = fold(&cx).await;
    assert_eq!((view.steps[0].state, view.steps[0].message.as_str()), (State::Failed, "The source is gone."));
    let done: Result<u8, Report> = cx.step_once("a", Phase::Copy, "Trying", async { Ok((1, Outcome::Warning, "")) }).await;
    assert_eq!(done.unwrap(), 1);
}

#[tokio::test]
async fn a_second_owner_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Cx::open(dir.path()).await.unwrap();
    assert_eq!(Cx::open(dir.path()).await.unwrap_err().code, "state-locked");
    cx.finish(Exit::Done, None).await.unwrap();
    drop(cx);
    let cx = Cx::open(dir.path()).await.unwrap();
    assert_eq!(cx.history().ended.as_ref().unwrap().exit, Exit::Done);
}

#[tokio::test]
async fn progress_is_sampled_published_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Cx::open(dir.path()).await.unwrap();
    cx.emit(run_started()).await.unwrap();
    let table = PlannedTable {
        id: 5,
        name: "public.t".into(),
        rows_estimate: 10,
        bytes_estimate: 100,
        parts: 1,
        format: "text".into(),
        indexes: 0,
    };
    cx.emit(EventKind::PlanMade { tables: vec![table], post_data: 0, jobs: 1 }).await.unwrap();
    cx.emit(EventKind::Table { id: 5, state: TableState::Copying, rows: 0, bytes: 0 }).await.unwrap();
    cx.board().table(5).add(4, 40);
    let mut progress = cx.progress();
    let seen = progress.wait_for(|progress| progress.rows == 4).await.unwrap().clone();
    assert_eq!((seen.tables.len(), seen.bytes), (1, 40));
    cx.board().table(5).take_back(1, 10);
    cx.finish(Exit::Paused, None).await.unwrap();
    assert_eq!(published(dir.path()).unwrap().rows, 3);
    assert_eq!(History::open(dir.path()).unwrap().samples().unwrap().last().unwrap().bytes, 30);
}

#[tokio::test]
async fn a_retry_ends_by_success_by_a_lasting_error_by_its_schedule_and_by_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Cx::open(dir.path()).await.unwrap();
    let backoff = Backoff { attempts_max: 3, first: Duration::from_millis(1), ..Backoff::SERVER };
    let lost = || Report::new("source-lost", Exit::Source, "Lost.");
    let passing = |report: &Report| report.code == "source-lost";

    let third =
        retry(&cx, "the copy", &backoff, passing, |attempt| async move { if attempt < 3 { Err(lost()) } else { Ok(attempt) } });
    assert_eq!(third.await.unwrap(), 3);
    let mut attempts = 0;
    let mut failing = |code: &'static str| {
        attempts += 1;
        async move { Err::<(), _>(Report::new(code, Exit::Source, "")) }
    };
    assert!(retry(&cx, "the copy", &backoff, passing, |_| failing("source-lost")).await.is_err());
    assert!(retry(&cx, "the copy", &backoff, passing, |_| failing("denied")).await.is_err());
    cx.stop().cancel();
    assert!(retry(&cx, "the copy", &backoff, passing, |_| failing("source-lost")).await.is_err());
    assert_eq!(attempts, 3 + 1 + 1);
    assert_eq!(cx.safe_point().unwrap_err().exit, Exit::Interrupted);
    assert!(!cx.cancel().is_cancelled(), "a gentle stop drops nothing");
    let view = fold(&cx).await;
    assert_eq!(view.retrying.unwrap().what, "the copy");
}

/// Set in a child process: the directory of the migration that it works on until it is killed.
const CHILD_DIR: &str = "NEON_MIGRATE_TEST_CHILD_DIR";

/// The body of the child process: emits for ever and prints each index once its event is durable.
async fn work_until_killed(dir: &Path) {
    let cx = Cx::open(dir).await.unwrap();
    loop {
        let index = cx.emit(EventKind::SnapshotTaken { generation: 1, lsn: "0/1".into() }).await.unwrap();
        println!("durable {index}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_and_the_next_owner_finds_nothing_to_clean() {
    use std::io::BufRead;

    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return work_until_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "engine::step::tests::what_was_acknowledged_survives_kill_9_and_the_next_owner_finds_nothing_to_clean",
        ])
        .env(CHILD_DIR, dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = 0;
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.by_ref() {
        acknowledged = line.unwrap().rsplit_once("durable ").map_or(acknowledged, |(_, index)| index.parse().unwrap());
        if acknowledged == 20 {
            let refused = Cx::open(dir.path()).await.unwrap_err();
            assert!(refused.message.contains(&child.id().to_string()), "{refused:?}");
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged >= 20);
    let cx = Cx::open(dir.path()).await.unwrap();
    assert!(cx.history().index >= acknowledged, "{} of {acknowledged}", cx.history().index);
    let next = cx.emit(run_started()).await.unwrap();
    let mut indexes = Vec::new();
    History::open(dir.path()).unwrap().read(|event| indexes.push(event.index)).unwrap();
    assert_eq!(indexes, (1..=next).collect::<Vec<_>>());
}

#[tokio::test]
async fn events_that_are_emitted_together_are_durable_together() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Cx::open(dir.path()).await.unwrap();
    let kinds = (1..=500).map(|id| EventKind::BuildFinished { ids: vec![id] }).collect();
    cx.emit_all(kinds).await.unwrap();
    assert_eq!(fold(&cx).await.builds.finished, 500);
    cx.emit_all(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_fails_ends_the_run_and_the_process_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Cx::open(dir.path()).await.unwrap();
    cx.emit(run_started()).await.unwrap();
    let other = rusqlite::Connection::open(dir.path().join(journal::FILE)).unwrap();
    other.execute_batch("create trigger full before insert on events begin select raise(abort, 'disk full'); end").unwrap();
    let report = cx.emit(EventKind::PhaseFinished { phase: Phase::Copy }).await.unwrap_err();
    assert_eq!((report.code.as_str(), report.exit), ("state-failed", Exit::State));
    cx.cancel().cancelled().await;
    assert_eq!(cx.finish(Exit::State, Some(report)).await.unwrap_err().code, "state-failed");
    assert_eq!(fold(&cx).await.index, 1);
}
