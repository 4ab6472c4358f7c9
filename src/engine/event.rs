//! Everything that happens, as durable events. `View` is a fold over them; the JSON contract is their serialised form.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::phase::Phase;
use super::report::{Exit, Report};

/// The number of an event within its migration, from 1, without gaps.
pub type EventIndex = u64;

/// One durable event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number within the migration.
    pub index: EventIndex,
    /// When it was recorded.
    pub at: jiff::Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The number that stands for one table in events and progress: its oid on the source.
pub type TableId = u32;

/// A table as the plan sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTable {
    /// Its number.
    pub id: TableId,
    /// Its name, quoted where needed, as `schema.table`.
    pub name: String,
    /// Estimated number of rows.
    pub rows_estimate: u64,
    /// Size of its rows on the source's disk, TOAST included, in bytes.
    pub bytes_estimate: u64,
    /// How many ranges it is copied in.
    pub parts: u32,
    /// `binary` or `text`.
    pub format: String,
    /// How many indexes and constraints are built on it afterwards.
    pub indexes: u32,
}

/// Where a table is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// Nothing was done yet.
    Pending,
    /// Rows are on their way.
    Copying,
    /// All rows are committed on the target.
    Copied,
    /// It could not be copied.
    Failed,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Equal.
    Match,
    /// Different.
    Mismatch,
    /// Changing faster than it could be compared.
    Hot,
    /// It could not be, or was not to be, compared.
    NotEvaluated,
}

/// The result of comparing one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVerdict {
    /// The table.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// What was found.
    pub verdict: Verdict,
    /// How it was compared: `counts`, `hash` or `strict`; `none` if it was not.
    pub method: String,
    /// Rows on the source.
    pub source_rows: u64,
    /// Rows on the target.
    pub target_rows: u64,
    /// Keys of rows that differ, as `missing (id)=(5)`, at most 20. They are shown, and never stored in the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// Why it was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Success,
    /// Done, with something to know.
    Warning,
    /// Not needed, or done by an earlier run.
    Skipped,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A process began to work on the migration: for the first time, or again.
    RunStarted {
        /// `copy`, `verify`, ….
        command: String,
        /// The version of this program.
        version: String,
        /// The process.
        pid: u32,
        /// The source without secrets, as `user@host:port/database`.
        source: String,
        /// The target without secrets.
        target: String,
    },
    /// A migration begins, or begins again: nothing that earlier runs did counts. Comes before `RunStarted`.
    BegunAnew,
    /// A phase began.
    PhaseStarted {
        /// The phase.
        phase: Phase,
    },
    /// A phase ended.
    PhaseFinished {
        /// The phase.
        phase: Phase,
    },
    /// A step began.
    StepStarted {
        /// Its stable id, such as `schema.dump`.
        step: String,
        /// The phase that it belongs to.
        phase: Phase,
        /// What it does, in words.
        title: String,
    },
    /// A step ended.
    StepFinished {
        /// Its id.
        step: String,
        /// How it ended.
        outcome: Outcome,
        /// What came of it, in one sentence; empty where there is nothing to say.
        message: String,
    },
    /// A step failed.
    StepFailed {
        /// Its id.
        step: String,
        /// Why.
        report: Report,
    },
    /// Something failed in a way that may pass; it is tried again.
    Retrying {
        /// What is tried again.
        what: String,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// How many there are at most.
        attempts_max: u32,
        /// How long until the next one.
        delay_ms: u64,
        /// Why it failed.
        reason: String,
    },
    /// A check found something.
    FindingRaised {
        /// What it found.
        finding: Finding,
    },
    /// The plan was made.
    PlanMade {
        /// The tables, in the order in which they are begun.
        tables: Vec<PlannedTable>,
        /// How many indexes, constraints and other objects follow the data.
        post_data: u64,
        /// How many connections work at once on each side.
        jobs: u32,
    },
    /// A consistent snapshot of the source was taken.
    SnapshotTaken {
        /// Which one, from 1; a lost snapshot is followed by another.
        generation: u32,
        /// The position of the source's WAL after it was taken.
        lsn: String,
    },
    /// The snapshot was given up: the source's vacuum is free again.
    SnapshotReleased {
        /// Which one.
        generation: u32,
    },
    /// A table changed its state.
    Table {
        /// The table.
        id: TableId,
        /// Its new state.
        state: TableState,
        /// Rows copied; set with [`TableState::Copied`].
        rows: u64,
        /// Bytes copied; set with [`TableState::Copied`].
        bytes: u64,
    },
    /// An index, constraint or other object that follows the data began to be built.
    BuildStarted {
        /// Its number.
        id: u32,
        /// `INDEX`, `FK CONSTRAINT`, ….
        kind: String,
        /// Its name.
        name: String,
    },
    /// Objects that follow the data were built.
    BuildFinished {
        /// Their numbers.
        ids: Vec<u32>,
    },
    /// An object of the source is not on the target, on purpose or because the target refused it.
    LeftOut {
        /// `EXTENSION`, `TABLE`, `COMMENT`, ….
        kind: String,
        /// Its name.
        name: String,
        /// Why, in one sentence.
        reason: String,
    },
    /// A table was compared.
    TableVerified {
        /// The result.
        result: TableVerdict,
    },
    /// The inventories were compared.
    InventoryCompared {
        /// How many objects there are on the source.
        objects: u64,
        /// The differences, each a sentence.
        differences: Vec<String>,
        /// The differences that were announced beforehand, each a sentence with its reason.
        explained: Vec<String>,
        /// What was not compared, each a sentence with its reason.
        #[serde(default)]
        not_compared: Vec<String>,
    },
    /// Something that people should read, and that is no error.
    Notice {
        /// The sentence.
        message: String,
        /// Whether it deserves attention.
        warning: bool,
    },
    /// The process stopped working on the migration.
    RunFinished {
        /// How.
        exit: Exit,
        /// Why, unless it is done.
        report: Option<Report>,
    },
}
