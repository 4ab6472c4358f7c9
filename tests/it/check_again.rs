//! What is told while a check goes on, and checks that are made again by their code alone.

use std::path::Path;
use std::sync::Mutex;

use neon_migrate::engine::checkup::{Checkup, Open, Outcome, Standing, Status};
use neon_migrate::engine::finding::Severity;
use neon_migrate::migration::ends::Source;
use neon_migrate::migration::preflight::session::{Session, With};
use neon_migrate::migration::preflight::{News, Options, quietly};
use neon_migrate::pg::conninfo::{Conninfo, Environment};
use neon_migrate::pg::tools::Search;

use crate::support::checks::live;
use crate::support::cluster::Cluster;
use crate::support::postgres::client_bin;

fn source(url: &str) -> Source {
    Source::new(Conninfo::parse(url, &Environment::default()).unwrap())
}

async fn session(url: &str) -> Session {
    session_with(url, &client_bin()).await
}

async fn session_with(url: &str, tools: &Path) -> Session {
    let options = Options { tools: Search::new(Some(tools.to_owned())), ..live() };
    Session::open(&source(url), With::Nothing, options).await.unwrap_or_else(|error| panic!("{:?}", error.report()))
}

async fn check(url: &str) -> Checkup {
    Box::pin(session(url).await.check(&quietly)).await.unwrap()
}

async fn check_again(url: &str, earlier: &Checkup, code: &str) -> Checkup {
    Box::pin(session(url).await.check_again(earlier.clone(), code)).await.unwrap()
}

fn of<'a>(checkup: &'a Checkup, code: &str) -> &'a Outcome {
    checkup.outcomes.iter().find(|outcome| outcome.code == code).unwrap_or_else(|| panic!("there is no {code}"))
}

fn standing(checkup: &Checkup, id: &str) -> Standing {
    checkup.headlines.iter().find(|headline| headline.id == id).unwrap().standing
}

fn open(checkup: &Checkup, id: &str) -> Open {
    checkup.ways.iter().find(|way| way.id == id).unwrap().open
}

#[tokio::test]
async fn everything_is_told_as_it_comes_and_the_five_first() {
    let cluster = Cluster::start(17).await;
    cluster.create_database("src").await;
    let told = Mutex::new(Vec::new());
    let session = session(&cluster.superuser_url("src")).await;
    let checkup = Box::pin(session.check(&|news| told.lock().unwrap().push(news))).await.unwrap();
    let told = told.into_inner().unwrap();
    assert!(matches!(told[0], News::Begun(n) if n == checkup.outcomes.len()), "{:?}", told[0]);
    let five = told.iter().position(|news| matches!(news, News::Headlines(_))).expect("the five are told");
    let before = told[1..five].iter().map(|news| match news {
        News::Outcome(outcome) => outcome.code.as_str(),
        other => panic!("{other:?} came before the five"),
    });
    assert!(before.clone().all(|code| ["B1", "B3"].contains(&code)), "{:?}", before.collect::<Vec<_>>());
    let News::Headlines(headlines) = &told[five] else { unreachable!() };
    assert_eq!(headlines, &checkup.headlines);
    let mut outcomes: Vec<&Outcome> =
        told.iter().filter_map(|news| if let News::Outcome(outcome) = news { Some(outcome) } else { None }).collect();
    // Both in one order: that in which they ended does not matter.
    let key = |outcome: &&Outcome| format!("{outcome:?}");
    let mut all: Vec<&Outcome> = checkup.outcomes.iter().collect();
    outcomes.sort_by_key(key);
    all.sort_by_key(key);
    assert_eq!(outcomes, all);
}

#[tokio::test]
async fn a_check_that_is_mended_and_made_again_changes_all_that_follows_and_no_other_check() {
    let mut cluster = Cluster::build(17).with_setting("wal_level", "replica").start().await;
    cluster.create_database("src").await;
    let url = cluster.superuser_url("src");
    let bad = check(&url).await;
    assert!(bad.is_blocked() && of(&bad, "B3").findings[0].severity == Severity::Blocker, "{:#?}", of(&bad, "B3"));
    assert_eq!((standing(&bad, "logical_replication"), open(&bad, "live_relay")), (Standing::Blocked, Open::No));
    assert_eq!(bad.plan[0].title, "Mend what stands in the way");

    let unchanged = check_again(&url, &bad, "B3").await;
    assert_eq!(unchanged.outcomes, bad.outcomes);
    assert_eq!((&unchanged.headlines, &unchanged.ways, &unchanged.plan), (&bad.headlines, &bad.ways, &bad.plan));

    cluster.psql("src", "alter system set wal_level = logical").await;
    // What a whole check would find beside it.
    cluster.psql("src", "create unlogged table public.made_later (id int primary key)").await;
    cluster.restart().await;
    let mended = check_again(&url, &bad, "B3").await;
    assert_eq!(of(&mended, "B3").status, Status::Passed);
    assert_eq!((standing(&mended, "logical_replication"), open(&mended, "live_relay")), (Standing::Good, Open::Yes));
    assert!(!mended.is_blocked() && mended.plan[0].title != bad.plan[0].title, "{:#?}", mended.plan);
    let others =
        |checkup: &Checkup| -> Vec<Outcome> { checkup.outcomes.iter().filter(|outcome| outcome.code != "B3").cloned().collect() };
    assert_eq!(others(&mended), others(&bad), "another check was made");
    assert_eq!((mended.at, &mended.holdings, &mended.estimate), (bad.at, &bad.holdings, &bad.estimate));
}

#[tokio::test]
async fn a_code_that_no_check_has_changes_nothing_and_the_clients_are_looked_for_again() {
    let cluster = Cluster::start(18).await;
    cluster.create_database("src").await;
    let url = cluster.superuser_url("src");
    let empty = tempfile::tempdir().unwrap();
    let without = session_with(&url, empty.path()).await;
    let bad = Box::pin(without.check(&quietly)).await.unwrap();
    assert!(bad.is_blocked() && open(&bad, "copy_once") == Open::No);
    for code in ["Z9", "", "B2 "] {
        assert_eq!(check_again(&url, &bad, code).await.outcomes, bad.outcomes, "{code}");
    }
    let mended = check_again(&url, &bad, "B2").await;
    assert_eq!((of(&mended, "B2").status, open(&mended, "copy_once")), (Status::Passed, Open::Yes));
    assert!(!mended.is_blocked());
}
