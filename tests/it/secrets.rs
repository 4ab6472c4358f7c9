//! A planted password and planted row values are searched for in everything that a run leaves or shows.

use std::path::Path;
use std::time::Duration;

use crate::support::child::{Outcome, Run};
use crate::support::cluster::Cluster;
use crate::support::poll;

const LIMIT: Duration = Duration::from_secs(120);
/// No part of it occurs anywhere by chance.
const PASSWORD: &str = "plantedPw7391";
/// A value in a row that makes an error.
const VALUE: &str = "plantedRow5527";

struct House {
    source: Cluster,
    target: Cluster,
    home: tempfile::TempDir,
}

/// How the password is given.
#[derive(Debug, Clone, Copy)]
enum Given {
    Url,
    KeyValue,
    Variable,
    PassFile,
    ServiceFile,
}

impl House {
    async fn new() -> House {
        let (source, target) = (Cluster::start(16).await, Cluster::start(18).await);
        for cluster in [&source, &target] {
            cluster.psql("postgres", &format!("create role app superuser login password '{PASSWORD}'")).await;
            cluster.create_database("shop").await;
        }
        let sql = "create table orders (id int primary key, note text); insert into orders select n, 'note ' || n from generate_series(1, 1000) n;
                   create index on orders (note)";
        source.psql("shop", sql).await;
        House { source, target, home: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> std::path::PathBuf {
        self.home.path().join("state")
    }

    /// A run with the password given in one way. Where a file holds it, the file is outside the state directory.
    fn run(&self, command: &str, given: Given, more: &[&str]) -> Run {
        let (source, target) = (self.source.port, self.target.port);
        let plain = |port: u16| format!("host=127.0.0.1 port={port} user=app dbname=shop");
        let (from, to) = match given {
            Given::Url => (self.source.url("app", PASSWORD, "shop"), self.target.url("app", PASSWORD, "shop")),
            Given::KeyValue => {
                (format!("{} password={PASSWORD}", plain(source)), format!("{} password='{PASSWORD}'", plain(target)))
            }
            Given::Variable | Given::PassFile => (plain(source), plain(target)),
            Given::ServiceFile => ("service=old".to_owned(), "service=new".to_owned()),
        };
        let state = self.state();
        let words = [command, "-vv", "--state-dir", state.to_str().unwrap()];
        let run = Run::new(words.iter().chain(more)).env("NEON_MIGRATE_SOURCE", from).env("NEON_MIGRATE_TARGET", to);
        match given {
            Given::Url | Given::KeyValue => run,
            Given::Variable => run.env("PGPASSWORD", PASSWORD),
            Given::PassFile => {
                let lines = format!("127.0.0.1:{source}:*:app:{PASSWORD}\n127.0.0.1:{target}:*:app:{PASSWORD}\n");
                run.env("PGPASSFILE", self.file("pgpass", &lines))
            }
            Given::ServiceFile => {
                let section = |name: &str, port: u16| {
                    format!("[{name}]\nhost=127.0.0.1\nport={port}\nuser=app\ndbname=shop\npassword={PASSWORD}\n")
                };
                run.env("PGSERVICEFILE", self.file("services", &(section("old", source) + &section("new", target))))
            }
        }
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    async fn empty_target(&self) {
        self.target.psql("postgres", "drop database shop with (force)").await;
        self.target.create_database("shop").await;
    }

    /// Looks for the password, or a value, in the outcome, the state directory, and what is on the target.
    async fn search(&self, planted: &str, outcome: &Outcome) {
        assert!(!outcome.stdout.contains(planted), "on standard output: {}", outcome.stdout);
        assert!(!outcome.stderr.contains(planted), "on standard error: {}", outcome.stderr);
        let held = files_with(&self.state(), planted);
        assert!(held.is_empty(), "in {held:?}");
    }
}

fn files_with(dir: &Path, planted: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, planted));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(planted.len()).any(|part| part == planted.as_bytes())) {
            found.push(path);
        }
    }
    found
}

/// The processes that a process has started, and those that these have.
fn descendants(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children: Vec<u32> = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect();
    children.iter().flat_map(|child| std::iter::once(*child).chain(descendants(*child))).collect()
}

#[tokio::test]
async fn a_password_is_nowhere_however_it_was_given() {
    let house = House::new().await;
    for given in [Given::Url, Given::KeyValue, Given::Variable, Given::PassFile, Given::ServiceFile] {
        house.empty_target().await;
        let outcome = house.run("copy", given, &["--output", "json"]).kill_at("copy.before-commit", 1).finish(LIMIT).await;
        assert!(outcome.was_killed(), "{given:?}: {outcome:?}");
        house.search(PASSWORD, &outcome).await;
        let ledger = house.target.pg_dump("shop", &[]).await;
        assert!(ledger.contains("neon_migrate") && !ledger.contains(PASSWORD), "{given:?}: on the target");
        let outcome = house.run("copy", given, &[]).finish(LIMIT).await.expect_code(0);
        house.search(PASSWORD, &outcome).await;
        let outcome = house.run("copy", given, &["--output", "json"]).finish(LIMIT).await.expect_code(3);
        house.search(PASSWORD, &outcome).await;
        let outcome = house.run("verify", given, &[]).finish(LIMIT).await.expect_code(0);
        house.search(PASSWORD, &outcome).await;
        let state = house.state();
        for output in ["plain", "json"] {
            let status = Run::new(["status", "--output", output, "--state-dir", state.to_str().unwrap()]).finish(LIMIT).await;
            house.search(PASSWORD, &status.expect_code(0)).await;
        }
    }
    for cluster in [&house.source, &house.target] {
        assert!(!cluster.log().contains(PASSWORD), "in a server's log");
    }
    let log = files_with(&house.state(), "a run began");
    assert!(log.iter().any(|file| file.ends_with("run.log")), "there is no log: {log:?}");
}

/// A lock on a table holds pg_dump up, so that it can be looked at.
#[tokio::test]
async fn a_password_is_not_in_a_childs_arguments_or_environment() {
    let house = House::new().await;
    let holder = house.source.connect("shop").await;
    for given in [Given::Url, Given::Variable, Given::ServiceFile] {
        house.empty_target().await;
        holder.batch_execute("begin; lock table orders in access exclusive mode").await.unwrap();
        let running = house.run("copy", given, &[]).start();
        let dump = poll::until(LIMIT, "pg_dump runs", async || {
            // Not the one that is only asked for its version.
            let is_dump = |pid: &u32| {
                let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                words.split('\0').next().is_some_and(|name| name.ends_with("pg_dump")) && !words.contains("--version")
            };
            descendants(running.pid()).into_iter().find(is_dump)
        })
        .await;
        for part in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{dump}/{part}")).unwrap();
            assert!(!bytes.is_empty(), "{given:?}: nothing in {part}");
            assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD), "{given:?}: in {part} of pg_dump");
        }
        let own = std::fs::read(format!("/proc/{}/cmdline", running.pid())).unwrap();
        assert!(!String::from_utf8_lossy(&own).contains(PASSWORD), "{given:?}: in our own arguments");
        holder.batch_execute("rollback").await.unwrap();
        let outcome = running.finish(LIMIT).await.expect_code(0);
        house.search(PASSWORD, &outcome).await;
    }
}

/// The index on the source is made unique behind its back, so that its twin on the target finds two equal values.
#[tokio::test]
async fn row_values_are_in_no_error_and_no_log() {
    let house = House::new().await;
    let sql = format!(
        "insert into orders values (5001, '{VALUE}'), (5002, '{VALUE}'); alter table orders add constraint short check (length(note) < 99) not valid;"
    );
    house.source.psql("shop", &sql).await;
    house.source.psql("shop", "create unique index twice on orders (note) where id < 5000").await;
    // The predicate is what the definition prints; a catalog that lies is the only way to a unique index over equal values.
    house.source.psql("shop", "set allow_system_table_mods = on; update pg_index set indisunique = true where indexrelid = 'orders_note_idx'::regclass").await;
    for output in ["plain", "json"] {
        house.empty_target().await;
        let outcome = house.run("copy", Given::Url, &["--output", output]).finish(LIMIT).await;
        assert_ne!(outcome.code(), Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("23505") || outcome.stderr.contains("23505"), "the error is not told: {outcome:?}");
        house.search(VALUE, &outcome).await;
    }
}
