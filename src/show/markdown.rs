//! Texts in Markdown.

/// A text in Markdown, on one line, with nothing in it that Markdown takes for its own.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in super::numbers::clean(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&') {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

/// A block to paste, behind a fence that is longer than any in it.
pub fn block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(plain("a|b\n<script>*x*"), "a\\|b\\\\n\\<script\\>\\*x\\*");
        assert!(block("a ```` b").starts_with("`````\n"));
    }
}
