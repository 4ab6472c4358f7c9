//! The end of a run, as lines of a terminal.

use super::text::{Line, Paint, wrap};
use crate::engine::view::View;
use crate::show::certificate::{self, Item};
use crate::show::conclusion::Tone;
use crate::show::numbers::{clean, number};

/// The column at which the values begin.
const COLUMN: usize = 16;
/// How many lines a list has at most; the rest is in `status --output json`.
const LIST_MAX: usize = 50;

/// The certificate of a run that has ended, or what there is of it; nothing if nothing was copied or compared.
pub fn certificate(view: &View, width: usize) -> Vec<Line> {
    let Some(certificate) = certificate::certificate(view) else { return Vec::new() };
    let mut page = Page { lines: Vec::new(), width };
    page.lines.push(
        toned(Line::default(), certificate.tone, certificate.headline)
            .text(if certificate.more.is_empty() { "" } else { " " })
            .text(certificate.more),
    );
    for row in certificate.rows {
        page.row(row.label, toned(Line::new(row.before), row.tone, row.value).text(row.after));
        page.list(&row.items);
    }
    page.lines
}

fn toned(line: Line, tone: Tone, text: String) -> Line {
    match tone {
        Tone::Plain => line.text(text),
        Tone::Good => line.add(Paint::Good, text),
        Tone::Attention => line.add(Paint::Warn, text),
        Tone::Bad => line.add(Paint::Bad, text),
    }
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
    fn list(&mut self, items: &[Item]) {
        for item in items.iter().take(LIST_MAX) {
            self.item(&item.subject, &item.sentence);
            item.keys.iter().for_each(|key| self.item(&format!("  {key}"), ""));
        }
        let more = items.len().saturating_sub(LIST_MAX);
        if more > 0 {
            let rest = format!("and {} more: `neon-migrate status --output json` has them all", number(more as u64));
            self.lines.push(Line::new(" ".repeat(COLUMN + 2)).add(Paint::Dim, rest));
        }
    }

    fn item(&mut self, subject: &str, sentence: &str) {
        let indent = " ".repeat(COLUMN + 2);
        let subject = clean(subject);
        let text = if sentence.is_empty() { subject } else { format!("{subject}: {sentence}") };
        for (place, part) in wrap(&text, self.width.saturating_sub(COLUMN + 4).max(30)).into_iter().enumerate() {
            self.lines.push(Line::new(&indent).text(if place == 0 { "" } else { "  " }).text(part));
        }
    }
}
