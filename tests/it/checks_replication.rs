//! Family F of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use std::time::Duration;

use neon_migrate::engine::finding::Severity::{Blocker, Note, Warning};
use neon_migrate::migration::preflight::LiveFitness;

use crate::support::checks::{Bad, each_is_found_and_mended, examine, live, mend, only, with_code};
use crate::support::cluster::Cluster;
use crate::support::poll;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn identities_are_found_and_mended() {
    each_is_found_and_mended(&[
        Bad::new(
            "F1",
            Blocker,
            r#"create schema "Odd ""s";
               create table "Odd ""s"."No.Key é
" (a int, j json);
               create table choice (a int not null, b int not null, c int);
               create unique index on choice (c);
               create unique index on choice (a) where a > 0;
               create unique index on choice ((a + b));
               create index on choice (b);
               create unique index "The ""right.one" on choice (b, a) include (c);
               create table deferred (a int not null unique deferrable);
               create table switched_off (a int primary key);
               alter table switched_off replica identity nothing;
               create table gone (a int not null);
               create unique index gone_i on gone (a);
               alter table gone replica identity using index gone_i;
               drop index gone_i;
               create table in_order (a int primary key);
               create table by_index (a int not null unique);
               alter table by_index replica identity using index by_index_a_key;
               create table whole (a int);
               alter table whole replica identity full;
               create unlogged table not_sent (a int);
               create view seen as select 1 as a;
               insert into choice values (1, 1, 1), (2, 2, 2);
               update choice set c = 3 where a = 1"#,
            &[
                "table \"Odd \"\"s\".\"No.Key é\\n\" (no update or delete counted)",
                "table public.choice (1 update or delete counted)",
                "table public.deferred (no update or delete counted)",
                "table public.gone (no update or delete counted)",
                "table public.switched_off (no update or delete counted)",
            ],
        )
        .along_with(&["F4", "F16"]),
        Bad::new(
            "F1",
            Blocker,
            "create table tree (a int, b int not null) partition by list (a);
             create table with_key partition of tree (primary key (b)) for values in (1);
             create table without partition of tree for values in (2)",
            &["table public.without (no update or delete counted)"],
        )
        .along_with(&["F11"]),
        Bad::new(
            "F2",
            Blocker,
            r#"create table "Two.Keys" ("A ""b" int, b int, primary key (b, "A ""b") deferrable)"#,
            &["table public.\"Two.Keys\" (\"Two.Keys_pkey\" is deferrable; no update or delete counted)"],
        ),
        Bad::new(
            "F2",
            Blocker,
            r#"create table "Broken" (a int primary key);
               update pg_index set indisvalid = false where indexrelid = '"Broken_pkey"'::regclass"#,
            &["table public.\"Broken\" (\"Broken_pkey\" is not valid; no update or delete counted)"],
        )
        .along_with(&["G15"]),
        Bad::new(
            "F2",
            Blocker,
            "create table computed (a int, b int generated always as (a * 2) stored primary key)",
            &["table public.computed (computed_pkey has a generated column; no update or delete counted)"],
        )
        .along_with(&["F7"])
        .on(&[14]),
        Bad::new(
            "F2",
            Blocker,
            "create table computed (a int, b int generated always as (a * 2) stored primary key);
             create table thin (a int, b int generated always as (a * 2) virtual);
             alter table thin replica identity full",
            &[
                "table public.computed (computed_pkey has a generated column; no update or delete counted)",
                "table public.thin (the whole row, with virtual generated columns; no update or delete counted)",
            ],
        )
        .along_with(&["F7"])
        .in_words()
        .on(&[18]),
        Bad::new(
            "F2",
            Blocker,
            "create table thin (a int primary key, b int generated always as (a * 2) virtual);
             alter table thin replica identity full",
            &["table public.thin (the whole row, with virtual generated columns; no update or delete counted)"],
        )
        .along_with(&["F7"])
        .on(&[18]),
        Bad::new(
            "F3",
            Blocker,
            r#"create table "Documents" (a int not null unique, "The doc" json);
               alter table "Documents" replica identity full"#,
            &["table public.\"Documents\" (\"The doc\" json)"],
        ),
        Bad::new(
            "F3",
            Blocker,
            "create table places (a point, b int); alter table places replica identity full;
             create table keyed (a point, b int primary key); alter table keyed replica identity full",
            &["table public.places (a point)"],
        )
        .in_words(),
    ])
    .await;
}

#[tokio::test]
async fn what_is_not_streamed_is_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "F4",
            Warning,
            r#"create unlogged table "Fast ""and loose" (a int primary key)"#,
            &["table public.\"Fast \"\"and loose\""],
        ),
        Bad::new(
            "F6",
            Warning,
            r#"create domain "Lob" as oid;
               create table files (id int primary key, "The.File" oid, other "Lob");
               select lo_create(0), lo_create(0)"#,
            &["column public.files.\"The.File\" (oid)", "column public.files.other (public.\"Lob\")"],
        )
        .in_words(),
        Bad::new(
            "F9",
            Warning,
            r#"create materialized view "Sum ""é" as select 1 as a; create materialized view empty as select 1 as a with no data"#,
            &["materialized view public.\"Sum \"\"é\" (8.0 kB)", "materialized view public.empty (not populated)"],
        )
        .in_words(),
        Bad::new(
            "F10",
            Warning,
            r#"create foreign data wrapper w; create server "Far.Away" foreign data wrapper w;
               create user mapping for public server "Far.Away" options (password 's3cret');
               create foreign table "There" (a int) server "Far.Away""#,
            &["foreign table public.\"There\" (server \"Far.Away\" of w)", "user mapping public (server \"Far.Away\" of w)"],
        )
        .in_words()
        .along_with(&["G6"]),
    ])
    .await;
}

#[tokio::test]
async fn shapes_are_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "F7",
            Warning,
            r#"create table t (a int generated always as identity primary key, "B ""é" int generated always as (1) stored)"#,
            &["column public.t.a (identity, always)", "column public.t.\"B \"\"é\" (stored)"],
        )
        .in_words(),
        Bad::new(
            "F7",
            Note,
            "create table t (a int generated always as identity primary key)",
            &["column public.t.a (identity, always)"],
        )
        .in_words(),
        Bad::new(
            "F7",
            Warning,
            "create table t (a int primary key, b int generated always as (a) virtual)",
            &["column public.t.b (virtual)"],
        )
        .in_words()
        .on(&[18]),
        Bad::new(
            "F8",
            Note,
            r#"create sequence "Free.One"; create table t (a serial primary key, b int generated by default as identity)"#,
            &["sequence public.\"Free.One\""],
        )
        .in_words(),
        Bad::new(
            "F11",
            Note,
            r#"create table "Tree.1" (a int primary key) partition by range (a);
               create table b1 partition of "Tree.1" for values from (0) to (10);
               create table b2 partition of "Tree.1" for values from (10) to (20)"#,
            &["table public.\"Tree.1\" (2 partitions)"],
        )
        .in_words(),
        Bad::new(
            "F12",
            Warning,
            r#"create table "Mother" (a int primary key); create table child (primary key (a)) inherits ("Mother")"#,
            &["table public.child (of public.\"Mother\")"],
        )
        .in_words(),
        Bad::new(
            "F16",
            Warning,
            r#"create table "T ""é" (a int primary key);
               create trigger "Act.s" before insert on "T ""é" for each row execute function suppress_redundant_updates_trigger();
               alter table "T ""é" enable always trigger "Act.s""#,
            &["always trigger \"Act.s\" of public.\"T \"\"é\""],
        ),
        Bad::new(
            "F16",
            Warning,
            r#"create table t (a int primary key, b int unique deferrable, c int unique deferrable initially deferred);
               create trigger replays before insert on t for each row execute function suppress_redundant_updates_trigger();
               alter table t enable replica trigger replays;
               create trigger ordinary before insert on t for each row execute function suppress_redundant_updates_trigger();
               create rule "Also" as on insert to t do also select 1;
               create view seen as select * from t;
               create rule redirect as on insert to seen do instead nothing"#,
            &["constraint t_b_key of public.t", "replica trigger replays of public.t", "rule \"Also\" of public.t"],
        )
        .in_words(),
    ])
    .await;
}

#[tokio::test]
async fn columns_and_names_are_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "F17",
            Warning,
            r#"create domain "My.lsn" as pg_lsn;
               create table t (id int primary key, "X ""é" xid8, arr tid[], dom "My.lsn", rel regclass)"#,
            &[
                "column public.t.\"X \"\"é\" (xid8)",
                "column public.t.arr (tid[])",
                "column public.t.dom (public.\"My.lsn\")",
                "column public.t.rel (regclass)",
            ],
        )
        .in_words(),
        Bad::new("F17", Note, "create table t (id int primary key, rel regtype)", &["column public.t.rel (regtype)"]).in_words(),
        Bad::new(
            "F18",
            Note,
            r#"create type "Com.p" as (a int, g aclitem); create table t (id int primary key, "A" aclitem[], c "Com.p")"#,
            &["column public.t.\"A\" (aclitem[])", "column public.t.c (public.\"Com.p\")"],
        )
        .along_with(&["F17"])
        .in_words(),
        Bad::new(
            "F24",
            Warning,
            r#"create table orders (id int primary key, "Id" int); create table "Orders" (id int primary key); create schema "PUBLIC""#,
            &[
                "schema \"PUBLIC\"",
                "schema public",
                "public.\"Orders\"",
                "public.orders",
                "column public.orders.\"Id\"",
                "column public.orders.id",
            ],
        )
        .in_words(),
    ])
    .await;
}

#[tokio::test]
async fn who_else_replicates_is_found() {
    each_is_found_and_mended(&[
        Bad::new("F13", Note, r#"create publication "My ""pub""#, &["publication \"My \"\"pub\""]).in_words(),
        Bad::new("F13", Warning, "create publication everything for all tables", &["publication everything (for all tables)"]).in_words(),
        Bad::new(
            "F13",
            Warning,
            r#"create subscription "My.sub" connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)"#,
            &["subscription \"My.sub\" (disabled)"],
        )
        .in_words(),
        Bad::new(
            "F13",
            Warning,
            r#"create publication "neon_migrate ""left";
               create subscription neon_migrate_back connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)"#,
            &["publication \"neon_migrate \"\"left\"", "subscription neon_migrate_back"],
        ),
        Bad::new(
            "F23",
            Warning,
            r#"create schema "App"; create table "App".schema_migrations (version text primary key);
               create table "__EFMigrationsHistory" (id int primary key)"#,
            &["table \"App\".schema_migrations", "table public.\"__EFMigrationsHistory\""],
        )
        .in_words(),
    ])
    .await;
}

/// What the check F1 is for: a publication breaks the source, and the fix, as printed, heals it, on every path that it takes.
#[tokio::test]
async fn a_published_table_without_identity_refuses_updates_until_it_is_mended() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        let tables = [r#""No ""key""#, "choice", "leaf", "deferred", "gone"];
        let setup = r#"create table "No ""key" (a int, j json);
                       create table choice (a int not null unique, b int);
                       create table tree (a int, b int) partition by list (a);
                       create table leaf partition of tree for values in (1);
                       create table deferred (a int primary key deferrable);
                       create table gone (a int not null);
                       create unique index gone_i on gone (a);
                       alter table gone replica identity using index gone_i;
                       drop index gone_i;
                       create publication everything for all tables"#;
        cluster.psql("shop", setup).await;
        for table in tables {
            cluster.psql("shop", &format!("insert into {table} (a) values (1)")).await;
            for change in [format!("update {table} set a = 1"), format!("delete from {table}")] {
                let refused = cluster.try_psql("shop", &change).await.unwrap_err();
                assert!(refused.contains("does not have a replica identity"), "{change} on {major}: {refused}");
            }
        }
        let outcomes = examine(&cluster.superuser_url("shop"), &live()).await;
        assert_eq!(LiveFitness::of(&outcomes).obstacles, ["F1", "F2"]);
        mend(&cluster, "shop", only(&outcomes, "F1")).await;
        mend(&cluster, "shop", only(&outcomes, "F2")).await;
        for table in tables {
            for change in [format!("update {table} set a = 1"), format!("delete from {table}")] {
                cluster.psql("shop", &change).await;
            }
        }
        let kinds = "select string_agg(relreplident::text, ' ' order by relname) from pg_class
                     where relkind = 'r' and relnamespace = 'public'::regnamespace";
        assert_eq!(cluster.query("shop", kinds).await, "f i i f f");
        let outcomes = examine(&cluster.superuser_url("shop"), &live()).await;
        assert_eq!(LiveFitness::of(&outcomes), LiveFitness { native_obstacles: vec!["F3".into()], ..LiveFitness::default() });
    }
}

/// Postgres 18 refuses an identity with generated columns that are not published, the whole row too, so the fix must not be `full`.
#[tokio::test]
async fn generated_columns_break_updates_on_18_and_full_is_no_way_out() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("shop").await;
    let setup = "create table thin (a int, b int generated always as (a * 2) virtual);
                 create table thick (a int, b int generated always as (a * 2) stored);
                 insert into thin values (1); insert into thick values (1)";
    cluster.psql("shop", setup).await;
    let url = cluster.superuser_url("shop");
    let outcomes = examine(&url, &live()).await;
    let finding = only(&outcomes, "F1");
    let fix = finding.fix.as_deref().unwrap();
    assert!(fix.starts_with("For 2 tables with generated columns") && !fix.contains("replica identity full"), "{fix}");
    assert_eq!(fix.lines().count(), 1, "{fix}");

    let full = "create publication everything for all tables;
                alter table thin replica identity full; alter table thick replica identity full";
    cluster.psql("shop", full).await;
    for table in ["thin", "thick"] {
        let refused = cluster.try_psql("shop", &format!("update {table} set a = 2")).await.unwrap_err();
        assert!(refused.contains("must not contain unpublished generated columns"), "{refused}");
    }
    assert_eq!(only(&examine(&url, &live()).await, "F2").objects_total, 2);
    cluster.psql("shop", "alter publication everything set (publish_generated_columns = stored)").await;
    cluster.psql("shop", "update thick set a = 2").await;
}

/// F3 says of each type what Postgres's own comparison of rows says, which is what the apply worker asks.
#[tokio::test]
async fn equality_is_judged_as_postgres_does() {
    let types = [
        "json",
        "jsonb",
        "xml",
        "point",
        "box",
        "line",
        "lseg",
        "path",
        "polygon",
        "circle",
        "jsonpath",
        "txid_snapshot",
        "pg_snapshot",
        "int4",
        "text",
        "varchar(5)",
        "bpchar",
        "name",
        "bytea",
        "money",
        "xid",
        "xid8",
        "cid",
        "tid",
        "pg_lsn",
        "aclitem",
        "regclass",
        "oidvector",
        "int2vector",
        "refcursor",
        "tsvector",
        "tsquery",
        "bit(3)",
        "varbit",
        "inet",
        "cidr",
        "macaddr",
        "uuid",
        "interval",
        "timetz",
        "int4range",
        "int4multirange",
        "nummultirange",
        "mood",
        "\"char\"",
        "json[]",
        "int4[]",
        "varchar[]",
        "point[]",
        "mood[]",
        "doc",
        "docs",
        "docs_domain",
        "pair",
        "plain_pair",
        "pair[]",
        "nested",
        "inner_row",
        "pair_domain",
        "whole_row",
    ];
    let made = "create type mood as enum ('good', 'bad'); create domain doc as json; create domain docs as json[];
                create domain docs_domain as docs; create type pair as (a int, b json); create type plain_pair as (a int, b text);
                create type nested as (p plain_pair, d docs_domain[]); create type inner_row as (p plain_pair);
                create domain pair_domain as pair; create table whole_row (a int primary key, b point);";
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let mut unequal_total = 0;
        // As many at a time as a finding names.
        for (part, types) in types.chunks(20).enumerate() {
            let database = format!("part{part}");
            cluster.create_database(&database).await;
            let table = |(n, name): (usize, &&str)| {
                format!(
                    "create table t{n:02} (v {name}); alter table t{n:02} replica identity full; insert into t{n:02} values (null);"
                )
            };
            cluster.psql(&database, &(made.to_owned() + &types.iter().enumerate().map(table).collect::<String>())).await;
            let mut unequal = Vec::new();
            for (n, name) in types.iter().enumerate() {
                match cluster.try_psql(&database, &format!("select r = r from t{n:02} r")).await {
                    Ok(_) => {}
                    Err(error) if error.contains("could not identify an equality operator for type") => unequal.push((n, *name)),
                    Err(error) => panic!("{name}: {error}"),
                }
            }
            let outcomes = examine(&cluster.superuser_url(&database), &live()).await;
            let found: Vec<&str> = with_code(&outcomes, "F3").iter().flat_map(|f| &f.objects).map(|object| &object[..16]).collect();
            let expected: Vec<String> = unequal.iter().map(|(n, _)| format!("table public.t{n:02}")).collect();
            assert_eq!(found, expected, "on Postgres {major}: {unequal:?}");
            unequal_total += unequal.len();
        }
        assert!((15..types.len() - 15).contains(&unequal_total), "{unequal_total}");
    }
}

/// What F3 is about, on a native subscription: the table that it names stops the subscription, one with a key does not.
#[tokio::test]
async fn a_subscription_stops_at_a_whole_row_without_equality() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let tables = "create table keyed (id int primary key, doc json); alter table keyed replica identity full;
                      create table loose (id int, doc json); alter table loose replica identity full;
                      insert into keyed values (1, '1'); insert into loose values (1, '1');";
        for database in ["here", "there"] {
            cluster.create_database(database).await;
            cluster.psql(database, tables).await;
        }
        assert_eq!(only(&examine(&cluster.superuser_url("here"), &live()).await, "F3").objects, ["table public.loose (doc json)"]);
        cluster.psql("here", "create publication p for all tables").await;
        cluster.psql("here", "select pg_create_logical_replication_slot('s', 'pgoutput')").await;
        let subscribe = format!(
            "create subscription s connection 'host={} port={} dbname=here user=postgres' publication p
             with (create_slot = false, copy_data = false)",
            cluster.socket_dir().display(),
            cluster.port
        );
        cluster.psql("there", &subscribe).await;
        cluster.psql("here", "update keyed set doc = '2'").await;
        poll::until_true(PATIENCE, "the update of the table with a key arrives", async || {
            cluster.query("there", "select doc from keyed").await == "2"
        })
        .await;
        cluster.psql("here", "update loose set doc = '2'").await;
        poll::until_true(PATIENCE, "the subscription stops", async || {
            cluster.log().contains("could not identify an equality operator for type json")
        })
        .await;
    }
}
