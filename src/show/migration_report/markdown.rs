//! The report as Markdown.

use std::fmt::Write;

use super::{MigrationReport, Stage, VERSION, moment, parted};
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::Report;
use crate::engine::view::Inventory;
use crate::show::markdown::{block, plain};
use crate::show::numbers::number;

// Writing to a String cannot fail.
pub(super) fn markdown(report: &MigrationReport<'_>) -> String {
    let view = report.view;
    let conclusion = report.conclusion();
    let more = if conclusion.more.is_empty() { String::new() } else { format!(" {}", conclusion.more) };
    let mut text = format!("# {}\n\n**{}**{more}\n\n", plain(&report.title()), conclusion.sentence);
    let _ = writeln!(text, "Made by neon-migrate {VERSION} on {}. Migration {}.\n", moment(report.at), plain(report.name));
    for (label, value) in report.facts() {
        let _ = writeln!(text, "* {label}: {}", plain(&value));
    }
    text += &ended(report.report());
    stages(&mut text, "Phases", "phase", &report.phases());
    tables(&mut text, report);
    text += &view.inventory.as_ref().map(|inventory| objects(report, inventory)).unwrap_or_default();
    if !view.left_out.is_empty() {
        let _ = write!(text, "\n## Left out ({})\n\n| kind | object | why |\n|---|---|---|\n", number(view.left_out.len() as u64));
        for left in &view.left_out {
            let _ = writeln!(text, "| {} | {} | {} |", plain(&left.kind), plain(&left.name), plain(&left.reason));
        }
    }
    let notices =
        view.notices.iter().map(|notice| format!("{}{}", if notice.warning { "Attention: " } else { "" }, notice.message));
    list(&mut text, "Notices", notices);
    list(&mut text, "What the checks found", view.findings.iter().map(finding));
    stages(&mut text, "Steps", "step", &report.steps());
    text
}

fn list(text: &mut String, title: &str, items: impl ExactSizeIterator<Item = String>) {
    if items.len() > 0 {
        let _ = write!(text, "\n## {title} ({})\n\n", number(items.len() as u64));
    }
    for item in items {
        let _ = writeln!(text, "* {}", plain(&item));
    }
}

fn finding(one: &Finding) -> String {
    let severity = match one.severity {
        Severity::Blocker => "blocker",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    format!("{} ({severity}, {}): {}", one.code, one.subject, one.sentence)
}

fn ended(report: Option<&Report>) -> String {
    let Some(report) = report else { return String::new() };
    let mut text = format!("\n## How it ended\n\n{} ({})\n", plain(&report.message), plain(&report.code));
    for cause in &report.causes {
        let _ = write!(text, "\n{}\n", plain(cause));
    }
    if let Some(fix) = &report.fix {
        let (words, paste) = parted(fix);
        let _ = write!(text, "\nWhat to do: {}\n", plain(words));
        if !paste.is_empty() {
            let _ = write!(text, "\n{}", block(paste));
        }
    }
    text
}

fn stages(text: &mut String, title: &str, what: &str, stages: &[Stage]) {
    if stages.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {title}\n\n| {what} | state | began | took | result |\n|---|---|---|---:|---|\n");
    for one in stages {
        let _ = writeln!(text, "| {} | {} | {} | {} | {} |", plain(&one.title), one.state, one.began, one.took, plain(&one.result));
    }
}

fn tables(text: &mut String, report: &MigrationReport<'_>) {
    let rows = report.tables();
    if rows.is_empty() {
        return;
    }
    let number = number(rows.len() as u64);
    let _ = write!(text, "\n## Tables ({number})\n\n| table | rows | bytes | state | comparison |\n|---|---:|---:|---|---|\n");
    for row in rows {
        let _ = writeln!(text, "| {} | {} | {} | {} | {} |", plain(row.name), row.rows, row.bytes, row.state, plain(&row.verdict));
    }
}

fn objects(report: &MigrationReport<'_>, inventory: &Inventory) -> String {
    let mut text = format!("\n## Objects\n\n{}\n", report.objects(inventory));
    for (title, sentences) in [
        ("Differences", &inventory.differences),
        ("Differences that were announced", &inventory.explained),
        ("Not compared", &inventory.not_compared),
    ] {
        if !sentences.is_empty() {
            let _ = write!(text, "\n### {title}\n\n");
        }
        for sentence in sentences {
            let _ = writeln!(text, "* {}", plain(sentence));
        }
    }
    text
}
