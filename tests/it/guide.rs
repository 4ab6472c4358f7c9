//! The guide is complete: every code that the program can give has its heading, and no heading is left over.

use std::collections::BTreeSet;
use std::path::Path;

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(text.split("mod tests {").next().unwrap().to_owned());
        }
    }
}

/// The string literal that text begins with, if it is a code.
fn code(text: &str) -> Option<String> {
    let literal = text.trim_start().strip_prefix('"')?.split('"').next()?;
    let is_code =
        !literal.is_empty() && literal.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_code.then(|| literal.to_owned())
}

#[test]
fn every_error_code_is_in_the_guide() {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let mut codes = BTreeSet::new();
    for text in &texts {
        for call in ["Report::new(", "DialError::new(", "ConninfoError::new(", "Error::new("] {
            codes.extend(text.split(call).skip(1).filter_map(code));
        }
        // Tables of codes: a code and its text as a tuple.
        let tuples = text.split('(').skip(1).filter_map(|rest| {
            let code = code(rest)?;
            let after = rest.trim_start().get(code.len() + 2..)?;
            (code.contains('-') && after.starts_with(',') && (text.contains("fn advice(") || text.contains("struct DialError")))
                .then_some(code)
        });
        codes.extend(tuples);
    }
    assert!(codes.len() > 60 && codes.contains("disk-full") && codes.contains("wrong-password"), "too few were found: {codes:?}");
    let guide = include_str!("../../docs/guide/errors.md");
    let headings: BTreeSet<String> = guide.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let missing: Vec<_> = codes.difference(&headings).collect();
    assert!(missing.is_empty(), "docs/guide/errors.md does not explain {missing:?}");
    let text = texts.concat();
    let gone: Vec<_> = headings.iter().filter(|heading| !text.contains(&format!("\"{heading}\""))).collect();
    assert!(gone.is_empty(), "docs/guide/errors.md explains what is no code any more: {gone:?}");
}
