//! The odd database, copied by us, is what pg_dump and pg_restore make of it on the same target, rows, large objects and sequences included.

use crate::support::cluster::{Cluster, output};
use crate::support::fixtures::fixture;
use crate::support::migrate::{self, Told};

/// What a copy leaves out whoever the target's role is.
const NEVER: [&str; 4] = ["--no-publications", "--no-subscriptions", "--no-security-labels", "--no-tablespaces"];

/// A dump with all rows, those of each table sorted: neither way promises an order.
async fn dump(cluster: &Cluster, database: &str, args: &[&str]) -> String {
    let dump = cluster.pg_dump(database, &[&NEVER[..], args].concat()).await;
    let mut lines: Vec<&str> = dump.lines().collect();
    let mut at = 0;
    while let Some(start) = lines[at..].iter().position(|line| line.starts_with("COPY ") && line.ends_with(" FROM stdin;")) {
        let start = at + start + 1;
        let end = start + lines[start..].iter().position(|line| *line == "\\.").unwrap();
        lines[start..end].sort_unstable();
        at = end;
    }
    lines.join("\n") + "\n"
}

/// Fails with the lines that differ.
#[track_caller]
fn assert_same(ours: &str, control: &str, what: &str) {
    if ours == control {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let paths = [("control", control), ("ours", ours)].map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let diff = std::process::Command::new("diff").args(["-U2"]).args(&paths).output().unwrap();
    let text = String::from_utf8_lossy(&diff.stdout);
    panic!("{what}:\n{}", text.chars().take(8000).collect::<String>());
}

/// Has pg_dump and pg_restore copy a database; what pg_restore could not do is returned, because a managed target refuses some things.
async fn restore(source: &Cluster, from: &str, target: &Cluster, to: &str, role: &str, args: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("archive");
    source.pg_dump(from, &["-Fc", "-Z0", "--file", file.to_str().unwrap()]).await;
    let mut restore = target.tool("pg_restore", to);
    restore.args(NEVER).args(args).args(["--no-password", "-U", role, "-d", to]).arg(&file);
    match output(&mut restore).await {
        Ok(_) => Vec::new(),
        Err(errors) => errors.lines().filter(|line| line.contains("error: could not execute")).map(str::to_owned).collect(),
    }
}

#[track_caller]
fn assert_only_invalid_index_is_explained(told: &Told) {
    assert_eq!(told.unequal(), []);
    assert_eq!(told.differences(), Vec::<String>::new());
    assert!(
        told.explained().iter().any(|line| line.starts_with("The index odd.invalid_one is missing on the target. It is invalid"))
    );
}

async fn neon_shaped(from: u32, to: u32) {
    let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
    old.load_odd("odd").await;
    new.create_database("roles").await;
    new.psql_file("roles", &fixture("odd/roles.sql")).await;
    let target = new.neon_shaped_target("shop").await;
    new.neon_shaped_target("control").await;
    let told = migrate::copy(&old.superuser_url("odd"), &target, &[]).await.expect_code(0);
    assert_only_invalid_index_is_explained(&told);
    assert_eq!(told.left_out(), Vec::<String>::new());
    assert_eq!(restore(&old, "odd", &new, "control", "control_owner", &["--no-owner", "--no-acl"]).await, Vec::<String>::new());
    let args = ["--no-owner", "--no-acl"];
    let (ours, control) = tokio::join!(dump(&new, "shop", &args), dump(&new, "control", &args));
    assert_same(&ours, &control, &format!("{from} → {to}"));
}

#[tokio::test]
async fn the_odd_database_on_a_neon_shaped_target_is_what_pg_restore_makes_of_it() {
    for (from, to) in [(14, 18), (17, 18)] {
        neon_shaped(from, to).await;
    }
}

#[tokio::test]
async fn the_odd_database_with_owners_and_grants_is_what_pg_restore_makes_of_it() {
    for (from, to) in [(15, 18), (18, 18)] {
        let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
        old.load_odd("odd").await;
        old.load_odd_superuser_part("odd").await;
        new.create_database("mine").await;
        new.psql_file("mine", &fixture("odd/roles.sql")).await;
        new.create_database("control").await;
        let keep = ["--keep-owners", "--keep-grants"];
        let told = migrate::copy(&old.superuser_url("odd"), &new.superuser_url("mine"), &keep).await.expect_code(0);
        assert_only_invalid_index_is_explained(&told);
        assert_eq!(told.left_out(), Vec::<String>::new());
        assert_eq!(restore(&old, "odd", &new, "control", "postgres", &[]).await, Vec::<String>::new());
        let (ours, control) = tokio::join!(dump(&new, "mine", &[]), dump(&new, "control", &[]));
        assert_same(&ours, &control, &format!("{from} → {to}"));
    }
}

/// What a role without superuser may not create stops the copy before a row moves where rows would be lost, and is named where not.
#[tokio::test]
async fn what_only_a_superuser_may_create_is_named() {
    let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
    old.load_odd("odd").await;
    old.load_odd_superuser_part("odd").await;
    new.create_database("roles").await;
    new.psql_file("roles", &fixture("odd/roles.sql")).await;
    let target = new.neon_shaped_target("shop").await;
    let told = migrate::copy(&old.superuser_url("odd"), &target, &[]).await.expect_code(7);
    let finished = told.all("run_finished").last().unwrap().to_string();
    for table in ["odd_super.scores", "odd_super.other_access_method"] {
        assert!(finished.contains(&format!("--exclude '{table}'")), "{finished}");
    }
    assert!(finished.contains("permission denied") && finished.contains("It needs the type odd_super."), "{finished}");

    let exclude = ["--replace-target=shop", "--exclude", "odd_super.scores", "--exclude", "odd_super.other_access_method"];
    let told = migrate::copy(&old.superuser_url("odd"), &target, &exclude).await.expect_code(0);
    assert_only_invalid_index_is_explained(&told);
    let left_out = told.left_out();
    for wanted in [
        "TABLE odd_super.scores: It was excluded on the command line.",
        "INDEX odd_super.scores_s: It needs the table odd_super.scores, which is left out.",
        "ACCESS METHOD odd_heap: The target refused it: permission denied",
        "EVENT TRIGGER odd_ddl_end: The target's role may not create event triggers.",
    ] {
        assert!(left_out.iter().any(|line| line.starts_with(wanted)), "{wanted}\n{left_out:#?}");
    }
}
