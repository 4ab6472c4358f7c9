//! What a person is told when something stops: one text, rendered by the terminal, the page and JSON alike.

use serde::{Deserialize, Serialize};

/// How the process ends. The numbers are a public contract (`docs/guide/exit-codes.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// 0: everything that was asked for was done.
    Done,
    /// 1: a fault of this program.
    Bug,
    /// 2: the command line was not understood.
    Usage,
    /// 3: a check found something that must be mended first; nothing was written.
    Blockers,
    /// 4: the two sides differ.
    Mismatch,
    /// 5: stopped on the way; the same command goes on from here.
    Paused,
    /// 6: the source refused or failed.
    Source,
    /// 7: the target refused or failed.
    Target,
    /// 8: another process works on this migration, or its state was written by a newer version.
    State,
    /// 9: the Neon API refused or failed.
    NeonApi,
    /// 130: interrupted from the keyboard.
    Interrupted,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Bug => 1,
            Exit::Usage => 2,
            Exit::Blockers => 3,
            Exit::Mismatch => 4,
            Exit::Paused => 5,
            Exit::Source => 6,
            Exit::Target => 7,
            Exit::State => 8,
            Exit::NeonApi => 9,
            Exit::Interrupted => 130,
        }
    }
}

/// An error as a person reads it: what happened, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// A stable code such as `target-not-empty`, the anchor in `docs/guide/errors.md`.
    pub code: String,
    /// What happened, in one sentence.
    pub message: String,
    /// Why: the chain of causes, outermost first, each a sentence.
    pub causes: Vec<String>,
    /// What to do, with the exact command or SQL where there is one.
    pub fix: Option<String>,
    /// How the process ends because of it.
    pub exit: Exit,
}

impl Report {
    /// A report with no causes and no fix.
    pub fn new(code: &str, exit: Exit, message: impl Into<String>) -> Self {
        Report { code: code.to_owned(), message: message.into(), causes: Vec::new(), fix: None, exit }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds one cause.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
}
