//! `kill -9` at any moment, and the same command goes on: nothing is lost or doubled, and what is finished is not done again.

use crate::support::ground::{Ground, RUN_LIMIT, events_of};

/// Crashes at a point when it is reached for the first, second and third time, and goes on each time.
async fn crash_and_go_on(points: &[&str]) {
    let ground = Ground::start(18).await.with_expected().await;
    for point in points {
        for nth in 1..=3 {
            let what = format!("{point}:{nth}");
            let case = ground.case(&format!("t_{}_{nth}", point.replace(['.', '-'], "_"))).await;
            if !case.crash_at(point, nth).await {
                assert!(nth > 1, "{what} is never reached");
                break;
            }
            let finished = case.finished_files().await;
            case.finish(&what).await;
            case.assert_not_done_again(&finished, &what).await;
        }
    }
}

#[tokio::test]
async fn while_the_schema_is_made() {
    crash_and_go_on(&["schema.dumped", "schema.ledger-created", "schema.batch", "schema.created", "snapshot.taken"]).await;
}

#[tokio::test]
async fn while_rows_are_copied() {
    crash_and_go_on(&["copy.before-commit", "copy.after-commit", "copy.large-objects"]).await;
}

#[tokio::test]
async fn around_the_end_of_the_data() {
    crash_and_go_on(&["copy.before-data-mark", "copy.data-mark", "copy.sequences"]).await;
}

#[tokio::test]
async fn while_indexes_are_built() {
    crash_and_go_on(&["index.before", "index.after-commit", "index.attached"]).await;
}

#[tokio::test]
async fn while_the_rest_is_made() {
    crash_and_go_on(&["post.batch", "post.keys-added", "post.key-validated", "post.pass"]).await;
}

#[tokio::test]
async fn while_it_is_cleaned_up() {
    crash_and_go_on(&["cleanup.before", "cleanup.ledger-removed", "cleanup.files-removed"]).await;
}
