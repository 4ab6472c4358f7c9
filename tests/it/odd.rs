//! The odd database, copied by us, is what pg_dump and pg_restore make of it.

use crate::support::cluster::Cluster;
use crate::support::fixtures::fixture;
use crate::support::migrate;

#[tokio::test]
async fn explore() {
    let from: u32 = std::env::var("FROM").unwrap_or("17".into()).parse().unwrap();
    let to: u32 = std::env::var("TO").unwrap_or("18".into()).parse().unwrap();
    let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
    old.load_odd("odd").await;
    if std::env::var("SUPER").is_ok() {
        old.load_odd_superuser_part("odd").await;
    }
    let target = new.neon_shaped_target("shop").await;
    new.create_database("roles").await;
    new.psql_file("roles", &fixture("odd/roles.sql")).await;
    let told = migrate::copy(&old.superuser_url("odd"), &target, &[]).await;
    println!("{:#?}", told.outcome.status);
    println!("{}", told.outcome.stderr);
    for kind in ["finding_raised", "step_failed", "notice", "run_finished"] {
        for event in told.all(kind) { println!("{event:#}"); }
    }
    println!("left out: {:#?}", told.left_out());
    println!("unequal: {:#?}", told.unequal());
    if told.all("inventory_compared").next().is_some() {
    println!("differences: {:#?}", told.differences());
    println!("explained: {:#?}", told.explained());
    }
}
