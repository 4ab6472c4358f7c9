//! A source and targets for tests that interrupt a copy: run it, break it, run it again, and see that nothing is lost, doubled or left behind.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::child::{Outcome, Run, Running};
use super::cluster::Cluster;
use super::fixtures::fixture;
use super::poll;
use super::roles::{OWNER_PASSWORD, owner_of};

/// How long one run may take, on a busy machine.
pub const RUN_LIMIT: Duration = Duration::from_secs(90);

/// Two clusters and a place for the state.
pub struct Ground {
    pub source: Cluster,
    pub target: Cluster,
    state: tempfile::TempDir,
    expected: Option<Contents>,
}

/// What a database holds, in a form that can be compared: definitions in order, rows as statements, sorted.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Contents {
    schema: String,
    rows: Vec<String>,
}

/// One copy: from the source's database `src` to a database of its own.
pub struct Case<'a> {
    pub ground: &'a Ground,
    pub source_database: String,
    pub database: String,
    pub source_url: String,
    pub target_url: String,
    extra: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// A run that waits at a point.
pub struct Paused {
    pub running: Running,
    file: PathBuf,
}

impl Paused {
    /// Lets it go on, to an end that must come in time.
    pub async fn go_on(self) -> Outcome {
        std::fs::remove_file(&self.file).unwrap();
        self.running.finish(RUN_LIMIT).await
    }

    /// Lets it go on.
    pub fn release(self) -> Running {
        std::fs::remove_file(&self.file).unwrap();
        self.running
    }
}

impl Ground {
    /// Two clusters of one major, whose dumps can be compared; the source is loaded.
    pub async fn start(major: u32) -> Ground {
        Self::with(Cluster::start(major).await, Cluster::start(major).await).await
    }

    /// Clusters with something special about them.
    pub async fn with(source: Cluster, target: Cluster) -> Ground {
        source.create_database("src").await;
        source.psql_file("src", &fixture("crash/base.sql")).await;
        Ground { source, target, state: tempfile::tempdir().unwrap(), expected: None }
    }

    /// Reads what the source holds once, for tests that do not change it.
    pub async fn with_expected(mut self) -> Ground {
        self.expected = Some(Contents::of(&self.source, "src").await);
        self
    }

    /// A new empty target database, and the source that all cases share.
    pub async fn case(&self, database: &str) -> Case<'_> {
        self.case_from("src", database).await
    }

    /// A new empty target database, and a source of its own that may be changed.
    pub async fn own_case(&self, database: &str) -> Case<'_> {
        let source = format!("src_{database}");
        self.source.psql("postgres", &format!("create database {source} template src")).await;
        self.case_from(&source, database).await
    }

    /// A case whose target is there already.
    pub fn again(&self, database: &str) -> Case<'_> {
        let target_url = self.target.url(&owner_of(database), OWNER_PASSWORD, database);
        self.case_of("src", database, target_url)
    }

    async fn case_from(&self, source: &str, database: &str) -> Case<'_> {
        let target_url = self.target.neon_shaped_target(database).await;
        self.case_of(source, database, target_url)
    }

    fn case_of(&self, source: &str, database: &str, target_url: String) -> Case<'_> {
        let source_url = self.source.superuser_url(source);
        let (source_database, database) = (source.to_owned(), database.to_owned());
        Case { ground: self, source_database, database, source_url, target_url, extra: Vec::new(), variables: Vec::new() }
    }
}

impl Contents {
    /// Reads what a database holds.
    pub async fn of(cluster: &Cluster, database: &str) -> Contents {
        let plain = ["--no-owner", "--no-acl", "--exclude-schema=neon_migrate"];
        let schema = cluster.pg_dump(database, &[&plain[..], &["--schema-only"]].concat()).await;
        let rows = cluster.pg_dump(database, &[&plain[..], &["--data-only", "--inserts"]].concat()).await;
        let mut rows: Vec<String> = rows.lines().filter(|line| !line.starts_with("--")).map(str::to_owned).collect();
        rows.sort_unstable();
        Contents { schema, rows }
    }

    /// Fails with what differs.
    #[track_caller]
    pub fn assert_is(&self, expected: &Contents, what: &str) {
        assert!(
            self.schema == expected.schema,
            "{what}: the definitions differ\n{}\n--- expected\n{}",
            self.schema,
            expected.schema
        );
        let missing: Vec<&String> = expected.rows.iter().filter(|row| self.rows.binary_search(row).is_err()).take(5).collect();
        let extra: Vec<&String> = self.rows.iter().filter(|row| expected.rows.binary_search(row).is_err()).take(5).collect();
        let (here, there) = (self.rows.len(), expected.rows.len());
        assert!(self.rows == expected.rows, "{what}: {here} rows instead of {there}; missing {missing:?}; too many {extra:?}");
    }
}

impl Case<'_> {
    /// With more arguments for every run.
    pub fn with_args(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(ToString::to_string));
        self
    }

    /// The command, which is the same every time.
    pub fn command(&self) -> Run {
        let mut args =
            vec!["copy", "--source", &self.source_url, "--target", &self.target_url, "--jobs", "3", "--split-above", "400kB"];
        args.extend(["--output", "json"]);
        args.extend(self.extra.iter().map(String::as_str));
        let run = Run::new(args).env("NEON_MIGRATE_STATE_DIR", self.ground.state.path());
        self.variables.iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    /// With a limit for all retries of one piece of work, in milliseconds.
    pub fn retrying_for(mut self, limit_ms: u64) -> Self {
        self.variables.push(("NEON_MIGRATE_RETRY_MS", limit_ms.to_string()));
        self
    }

    /// With a limit for silent connections, in milliseconds.
    pub fn stalling_for(mut self, limit_ms: u64) -> Self {
        self.variables.push(("NEON_MIGRATE_STALL_MS", limit_ms.to_string()));
        self
    }

    /// Starts the command, and has it wait at a point.
    pub async fn pause_at(&self, point: &str, nth: u64) -> Paused {
        let file = self.ground.state.path().join(format!("pause-{}", self.database));
        let run = self.command().env("NEON_MIGRATE_PAUSE_AT", format!("{point}:{nth}")).env("NEON_MIGRATE_PAUSE_FILE", &file);
        let running = run.start();
        poll::until_true(RUN_LIMIT, &format!("the run arrives at {point}:{nth}"), async || {
            let over = running.stdout().contains(r#""event":"run_finished""#);
            assert!(!over, "the run ended before it came to {point}:{nth}\n{}", running.stdout());
            file.exists()
        })
        .await;
        Paused { running, file }
    }

    /// Runs the command, has it kill itself at a point, and says whether it got there. If not, it has to have ended well.
    pub async fn crash_at(&self, point: &str, nth: u64) -> bool {
        let outcome = self.command().kill_at(point, nth).finish(RUN_LIMIT).await;
        if !outcome.was_killed() {
            outcome.expect_code(0);
            return false;
        }
        true
    }

    /// Runs the command to its good end, and looks at everything.
    pub async fn finish(&self, what: &str) -> Outcome {
        let outcome = self.command().finish(RUN_LIMIT).await;
        assert_eq!(outcome.code(), Some(0), "{what}: {}\nstdout:\n{}\nstderr:\n{}", outcome.status, outcome.stdout, outcome.stderr);
        self.assert_complete(what).await;
        outcome
    }

    /// The target holds what the source holds, and nothing of ours is left anywhere.
    pub async fn assert_complete(&self, what: &str) {
        let expected = match &self.ground.expected {
            Some(expected) => expected.clone(),
            None => Contents::of(&self.ground.source, &self.source_database).await,
        };
        Contents::of(&self.ground.target, &self.database).await.assert_is(&expected, what);
        self.assert_nothing_left(what).await;
    }

    /// No ledger, no session, no file of ours is left, and every index and constraint is valid.
    pub async fn assert_nothing_left(&self, what: &str) {
        let (source, target) = (&self.ground.source, &self.ground.target);
        let ours = "select count(*) from pg_namespace where nspname = 'neon_migrate'";
        assert_eq!(target.query(&self.database, ours).await, "0", "{what}: the ledger is left");
        let invalid = "select count(*) from pg_index where not indisvalid or not indisready";
        assert_eq!(target.query(&self.database, invalid).await, "0", "{what}: an index is not valid");
        let sessions = "select count(*) from pg_stat_activity where application_name like 'neon-migrate%'";
        for (cluster, database) in [(source, self.source_database.as_str()), (target, self.database.as_str())] {
            let gone = async || cluster.query(database, sessions).await == "0";
            poll::until_true(Duration::from_secs(10), &format!("{what}: our sessions end"), gone).await;
        }
    }

    /// What is finished on the target by now and must not be done again: the files of complete tables and of all indexes.
    pub async fn finished_files(&self) -> BTreeMap<String, String> {
        let target = &self.ground.target;
        if target.query(&self.database, "select to_regclass('neon_migrate.part') is not null").await != "t" {
            return BTreeMap::new();
        }
        let complete = "select source_oid from neon_migrate.part group by source_oid having count(*) = max(parts)";
        let oids = target.query(&self.database, complete).await;
        let oids: Vec<&str> = oids.lines().chain(["0"]).collect();
        let names = format!(
            "select n.nspname || '.' || relname from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid in ({})",
            oids.join(",")
        );
        let complete = self.ground.source.query(&self.source_database, &names).await;
        let complete: Vec<&str> = complete.lines().collect();
        // What is on a materialized view is made anew with its rows.
        let files = "select n.nspname || '.' || c.relname, c.relfilenode, c.relkind
            from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_index i on i.indexrelid = c.oid
            left join pg_class t on t.oid = i.indrelid
            where n.nspname = 'app' and (c.relkind = 'r' or c.relkind = 'i' and t.relkind = 'r')";
        let files = target.query(&self.database, files).await;
        let row = |line: &str| {
            let mut fields = line.rsplitn(3, '|').map(str::to_owned);
            let (kind, file, name) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "i" || complete.contains(&name.as_str())).then_some((name, file))
        };
        files.lines().filter_map(row).collect()
    }

    /// Fails if something that was finished was done again.
    pub async fn assert_not_done_again(&self, finished: &BTreeMap<String, String>, what: &str) {
        for (name, file) in finished {
            let sql = format!(
                "select relfilenode from pg_class c join pg_namespace n on n.oid = relnamespace where n.nspname || '.' || relname = '{}'",
                name.replace('\'', "''")
            );
            assert_eq!(&self.ground.target.query(&self.database, &sql).await, file, "{what}: {name} was done again");
        }
    }
}

/// The events that a run printed.
pub fn events(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The events of one kind.
pub fn events_of(outcome: &Outcome, kind: &str) -> Vec<Value> {
    events(outcome).into_iter().filter(|event| event["event"] == kind).collect()
}

/// The report that a failed run ended with.
pub fn final_report(outcome: &Outcome) -> Value {
    events_of(outcome, "run_finished").pop().map_or(Value::Null, |event| event["report"].clone())
}
