//! Runs checks on real clusters: a bad source per check, and its fix, executed as it is printed.

use std::time::Duration;

use neon_migrate::engine::checkup::{Outcome, Status};
use neon_migrate::engine::finding::{Finding, Severity};
use neon_migrate::migration::preflight::{self, Against, End, Options, Place, Wish};
use tokio_postgres::Client;

use super::cluster::Cluster;
use super::poll;

/// How long statistics of Postgres 14 may take to be seen, at most.
const STATISTICS: Duration = Duration::from_secs(3);

/// A session, made without our own login.
pub async fn connect(url: &str) -> Client {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Everything wanted, live replication too.
pub fn live() -> Options {
    Options { wish: Wish::Live, ..Options::check() }
}

/// Examines a source by itself.
pub async fn examine(source: &str, options: &Options) -> Vec<Outcome> {
    let (first, second) = (connect(source).await, connect(source).await);
    let end = End { client: &first, second: Some(&second), pooled: None };
    // The work is large, and a test's stack is small.
    Box::pin(preflight::examine(Place::Live(end), Against::Nothing, options)).await.unwrap()
}

/// Examines a source and a target.
pub async fn examine_pair(source: &str, target: &str, options: &Options) -> Vec<Outcome> {
    let (first, second) = (connect(source).await, connect(source).await);
    let (third, fourth) = (connect(target).await, connect(target).await);
    let source = End { client: &first, second: Some(&second), pooled: None };
    let target = End { client: &third, second: Some(&fourth), pooled: None };
    Box::pin(preflight::examine(Place::Live(source), Against::Target(target), options)).await.unwrap()
}

/// The findings of a code.
pub fn with_code<'a>(outcomes: &'a [Outcome], code: &str) -> Vec<&'a Finding> {
    outcomes.iter().filter(|outcome| outcome.code == code).flat_map(|outcome| &outcome.findings).collect()
}

/// The only finding of a code.
#[track_caller]
pub fn only<'a>(outcomes: &'a [Outcome], code: &str) -> &'a Finding {
    match with_code(outcomes, code)[..] {
        [finding] => finding,
        ref found => panic!("there should be one {code}: {found:#?}"),
    }
}

/// Fails unless the checks of a code looked and found nothing; one of them may be for a target that there is not.
#[track_caller]
pub fn assert_passed(outcomes: &[Outcome], code: &str) {
    let of_code: Vec<_> = outcomes.iter().filter(|outcome| outcome.code == code).collect();
    assert!(!of_code.is_empty(), "there is no check {code}");
    let passed = |outcome: &&&Outcome| outcome.status == Status::Passed;
    let silent = |outcome: &&&Outcome| passed(outcome) || outcome.status == Status::NotApplicable;
    assert!(of_code.iter().all(|outcome| silent(&outcome)) && of_code.iter().any(|outcome| passed(&outcome)), "{of_code:#?}");
}

/// The codes of what was found, with their severities.
pub fn found(outcomes: &[Outcome]) -> Vec<(String, Severity)> {
    let findings = outcomes.iter().flat_map(|outcome| &outcome.findings);
    findings.map(|finding| (finding.code.clone(), finding.severity)).collect()
}

/// The statements of a fix: what follows its first line.
#[track_caller]
pub fn statements(finding: &Finding) -> String {
    let fix = finding.fix.as_deref().unwrap_or_else(|| panic!("there is no fix: {finding:#?}"));
    let (_, statements) = fix.split_once('\n').unwrap_or_else(|| panic!("there is nothing to execute in {fix:?}"));
    statements.to_owned()
}

/// The only finding of a code beside what a plain database gives.
#[track_caller]
fn new<'a>(outcomes: &'a [Outcome], code: &str, plain: &[(String, Severity)]) -> &'a Finding {
    let of_code = with_code(outcomes, code);
    let beside: Vec<_> = of_code.iter().filter(|one| !plain.contains(&(one.code.clone(), one.severity))).collect();
    match beside[..] {
        [finding] => finding,
        _ => only(outcomes, code),
    }
}

/// Executes a fix as it is printed, with psql.
pub async fn mend(cluster: &Cluster, database: &str, finding: &Finding) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fix.sql");
    std::fs::write(&file, statements(finding)).unwrap();
    cluster.psql_file(database, &file).await;
}

/// A bad source: what makes a finding appear.
pub struct Bad {
    /// The check.
    pub code: &'static str,
    /// What makes the source bad; executed as the superuser.
    pub setup: &'static str,
    /// How much it matters when live replication is wanted.
    pub severity: Severity,
    /// The affected objects, as they are named.
    pub objects: &'static [&'static str],
    /// Other codes that the same source gives rise to.
    pub also: &'static [&'static str],
    /// Whether the fix has statements; they are executed as they are printed, and the finding must be gone.
    pub mendable: bool,
    /// The majors on which it can be; empty for the oldest and the newest.
    pub majors: &'static [u32],
}

impl Bad {
    /// A warning with one object and a fix that can be executed.
    pub const fn new(code: &'static str, severity: Severity, setup: &'static str, objects: &'static [&'static str]) -> Bad {
        Bad { code, setup, severity, objects, also: &[], mendable: true, majors: &[] }
    }

    /// With a fix in words only.
    pub const fn in_words(self) -> Bad {
        Bad { mendable: false, ..self }
    }

    /// With other codes that come along.
    pub const fn along_with(self, also: &'static [&'static str]) -> Bad {
        Bad { also, ..self }
    }

    /// Only on these majors.
    pub const fn on(self, majors: &'static [u32]) -> Bad {
        Bad { majors, ..self }
    }
}

/// For each bad source, on the oldest and the newest major: it gives exactly its finding beside what a plain database of that cluster
/// gives; and its fix, executed as it is printed, makes the finding go away.
pub async fn each_is_found_and_mended(bad: &[Bad]) {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("plain").await;
        // So that what is said about other databases is said of the plain one too.
        cluster.create_database("other").await;
        for (n, bad) in bad.iter().enumerate().filter(|(_, bad)| bad.majors.is_empty() || bad.majors.contains(&major)) {
            let database = format!("bad {n} \"{}", bad.code);
            cluster.create_database(&database).await;
            // Asked each time: a role that an earlier source made is there for all.
            let plain = found(&examine(&cluster.superuser_url("plain"), &live()).await);
            Box::pin(one_is_found_and_mended(&cluster, &database, bad, &plain)).await;
        }
    }
}

async fn one_is_found_and_mended(cluster: &Cluster, database: &str, bad: &Bad, plain: &[(String, Severity)]) {
    let what = format!("{} on Postgres {}", bad.code, cluster.major);
    let url = cluster.superuser_url(database);
    cluster.psql(database, bad.setup).await;
    if cluster.major == 14 {
        // Its statistics are up to half a second old; what is wrong for longer fails below, with what was found.
        let as_expected = async || with_code(&examine(&url, &live()).await, bad.code).iter().all(|one| one.objects == bad.objects);
        let _ = tokio::time::timeout(STATISTICS, poll::until_true(STATISTICS * 2, "statistics arrive", as_expected)).await;
    }
    let outcomes = examine(&url, &live()).await;
    let finding = new(&outcomes, bad.code, plain);
    assert_eq!(finding.severity, bad.severity, "{what}: {finding:#?}");
    assert_eq!(finding.objects, bad.objects, "{what}: {finding:#?}");
    assert!(finding.objects_total >= bad.objects.len() as u64, "{what}");
    let mut more: Vec<String> = found(&outcomes).into_iter().filter(|one| !plain.contains(one)).map(|(code, _)| code).collect();
    more.retain(|code| code != bad.code && !bad.also.contains(&code.as_str()));
    assert!(
        more.is_empty(),
        "{what} comes with {more:?}: {:#?}",
        more.iter().map(|code| with_code(&outcomes, code)).collect::<Vec<_>>()
    );
    if bad.mendable {
        mend(cluster, database, finding).await;
        assert_passed(&examine(&url, &live()).await, bad.code);
    }
}
