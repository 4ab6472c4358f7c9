//! The SQL that we tell people to run at their provider, run on a server.

use neon_migrate::migration::provider;
use neon_migrate::pg::names::Ident;

use crate::support::cluster::Cluster;

#[tokio::test]
async fn the_sql_for_servers_of_ones_own_works_as_it_stands() {
    for major in [14, 18] {
        let mut cluster = Cluster::build(major).with_setting("wal_level", "replica").start().await;
        let role = Ident::new("Odd \"role\" {role}");
        cluster.psql("postgres", &format!("create role {role} login")).await;
        for id in ["self-hosted", "railway"] {
            let logical = &provider::by_id(id).unwrap().logical;
            assert!(!logical.sql.is_empty(), "{id}");
            cluster.psql("postgres", "alter system reset wal_level").await;
            for sql in &logical.sql {
                cluster.psql("postgres", sql).await;
            }
            cluster.psql("postgres", &format!("alter role {role} with noreplication")).await;
            cluster.psql("postgres", &logical.grant_replication(&role).unwrap()).await;
            let may = cluster.query("postgres", "select rolreplication from pg_roles where rolname like 'Odd%'").await;
            assert_eq!(may, "t", "{id} on Postgres {major}");
            assert_eq!(cluster.query("postgres", "show wal_level").await, "replica", "it waits for the restart");
            cluster.restart().await;
            assert_eq!(cluster.query("postgres", "show wal_level").await, "logical", "{id} on Postgres {major}");
            cluster.psql("postgres", "alter system reset wal_level").await;
            cluster.restart().await;
        }
    }
}
