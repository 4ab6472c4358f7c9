//! The end of a run: what was copied, what was compared and found equal, and what is not on the target.

use jiff::Timestamp;

use super::conclusion::{Conclusion, Tone, conclusion, difference, is_dry_run, methods, phase_time};
use super::numbers::{bytes, count, duration, mean_rate, number};
use crate::engine::event::{TableVerdict, Verdict};
use crate::engine::phase::Phase;
use crate::engine::view::View;

/// The certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The answer to the question that the reader has.
    pub tone: Tone,
    /// The answer in a sentence.
    pub headline: String,
    /// What follows it.
    pub more: String,
    /// What it rests on.
    pub rows: Vec<Row>,
}

/// A line of the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub label: &'static str,
    /// What comes before the verdict.
    pub before: String,
    /// How it came out.
    pub tone: Tone,
    /// The verdict.
    pub value: String,
    /// What comes after it.
    pub after: String,
    /// What belongs to it, one each.
    pub items: Vec<Item>,
}

/// Something that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What.
    pub subject: String,
    /// Why, or how; may be empty.
    pub sentence: String,
    /// Keys of rows.
    pub keys: Vec<String>,
}

impl Row {
    fn new(label: &'static str, tone: Tone, value: impl Into<String>) -> Row {
        Row { label, before: String::new(), tone, value: value.into(), after: String::new(), items: Vec::new() }
    }

    fn with(mut self, items: impl IntoIterator<Item = Item>) -> Row {
        self.items.extend(items);
        self
    }
}

impl Item {
    fn new(subject: impl Into<String>, sentence: impl Into<String>) -> Item {
        Item { subject: subject.into(), sentence: sentence.into(), keys: Vec::new() }
    }
}

/// The certificate of a run that has ended, or what there is of it; nothing if nothing was copied or compared.
pub fn certificate(view: &View) -> Option<Certificate> {
    let (run, ended) = (view.run.as_ref()?, view.ended.as_ref()?);
    if view.tables.is_empty() && view.verdict_counts().total() == 0 && view.inventory.is_none() {
        return None;
    }
    let Conclusion { tone, sentence: headline, more } = conclusion(view, ended.exit);
    if is_dry_run(view) {
        return Some(Certificate { tone, headline, more: more.to_owned(), rows: plan(view) });
    }
    let mut rows = compared(view);
    rows.extend(inventory(view));
    rows.extend(left_out(view));
    rows.extend(copied(view));
    rows.push(Row::new("Source", Tone::Plain, &run.source));
    rows.push(Row::new("Target", Tone::Plain, &run.target));
    if let Some(snapshot) = &view.snapshot {
        rows.push(Row::new("Snapshot", Tone::Plain, format!("{}, taken {}", snapshot.lsn, moment(snapshot.taken_at))));
    }
    let runs = if view.runs > 1 { format!(" in {} runs", view.runs) } else { String::new() };
    rows.push(Row::new("Time", Tone::Plain, format!("{}{runs}", duration(view.elapsed(ended.at)))));
    Some(Certificate { tone, headline, more: more.to_owned(), rows })
}

/// The end of a dry run: what would be done.
fn plan(view: &View) -> Vec<Row> {
    let size = view.tables.iter().map(|table| table.planned.bytes_estimate).sum();
    let tables = view.tables.iter().map(|table| {
        let planned = &table.planned;
        let parts = if planned.parts > 1 { format!(", in {} parts", planned.parts) } else { String::new() };
        let rows = count(planned.rows_estimate, "row", "rows");
        Item::new(format!("{}: about {rows}, {}{parts}", planned.name, bytes(planned.bytes_estimate)), "")
    });
    let sizes = format!("{}, about {}", count(view.tables.len() as u64, "table", "tables"), bytes(size));
    let mut rows = vec![
        Row::new("Tables", Tone::Plain, sizes).with(tables),
        Row::new("Then", Tone::Plain, format!("{} that follow the data", count(view.builds.total, "object", "objects"))),
        Row::new("With", Tone::Plain, format!("{} on each side", count(u64::from(view.jobs), "connection", "connections"))),
    ];
    rows.extend(left_out(view));
    rows
}

fn copied(view: &View) -> Option<Row> {
    if view.tables.is_empty() {
        return None;
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
    Some(Row::new("Copied", Tone::Plain, text))
}

fn compared(view: &View) -> Vec<Row> {
    let counts = view.verdict_counts();
    let total = counts.total().max(view.tables.len() as u64);
    if total == 0 {
        return Vec::new();
    }
    let rows: u64 = view.verdicts().filter(|result| result.verdict == Verdict::Match).map(|result| result.source_rows).sum();
    let equal = format!("{} of {} equal, {}", number(counts.matching), count(total, "table", "tables"), count(rows, "row", "rows"));
    let tone = if counts.matching == total { Tone::Good } else { Tone::Attention };
    let mut found = vec![Row { after: methods(view), ..Row::new("Rows", tone, equal) }];

    let of = |verdict: Verdict| view.verdicts().filter(|result| result.verdict == verdict).collect::<Vec<_>>();
    let different = of(Verdict::Mismatch);
    if !different.is_empty() {
        let tables = count(different.len() as u64, "table", "tables");
        let item = |result: &&TableVerdict| Item { keys: result.differences.clone(), ..Item::new(difference(result), "") };
        found.push(Row::new("Different", Tone::Bad, tables).with(different.iter().map(item)));
    }
    let named = |results: &[&TableVerdict], otherwise: &str| {
        results.iter().map(|result| Item::new(&result.name, reason(result, otherwise))).collect::<Vec<_>>()
    };
    let hot = of(Verdict::Hot);
    if !hot.is_empty() {
        let tables = count(hot.len() as u64, "table", "tables");
        found.push(Row::new("Changing", Tone::Attention, tables).with(named(&hot, "It changed faster than it could be compared.")));
    }
    let not = of(Verdict::NotEvaluated);
    let unmentioned = total - counts.total();
    if !not.is_empty() || unmentioned > 0 {
        let tables = count(not.len() as u64 + unmentioned, "table", "tables");
        found.push(Row::new("Not compared", Tone::Attention, tables).with(named(&not, "No reason was recorded.")));
    }
    found
}

fn reason<'a>(result: &'a TableVerdict, otherwise: &'a str) -> &'a str {
    result.reason.as_deref().unwrap_or(otherwise)
}

fn inventory(view: &View) -> Option<Row> {
    let inventory = view.inventory.as_ref()?;
    let objects = count(inventory.objects, "object", "objects");
    // What was left out has a row of its own.
    let left_out = |sentence: &str| view.left_out.iter().any(|left| !left.reason.is_empty() && sentence.ends_with(&left.reason));
    let known = inventory.explained.iter().filter(|sentence| !left_out(sentence));
    let row = match (inventory.differences.len(), inventory.explained.len()) {
        (0, 0) => Row::new("Objects", Tone::Good, format!("{objects}, all on the target")),
        (0, _) => Row::new("Objects", Tone::Good, format!("{objects}, all on the target but for what is named here")),
        (differences, _) => {
            let differ = if differences == 1 { "1 differs".to_owned() } else { format!("{} differ", number(differences as u64)) };
            Row { before: format!("{objects}, "), ..Row::new("Objects", Tone::Bad, differ) }
        }
    };
    let items = inventory.differences.iter().chain(known).chain(&inventory.not_compared);
    Some(row.with(items.map(|sentence| Item::new(sentence, ""))))
}

fn left_out(view: &View) -> Option<Row> {
    if view.left_out.is_empty() {
        return None;
    }
    let row = Row::new("Left out", Tone::Attention, count(view.left_out.len() as u64, "object", "objects"));
    Some(row.with(view.left_out.iter().map(|left| Item::new(format!("{} {}", left.kind, left.name), &left.reason))))
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
