//! What a check found, for people at a terminal and for programs.

use std::path::PathBuf;

use super::report::finding;
use super::term_width;
use super::text::{Line, Paint, advice, labelled, wrap};
use crate::engine::checkup::{Checkup, Database, Estimate, Headline, Holdings, Open, Outcome, Standing, Status, Way, WayKind};
use crate::engine::finding::{Finding, Severity};
use crate::show::checkup_file::{self, estimate_words};
use crate::show::numbers::{bytes, count, number};

/// How many items of a list are shown before the rest is counted.
const ITEMS: usize = 12;
/// How many tables.
const TABLES: usize = 10;

/// Prints the report as one line of JSON.
pub fn print_json(checkup: &Checkup) {
    anstream::println!("{}", checkup_file::json(checkup));
}

/// Prints the report; quietly, only what must be mended and what could not be looked at.
pub fn print(checkup: &Checkup, quiet: bool, files: &[PathBuf]) {
    let width = term_width();
    for line in if quiet { short(checkup, width) } else { lines(checkup, width) } {
        anstream::println!("{line}");
    }
    for file in files {
        anstream::println!("{}", Line::new("The report was written to ").text(file.display()).text("."));
    }
}

/// Prints what a code means.
pub fn print_explanation(code: &str, title: &str, text: &str) {
    anstream::println!("{}", Line::default().add(Paint::Bold, format!("{code}  {title}")));
    for paragraph in text.split("\n\n") {
        for line in wrap(&paragraph.replace('\n', " "), term_width().min(100)) {
            anstream::println!("{}", Line::new(line));
        }
        anstream::println!();
    }
}

fn short(checkup: &Checkup, width: usize) -> Vec<Line> {
    let heavy = checkup.findings(Severity::Blocker).chain(checkup.not_evaluated());
    let mut lines: Vec<Line> = heavy.flat_map(|one| finding(one, width)).collect();
    lines.push(totals(checkup));
    lines
}

/// The whole report.
pub fn lines(checkup: &Checkup, width: usize) -> Vec<Line> {
    let mut lines = ends(checkup, width);
    lines.push(Line::default());
    lines.extend(checkup.headlines.iter().flat_map(|one| headline(one, width)));
    for (severity, title) in [(Severity::Blocker, "Blockers"), (Severity::Warning, "Warnings"), (Severity::Note, "Notes")] {
        lines.extend(section(title, checkup.findings(severity).flat_map(|one| spaced(one, width)).collect()));
    }
    lines.extend(section("Not evaluated", checkup.not_evaluated().flat_map(|one| spaced(one, width)).collect()));
    lines.extend(section("Which ways are open", ways(&checkup.ways, width)));
    if let Some(estimate) = &checkup.estimate {
        lines.extend(section("How long it would take", estimate_lines(estimate, width)));
    }
    if let Some(holdings) = &checkup.holdings {
        lines.extend(section("What there is", holdings_lines(holdings, width)));
    }
    lines.extend(section("Not told", checkup.gaps().iter().flat_map(|gap| labelled((Paint::Warn, "  ! "), gap, width)).collect()));
    lines.extend(section("What next", plan(checkup, width)));
    lines.push(Line::default());
    lines.push(totals(checkup));
    lines
}

fn section(title: &str, content: Vec<Line>) -> Vec<Line> {
    if content.is_empty() {
        return content;
    }
    let mut lines = vec![Line::default(), Line::default().add(Paint::Bold, title)];
    lines.extend(content);
    // What ends with a blank line is followed by another section, which begins with one.
    if lines.last().is_some_and(|last| last.width() == 0) {
        lines.pop();
    }
    lines
}

fn spaced(one: &Finding, width: usize) -> Vec<Line> {
    let mut lines = finding(one, width);
    lines.push(Line::default());
    lines
}

fn ends(checkup: &Checkup, width: usize) -> Vec<Line> {
    let mut lines = end("Source  ", &checkup.source, width);
    if let Some(target) = &checkup.target {
        lines.extend(end("Target  ", target, width));
    }
    lines
}

fn end(label: &str, end: &Database, width: usize) -> Vec<Line> {
    let mut lines = labelled((Paint::Bold, label), &end.label, width);
    let region = end.region.as_ref().map(|region| format!(", {region}")).unwrap_or_default();
    let size = end.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    let words = format!("{}, {}{region}{size}", end.server, end.provider);
    lines.extend(labelled((Paint::Plain, &" ".repeat(label.len())), &words, width));
    lines
}

fn headline(one: &Headline, width: usize) -> Vec<Line> {
    const COLUMN: usize = 26;
    let (paint, mark) = standing(one.standing);
    let label = format!("  {mark} {:<width$}", one.title, width = COLUMN - 4);
    let mut lines = labelled((paint, &label), &one.sentence, width);
    let indent = " ".repeat(COLUMN);
    // A region has its list only for who has to choose one.
    for item in one.items.iter().take(ITEMS) {
        lines.extend(labelled((Paint::Dim, &format!("{indent}· ")), item, width));
    }
    let more = one.items.len().saturating_sub(ITEMS);
    if more > 0 {
        lines.push(Line::new(&indent).add(Paint::Dim, format!("and {}", count(more as u64, "more", "more"))));
    }
    if let Some(fix) = one.fix.as_ref().filter(|_| one.standing == Standing::Unknown) {
        lines.extend(advice(&format!("{indent}help: "), fix, width));
    }
    lines
}

fn standing(standing: Standing) -> (Paint, &'static str) {
    match standing {
        Standing::Good => (Paint::Good, "✓"),
        Standing::Attention => (Paint::Warn, "!"),
        Standing::Blocked => (Paint::Bad, "✗"),
        Standing::Unknown => (Paint::Dim, "?"),
    }
}

fn ways(ways: &[Way], width: usize) -> Vec<Line> {
    let kinds = [(WayKind::Move, "To move the data"), (WayKind::Fence, "To stop writes"), (WayKind::Rollback, "To go back")];
    let mut lines = Vec::new();
    for (kind, title) in kinds {
        lines.push(Line::new("  ").add(Paint::Dim, title));
        for way in ways.iter().filter(|way| way.kind == kind) {
            let (paint, mark) = match way.open {
                Open::Yes => (Paint::Good, "✓"),
                Open::No => (Paint::Bad, "✗"),
                Open::Unknown => (Paint::Dim, "?"),
            };
            lines.extend(labelled((paint, &format!("  {mark} ")), &way.title, width));
            lines.extend(way.reasons.iter().flat_map(|reason| labelled((Paint::Dim, "      "), reason, width)));
        }
    }
    lines
}

fn estimate_lines(estimate: &Estimate, width: usize) -> Vec<Line> {
    let words = estimate_words(estimate);
    let mut lines: Vec<Line> = words.iter().flat_map(|one| labelled((Paint::Plain, "  "), one, width)).collect();
    lines.extend(estimate.assumptions.iter().flat_map(|one| labelled((Paint::Dim, "  · "), one, width)));
    lines
}

fn holdings_lines(holdings: &Holdings, width: usize) -> Vec<Line> {
    let kinds: Vec<String> = holdings.objects.iter().map(|(kind, n)| format!("{} {kind}", number(*n))).collect();
    let mut lines = labelled((Paint::Plain, "  "), &format!("{}.", kinds.join(", ")), width);
    if !holdings.top_tables.is_empty() {
        let name_width = width.saturating_sub(46).clamp(20, 60);
        let head =
            format!("  {:<name_width$} {:>12} {:>9} {:>9} {:>9}", "The largest tables", "rows, about", "table", "large", "indexes");
        lines.push(Line::default().add(Paint::Dim, head));
        for table in holdings.top_tables.iter().take(TABLES) {
            let rows = table.rows.map_or_else(|| "?".to_owned(), number);
            let sizes = [table.heap_bytes, table.toast_bytes, table.index_bytes].map(bytes);
            let name = super::text::clip(&table.name, name_width);
            lines.push(
                Line::new("  ")
                    .text(name)
                    .pad_to(name_width + 2)
                    .text(format!(" {rows:>12} {:>9} {:>9} {:>9}", sizes[0], sizes[1], sizes[2])),
            );
        }
    }
    for sequence in holdings.sequences.iter().take(TABLES) {
        let words = format!(
            "The sequence {} is used up to {} % ({} of {}).",
            sequence.name, sequence.percent, sequence.last_value, sequence.max_value
        );
        lines.extend(labelled((Paint::Warn, "  ! "), &words, width));
    }
    lines
}

fn plan(checkup: &Checkup, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (place, step) in checkup.plan.iter().enumerate() {
        lines.extend(labelled((Paint::Bold, &format!("  {}. ", place + 1)), &format!("{}. {}", step.title, step.sentence), width));
        if let Some(command) = &step.command {
            lines.push(Line::new("       ").add(Paint::Good, command));
        }
    }
    lines
}

/// The last line, which says it all.
fn totals(checkup: &Checkup) -> Line {
    let of = |severity, one, many| count(checkup.findings(severity).count() as u64, one, many);
    let (paint, word) = if checkup.is_blocked() { (Paint::Bad, "Not ready: ") } else { (Paint::Good, "Ready: ") };
    let counted = |status| checkup.outcomes.iter().filter(move |outcome: &&Outcome| outcome.status == status).count();
    Line::default().add(paint, word).text(format!(
        "{}, {}, {}; {} passed, {} not evaluated.",
        of(Severity::Blocker, "blocker", "blockers"),
        of(Severity::Warning, "warning", "warnings"),
        of(Severity::Note, "note", "notes"),
        counted(Status::Passed),
        counted(Status::NotEvaluated),
    ))
}

#[cfg(test)]
mod tests;
