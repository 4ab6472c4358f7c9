//! Families A and B of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use std::time::Duration;

use neon_migrate::engine::checkup::{Outcome, Status};
use neon_migrate::engine::finding::Severity::{Blocker, Note, Warning};
use neon_migrate::migration::preflight::{self, Against, End, Options, Place, Wish};
use neon_migrate::pg::sql;

use crate::connect::{Authority, info};
use crate::support::checks::{
    Bad, assert_passed, connect, each_is_found_and_mended, examine, examine_pair, found, live, mend, only, statements, with_code,
};
use crate::support::cluster::Cluster;
use crate::support::poll;
use crate::support::postgres::SUPERUSER;

const OLDEST_AND_NEWEST: [u32; 2] = [14, 18];
const PATIENCE: Duration = Duration::from_secs(60);

/// What a role of every kind may have in one database; `%I` is the database.
macro_rules! in_database {
    ($settings:literal) => {
        concat!(
            "create schema \"Odd, \"\"schema\"\"\";
             do $$ begin execute format('alter ",
            $settings,
            "', current_database()); end $$;"
        )
    };
}

#[tokio::test]
async fn settings_of_a_database_and_of_roles_in_it() {
    each_is_found_and_mended(&[
        Bad::new("B7", Warning, in_database!("role current_user in database %I set wal_sender_timeout = ''5s''"), &[]).along_with(&["B14"]),
        Bad::new("B9", Warning, in_database!("role current_user in database %I set logical_decoding_work_mem = ''1MB''"), &[])
            .along_with(&["B14"]),
        Bad::new("A8", Note, in_database!("database %I set statement_timeout = ''5min''"), &[]).in_words().along_with(&["B14"]),
        Bad::new("B14", Warning, in_database!("database %I set search_path = ''Odd, \"schema\"'', public"), &["search_path of the database"])
            .in_words(),
        Bad::new(
            "B14",
            Warning,
            "create role \"Röle \"\"B\"\".14\"; do $$ begin
               execute format('alter role \"Röle \"\"B\"\".14\" in database %I set app.\"jwt_secret\" = ''hidden''', current_database());
               execute format('alter role \"Röle \"\"B\"\".14\" in database %I set app.tenant = ''it''''s''', current_database());
             end $$",
            &[
                "app.jwt_secret of role \"Röle \"\"B\"\".14\" in the database",
                "app.tenant of role \"Röle \"\"B\"\".14\" in the database",
            ],
        )
        .in_words()
        .along_with(&["G9"]),
    ])
    .await;
}

/// A server that was never meant to replicate, with its only slot taken.
async fn small(major: u32) -> Cluster {
    let mut builder = Cluster::build(major)
        .with_setting("wal_level", "replica")
        .with_setting("max_replication_slots", "1")
        .with_setting("max_wal_senders", "0")
        .with_setting("wal_sender_timeout", "5s")
        .with_setting("max_slot_wal_keep_size", "1GB");
    if major >= 18 {
        builder = builder.with_setting("idle_replication_slot_timeout", "1h");
    }
    let cluster = builder.start().await;
    cluster.create_database("my \"Shop\"").await;
    cluster.psql("my \"Shop\"", "select pg_create_physical_replication_slot('forgotten')").await;
    cluster
}

#[tokio::test]
async fn a_server_that_cannot_replicate_yet() {
    for major in OLDEST_AND_NEWEST {
        let mut cluster = small(major).await;
        let url = cluster.superuser_url("my \"Shop\"");
        let codes = ["B3", "B4", "B5", "B7", "B8"];
        let severities = async |wish: Wish| {
            let outcomes = examine(&url, &Options { wish, ..Options::check() }).await;
            codes.map(|code| only(&outcomes, code).severity)
        };
        assert_eq!(severities(Wish::Live).await, [Blocker, Blocker, Blocker, Warning, Warning]);
        assert_eq!(severities(Wish::Open).await, [Warning, Warning, Warning, Note, Note]);
        assert_eq!(severities(Wish::Once).await, [Note; 5]);

        let outcomes = examine(&url, &live()).await;
        assert_eq!(only(&outcomes, "B4").objects, ["slot forgotten (not in use)"]);
        for code in codes {
            mend(&cluster, "my \"Shop\"", only(&outcomes, code)).await;
        }
        cluster.psql(SUPERUSER, "select pg_reload_conf()").await;
        poll::until_true(PATIENCE, "the server knows that a change waits", async || {
            only(&examine(&url, &live()).await, "B3").sentence.contains("waits for a restart")
        })
        .await;
        cluster.restart().await;
        let outcomes = examine(&url, &live()).await;
        codes.iter().for_each(|code| assert_passed(&outcomes, code));
    }
}

#[tokio::test]
async fn a_slot_without_a_reader_takes_the_last_sender() {
    let mut cluster = Cluster::build(18).with_setting("max_wal_senders", "1").start().await;
    let url = cluster.superuser_url(SUPERUSER);
    assert_passed(&examine(&url, &live()).await, "B5");
    cluster.psql(SUPERUSER, "select pg_create_physical_replication_slot('rests')").await;
    let outcomes = examine(&url, &live()).await;
    assert_eq!(only(&outcomes, "B5").severity, Warning);
    mend(&cluster, SUPERUSER, only(&outcomes, "B5")).await;
    cluster.restart().await;
    assert_passed(&examine(&url, &live()).await, "B5");
}

#[tokio::test]
async fn a_standby_as_a_source_that_is_followed() {
    for major in OLDEST_AND_NEWEST {
        let mut standby = Cluster::start(major).await;
        standby.stop().await;
        std::fs::write(standby.data().join("standby.signal"), "").unwrap();
        standby.start_again().await;
        let url = standby.superuser_url(SUPERUSER);
        let outcomes = examine(&url, &live()).await;
        // A5 exports and imports a snapshot on a standby, too.
        assert_passed(&outcomes, "A5");
        let of = |outcomes: &[Outcome]| with_code(outcomes, "A6").into_iter().cloned().collect::<Vec<_>>();
        let findings = of(&outcomes);
        assert_eq!(findings.len(), 2, "{findings:#?}");
        if major < 16 {
            assert_eq!((findings[1].severity, findings[1].sentence.contains("cannot decode")), (Blocker, true));
            continue;
        }
        assert_eq!((findings[1].severity, findings[1].sentence.contains("hot_standby_feedback")), (Warning, true));
        mend(&standby, SUPERUSER, &findings[1]).await;
        poll::until_true(PATIENCE, "the standby has reloaded", async || of(&examine(&url, &live()).await).len() == 1).await;
    }
}

#[tokio::test]
async fn an_archiver_that_fails_until_it_is_mended() {
    for major in OLDEST_AND_NEWEST {
        let cluster =
            Cluster::build(major).with_setting("archive_mode", "on").with_setting("archive_command", "false").start().await;
        let url = cluster.superuser_url(SUPERUSER);
        assert_passed(&examine(&url, &live()).await, "B17");
        cluster.psql(SUPERUSER, "create table t (); select pg_switch_wal()").await;
        let failing = async || cluster.query(SUPERUSER, "select failed_count > 0 from pg_stat_archiver").await == "t";
        poll::until_true(PATIENCE, "archiving fails", failing).await;
        assert_eq!(only(&examine(&url, &live()).await, "B17").severity, Warning);
        cluster.psql(SUPERUSER, "alter system set archive_command = 'true'").await;
        cluster.psql(SUPERUSER, "select pg_reload_conf()").await;
        let archived = async || cluster.query(SUPERUSER, "select archived_count > 0 from pg_stat_archiver").await == "t";
        poll::until_true(PATIENCE, "archiving works", archived).await;
        assert_passed(&examine(&url, &live()).await, "B17");
    }
}

/// Two servers behind one address: each session reaches another one.
#[tokio::test]
async fn an_address_with_two_servers_behind_it() {
    for major in OLDEST_AND_NEWEST {
        let (one, other) = (Cluster::start(major).await, Cluster::start(major).await);
        let (first, second) = (one.connect(SUPERUSER).await, other.connect(SUPERUSER).await);
        let end = End { client: &first, second: Some(&second), pooled: None };
        let outcomes = preflight::examine(Place::Live(end), Against::Nothing, &live()).await.unwrap();
        assert_eq!(only(&outcomes, "A5").severity, Blocker);
        // No transaction stays open on either session.
        for session in [&first, &second] {
            let isolation: String = session.query_one("show transaction_isolation", &[]).await.unwrap().get(0);
            assert_eq!(isolation, "read committed");
        }

        let alone = End::from(&first);
        let outcomes = preflight::examine(Place::Live(alone), Against::Nothing, &live()).await.unwrap();
        assert!(only(&outcomes, "A5").is_not_evaluated());
        assert_passed(&examine(&one.superuser_url(SUPERUSER), &live()).await, "A5");
    }
}

/// Fails unless a check of the source looked and found nothing; that of the target may not apply.
#[track_caller]
fn assert_nothing_of(outcomes: &[Outcome], code: &str) {
    let of_code: Vec<_> = outcomes.iter().filter(|outcome| outcome.code == code).collect();
    assert!(of_code.iter().any(|outcome| outcome.status == Status::Passed), "{of_code:#?}");
    assert!(of_code.iter().all(|outcome| outcome.findings.is_empty()), "{of_code:#?}");
}

#[tokio::test]
async fn encryption_is_what_the_server_sees() {
    let authority = Authority::new("ours");
    let cluster = Cluster::build(18).with_tls(&authority.server(&["localhost"])).start().await;
    let url = cluster.superuser_url(SUPERUSER);
    let plain = examine(&url, &live()).await;
    assert_eq!(only(&plain, "A2").severity, Note);
    assert!(only(&plain, "A2").fix.as_ref().unwrap().starts_with("Add sslmode=verify-full to the connection string of the source"));
    assert_nothing_of(&plain, "A7");

    let encrypted = sql::connect(&info(&format!("{url}?sslmode=require")), "tests").await.unwrap();
    let end = End::from(&*encrypted);
    assert_nothing_of(&preflight::examine(Place::Live(end), Against::Nothing, &live()).await.unwrap(), "A2");

    let without = Cluster::start(14).await;
    let outcomes = examine(&without.superuser_url(SUPERUSER), &live()).await;
    assert_eq!(statements(only(&outcomes, "A2")), "alter system set ssl = on;\nselect pg_reload_conf();");
    let socket = without.connect(SUPERUSER).await;
    let outcomes = preflight::examine(Place::Live(End::from(&socket)), Against::Nothing, &live()).await.unwrap();
    ["A2", "A7", "A11"].iter().for_each(|code| assert_nothing_of(&outcomes, code));
}

#[tokio::test]
async fn a_target_that_behaves_differently() {
    for major in OLDEST_AND_NEWEST {
        let source = Cluster::build(major)
            .with_setting("timezone", "Asia/Tokyo")
            .with_setting("datestyle", "SQL, DMY")
            .with_setting("search_path", "\"Odd, \"\"schema\"\"\", Public")
            .with_setting("work_mem", "64MB")
            .with_setting("max_connections", "50")
            .start()
            .await;
        let target = Cluster::start(18).await;
        source.create_database("src").await;
        target.create_database("my \"Target\"").await;
        let (from, to) = (source.superuser_url("src"), target.superuser_url("my \"Target\""));
        let outcomes = examine_pair(&from, &to, &live()).await;
        assert_passed(&outcomes, "B20");
        let behaviour = only(&outcomes, "B13");
        assert_eq!(behaviour.severity, Warning);
        assert_eq!(
            behaviour.objects,
            [
                "DateStyle: SQL, DMY on the source, ISO, MDY on the target",
                "TimeZone: Asia/Tokyo on the source, UTC on the target",
                "search_path: \"Odd, \"\"schema\"\"\", Public on the source, \"$user\", public on the target",
            ]
        );
        mend(&target, "my \"Target\"", behaviour).await;
        let tuned = only(&outcomes, "B15");
        assert_eq!(tuned.severity, Note);
        assert_eq!(
            tuned.objects,
            [
                "max_connections: 50 on the source, 60 on the target (takes a restart)",
                "work_mem: 64MB on the source, 4MB on the target"
            ]
        );
        assert_passed(&examine_pair(&from, &to, &live()).await, "B13");
    }
}

#[tokio::test]
async fn settings_of_roles_are_carried_by_the_fix() {
    let (source, target) = (Cluster::start(14).await, Cluster::start(18).await);
    for cluster in [&source, &target] {
        cluster.psql(SUPERUSER, "create role \"Röle\"\"\"").await;
        cluster.create_database("a \"b").await;
    }
    let setup = "alter database \"a \"\"b\" set search_path = 'Odd, \"schema\"', public;
                 alter database \"a \"\"b\" set \"DateStyle\" = 'SQL, DMY';
                 alter role \"Röle\"\"\" set statement_timeout = '7min';
                 alter role \"Röle\"\"\" in database \"a \"\"b\" set app.name = E'it''s\\\\\\n';
                 alter role all set lock_timeout = '9s'";
    source.psql("a \"b", setup).await;
    let (from, to) = (source.superuser_url("a \"b"), target.superuser_url("a \"b"));
    let finding = only(&examine_pair(&from, &to, &live()).await, "B14").clone();
    assert_eq!(finding.objects_total, 5, "{finding:#?}");
    mend(&target, "a \"b", &finding).await;
    let outcomes = examine_pair(&from, &to, &live()).await;
    assert_passed(&outcomes, "B14");
    let settings = "select string_agg(c, '|' order by c) from pg_db_role_setting, unnest(setconfig) c";
    assert_eq!(source.query("a \"b", settings).await, target.query("a \"b", settings).await);
}

#[tokio::test]
async fn a_target_without_workers_and_with_waiting_commits() {
    for major in OLDEST_AND_NEWEST {
        let source = Cluster::start(14).await;
        let mut target = Cluster::build(major).with_setting("max_logical_replication_workers", "0").start().await;
        target.create_database("dst").await;
        target.psql(SUPERUSER, "alter system set synchronous_standby_names = 'nobody'").await;
        target.psql(SUPERUSER, "select pg_reload_conf()").await;
        let (from, to) = (source.superuser_url(SUPERUSER), target.superuser_url("dst"));
        poll::until_true(PATIENCE, "the target has reloaded", async || {
            !with_code(&examine_pair(&from, &to, &live()).await, "B18").is_empty()
        })
        .await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        assert_eq!((only(&outcomes, "B6").severity, only(&outcomes, "B18").severity), (Warning, Note));
        mend(&target, "dst", only(&outcomes, "B6")).await;
        // It would wait for ever if it did not say first that it does not want to.
        mend(&target, "dst", only(&outcomes, "B18")).await;
        target.restart().await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        ["B6", "B18"].iter().for_each(|code| assert_passed(&outcomes, code));
    }
}

#[tokio::test]
async fn an_extension_that_needs_its_library_loaded() {
    for major in OLDEST_AND_NEWEST {
        let (source, mut target) = (Cluster::start(major).await, Cluster::start(major).await);
        let from = source.plain_owner("src").await;
        source.psql("src", "create extension pg_stat_statements").await;
        let to = target.plain_owner("dst").await;
        let hidden = examine_pair(&from, &to, &live()).await;
        assert!(only(&hidden, "B12").is_not_evaluated());
        mend(&target, "dst", only(&hidden, "B12")).await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        assert_eq!(only(&outcomes, "B12").severity, Warning);
        assert_eq!(only(&outcomes, "B12").objects, ["extension pg_stat_statements"]);
        mend(&target, "dst", only(&outcomes, "B12")).await;
        target.restart().await;
        assert_passed(&examine_pair(&from, &to, &live()).await, "B12");
    }
}

/// A plain role sees all that these checks look at, unless autovacuum happens to be at work.
#[tokio::test]
async fn a_plain_role_on_a_plain_server_hears_almost_nothing() {
    for major in OLDEST_AND_NEWEST {
        let source = Cluster::build(major).with_setting("autovacuum", "off").start().await;
        let target = Cluster::build(major).with_setting("autovacuum", "off").start().await;
        let from = source.plain_owner("shop").await;
        let outcomes = examine_pair(&from, &target.plain_owner("dst").await, &Options::check()).await;
        let ours: Vec<Outcome> = outcomes.into_iter().filter(|outcome| outcome.code.starts_with(['A', 'B'])).collect();
        assert_eq!(found(&ours), [("A2".to_owned(), Note), ("A2".to_owned(), Note)]);
        assert!(ours.iter().all(|outcome| outcome.code == "A2" || outcome.status == Status::Passed), "{ours:#?}");
    }
}

/// Too few connections are told of without a target as well.
#[tokio::test]
async fn connections_that_a_copy_would_need() {
    let cluster = Cluster::start(18).await;
    let url = cluster.plain_owner("shop").await;
    cluster.psql(SUPERUSER, "alter role shop_owner connection limit 5").await;
    let outcomes = examine(&url, &Options::check()).await;
    assert_eq!(only(&outcomes, "A9").severity, Note);
    cluster.psql(SUPERUSER, "alter role shop_owner connection limit 3").await;
    let outcomes = examine(&url, &Options::check()).await;
    assert_eq!(only(&outcomes, "A9").severity, Blocker);
    let first = connect(&cluster.superuser_url("shop")).await;
    first.batch_execute("alter role shop_owner connection limit -1").await.unwrap();
    assert_passed(&examine(&url, &Options::check()).await, "A9");
}
