//! What networks and servers do in the middle of a copy: each run ends in time, with equal databases, or with the documented exit code, one
//! clear sentence, and a way to go on that works.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::child::Outcome;
use crate::support::cluster::Cluster;
use crate::support::ground::{Case, Ground, RUN_LIMIT, events_of, final_report};
use crate::support::proxy::{Direction, Proxy};

/// A case whose ends are reached through proxies.
struct Proxied<'a> {
    case: Case<'a>,
    source: Proxy,
    target: Proxy,
}

async fn proxied<'a>(ground: &'a Ground, database: &str) -> Proxied<'a> {
    let (source, target) = (Proxy::start(ground.source.port).await, Proxy::start(ground.target.port).await);
    let mut case = ground.case(database).await;
    case.source_url = source.through(&case.source_url);
    case.target_url = target.through(&case.target_url);
    Proxied { case, source, target }
}

/// The exit code and the report, which always says what to do.
#[track_caller]
fn assert_report(outcome: &Outcome, exit: i32, code: &str) {
    let report = final_report(outcome);
    assert_eq!((outcome.code(), report["code"].as_str()), (Some(exit), Some(code)), "{}\n{}", outcome.stdout, outcome.stderr);
    assert!(report["fix"].as_str().is_some_and(|fix| fix.len() > 20), "{report:#}");
}

#[tokio::test]
async fn connections_are_cut_at_random_bytes() {
    let ground = Ground::start(18).await.with_expected().await;
    let whole = proxied(&ground, "whole").await;
    whole.case.finish("without a fault").await;
    let total = |proxy: &Proxy, direction: Direction| proxy.passed(direction);
    for seed in 1..=12_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let run = proxied(&ground, &format!("cut{seed}")).await;
        let what = format!("seed {seed}");
        let (on_source, on_target) = [(true, false), (false, true), (true, true)][random.random_range(0..3)];
        for (wanted, proxy, whole) in [(on_source, &run.source, &whole.source), (on_target, &run.target, &whole.target)] {
            if wanted {
                let direction = if random.random() { Direction::ToServer } else { Direction::ToClient };
                proxy.cut_after(direction, random.random_range(0..total(whole, direction)));
            }
        }
        let outcome = run.case.command().finish(RUN_LIMIT).await;
        if outcome.code() == Some(0) {
            run.case.assert_complete(&what).await;
            continue;
        }
        // What fails before anything was begun is not tried again by itself.
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            matches!(outcome.code(), Some(6 | 7)) && said.contains("Nothing was written"),
            "{what}: {}\n{said}",
            outcome.status
        );
        run.case.finish(&what).await;
    }
}

#[tokio::test]
async fn a_network_that_is_dead_for_a_while() {
    let ground = Ground::start(18).await.with_expected().await;
    for (on_source, event) in
        [(true, "snapshot_taken"), (false, "snapshot_taken"), (false, "build_started"), (true, "snapshot_released")]
    {
        let mut run = proxied(&ground, &format!("stall_{event}_{on_source}")).await;
        let silent = if on_source { &run.source } else { &run.target };
        // Shorter waits for a connection, so that the test need not wait for the usual ones.
        run.case.source_url += "?connect_timeout=2";
        run.case.target_url += "?connect_timeout=2";
        let case = run.case.stalling_for(1500).retrying_for(40_000);
        let running = case.command().start();
        running.until_it_says(&format!(r#""event":"{event}""#), RUN_LIMIT).await;
        silent.stall(true);
        running.until_it_says(r#""event":"retrying""#, Duration::from_secs(30)).await;
        silent.stall(false);
        running.finish(RUN_LIMIT).await.expect_code(0);
        case.assert_complete(&format!("{event}, source: {on_source}")).await;
    }
}

#[tokio::test]
async fn nobody_answers_any_more() {
    let ground = Ground::start(18).await.with_expected().await;
    for on_source in [true, false] {
        let run = proxied(&ground, &format!("refused_{on_source}")).await;
        let (gone, code) = if on_source { (&run.source, "source-connect") } else { (&run.target, "target-connect") };
        let case = run.case.retrying_for(1500);
        let paused = case.pause_at("copy.after-commit", 2).await;
        gone.refuse(true);
        gone.cut();
        let outcome = paused.go_on().await;
        assert_report(&outcome, 5, code);
        assert!(final_report(&outcome)["fix"].as_str().unwrap().contains("goes on from here"));
        assert!(events_of(&outcome, "retrying").len() > 1);
        gone.refuse(false);
        case.finish(code).await;
    }
}

#[tokio::test]
async fn nobody_answers_for_a_while() {
    let ground = Ground::start(18).await.with_expected().await;
    for point in [
        "schema.created",
        "copy.after-commit",
        "copy.data-mark",
        "copy.sequences",
        "post.keys-added",
        "post.pass",
        "cleanup.before",
    ] {
        let run = proxied(&ground, &point.replace(['.', '-'], "_")).await;
        let case = run.case.retrying_for(40_000);
        let paused = case.pause_at(point, 1).await;
        for proxy in [&run.source, &run.target] {
            proxy.refuse(true);
            proxy.cut();
        }
        let running = paused.release();
        running.until_it_says(r#""event":"retrying""#, RUN_LIMIT).await;
        for proxy in [&run.source, &run.target] {
            proxy.refuse(false);
        }
        running.finish(RUN_LIMIT).await.expect_code(0);
        case.assert_complete(point).await;
    }
}

#[tokio::test]
async fn sessions_are_ended_by_an_administrator() {
    let ground = Ground::start(18).await.with_expected().await;
    // The one that holds the snapshot; all that copy; all on the target.
    let victims = [
        ("holder", true, "query like '%pg_export_snapshot%'"),
        ("source", true, "application_name like 'neon-migrate%'"),
        ("target", false, "application_name like 'neon-migrate%'"),
    ];
    for (name, on_source, which) in victims {
        for point in ["schema.created", "copy.before-commit", "index.after-commit"] {
            let what = format!("{name} at {point}");
            let case = ground.case(&format!("{name}_{}", point.replace(['.', '-'], "_"))).await;
            let paused = case.pause_at(point, 1).await;
            let (cluster, database) = if on_source { (&ground.source, "src") } else { (&ground.target, case.database.as_str()) };
            let end =
                format!("select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and {which}");
            cluster.psql(database, &end).await;
            let outcome = paused.go_on().await;
            assert_eq!(outcome.code(), Some(0), "{what}\n{}", outcome.stdout);
            case.assert_complete(&what).await;
        }
    }
}

#[tokio::test]
async fn servers_restart_in_the_middle() {
    let mut ground = Ground::start(18).await.with_expected().await;
    for (point, nth) in
        [("schema.batch", 1), ("copy.after-commit", 2), ("index.before", 1), ("copy.data-mark", 1), ("post.keys-added", 1)]
    {
        for on_source in [true, false] {
            let database = format!("{}_{on_source}", point.replace(['.', '-'], "_"));
            let paused = ground.case(&database).await.pause_at(point, nth).await;
            let cluster = if on_source { &mut ground.source } else { &mut ground.target };
            cluster.restart().await;
            let outcome = paused.go_on().await;
            assert_eq!(outcome.code(), Some(0), "{database}\n{}", outcome.stdout);
            ground.again(&database).assert_complete(&database).await;
        }
    }
}

#[tokio::test]
async fn a_target_that_crashes_forgets_its_last_commits() {
    // What is committed stays in the server's memory, unless somebody waits for it.
    let forgetful = Cluster::build(18)
        .with_setting("wal_writer_delay", "10s")
        .with_setting("wal_writer_flush_after", "2GB")
        .with_setting("wal_buffers", "64MB")
        .with_setting("autovacuum", "off");
    let mut ground = Ground::with(Cluster::start(18).await, forgetful.start().await).await.with_expected().await;
    let points = [
        ("schema.batch", 1),
        ("schema.created", 1),
        ("copy.after-commit", 3),
        ("copy.before-data-mark", 1),
        ("index.after-commit", 4),
        ("copy.data-mark", 1),
        ("copy.sequences", 1),
        ("post.keys-added", 1),
        ("post.pass", 3),
        ("cleanup.before", 1),
    ];
    let mut forgotten = 0;
    for (point, nth) in points {
        let database = point.replace(['.', '-'], "_");
        let paused = ground.case(&database).await.pause_at(point, nth).await;
        let count = "select (select count(*) from neon_migrate.part) + (select count(*) from neon_migrate.entry) + (select count(*) from neon_migrate.mark)";
        let before: i64 = ground.target.query(&database, count).await.parse().unwrap();
        ground.target.kill9().await;
        ground.target.start_again().await;
        let after: i64 = ground.target.query(&database, count).await.parse().unwrap();
        forgotten += i64::from(after < before);
        let outcome = paused.go_on().await;
        assert_eq!(outcome.code(), Some(0), "{point}\n{}", outcome.stdout);
        ground.again(&database).assert_complete(point).await;
    }
    assert!(forgotten >= 1, "the server never forgot anything, so nothing was tested");
}

#[tokio::test]
async fn a_crash_of_the_target_empties_unlogged_tables() {
    let mut ground = Ground::start(18).await;
    let rows = "create unlogged table app.passing (a int primary key); insert into app.passing select generate_series(1, 300)";
    ground.source.psql("src", rows).await;
    for (point, exit) in [("copy.before-data-mark", 0), ("post.keys-added", 7)] {
        let database = point.replace(['.', '-'], "_");
        let paused = ground.case(&database).await.pause_at(point, 1).await;
        ground.target.kill9().await;
        ground.target.start_again().await;
        let outcome = paused.go_on().await;
        if exit == 0 {
            assert_eq!(outcome.code(), Some(0), "{}", outcome.stdout);
            ground.again(&database).assert_complete(point).await;
            continue;
        }
        assert_report(&outcome, exit, "unlogged-emptied");
        let outcome = ground.again(&database).command().finish(RUN_LIMIT).await;
        assert_report(&outcome, exit, "unlogged-emptied");
        ground.again(&database).with_args(&[&format!("--replace-target={database}")]).finish(point).await;
    }
}

#[tokio::test]
async fn the_targets_disk_is_full() {
    let ground = Ground::start(18).await.with_expected().await;
    let case = ground.case("full").await.retrying_for(1500);
    let fill = "create schema neon;
        create function neon.full() returns event_trigger language plpgsql as
            $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
        create event trigger disk_full on ddl_command_start when tag in ('CREATE INDEX') execute function neon.full()";
    ground.target.psql("full", fill).await;
    let outcome = case.command().finish(RUN_LIMIT).await;
    assert_report(&outcome, 5, "disk-full");
    let finished = case.finished_files().await;
    assert!(!finished.is_empty());
    ground.target.psql("full", "drop event trigger disk_full; drop schema neon cascade").await;
    case.finish("a disk that was full").await;
    case.assert_not_done_again(&finished, "a disk that was full").await;
}

#[tokio::test]
async fn tables_of_the_source_change_in_the_middle() {
    let ground = Ground::start(18).await;
    // The name, what is done, and how it ends: with the exit code and the report's code, or well.
    let changes = [
        ("truncated", "truncate app.bag", 0, ""),
        ("rewritten", "vacuum full app.event", 0, ""),
        ("emptied", "delete from app.bag", 0, ""),
        ("dropped", "drop table app.bag", 6, "table-dropped"),
        ("renamed", "alter table app.bag rename to sack", 6, "table-dropped"),
        ("narrowed", "alter table app.bag drop column b", 6, "table-altered"),
        ("widened", "alter table app.bag alter column a type bigint", 6, "schema-changed"),
        ("extended", "alter table app.bag add column c int", 4, "objects-differ"),
    ];
    for (name, change, exit, code) in changes {
        let case = ground.own_case(name).await.retrying_for(10_000);
        let paused = case.pause_at("snapshot.taken", 1).await;
        ground.source.psql(&case.source_database, change).await;
        let outcome = paused.go_on().await;
        assert_eq!(outcome.code(), Some(exit), "{name}\n{}", outcome.stdout);
        match (exit, name) {
            // The rows are those of the snapshot, in which they were still there.
            (0, "emptied") => assert_eq!(ground.target.query(name, "select count(*) from app.bag").await, "200"),
            (0, _) => case.assert_complete(name).await,
            _ => assert_report(&outcome, exit, code),
        }
        if exit == 6 {
            assert!(outcome.stdout.contains("bag"), "{}", outcome.stdout);
        }
    }
}

#[tokio::test]
async fn tables_of_the_source_change_between_two_runs() {
    let ground = Ground::start(18).await;
    let changes = [
        ("extended", "alter table app.bag add column c int", "new is c integer"),
        ("narrowed", "alter table app.bag drop column b", "gone is b text"),
        ("widened", "alter table app.bag alter column a type bigint", "it had a integer, and has a bigint now"),
        ("dropped", "drop table app.bag", "app.bag was dropped"),
        ("renamed", "alter table app.bag rename to sack", "app.bag was renamed to app.sack"),
        ("created", "create table app.newcomer (a int)", "app.newcomer was created"),
    ];
    for (name, change, words) in changes {
        let case = ground.own_case(&format!("between_{name}")).await;
        assert!(case.crash_at("copy.after-commit", 2).await);
        ground.source.psql(&case.source_database, change).await;
        let outcome = case.command().finish(RUN_LIMIT).await;
        assert_report(&outcome, 6, "schema-changed");
        let report = final_report(&outcome);
        assert!(report["message"].as_str().is_some_and(|message| message.contains(words)), "{report:#}");
        // What it says to do works.
        case.with_args(&[&format!("--replace-target=between_{name}")]).finish(name).await;
    }
}

#[tokio::test]
async fn tables_grow_over_the_limits_between_two_runs() {
    let ground = Ground::start(18).await;
    let case = ground.own_case("sizes").await;
    assert!(case.crash_at("copy.before-data-mark", 1).await);
    // A small table becomes one of many ranges, and the one of many ranges a small one.
    let change = "insert into app.bag select n, repeat(md5(n::text), 8) from generate_series(1, 9000) n;
        delete from app.event where id > 100; vacuum full app.event; refresh materialized view app.per_customer; refresh materialized view app.top_customer";
    // `vacuum full` wants to be alone.
    for statement in change.split(';') {
        ground.source.psql(&case.source_database, statement).await;
    }
    assert!(case.crash_at("copy.after-commit", 1).await);
    ground.source.psql(&case.source_database, "delete from app.bag where ctid > '(5,0)'").await;
    ground.source.psql(&case.source_database, "vacuum full app.bag").await;
    case.finish("tables of other sizes").await;
}
