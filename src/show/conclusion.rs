//! How a migration ended, in one sentence, and what of it the terminal, the page and a report say alike.

use std::time::Duration;

use super::numbers::{count, number};
use crate::engine::event::{TableVerdict, Verdict};
use crate::engine::phase::Phase;
use crate::engine::report::Exit;
use crate::engine::view::{View, milliseconds};

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad.
    Plain,
    /// All is well.
    Good,
    /// Something to look at.
    Attention,
    /// Something is wrong.
    Bad,
}

/// The answer to the question that the reader has: is everything there, and are the rows equal?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// How good it is.
    pub tone: Tone,
    /// The answer.
    pub sentence: String,
    /// A further sentence; empty where there is none.
    pub more: &'static str,
}

/// Whether the last run only made a plan.
pub fn is_dry_run(view: &View) -> bool {
    let ended_well = view.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Done);
    ended_well && view.run.as_ref().is_some_and(|run| run.command == "copy") && view.phase(Phase::Copy).is_none()
}

/// What came of a run that ended with `exit`.
pub fn conclusion(view: &View, exit: Exit) -> Conclusion {
    let counts = view.verdict_counts();
    let differences = view.inventory.as_ref().map_or(0, |inventory| inventory.differences.len());
    let rows_equal = counts.total() > 0 && counts.matching == counts.total();
    let told = |tone, sentence: &str| Conclusion { tone, sentence: sentence.to_owned(), more: "" };
    match exit {
        Exit::Done if is_dry_run(view) => {
            Conclusion { more: "This is the plan; nothing was written.", ..told(Tone::Good, "Nothing stands in the way.") }
        }
        Exit::Done if counts.total() == 0 => told(Tone::Attention, "Done; the rows were not compared."),
        Exit::Done if rows_equal && view.left_out.is_empty() => {
            told(Tone::Good, "Done. Everything is there, and all rows are equal.")
        }
        Exit::Done if rows_equal => {
            Conclusion { more: "What was left out is named below.", ..told(Tone::Good, "Done, and all rows are equal.") }
        }
        Exit::Done => told(Tone::Attention, "Done, but not everything could be compared."),
        Exit::Mismatch if counts.different > 0 => {
            told(Tone::Bad, &format!("Rows differ in {}.", count(counts.different, "table", "tables")))
        }
        Exit::Mismatch if rows_equal => {
            let differ = if differences == 1 {
                "1 object differs".to_owned()
            } else {
                format!("{} objects differ", number(differences as u64))
            };
            told(Tone::Attention, &format!("All rows are equal, but {differ}."))
        }
        Exit::Mismatch => told(Tone::Bad, "The two sides differ."),
        Exit::Paused | Exit::Interrupted => told(Tone::Attention, "Stopped on the way; what is finished is kept."),
        _ => told(Tone::Bad, "Failed."),
    }
}

/// What differs in a table, in words.
pub fn difference(result: &TableVerdict) -> String {
    let (source, target) = (number(result.source_rows), number(result.target_rows));
    if result.source_rows == result.target_rows {
        format!("{}: {source} rows on both sides, and some differ", result.name)
    } else {
        format!("{}: {source} rows on the source, {target} on the target", result.name)
    }
}

/// How the equal tables were compared, in words.
pub fn methods(view: &View) -> String {
    let matching = || view.verdicts().filter(|result| result.verdict == Verdict::Match);
    let mut methods: Vec<&str> = matching().map(|result| result.method.as_str()).collect();
    methods.sort_unstable();
    methods.dedup();
    let words: Vec<String> = methods
        .iter()
        .map(|method| match *method {
            "counts" => "row counts only".to_owned(),
            "hash" => "record hash".to_owned(),
            "strict" => "hash of every value's text".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    if words.is_empty() { String::new() } else { format!(", by {}", words.join(" and ")) }
}

/// How long a finished phase took.
pub fn phase_time(view: &View, phase: Phase) -> Option<Duration> {
    let phase = view.phase(phase)?;
    Some(Duration::from_millis(milliseconds(phase.started_at, phase.finished_at?)))
}
