//! Lines as people read them at a terminal.

use std::fmt::Display;

use owo_colors::{OwoColorize, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::show::numbers::clean;

/// How a piece of text is painted. The colours are the terminal's own, so they are readable on light and dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// What the eye should find.
    Bold,
    /// What it may skip.
    Dim,
    /// All is well.
    Good,
    /// Something to know.
    Warn,
    /// Something is wrong.
    Bad,
}

impl Paint {
    fn style(self) -> Style {
        match self {
            Paint::Plain => Style::new(),
            Paint::Bold => Style::new().bold(),
            Paint::Dim => Style::new().dimmed(),
            Paint::Good => Style::new().green(),
            Paint::Warn => Style::new().yellow(),
            Paint::Bad => Style::new().red().bold(),
        }
    }
}

/// A line of painted pieces. What comes from a database may hold control characters; they are shown escaped, so that no name can
/// move the cursor or colour the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line(Vec<(Paint, String)>);

impl Line {
    /// A line that begins with unpainted text.
    pub fn new(text: impl Display) -> Line {
        Line::default().add(Paint::Plain, text)
    }

    /// Adds a piece.
    #[must_use]
    pub fn add(mut self, paint: Paint, text: impl Display) -> Line {
        self.0.push((paint, clean(&text.to_string())));
        self
    }

    /// Adds unpainted text.
    #[must_use]
    pub fn text(self, text: impl Display) -> Line {
        self.add(Paint::Plain, text)
    }

    /// Adds another line's pieces.
    #[must_use]
    pub fn join(mut self, other: Line) -> Line {
        self.0.extend(other.0);
        self
    }

    /// Adds blanks up to a column.
    #[must_use]
    pub fn pad_to(self, column: usize) -> Line {
        let blanks = column.saturating_sub(self.width());
        self.text(" ".repeat(blanks))
    }

    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// The line, painted, cut to `width` columns.
    pub fn fit(&self, width: usize) -> String {
        let mut left = width;
        let mut whole = String::new();
        for (paint, text) in &self.0 {
            let cut = clip(text, left);
            left = left.saturating_sub(cut.width());
            whole.push_str(&painted(*paint, &cut));
            if cut != *text {
                break;
            }
        }
        whole
    }

    /// The line without paint.
    pub fn unpainted(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(paint, text)| f.write_str(&painted(*paint, text)))
    }
}

fn painted(paint: Paint, text: &str) -> String {
    if paint == Paint::Plain || text.is_empty() { text.to_owned() } else { text.style(paint.style()).to_string() }
}

/// The text in at most `width` columns; what is cut off is shown as `…`.
pub fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut cut: String = text
        .chars()
        .take_while(|c| {
            let columns = c.width().unwrap_or(0);
            let fits = columns <= left;
            left = if fits { left - columns } else { 0 };
            fits
        })
        .collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A share of the whole as a bar of `width` columns.
pub fn bar(fraction: f64, width: usize) -> Line {
    let done = (fraction.clamp(0.0, 1.0) * width as f64).floor() as usize;
    Line::default().add(Paint::Good, "━".repeat(done)).add(Paint::Dim, "─".repeat(width - done))
}

/// The text in lines of at most `width` columns, broken between words; a word that is longer stays whole. Line breaks stay.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let indent: String = paragraph.chars().take_while(|c| *c == ' ').collect();
        let mut line = indent.clone();
        for word in paragraph.split_whitespace() {
            if line.len() > indent.len() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::replace(&mut line, indent.clone()));
            }
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(&clean(word));
        }
        lines.push(line);
    }
    lines
}

/// A labelled text, wrapped, its further lines under its first.
pub fn labelled(label: (Paint, &str), text: &str, width: usize) -> Vec<Line> {
    let indent = label.1.width();
    let wrapped = wrap(text, width.saturating_sub(indent).max(20));
    let mut lines = Vec::with_capacity(wrapped.len());
    for (place, part) in wrapped.into_iter().enumerate() {
        let head = if place == 0 { Line::default().add(label.0, label.1) } else { Line::new(" ".repeat(indent)) };
        lines.push(head.text(part));
    }
    lines
}

/// A sentence after its label, wrapped, its further lines indented a little, however long the label is.
pub fn headed((paint, label): (Paint, &str), text: &str, width: usize) -> Vec<Line> {
    let mut parts = wrap(&format!("{label}{text}"), width.saturating_sub(2).max(20)).into_iter();
    let first = parts.next().unwrap_or_default();
    let label = clean(label.trim_end());
    let first = match first.strip_prefix(&label) {
        Some(rest) => Line::default().add(paint, &label).text(rest),
        // A name in the label was itself wrapped.
        None => Line::default().add(paint, first),
    };
    std::iter::once(first).chain(parts.map(|part| Line::new("  ").text(part))).collect()
}

/// What to do: its first line is words and is wrapped; the lines after it are to be pasted and stay exactly as they are.
pub fn advice(label: &str, text: &str, width: usize) -> Vec<Line> {
    let (words, paste) = text.split_once('\n').map_or((text, None), |(words, paste)| (words, Some(paste)));
    let mut lines = labelled((Paint::Bold, label), words, width);
    lines.extend(paste.into_iter().flat_map(str::lines).map(|line| Line::new("    ").text(line)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_columns_and_control_characters_are_shown() {
        assert_eq!(Line::new("表表表表").fit(5), "表表…");
        assert_eq!(Line::new("abc").text("def").fit(5), "abcd…");
        assert_eq!(Line::new("abc").text("def").text("ghi").fit(6).width(), 6);
        assert_eq!(Line::new("abc").fit(3), "abc");
        assert_eq!(Line::new("a\u{1b}[2J\nb").unpainted(), "a\\u{1b}[2J\\nb");
    }

    #[test]
    fn texts_are_wrapped_between_words() {
        let lines = labelled((Paint::Bold, "help: "), "one two three four five\n  select 1;", 26);
        let lines: Vec<_> = lines.iter().map(Line::unpainted).collect();
        assert_eq!(lines, ["help: one two three four", "      five", "        select 1;"]);
    }
}
