//! Families G and H of the checks, what concerns storage, constraints, clients and upkeep.

use std::time::Duration;

use neon_migrate::engine::finding::Severity::{Note, Warning};

use crate::support::checks::{
    Bad, assert_passed, connect, each_is_found_and_mended, examine, examine_pair, live, mend, only, with_code,
};
use crate::support::cluster::Cluster;
use crate::support::poll;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn constraints_are_found_and_mended() {
    each_is_found_and_mended(&[
        Bad::new(
            "G14",
            Warning,
            r#"create table "Ord.ers é" (id int primary key, n int);
               alter table "Ord.ers é" add constraint "Pos ""itive" check (n > 0) not valid, add constraint sound check (n < 9);
               create table lines (id int primary key, of int);
               alter table lines add constraint known foreign key (of) references "Ord.ers é" not valid;
               create table mother (id int primary key); create table child (primary key (id)) inherits (mother);
               alter table mother add constraint small check (id < 9) not valid;
               create domain "Mo ney" as int; alter domain "Mo ney" add constraint not_much check (value < 9) not valid"#,
            &[
                "constraint \"Pos \"\"itive\" of table public.\"Ord.ers é\"",
                "constraint known of table public.lines",
                "constraint small of table public.mother",
                "constraint not_much of domain public.\"Mo ney\"",
            ],
        )
        .along_with(&["F12"]),
        Bad::new(
            "G17",
            Note,
            r#"create table "A.1" (id int primary key, b int); create table b (id int primary key, a int references "A.1");
               alter table "A.1" add foreign key (b) references b;
               create table c (id int primary key, b int references b, c int references c)"#,
            &["tables public.\"A.1\", public.b"],
        )
        .in_words(),
    ])
    .await;
}

#[tokio::test]
async fn an_index_whose_creation_failed_is_found_and_dropped() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        let setup = r#"create table "T ""é" (id int primary key, a int); insert into "T ""é" values (1, 1), (2, 1);
                       create table whole (id int primary key); create table tree (id int primary key, a int) partition by range (id);
                       create table branch partition of tree for values from (0) to (9); create index on only tree (a)"#;
        cluster.psql("shop", setup).await;
        cluster.psql("shop", "update pg_index set indisvalid = false where indexrelid = 'whole_pkey'::regclass").await;
        let failed = cluster.try_psql("shop", r#"create unique index concurrently "In.dex" on "T ""é" (a)"#).await.unwrap_err();
        assert!(failed.contains("could not create unique index"), "{failed}");
        let url = cluster.superuser_url("shop");
        let outcomes = examine(&url, &live()).await;
        let [single, partitioned] = with_code(&outcomes, "G15")[..] else { panic!("{outcomes:#?}") };
        assert_eq!(single.objects, ["index public.\"In.dex\" of \"T \"\"é\"", "index public.whole_pkey of whole"]);
        assert_eq!(partitioned.objects, ["index public.tree_a_idx of tree"]);
        mend(&cluster, "shop", single).await;
        assert_eq!(only(&examine(&url, &live()).await, "G15").objects, partitioned.objects);
        let attach = "create index here on branch (a); alter index tree_a_idx attach partition here";
        cluster.psql("shop", attach).await;
        assert_passed(&examine(&url, &live()).await, "G15");
    }
}

#[tokio::test]
async fn labels_and_default_privileges_are_found() {
    each_is_found_and_mended(&[
        Bad::new(
            "G8",
            Note,
            r#"create table "La ""bel" (id int primary key);
               insert into pg_seclabel values ('"La ""bel"'::regclass, 'pg_class'::regclass, 0, 'mask', 'secret')"#,
            &["security label on table public.\"La \"\"bel\" (mask)"],
        )
        .in_words(),
        Bad::new(
            "G8",
            Note,
            r#"create role "Gi.ver"; create schema "S ""é"; alter default privileges for role "Gi.ver" grant usage on types to pg_monitor;
               alter default privileges for role "Gi.ver" in schema "S ""é" grant select on tables to public"#,
            &[
                "default privileges of \"Gi.ver\" (types)",
                "default privileges of \"Gi.ver\" in schema \"S \"\"é\" (tables)",
            ],
        )
        .in_words()
        .along_with(&["G9"]),
    ])
    .await;
}

#[tokio::test]
async fn keys_that_run_out_are_found_and_widened() {
    each_is_found_and_mended(&[
        Bad::new(
            "G20",
            Warning,
            r#"create table "T ""é" ("I.d" serial primary key); select setval('"T ""é_I.d_seq"', 1700000000);
               create sequence "Wi.de"; create table narrow (id int default nextval('"Wi.de"'), n int, primary key (n, id)) partition by range (n);
               create table part partition of narrow for values from (0) to (9); select setval('"Wi.de"', 2100000000);
               create table small (id smallint generated always as identity primary key); select setval('small_id_seq', 30000);
               create sequence codes maxvalue 1000; select setval('codes', 1000);
               create table fine (id bigserial primary key); select setval('fine_id_seq', 9000000000);
               create table young (id serial primary key); select setval('young_id_seq', 1000);
               create sequence round maxvalue 10 cycle; select setval('round', 10)"#,
            &[
                "column public.\"T \"\"é\".\"I.d\" (integer; sequence public.\"T \"\"é_I.d_seq\" is at 1700000000 of 2147483647, 79 %)",
                "column public.narrow.id (integer; sequence public.\"Wi.de\" is at 2100000000 of 2147483647, 97 %)",
                "sequence public.codes (at 1000 of 1000, 100 %)",
                "column public.small.id (smallint; sequence public.small_id_seq is at 30000 of 32767, 91 %)",
            ],
        )
        .along_with(&["F7", "F8", "F11"]),
    ])
    .await;
}

#[tokio::test]
async fn tablespaces_and_other_databases_are_found() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        assert_passed(&examine(&cluster.superuser_url("shop"), &live()).await, "G18");
        cluster.create_database("Oth.er").await;
        let place = cluster.socket_dir().join("fast").display().to_string();
        // Only the server's own user may make it.
        cluster.psql("shop", &format!("copy (select 1) to program 'mkdir {place}'")).await;
        cluster.psql("shop", &format!(r#"create tablespace "Fa.st" location '{place}'"#)).await;
        let setup =
            r#"create table "T ""é" (id int primary key) tablespace "Fa.st"; create index far on "T ""é" (id) tablespace "Fa.st""#;
        cluster.psql("shop", setup).await;
        let outcomes = examine(&cluster.superuser_url("shop"), &live()).await;
        let finding = only(&outcomes, "G7");
        assert_eq!(finding.severity, Note);
        assert_eq!(finding.objects, ["table public.\"T \"\"é\" (Fa.st)", "index public.far (Fa.st)"]);
        assert_eq!(only(&outcomes, "G18").objects, ["\"Oth.er\""]);
    }
}

#[tokio::test]
async fn what_sessions_keep_is_found_as_far_as_a_role_may_see() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let url = cluster.plain_owner("shop").await;
        assert_passed(&examine(&url, &live()).await, "G22");
        let busy = connect(&cluster.superuser_url("shop")).await;
        let setup =
            "set application_name = 'Till 1'; create temporary table t (a int); select pg_advisory_lock(1), pg_advisory_lock(2)";
        busy.batch_execute(setup).await.unwrap();
        busy.batch_execute("listen news").await.unwrap();
        let outcomes = examine(&url, &live()).await;
        for code in ["G22", "G24"] {
            let found = with_code(&outcomes, code);
            assert!(found[0].is_not_evaluated(), "{found:#?}");
            mend(&cluster, "shop", found[0]).await;
        }
        let outcomes = examine(&url, &live()).await;
        let kept = &only(&outcomes, "G22").objects;
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(kept[0].ends_with("(postgres, Till 1): holds 2 advisory locks"), "{kept:?}");
        assert!(kept[1].ends_with("(postgres, Till 1): listens"), "{kept:?}");
        assert_eq!(kept[2], "1 temporary table");
        let clients = &only(&outcomes, "G24").objects;
        assert!(clients.contains(&"postgres (Till 1, 127.0.0.1; 1 session)".to_owned()), "{clients:?}");
        drop(busy);
    }
}

#[tokio::test]
async fn positions_that_a_role_may_not_read_are_not_passed() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let url = cluster.plain_owner("shop").await;
        let setup = r#"create table "T ""é" (id serial primary key); select setval('"T ""é_id_seq"', 2147483647)"#;
        cluster.psql("shop", setup).await;
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "G20");
        assert!(finding.is_not_evaluated(), "{finding:#?}");
        mend(&cluster, "shop", finding).await;
        let outcomes = examine(&url, &live()).await;
        assert_eq!(only(&outcomes, "G20").severity, Warning);
        assert!(only(&outcomes, "G20").objects[0].contains("100 %"), "{outcomes:#?}");
    }
}

#[tokio::test]
async fn neglected_tables_are_found_and_mended() {
    each_is_found_and_mended(&[Bad::new(
        "H2",
        Warning,
        r#"create table "Ne.w é" (id int primary key, n int) with (autovacuum_enabled = off);
           insert into "Ne.w é" select i, i from generate_series(1, 60000) i; create table little (id int primary key)"#,
        &["table public.\"Ne.w é\""],
    )])
    .await;
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        let url = cluster.superuser_url("shop");
        let setup = r#"create table "De ""ad" (id int primary key) with (autovacuum_enabled = off);
                       insert into "De ""ad" select generate_series(1, 150000); analyze "De ""ad""#;
        cluster.psql("shop", setup).await;
        assert_passed(&examine(&url, &live()).await, "H2");
        cluster.psql("shop", r#"delete from "De ""ad" where id <= 60000"#).await;
        let outcomes = poll::until(PATIENCE, "the dead rows are counted", async || {
            let outcomes = examine(&url, &live()).await;
            (!with_code(&outcomes, "H2").is_empty()).then_some(outcomes)
        })
        .await;
        let finding = only(&outcomes, "H2");
        assert_eq!(
            (finding.severity, &finding.objects[..]),
            (Note, &["table public.\"De \"\"ad\" (90000 live, 60000 dead)".to_owned()][..])
        );
        mend(&cluster, "shop", finding).await;
        poll::until_true(PATIENCE, "the vacuum is noted", async || with_code(&examine(&url, &live()).await, "H2").is_empty()).await;
    }
}

#[tokio::test]
async fn other_access_methods_are_found_and_mended() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        let url = cluster.superuser_url("shop");
        let setup = r#"create access method columnar type table handler heap_tableam_handler;
                       create table "Col.umns é" (id int primary key) using columnar; create table plain (id int primary key)"#;
        cluster.psql("shop", setup).await;
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "G19");
        assert_eq!((finding.severity, &finding.objects[..]), (Warning, &["table public.\"Col.umns é\" (columnar)".to_owned()][..]));
        if major >= 15 {
            mend(&cluster, "shop", finding).await;
            assert!(with_code(&examine(&url, &live()).await, "G19").is_empty());
        }
    }
}

#[tokio::test]
async fn a_partition_key_that_runs_out_cannot_be_widened() {
    let cluster = Cluster::start(14).await;
    cluster.create_database("shop").await;
    let setup = "create table tree (id serial primary key) partition by range (id);
                 create table part partition of tree for values from (0) to (9); select setval('tree_id_seq', 2147483647)";
    cluster.psql("shop", setup).await;
    let outcomes = examine(&cluster.superuser_url("shop"), &live()).await;
    let finding = only(&outcomes, "G20");
    assert_eq!(finding.objects_total, 1, "{finding:#?}");
    let fix = finding.fix.as_deref().unwrap();
    assert!(fix.starts_with("For 1 column by which tables are partitioned") && fix.lines().count() == 1, "{fix}");
}

#[tokio::test]
async fn a_target_that_may_not_grow_enough_is_found() {
    for major in [14, 18] {
        let (source, target) = (Cluster::start(major).await, Cluster::start(major).await);
        source.create_database("src").await;
        target.create_database("dst").await;
        let (from, to) = (source.superuser_url("src"), target.superuser_url("dst"));
        for (limit, is_found) in [("1MB", true), ("10GB", false), ("-1", false)] {
            target.psql("postgres", &format!("alter database dst set neon.max_cluster_size = '{limit}'")).await;
            let outcomes = examine_pair(&from, &to, &live()).await;
            match is_found {
                true => assert!(only(&outcomes, "H3").sentence.ends_with("may grow to 1 MiB only."), "{outcomes:#?}"),
                false => assert_passed(&outcomes, "H3"),
            }
        }
    }
}
