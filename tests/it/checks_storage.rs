//! Families G and H of the checks, what concerns storage, constraints, clients and upkeep.

use neon_migrate::engine::finding::Severity::{Note, Warning};

use crate::support::checks::{Bad, assert_passed, each_is_found_and_mended, examine, live, mend, only};
use crate::support::cluster::Cluster;

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
        let [single, partitioned] = crate::support::checks::with_code(&outcomes, "G15")[..] else { panic!("{outcomes:#?}") };
        assert_eq!(single.objects, ["index public.\"In.dex\" of \"T \"\"é\"", "index public.whole_pkey of whole"]);
        assert_eq!(partitioned.objects, ["index public.tree_a_idx of tree"]);
        mend(&cluster, "shop", single).await;
        assert_eq!(only(&examine(&url, &live()).await, "G15").objects, partitioned.objects);
        let attach = "create index here on branch (a); alter index tree_a_idx attach partition here";
        cluster.psql("shop", attach).await;
        assert_passed(&examine(&url, &live()).await, "G15");
    }
}
