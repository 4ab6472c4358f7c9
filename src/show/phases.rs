//! The phases of a run in words.

use super::numbers::{bytes, count, number};
use crate::engine::finding::Severity;
use crate::engine::phase::Phase;
use crate::engine::view::View;

/// The sentence of the moment: the phases under way.
pub fn sentence(view: &View) -> String {
    let title = |phase: Phase| match phase {
        // Indexes are built while rows travel, and may take longer.
        Phase::Copy if !is_copying(view) => "Building indexes",
        Phase::Copy if !view.builds.running.is_empty() && view.phase(Phase::Index).is_none() => {
            "Copying the data, building indexes"
        }
        phase => phase.title(),
    };
    let mut titles: Vec<&str> = view.phases_running().map(|view| title(view.phase)).collect();
    let lowered: Vec<String> = titles.iter().skip(1).map(|title| title.to_lowercase()).collect();
    titles.truncate(1);
    titles.extend(lowered.iter().map(String::as_str));
    if titles.is_empty() { "Starting".to_owned() } else { titles.join(", ") }
}

/// Whether rows are still on their way, or are about to be.
pub fn is_copying(view: &View) -> bool {
    view.tables.is_empty() || view.tables_copied() < view.tables.len()
}

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
