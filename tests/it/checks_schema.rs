//! Families G, H and I of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use std::time::Duration;

use neon_migrate::engine::finding::Severity::{Blocker, Note, Warning};
use neon_migrate::migration::preflight::{Options, Wish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::checks::{
    Bad, assert_passed, connect, each_is_found_and_mended, examine, examine_pair, live, mend, only, statements, with_code,
};
use crate::support::cluster::Cluster;
use crate::support::poll;
use crate::support::postgres::SUPERUSER;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn owners_and_roles_are_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "G1",
            Warning,
            r#"create role "Own ""er"; create schema "S.1"; create table "S.1"."T""x" (id int primary key);
               create table public.u (id int primary key); alter table "S.1"."T""x" owner to "Own ""er""#,
            &[r#"role "Own ""er" (1 object)"#, "role postgres (2 objects, a superuser)"],
        )
        .in_words()
        .along_with(&["G9"]),
        Bad::new(
            "G8",
            Note,
            r#"create role "Def.role"; alter default privileges for role "Def.role" in schema public grant select on tables to public"#,
            &[r#"default privileges of "Def.role" (on tables in schema public)"#],
        )
        .in_words()
        .along_with(&["G9"]),
        Bad::new(
            "G9",
            Warning,
            r#"create role "App ü" login createdb noinherit; create role "Group.1" replication; grant "Group.1" to "App ü";
               create role "no concern" login; create table public.g9 (id int primary key); grant select on public.g9 to "Group.1""#,
            &[r#"role "App ü""#, r#"role "Group.1" (replication, no login)"#],
        )
        .in_words()
        .along_with(&["C12"]),
        Bad::new(
            "G10",
            Warning,
            r#"create role "Pol.role"; create table public.p (id int primary key); alter table p enable row level security;
               create policy "Pol ""1" on public.p to "Pol.role" using (true); create policy everybody on public.p using (true)"#,
            &[r#"policy "Pol ""1" on public.p (for "Pol.role")"#],
        )
        .in_words()
        .along_with(&["G9"]),
        Bad::new(
            "G13",
            Warning,
            r#"create role "Crea.tor"; set role "Crea.tor"; create table public.c (id int primary key); reset role"#,
            &[r#"role "Crea.tor" (1 object in public)"#],
        )
        .in_words()
        .along_with(&["G9"])
        .on(&[14]),
    ])
    .await;
}

#[tokio::test]
async fn code_is_found_and_mended() {
    each_is_found_and_mended(&[
        Bad::new(
            "G2",
            Warning,
            r#"create function public."Do.it ""q"() returns trigger language c as '$libdir/lo', 'lo_manage';
               create language "My.lang" handler plpgsql_call_handler; create extension citext;
               create type public.span as range (subtype = int8)"#,
            &[r#"function public."Do.it ""q"() (c, $libdir/lo)"#, r#"language "My.lang""#],
        )
        .in_words()
        .along_with(&["D6", "G5"]),
        Bad::new(
            "G2",
            Blocker,
            r#"create function public."Pl.us"(int4) returns int4 language internal immutable as 'int4abs';
               create table public.d (id int primary key default public."Pl.us"(1))"#,
            &[r#"function public."Pl.us"(integer) (internal, a table needs it)"#],
        )
        .in_words(),
        Bad::new(
            "G3",
            Note,
            r#"create function public.ev() returns event_trigger language plpgsql as 'begin end';
               create event trigger "Odd.trigger ""e" on ddl_command_end execute function public.ev();
               alter event trigger "Odd.trigger ""e" disable"#,
            &[r#"event trigger "Odd.trigger ""e" (on ddl_command_end, disabled)"#],
        )
        .in_words(),
        Bad::new(
            "G11",
            Note,
            r#"create schema "S.d"; create function "S.d"."De.f ""x"(int) returns int security definer language sql as 'select $1';
               create function public.pinned() returns int security definer language sql as 'select 1';
               alter function public.pinned() set search_path = public"#,
            &[r#"function "S.d"."De.f ""x"(integer) (of postgres)"#],
        ),
        Bad::new(
            "G12",
            Warning,
            r#"create function public."Reads.it"() returns text language sql as 'select pg_read_file(''a'')';
               create procedure public.runs() language plpgsql as $$ begin copy pg_class to
               program 'true'; end $$;
               create function public.innocent() returns text language sql as 'select ''a copy to read''::text'"#,
            &[r#"function public."Reads.it"() (pg_read_file)"#, "procedure public.runs() (to program)"],
        )
        .in_words(),
        Bad::new(
            "G21",
            Warning,
            r#"create table public.look (id int primary key);
               create function public."Ok.ay"(int) returns boolean language sql immutable as 'select exists (select from look where id = $1)';
               create function public.qualified(int) returns boolean language sql immutable
                 as 'select exists (select from public.look where id = $1)';
               create function public.unused(int) returns boolean language sql as 'select exists (select from look where id = $1)';
               create table public.chk (id int primary key, check (public."Ok.ay"(id) or public.qualified(id) or true))"#,
            &[r#"function public."Ok.ay"(integer)"#],
        ),
        Bad::new(
            "G22",
            Note,
            r#"create function public."Lo.ck"() returns void language sql as 'select pg_advisory_lock(1)';
               create function public.brief() returns void language sql as 'select pg_advisory_xact_lock(1)'"#,
            &[r#"advisory locks in function public."Lo.ck"()"#],
        )
        .in_words(),
    ])
    .await;
}

const TYPES: &str = r#"
    create schema app; create type app."Base.t";
    create function app.bin(cstring) returns app."Base.t" language internal immutable strict as 'int4in';
    create function app.bout(app."Base.t") returns cstring language internal immutable strict as 'int4out';
    create type app."Base.t" (input = app.bin, output = app.bout, internallength = 4, passedbyvalue, alignment = int4);
    create domain app.dom as app."Base.t";
    create table public.u (id int primary key, b app.dom);
    create access method "Heap.2" type table handler heap_tableam_handler;
    create foreign data wrapper "Odd.fdw";
    create operator class public."Odd ops" for type integer using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=,
      operator 5 >, function 1 btint4cmp(integer, integer);
    create extension hstore"#;

#[tokio::test]
async fn types_and_operators_are_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "G4",
            Warning,
            r#"create function public.to_p(int4) returns point language sql immutable as 'select point($1, $1)';
               create cast (integer as point) with function public.to_p(int4); create cast (text as bytea) without function;
               create type public.own as (a int); create function public.to_own(int4) returns public.own language sql as 'select row($1)::own';
               create cast (integer as public.own) with function public.to_own(int4)"#,
            &["cast integer as point (by public.to_p(integer))", "cast text as bytea (without a function)"],
        )
        .in_words(),
        Bad::new(
            "G5",
            Warning,
            r#"create text search parser "Par.ser" (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
               create text search template "Temp.late" (lexize = dsimple_lexize);
               create text search dictionary "Dict.é" (template = ispell, dictfile = ispell_sample, afffile = ispell_sample);
               create text search dictionary plain (template = snowball, language = english, stopwords = english)"#,
            &[
                "text search dictionary public.\"Dict.é\" (dictfile = 'ispell_sample', afffile = 'ispell_sample')",
                r#"text search parser public."Par.ser""#,
                r#"text search template public."Temp.late""#,
            ],
        )
        .in_words(),
        Bad::new(
            "G6",
            Blocker,
            TYPES,
            &[
                r#"access method "Heap.2""#,
                r#"base type app."Base.t" (a table needs it)"#,
                r#"foreign data wrapper "Odd.fdw""#,
                r#"operator class public."Odd ops""#,
            ],
        )
        .in_words()
        .along_with(&["G2", "F18"]),
        Bad::new(
            "G19",
            Warning,
            r#"create access method "Heap.am" type table handler heap_tableam_handler;
               create table public."Stor.ed" (id int primary key) using "Heap.am""#,
            &[r#"table public."Stor.ed" (Heap.am)"#],
        )
        .along_with(&["G6"])
        .on(&[18]),
        Bad::new(
            "G19",
            Warning,
            r#"create access method "Heap.am" type table handler heap_tableam_handler;
               create table public."Stor.ed" (id int primary key) using "Heap.am""#,
            &[r#"table public."Stor.ed" (Heap.am)"#],
        )
        .along_with(&["G6"])
        .in_words()
        .on(&[14]),
    ])
    .await;
}

const NOT_VALID: &str = r#"
    create schema "No ""v"; create table "No ""v"."T.1" (id int primary key, n int); insert into "No ""v"."T.1" values (1, 1);
    alter table "No ""v"."T.1" add constraint "Check.1" check (n > 0) not valid;
    alter table "No ""v"."T.1" add constraint "Ref.1" foreign key (n) references "No ""v"."T.1" not valid;
    create domain "No ""v".dom as int; alter domain "No ""v".dom add constraint d check (value > 0) not valid"#;

const DUPLICATES: &str = r#"
    create table public."Dup.t" (id int primary key, a int, b text);
    create index "a ""1" on public."Dup.t" (a); create index "a.2" on public."Dup.t" (a); create index partly on public."Dup.t" (a) where a > 1;
    create unique index key_again on public."Dup.t" (id); create unique index unique_a on public."Dup.t" (a);
    create index a_very_long_name_of_an_index on public."Dup.t" (lower(b)); create index l on public."Dup.t" (lower(b));
    create index other_class on public."Dup.t" (lower(b) text_pattern_ops); create index backwards on public."Dup.t" (a desc)"#;

const SEQUENCES: &str = r#"
    create schema "Se ""q";
    create table "Se ""q"."T.1" ("I.d" serial primary key, s smallint generated by default as identity, unused serial);
    select setval('"Se ""q"."T.1_I.d_seq"', 2000000000), setval('"Se ""q"."T.1_s_seq"', 30000);
    create sequence "Se ""q".lone as smallint; select setval('"Se ""q".lone', 32000);
    create sequence "Se ""q".down as int increment -1; select setval('"Se ""q".down', -2000000000);
    create sequence "Se ""q".circle as smallint cycle; select setval('"Se ""q".circle', 32000);
    create sequence public.wide; select setval('public.wide', 2000000000);
    create table public.w (id bigint primary key default nextval('public.wide'), n int default nextval('public.wide'))"#;

#[tokio::test]
async fn constraints_indexes_and_sequences_are_found_and_mended() {
    each_is_found_and_mended(&[
        Bad::new(
            "G14",
            Warning,
            NOT_VALID,
            &[
                r#"check "Check.1" of table "No ""v"."T.1""#,
                r#"foreign key "Ref.1" of table "No ""v"."T.1""#,
                r#"check d of domain "No ""v".dom"#,
            ],
        ),
        Bad::new(
            "G16",
            Note,
            DUPLICATES,
            &[
                r#"index public."a ""1" (as unique_a)"#,
                r#"index public."a.2" (as unique_a)"#,
                r#"index public.key_again (as "Dup.t_pkey")"#,
                "index public.l (as a_very_long_name_of_an_index)",
            ],
        ),
        Bad::new(
            "G17",
            Note,
            r#"create table "Cir ""a" (id int primary key, b int); create table "Cir.b" (id int primary key, a int references "Cir ""a");
               alter table "Cir ""a" add foreign key (b) references "Cir.b";
               create table leaf (id int primary key references "Cir.b", up int references leaf)"#,
            &[r#"table public."Cir ""a""#, r#"table public."Cir.b""#],
        )
        .in_words(),
        Bad::new(
            "G20",
            Warning,
            SEQUENCES,
            &[
                r#"column "Se ""q"."T.1"."I.d" (integer, 93 % used, at 2000000000)"#,
                r#"column "Se ""q"."T.1".s (smallint, 91 % used, at 30000)"#,
                r#"sequence "Se ""q".down (integer, 93 % used, at -2000000000)"#,
                r#"sequence "Se ""q".lone (smallint, 97 % used, at 32000)"#,
                "column public.w.n (integer, 93 % used, at 2000000000)",
            ],
        )
        .along_with(&["F7", "F8"]),
    ])
    .await;
}

#[tokio::test]
async fn an_index_that_failed_is_found_and_dropped() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        cluster.psql("shop", r#"create table "T.t" (id int primary key, a int); insert into "T.t" values (1, 1), (2, 1)"#).await;
        let failed = cluster.try_psql("shop", r#"create unique index concurrently "Uni ""que" on "T.t" (a)"#).await;
        assert!(failed.unwrap_err().contains("duplicated"));
        let url = cluster.superuser_url("shop");
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "G15");
        assert_eq!(
            (finding.severity, &finding.objects[..]),
            (Warning, &[r#"index public."Uni ""que" (unique, on "T.t")"#.to_owned()][..])
        );
        mend(&cluster, "shop", finding).await;
        assert_passed(&examine(&url, &live()).await, "G15");
    }
}

#[tokio::test]
async fn tablespaces_are_found_and_left() {
    for major in [14, 18] {
        let cluster = Cluster::build(major).with_setting("allow_in_place_tablespaces", "on").start().await;
        cluster.create_database("shop").await;
        cluster.psql("shop", r#"create tablespace "Fa.st" location ''"#).await;
        cluster
            .psql(
                "shop",
                r#"create table "T ""t" (id int primary key) tablespace "Fa.st"; create index "I.i" on "T ""t" (id desc) tablespace "Fa.st";
                   create materialized view mv tablespace "Fa.st" as select 1 as one;
                   create table parts (id int primary key) partition by range (id) tablespace "Fa.st""#,
            )
            .await;
        let url = cluster.superuser_url("shop");
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "G7");
        let objects = [
            r#"index public."I.i" (in "Fa.st")"#,
            r#"materialized view public.mv (in "Fa.st")"#,
            r#"table public."T ""t" (in "Fa.st")"#,
            r#"table public.parts (in "Fa.st")"#,
        ];
        assert_eq!((finding.severity, &finding.objects[..]), (Warning, &objects.map(str::to_owned)[..]));
        mend(&cluster, "shop", finding).await;
        assert_passed(&examine(&url, &live()).await, "G7");
    }
}

#[tokio::test]
async fn objects_of_system_schemas_and_other_databases_are_found() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        cluster
            .psql(
                "shop",
                r#"create function pg_catalog."Odd.fn ""p"(int) returns int language sql as 'select $1'; create extension hstore"#,
            )
            .await;
        let url = cluster.superuser_url("shop");
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "G18");
        assert_eq!((finding.severity, &finding.objects[..]), (Warning, &[r#"function pg_catalog."Odd.fn ""p""#.to_owned()][..]));
        mend(&cluster, "shop", finding).await;
        assert_passed(&examine(&url, &live()).await, "G18");
        cluster.create_database("Other ü").await;
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "G18");
        assert_eq!((finding.severity, &finding.objects[..]), (Note, &[r#"database "Other ü""#.to_owned()][..]));
    }
}

#[tokio::test]
async fn what_the_target_lacks_is_made_there() {
    for major in [14, 18] {
        let (source, target) = (Cluster::start(major).await, Cluster::start(major).await);
        source.create_database("shop").await;
        target.create_database("shop").await;
        source
            .psql(
                "shop",
                r#"create role "App ü" login createdb noinherit connection limit 3 valid until '2030-01-01 00:00:00+00';
                   create role "Group.1" replication; grant "Group.1" to "App ü"; grant pg_monitor to "Group.1";
                   create table t (id int primary key); grant select on t to "Group.1";
                   alter table t enable row level security; create policy p on t to "App ü", "Group.1" using (true);
                   create access method "Heap.am" type table handler heap_tableam_handler;
                   create table "Stor.ed" (id int primary key) using "Heap.am""#,
            )
            .await;
        let (from, to) = (source.superuser_url("shop"), target.superuser_url("shop"));
        let outcomes = examine_pair(&from, &to, &live()).await;
        let (roles, policies, methods) = (only(&outcomes, "G9"), only(&outcomes, "G10"), only(&outcomes, "G19"));
        assert_eq!((roles.severity, roles.objects_total, policies.severity, policies.objects_total), (Warning, 2, Warning, 1));
        assert_eq!((methods.severity, &methods.objects[..]), (Blocker, &[r#"table public."Stor.ed" (Heap.am)"#.to_owned()][..]));
        mend(&target, "shop", roles).await;
        let made = "select string_agg(concat_ws(' ', r.rolname, r.rolcanlogin, r.rolcreatedb, r.rolinherit, r.rolreplication, r.rolconnlimit,
                                      r.rolvaliduntil, array(select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid
                                                              where m.member = r.oid)), ', ' order by r.rolname)
                      from pg_roles r where r.rolname in ('App ü', 'Group.1')";
        assert_eq!(target.query("shop", made).await, source.query("shop", made).await);
        if major >= 15 {
            mend(&source, "shop", methods).await;
        }
        let mended = examine_pair(&from, &to, &live()).await;
        assert_passed(&mended, "G9");
        assert_passed(&mended, "G10");
        assert_eq!(with_code(&mended, "G19").len(), usize::from(major < 15));
        for code in ["G2", "G6"] {
            assert!(with_code(&mended, code).is_empty(), "a superuser may create them");
        }
    }
}

#[tokio::test]
async fn policies_need_only_their_roles() {
    let (source, target) = (Cluster::start(17).await, Cluster::start(17).await);
    source.create_database("shop").await;
    let to = target.neon_shaped_target("shop").await;
    source
        .psql(
            "shop",
            r#"create role "Pol ""r" superuser; create table t (id int primary key); alter table t enable row level security;
               create policy p on t to "Pol ""r" using (true)"#,
        )
        .await;
    let from = source.superuser_url("shop");
    let outcomes = examine_pair(&from, &to, &live()).await;
    // What only superusers may give is not asked for on a target that has none.
    assert!(statements(only(&outcomes, "G9")).starts_with("create role \"Pol \"\"r\" nologin;"));
    mend(&target, "shop", only(&outcomes, "G10")).await;
    let mended = examine_pair(&from, &to, &live()).await;
    assert_passed(&mended, "G10");
    assert_passed(&mended, "G9");
}

#[tokio::test]
async fn sessions_and_what_they_rely_on_are_seen_only_with_the_right() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let url = cluster.plain_owner("shop").await;
        let setup = r#"create table "T.t" (id serial primary key); create sequence "S ""q" as smallint; select setval('"S ""q"', 32000);
                       grant select on "T.t" to shop_owner"#;
        cluster.psql("shop", setup).await;
        let client = connect(&format!("{}?application_name=Rails%20%22x", cluster.superuser_url("shop"))).await;
        client.batch_execute("select pg_advisory_lock(4711)").await.unwrap();
        let listener = connect(&cluster.superuser_url("shop")).await;
        listener.batch_execute("listen news").await.unwrap();
        let replica = Walsender::start(&cluster, "Rea.der").await;

        let plain = examine(&url, &live()).await;
        for code in ["G20", "G22", "G24", "I7"] {
            let finding = only(&plain, code);
            assert!(finding.is_not_evaluated(), "{finding:#?}");
            mend(&cluster, "shop", finding).await;
        }
        let seen = examine(&url, &live()).await;
        assert_eq!(only(&seen, "G20").objects, [r#"sequence public."S ""q" (smallint, 97 % used, at 32000)"#]);
        let advisory = r#"advisory lock held by postgres as "Rails ""x" (1)"#;
        assert_eq!(only(&seen, "G22").objects, [advisory, "listening session of postgres (1)"]);
        let clients = &only(&seen, "G24").objects;
        assert!(clients.contains(&r#"role postgres as "Rails ""x" from 127.0.0.1 (1 session)"#.to_owned()), "{clients:?}");
        assert_eq!(
            (only(&seen, "I7").severity, &only(&seen, "I7").objects[..]),
            (Note, &[r#"replica "Rea.der" (async)"#.to_owned()][..])
        );

        drop((client, listener, replica));
        let sessions = "select count(*) from pg_stat_activity where usename = 'postgres' and pid <> pg_backend_pid() and client_port is not null";
        poll::until_true(PATIENCE, "the sessions end", async || cluster.query("shop", sessions).await == "0").await;
        let alone = examine(&url, &live()).await;
        assert_passed(&alone, "G22");
        assert_passed(&alone, "I7");
    }
}

/// A session that receives WAL as a replica does, and does nothing with it.
struct Walsender(#[allow(dead_code, reason = "the session lasts as long as its socket")] tokio::net::UnixStream);

impl Walsender {
    async fn start(cluster: &Cluster, application: &str) -> Walsender {
        let mut socket =
            tokio::net::UnixStream::connect(cluster.socket_dir().join(format!(".s.PGSQL.{}", cluster.port))).await.unwrap();
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", SUPERUSER, "replication", "true", "application_name", application, ""] {
            startup.extend(word.bytes().chain([0]));
        }
        socket.write_all(&(startup.len() as u32 + 4).to_be_bytes()).await.unwrap();
        socket.write_all(&startup).await.unwrap();
        let start = cluster.query(SUPERUSER, "select pg_current_wal_flush_lsn()").await;
        let query = format!("START_REPLICATION PHYSICAL {start}\0");
        socket.write_all(&[b'Q']).await.unwrap();
        socket.write_all(&(query.len() as u32 + 4).to_be_bytes()).await.unwrap();
        socket.write_all(query.as_bytes()).await.unwrap();
        let mut answer = vec![0; 8192];
        assert!(socket.read(&mut answer).await.unwrap() > 0);
        let streams = "select count(*) from pg_stat_replication where state = 'streaming'";
        poll::until_true(PATIENCE, "the WAL is sent", async || cluster.query(SUPERUSER, streams).await == "1").await;
        Walsender(socket)
    }
}

#[tokio::test]
async fn dead_rows_and_missing_statistics_are_found_and_mended() {
    for major in [14, 18] {
        let cluster = Cluster::build(major).with_setting("autovacuum", "off").start().await;
        cluster.create_database("shop").await;
        cluster.psql("shop", r#"create table "N ""ever" as select g as id from generate_series(1, 20000) g"#).await;
        cluster.psql("shop", r#"create table "De.ad" as select g as id from generate_series(1, 20000) g; analyze "De.ad""#).await;
        cluster.psql("shop", r#"delete from "De.ad" where id > 5000"#).await;
        let url = cluster.superuser_url("shop");
        // Sessions report what they did when they end, and before 15 by a message that may take a while.
        let counted = async || with_code(&examine(&url, &live()).await, "H2").len() == 2;
        poll::until_true(PATIENCE, "the server has counted", counted).await;
        let outcomes = examine(&url, &live()).await;
        let findings = with_code(&outcomes, "H2");
        let objects: Vec<&str> = findings.iter().flat_map(|finding| &finding.objects).map(String::as_str).collect();
        assert_eq!(
            objects,
            [r#"table public."De.ad" (15000 dead rows, 5000 live)"#, r#"table public."N ""ever" (about 20000 rows)"#]
        );
        assert!(findings.iter().all(|finding| finding.severity == Warning));
        for finding in findings {
            mend(&cluster, "shop", finding).await;
        }
        let gone = async || with_code(&examine(&url, &live()).await, "H2").is_empty();
        poll::until_true(PATIENCE, "the server has counted again", gone).await;
    }
}

#[tokio::test]
async fn leftovers_on_the_target_are_found_and_removed() {
    for major in [14, 18] {
        let (source, target) = (Cluster::start(major).await, Cluster::start(major).await);
        source.create_database("shop").await;
        target.create_database("shop").await;
        target.psql("shop", "select pg_create_logical_replication_slot('neon_migrate_1', 'pgoutput')").await;
        target.psql("shop", r#"create publication "neon_migrate ""p"; create publication mine"#).await;
        target
            .psql("shop", "select pg_replication_origin_create('neon_migrate it''s'), pg_replication_origin_create('mine')")
            .await;
        target
            .psql("shop", r#"create subscription "neon_migrate s" connection 'dbname=none' publication p with (connect = false)"#)
            .await;
        let (from, to) = (source.superuser_url("shop"), target.superuser_url("shop"));
        let outcomes = examine_pair(&from, &to, &live()).await;
        let finding = only(&outcomes, "I4");
        let objects = [
            r#"publication "neon_migrate ""p""#,
            r#"replication origin "neon_migrate it's""#,
            "replication slot neon_migrate_1",
            r#"subscription "neon_migrate s""#,
        ];
        assert_eq!((finding.severity, &finding.objects[..]), (Warning, &objects.map(str::to_owned)[..]));
        mend(&target, "shop", finding).await;
        assert_passed(&examine_pair(&from, &to, &live()).await, "I4");
        let left = "select string_agg(roname, ',') from pg_replication_origin where roname !~ '^pg_'";
        assert_eq!(target.query("shop", left).await, "mine");
        assert_eq!(target.query("shop", "select string_agg(pubname, ',') from pg_publication").await, "mine");
    }
}

#[tokio::test]
async fn a_target_in_use_and_without_a_way_back_is_found() {
    for major in [14, 18] {
        let source = Cluster::start(major).await;
        source.create_database("shop").await;
        let mut target = Cluster::build(major).with_setting("wal_level", "replica").start().await;
        target.create_database("shop").await;
        let (from, to) = (source.superuser_url("shop"), target.superuser_url("shop"));
        let busy = connect(&format!("{to}?application_name=App%20%22x")).await;
        let outcomes = examine_pair(&from, &to, &live()).await;
        let sessions = only(&outcomes, "I3");
        assert_eq!(sessions.severity, Warning);
        assert!(sessions.objects.contains(&r#"role postgres as "App ""x" (1 session)"#.to_owned()), "{sessions:#?}");
        let way_back = only(&outcomes, "I5");
        assert_eq!(way_back.severity, Warning);
        let once = Options { wish: Wish::Once, ..Options::check() };
        assert_eq!(only(&examine_pair(&from, &to, &once).await, "I5").severity, Note);
        drop(busy);
        for statement in statements(way_back).lines() {
            target.psql("shop", statement).await;
        }
        target.restart().await;
        assert_passed(&examine_pair(&from, &to, &live()).await, "I5");
    }
}
