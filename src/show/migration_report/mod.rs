//! The report of a whole migration as a file of its own: HTML with nothing to load, Markdown, and JSON. What it says is decided once, in this
//! module; the forms only lay it out.

mod html;
mod markdown;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::conclusion::{Conclusion, Tone, conclusion, difference, methods};
use super::form::Form;
use super::numbers::{bytes, count, duration, mean_rate, number};
use super::phases;
use crate::engine::event::{TableState, TableVerdict, Verdict};
use crate::engine::phase::Phase;
use crate::engine::report::Report;
use crate::engine::view::{Inventory, State, View, milliseconds};

/// A migration as it is reported.
#[derive(Debug, Clone, Copy)]
pub struct MigrationReport<'a> {
    /// The name of its directory, by which `status` and `report` find it.
    pub name: &'a str,
    /// What is known.
    pub view: &'a View,
    /// Whether a process works on it.
    pub running: bool,
    /// When the report is made.
    pub at: Timestamp,
}

/// A line about a phase or a step.
struct Stage {
    title: String,
    state: &'static str,
    class: &'static str,
    began: String,
    took: String,
    result: String,
}

/// A line about a table.
struct Row<'a> {
    name: &'a str,
    rows: String,
    bytes: String,
    state: &'static str,
    verdict: String,
    class: &'static str,
    /// What is written first: what has to be looked at, then what is large.
    order: (u8, std::cmp::Reverse<u64>),
}

impl MigrationReport<'_> {
    /// The report in a form.
    ///
    /// # Errors
    /// A fault of this program.
    pub fn write(&self, form: Form) -> Result<String, Report> {
        match form {
            Form::Html => html::html(self),
            Form::Markdown => Ok(markdown::markdown(self)),
            Form::Json => Ok(self.json() + "\n"),
        }
    }

    /// The report as one JSON object (`docs/guide/json.md`).
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            event: &'static str,
            version: &'static str,
            at: Timestamp,
            migration: &'a str,
            running: bool,
            conclusion: String,
            view: &'a View,
        }
        let conclusion = self.conclusion().sentence;
        let document = Document {
            event: "migration_report",
            version: VERSION,
            at: self.at,
            migration: self.name,
            running: self.running,
            conclusion,
            view: self.view,
        };
        // Everything in a view has a JSON form.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// What it is called, after the database that moves.
    fn title(&self) -> String {
        let run = self.view.run.as_ref();
        let what = if run.is_some_and(|run| run.command == "verify") { "The comparison" } else { "The migration" };
        // The labels of a recording name no database.
        match run.and_then(|run| run.source.rsplit_once('/')) {
            Some((_, database)) => format!("{what} of {database}"),
            None => what.to_owned(),
        }
    }

    /// How it stands or ended.
    fn conclusion(&self) -> Conclusion {
        let told = |tone, sentence: &str, more| Conclusion { tone, sentence: sentence.to_owned(), more };
        match &self.view.ended {
            _ if self.running => told(Tone::Attention, "It is under way; this report tells what was known when it was made.", ""),
            Some(ended) => conclusion(self.view, ended.exit),
            None if self.view.run.is_none() => told(Tone::Attention, "Nothing was done yet.", ""),
            None => told(
                Tone::Bad,
                "Its process was killed or crashed.",
                "What is finished is kept; the same command goes on from there.",
            ),
        }
    }

    /// Label and value, of what a reader wants to know first.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let view = self.view;
        let mut facts = Vec::new();
        if let Some(run) = &view.run {
            facts.push(("Source", run.source.clone()));
            facts.push(("Target", run.target.clone()));
            let runs = if view.runs > 1 { format!(", the last of {} runs", number(u64::from(view.runs))) } else { String::new() };
            facts.push(("Command", format!("{} by neon-migrate {}{runs}", run.command, run.version)));
            facts.push(("Began", moment(run.started_at)));
        }
        if let Some(ended) = &view.ended {
            facts.push(("Ended", moment(ended.at)));
        }
        if view.run.is_some() {
            let end = if self.running { self.at } else { view.at.unwrap_or(self.at) };
            facts.push(("Time", duration(view.elapsed(end))));
        }
        if let Some(snapshot) = &view.snapshot {
            facts.push(("Snapshot", format!("{}, taken {}", snapshot.lsn, moment(snapshot.taken_at))));
        }
        facts.extend(self.copied().map(|copied| ("Copied", copied)));
        facts.extend(self.compared().map(|compared| ("Compared", compared)));
        facts
    }

    fn copied(&self) -> Option<String> {
        let view = self.view;
        let total = view.tables.len() as u64;
        let copy = view.phase(Phase::Copy)?;
        let (rows, size) = view.copied();
        let mut text = format!(
            "{} of {}, {}, {}",
            number(view.tables_copied() as u64),
            count(total, "table", "tables"),
            count(rows, "row", "rows"),
            bytes(size)
        );
        // After an interruption the phase's time is that of its last run only.
        if let Some(finished) = copy.finished_at.filter(|_| view.runs <= 1) {
            let time = Duration::from_millis(milliseconds(copy.started_at, finished));
            text += &format!(" in {}", duration(time));
            text += &mean_rate(size, time).map(|rate| format!(" ({rate})")).unwrap_or_default();
        }
        Some(text)
    }

    fn compared(&self) -> Option<String> {
        let counts = self.view.verdict_counts();
        let total = counts.total().max(self.view.tables.len() as u64);
        let equal = format!("{} of {} equal", number(counts.matching), count(total, "table", "tables"));
        (total > 0).then(|| format!("{equal}{}", methods(self.view)))
    }

    fn phases(&self) -> Vec<Stage> {
        let phases = self.view.phases.iter();
        phases
            .map(|phase| {
                let (state, class) = self.state(phase.state);
                let result = if phase.state == State::Done { phases::result(phase.phase, self.view) } else { String::new() };
                let took = took(phase.started_at, phase.finished_at);
                Stage { title: phase.phase.title().to_owned(), state, class, began: moment(phase.started_at), took, result }
            })
            .collect()
    }

    fn steps(&self) -> Vec<Stage> {
        let steps = self.view.steps.iter();
        steps
            .map(|step| {
                let (state, class) = self.state(step.state);
                let took = took(step.started_at, step.finished_at);
                Stage {
                    title: step.title.clone(),
                    state,
                    class,
                    began: moment(step.started_at),
                    took,
                    result: step.message.clone(),
                }
            })
            .collect()
    }

    fn state(&self, state: State) -> (&'static str, &'static str) {
        match state {
            State::Running if self.running => ("under way", "note"),
            State::Running | State::Interrupted => ("interrupted", "warn"),
            State::Done => ("done", "good"),
            State::Warned => ("done, with something to know", "warn"),
            State::Skipped => ("not needed", "unknown"),
            State::Failed => ("failed", "bad"),
        }
    }

    /// Every table, what has to be looked at first.
    fn tables(&self) -> Vec<Row<'_>> {
        let planned = self.view.tables.iter().map(|table| {
            let (verdict, class, rank) = judged(table.verdict.as_ref());
            let state = match table.state {
                TableState::Pending => "not begun",
                TableState::Copying => "being copied",
                TableState::Copied => "copied",
                TableState::Failed => "failed",
            };
            let done = table.state == TableState::Copied;
            let amount = |n: u64, text: fn(u64) -> String| if done { text(n) } else { String::new() };
            let rank = if table.state == TableState::Failed { 0 } else { rank };
            Row {
                name: &table.planned.name,
                rows: amount(table.rows, number),
                bytes: amount(table.bytes, bytes),
                state,
                verdict,
                class,
                order: (rank, std::cmp::Reverse(table.bytes.max(table.planned.bytes_estimate))),
            }
        });
        let others = self.view.other_verdicts.iter().map(|result| {
            let (verdict, class, rank) = judged(Some(result));
            let order = (rank, std::cmp::Reverse(result.source_rows));
            Row {
                name: &result.name,
                rows: number(result.source_rows),
                bytes: String::new(),
                state: "not in the plan",
                verdict,
                class,
                order,
            }
        });
        let mut rows: Vec<Row<'_>> = planned.chain(others).collect();
        rows.sort_by_key(|row| row.order);
        rows
    }

    /// The comparison of the inventories in one sentence.
    fn objects(&self, inventory: &Inventory) -> String {
        let objects = count(inventory.objects, "object", "objects");
        match (inventory.differences.len() as u64, inventory.explained.len() as u64) {
            (0, 0) => format!("{objects} on the source, all of them are on the target as they were."),
            (0, known) => format!("{objects} on the source. {}, each for a reason that was announced.", differ(known)),
            (open, 0) => format!("{objects} on the source. {}, and nobody announced it.", differ(open)),
            (open, known) => format!(
                "{objects} on the source. {}, and nobody announced it; {} for a reason that was announced.",
                differ(open),
                differ(known)
            ),
        }
    }

    fn report(&self) -> Option<&Report> {
        self.view.ended.as_ref().and_then(|ended| ended.report.as_ref())
    }
}

/// The version that makes the report.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn differ(n: u64) -> String {
    if n == 1 { "1 differs".to_owned() } else { format!("{} differ", number(n)) }
}

/// What the comparison of a table found, how it looks, and how soon it is to be read.
fn judged(result: Option<&TableVerdict>) -> (String, &'static str, u8) {
    let Some(result) = result else { return ("not compared".to_owned(), "unknown", 3) };
    let because = |words: &str| result.reason.as_ref().map_or_else(|| words.to_owned(), |reason| format!("{words}: {reason}"));
    match result.verdict {
        Verdict::Match => ("equal".to_owned(), "good", 4),
        Verdict::Mismatch => {
            let name = format!("{}: ", result.name);
            let words = difference(result);
            (format!("different: {}", words.strip_prefix(&name).unwrap_or(&words)), "bad", 0)
        }
        Verdict::Hot => (because("changed faster than it could be compared"), "warn", 1),
        Verdict::NotEvaluated => (because("not compared"), "unknown", 2),
    }
}

fn took(from: Timestamp, to: Option<Timestamp>) -> String {
    to.map_or_else(String::new, |to| duration(Duration::from_millis(milliseconds(from, to))))
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The words of a fix, and what is to be pasted.
fn parted(fix: &str) -> (&str, &str) {
    fix.split_once('\n').unwrap_or((fix, ""))
}

#[cfg(test)]
mod tests;
