//! The shapes that sources and targets have at real providers: no superuser anywhere.

use neon_migrate::pg::names::{Ident, literal};

use super::cluster::Cluster;
use super::postgres::SUPERUSER;

/// The password of the roles made here.
pub const OWNER_PASSWORD: &str = "owner-s3cret";

impl Cluster {
    /// A database as Neon's console makes it: the login role owns it, is no superuser, and is a member of `neon_superuser`, which
    /// holds the rights that Neon documents. Returns the owner's connection string.
    pub async fn neon_shaped_target(&self, database: &str) -> String {
        let attributes = "createdb createrole bypassrls replication";
        let mut sql = create_role("neon_superuser", &format!("nologin {attributes}"));
        for predefined in ["pg_read_all_data", "pg_write_all_data"] {
            sql += &format!("grant {predefined} to neon_superuser;");
        }
        sql += "grant pg_monitor, pg_signal_backend to neon_superuser with admin option;";
        if self.major >= 16 {
            sql += "grant pg_create_subscription to neon_superuser;";
        }
        self.psql(SUPERUSER, &sql).await;
        self.owned_database(database, &format!("inherit {attributes} in role neon_superuser")).await
    }

    /// A database whose owner has no other right at all. Returns the owner's connection string.
    pub async fn plain_owner(&self, database: &str) -> String {
        self.owned_database(database, "").await
    }

    /// A database as on a managed service of Amazon's kind: the login role may create roles and databases, read statistics, signal
    /// and replicate, through `rds_superuser`, but is no superuser and cannot read what it does not own.
    pub async fn rds_like(&self, database: &str) -> String {
        let mut sql = create_role("rdsadmin", "superuser nologin");
        sql += &create_role("rds_replication", "nologin");
        sql += &create_role("rds_superuser", "nologin createdb createrole in role rds_replication");
        sql += "grant pg_monitor, pg_signal_backend to rds_superuser with admin option;";
        self.psql(SUPERUSER, &sql).await;
        self.owned_database(database, "createdb createrole replication in role rds_superuser").await
    }

    /// A login role `<database>_owner` and an empty database that belongs to it.
    async fn owned_database(&self, database: &str, attributes: &str) -> String {
        let owner = owner_of(database);
        let role = Ident::new(&owner);
        let password = literal(OWNER_PASSWORD);
        self.psql(SUPERUSER, &format!("create role {role} login password {password} {attributes}")).await;
        self.psql(SUPERUSER, &format!("create database {} owner {role}", Ident::new(database))).await;
        if self.major < 15 {
            self.psql(database, &format!("alter schema public owner to {role}")).await;
        }
        self.url(&owner, OWNER_PASSWORD, database)
    }
}

/// The name of the role that owns a database made here.
pub fn owner_of(database: &str) -> String {
    format!("{database}_owner")
}

fn create_role(name: &str, attributes: &str) -> String {
    let quoted = literal(name);
    format!(
        "do $$ begin if not exists (select from pg_roles where rolname = {quoted}) then create role {name} {attributes}; end if; end $$;"
    )
}
