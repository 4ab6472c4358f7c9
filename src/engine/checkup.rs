//! What a look at both ends says, as data: the report that the terminal, the page, a file and JSON render.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Severity};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It looked, and found nothing to say.
    Passed,
    /// It found something.
    Found,
    /// It could not look; a finding says why and what would let it.
    NotEvaluated,
    /// There was nothing to look at, such as a target that was not given.
    NotApplicable,
}

impl Status {
    /// Of a check that looked.
    pub fn of(findings: &[Finding]) -> Status {
        match findings {
            [] => Status::Passed,
            [only] if only.is_not_evaluated() => Status::NotEvaluated,
            _ => Status::Found,
        }
    }
}

/// One check, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The code, the anchor in `docs/guide/findings.md`. Its first letter is the family's.
    pub code: String,
    /// A few words.
    pub title: String,
    /// How it ended.
    pub status: Status,
    /// Why it does not apply.
    pub reason: Option<String>,
    /// What it found.
    pub findings: Vec<Finding>,
}

/// Where one of the first five things stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In order.
    Good,
    /// Something to know or to do.
    Attention,
    /// It stands in the way.
    Blocked,
    /// It could not be told.
    Unknown,
}

/// One of the five things that come first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// `postgres_version`, `region`, `supported_extensions`, `extension_versions` or `logical_replication`.
    pub id: String,
    /// Its name.
    pub title: String,
    /// Where it stands.
    pub standing: Standing,
    /// One sentence.
    pub sentence: String,
    /// What is listed under it, such as extensions.
    pub items: Vec<String>,
    /// What to do, in the form of [`Finding::fix`].
    pub fix: Option<String>,
}

/// One end, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// `user@host:port/database`, or the name of the file.
    pub label: String,
    /// Its server, such as `Postgres 17.10`.
    pub server: String,
    /// The hosting provider.
    pub provider: String,
    /// Its region, where it can be told.
    pub region: Option<String>,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// The database's size, in bytes.
    pub bytes: Option<u64>,
    /// It does not exist yet: these are the published facts of what would be created.
    pub assumed: bool,
}

/// What a way belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayKind {
    /// A way to move the data.
    Move,
    /// A way to stop writes on the source at cutover.
    Fence,
    /// A way back after the cutover.
    Rollback,
}

/// Whether a way is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Open {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It depends on what could not be looked at.
    Unknown,
}

/// A way to go, whether it is open, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// A stable name, such as `copy_once`, `live_relay`, `live_subscription`.
    pub id: String,
    /// What it belongs to.
    pub kind: WayKind,
    /// A few words.
    pub title: String,
    /// Whether it is open.
    pub open: Open,
    /// Why, a sentence each.
    pub reasons: Vec<String>,
}

/// How long a copy would take, by what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The round trip to the source, in milliseconds.
    pub source_rtt_ms: f64,
    /// The round trip to the target, in milliseconds.
    pub target_rtt_ms: f64,
    /// What one stream from the source gave, in bytes a second.
    pub source_rate: f64,
    /// What one stream to the target took, in bytes a second.
    pub target_rate: f64,
    /// The whole copy with its indexes, from and to, in seconds.
    pub copy_s: (u64, u64),
    /// WAL written by the source's application, in bytes a second; nothing if it could not be told.
    pub wal_rate: Option<f64>,
    /// WAL that a slot would retain until the copy is over, from and to, in bytes.
    pub wal_retained: Option<(u64, u64)>,
    /// What the numbers rest on, a sentence each.
    pub assumptions: Vec<String>,
}

/// A table among the largest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopTable {
    /// `schema.table`.
    pub name: String,
    /// Rows, as the last `analyze` estimated them; nothing if there was none.
    pub rows: Option<u64>,
    /// The rows themselves, in bytes.
    pub heap_bytes: u64,
    /// Large values, in bytes.
    pub toast_bytes: u64,
    /// Indexes, in bytes.
    pub index_bytes: u64,
}

/// A sequence of which much is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedSequence {
    /// `schema.sequence`.
    pub name: String,
    /// How much is used up, in percent.
    pub percent: u32,
    /// Its last value.
    pub last_value: String,
    /// Its end: that of the sequence, or of the column that takes its values.
    pub max_value: String,
}

/// What there is to move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Kinds of objects and how many there are, the most telling first.
    pub objects: Vec<(String, u64)>,
    /// The largest tables.
    pub top_tables: Vec<TopTable>,
    /// Sequences near their end.
    pub sequences: Vec<UsedSequence>,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What is done, in a few words.
    pub title: String,
    /// A sentence or two.
    pub sentence: String,
    /// The command, if there is one.
    pub command: Option<String>,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkup {
    /// The version of this program.
    pub version: String,
    /// When it looked.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The source.
    pub source: Database,
    /// The target, if one was given or assumed.
    pub target: Option<Database>,
    /// The five that come first.
    pub headlines: Vec<Headline>,
    /// Every check, in the order of the families.
    pub outcomes: Vec<Outcome>,
    /// Which ways are open.
    pub ways: Vec<Way>,
    /// How long it would take.
    pub estimate: Option<Estimate>,
    /// What there is to move; nothing if it could not be listed.
    pub holdings: Option<Holdings>,
    /// What to do next.
    pub plan: Vec<PlanStep>,
}

impl Checkup {
    /// The findings of a severity, in the order of the checks. What was not evaluated is not among them.
    pub fn findings(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        let found = self.outcomes.iter().filter(|outcome| outcome.status == Status::Found);
        found.flat_map(|outcome| &outcome.findings).filter(move |finding| finding.severity == severity)
    }

    /// The findings of checks that could not look.
    pub fn not_evaluated(&self) -> impl Iterator<Item = &Finding> {
        self.outcomes.iter().filter(|outcome| outcome.status == Status::NotEvaluated).flat_map(|outcome| &outcome.findings)
    }

    /// How many checks ended in a way.
    pub fn count(&self, status: Status) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.status == status).count()
    }

    /// What the report lacks because an end refused to tell, a sentence each.
    pub fn gaps(&self) -> Vec<&'static str> {
        let mut gaps = Vec::new();
        if self.estimate.is_none() && self.target.as_ref().is_some_and(|target| !target.assumed) {
            gaps.push("The time that a copy would take was not reckoned: an end refused what measuring takes, or took too long.");
        }
        if self.holdings.is_none() {
            gaps.push("What there is to move is not listed: the source refused to tell, or took too long.");
        }
        gaps
    }

    /// Whether anything stands in the way.
    pub fn is_blocked(&self) -> bool {
        self.findings(Severity::Blocker).next().is_some()
    }
}
