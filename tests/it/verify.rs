//! Comparing rows: equal means equal, on every pair of majors, and every planted difference is found and named.

use std::sync::Mutex;

use neon_migrate::engine::event::{TableVerdict, Verdict};
use neon_migrate::migration::verify::{self, Method, Options, Summary};
use tokio_util::sync::CancellationToken;

use crate::support::cluster::Cluster;

/// Values of every built-in type that a table may hold, and of types made of them. Pairs stand for what the plain hash takes for
/// equal.
const TYPES: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int2", &["1", "-1"]),
    ("int4", &["1", "-1"]),
    ("int8", &["-1", "4294967295", "0", "9223372036854775807"]),
    ("oid", &["1", "4294967295"]),
    ("float4", &["1.5", "0", "3.4e38", "1.1", "'NaN'", "'-Infinity'"]),
    ("float8", &["1.5", "0", "1e308", "0.1", "'NaN'", "'Infinity'"]),
    ("numeric", &["1", "-1", "1.0", "1.00", "0", "'NaN'", "'Infinity'", "'-Infinity'", "1e50"]),
    ("numeric(10,2)", &["1.25", "-1.25"]),
    ("money", &["1.25", "-1.25"]),
    ("text", &["''", "'a'", "'a '", "E'\\u00e4\\n'", "'NULL'"]),
    ("varchar(9)", &["''", "'a'", "'a '"]),
    ("char(3)", &["''", "'a'"]),
    ("bpchar", &["'a'", "'b'"]),
    ("\"char\"", &["'a'", "'b'"]),
    ("name", &["'a'", "'b'"]),
    ("bytea", &["''", "'\\x00'", "'\\x0000ff'"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0001-0000-000000000000'"]),
    ("date", &["'2024-02-29'", "'infinity'", "'4713-01-01 BC'"]),
    ("time", &["'00:00'", "'24:00'", "'12:00:00.000001'"]),
    ("timetz", &["'12:00+02'", "'10:00+00'", "'12:00+00'"]),
    ("timestamp", &["'2024-02-29 12:00'", "'infinity'", "'-infinity'"]),
    ("timestamptz", &["'2024-02-29 12:00+05'", "'2024-02-29 12:00+00'"]),
    ("interval", &["'1 mon'", "'30 days'", "'720 hours'"]),
    ("bit(3)", &["B'101'", "B'010'"]),
    ("varbit", &["B'101'", "B'1010'"]),
    ("inet", &["'10.0.0.1/24'", "'10.0.0.1/32'", "'::1'"]),
    ("cidr", &["'10.0.0.0/24'", "'10.0.0.0/25'"]),
    ("macaddr", &["'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'", "'08:00:2b:01:02:03:04:06'"]),
    ("json", &["'{\"a\": 1}'", "'{\"a\":1}'"]),
    (
        "jsonb",
        &["'[[1],2]'", "'[[1,2]]'", "'{\"a\":5}'", "'{\"a\":-5}'", "'{\"a\":{\"b\":1},\"c\":2}'", "'{\"a\":{\"b\":1,\"c\":2}}'"],
    ),
    ("jsonpath", &["'$.a'", "'$.b'"]),
    ("xml", &["'<a/>'", "'<a></a>'"]),
    ("point", &["'(1,2)'", "'(2,1)'"]),
    ("line", &["'{1,2,3}'", "'{3,2,1}'"]),
    ("lseg", &["'[(1,2),(3,4)]'", "'[(3,4),(1,2)]'"]),
    ("box", &["'(3,4),(1,2)'", "'(4,3),(1,2)'"]),
    ("path", &["'[(1,2),(3,4)]'", "'((1,2),(3,4))'"]),
    ("polygon", &["'((1,2),(3,4))'", "'((1,2),(3,5))'"]),
    ("circle", &["'<(1,2),3>'", "'<(1,3),2>'"]),
    ("tsvector", &["'a:1 b:2'", "'a:2 b:1'"]),
    ("tsquery", &["'a & b'", "'a | b'"]),
    ("pg_lsn", &["'0/1'", "'1/0'"]),
    ("xid", &["'1'", "'2'"]),
    ("xid8", &["'1'", "'4294967297'"]),
    ("cid", &["'1'", "'2'"]),
    ("tid", &["'(1,2)'", "'(2,1)'"]),
    ("pg_snapshot", &["'10:20:10,14'", "'10:20:10,15'"]),
    ("regclass", &["'shared.anchor'", "'pg_class'"]),
    ("regtype", &["'shared.mood'", "'int4'"]),
    ("refcursor", &["'a'", "'b'"]),
    ("int4[]", &["'{1,2}'", "'{{1,2}}'", "'[0:1]={1,2}'", "'{}'", "'{NULL}'"]),
    ("numeric[]", &["'{1}'", "'{-1}'"]),
    ("text[]", &["'{a,b}'", "'{\"a,b\"}'", "'{NULL}'", "'{\"NULL\"}'"]),
    ("float8[]", &["'{0.1}'", "'{0.2,NaN}'"]),
    ("int4range", &["'[1,5)'", "'empty'", "'(,5)'"]),
    ("numrange", &["'[-5,5)'", "'[5,5]'", "'(-5,5)'"]),
    ("tstzrange", &["'[2024-01-01,2024-02-01)'", "'[2024-01-01,2024-02-01]'"]),
    ("datemultirange", &["'{[2024-01-01,2024-02-01)}'", "'{}'"]),
    ("shared.mood", &["'happy'", "'sad'"]),
    ("shared.mood[]", &["'{happy}'", "'{sad}'"]),
    ("shared.positive", &["1", "2.0", "2.00"]),
    ("shared.word", &["'a'", "'A'"]),
    ("shared.numbers", &["'{1,2}'", "'{{1,2}}'"]),
    ("shared.positive[]", &["'{1}'", "'{1.0}'"]),
    ("shared.pair", &["'(1,a)'", "'(1,)'", "'(1,\"\")'"]),
    ("shared.spans", &["'[a,b)'", "'[a,b]'"]),
    ("shared.loose", &["'a'", "'A'"]),
];

/// Types of a user. The filler shifts object identifiers, so that no two servers agree on them.
fn types_sql(filler: u32) -> String {
    let mut sql = "create schema shared; set search_path = '';".to_owned();
    (0..filler).for_each(|i| sql += &format!("create table shared.filler{i} (); drop table shared.filler{i};"));
    sql + "create table shared.anchor ();
           create type shared.mood as enum ('sad', 'happy');
           create domain shared.positive as numeric check (value > 0);
           create domain shared.word as text collate \"C\";
           create domain shared.numbers as int[];
           create type shared.pair as (a int, b text);
           create type shared.spans as range (subtype = text, collation = \"C\");
           create collation shared.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
           create domain shared.loose as text collate shared.nocase;"
}

fn table_of(index: usize, values: &[&str]) -> String {
    let rows: Vec<String> = values.iter().enumerate().map(|(id, value)| format!("({id}, {value})")).collect();
    let (kind, _) = TYPES[index];
    format!(
        "create table shared.t{index} (id int primary key, v {kind}); insert into shared.t{index} values (-1, null), {};",
        rows.join(", ")
    )
}

pub(crate) async fn sessions(cluster: &Cluster, database: &str, count: usize) -> Vec<tokio_postgres::Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(cluster.connect(database).await);
    }
    clients
}

/// Compares two databases with two sessions on each side: the summary, and the verdicts by name.
async fn compared(source: (&Cluster, &str), target: (&Cluster, &str), method: Method) -> (Summary, Vec<TableVerdict>) {
    let verdicts = Mutex::new(Vec::new());
    let options = Options { method, include: &|_| true, cancel: &CancellationToken::new() };
    let (a, b) = (sessions(source.0, source.1, 2).await, sessions(target.0, target.1, 2).await);
    let summary = verify::run(a, b, &options, |verdict| verdicts.lock().unwrap().push(verdict)).await.unwrap();
    let mut verdicts = verdicts.into_inner().unwrap();
    verdicts.sort_by(|a, b| a.name.cmp(&b.name));
    (summary, verdicts)
}

fn of<'a>(verdicts: &'a [TableVerdict], name: &str) -> &'a TableVerdict {
    verdicts.iter().find(|verdict| verdict.name == name).unwrap_or_else(|| panic!("{name} has no verdict"))
}

#[tokio::test]
async fn values_of_every_type_sum_alike_on_14_and_18() {
    let (old, new) = tokio::join!(Cluster::start(14), Cluster::start(18));
    let tables: String = TYPES.iter().enumerate().map(|(i, (_, values))| table_of(i, values)).collect();
    old.psql("postgres", &(types_sql(0) + &tables)).await;
    new.psql("postgres", &(types_sql(20) + &tables)).await;
    // The server's own habits must not matter.
    new.psql("postgres", "alter database postgres set timezone = 'Asia/Tokyo'; alter database postgres set datestyle = 'German';")
        .await;
    new.psql(
        "postgres",
        "alter database postgres set extra_float_digits = -5; alter database postgres set bytea_output = 'escape'",
    )
    .await;
    for method in [Method::Hash, Method::Strict, Method::Counts] {
        let (summary, verdicts) = compared((&old, "postgres"), (&new, "postgres"), method).await;
        let bad: Vec<_> = verdicts.iter().filter(|verdict| verdict.verdict != Verdict::Match).collect();
        assert!(bad.is_empty(), "{method:?}: {bad:#?}");
        assert_eq!(summary.matching, TYPES.len() as u64 + 1, "{method:?}");
    }
}

/// Each table holds a type's values on the source; on the target two of them have changed places, which no sum over the plain
/// values would see.
#[tokio::test]
async fn every_value_differs_from_every_other_of_its_type() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("a").await;
    cluster.create_database("b").await;
    let tables: String = TYPES.iter().enumerate().map(|(i, (_, values))| table_of(i, values)).collect();
    cluster.psql("a", &(types_sql(0) + &tables)).await;
    cluster.psql("b", &(types_sql(3) + &tables)).await;
    for first in 0..6 {
        for second in first + 1..6 {
            let mut expected = Vec::new();
            let mut sql = "begin; ".to_owned();
            for (i, (_, values)) in TYPES.iter().enumerate().filter(|(_, (_, values))| second < values.len()) {
                sql += &format!("update shared.t{i} set v = {} where id = {first};", values[second]);
                expected.push((i, format!("different (id)=({first})")));
            }
            cluster.psql("b", &(sql + "commit")).await;
            for method in [Method::Hash, Method::Strict] {
                let (_, verdicts) = compared((&cluster, "a"), (&cluster, "b"), method).await;
                for (i, sentence) in &expected {
                    let verdict = of(&verdicts, &format!("shared.t{i}"));
                    assert_eq!(&verdict.differences, std::slice::from_ref(sentence), "{method:?} {:?}", TYPES[*i]);
                }
            }
            let back = |i: usize| format!("update shared.t{i} set v = {} where id = {first};", TYPES[i].1[first]);
            let sql: String = expected.iter().map(|(i, _)| back(*i)).collect();
            cluster.psql("b", &sql).await;
        }
    }
}

async fn two_databases(cluster: &Cluster, sql: &str) {
    for name in ["a", "b"] {
        cluster.create_database(name).await;
        cluster.psql(name, sql).await;
    }
}

#[tokio::test]
async fn differing_rows_are_found_and_named() {
    let cluster = Cluster::start(17).await;
    let sql = r#"
        create schema "Odd ""s""";
        create table "Odd ""s"""."big
t" (tenant text, "Id" int8, filler text, ok bool not null, primary key (tenant, "Id"));
        insert into "Odd ""s"""."big
t" select 'te''n"ant', i, repeat(md5(i::text), 14), i % 2 = 0 from generate_series(1, 100000) i;
        create table swapped (id int not null unique, ok bool); insert into swapped select i, i % 2 = 0 from generate_series(1, 100) i;
        create table keyless (a int, b text); insert into keyless select i % 10, 'x' from generate_series(1, 50) i;
        create table many (id int primary key); insert into many select generate_series(1, 5000);
        create table empty (id int); create table nothing ();
        insert into nothing default values; insert into nothing default values;"#;
    two_databases(&cluster, sql).await;
    let changes = r#"
        -- The target's pages are cut elsewhere.
        update "Odd ""s"""."big
t" set filler = filler where "Id" % 3 = 0;
        update "Odd ""s"""."big
t" set ok = not ok where "Id" = 77777;
        delete from "Odd ""s"""."big
t" where "Id" = 5;
        insert into "Odd ""s"""."big
t" values ('te''n"ant', 0, '', true);
        update swapped set ok = not ok where id in (7, 8);
        insert into keyless values (3, 'x'); delete from keyless where a = 4; insert into keyless values (4, 'x'), (4, 'x'), (4, 'x'), (4, 'x');
        delete from many where id > 1000;
        delete from nothing; insert into nothing default values;"#;
    let same = compared((&cluster, "a"), (&cluster, "b"), Method::Hash).await.0;
    assert_eq!(same, Summary { matching: 6, mismatching: 0, not_evaluated: 0, rows: 105_152 });
    cluster.psql("b", changes).await;
    for method in [Method::Hash, Method::Strict] {
        let (summary, verdicts) = compared((&cluster, "a"), (&cluster, "b"), method).await;
        assert_eq!((summary.matching, summary.mismatching, summary.not_evaluated), (1, 5, 0), "{verdicts:#?}");
        let big = of(&verdicts, r#""Odd ""s"""."big\nt""#);
        let expected = ["different", "extra on the target", "missing on the target"].into_iter().zip([77777, 0, 5]);
        let expected: Vec<String> = expected.map(|(word, id)| format!("{word} (tenant, \"Id\")=(te'n\"ant, {id})")).collect();
        assert_eq!(big.differences, expected);
        assert_eq!((big.source_rows, big.target_rows, &big.reason), (100_000, 100_000, &None));
        assert_eq!(of(&verdicts, "public.swapped").differences, ["different (id)=(7)", "different (id)=(8)"]);
        let keyless = of(&verdicts, "public.keyless");
        let expected = [
            "extra on the target: a row that the source has 5 and the target 6 times, at ctid (0,1) of the target",
            "missing on the target: a row that the source has 5 and the target 4 times, at ctid (0,14) of the source",
        ];
        assert_eq!(keyless.differences.len(), 2, "{keyless:#?}");
        assert!(
            keyless.differences.iter().zip(expected).all(|(a, b)| a.split(" ctid").next() == b.split(" ctid").next()),
            "{keyless:#?}"
        );
        let many = of(&verdicts, "public.many");
        assert_eq!(many.differences.len(), 20);
        assert_eq!(many.reason.as_deref(), Some("More rows differ than the 20 listed."));
        assert_eq!(of(&verdicts, "public.nothing").verdict, Verdict::Mismatch);
    }
    let (_, verdicts) = compared((&cluster, "a"), (&cluster, "b"), Method::Counts).await;
    assert_eq!(of(&verdicts, "public.swapped").verdict, Verdict::Match, "counts cannot see it");
    assert_eq!(of(&verdicts, "public.many").verdict, Verdict::Mismatch);
    assert_eq!(of(&verdicts, "public.many").differences.len(), 20);
}

/// Postgres's own record hash adds up the columns, so that of such exchanges half go unseen.
#[tokio::test]
async fn values_that_two_rows_have_exchanged_are_seen() {
    let cluster = Cluster::start(14).await;
    let sql = "do $$ begin for i in 1..40 loop
                 execute format('create table t%s (id int primary key, ok bool, a int[], b int[], f float8)', i);
                 execute format('insert into t%s select i * %s, i %% 2 = 0, array[i, 2], array[3, 4], 0 from generate_series(1, 4) i', i, i);
               end loop; end $$";
    two_databases(&cluster, sql).await;
    let change = "do $$ begin for i in 1..40 loop
                    execute case when i <= 20 then format('update t%s set ok = not ok where id in (%s, 2 * %s)', i, i, i)
                                 when i <= 30 then format('update t%s set a = array[a[1], 3], b = array[2, 4]', i)
                                 else format('update t%s set f = null where id = %s', i, i) end;
                  end loop; end $$";
    cluster.psql("b", change).await;
    for method in [Method::Hash, Method::Strict] {
        let (summary, _) = compared((&cluster, "a"), (&cluster, "b"), method).await;
        assert_eq!((summary.matching, summary.mismatching), (0, 40), "{method:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_compared_is_not_called_equal() {
    let cluster = Cluster::start(16).await;
    let sql = "
        create table kept (id int); create view taken as select 1 as id;
        create materialized view mv as select 1 as one;
        create extension file_fdw; create server files foreign data wrapper file_fdw;
        create foreign table ft (a text) server files options (filename '/dev/null');
        create table p (id int, v text) partition by range (id);
        create table p1 partition of p for values from (0) to (10);
        create table p2 partition of p for values from (10) to (20);
        insert into p select i, 'v' from generate_series(0, 19) i;
        create table q (id int, v text) partition by hash (id);
        create table q1 partition of q for values with (modulus 1, remainder 0);
        insert into q select i, 'v' from generate_series(0, 19) i;
        create table parent (id int); create table child () inherits (parent); insert into child values (1);
        create table renamed (id int, old int); insert into renamed values (1, 1);
        create table flat (id int); insert into flat select generate_series(1, 5)";
    two_databases(&cluster, sql).await;
    let changes = "
        drop table kept; drop view taken; create table taken (id int); create table more (id int);
        drop table p; create table p (id int, v text) partition by range (id);
        create table p1 partition of p for values from (0) to (5); create table p3 partition of p for values from (5) to (20);
        insert into p select i, case i when 12 then 'w' else 'v' end from generate_series(0, 19) i;
        alter table renamed rename old to new;
        drop table flat; create table flat (id int) partition by range (id);
        create table flat_all partition of flat default; insert into flat select generate_series(1, 5)";
    cluster.psql("b", changes).await;
    let (summary, verdicts) = compared((&cluster, "a"), (&cluster, "b"), Method::Hash).await;
    let reason = |name: &str| {
        let verdict = of(&verdicts, name);
        assert_eq!(verdict.verdict, Verdict::NotEvaluated, "{name}");
        verdict.reason.clone().unwrap()
    };
    assert_eq!(reason("public.kept"), "The target has no such table.");
    assert_eq!(reason("public.mv"), "It is a materialized view: its rows follow from other tables.");
    assert_eq!(reason("public.ft"), "It is a foreign table: its rows are not in this database.");
    assert_eq!(reason("public.taken"), "Only the target has this table.");
    assert_eq!(reason("public.more"), "Only the target has this table.");
    assert!(reason("public.renamed").starts_with("The target could not be read: the server answered: column"), "{verdicts:#?}");
    let p = of(&verdicts, "public.p");
    assert_eq!((p.verdict, p.source_rows, p.target_rows), (Verdict::Mismatch, 20, 20));
    for name in ["public.q1", "public.parent", "public.child", "public.flat"] {
        assert_eq!(of(&verdicts, name).verdict, Verdict::Match, "{name}");
    }
    assert_eq!(verdicts.len(), 11, "{verdicts:#?}");
    assert_eq!((summary.matching, summary.mismatching, summary.not_evaluated), (4, 1, 6));
}

#[tokio::test]
async fn databases_of_different_encodings_are_compared_as_characters() {
    let cluster = Cluster::start(15).await;
    cluster.psql("postgres", "create database a encoding latin1 locale 'C' template template0").await;
    cluster.create_database("b").await;
    let sql = "create type mood as enum ('fröhlich');
               create table t (id int primary key, a text, b text[], c jsonb, d mood, e name, f char(4));
               insert into t values (1, 'ä', '{é}', '\"ß\"', 'fröhlich', 'ñ', 'ü'), (2, 'a', null, null, null, null, null)";
    for name in ["a", "b"] {
        cluster.connect(name).await.batch_execute(sql).await.unwrap();
    }
    for method in [Method::Hash, Method::Strict] {
        let (summary, verdicts) = compared((&cluster, "a"), (&cluster, "b"), method).await;
        assert_eq!(summary.matching, 1, "{verdicts:#?}");
    }
    cluster.connect("b").await.batch_execute("update t set b = '{è}' where id = 1").await.unwrap();
    let (_, verdicts) = compared((&cluster, "a"), (&cluster, "b"), Method::Hash).await;
    assert_eq!(verdicts[0].differences, ["different (id)=(1)"]);
}

#[tokio::test]
async fn a_lost_session_leaves_tables_not_evaluated() {
    let cluster = Cluster::start(18).await;
    let sql = "create table t (id int primary key); insert into t values (1);
               create table held (id int) partition by range (id); create table leaf partition of held for values from (1) to (2)";
    two_databases(&cluster, sql).await;
    cluster.psql("b", "create table other partition of held default").await;
    let holder = cluster.connect("b").await;
    holder.batch_execute("begin; lock table only held in access exclusive mode").await.unwrap();
    let (a, b) = (sessions(&cluster, "a", 1).await, sessions(&cluster, "b", 1).await);
    let verdicts = Mutex::new(Vec::new());
    let cancel = CancellationToken::new();
    let options = Options { method: Method::Hash, include: &|_| true, cancel: &cancel };
    let kill = async {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%count(%held%'";
        let waits = async || cluster.query("postgres", waiting).await == "1";
        crate::support::poll::until_true(std::time::Duration::from_secs(30), "the comparison waits for the lock", waits).await;
        cluster.terminate_backends("%count(%held%").await
    };
    let run = verify::run(a, b, &options, |verdict: TableVerdict| verdicts.lock().unwrap().push(verdict));
    let (summary, killed) = tokio::join!(run, kill);
    assert!(killed >= 1);
    assert!(summary.unwrap().not_evaluated >= 1);
    let verdicts = verdicts.into_inner().unwrap();
    assert_eq!(verdicts.len(), 2);
    let held = of(&verdicts, "public.held");
    assert_eq!(held.verdict, Verdict::NotEvaluated);
    assert!(held.reason.as_deref().unwrap().starts_with("The target could not be read"), "{held:?}");
}

#[tokio::test]
async fn a_cancelled_comparison_ends_at_once_and_calls_nothing_equal() {
    let cluster = Cluster::start(16).await;
    two_databases(&cluster, "create table t (id int) partition by range (id); create table t1 partition of t default").await;
    cluster.psql("b", "create table t2 partition of t for values from (1) to (2)").await;
    let holder = cluster.connect("b").await;
    holder.batch_execute("begin; lock table only t in access exclusive mode").await.unwrap();
    let (a, b) = (sessions(&cluster, "a", 1).await, sessions(&cluster, "b", 1).await);
    let cancel = CancellationToken::new();
    let options = Options { method: Method::Hash, include: &|_| true, cancel: &cancel };
    let stop = async {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
        let waits = async || cluster.query("postgres", waiting).await == "1";
        crate::support::poll::until_true(std::time::Duration::from_secs(30), "the comparison waits for the lock", waits).await;
        cancel.cancel();
    };
    let verdicts = Mutex::new(Vec::new());
    let run = verify::run(a, b, &options, |verdict: TableVerdict| verdicts.lock().unwrap().push(verdict));
    let (result, ()) = tokio::join!(run, stop);
    assert!(matches!(result, Err(verify::VerifyError::Cancelled)), "{result:?}");
    assert!(verdicts.into_inner().unwrap().is_empty());
}

/// A role that owns its database and nothing else can compare, too; rows that a policy hides from it are not taken for compared.
#[tokio::test]
async fn the_owner_of_a_database_may_compare() {
    let cluster = Cluster::start(18).await;
    let url = cluster.neon_shaped_target("a").await;
    let plain = cluster.plain_owner("b").await;
    let mut sides = Vec::new();
    for url in [url, plain] {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = "create table t (id int primary key); insert into t values (1);
                   create table hidden (id int); alter table hidden enable row level security; alter table hidden force row level security";
        client.batch_execute(sql).await.unwrap();
        let inventory = neon_migrate::migration::inventory::Inventory::load(&client).await.unwrap();
        assert!(inventory.objects.keys().any(|id| id.kind == "table" && id.name.ends_with('t')));
        sides.push(vec![client]);
    }
    let (b, a) = (sides.pop().unwrap(), sides.pop().unwrap());
    let verdicts = Mutex::new(Vec::new());
    let options = Options { method: Method::Strict, include: &|_| true, cancel: &CancellationToken::new() };
    let summary = verify::run(a, b, &options, |verdict: TableVerdict| verdicts.lock().unwrap().push(verdict)).await.unwrap();
    assert_eq!((summary.matching, summary.not_evaluated), (1, 1));
    let verdicts = verdicts.into_inner().unwrap();
    assert!(of(&verdicts, "public.hidden").reason.as_deref().unwrap().contains("row-level security"), "{verdicts:#?}");
}

/// One transaction must not hold a lock on every table: the server has room for few, and everybody needs them.
#[tokio::test]
async fn many_tables_are_compared_with_few_locks() {
    let cluster =
        Cluster::build(17).with_setting("max_locks_per_transaction", "10").with_setting("max_connections", "20").start().await;
    let sql = "create procedure make() language plpgsql as $$ begin for i in 1..2000 loop
                 execute format('create table t%s (id int primary key, a int unique)', i); if i % 20 = 0 then commit; end if; end loop; end $$";
    cluster.create_database("a").await;
    let client = cluster.connect("a").await;
    client.batch_execute(sql).await.unwrap();
    client.batch_execute("call make()").await.unwrap();
    let (summary, verdicts) = compared((&cluster, "a"), (&cluster, "a"), Method::Hash).await;
    let bad: Vec<_> = verdicts.iter().filter(|verdict| verdict.verdict != Verdict::Match).take(3).collect();
    assert_eq!(summary.matching, 2000, "{bad:#?}");
}
