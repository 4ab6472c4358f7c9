//! What a check says about a source or a target.

use serde::{Deserialize, Serialize};

/// How much a finding matters. The order is from light to heavy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something will be different, or may go wrong.
    Warning,
    /// The migration cannot start.
    Blocker,
}

/// One result of one check, in words that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A stable code such as `A3` or `C6`, the anchor in `docs/guide/findings.md`.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// How much it matters when live replication is wanted, if that is the only thing that it stands in the way of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_live: Option<Severity>,
    /// What it is about: `source`, `target`, or an object's name.
    pub subject: String,
    /// What was found, in one sentence.
    pub sentence: String,
    /// Why it matters.
    pub why: String,
    /// What to do, in words and, where there is one, the SQL or the command.
    pub fix: Option<String>,
    /// The affected objects, at most [`Finding::OBJECTS_MAX`] of them.
    pub objects: Vec<String>,
    /// How many objects are affected in all.
    pub objects_total: u64,
}

impl Finding {
    /// How many affected objects a finding carries by name.
    pub const OBJECTS_MAX: usize = 20;

    /// A finding with no objects and no fix.
    pub fn new(code: &str, severity: Severity, subject: &str, sentence: String, why: &str) -> Self {
        Finding {
            code: code.to_owned(),
            severity,
            if_live: None,
            subject: subject.to_owned(),
            sentence,
            why: why.to_owned(),
            fix: None,
            objects: Vec::new(),
            objects_total: 0,
        }
    }

    /// How the sentence of a check that could not look begins.
    const NOT_EVALUATED: &str = "Not evaluated: ";

    /// The finding of a check that could not look. It is a warning, and never counts as passed.
    pub fn not_evaluated(code: &str, subject: &str, reason: &str) -> Self {
        let why = "What could not be looked at may be in order or not.";
        Finding::new(code, Severity::Warning, subject, format!("{}{reason}", Self::NOT_EVALUATED), why)
    }

    /// Whether it says that a check could not look.
    pub fn is_not_evaluated(&self) -> bool {
        self.sentence.starts_with(Self::NOT_EVALUATED)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds the affected objects; the first [`Finding::OBJECTS_MAX`] are kept by name, all are counted.
    #[must_use]
    pub fn with_objects(mut self, objects: Vec<String>) -> Self {
        self.objects_total = objects.len() as u64;
        self.objects = objects;
        self.objects.truncate(Self::OBJECTS_MAX);
        self
    }
}
