//! The report of a check as a file of its own: HTML with nothing to load, Markdown, and JSON.

use std::fmt::Write;

use askama::Template;

use super::markdown::{block, plain};
use super::numbers::{bytes, count, duration_band, number, rate};
use crate::engine::checkup::{Checkup, Database, Estimate, Headline, Open, Outcome, Standing, Status, TopTable, Way};
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::{Exit, Report};

/// Findings that belong together.
struct Group<'a> {
    title: &'static str,
    class: &'static str,
    open: bool,
    findings: Vec<&'a Finding>,
}

fn groups(checkup: &Checkup) -> Vec<Group<'_>> {
    let of = |title, class, open, severity| Group { title, class, open, findings: checkup.findings(severity).collect() };
    let mut groups = vec![
        of("Blockers", "blocker", true, Severity::Blocker),
        of("Warnings", "warning", false, Severity::Warning),
        of("Notes", "note", false, Severity::Note),
    ];
    let blind = checkup.not_evaluated().collect();
    groups.push(Group { title: "Not evaluated", class: "unknown", open: false, findings: blind });
    groups.retain(|group| !group.findings.is_empty());
    groups
}

fn verdict(checkup: &Checkup) -> String {
    let of = |severity, one, many| count(checkup.findings(severity).count() as u64, one, many);
    format!(
        "{}: {}, {}, {}, {} not evaluated",
        if checkup.is_blocked() { "Not ready" } else { "Ready" },
        of(Severity::Blocker, "blocker", "blockers"),
        of(Severity::Warning, "warning", "warnings"),
        of(Severity::Note, "note", "notes"),
        count(checkup.count(Status::NotEvaluated) as u64, "check", "checks"),
    )
}

fn server(end: &Database) -> String {
    let region = end.region.as_ref().map(|region| format!(", {region}")).unwrap_or_default();
    let size = end.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    format!("{}, {}{region}{size}", end.server, end.provider)
}

fn open_word(open: Open) -> &'static str {
    match open {
        Open::Yes => "yes",
        Open::No => "no",
        Open::Unknown => "not known",
    }
}

fn result(outcome: &Outcome) -> String {
    match outcome.status {
        Status::Passed => "passed".to_owned(),
        Status::NotEvaluated => "not evaluated".to_owned(),
        Status::NotApplicable => format!("does not apply. {}", outcome.reason.as_deref().unwrap_or_default()),
        Status::Found => {
            let heaviest = outcome.findings.iter().map(|finding| finding.severity).max();
            match heaviest {
                Some(Severity::Blocker) => "blocker",
                Some(Severity::Warning) => "warning",
                _ => "note",
            }
            .to_owned()
        }
    }
}

fn words(fix: &str) -> &str {
    fix.split_once('\n').map_or(fix, |(words, _)| words)
}

fn paste(fix: &str) -> &str {
    fix.split_once('\n').map_or("", |(_, paste)| paste)
}

fn more(finding: &Finding) -> u64 {
    finding.objects_total.saturating_sub(finding.objects.len() as u64)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Html<'a> {
    checkup: &'a Checkup,
}

impl<'a> Html<'a> {
    fn at(&self) -> String {
        self.checkup.at.strftime("%-d %B %Y, %H:%M UTC").to_string()
    }

    fn verdict(&self) -> String {
        verdict(self.checkup)
    }

    fn groups(&self) -> Vec<Group<'a>> {
        groups(self.checkup)
    }

    fn server(&self, end: &Database) -> String {
        server(end)
    }

    fn standing(&self, one: &Headline) -> &'static str {
        match one.standing {
            Standing::Good => "good",
            Standing::Attention => "warn",
            Standing::Blocked => "bad",
            Standing::Unknown => "unknown",
        }
    }

    fn mark(&self, one: &Headline) -> &'static str {
        match one.standing {
            Standing::Good => "✓",
            Standing::Attention => "!",
            Standing::Blocked => "✗",
            Standing::Unknown => "?",
        }
    }

    fn more(&self, finding: &Finding) -> u64 {
        more(finding)
    }

    fn words<'f>(&self, fix: &'f str) -> &'f str {
        words(fix)
    }

    fn paste<'f>(&self, fix: &'f str) -> &'f str {
        paste(fix)
    }

    fn openness(&self, way: &Way) -> &'static str {
        match way.open {
            Open::Yes => "good",
            Open::No => "bad",
            Open::Unknown => "unknown",
        }
    }

    fn open_word(&self, way: &Way) -> &'static str {
        open_word(way.open)
    }

    fn estimate(&self, estimate: &Estimate) -> Vec<String> {
        estimate_words(estimate)
    }

    fn number(&self, n: &u64) -> String {
        number(*n)
    }

    fn bytes(&self, n: &u64) -> String {
        bytes(*n)
    }

    fn rows(&self, table: &TopTable) -> String {
        table.rows.map_or_else(|| "not known".to_owned(), number)
    }

    fn result(&self, outcome: &Outcome) -> String {
        result(outcome)
    }
}

/// The report as one JSON object (`docs/guide/json.md`).
pub fn json(checkup: &Checkup) -> String {
    let mut object = serde_json::to_value(checkup).unwrap_or_default();
    object["event"] = "checkup".into();
    object["blocked"] = checkup.is_blocked().into();
    object.to_string()
}

/// The report as one HTML file without scripts, which loads nothing.
///
/// # Errors
/// A fault of this program.
pub fn html(checkup: &Checkup) -> Result<String, Report> {
    Html { checkup }
        .render()
        .map_err(|error| Report::new("internal", Exit::Bug, "The report could not be made.").with_cause(format!("{error}.")))
}

/// The report as Markdown.
pub fn markdown(checkup: &Checkup) -> String {
    let mut text = format!("# Is {} ready to move?\n\n", plain(&checkup.source.database));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "**{}.** neon-migrate {}, {}.\n",
        verdict(checkup),
        checkup.version,
        checkup.at.strftime("%-d %B %Y, %H:%M UTC")
    );
    let _ = writeln!(text, "* Source: {} ({})", plain(&checkup.source.label), plain(&server(&checkup.source)));
    if let Some(target) = &checkup.target {
        let _ = writeln!(text, "* Target: {} ({})", plain(&target.label), plain(&server(target)));
    }
    text += "\n## First of all\n\n";
    for one in &checkup.headlines {
        let _ = writeln!(text, "* **{}**: {}", one.title, plain(&one.sentence));
        for item in &one.items {
            let _ = writeln!(text, "  * {}", plain(item));
        }
    }
    for group in groups(checkup) {
        let _ = write!(text, "\n## {} ({})\n", group.title, group.findings.len());
        for one in group.findings {
            text += &finding(one);
        }
    }
    text += "\n## Which ways are open\n\n| way | open | why |\n|---|---|---|\n";
    for way in &checkup.ways {
        let _ = writeln!(text, "| {} | {} | {} |", plain(&way.title), open_word(way.open), plain(&way.reasons.join(" ")));
    }
    text + &amounts(checkup)
}

fn finding(one: &Finding) -> String {
    let mut text = format!("\n### {}: {}\n\nOn the {}. {}\n", one.code, plain(&one.sentence), plain(&one.subject), plain(&one.why));
    if !one.objects.is_empty() {
        text.push('\n');
    }
    for object in &one.objects {
        let _ = writeln!(text, "* {}", plain(object));
    }
    if more(one) > 0 {
        let _ = writeln!(text, "* and {} more", number(more(one)));
    }
    if let Some(fix) = &one.fix {
        let _ = write!(text, "\n{}\n", plain(words(fix)));
        if !paste(fix).is_empty() {
            let _ = write!(text, "\n{}", block(paste(fix)));
        }
    }
    text
}

fn amounts(checkup: &Checkup) -> String {
    let mut text = String::new();
    if let Some(estimate) = &checkup.estimate {
        text += "\n## How long it would take\n\n";
        for line in estimate_words(estimate).iter().chain(&estimate.assumptions) {
            let _ = writeln!(text, "* {}", plain(line));
        }
    }
    if let Some(holdings) = &checkup.holdings {
        text += "\n## What there is\n\n| objects | number |\n|---|---:|\n";
        for (kind, n) in &holdings.objects {
            let _ = writeln!(text, "| {kind} | {} |", number(*n));
        }
        text += "\n| table | rows, about | size | large values | indexes |\n|---|---:|---:|---:|---:|\n";
        for table in &holdings.top_tables {
            let rows = table.rows.map_or_else(|| "not known".to_owned(), number);
            let [heap, toast, indexes] = [table.heap_bytes, table.toast_bytes, table.index_bytes].map(bytes);
            let _ = writeln!(text, "| {} | {rows} | {heap} | {toast} | {indexes} |", plain(&table.name));
        }
        for one in &holdings.sequences {
            let _ = writeln!(text, "\nThe sequence {} is used up to {} %.", plain(&one.name), one.percent);
        }
    }
    for gap in checkup.gaps() {
        let _ = writeln!(text, "\n{gap}");
    }
    text += "\n## What next\n\n";
    for (place, step) in checkup.plan.iter().enumerate() {
        let command = step.command.as_ref().map(|command| format!(" `{command}`")).unwrap_or_default();
        let _ = writeln!(text, "{}. **{}.** {}{command}", place + 1, step.title, plain(&step.sentence));
    }
    text
}

/// The measured and the reckoned, a sentence each.
pub fn estimate_words(estimate: &Estimate) -> Vec<String> {
    let mut words = vec![
        format!(
            "Source: {:.1} ms away, {} in one stream. Target: {:.1} ms away, {}.",
            estimate.source_rtt_ms,
            rate(estimate.source_rate),
            estimate.target_rtt_ms,
            rate(estimate.target_rate)
        ),
        format!("A copy with its indexes: {}.", duration_band(estimate.copy_s)),
    ];
    if let (Some(per_second), Some((low, high))) = (estimate.wal_rate, estimate.wal_retained) {
        words.push(format!(
            "WAL: {}; a slot would retain {} to {} until the copy is over.",
            rate(per_second),
            bytes(low),
            bytes(high)
        ));
    }
    words
}
