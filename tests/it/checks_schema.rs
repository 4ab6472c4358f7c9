//! Families G, H and I of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use std::process::Stdio;

use neon_migrate::engine::checkup::Status;
use neon_migrate::engine::finding::Severity::{Note, Warning};

use crate::support::checks::{
    Bad, assert_passed, connect, each_is_found_and_mended, examine, examine_pair, live, mend, only, statements, with_code,
};
use crate::support::cluster::Cluster;
use crate::support::poll;
use crate::support::roles::owner_of;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What only a superuser can create; each is created by one.
const FOR_SUPERUSERS: [Bad; 5] = [
    Bad::new(
        "G2",
        Warning,
        r#"create function "Low ""level"(int4, "Odd.arg" text) returns int4 language internal as 'int4pl';
           create function sealed(a int) returns int language sql leakproof as 'select a';
           create function usual(a int) returns int language sql as 'select a';
           create aggregate usual_sum(int) (sfunc = int4pl, stype = int)"#,
        &[
            "function public.\"Low \"\"level\"(integer, \"Odd.arg\" text) (internal)",
            "function public.sealed(a integer) (sql, leakproof)",
        ],
    )
    .in_words(),
    Bad::new(
        "G3",
        Warning,
        r#"create function on_ddl() returns event_trigger language plpgsql as 'begin end';
           create event trigger "Watch ""é" on ddl_command_end execute function on_ddl();
           alter event trigger "Watch ""é" disable"#,
        &["event trigger \"Watch \"\"é\" (ddl_command_end, disabled)"],
    )
    .in_words(),
    Bad::new(
        "G4",
        Warning,
        r#"create type "Mo.od" as enum ('sad');
           create type grade as enum ('good');
           create cast ("Mo.od" as grade) with inout;
           create function by_text(text) returns point language sql as 'select point (1, 2)';
           create cast (text as point) with function by_text(text);
           create type pair as (a int);
           create type other as (a int);
           create cast (pair as bit) with inout;
           create cast (int8 as timestamptz) without function"#,
        &["cast bigint as timestamp with time zone (without function)", "cast text as point (public.by_text(text))"],
    )
    .in_words(),
    Bad::new(
        "G5",
        Warning,
        r#"create text search parser "Par ""ser" (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
           create text search template "Tem.plate" (lexize = dsimple_lexize);
           create text search dictionary words (template = simple);
           create text search configuration plain (parser = default)"#,
        &["text search parser public.\"Par \"\"ser\"", "text search template public.\"Tem.plate\""],
    )
    .in_words(),
    Bad::new(
        "G6",
        Warning,
        r#"create aggregate "Mean.é"(int8) (sfunc = int8_avg_accum, stype = internal, finalfunc = numeric_poly_avg);
           create operator class "By ""size" for type int4 using hash as function 1 hashint4(int4);
           create access method heap2 type table handler heap_tableam_handler;
           create domain usual as int;
           create type span as range (subtype = int4);
           create table t (a usual primary key, s span)"#,
        &[
            "access method heap2",
            "aggregate public.\"Mean.é\" (state is internal)",
            "operator class public.\"By \"\"size\" (for hash)",
        ],
    )
    .in_words(),
];

#[tokio::test]
async fn what_only_a_superuser_can_create_is_found() {
    each_is_found_and_mended(&FOR_SUPERUSERS).await;
}

#[tokio::test]
async fn code_that_works_no_more_is_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "G11",
            Note,
            r#"create schema "Sc ""hema";
               create procedure "Sc ""hema"."Run.it"("A ""b" int, c "char") security definer language sql as 'select 1';
               create function safe() returns int security definer set search_path to public language sql as 'select 1'"#,
            &["procedure \"Sc \"\"hema\".\"Run.it\"(IN \"A \"\"b\" integer, IN c \"char\")"],
        ),
        Bad::new(
            "G12",
            Warning,
            r#"create function "Re.ads"() returns text language plpgsql as 'begin return pg_read_file (''/etc/hosts''); end';
               create function runs() returns void language plpgsql as $$ begin copy (select 1) to program 'cat'; end $$;
               create function writes() returns void language plpgsql as $$ begin copy t (a, b) TO '/tmp/x'; end $$;
               create function harmless() returns text language plpgsql as $$ begin return 'copy from me'; end $$"#,
            &[
                "function public.\"Re.ads\"() (pg_read_file)",
                "function public.runs() (copy … to program)",
                "function public.writes() (copy … TO '/)",
            ],
        )
        .in_words(),
        Bad::new(
            "G12",
            Warning,
            "create function old() returns text language plpgsql as 'begin perform PG_start_backup(''x''); perform datlastsysoid; end'",
            &["function public.old() (PG_start_backup, gone since Postgres 15)"],
        )
        .in_words()
        .on(&[14]),
        Bad::new(
            "G18",
            Warning,
            r#"create function pg_catalog."Hid ""den"() returns int language sql as 'select 1';
               create table information_schema."Ta.ble" (a int);
               create domain pg_catalog.dom as int"#,
            &["function pg_catalog.\"Hid \"\"den\"", "table information_schema.\"Ta.ble\"", "type pg_catalog.dom"],
        )
        .in_words(),
    ])
    .await;
}

/// What the texts say about rights: the server itself is asked.
#[tokio::test]
async fn only_a_superuser_can_create_what_is_called_so() {
    const REFUSED: [&str; 8] = [
        "create function f(int4) returns int4 language internal as 'int4pl'",
        "create function f(a int) returns int language sql leakproof as 'select a'",
        "create event trigger e on ddl_command_end execute function on_ddl()",
        "create cast (int8 as timestamptz) without function",
        "create cast (text as point) with function by_text(text)",
        "create text search template t (lexize = dsimple_lexize)",
        "create aggregate a(int8) (sfunc = int8_avg_accum, stype = internal)",
        "create operator class o for type int4 using hash as function 1 hashint4(int4)",
    ];
    const TAKEN: &str =
        "create type mood as enum ('sad'); create type grade as enum ('good'); create cast (mood as grade) with inout;
                         create conversion c for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
                         create text search configuration s (parser = default);
                         create operator === (function = int4eq, leftarg = int4, rightarg = int4)";
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let client = connect(&cluster.plain_owner("shop").await).await;
        let helpers = "create function on_ddl() returns event_trigger language plpgsql as 'begin end';
                       create function by_text(text) returns point language sql as 'select point (1, 2)'";
        client.batch_execute(helpers).await.unwrap();
        for statement in REFUSED {
            let error = client.batch_execute(statement).await.unwrap_err();
            // An internal state is refused with a code of its own.
            let code = if statement.starts_with("create aggregate") { "42P13" } else { "42501" };
            assert_eq!(error.code().map(|code| code.code()), Some(code), "{statement} on {major}: {error:?}");
        }
        client.batch_execute(TAKEN).await.unwrap();
    }
}

#[tokio::test]
async fn a_target_with_a_superuser_takes_everything() {
    let source = Cluster::start(14).await;
    let target = Cluster::start(18).await;
    source.create_database("shop").await;
    target.create_database("shop").await;
    for bad in &FOR_SUPERUSERS {
        let schema = bad.code.to_lowercase();
        source.psql("shop", &format!("create schema {schema}; set search_path to {schema}; {}", bad.setup)).await;
    }
    let (url, plain) = (source.superuser_url("shop"), target.plain_owner("plain").await);
    let outcomes = examine_pair(&url, &target.superuser_url("shop"), &live()).await;
    FOR_SUPERUSERS.iter().for_each(|bad| assert_passed(&outcomes, bad.code));
    let outcomes = examine_pair(&url, &plain, &live()).await;
    assert!(FOR_SUPERUSERS.iter().all(|bad| with_code(&outcomes, bad.code).len() == 1), "{outcomes:#?}");
}

/// Roles, an owner and a policy, with names that are hard to quote.
const PEOPLE: &str = r#"
    create role readers; create role "Old.boss" superuser;
    create role "App ""é" login createdb noinherit connection limit 5 valid until 'infinity' in role readers, pg_monitor;
    create schema "App.s" authorization "App ""é"; create table "App.s".t (a int); alter table "App.s".t owner to "App ""é";
    create table o (a int); create policy "Po ""l" on o for select to readers, public; create policy p on o for select to readers"#;

#[tokio::test]
async fn roles_that_the_target_lacks_are_found_and_made() {
    for (major, target_major) in [(14, 18), (18, 14)] {
        let source = Cluster::start(major).await;
        let target = Cluster::start(target_major).await;
        source.create_database("shop").await;
        target.create_database("shop").await;
        let (from, to) = (source.superuser_url("shop"), target.superuser_url("shop"));
        assert_passed(&examine_pair(&from, &to, &live()).await, "G9");
        source.psql("shop", PEOPLE).await;

        let alone = examine(&from, &live()).await;
        let app =
            r#"role "App ""é" (login, createdb, noinherit, connection limit 5, valid until 'infinity', in pg_monitor, readers)"#;
        assert_eq!(
            (only(&alone, "G9").severity, &only(&alone, "G9").objects[..]),
            (Note, &[app.to_owned(), "role readers".to_owned()][..])
        );
        assert_eq!(only(&alone, "G1").objects, [r#"role "App ""é" (2 objects)"#, "role postgres (1 object, a superuser)"]);
        assert_eq!(only(&alone, "G1").severity, Note);

        let outcomes = examine_pair(&from, &to, &live()).await;
        assert_eq!((only(&outcomes, "G9").severity, only(&outcomes, "G1").severity), (Warning, Warning));
        assert_eq!(only(&outcomes, "G1").objects, [r#"role "App ""é" (2 objects)"#]);
        assert_eq!(only(&outcomes, "G10").objects, ["policy p of public.o (for readers)"]);
        mend(&target, "shop", only(&outcomes, "G9")).await;
        let mended = examine_pair(&from, &to, &live()).await;
        ["G1", "G9", "G10"].iter().for_each(|code| assert_passed(&mended, code));
        let member = r#"select pg_has_role('App "é', 'readers', 'member') and rolcreatedb and rolconnlimit = 5 from pg_roles where rolcanlogin
                          and rolname = 'App "é'"#;
        assert_eq!(target.query("shop", member).await, "t");
        target.psql("shop", r#"drop role "App ""é", readers"#).await;
        for code in ["G1", "G10"] {
            mend(&target, "shop", only(&outcomes, code)).await;
            assert_passed(&examine_pair(&from, &to, &live()).await, code);
        }
    }
}

/// On a managed target the administrator can execute the statements, too, and give objects to the owners afterwards.
#[tokio::test]
async fn roles_are_made_by_an_administrator_who_is_no_superuser() {
    for major in [14, 18] {
        let source = Cluster::start(14).await;
        let target = Cluster::start(major).await;
        source.create_database("shop").await;
        source.psql("shop", PEOPLE).await;
        let (from, to) = (source.superuser_url("shop"), target.neon_shaped_target("shop").await);
        let administrator = connect(&to).await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        administrator.batch_execute(&statements(only(&outcomes, "G1"))).await.unwrap();
        let give = r#"create schema s; grant create on schema s to "App ""é"; create table s.t (a int); alter table s.t owner to "App ""é""#;
        administrator.batch_execute(give).await.unwrap();
        assert_passed(&examine_pair(&from, &to, &live()).await, "G1");
        target.psql("shop", r#"drop owned by "App ""é"; drop role "App ""é""#).await;
        administrator.batch_execute(&statements(only(&outcomes, "G9"))).await.unwrap();
        let mended = examine_pair(&from, &to, &live()).await;
        ["G9", "G10"].iter().for_each(|code| assert_passed(&mended, code));
    }
}

#[tokio::test]
async fn roles_that_create_in_public_are_found_before_postgres_15() {
    let source = Cluster::start(14).await;
    source.create_database("shop").await;
    let url = source.superuser_url("shop");
    source.psql("shop", r#"create role "De ""ploy.er"; create table mine (a int)"#).await;
    assert_passed(&examine(&url, &live()).await, "G13");
    source.psql("shop", r#"set role "De ""ploy.er"; create table t (a serial)"#).await;
    let outcomes = examine(&url, &live()).await;
    assert_eq!(only(&outcomes, "G13").objects, [r#"role "De ""ploy.er" (2 in public)"#]);
    assert_eq!(only(&outcomes, "G13").severity, Warning);
    let old = Cluster::start(14).await;
    assert_passed(&examine_pair(&url, &old.superuser_url("postgres"), &live()).await, "G13");
    mend(&source, "shop", only(&outcomes, "G13")).await;
    assert_passed(&examine(&url, &live()).await, "G13");
}

#[tokio::test]
async fn the_state_of_the_target_is_found_and_mended() {
    let source = Cluster::start(14).await;
    source.create_database("shop").await;
    let from = source.superuser_url("shop");
    for major in [14, 18] {
        let mut target = Cluster::build(major).with_setting("wal_level", "replica").start().await;
        let to = target.plain_owner("shop").await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        ["I3", "I4", "I7"].iter().for_each(|code| assert_passed(&outcomes, code));
        assert_eq!(only(&outcomes, "I5").severity, Note);

        let left = r#"create publication "neon_migrate ""left";
            create subscription neon_migrate_back connection 'dbname=nowhere' publication p with (connect = false, slot_name = 'x');
            select pg_create_physical_replication_slot('neon_migrate_slot'), pg_replication_origin_create('neon_migrate ''o')"#;
        target.psql("shop", left).await;
        source
            .psql(
                "shop",
                "select pg_replication_origin_create('neon_migrate of the source'), pg_replication_origin_create('theirs')",
            )
            .await;
        let other = connect(&format!("{}?application_name=nightly%20job", target.superuser_url("shop"))).await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        assert_eq!(only(&outcomes, "I3").objects, ["role postgres (1 session, nightly job)"]);
        let objects = with_code(&outcomes, "I4").iter().map(|finding| finding.objects.clone()).collect::<Vec<_>>();
        let there = [
            "subscription neon_migrate_back",
            "slot neon_migrate_slot",
            r#"publication "neon_migrate ""left""#,
            r#"origin "neon_migrate 'o""#,
        ];
        assert_eq!(objects, [there.map(str::to_owned).to_vec(), vec![r#"origin "neon_migrate of the source""#.to_owned()]]);
        std::mem::drop(other);
        mend(&target, "shop", with_code(&outcomes, "I4")[0]).await;
        mend(&source, "shop", with_code(&outcomes, "I4")[1]).await;
        mend(&target, "shop", only(&outcomes, "I5")).await;
        target.restart().await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        ["I3", "I4", "I5"].iter().for_each(|code| assert_passed(&outcomes, code));
        source.psql("shop", "select pg_replication_origin_drop('theirs')").await;
    }
}

/// Who only connects to replicate is to the server what a standby is.
#[tokio::test]
async fn standbys_are_seen_with_the_right_to_see_them() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let url = cluster.plain_owner("shop").await;
        assert_passed(&examine(&url, &live()).await, "I7");
        let mut standby = cluster.tool("psql", "postgres");
        let _standing_by =
            standby.args(["-X", "replication=true application_name=replica_1"]).stdin(Stdio::piped()).spawn().unwrap();
        let streaming = async || cluster.query("shop", "select count(*) from pg_stat_replication").await == "1";
        poll::until_true(PATIENCE, "it replicates", streaming).await;
        let blind = examine(&url, &live()).await;
        assert!(only(&blind, "I7").is_not_evaluated());
        assert_eq!(statements(only(&blind, "I7")), format!("grant pg_read_all_stats to \"{}\";", owner_of("shop")));
        // All else of the families G and I can be seen by every role.
        let unseen = blind.iter().filter(|outcome| outcome.code.starts_with(['G', 'I']) && outcome.status == Status::NotEvaluated);
        assert_eq!(unseen.map(|outcome| outcome.code.as_str()).collect::<Vec<_>>(), ["I7"]);
        mend(&cluster, "shop", only(&blind, "I7")).await;
        let outcomes = examine(&url, &live()).await;
        assert_eq!(only(&outcomes, "I7").severity, Note);
        assert_eq!(only(&outcomes, "I7").objects, ["standby replica_1 (local)"]);
    }
}
