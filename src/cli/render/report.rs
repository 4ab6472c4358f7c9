//! Reports and findings as people read them.

use crate::engine::finding::{Finding, Severity};
use crate::engine::report::Report;
use crate::show::numbers::number;

use super::text::{Line, Paint, advice, headed, labelled};

/// An error: what happened, why, what to do.
pub fn report(report: &Report, width: usize) -> Vec<Line> {
    let mut lines = headed((Paint::Bad, &format!("error[{}]: ", report.code)), &report.message, width);
    for cause in &report.causes {
        lines.extend(labelled((Paint::Dim, "  because: "), cause, width));
    }
    if let Some(fix) = &report.fix {
        lines.extend(advice("  help: ", fix, width));
    }
    lines
}

/// What a check found: the sentence, why it matters, what to do, and what it is about.
pub fn finding(finding: &Finding, width: usize) -> Vec<Line> {
    let (paint, word) = match finding.severity {
        Severity::Blocker => (Paint::Bad, "blocker"),
        Severity::Warning => (Paint::Warn, "warning"),
        Severity::Note => (Paint::Dim, "note"),
    };
    let head = format!("{word}[{}] {}: ", finding.code, finding.subject);
    let mut lines = headed((paint, &head), &finding.sentence, width);
    if finding.severity > Severity::Note && !finding.why.is_empty() {
        lines.extend(labelled((Paint::Dim, "  why: "), &finding.why, width));
    }
    for object in &finding.objects {
        lines.push(Line::new("    ").text(object));
    }
    let more = finding.objects_total.saturating_sub(finding.objects.len() as u64);
    if more > 0 {
        lines.push(Line::new("    ").add(Paint::Dim, format!("and {} more", number(more))));
    }
    if let Some(fix) = &finding.fix {
        lines.extend(advice("  help: ", fix, width));
    }
    lines
}
