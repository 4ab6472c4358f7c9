//! One line for each thing worth saying, for logs and for whatever is no terminal. The lines have no time: loggers add their own.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::event::{Event, EventKind, Outcome, TableState, TableVerdict, Verdict};
use crate::engine::finding::Severity;
use crate::engine::phase::Phase;
use crate::engine::view::{TableView, View, milliseconds};
use crate::show::conclusion::phase_time;
use crate::show::numbers::{bytes, clean, count, duration, eta, number, percent, rate};
use crate::show::phases;

use super::report;
use super::text::{Line, Paint, labelled};

/// How often the counts are said while nothing else is.
const COUNTS_EVERY: Duration = Duration::from_secs(5);
/// In a plan of at most so many tables, each is worth a line.
const NAMED_MAX: usize = 20;
/// Lines of a log are not wrapped.
const WIDTH: usize = usize::MAX;

/// Turns events into lines.
#[derive(Debug, Default)]
pub struct Plain {
    counted_at: Option<Timestamp>,
    counted: String,
    /// The size of the whole plan, in bytes.
    whole: Option<u64>,
}

impl Plain {
    /// What is worth saying about an event; `view` has it applied.
    pub fn event(&mut self, event: &Event, view: &View) -> Vec<Line> {
        match &event.kind {
            EventKind::RunStarted { command, version, source, target, .. } => {
                let verb = if view.runs > 1 && !view.steps.is_empty() { "goes on with" } else { "begins" };
                vec![Line::new(format!("neon-migrate {version} {verb} {command}: from {source} to {target}."))]
            }
            EventKind::PhaseStarted { phase } => vec![Line::default().add(Paint::Bold, format!("{}.", phase.title()))],
            EventKind::PhaseFinished { phase } => vec![finished(*phase, view)],
            EventKind::PlanMade { tables, post_data, jobs } => {
                let size = tables.iter().map(|table| table.bytes_estimate).sum();
                self.whole = Some(size);
                vec![plan(tables.len(), size, *post_data, *jobs)]
            }
            EventKind::Table { id, state: TableState::Copied, rows, bytes: size } => {
                let table = view.table(*id).filter(|table| self.is_named(table, view));
                table.map(|table| copied(table, *rows, *size)).into_iter().collect()
            }
            EventKind::TableVerified { result } if result.verdict != Verdict::Match => vec![verified(result)],
            kind => common(kind, view, WIDTH),
        }
    }

    /// How far it is, if it is time to say so again and there is news.
    pub fn tick(&mut self, view: &View, now: Timestamp) -> Vec<Line> {
        let since = self.counted_at.map_or(Duration::ZERO, |at| Duration::from_millis(milliseconds(at, now)));
        if self.counted_at.is_some() && since < COUNTS_EVERY {
            return Vec::new();
        }
        let first = self.counted_at.is_none();
        self.counted_at = Some(now);
        let counts = counts(view);
        if first || counts.is_empty() || counts == self.counted {
            return Vec::new();
        }
        self.counted.clone_from(&counts);
        vec![Line::new(format!("  {counts}."))]
    }

    /// Whether a table is worth a line of its own.
    fn is_named(&mut self, table: &TableView, view: &View) -> bool {
        let size = table.planned.bytes_estimate;
        let whole = *self.whole.get_or_insert_with(|| view.tables.iter().map(|table| table.planned.bytes_estimate).sum());
        view.tables.len() <= NAMED_MAX || (size > 1 << 20 && size >= whole / 50)
    }
}

/// The plan in one line.
pub fn plan(tables: usize, size: u64, post_data: u64, jobs: u32) -> Line {
    let tables = count(tables as u64, "table", "tables");
    let objects = count(post_data, "object", "objects");
    let jobs = count(u64::from(jobs), "connection", "connections");
    Line::new(format!("  Plan: {tables}, about {}, then {objects} that follow the data; {jobs} on each side.", bytes(size)))
}

fn copied(table: &TableView, rows: u64, size: u64) -> Line {
    Line::new(format!("  {} is copied: {}, {}.", table.planned.name, count(rows, "row", "rows"), bytes(size)))
}

fn verified(result: &TableVerdict) -> Line {
    let line = Line::new("  ");
    let why = result.reason.as_deref().map_or_else(|| ".".to_owned(), |reason| format!(": {reason}"));
    match result.verdict {
        Verdict::Match => line.text(format!("{} is equal.", result.name)),
        Verdict::Mismatch => line.add(Paint::Bad, "different").text(format!(
            " {}: {} on the source, {} on the target.",
            result.name,
            count(result.source_rows, "row", "rows"),
            count(result.target_rows, "row", "rows")
        )),
        Verdict::Hot => line.add(Paint::Warn, "still changing").text(format!(" {}{why}", result.name)),
        Verdict::NotEvaluated => line.add(Paint::Warn, "not compared").text(format!(" {}{why}", result.name)),
    }
}

fn finished(phase: Phase, view: &View) -> Line {
    let took = phase_time(view, phase)
        .filter(|_| phase != Phase::Preflight)
        .map_or_else(String::new, |time| format!(" in {}", duration(time)));
    let result = phases::result(phase, view);
    let result = if result.is_empty() { result } else { format!(": {result}") };
    Line::new(phase.title()).text(": ").add(Paint::Good, "done").text(format!("{took}{result}."))
}

/// The lines that plain text and the terminal have in common: what people should know beside the phases.
pub fn common(kind: &EventKind, view: &View, width: usize) -> Vec<Line> {
    let said = |paint, label: &str, text: &str| labelled((paint, &format!("  {label} ")), text, width);
    let title = |id: &str| view.steps.iter().rev().find(|step| step.id == *id).map_or(id.to_owned(), |step| step.title.clone());
    match kind {
        EventKind::StepFinished { step, outcome, message } if !message.is_empty() && *outcome != Outcome::Skipped => {
            let paint = if *outcome == Outcome::Warning { Paint::Warn } else { Paint::Plain };
            said(paint, &format!("{}:", title(step)), message)
        }
        EventKind::StepFailed { step, report } => said(Paint::Bad, "failed", &format!("{}: {}", title(step), report.message)),
        EventKind::Retrying { what, attempt, attempts_max, delay_ms, reason } => {
            let delay = duration(Duration::from_millis(*delay_ms));
            said(Paint::Warn, "trying again", &format!("{what} (attempt {attempt} of {attempts_max}) in {delay}: {reason}"))
        }
        EventKind::FindingRaised { finding } => {
            report::finding(finding, width.saturating_sub(2)).into_iter().map(|line| Line::new("  ").join(line)).collect()
        }
        EventKind::LeftOut { kind, name, reason } => said(Paint::Warn, "left out", &format!("{kind} {}: {reason}", clean(name))),
        EventKind::Notice { message, warning: true } => said(Paint::Warn, "warning", message),
        EventKind::Notice { message, warning: false } => labelled((Paint::Plain, "  "), message, width),
        _ => Vec::new(),
    }
}

/// Whether an event is worth a line even for those who asked for quiet.
pub fn needs_attention(kind: &EventKind) -> bool {
    match kind {
        EventKind::StepFinished { outcome, .. } => *outcome == Outcome::Warning,
        EventKind::FindingRaised { finding } => finding.severity > Severity::Note,
        EventKind::Notice { warning, .. } => *warning,
        EventKind::StepFailed { .. } | EventKind::Retrying { .. } | EventKind::LeftOut { .. } => true,
        _ => false,
    }
}

/// How far the phases under way are, in one line; empty where there is nothing to count.
fn counts(view: &View) -> String {
    let mut parts = Vec::new();
    for phase in view.phases_running() {
        match phase.phase {
            Phase::Copy => parts.push(copy_counts(view)),
            Phase::Index if view.builds.total > 0 => {
                parts.push(format!("{} of {} objects built", number(view.builds.finished), number(view.builds.total)));
            }
            Phase::Verify => {
                parts.push(format!("{} compared", super::term::compared_of(view)));
            }
            _ => (),
        }
    }
    parts.join("; ")
}

fn copy_counts(view: &View) -> String {
    let (rows, size) = view.copied();
    let (done, total) = (number(view.tables_copied() as u64), count(view.tables.len() as u64, "table", "tables"));
    let mut text = format!("{done} of {total} copied, {}, {}", count(rows, "row", "rows"), bytes(size));
    if let Some(progress) = &view.progress {
        if let Some(fraction) = progress.fraction {
            text.push_str(&format!(", {}", percent(fraction).trim()));
        }
        if let Some(speed) = progress.bytes_per_second {
            text.push_str(&format!(", {}", rate(speed)));
        }
        if let Some(band) = progress.eta_seconds {
            text.push_str(&format!(", {}", eta(band)));
        }
    }
    text
}
