//! The order of a migration, said once.

use serde::{Deserialize, Serialize};

/// One phase of a migration. The order of the variants is the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Both ends are looked at; nothing is written.
    Preflight,
    /// A target is created.
    Provision,
    /// The definitions that the data needs are created on the target.
    Schema,
    /// Rows, large objects and sequence values are copied.
    Copy,
    /// Indexes, constraints, triggers and everything else that follows the data.
    Index,
    /// Changes of the source are applied to the target.
    Replicate,
    /// Both sides are compared.
    Verify,
    /// Traffic moves to the target.
    Cutover,
    /// What the migration made for itself is removed.
    Cleanup,
}

impl Phase {
    /// The words that people read, in the progressive form.
    pub fn title(self) -> &'static str {
        match self {
            Phase::Preflight => "Looking at both ends",
            Phase::Provision => "Creating the target",
            Phase::Schema => "Creating the schema",
            Phase::Copy => "Copying the data",
            Phase::Index => "Building indexes and constraints",
            Phase::Replicate => "Replicating",
            Phase::Verify => "Comparing both sides",
            Phase::Cutover => "Cutting over",
            Phase::Cleanup => "Cleaning up",
        }
    }
}
