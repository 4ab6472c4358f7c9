//! The forms in which a report is written, and the file that it becomes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::engine::report::{Exit, Report};

/// The forms in which a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One file without scripts, which loads nothing.
    Html,
    /// For a ticket.
    Markdown,
    /// For a program.
    Json,
}

impl Form {
    /// The form that the ending of a name stands for.
    pub fn of(path: &Path) -> Option<Form> {
        match path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
            Some("html" | "htm") => Some(Form::Html),
            Some("md" | "markdown") => Some(Form::Markdown),
            Some("json") => Some(Form::Json),
            _ => None,
        }
    }

    /// What a browser is told that it is.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Html => "text/html; charset=utf-8",
            Form::Markdown => "text/markdown; charset=utf-8",
            Form::Json => "application/json",
        }
    }
}

/// Says before anything is looked at that a report could not be written.
///
/// # Errors
/// A name whose ending stands for no form, or a directory that is not there.
pub fn writable(paths: &[PathBuf]) -> Result<(), Report> {
    for path in paths {
        if Form::of(path).is_none() {
            let why = format!("The report {} has a name that tells no form.", path.display());
            return Err(Report::new("report-form", Exit::Usage, why).with_fix("Let it end in .html, .md or .json."));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if parent.is_some_and(|parent| !parent.is_dir()) {
            let why = format!("The report {} cannot be written: its directory is not there.", path.display());
            return Err(Report::new("report-file", Exit::Usage, why).with_fix("Make the directory first, or choose another name."));
        }
    }
    Ok(())
}

/// Writes a report.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Report> {
    std::fs::write(path, text).map_err(|error| {
        Report::new("report-file", Exit::Usage, format!("The report {} could not be written.", path.display()))
            .with_cause(format!("{error}."))
            .with_fix("Choose a place where you may write, and run the command again.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_form() {
        assert_eq!(Form::of(Path::new("a/b.HTML")), Some(Form::Html));
        assert_eq!(Form::of(Path::new("b.md")), Some(Form::Markdown));
        assert_eq!(Form::of(Path::new("report")), None);
    }
}
