//! Preflight: each finding appears on a fixture that deserves it, and goes away when its fix is executed as it is printed.

use neon_migrate::engine::finding::{Finding, Severity};
use neon_migrate::engine::report::Exit;
use neon_migrate::migration::preflight::{self, End, Options, Preflight, Purpose};
use neon_migrate::migration::scope::Scope;
use neon_migrate::pg::conninfo::{Direct, PooledHint};
use neon_migrate::pg::tools::Search;
use tokio_postgres::Client;

use crate::support::cluster::Cluster;
use crate::support::pooler::Pooler;
use crate::support::postgres::{MAJORS, client_bin};
use crate::support::roles::owner_of;

/// The ends of the range: what differs between majors differs between these.
const OLDEST_AND_NEWEST: [u32; 2] = [14, 18];

async fn connect(url: &str) -> Client {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn options() -> Options {
    Options { tools: Search { bin_dir: Some(client_bin()), ..Search::default() }, ..Options::copy() }
}

async fn look_with(source: &str, target: &str, options: &Options) -> Preflight {
    let (source, target) = (connect(source).await, connect(target).await);
    preflight::run(End::from(&source), End::from(&target), options).await.unwrap()
}

async fn look(source: &str, target: &str) -> Preflight {
    look_with(source, target, &options()).await
}

fn with_code<'a>(preflight: &'a Preflight, code: &str) -> Vec<&'a Finding> {
    preflight.findings.iter().filter(|finding| finding.code == code).collect()
}

fn only<'a>(preflight: &'a Preflight, code: &str) -> &'a Finding {
    match with_code(preflight, code)[..] {
        [finding] => finding,
        _ => panic!("there should be one {code}: {:#?}", preflight.findings),
    }
}

fn assert_gone(preflight: &Preflight, code: &str) {
    assert!(with_code(preflight, code).is_empty(), "{:#?}", with_code(preflight, code));
}

fn assert_nothing_blocks(preflight: &Preflight) {
    let blockers: Vec<_> = preflight.blockers().collect();
    assert!(blockers.is_empty(), "{blockers:#?}");
}

/// Executes a fix as it is printed: each line after the words is a statement.
async fn execute_fix(cluster: &Cluster, database: &str, finding: &Finding) {
    let fix = finding.fix.as_deref().unwrap();
    let statements: Vec<&str> = fix.lines().skip(1).collect();
    assert!(!statements.is_empty(), "there is nothing to execute in {fix:?}");
    for statement in statements {
        cluster.psql(database, statement).await;
    }
}

#[tokio::test]
async fn nothing_stands_in_the_way_of_a_plain_migration() {
    for major in MAJORS {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        let target = cluster.neon_shaped_target("dst").await;
        cluster
            .psql("src", "set role src_owner; create table public.t (id int primary key); insert into t values (1); analyze t")
            .await;
        let preflight = look(&source, &target).await;
        assert_eq!(preflight.findings, [], "Postgres {major}");
        let facts = &preflight.facts;
        assert_eq!((facts.source.version.major(), facts.target.version.major()), (major, major));
        assert_eq!((facts.source.database.as_str(), facts.target.role.as_str()), ("src", owner_of("dst").as_str()));
        assert!(facts.source.system_identifier.is_some());
        assert_eq!(facts.source.system_identifier, facts.target.system_identifier);
        assert_ne!(facts.source.database_oid, facts.target.database_oid);
        assert!(facts.neon_shaped && !facts.target.can.superuser && facts.target.can.bypass_rls && !facts.source.can.bypass_rls);
        assert!(facts.target.can.set_replication_role == Some(false) && !facts.target.can.create_event_triggers);
        assert!(!cluster.log().contains("src_owner@src ERROR"), "preflight fills the log of the source:\n{}", cluster.log());
        assert_eq!(facts.target.provider.as_deref(), Some("Neon"));
        assert_eq!((facts.size.tables, facts.size.rows_estimate, facts.size.large_objects), (1, 1, Some(false)));
        assert!(facts.size.database_bytes.unwrap() > 1_000_000);
        assert_eq!(facts.jobs, 4);
        assert_eq!(preflight.tools.unwrap().major, 18);
        let again: preflight::Facts = serde_json::from_str(&serde_json::to_string(facts).unwrap()).unwrap();
        assert_eq!(&again, facts);
    }
}

#[tokio::test]
async fn a_superuser_may_do_more() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("src").await;
    cluster.create_database("dst").await;
    let facts = look(&cluster.superuser_url("src"), &cluster.superuser_url("dst")).await.facts;
    assert!(!facts.neon_shaped && facts.target.can.set_replication_role == Some(true) && facts.target.can.create_event_triggers);
}

#[tokio::test]
async fn nothing_is_left_behind_in_the_sessions() {
    let cluster = Cluster::start(18).await;
    let (source, target) = (cluster.plain_owner("src").await, cluster.neon_shaped_target("dst").await);
    let (source, target) = (connect(&source).await, connect(&target).await);
    const STATE: &str = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
                          where name in ('search_path', 'statement_timeout', 'lock_timeout', 'default_transaction_read_only',
                                         'transaction_read_only', 'session_replication_role')";
    let state = async |client: &Client| client.query_one(STATE, &[]).await.unwrap().get::<_, String>(0);
    let before = (state(&source).await, state(&target).await);
    preflight::run(End::from(&source), End::from(&target), &options()).await.unwrap();
    assert_eq!((state(&source).await, state(&target).await), before);
    target.batch_execute("create table written (id int)").await.unwrap();
}

#[tokio::test]
async fn what_the_role_may_not_read_is_named_and_granted() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let target = cluster.neon_shaped_target("dst").await;
        cluster.create_database("src").await;
        cluster
            .psql(
                "src",
                r#"create role "Odd ""reader""" login password 'r';
                   create schema "quote""d";
                   create table "quote""d"."Two.dots" (id serial primary key);
                   create materialized view "quote""d".mv as select 1 as one;
                   create table public.guarded (id int); alter table public.guarded enable row level security;
                   create policy p on public.guarded using (id > 0);
                   grant select on public.guarded to "Odd ""reader""";
                   create extension citext;
                   select lo_create(4711), lo_create(4712);
                   grant select on large object 4712 to public"#,
            )
            .await;
        let source = cluster.url("Odd \"reader\"", "r", "src");

        let found = look(&source, &target).await;
        assert_eq!(only(&found, "C3").objects, ["\"quote\"\"d\""]);
        let hidden = only(&found, "C6");
        assert_eq!(
            (hidden.severity, hidden.objects.as_slice()),
            (Severity::Blocker, ["table public.guarded".to_owned()].as_slice())
        );
        let unreadable = with_code(&found, "C4");
        assert_eq!(
            unreadable[0].objects,
            [
                "table \"quote\"\"d\".\"Two.dots\"",
                "sequence \"quote\"\"d\".\"Two.dots_id_seq\"",
                "materialized view \"quote\"\"d\".mv"
            ]
        );
        assert_eq!(unreadable[1].objects, ["large object 4711"]);
        assert_eq!(found.refusal().unwrap().exit, Exit::Blockers);

        let excluded = Options {
            scope: Scope { include: vec!["public".parse().unwrap()], exclude: vec!["*.guarded".parse().unwrap()] },
            ..options()
        };
        let narrowed = look_with(&source, &target, &excluded).await;
        assert_gone(&narrowed, "C3");
        assert_gone(&narrowed, "C6");
        assert_eq!(only(&narrowed, "C4").objects, ["large object 4711"]);

        for finding in found.blockers() {
            execute_fix(&cluster, "src", finding).await;
        }
        assert_nothing_blocks(&look(&source, &target).await);
        let reader = connect(&source).await;
        for query in
            ["select * from \"quote\"\"d\".\"Two.dots\"", "select * from \"quote\"\"d\".mv", "select lo_get(4711)", "table guarded"]
        {
            reader.query(query, &[]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_the_role_may_not_create_is_named_and_granted() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        cluster.create_database("dst").await;
        let guest = "create role guest login password 'g'; revoke temporary on database dst from public; revoke create on schema \
                     public from public";
        cluster.psql("dst", guest).await;
        let target = cluster.url("guest", "g", "dst");
        let found = look(&source, &target).await;
        let finding = only(&found, "C9");
        for right in ["schemas in the database", "in the schema public", "temporary tables"] {
            assert!(finding.sentence.contains(right), "{}", finding.sentence);
        }
        execute_fix(&cluster, "dst", finding).await;
        assert_nothing_blocks(&look(&source, &target).await);
    }
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_refused_with_its_objects() {
    const OBJECTS: [(&str, &str); 10] = [
        ("create table public.t (id int generated always as identity primary key)", "table public.t"),
        (
            "create table public.p (d date) partition by range (d); create table public.p1 partition of public.p default",
            "table public.p",
        ),
        ("create view public.v as select 1 as one", "view public.v"),
        ("create materialized view public.m as select 1 as one", "materialized view public.m"),
        ("create sequence public.s", "sequence public.s"),
        ("create type public.e as enum ('a')", "type public.e"),
        ("create type public.c as (a int)", "type public.c"),
        ("create function public.f() returns int language sql as 'select 1'", "function public.f"),
        ("create schema \"My shop\"", "schema \"My shop\""),
        ("select lo_create(4711)", "large object 4711"),
    ];
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        for (n, (sql, object)) in OBJECTS.iter().enumerate() {
            let database = format!("full {n}");
            cluster.create_database(&database).await;
            cluster.psql(&database, sql).await;
            let found = look(&source, &cluster.superuser_url(&database)).await;
            assert!(!found.findings.is_empty(), "the {object} was not seen");
            let finding = only(&found, "I1");
            assert_eq!((finding.severity, finding.objects_total), (Severity::Blocker, 1), "{finding:#?}");
            assert_eq!(finding.objects, [*object]);
            assert!(finding.fix.as_ref().unwrap().contains(&format!("--replace-target='{database}'")));
            if n == 0 {
                execute_fix(&cluster, &database, finding).await;
                assert_gone(&look(&source, &cluster.superuser_url("migrated")).await, "I1");
            }
        }
        let target = cluster.superuser_url("full 0");
        let replaced = look_with(&source, &target, &Options { replace_target: true, ..options() }).await;
        assert_eq!(only(&replaced, "I1").severity, Severity::Note);
        assert_gone(&look_with(&source, &target, &Options { resume: true, ..options() }).await, "I1");
        assert_gone(&look_with(&source, &target, &Options { purpose: Purpose::Verify, ..options() }).await, "I1");
    }
}

#[tokio::test]
async fn what_comes_with_a_database_does_not_count_as_content() {
    let cluster = Cluster::start(18).await;
    let source = cluster.plain_owner("src").await;
    let target = cluster.neon_shaped_target("dst").await;
    cluster
        .psql(
            "dst",
            "create extension pg_stat_statements; create extension hstore;
             alter default privileges in schema public grant all on tables to neon_superuser;
             create schema neon_auth; create table neon_auth.users_sync (id text primary key, raw jsonb)",
        )
        .await;
    assert_gone(&look(&source, &target).await, "I1");

    cluster
        .psql("dst", "create schema neon_migrate; create table neon_migrate.record (id int); create table public.half_way (id int)")
        .await;
    let found = look(&source, &target).await;
    assert_gone(&found, "I1");
    let finding = only(&found, "I4");
    assert_eq!(
        (finding.objects.as_slice(), finding.severity),
        (["table public.half_way".to_owned()].as_slice(), Severity::Blocker)
    );
    assert!(finding.fix.as_ref().unwrap().contains("neon-migrate copy --replace-target="));
}

#[tokio::test]
async fn the_same_database_is_refused_however_it_is_reached() {
    let cluster = Cluster::start(17).await;
    let source = cluster.plain_owner("src").await;
    let socket = format!("postgresql://postgres@/src?host={}&port={}", cluster.socket_dir().display(), cluster.port);
    let found = look(&source, &socket).await;
    let finding = only(&found, "A3");
    assert_eq!(finding.severity, Severity::Blocker);
    execute_fix(&cluster, "src", finding).await;
    assert_gone(&look(&source, &cluster.superuser_url("migrated")).await, "A3");

    cluster.psql("src", "revoke execute on function pg_control_system() from public").await;
    let without_identifier = look(&source, &socket).await;
    assert_eq!(without_identifier.facts.source.system_identifier, None);
    only(&without_identifier, "A3");

    // A cluster copied from the same template: one identifier, the same oids, and yet another database.
    let copy = Cluster::start(17).await;
    let found = look(&cluster.superuser_url("postgres"), &copy.superuser_url("postgres")).await;
    assert_eq!(found.facts.source.database_oid, found.facts.target.database_oid);
    assert_gone(&found, "A3");
}

#[tokio::test]
async fn a_standby_is_refused_on_either_side() {
    for major in OLDEST_AND_NEWEST {
        let mut standby = Cluster::start(major).await;
        let other = Cluster::start(major).await;
        standby.create_database("shop").await;
        let target = other.neon_shaped_target("dst").await;
        standby.stop().await;
        std::fs::write(standby.data().join("standby.signal"), "").unwrap();
        standby.start_again().await;
        let shop = standby.superuser_url("shop");
        let (as_source, as_target) = (look(&shop, &target).await, look(&target, &shop).await);
        assert_eq!(only(&as_source, "A6").subject, "source");
        assert_eq!(only(&as_target, "A6").subject, "target");
        execute_fix(&standby, "shop", only(&as_target, "A6")).await;
        assert_nothing_blocks(&look(&shop, &target).await);
    }
}

#[tokio::test]
async fn an_older_target_needs_a_word() {
    let (new, old) = (Cluster::start(18).await, Cluster::start(14).await);
    let source = new.plain_owner("src").await;
    let target = old.neon_shaped_target("dst").await;
    assert_eq!(only(&look(&source, &target).await, "B1").severity, Severity::Blocker);
    let allowed = Options { allow_downgrade: true, ..options() };
    let found = look_with(&source, &target, &allowed).await;
    assert_eq!(only(&found, "B1").severity, Severity::Warning);
    assert_gone(&found, "E5");

    new.psql("src", "create table public.names (name text collate pg_c_utf8)").await;
    let found = look_with(&source, &target, &allowed).await;
    assert_eq!(only(&found, "E5").objects, ["column public.names.name (pg_c_utf8)"]);
}

#[tokio::test]
async fn a_target_that_begins_read_only_is_refused_and_opened() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        let target = cluster.neon_shaped_target("dst").await;
        cluster.psql("postgres", "alter database dst set default_transaction_read_only = on").await;
        let found = look(&source, &target).await;
        execute_fix(&cluster, "postgres", only(&found, "C9")).await;
        assert_gone(&look(&source, &target).await, "C9");
    }
}

#[tokio::test]
async fn timeouts_of_the_role_are_told() {
    let cluster = Cluster::start(18).await;
    let source = cluster.plain_owner("src").await;
    let target = cluster.neon_shaped_target("dst").await;
    cluster.psql("postgres", "alter role src_owner set statement_timeout = '90s'").await;
    let found = look(&source, &target).await;
    let finding = only(&found, "A8");
    assert_eq!((finding.severity, finding.subject.as_str()), (Severity::Note, "source"));
    assert!(finding.sentence.contains("statement_timeout = 90000 ms"), "{}", finding.sentence);
}

#[tokio::test]
async fn too_few_connections_lower_the_jobs_or_stop_the_migration() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        let target = cluster.neon_shaped_target("dst").await;
        cluster.psql("postgres", "alter role src_owner connection limit 4").await;
        let lowered = look(&source, &target).await;
        assert_eq!((only(&lowered, "A9").severity, lowered.facts.jobs), (Severity::Note, 2));

        cluster.psql("postgres", "alter role src_owner connection limit 2").await;
        let found = look(&source, &target).await;
        let finding = only(&found, "A9");
        assert_eq!((finding.severity, found.facts.jobs), (Severity::Blocker, 0));
        execute_fix(&cluster, "postgres", finding).await;
        assert_gone(&look(&source, &target).await, "A9");
    }
}

#[tokio::test]
async fn other_encodings_and_orders_are_told() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let target = cluster.neon_shaped_target("dst").await;
        let c = "template template0 lc_collate 'C' lc_ctype 'C'";
        let c = if major >= 17 { format!("{c} locale_provider libc") } else { c.to_owned() };
        cluster.psql("postgres", &format!("create database latin encoding 'LATIN1' {c}")).await;
        cluster.psql("postgres", &format!("create database bytes encoding 'SQL_ASCII' {c}")).await;
        let (latin, bytes) = (cluster.superuser_url("latin"), cluster.superuser_url("bytes"));

        let found = look(&latin, &target).await;
        assert_eq!(only(&found, "E1").severity, Severity::Note);
        assert_eq!(only(&found, "E2").severity, Severity::Warning);
        let found = look(&bytes, &target).await;
        assert_eq!(only(&found, "E1").severity, Severity::Warning);
        execute_fix(&cluster, "postgres", only(&found, "E1")).await;
        let mended = look(&bytes, &cluster.superuser_url("migrated")).await;
        assert_gone(&mended, "E1");
        assert_gone(&mended, "E2");

        cluster.psql("postgres", "drop database migrated").await;
        let found = look(&target, &latin).await;
        execute_fix(&cluster, "postgres", only(&found, "E1")).await;
        assert_gone(&look(&target, &cluster.superuser_url("migrated")).await, "E1");
    }
}

#[tokio::test]
async fn extensions_that_the_target_lacks_are_named() {
    let (old, new) = (Cluster::start(14).await, Cluster::start(18).await);
    old.create_database("src").await;
    let target = new.neon_shaped_target("dst").await;
    old.psql("src", "create extension adminpack; create extension hstore").await;
    let found = look(&old.superuser_url("src"), &target).await;
    let finding = only(&found, "D1");
    assert_eq!((finding.severity, finding.objects.as_slice()), (Severity::Warning, ["adminpack".to_owned()].as_slice()));
    assert_eq!(found.facts.missing_extensions, ["adminpack"]);
    old.psql("src", "drop extension adminpack").await;
    assert_gone(&look(&old.superuser_url("src"), &target).await, "D1");
}

#[tokio::test]
async fn a_pattern_that_matches_nothing_is_refused() {
    let cluster = Cluster::start(18).await;
    let source = cluster.plain_owner("src").await;
    let target = cluster.neon_shaped_target("dst").await;
    cluster.psql("src", "create table public.orders (id int)").await;
    let scope = Scope { include: vec!["public.ord*".parse().unwrap()], exclude: vec!["public.Orders".parse().unwrap()] };
    let found = look_with(&source, &target, &Options { scope, ..options() }).await;
    let finding = only(&found, "S1");
    assert_eq!((finding.severity, finding.sentence.contains("public.Orders")), (Severity::Blocker, true));
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_said_and_never_passed() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let source = cluster.plain_owner("src").await;
        let target = cluster.neon_shaped_target("dst").await;
        for database in ["src", "dst"] {
            cluster
                .psql(
                    database,
                    "revoke select on pg_largeobject_metadata from public; revoke select on \
                                    pg_largeobject_metadata from pg_read_all_data",
                )
                .await;
        }
        // Since pg_read_all_data reads system tables too, the target's role is taken out of it.
        cluster.psql("dst", "revoke pg_read_all_data from neon_superuser").await;
        let found = look(&source, &target).await;
        for (code, subject) in [("C4", "source"), ("I1", "target")] {
            let finding = only(&found, code);
            assert_eq!((finding.severity, finding.subject.as_str()), (Severity::Warning, subject), "{finding:#?}");
            assert!(finding.sentence.starts_with("Not evaluated: it is not known whether"), "{}", finding.sentence);
        }
        assert_eq!((found.facts.target_content.as_ref(), found.facts.size.large_objects), (None, None));
        execute_fix(&cluster, "dst", only(&found, "I1")).await;
        execute_fix(&cluster, "src", only(&found, "I1")).await;
        assert_eq!(look(&source, &target).await.findings, []);
    }
}

#[tokio::test]
async fn a_pooler_is_seen_by_what_it_does_and_by_its_name() {
    for major in OLDEST_AND_NEWEST {
        let cluster = Cluster::start(major).await;
        let pooler = Pooler::start(&cluster, "src").await;
        cluster.create_database("src").await;
        let target = cluster.neon_shaped_target("dst").await;
        let (first, second) = (connect(&pooler.url()).await, connect(&pooler.url()).await);
        let (direct, direct_too) = (connect(&target).await, connect(&target).await);
        let hint = PooledHint {
            explanation: String::new(),
            direct: Some(Direct { host: "db.example.com".into(), port: 5432, user: "u".into() }),
        };
        let target_end = End { client: &direct, second: Some(&direct_too), pooled: None };

        let pooled = End { client: &first, second: Some(&second), pooled: Some(&hint) };
        let found = preflight::run(pooled, target_end, &options()).await.unwrap();
        let finding = only(&found, "A4");
        assert_eq!((finding.severity, finding.subject.as_str()), (Severity::Blocker, "source"));
        assert!(finding.fix.as_ref().unwrap().contains("use host db.example.com, port 5432 and user u"));

        let by_name = End { client: &direct, second: None, pooled: Some(&hint) };
        let found = preflight::run(End::from(&first), by_name, &options()).await.unwrap();
        assert_eq!(only(&found, "A4").subject, "target");
        let by_name_only = End { second: Some(&direct_too), ..by_name };
        let found = preflight::run(End::from(&first), by_name_only, &options()).await.unwrap();
        assert_eq!(only(&found, "A4").severity, Severity::Warning);
    }
}

#[tokio::test]
async fn a_missing_pg_dump_is_a_finding_with_the_command_that_installs_it() {
    let cluster = Cluster::start(18).await;
    let source = cluster.plain_owner("src").await;
    let target = cluster.neon_shaped_target("dst").await;
    let nowhere = Search { bin_dir: Some("/nonexistent".into()), ..Search::default() };
    let found = look_with(&source, &target, &Options { tools: nowhere, ..options() }).await;
    assert_eq!(only(&found, "B2").severity, Severity::Blocker);
    assert!(only(&found, "B2").fix.as_ref().unwrap().contains("--pg-bin-dir"));
}

#[tokio::test]
async fn a_lost_connection_is_a_failure_and_not_a_finding() {
    let cluster = Cluster::start(18).await;
    let source = cluster.plain_owner("src").await;
    let target = cluster.neon_shaped_target("dst").await;
    let (source, target) = (connect(&source).await, connect(&target).await);
    target.batch_execute("set application_name = 'doomed'").await.unwrap();
    cluster.terminate_backends("doomed").await;
    let failure = preflight::run(End::from(&source), End::from(&target), &options()).await.unwrap_err();
    assert_eq!(failure.report().exit, Exit::Target);
}

#[tokio::test]
async fn two_databases_that_are_compared_must_be_readable_on_both_sides() {
    let cluster = Cluster::start(18).await;
    let source = cluster.plain_owner("src").await;
    cluster.plain_owner("dst").await;
    cluster.psql("dst", "create table public.t (id int)").await;
    let target = cluster.url(&owner_of("dst"), crate::support::roles::OWNER_PASSWORD, "dst");
    let compare = Options { purpose: Purpose::Verify, ..options() };
    let found = look_with(&source, &target, &compare).await;
    assert_eq!(only(&found, "C4").subject, "target");
    execute_fix(&cluster, "dst", only(&found, "C4")).await;
    assert_eq!(look_with(&source, &target, &compare).await.findings, []);
}

#[tokio::test]
async fn a_cast_of_the_users_own_does_not_change_what_the_server_says() {
    let cluster = Cluster::start(17).await;
    cluster.create_database("src").await;
    let target = cluster.neon_shaped_target("dst").await;
    cluster
        .psql("src", "create function public.one(text) returns int language sql as 'select 1'; create cast (text as int) with function public.one(text)")
        .await;
    let found = look(&cluster.superuser_url("src"), &target).await;
    assert_eq!(found.facts.source.version.major(), 17);
    assert!(found.facts.source.connections.max > 10);
    assert_gone(&found, "B1");
}
