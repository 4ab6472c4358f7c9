//! `kill -9` at any moment, and the same command goes on: nothing is lost or doubled, and what is finished is not done again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::support::ground::{Ground, RUN_LIMIT, events_of, final_report};
use crate::support::proxy::Proxy;

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

#[tokio::test]
async fn while_a_resumed_run_settles_what_changed() {
    let ground = Ground::start(18).await;
    for point in ["resume.reconciled", "resume.settled", "copy.before-commit", "copy.large-objects"] {
        let case = ground.own_case(&format!("t_{}", point.replace(['.', '-'], "_"))).await;
        assert!(case.crash_at("copy.before-data-mark", 1).await);
        let mut finished = case.finished_files().await;
        ground
            .source
            .psql(
                &case.source_database,
                "update app.bag set b = 'changed' where ctid = (select min(ctid) from app.bag); delete from app.event where id = 77;
                 truncate app.nothing; insert into app.nothing values (1); select lo_unlink(80000); select lo_from_bytea(80001, 'new');
                 select nextval('app.untouched_numbers'); refresh materialized view app.per_customer; refresh materialized view app.top_customer",
            )
            .await;
        finished.retain(|name, _| !["app.bag", "app.event", "app.nothing"].iter().any(|changed| name.starts_with(changed)));
        assert!(finished.len() > 5, "{finished:?}");
        assert!(case.crash_at(point, 1).await, "{point} is never reached");
        let outcome = case.finish(point).await;
        case.assert_not_done_again(&finished, point).await;
        if point == "resume.reconciled" {
            let notices = events_of(&outcome, "notice");
            let named = |notice: &serde_json::Value| {
                let message = notice["message"].as_str().unwrap_or_default();
                message.contains("copied again")
                    && ["app.bag", "app.event", "app.nothing"].iter().all(|name| message.contains(name))
            };
            assert!(notices.iter().any(named), "{notices:#?}");
        }
    }
}

#[tokio::test]
async fn while_a_crashed_run_goes_on() {
    let ground = Ground::start(18).await.with_expected().await;
    let chain = [
        "schema.batch",
        "copy.after-commit",
        "copy.after-commit",
        "resume.reconciled",
        "index.after-commit",
        "index.attached",
        "copy.before-data-mark",
        "post.keys-added",
        "cleanup.before",
        "cleanup.ledger-removed",
    ];
    let case = ground.case("chain").await;
    for point in chain {
        assert!(case.crash_at(point, 1).await, "{point} is never reached");
    }
    case.finish("a chain of crashes").await;
}

#[tokio::test]
async fn while_the_target_is_emptied() {
    let ground = Ground::start(18).await.with_expected().await;
    for nth in [1, 2, 3] {
        let case = ground.case(&format!("full{nth}")).await.with_args(&[&format!("--replace-target=full{nth}")]);
        let content = format!(
            "set role full{nth}_owner; create schema \"a first\"; create table \"a first\".t (); create table public.u (); create schema y; create schema z"
        );
        ground.target.psql(&case.database, &content).await;
        assert!(case.crash_at("replace.statement", nth).await, "the point is never reached");
        case.finish(&format!("replace.statement:{nth}")).await;
    }
}

#[tokio::test]
async fn at_random_while_the_application_writes() {
    let ground = Ground::start(18).await;
    for seed in 1..=3_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let case = ground.own_case(&format!("random{seed}")).await;
        let application = Application::start(&ground, &case.source_database, seed).await;
        let mut kills = 0;
        while kills < 5 {
            let mut running = case.command().start();
            let pause = Duration::from_millis(random.random_range(100..2500));
            if let Some(code) = running.ends_within(pause).await {
                // The run before may have been killed when all was done and said.
                let is_over = ground.target.query(&case.database, LEDGERS).await == "0";
                assert!(code == Some(0) || code == Some(3) && kills > 0 && is_over, "seed {seed}: {code:?}\n{}", running.stdout());
                break;
            }
            running.signal(libc::SIGKILL);
            assert!(running.finish(RUN_LIMIT).await.was_killed());
            kills += 1;
        }
        application.be_gentle();
        if ground.target.query(&case.database, LEDGERS).await != "0"
            || ground.target.query(&case.database, "select to_regclass('app.account_left') is null").await == "t"
        {
            let outcome = case.command().finish(RUN_LIMIT).await;
            assert_eq!(outcome.code(), Some(0), "seed {seed}\n{}\n{}", outcome.stdout, outcome.stderr);
        }
        application.stop().await;
        // One consistent moment: each of these holds after every transaction of the application, and between no two of its statements.
        let sum = "select (select sum(balance) from app.account_left) + (select sum(balance) from app.account_right)";
        assert_eq!(ground.target.query(&case.database, sum).await, "20000", "seed {seed}");
        let children =
            "select count(*) from app.parent p where children <> (select count(*) from app.child c where c.parent = p.id)";
        assert_eq!(ground.target.query(&case.database, children).await, "0", "seed {seed}");
        assert_eq!(ground.target.query(&case.database, "select count(*) from app.refilled").await, "10", "seed {seed}");
        case.assert_nothing_left(&format!("seed {seed}")).await;
    }
}

const LEDGERS: &str = "select count(*) from pg_namespace where nspname = 'neon_migrate'";

/// An application that writes without a pause.
struct Application {
    stop: CancellationToken,
    gentle: CancellationToken,
    task: tokio::task::JoinHandle<u64>,
}

impl Application {
    async fn start(ground: &Ground, database: &str, seed: u64) -> Application {
        let tables = "
            create table app.account_left (id int primary key, balance int not null);
            insert into app.account_left select n, 100 from generate_series(1, 100) n;
            create table app.account_right as table app.account_left;
            create table app.parent (id int primary key, children int not null);
            insert into app.parent select n, 0 from generate_series(1, 20) n;
            create table app.child (parent int not null, body text);
            create table app.refilled (n int);
            insert into app.refilled select generate_series(1, 10)";
        ground.source.psql(database, tables).await;
        let client = ground.source.connect(database).await;
        let (stop, gentle) = (CancellationToken::new(), CancellationToken::new());
        let (stopped, is_gentle) = (stop.clone(), gentle.clone());
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut written = 0;
            while !stopped.is_cancelled() {
                let (from, to) = (random.random_range(1..=100), random.random_range(1..=100));
                let sql = match random.random_range(0..300) {
                    0 if !is_gentle.is_cancelled() => {
                        "begin; truncate app.refilled; insert into app.refilled select generate_series(1, 10); commit".to_owned()
                    }
                    1..=100 => format!(
                        "begin; insert into app.child values ({0}, 'b'); update app.parent set children = children + 1 where id = {0}; commit",
                        from.min(20)
                    ),
                    101..=110 => format!(
                        "begin; delete from app.child where parent = {0}; update app.parent set children = 0 where id = {0}; commit",
                        from.min(20)
                    ),
                    _ => format!(
                        "begin; update app.account_left set balance = balance - 5 where id = {from};
                         update app.account_right set balance = balance + 5 where id = {to}; commit"
                    ),
                };
                client.batch_execute(&sql).await.unwrap();
                written += 1;
                // Fast enough to be in the way of every moment, and slow enough to leave the machine to the test.
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            written
        });
        Application { stop, gentle, task }
    }

    /// It truncates no more: a copy that meets a truncated table begins again in a new snapshot.
    fn be_gentle(&self) {
        self.gentle.cancel();
    }

    async fn stop(self) {
        self.stop.cancel();
        let written = self.task.await.unwrap();
        assert!(written > 100, "the application wrote only {written} transactions");
    }
}

#[tokio::test]
async fn ctrl_c_stops_at_a_safe_point_and_a_second_run_is_refused() {
    let ground = Ground::start(18).await.with_expected().await;
    let case = ground.case("gentle").await;
    let paused = case.pause_at("copy.after-commit", 1).await;
    let second = case.command().finish(RUN_LIMIT).await.expect_code(8);
    let said = format!("{}{}", second.stdout, second.stderr);
    assert!(said.contains(&paused.running.pid().to_string()), "{said}");
    paused.running.signal(libc::SIGINT);
    let ended = paused.go_on().await.expect_code(130);
    assert_eq!(final_report(&ended)["code"], "interrupted");
    let finished = case.finished_files().await;
    assert!(!finished.is_empty());
    case.finish("after Ctrl-C").await;
    case.assert_not_done_again(&finished, "after Ctrl-C").await;
}

#[tokio::test]
async fn ctrl_c_twice_does_not_wait_for_anything() {
    let ground = Ground::start(18).await.with_expected().await;
    let proxy = Proxy::start(ground.target.port).await;
    let mut case = ground.case("abrupt").await;
    let direct = std::mem::take(&mut case.target_url);
    case.target_url = proxy.through(&direct);
    let running = case.command().start();
    running.until_it_says(r#""event":"snapshot_taken""#, RUN_LIMIT).await;
    proxy.stall(true);
    running.signal(libc::SIGINT);
    running.until_it_says("next safe point", RUN_LIMIT).await;
    running.signal(libc::SIGINT);
    running.finish(Duration::from_secs(10)).await.expect_code(130);
    proxy.stall(false);
    case.target_url = direct;
    case.finish("after Ctrl-C twice").await;
}
