//! Files that a check reads and writes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::engine::checkup::Checkup;
use crate::engine::report::{Exit, Report};
use crate::migration::preflight::metadata::Metadata;
use crate::show::checkup_file;

/// How large a file of answers may be, in bytes: that of 100,000 tables has about 100 MB.
const METADATA_MAX: u64 = 1 << 30;

/// The forms in which a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Markdown,
    Json,
}

fn form(path: &Path) -> Option<Form> {
    match path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
        Some("html" | "htm") => Some(Form::Html),
        Some("md" | "markdown") => Some(Form::Markdown),
        Some("json") => Some(Form::Json),
        _ => None,
    }
}

/// Says before anything is looked at that a report could not be written.
///
/// # Errors
/// A name whose ending stands for no form, or a directory that is not there.
pub(super) fn writable(paths: &[PathBuf]) -> Result<(), Report> {
    for path in paths {
        if form(path).is_none() {
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
pub(super) fn write(checkup: &Checkup, path: &Path) -> Result<(), Report> {
    let text = match form(path) {
        Some(Form::Markdown) => checkup_file::markdown(checkup),
        Some(Form::Json) => checkup_file::json(checkup) + "\n",
        Some(Form::Html) | None => checkup_file::html(checkup)?,
    };
    std::fs::write(path, text).map_err(|error| {
        Report::new("report-file", Exit::Usage, format!("The report {} could not be written.", path.display()))
            .with_cause(format!("{error}."))
            .with_fix("Choose a place where you may write, and run the command again.")
    })
}

/// Reads a file of answers.
///
/// # Errors
/// It cannot be read, or holds no answers.
pub(super) fn read(path: &Path) -> Result<Metadata, Report> {
    let unreadable = |why: String| {
        Report::new("metadata-file", Exit::Usage, format!("{} cannot be evaluated.", path.display())).with_cause(why).with_fix(
            "Give the file that psql wrote:\nneon-migrate check --only-metadata > questions.sql\n\
             psql -XAtq -d 'the source' -f questions.sql > metadata.jsonl",
        )
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(format!("It cannot be read: {error}.")))?.len();
    if size > METADATA_MAX {
        return Err(unreadable("It is larger than 1 GiB.".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(format!("It cannot be read: {error}.")))?;
    Metadata::parse(&decoded(&bytes)).map_err(|error| unreadable(format!("Because {error}.")))
}

/// PowerShell's redirection writes UTF-16 with a byte order mark.
fn decoded(bytes: &[u8]) -> String {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => {
            let units: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_form() {
        assert_eq!(form(Path::new("a/b.HTML")), Some(Form::Html));
        assert_eq!(form(Path::new("b.md")), Some(Form::Markdown));
        assert_eq!(form(Path::new("report")), None);
    }

    #[test]
    fn what_powershell_redirects_is_read() {
        let mut bytes = vec![0xFF, 0xFE];
        bytes.extend("neon ü".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decoded(&bytes), "neon ü");
        assert_eq!(decoded("neon ü".as_bytes()), "neon ü");
    }
}
