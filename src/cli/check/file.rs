//! Files that a check reads and writes.

use std::path::Path;

use crate::engine::checkup::Checkup;
use crate::engine::report::{Exit, Report};
use crate::migration::preflight::metadata::Metadata;
use crate::show::checkup_file;
use crate::show::form::{self, Form};

/// How large a file of answers may be, in bytes: that of 100,000 tables has about 100 MB.
const METADATA_MAX: u64 = 1 << 30;

/// Writes a report.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(checkup: &Checkup, path: &Path) -> Result<(), Report> {
    let text = match Form::of(path) {
        Some(Form::Markdown) => checkup_file::markdown(checkup),
        Some(Form::Json) => checkup_file::json(checkup) + "\n",
        Some(Form::Html) | None => checkup_file::html(checkup)?,
    };
    form::write(path, &text)
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
    fn what_powershell_redirects_is_read() {
        let mut bytes = vec![0xFF, 0xFE];
        bytes.extend("neon ü".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decoded(&bytes), "neon ü");
        assert_eq!(decoded("neon ü".as_bytes()), "neon ü");
    }
}
