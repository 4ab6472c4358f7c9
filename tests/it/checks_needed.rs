//! Family G of the checks: what a table cannot be created without, functions that need a search path, and what is there twice.

use neon_migrate::engine::finding::Severity::{Blocker, Note, Warning};

use crate::support::checks::{Bad, assert_passed, each_is_found_and_mended, examine, examine_pair, live, mend, only, with_code};
use crate::support::cluster::Cluster;
use crate::support::migrate;

const BASE_TYPE: &str = r#"
    create schema app; create type app."Base.t";
    create function app.bin(cstring) returns app."Base.t" language internal immutable strict as 'int4in';
    create function app.bout(app."Base.t") returns cstring language internal immutable strict as 'int4out';
    create type app."Base.t" (input = app.bin, output = app.bout, internallength = 4, passedbyvalue, alignment = int4);
    create domain app.dom as app."Base.t";
    create table public.u (id int primary key, b app.dom[])"#;

const FUNCTION: &str = r#"
    create function public."Pl.us"(int4) returns int4 language internal immutable as 'int4abs';
    create table public.d (id int primary key default public."Pl.us"(1))"#;

#[tokio::test]
async fn what_tables_need_and_a_target_refuses_stops_the_copy() {
    each_is_found_and_mended(&[
        Bad::new("G2", Blocker, FUNCTION, &[r#"function public."Pl.us"(integer) (internal, a table needs it)"#]).in_words(),
        Bad::new("G6", Blocker, BASE_TYPE, &[r#"base type app."Base.t" (a table needs it)"#]).in_words().along_with(&["G2", "F18"]),
        Bad::new("G6", Warning, r#"create foreign data wrapper "Odd.fdw""#, &[r#"foreign data wrapper "Odd.fdw""#]).in_words(),
        Bad::new(
            "G5",
            Warning,
            r#"create text search dictionary "Dict.é" (template = ispell, dictfile = ispell_sample, afffile = ispell_sample);
               create text search dictionary plain (template = snowball, language = english, stopwords = english)"#,
            &[r#"text search dictionary public."Dict.é""#],
        )
        .in_words(),
    ])
    .await;
}

/// The copy itself is asked whether it would stop.
#[tokio::test]
async fn the_copy_does_stop() {
    for (name, setup) in [("base", BASE_TYPE), ("code", FUNCTION)] {
        let (source, target) = (Cluster::start(17).await, Cluster::start(17).await);
        source.create_database("shop").await;
        source.psql("shop", setup).await;
        let to = target.neon_shaped_target("shop").await;
        let told = migrate::copy(&source.superuser_url("shop"), &to, &[]).await;
        assert!(told.outcome.stdout.contains("schema-refused"), "{name}: {}\n{}", told.outcome.stdout, told.outcome.stderr);
    }
}

#[tokio::test]
async fn functions_without_a_path_and_duplicate_indexes_are_mended() {
    each_is_found_and_mended(&[
        Bad::new(
            "G21",
            Warning,
            r#"create schema "S.d"; create table public.look (id int primary key);
               create function "S.d"."Ok.ay"(int) returns boolean language sql immutable as 'select exists (select from look where id = $1)';
               create function qualified(int) returns boolean language sql immutable
                 as 'select exists (select from public.look where id = $1)';
               create function unused(int) returns boolean language sql as 'select exists (select from look where id = $1)';
               create function indexed(a int) returns int language plpgsql immutable
                 as 'begin return (select max(id) from look where id < a); end';
               create function unpacked(a date) returns int language sql immutable as 'select extract(year from $1)::int';
               create table chk (id int primary key, d date, check ("S.d"."Ok.ay"(id) or qualified(id) or unpacked(d) > 1));
               create index on chk (indexed(id))"#,
            &[r#"function "S.d"."Ok.ay"(integer)"#, "function public.indexed(a integer)"],
        ),
        Bad::new(
            "G16",
            Note,
            r#"create table "Dup.t" (id int primary key, a int, b text);
               create index "a ""1" on "Dup.t" (a); create index "a.2" on "Dup.t" (a); create index partly on "Dup.t" (a) where a > 1;
               create unique index key_again on "Dup.t" (id); create unique index unique_a on "Dup.t" (a);
               create index a_very_long_name_of_an_index on "Dup.t" (lower(b)); create index l on "Dup.t" (lower(b));
               create index other_class on "Dup.t" (lower(b) text_pattern_ops); create index backwards on "Dup.t" (a desc);
               create index includes on "Dup.t" (a) include (b)"#,
            &[
                r#"index public."a ""1" (as unique_a)"#,
                r#"index public."a.2" (as unique_a)"#,
                r#"index public.key_again (as "Dup.t_pkey")"#,
                "index public.l (as a_very_long_name_of_an_index)",
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_access_method_matters_only_where_the_target_lacks_it() {
    for major in [14, 18] {
        let (source, target) = (Cluster::start(major).await, Cluster::start(major).await);
        source.create_database("shop").await;
        target.create_database("shop").await;
        const METHOD: &str = r#"create access method "Heap.am" type table handler heap_tableam_handler"#;
        source.psql("shop", METHOD).await;
        source.psql("shop", r#"create table "Stor.ed" (id int primary key) using "Heap.am""#).await;
        let (from, to) = (source.superuser_url("shop"), target.superuser_url("shop"));
        let outcomes = examine_pair(&from, &to, &live()).await;
        let finding = only(&outcomes, "G19");
        assert_eq!((finding.severity, &finding.objects[..]), (Blocker, &[r#"table public."Stor.ed" (Heap.am)"#.to_owned()][..]));
        target.psql("shop", METHOD).await;
        assert_passed(&examine_pair(&from, &to, &live()).await, "G19");
        if major >= 15 {
            target.psql("shop", r#"drop access method "Heap.am""#).await;
            mend(&source, "shop", finding).await;
            assert_passed(&examine_pair(&from, &to, &live()).await, "G19");
        }
    }
}

/// To drop an index that is being built would undo somebody's work.
#[tokio::test]
async fn an_index_that_is_being_built_is_left_alone() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        cluster.psql("shop", "create table t (id int primary key, a int); insert into t values (1, 1)").await;
        let url = cluster.superuser_url("shop");
        // A transaction that writes to the table keeps the index from being finished.
        let writer = cluster.connect("shop").await;
        writer.batch_execute("begin; update t set a = 2").await.unwrap();
        let builder = cluster.connect("shop").await;
        let build = tokio::spawn(async move { builder.batch_execute("create index concurrently slow on t (a)").await });
        let is_there = async || cluster.query("shop", "select count(*) from pg_index where not indisvalid").await == "1";
        crate::support::poll::until_true(std::time::Duration::from_secs(60), "the index is begun", is_there).await;
        assert!(with_code(&examine(&url, &live()).await, "G15").is_empty());
        writer.batch_execute("rollback").await.unwrap();
        build.await.unwrap().unwrap();
        assert_passed(&examine(&url, &live()).await, "G15");
    }
}
