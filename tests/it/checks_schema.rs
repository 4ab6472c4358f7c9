//! Families G, H and I of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use neon_migrate::engine::finding::Severity::{Note, Warning};

use crate::support::checks::{Bad, each_is_found_and_mended};

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
           create function by_text(text) returns int language sql as 'select 1';
           create cast (text as int) with function by_text(text);
           create type pair as (a int);
           create type other as (a int);
           create cast (pair as bit) with inout;
           create cast (int8 as timestamptz) without function"#,
        &["cast bigint as timestamp with time zone (without function)", "cast text as integer (public.by_text(text))"],
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
           create table t (a usual, s span)"#,
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
               create function old() returns text language plpgsql as 'begin perform pg_current_xlog_location(); end';
               create function harmless() returns text language plpgsql as $$ begin return 'copy from me'; end $$"#,
            &[
                "function public.\"Re.ads\"() (pg_read_file)",
                "function public.old() (pg_current_xlog_location, gone since Postgres 10)",
                "function public.runs() (copy (select 1) to program)",
                "function public.writes() (copy t (a, b) TO '/)",
            ],
        )
        .in_words(),
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
