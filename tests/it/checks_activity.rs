//! Family F of the checks, what is under way on the source and beside it: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use std::time::Duration;

use neon_migrate::engine::checkup::Status;
use neon_migrate::engine::finding::Severity::{Blocker, Note, Warning};
use neon_migrate::migration::preflight::LiveFitness;

use crate::support::checks::{assert_passed, connect, examine, examine_pair, live, mend, only, statements, with_code};
use crate::support::cluster::Cluster;
use crate::support::poll;
use crate::support::roles::owner_of;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn prepared_transactions_of_any_database_are_found_and_ended() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        cluster.create_database("Other \"one").await;
        cluster.psql("Other \"one", "create table t (a int primary key)").await;
        for (row, name) in [(1, "'keep ''this'"), (2, "E'x\\n; drop table t; --'")] {
            cluster.psql("Other \"one", &format!("begin; insert into t values ({row}); prepare transaction {name}")).await;
        }
        let url = cluster.superuser_url("shop");
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "F14");
        assert_eq!(finding.severity, Blocker);
        assert!(finding.objects[0].starts_with("keep 'this (database \"Other \"\"one\", prepared by postgres "), "{finding:#?}");
        assert_eq!(finding.objects_total, 2);
        assert_eq!(LiveFitness::of(&outcomes).obstacles, ["F14"]);

        // As it is printed, the fix decides nothing.
        mend(&cluster, "Other \"one", finding).await;
        assert_eq!(only(&examine(&url, &live()).await, "F14").objects_total, 2);
        for line in statements(finding).lines().enumerate().filter(|(n, _)| [0, 3].contains(n)).map(|(_, line)| line) {
            cluster.psql("Other \"one", line.strip_prefix("-- ").unwrap()).await;
        }
        assert_passed(&examine(&url, &live()).await, "F14");
        assert_eq!(cluster.query("Other \"one", "select string_agg(a::text, ',') from t").await, "1");
    }
}

#[tokio::test]
async fn a_young_transaction_is_none_of_our_business() {
    let cluster = Cluster::start(17).await;
    cluster.create_database("shop").await;
    let busy = cluster.connect("shop").await;
    busy.batch_execute("create table t (a int primary key); begin; insert into t values (1)").await.unwrap();
    assert_passed(&examine(&cluster.superuser_url("shop"), &live()).await, "F15");
}

#[tokio::test]
async fn a_plain_role_is_told_what_would_let_it_see_transactions() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let url = cluster.plain_owner("shop").await;
        connect(&url).await.batch_execute("create table t (a int); create table whole (a json)").await.unwrap();

        let others = cluster.connect("postgres").await;
        others.batch_execute("begin").await.unwrap();
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "F15");
        assert!(finding.is_not_evaluated(), "{finding:#?}");
        assert_eq!(statements(finding), format!("grant pg_read_all_stats to \"{}\";", owner_of("shop")));
        let fitness = LiveFitness::of(&outcomes);
        assert_eq!((fitness.obstacles, fitness.unknown), (vec!["F1".to_owned()], vec!["F15".to_owned()]));
        // All else of the family can be seen by every role.
        let blind = outcomes.iter().filter(|outcome| outcome.code.starts_with('F') && outcome.status == Status::NotEvaluated);
        assert_eq!(blind.map(|outcome| outcome.code.as_str()).collect::<Vec<_>>(), ["F15"]);

        mend(&cluster, "shop", finding).await;
        let outcomes = examine(&url, &live()).await;
        assert_passed(&outcomes, "F15");
        // The owner of the tables may do what the fix of F1 says.
        connect(&url).await.batch_execute(&statements(only(&outcomes, "F1"))).await.unwrap();
        assert_passed(&examine(&url, &live()).await, "F1");
    }
}

#[tokio::test]
async fn a_lost_slot_is_found_and_dropped() {
    for major in [14, 18] {
        let cluster = Cluster::build(major).with_setting("max_slot_wal_keep_size", "1MB").start().await;
        cluster.create_database("shop").await;
        cluster.psql("shop", "select pg_create_logical_replication_slot('left_behind', 'pgoutput')").await;
        cluster.psql("shop", "select pg_create_logical_replication_slot('neon_migrate_x', 'pgoutput')").await;
        assert_eq!(only(&examine(&cluster.superuser_url("shop"), &live()).await, "F13").objects, ["slot neon_migrate_x"]);
        let lost = "select count(*) = 2 from pg_replication_slots where wal_status = 'lost'";
        poll::until_true(PATIENCE, "the slots are lost", async || {
            cluster.psql("shop", "create table if not exists t (a int primary key); drop table t").await;
            cluster.psql("shop", "select pg_switch_wal()").await;
            cluster.psql("shop", "checkpoint").await;
            cluster.query("shop", lost).await == "t"
        })
        .await;
        let outcomes = examine(&cluster.superuser_url("shop"), &live()).await;
        let found = with_code(&outcomes, "F13");
        assert_eq!(found.len(), 2, "{found:#?}");
        assert_eq!(found[0].objects, ["slot left_behind (of database shop; lost)"]);
        for finding in found {
            mend(&cluster, "shop", finding).await;
        }
        assert_passed(&examine(&cluster.superuser_url("shop"), &live()).await, "F13");
    }
}

#[tokio::test]
async fn large_transactions_are_seen_by_what_was_spilled() {
    for major in [14, 18] {
        let cluster = Cluster::build(major).with_setting("logical_decoding_work_mem", "64kB").start().await;
        cluster.create_database("shop").await;
        let url = cluster.superuser_url("shop");
        cluster.psql("shop", "create table t (a int primary key, b text)").await;
        cluster.psql("shop", "select pg_create_logical_replication_slot('reader', 'test_decoding')").await;
        assert_passed(&examine(&url, &live()).await, "F22");
        cluster.psql("shop", "insert into t select n, repeat('x', 100) from generate_series(1, 5000) n").await;
        cluster.psql("shop", "select count(*) from pg_logical_slot_get_changes('reader', null, null)").await;
        let seen =
            async || cluster.query("shop", "select count(*) from pg_stat_replication_slots where spill_bytes > 0").await == "1";
        poll::until_true(PATIENCE, "the statistics tell", seen).await;
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "F22");
        assert!(finding.objects[0].starts_with("slot reader (1 transaction, "), "{finding:#?}");
        assert_eq!(finding.severity, Warning);
    }
}

#[tokio::test]
async fn a_quiet_database_is_told_of_the_heartbeat() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("quiet").await;
        cluster.create_database("busy").await;
        assert_passed(&examine(&cluster.superuser_url("quiet"), &live()).await, "F25");
        cluster.psql("busy", "create table t as select from generate_series(1, 1100000)").await;
        let counted = "select tup_inserted > 1000000 from pg_stat_database where datname = 'busy'";
        poll::until_true(PATIENCE, "the rows are counted", async || cluster.query("busy", counted).await == "t").await;
        let outcomes = examine(&cluster.superuser_url("quiet"), &live()).await;
        let finding = only(&outcomes, "F25");
        assert_eq!(finding.severity, Note);
        mend(&cluster, "quiet", finding).await;
        assert_passed(&examine(&cluster.superuser_url("busy"), &live()).await, "F25");
    }
}

#[tokio::test]
async fn tables_with_other_columns_on_the_target_are_found() {
    let source = Cluster::start(14).await;
    let target = Cluster::start(18).await;
    source.create_database("shop").await;
    target.create_database("shop").await;
    let here = r#"create table same (a int primary key, b text); create table "Or ""ders" (id int primary key, "Note" text, n numeric(10,2));
                  create table computed (a int primary key, b int generated always as (a) stored); create table only_here (a int primary key)"#;
    let there = r#"create table same (b text, a int primary key); create table "Or ""ders" (id bigint primary key, n numeric(10,2), more int);
                   create table computed (a int primary key, b int); create table only_there (a int primary key)"#;
    source.psql("shop", here).await;
    target.psql("shop", there).await;
    let (from, to) = (source.superuser_url("shop"), target.superuser_url("shop"));
    let outcomes = examine_pair(&from, &to, &live()).await;
    let finding = only(&outcomes, "F26");
    assert_eq!(finding.severity, Blocker);
    assert_eq!(
        finding.objects,
        [
            "table public.\"Or \"\"ders\" (\"Note\" is missing there; id is integer here, bigint there; more is only there)",
            "table public.computed (b is integer, generated here, integer there)",
        ]
    );
    let line_up = r#"alter table "Or ""ders" add "Note" text, alter id type int, drop more;
                     alter table computed drop b, add b int generated always as (a) stored"#;
    target.psql("shop", line_up).await;
    assert_passed(&examine_pair(&from, &to, &live()).await, "F26");
}

/// A TOAST table of that size is made without writing it: its file is stretched while the server is down.
#[tokio::test]
async fn very_wide_rows_are_suspected_by_the_size_of_toast() {
    for major in [14, 18] {
        let mut cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        let url = cluster.superuser_url("shop");
        let setup = r#"create table "Wi.de" (id int primary key, doc bytea, "J ""s" jsonb); insert into "Wi.de" values (1, 'abc', '{"a": 1}');
                       create table many (id int primary key, doc text); insert into many select generate_series(1, 600); analyze many"#;
        cluster.psql("shop", setup).await;
        assert_passed(&examine(&url, &live()).await, "F19");
        let files = "select string_agg(pg_relation_filepath(reltoastrelid), ' ') from pg_class where relname in ('Wi.de', 'many')";
        let files = cluster.query("shop", files).await;
        cluster.stop().await;
        for file in files.split(' ') {
            let file = std::fs::File::options().write(true).open(cluster.data().join(file)).unwrap();
            file.set_len(512 << 20).unwrap();
        }
        cluster.start_again().await;
        let outcomes = examine(&cluster.superuser_url("shop"), &live()).await;
        let finding = only(&outcomes, "F19");
        assert_eq!(finding.objects, [r#"table public."Wi.de" (512.0 MB in TOAST, an unknown number of rows)"#]);
        assert_eq!(cluster.query("shop", &statements(finding)).await, "28", "3 bytes of doc and 25 of the document");
    }
}
