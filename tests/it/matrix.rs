//! Every pair of majors: the odd database and the sample shop, by the real binary, from a plain source to a Neon-shaped target.

use std::time::Duration;

use crate::support::child::Run;
use crate::support::cluster::Cluster;
use crate::support::fixtures::fixture;
use crate::support::migrate::{self, Told};

#[track_caller]
fn assert_clean(told: &Told) {
    assert_eq!(told.unequal(), []);
    assert!(!told.verdicts().is_empty());
    assert_eq!(told.differences(), Vec::<String>::new());
    assert_eq!(told.left_out(), Vec::<String>::new());
}

async fn pair(from: u32, to: u32) {
    let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
    new.create_database("roles").await;
    new.psql_file("roles", &fixture("odd/roles.sql")).await;

    old.load_odd("odd").await;
    let target = new.neon_shaped_target("odd_copy").await;
    assert_clean(&migrate::copy(&old.superuser_url("odd"), &target, &[]).await.expect_code(0));

    let source = old.plain_owner("shop").await;
    let load = Run::new(["demo", "load", "--scale", "0.001"]).env("NEON_MIGRATE_SOURCE", &source);
    load.finish(Duration::from_secs(120)).await.expect_code(0);
    let target = new.neon_shaped_target("shop_copy").await;
    assert_clean(&migrate::copy(&source, &target, &[]).await.expect_code(0));
    // Cut into ranges, and compared as text.
    let target = new.neon_shaped_target("shop_in_parts").await;
    let told =
        migrate::copy(&source, &target, &["--split-above", "64kB", "--verify", "strict", "--jobs", "3"]).await.expect_code(0);
    assert_clean(&told);
    migrate::verify(&source, &target, &[]).await.expect_code(0);

    new.create_database("as_superuser").await;
    let keep = ["--keep-owners", "--keep-grants"];
    let told = migrate::copy(&old.superuser_url("odd"), &new.superuser_url("as_superuser"), &keep).await.expect_code(0);
    assert_clean(&told);
}

#[tokio::test]
async fn from_14_to_18() {
    pair(14, 18).await;
}

#[tokio::test]
async fn from_15_to_18() {
    pair(15, 18).await;
}

#[tokio::test]
async fn from_16_to_18() {
    pair(16, 18).await;
}

#[tokio::test]
async fn from_17_to_18() {
    pair(17, 18).await;
}

#[tokio::test]
async fn from_18_to_18() {
    pair(18, 18).await;
}

#[tokio::test]
async fn from_14_to_14() {
    pair(14, 14).await;
}

#[tokio::test]
async fn from_17_to_17() {
    pair(17, 17).await;
}
