#![allow(clippy::unwrap_used, clippy::expect_used)]

use insta::assert_snapshot;

use super::*;
use crate::cli::args::Color;
use crate::cli::render::tests::{Story, progress, shown};
use crate::engine::event::EventKind;
use crate::engine::phase::Phase;
use crate::engine::step::Cx;

fn draw(story: &Story, owner: Owner) -> String {
    let mut view = story.view();
    if owner != Owner::Nobody {
        view.progress = Some(progress());
    }
    let now = story.now() + jiff::SignedDuration::from_secs(3);
    shown(&page(Path::new("/state/shop-12345678"), &view, owner, now, 80))
}

#[test]
fn a_migration_under_way() {
    assert_snapshot!(draw(&Story::copying(), Owner::Process(Some(4242))));
}

#[test]
fn a_migration_whose_process_was_killed() {
    assert_snapshot!(draw(&Story::copying(), Owner::Nobody));
}

#[test]
fn a_migration_that_was_stopped() {
    let report = crate::engine::cancel::interrupted();
    let story = Story::copying().then(EventKind::RunFinished { exit: Exit::Interrupted, report: Some(report) });
    assert_snapshot!(draw(&story, Owner::Nobody));
}

fn args(dir: &Path) -> StatusArgs {
    StatusArgs { migration: None, state_dir: Some(dir.to_owned()), follow: false }
}

fn json_lines() -> Talk {
    Talk { output: Output::Json, quiet: false, verbose: 0, color: Color::Auto }
}

#[tokio::test]
async fn another_process_sees_what_the_owner_does_and_that_it_lives() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("shop-1");
    let cx = Cx::open(&dir).await.unwrap();
    cx.emit(Story::new().events_of_a_run()).await.unwrap();
    cx.emit(EventKind::PhaseStarted { phase: Phase::Copy }).await.unwrap();
    cx.board().table(7).add(3, 30);
    cx.progress().wait_for(|progress| progress.rows == 3).await.unwrap();
    let found = find(Some(root.path()), None).unwrap();
    assert_eq!(found, dir);
    let (view, owner) = load(&found).unwrap();
    assert_eq!(owner, Owner::Process(Some(std::process::id())));
    assert_eq!(view.run.as_ref().unwrap().pid, std::process::id());

    cx.finish(Exit::Done, None).await.unwrap();
    drop(cx);
    let (view, owner) = load(&found).unwrap();
    assert_eq!((owner, view.progress.is_none()), (Owner::Nobody, true));
    let json: serde_json::Value = serde_json::from_str(&document(&found, &view, owner).unwrap()).unwrap();
    assert_eq!((json["running"].as_bool(), json["view"]["ended"]["exit"].as_str()), (Some(false), Some("done")));
    assert!(follow(&found, Screen::new(&json_lines())).is_ok(), "a run that has ended is followed to its end at once");
}

#[test]
fn a_migration_that_is_not_there_is_said() {
    let root = tempfile::tempdir().unwrap();
    let report = find(Some(root.path()), Some("shop")).unwrap_err();
    assert_eq!((report.code.as_str(), report.exit), ("state-none", Exit::State));
    assert_eq!(run(&args(root.path()), &json_lines()).unwrap_err().exit, Exit::State);
}
