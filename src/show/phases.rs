//! The phases of a run in words.

use super::numbers::{bytes, count, number};
use crate::engine::finding::Severity;
use crate::engine::phase::Phase;
use crate::engine::view::View;

/// What came of a phase, in a few words; empty where there is nothing to count.
pub fn result(phase: Phase, view: &View) -> String {
    match phase {
        Phase::Preflight => match (view.findings_of(Severity::Blocker), view.findings_of(Severity::Warning)) {
            (0, 0) => String::new(),
            (0, warnings) => count(warnings as u64, "warning", "warnings"),
            (blockers, _) => count(blockers as u64, "blocker", "blockers"),
        },
        Phase::Copy => {
            let (rows, size) = view.copied();
            format!("{}, {}", count(rows, "row", "rows"), bytes(size))
        }
        Phase::Index => count(view.builds.finished, "object", "objects"),
        Phase::Verify => {
            let counts = view.verdict_counts();
            match counts.total() {
                0 => String::new(),
                total => format!("{} of {} equal", number(counts.matching), count(total, "table", "tables")),
            }
        }
        _ => String::new(),
    }
}
