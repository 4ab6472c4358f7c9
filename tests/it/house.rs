//! The house itself: the clusters, the provider-shaped roles, the fixtures and the faulty network do what other tests rely on.

use std::time::Instant;

use crate::support::cluster::Cluster;
use crate::support::postgres::MAJORS;
use crate::support::roles::owner_of;

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
