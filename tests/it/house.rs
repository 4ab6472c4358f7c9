//! The house itself: the clusters, the provider-shaped roles, the fixtures and the faulty network do what other tests rely on.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::child::Run;
use crate::support::cluster::{Cluster, output};
use crate::support::poll;
use crate::support::postgres::MAJORS;
use crate::support::proxy::{Direction, Proxy};
use crate::support::roles::{OWNER_PASSWORD, owner_of};
use crate::support::values;

#[tokio::test]
async fn clusters_of_every_major_start_stop_and_survive_a_kill() {
    for major in MAJORS {
        let started = Instant::now();
        let mut cluster = Cluster::start(major).await;
        eprintln!("Postgres {major} was ready after {:?}", started.elapsed());
        let version = cluster.query("postgres", "select current_setting('server_version_num')::int / 10000").await;
        assert_eq!(version, major.to_string());
        cluster.psql("postgres", "create table kept as select generate_series(1, 1000) as n").await;
        cluster.restart().await;
        cluster.kill9().await;
        cluster.start_again().await;
        assert_eq!(cluster.query("postgres", "select count(*) from kept").await, "1000");
        let port = cluster.port;
        drop(cluster);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "a dropped cluster still listens");
    }
}

#[tokio::test]
async fn the_neon_shaped_role_has_the_documented_rights_and_no_others() {
    for major in MAJORS {
        let cluster = Cluster::start(major).await;
        let url = cluster.neon_shaped_target("shop").await;
        cluster.neon_shaped_target("second").await;
        let config: tokio_postgres::Config = url.parse().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let row = client
            .query_one(
                "select current_user::text, r.rolsuper, r.rolcreatedb and r.rolcreaterole and r.rolbypassrls and r.rolreplication,
                        pg_has_role('pg_read_all_data', 'usage') and pg_has_role('pg_write_all_data', 'usage')
                          and pg_has_role('pg_monitor', 'usage') and pg_has_role('pg_signal_backend', 'usage'),
                        d.datdba = r.oid, pg_encoding_to_char(d.encoding)::text, d.datcollate::text
                 from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), owner_of("shop"));
        assert_eq!([1, 2, 3, 4].map(|column| row.get::<_, bool>(column)), [false, true, true, true]);
        assert_eq!((row.get::<_, String>(5), row.get::<_, String>(6)), ("UTF8".into(), "C.UTF-8".into()));
        client.batch_execute("create table public.mine (id int)").await.unwrap();
        let refused = client.batch_execute("set session_replication_role = replica").await.unwrap_err();
        assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
    }
}

#[tokio::test]
async fn the_proxy_counts_cuts_stalls_refuses_and_half_closes() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap().port()).await;
    let pair = async || {
        let client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        (client, server.accept().await.unwrap().0)
    };
    let mut buffer = [0; 100];

    let (mut client, mut served) = pair().await;
    client.write_all(b"12345").await.unwrap();
    served.read_exact(&mut buffer[..5]).await.unwrap();
    assert_eq!((proxy.passed(Direction::ToServer), proxy.passed(Direction::ToClient), proxy.accepted()), (5, 0, 1));

    proxy.stall(true);
    served.write_all(b"late").await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(100), client.read(&mut buffer)).await;
    assert!(silence.is_err(), "a stalled connection passed bytes");
    proxy.stall(false);
    client.read_exact(&mut buffer[..4]).await.unwrap();

    proxy.half_close(Direction::ToClient);
    assert_eq!(client.read(&mut buffer).await.unwrap(), 0, "the half-closed direction has not ended");
    client.write_all(b"still").await.unwrap();
    served.read_exact(&mut buffer[..5]).await.unwrap();

    proxy.cut();
    assert!(served.read(&mut buffer).await.is_err(), "a cut connection ended in order");

    let (mut client, mut served) = pair().await;
    proxy.cut_after(Direction::ToClient, 10);
    served.write_all(b"0123456789abcdef").await.unwrap();
    let mut got = Vec::new();
    let end = client.read_to_end(&mut got).await;
    assert!(end.is_err(), "the connection ended in order");
    assert!(b"0123456789".starts_with(&got), "bytes passed beyond the cut: {got:?}");

    proxy.refuse(true);
    let mut refused = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    assert!(refused.read(&mut buffer).await.is_err(), "a refused connection was served");
    proxy.refuse(false);
    pair().await;
}

#[tokio::test]
async fn a_throttled_connection_is_as_slow_as_asked() {
    let cluster = Cluster::start(18).await;
    let proxy = Proxy::start(cluster.port).await;
    let config: tokio_postgres::Config = proxy.through(&cluster.superuser_url("postgres")).parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    proxy.throttle(Direction::ToClient, 200_000);
    let started = Instant::now();
    client.query("select repeat('x', 100000)", &[]).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400), "100 kB at 200 kB/s took only {:?}", started.elapsed());
    proxy.cut();
    assert!(client.query("select 1", &[]).await.is_err());
}

#[tokio::test]
async fn the_demo_command_fills_an_empty_database_and_refuses_any_other() {
    let cluster = Cluster::start(16).await;
    let url = cluster.plain_owner("shop").await;
    let load = || Run::new(["demo", "load", "--scale", "0.001"]).env("NEON_MIGRATE_SOURCE", &url).finish(Duration::from_secs(60));
    let outcome = load().await.expect_code(0);
    assert!(outcome.stdout.contains("index products_search"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("The sample shop is in"), "{}", outcome.stdout);
    assert_eq!(cluster.query("shop", "select count(*) > 0 from shop.monthly_sales").await, "t");
    let refused = load().await.expect_code(3);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    assert!(!format!("{outcome:?}{refused:?}").contains(OWNER_PASSWORD), "a password was shown");
}

#[tokio::test]
async fn a_crash_point_kills_the_process_on_the_spot() {
    let cluster = Cluster::start(17).await;
    let url = cluster.plain_owner("shop").await;
    let run = Run::new(["demo", "load", "--scale", "0.001"]).env("NEON_MIGRATE_SOURCE", &url).kill_at("demo.batch", 3);
    let outcome = run.finish(Duration::from_secs(60)).await;
    assert!(outcome.was_killed(), "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 2, "two batches were told of before the third killed it: {}", outcome.stdout);
    let sessions = "select count(*) from pg_stat_activity where application_name = 'neon-migrate demo'";
    poll::until_true(Duration::from_secs(10), "the killed session ends", async || cluster.query("shop", sessions).await == "0")
        .await;
    assert_eq!(cluster.query("shop", "select count(*) > 0 from shop.customers").await, "t");
}

#[tokio::test]
async fn providers_shapes_have_no_rights_that_the_real_ones_lack() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        for (database, url, creates, replicates) in
            [("plain", cluster.plain_owner("plain").await, false, false), ("rds", cluster.rds_like("rds").await, true, true)]
        {
            let config: tokio_postgres::Config = url.parse().unwrap();
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let sql = "select rolsuper, rolbypassrls, pg_has_role('pg_read_all_data', 'usage'), rolcreaterole and rolcreatedb, rolreplication
                       from pg_roles where rolname = current_user";
            let row = client.query_one(sql, &[]).await.unwrap();
            let rights = [0, 1, 2, 3, 4].map(|column| row.get::<_, bool>(column));
            assert_eq!(rights, [false, false, false, creates, replicates], "{database} on Postgres {major}");
            client.batch_execute("create table public.mine (id int); create schema own").await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_odd_database_loads_on_every_major_and_survives_dump_and_restore() {
    for major in MAJORS {
        let cluster = Cluster::start(major).await;
        cluster.load_odd("odd").await;
        cluster.load_odd_superuser_part("odd").await;
        let invalid = cluster.query("odd", "select indexrelid::regclass from pg_index where not indisvalid order by 1").await;
        assert_eq!(invalid, "measurements_only\ninvalid_one", "Postgres {major}");
        let rows = cluster.query("odd", "select count(*) from odd.no_columns, pg_largeobject_metadata").await;
        assert_eq!(rows, "15", "three rows without columns, five large objects");
        cluster.psql("odd", "drop subscription odd_sub").await;

        // pg_restore without subscription meets no obstacle but a setting that servers before 17 do not know.
        let archive = cluster.socket_dir().join("odd.dump");
        cluster.pg_dump("odd", &["-Fc", "-f", archive.to_str().unwrap()]).await;
        cluster.create_database("control").await;
        let mut restore = cluster.tool("pg_restore", "control");
        let said = output(restore.args(["-d", "control"]).arg(&archive)).await.err().unwrap_or_default();
        let errors: Vec<&str> = said.lines().filter(|line| line.contains("error:")).collect();
        assert!(errors.iter().all(|error| major < 17 && error.contains("transaction_timeout")), "Postgres {major}: {said}");
    }
}

#[tokio::test]
async fn the_demo_shop_loads_as_a_plain_owner_and_is_the_same_every_time() {
    let oldest = Cluster::start(14).await;
    let newest = Cluster::start(18).await;
    let mut digests = Vec::new();
    for cluster in [&oldest, &newest] {
        let config: tokio_postgres::Config = cluster.plain_owner("shop").await.parse().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for batch in neon_migrate::demo::batches(0.001) {
            client.batch_execute(&batch.sql).await.unwrap_or_else(|error| panic!("{}: {:?}", batch.title, error.as_db_error()));
        }
        let mut tables = String::new();
        for table in [
            "categories",
            "products",
            "inventory",
            "customers",
            "addresses",
            "carts",
            "orders",
            "order_items",
            "payments",
            "reviews",
            "sessions",
            "events",
        ] {
            let digest = format!("select count(*) || ' ' || sum(hashtextextended(t::text, 0)) from shop.{table} t");
            let row = cluster.query("shop", &digest).await;
            assert!(!row.is_empty(), "shop.{table} is empty");
            tables += &format!("{table} {row}\n");
        }
        digests.push(tables);
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn random_values_of_every_type_are_accepted_by_every_major() {
    let seed = values::seed();
    for major in MAJORS {
        let cluster = Cluster::start(major).await;
        let table = values::Table::random("everything", seed, 40, major);
        let file = cluster.socket_dir().join("values.sql");
        std::fs::write(&file, table.create + &table.fill).unwrap();
        cluster.psql_file("postgres", &file).await;
        assert_eq!(cluster.query("postgres", "select count(*) from everything").await, "40", "Postgres {major}");
    }
}
