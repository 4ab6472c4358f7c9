//! What is left out, what cannot be copied as it is, and what the person chose: always named, never silent.

use crate::support::cluster::Cluster;
use crate::support::fixtures::fixture;
use crate::support::migrate::{self, Told};
use crate::support::postgres::give_away;

/// A source and a Neon-shaped target with one database each; the source's role owns it and nothing else.
struct Pair {
    old: Cluster,
    new: Cluster,
    source: String,
    target: String,
}

impl Pair {
    async fn start(from: u32, to: u32) -> Pair {
        let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
        Pair::of(old, new).await
    }

    async fn of(old: Cluster, new: Cluster) -> Pair {
        let source = old.plain_owner("app").await;
        let target = new.neon_shaped_target("app").await;
        Pair { old, new, source, target }
    }

    /// Makes things on the source as the owner of the database.
    async fn with(self, sql: &str) -> Pair {
        self.old.psql("app", &format!("set role app_owner; {sql}")).await;
        self
    }

    async fn copy(&self, args: &[&str]) -> Told {
        migrate::copy(&self.source, &self.target, args).await
    }

    async fn verify(&self, args: &[&str]) -> Told {
        migrate::verify(&self.source, &self.target, args).await
    }
}

#[track_caller]
fn assert_says(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted}\n{lines:#?}");
    }
}

#[tokio::test]
async fn an_extension_that_the_target_lacks_goes_with_all_that_needs_it() {
    let private = tempfile::Builder::new().prefix("nm-ext").tempdir_in("/tmp").unwrap();
    let dir = private.path().join("extension");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("lonely.control"), "default_version = '1.0'\nrelocatable = true\ntrusted = true\n").unwrap();
    let script = "create type lonely_mood as enum ('so', 'so so'); create function lonely(int) returns int language sql immutable as 'select $1';";
    std::fs::write(dir.join("lonely--1.0.sql"), script).unwrap();
    for path in [private.path(), &dir, &dir.join("lonely.control"), &dir.join("lonely--1.0.sql")] {
        give_away(path);
    }
    let path = format!("{}:$system", private.path().display());
    let (old, new) = tokio::join!(Cluster::build(18).with_setting("extension_control_path", &path).start(), Cluster::start(18));
    let pair = Pair::of(old, new).await;
    let pair = pair
        .with(
            "create schema app; create extension lonely;
             create table app.moody (id int primary key, mood lonely_mood); insert into app.moody values (1, 'so');
             create table app.child (id int primary key, moody int references app.moody);
             create table app.plain (n int); insert into app.plain values (7);
             create index plain_lonely on app.plain (lonely(n));
             create view app.moods as select mood from app.moody;
             create view app.moods_of_view as select * from app.moods;
             create function app.of_mood(lonely_mood) returns int language sql as 'select 1';
             create trigger t after insert on app.moody for each row execute function suppress_redundant_updates_trigger();
             comment on view app.moods is 'gone';",
        )
        .await;
    let told = pair.copy(&[]).await.expect_code(0);
    assert_eq!(told.differences(), Vec::<String>::new());
    assert_eq!(told.unequal(), []);
    assert_says(
        &told.left_out(),
        &[
            "EXTENSION lonely: The target does not offer this extension.",
            "TABLE app.moody: It needs the extension lonely",
            "FK CONSTRAINT app.child child_moody_fkey: It needs",
            "CONSTRAINT app.moody moody_pkey: It needs the table app.moody",
            "INDEX app.plain_lonely: It needs the extension lonely",
            "VIEW app.moods: It needs the",
            "VIEW app.moods_of_view: It needs",
            "FUNCTION app.of_mood(",
            "TRIGGER app.moody t: It needs the table app.moody",
            "COMMENT app.VIEW \"moods\": It needs the view app.moods",
        ],
    );
    assert!(told.all("finding_raised").any(|event| event.to_string().contains("lonely")), "nothing was said beforehand");
    assert_eq!(pair.new.query("app", "select n from app.plain").await, "7");
}

#[tokio::test]
async fn included_and_excluded_tables() {
    let pair = Pair::start(17, 18)
        .await
        .with(
            "create schema app; create schema other; create schema \"odd.schema\";
             create table app.a (id int generated always as identity primary key, n serial); insert into app.a (n) values (1), (2);
             create table app.b (id int primary key, a int references app.a); insert into app.b values (1, 1);
             create table app.log_1 (id int primary key); create table app.log_2 (id int primary key);
             create view app.seen as select id from app.a; create materialized view app.kept as select id from app.seen;
             create sequence app.loose; select setval('app.loose', 42);
             create table other.o (id int primary key); insert into other.o values (1);
             create sequence other.own owned by other.o.id;
             create table \"odd.schema\".\"T 1\" (id int primary key); insert into \"odd.schema\".\"T 1\" values (5);",
        )
        .await;
    let told = pair.copy(&["--exclude", "app.a", "--exclude", "app.log_*"]).await.expect_code(0);
    assert_eq!((told.differences(), told.unequal()), (vec![], vec![]));
    assert_says(
        &told.left_out(),
        &[
            "TABLE app.a: It was excluded on the command line.",
            "TABLE app.log_1: It was excluded",
            "FK CONSTRAINT app.b b_a_fkey: It needs",
            "VIEW app.seen: It needs the table app.a",
            "MATERIALIZED VIEW app.kept: It needs the view app.seen",
            "SEQUENCE app.a_n_seq: It needs the table app.a",
        ],
    );
    let tables =
        "select string_agg(schemaname || '.' || tablename, ' ' order by 1) from pg_tables where schemaname !~ '^pg_|^info'";
    assert_eq!(pair.new.query("app", tables).await, "app.b odd.schema.T 1 other.o");
    assert_eq!(pair.new.query("app", "select last_value from app.loose").await, "42");

    let target = pair.new.neon_shaped_target("one").await;
    let told = migrate::copy(&pair.source, &target, &["--include", "\"odd.schema\".*"]).await.expect_code(0);
    assert_eq!(told.differences(), Vec::<String>::new());
    assert_eq!(pair.new.query("one", tables).await, "odd.schema.T 1");
    assert_eq!(pair.new.query("one", "select count(*) from pg_class where relkind = 'S'").await, "1");

    let told = migrate::copy(&pair.source, &pair.target, &["--include", "nowhere.*"]).await;
    assert!([Some(2), Some(3)].contains(&told.outcome.code()), "{told:#?}");
    assert!(told.outcome.stdout.contains("nowhere") || told.outcome.stderr.contains("nowhere"), "{told:#?}");
}

/// What the source's constraints promise and its rows do not keep: the copy ends, says so, and is no success.
#[tokio::test]
async fn constraints_that_the_sources_rows_violate() {
    let pair = Pair::start(16, 18)
        .await
        .with(
            "create table twice (id int, note text); create unique index twice_id on twice (id);
             create table key_twice (id int primary key);
             create table parent (id int primary key); create table child (id int primary key, parent int references parent);
             create table fine (id int primary key); insert into fine values (1);
             create view v as select * from twice;",
        )
        .await;
    let spoil = |index: &str, sql: &str| {
        format!(
            "update pg_index set indisready = false where indexrelid = '{index}'::regclass; {sql}
             update pg_index set indisready = true where indexrelid = '{index}'::regclass;"
        )
    };
    pair.old.psql("app", &spoil("twice_id", "insert into twice values (1, 'a'), (1, 'b');")).await;
    pair.old.psql("app", &spoil("key_twice_pkey", "insert into key_twice values (1), (1);")).await;
    pair.old.psql("app", "set session_replication_role = replica; insert into child values (1, 99)").await;
    let told = pair.copy(&[]).await.expect_code(4);
    assert_eq!(told.report_code(), "objects-differ");
    assert_eq!(told.unequal(), []);
    assert_says(
        &told.differences(),
        &[
            "The index public.twice_id is missing on the target.",
            "The constraint key_twice_pkey on public.key_twice is missing on the target.",
            "The constraint child_parent_fkey on public.child differs in",
        ],
    );
    assert_says(
        &told.left_out(),
        &["INDEX public.twice_id: The target refused it", "CONSTRAINT public.key_twice", "FOREIGN KEY public.child"],
    );
    assert_eq!(pair.new.query("app", "select count(*) from v").await, "2");
    assert_eq!(pair.new.query("app", "select convalidated from pg_constraint where conname = 'child_parent_fkey'").await, "f");
}

#[tokio::test]
async fn rows_hidden_from_the_role_are_a_blocker() {
    let pair = Pair::start(17, 17)
        .await
        .with(
            "create table secret (id int primary key, who text); insert into secret values (1, 'somebody');
             alter table secret enable row level security, force row level security;
             create policy mine on secret using (who = current_user);",
        )
        .await;
    let told = pair.copy(&[]).await.expect_code(3);
    assert!(told.all("finding_raised").any(|event| event.to_string().contains("secret")));
    assert_eq!(pair.new.query("app", "select count(*) from pg_namespace where nspname = 'neon_migrate'").await, "0");
    assert_eq!(pair.new.query("app", "select count(*) from pg_tables where schemaname = 'public'").await, "0");
}

/// The hash of an enum's value is made of its oid, which is another one on the target: rows belong to other partitions there.
#[tokio::test]
async fn partitions_by_the_hash_of_an_enum() {
    let pair = Pair::start(15, 18)
        .await
        .with(
            "create type mood as enum ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
             create table moody (m mood, n int, primary key (m, n)) partition by hash (m);
             create table moody_0 partition of moody for values with (modulus 3, remainder 0);
             create table moody_1 partition of moody for values with (modulus 3, remainder 1);
             create table moody_2 partition of moody for values with (modulus 3, remainder 2);
             create index moody_n on moody (n);
             create index moody_1_only on moody_1 (n) where n > 5;
             insert into moody select m, g from unnest(enum_range(null::mood)) m, generate_series(1, 100) g;
             create table lists (m mood[], n int) partition by list (n);
             create table lists_1 partition of lists for values in (1) partition by hash (m);
             create table lists_1_0 partition of lists_1 for values with (modulus 2, remainder 0);
             create table lists_1_1 partition of lists_1 for values with (modulus 2, remainder 1);
             create table lists_2 partition of lists for values in (2);
             insert into lists select array[m], 1 + g % 2 from unnest(enum_range(null::mood)) m, generate_series(1, 10) g;
             create table safe (n int) partition by hash (n);
             create table safe_0 partition of safe for values with (modulus 1, remainder 0);
             insert into safe select generate_series(1, 10);",
        )
        .await;
    // Object identifiers on the target are others.
    pair.new
        .psql("postgres", "do $$ begin for i in 1..100 loop create type filler as enum ('x'); drop type filler; end loop; end $$")
        .await;
    let told = pair.copy(&[]).await.expect_code(0);
    let mut tables: Vec<String> = told.verdicts().into_iter().map(|(name, _, _)| name).collect();
    tables.sort();
    assert_eq!(tables, ["public.lists", "public.moody", "public.safe_0"]);
    assert_eq!((told.differences(), told.unequal()), (vec![], vec![]));
    assert_eq!(pair.new.query("app", "select count(*), count(distinct tableoid) > 1 from moody").await, "800|t");
    let told = pair.verify(&[]).await.expect_code(0);
    assert_eq!(told.unequal(), []);
    pair.new.psql("app", "delete from moody where m = 'c' and n = 3").await;
    let told = pair.verify(&[]).await.expect_code(4);
    assert_eq!(told.unequal()[0].0, "public.moody");
}

#[tokio::test]
async fn event_triggers_come_last_where_they_are_allowed() {
    let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
    old.create_database("app").await;
    let sql = "create table t (id int primary key);
               create function stop() returns event_trigger language plpgsql as $$ begin raise 'no more tables'; end $$;
               create event trigger frozen on ddl_command_start when tag in ('CREATE TABLE', 'CREATE INDEX', 'ALTER TABLE') execute function stop();
               comment on event trigger frozen is 'nothing moves';";
    old.psql("app", sql).await;
    new.create_database("app").await;
    let told = migrate::copy(&old.superuser_url("app"), &new.superuser_url("app"), &[]).await.expect_code(0);
    assert_eq!((told.left_out(), told.differences()), (vec![], vec![]));
    assert!(new.try_psql("app", "create table u ()").await.unwrap_err().contains("no more tables"));
}

#[tokio::test]
async fn a_full_target_is_refused_and_can_be_replaced() {
    let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
    old.load_odd("odd").await;
    new.create_database("roles").await;
    new.psql_file("roles", &fixture("odd/roles.sql")).await;
    let source = old.superuser_url("odd");
    let target = new.neon_shaped_target("shop").await;
    migrate::copy(&source, &target, &[]).await.expect_code(0);
    let before = new.pg_dump("shop", &["-s"]).await;
    migrate::copy(&source, &target, &[]).await.expect_code(3);
    migrate::copy(&source, &target, &["--replace-target=other"]).await.expect_code(2);
    migrate::copy(&source, &target, &["--replace-target"]).await.expect_code(2);
    assert_eq!(new.pg_dump("shop", &["-s"]).await, before);
    let told = migrate::copy(&source, &target, &["--replace-target=shop"]).await.expect_code(0);
    assert_eq!((told.left_out(), told.differences(), told.unequal()), (vec![], vec![], vec![]));
    assert_eq!(new.pg_dump("shop", &["-s"]).await, before);

    // The same as superuser, with everything that only a superuser can make in the way.
    new.load_odd("full").await;
    new.load_odd_superuser_part("full").await;
    let target = new.superuser_url("full");
    let keep = ["--keep-owners", "--keep-grants", "--replace-target=full"];
    let told = migrate::copy(&source, &target, &keep).await.expect_code(0);
    assert_eq!((told.left_out(), told.differences(), told.unequal()), (vec![], vec![], vec![]));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let pair = Pair::start(14, 14).await.with("create table t (id int primary key); insert into t values (1)").await;
    let told = pair.copy(&["--dry-run"]).await.expect_code(0);
    assert_eq!(told.format_of("public.t"), "binary");
    assert_eq!(pair.new.query("app", "select count(*) from pg_class where oid >= 16384").await, "0");
}

#[tokio::test]
async fn comments_and_settings_of_the_database() {
    let pair = Pair::start(17, 18)
        .await
        .with(
            "create extension hstore; comment on extension hstore is 'ours'; create table t (id int);
             alter database app set work_mem = '7MB'; comment on database app is 'the shop';",
        )
        .await;
    pair.old.psql("app", "comment on schema public is 'our schema'").await;
    let told = pair.copy(&[]).await.expect_code(0);
    assert_says(
        &told.explained(),
        &[
            "The setting work_mem in the database is missing on the target. Settings of the database",
            "The comment the database is missing on the target. A comment on the database",
        ],
    );
    let comment = "select obj_description(oid, 'pg_extension') from pg_extension where extname = 'hstore'";
    assert_eq!(pair.new.query("app", comment).await, "ours");
}

#[tokio::test]
async fn verify_alone_finds_every_planted_difference() {
    let pair = Pair::start(17, 18)
        .await
        .with(
            "create table changed (id int primary key, note text); insert into changed select g, 'n' || g from generate_series(1, 50) g;
             create table missing (id int primary key); insert into missing select generate_series(1, 50);
             create table extra (a int, b text, primary key (a, b)); insert into extra values (1, 'x');
             create table same (id int primary key); insert into same values (1);
             create table gone (id int primary key); insert into gone values (1);
             create index changed_note on changed (note);
             create sequence counter; select setval('counter', 100);
             create table decimals (id int primary key, n numeric); insert into decimals values (1, 1.0);",
        )
        .await;
    for how in ["none", "counts", "hash", "strict"] {
        let told = pair.copy(&["--verify", how, "--replace-target=app"]).await.expect_code(0);
        assert_eq!(told.verdicts().len(), if how == "none" { 0 } else { 6 }, "{how}");
    }
    for how in ["none", "counts", "hash", "strict"] {
        assert_eq!(pair.verify(&["--verify", how]).await.expect_code(0).unequal(), [], "{how}");
    }
    let plant =
        "update changed set note = 'other' where id = 7; delete from missing where id in (3, 4); insert into extra values (2, 'y');
                 drop table gone; drop index changed_note; select setval('counter', 99); update decimals set n = 1.00;";
    pair.new.psql("app", plant).await;
    let told = pair.verify(&[]).await.expect_code(4);
    assert_says(
        &told.differences(),
        &[
            "The table public.gone is missing on the target.",
            "The index public.changed_note is missing on the target.",
            "The sequence public.counter differs in last value: on the source 100, on the target 99",
        ],
    );
    let found: Vec<String> =
        told.unequal().into_iter().map(|(name, verdict, keys)| format!("{name} {verdict} {}", keys.join(" "))).collect();
    assert_says(
        &found,
        &["public.changed mismatch", "public.missing mismatch", "public.extra mismatch", "public.gone not_evaluated"],
    );
    for key in ["(id)=(7)", "(id)=(3)", "(id)=(4)", "(a,b)=(2,y)"] {
        assert!(found.iter().any(|line| line.replace(", ", ",").contains(key)), "{key} {found:#?}");
    }
    assert!(told.verdicts().iter().any(|(name, verdict, _)| name == "public.same" && verdict == "match"));
    let counts = pair.verify(&["--verify", "counts"]).await.expect_code(4);
    assert!(counts.verdicts().iter().any(|(name, verdict, _)| name == "public.changed" && verdict == "match"));
}

/// Materialized views on one another, the inner one made later; not valid constraints; an invalid index.
#[tokio::test]
async fn things_that_must_stay_as_they_are() {
    let pair = Pair::start(14, 18)
        .await
        .with(
            "create table base (id int primary key, n int); insert into base values (1, 10), (2, -5);
             create materialized view zz_first as select id, n from base;
             create materialized view aa_second as select sum(n) as total from zz_first;
             create materialized view mm_third as select total * 2 as twice from aa_second;
             create unique index third_twice on mm_third (twice);
             create materialized view unfilled as select 1 as one with no data;
             alter table base add constraint positive check (n > 0) not valid;
             create table other (id int primary key, base int); insert into other values (1, 999);
             alter table other add constraint to_base foreign key (base) references base not valid;",
        )
        .await;
    let told = pair.copy(&[]).await.expect_code(0);
    assert_eq!((told.left_out(), told.differences(), told.unequal()), (vec![], vec![], vec![]));
    assert_eq!(pair.new.query("app", "select twice from mm_third").await, "10");
    assert_eq!(pair.new.query("app", "select relispopulated from pg_class where relname = 'unfilled'").await, "f");
    let valid = "select string_agg(conname || convalidated, ' ' order by conname) from pg_constraint where conname in ('positive', 'to_base')";
    assert_eq!(pair.new.query("app", valid).await, "positivefalse to_basefalse");
}
