//! The databases that tests start from; the SQL is under `tests/fixtures`.

use std::path::{Path, PathBuf};

use super::cluster::Cluster;

/// A file under `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Cluster {
    /// Makes a database that holds every kind of object which an ordinary owner (`odd_owner`) can make, with rows.
    pub async fn load_odd(&self, database: &str) {
        self.create_database(database).await;
        for file in ["roles", "base", "data"] {
            self.psql_file(database, &fixture(&format!("odd/{file}.sql"))).await;
        }
    }

    /// Adds what only a superuser can make.
    pub async fn load_odd_superuser_part(&self, database: &str) {
        self.psql_file(database, &fixture("odd/superuser.sql")).await;
    }
}
