//! The end of a run: what was copied, what was compared and found equal, and what is not on the target.

use jiff::Timestamp;

use crate::engine::event::{TableVerdict, Verdict};
use crate::engine::phase::Phase;
use crate::engine::view::View;
use crate::show::conclusion::{Tone, conclusion, difference, is_dry_run, methods, phase_time};
use crate::show::numbers::{bytes, clean, count, duration, mean_rate, number};

use super::text::{Line, Paint, wrap};

/// The column at which the values begin.
const COLUMN: usize = 16;
/// How many lines a list has at most; the rest is in `status --output json`.
const LIST_MAX: usize = 50;

/// The certificate of a run that has ended, or what there is of it; nothing if nothing was copied or compared.
pub fn certificate(view: &View, width: usize) -> Vec<Line> {
    let counts = view.verdict_counts();
    let (Some(run), Some(ended)) = (&view.run, &view.ended) else { return Vec::new() };
    if view.tables.is_empty() && counts.total() == 0 && view.inventory.is_none() {
        return Vec::new();
    }
    let mut page = Page { lines: Vec::new(), width };
    if is_dry_run(view) {
        plan(&mut page, view);
        return page.lines;
    }
    let told = conclusion(view, ended.exit);
    page.lines.push(
        Line::default().add(paint(told.tone), told.sentence).text(if told.more.is_empty() { "" } else { " " }).text(told.more),
    );
    compared(&mut page, view);
    inventory(&mut page, view);
    left_out(&mut page, view);
    copied(&mut page, view);
    page.row("Source", Line::new(&run.source));
    page.row("Target", Line::new(&run.target));
    if let Some(snapshot) = &view.snapshot {
        page.row("Snapshot", Line::new(format!("{}, taken {}", snapshot.lsn, moment(snapshot.taken_at))));
    }
    let runs = if view.runs > 1 { format!(" in {} runs", view.runs) } else { String::new() };
    page.row("Time", Line::new(format!("{}{runs}", duration(view.elapsed(ended.at)))));
    page.lines
}

/// The lines of the certificate, label and value.
struct Page {
    lines: Vec<Line>,
    width: usize,
}

impl Page {
    fn row(&mut self, label: &str, value: Line) {
        let head = Line::new("  ").add(Paint::Dim, label).pad_to(COLUMN);
        self.lines.push(head.join(value));
    }

    /// A list under a row: at most [`LIST_MAX`] of them, then how many more there are.
    fn list<'a>(&mut self, items: impl ExactSizeIterator<Item = (String, &'a str)>) {
        let more = items.len().saturating_sub(LIST_MAX);
        for (subject, sentence) in items.take(LIST_MAX) {
            let indent = " ".repeat(COLUMN + 2);
            let subject = clean(&subject);
            let text = if sentence.is_empty() { subject } else { format!("{subject}: {sentence}") };
            for (place, part) in wrap(&text, self.width.saturating_sub(COLUMN + 4).max(30)).into_iter().enumerate() {
                self.lines.push(Line::new(&indent).text(if place == 0 { "" } else { "  " }).text(part));
            }
        }
        if more > 0 {
            let rest = format!("and {} more: `neon-migrate status --output json` has them all", number(more as u64));
            self.lines.push(Line::new(" ".repeat(COLUMN + 2)).add(Paint::Dim, rest));
        }
    }
}

/// The end of a dry run: what would be done.
fn plan(page: &mut Page, view: &View) {
    page.lines.push(Line::default().add(Paint::Good, "Nothing stands in the way.").text(" This is the plan; nothing was written."));
    let size = view.tables.iter().map(|table| table.planned.bytes_estimate).sum();
    let jobs = count(u64::from(view.jobs), "connection", "connections");
    page.row("Tables", Line::new(format!("{}, about {}", count(view.tables.len() as u64, "table", "tables"), bytes(size))));
    page.list(view.tables.iter().map(|table| {
        let planned = &table.planned;
        let parts = if planned.parts > 1 { format!(", in {} parts", planned.parts) } else { String::new() };
        let rows = count(planned.rows_estimate, "row", "rows");
        (format!("{}: about {rows}, {}{parts}", planned.name, bytes(planned.bytes_estimate)), "")
    }));
    page.row("Then", Line::new(format!("{} that follow the data", count(view.builds.total, "object", "objects"))));
    page.row("With", Line::new(format!("{jobs} on each side")));
    left_out(page, view);
}

fn paint(tone: Tone) -> Paint {
    match tone {
        Tone::Good => Paint::Good,
        Tone::Attention => Paint::Warn,
        Tone::Bad => Paint::Bad,
    }
}

fn copied(page: &mut Page, view: &View) {
    if view.tables.is_empty() {
        return;
    }
    let (done, total) = (view.tables_copied(), view.tables.len());
    let (rows, size) = view.copied();
    let tables = if done == total {
        count(total as u64, "table", "tables")
    } else {
        format!("{} of {}", number(done as u64), count(total as u64, "table", "tables"))
    };
    let mut text = format!("{tables}, {}, {}", count(rows, "row", "rows"), bytes(size));
    // After an interruption the phase's time is that of its last run only, which says nothing about the speed of the whole.
    if view.runs <= 1
        && let Some(time) = phase_time(view, Phase::Copy)
    {
        text.push_str(&format!(" in {}", duration(time)));
        if let Some(rate) = mean_rate(size, time) {
            text.push_str(&format!(" ({rate})"));
        }
    }
    page.row("Copied", Line::new(text));
}

fn compared(page: &mut Page, view: &View) {
    let counts = view.verdict_counts();
    let total = counts.total().max(view.tables.len() as u64);
    if total == 0 {
        return;
    }
    let rows: u64 = view.verdicts().filter(|result| result.verdict == Verdict::Match).map(|result| result.source_rows).sum();
    let equal = format!("{} of {} equal, {}", number(counts.matching), count(total, "table", "tables"), count(rows, "row", "rows"));
    let paint = if counts.matching == total { Paint::Good } else { Paint::Warn };
    page.row("Rows", Line::default().add(paint, equal).text(methods(view)));

    let of = |verdict: Verdict| view.verdicts().filter(|result| result.verdict == verdict).collect::<Vec<_>>();
    let different = of(Verdict::Mismatch);
    if !different.is_empty() {
        page.row("Different", Line::default().add(Paint::Bad, count(different.len() as u64, "table", "tables")));
        for result in different.iter().take(LIST_MAX) {
            page.list(std::iter::once((difference(result), "")));
            page.list(result.differences.iter().map(|key| (format!("  {key}"), "")));
        }
        page.list(different.iter().skip(LIST_MAX).map(|result| (difference(result), "")));
    }
    let hot = of(Verdict::Hot);
    if !hot.is_empty() {
        page.row("Changing", Line::default().add(Paint::Warn, count(hot.len() as u64, "table", "tables")));
        page.list(hot.iter().map(|result| (result.name.clone(), reason(result, "It changed faster than it could be compared."))));
    }
    let not = of(Verdict::NotEvaluated);
    let unmentioned = total - counts.total();
    if !not.is_empty() || unmentioned > 0 {
        let tables = count(not.len() as u64 + unmentioned, "table", "tables");
        page.row("Not compared", Line::default().add(Paint::Warn, tables));
        page.list(not.iter().map(|result| (result.name.clone(), reason(result, "No reason was recorded."))));
    }
}

fn reason<'a>(result: &'a TableVerdict, otherwise: &'a str) -> &'a str {
    result.reason.as_deref().unwrap_or(otherwise)
}

fn inventory(page: &mut Page, view: &View) {
    let Some(inventory) = &view.inventory else { return };
    let objects = count(inventory.objects, "object", "objects");
    // What was left out has a row of its own.
    let left_out = |sentence: &str| view.left_out.iter().any(|left| !left.reason.is_empty() && sentence.ends_with(&left.reason));
    let known: Vec<&String> = inventory.explained.iter().filter(|sentence| !left_out(sentence)).collect();
    let line = match (inventory.differences.len(), inventory.explained.len()) {
        (0, 0) => Line::default().add(Paint::Good, format!("{objects}, all on the target")),
        (0, _) => Line::default().add(Paint::Good, format!("{objects}, all on the target but for what is named here")),
        (1, _) => Line::new(format!("{objects}, ")).add(Paint::Bad, "1 differs"),
        (differences, _) => Line::new(format!("{objects}, ")).add(Paint::Bad, format!("{} differ", number(differences as u64))),
    };
    page.row("Objects", line);
    page.list(inventory.differences.iter().map(|sentence| (sentence.clone(), "")));
    page.list(known.iter().map(|sentence| (sentence.to_string(), "")));
    page.list(inventory.not_compared.iter().map(|sentence| (sentence.clone(), "")));
}

fn left_out(page: &mut Page, view: &View) {
    if view.left_out.is_empty() {
        return;
    }
    page.row("Left out", Line::default().add(Paint::Warn, count(view.left_out.len() as u64, "object", "objects")));
    page.list(view.left_out.iter().map(|left| (format!("{} {}", left.kind, left.name), left.reason.as_str())));
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
