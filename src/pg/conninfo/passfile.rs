//! The password file, `.pgpass`.

use std::path::Path;

use secrecy::SecretString;

/// One line: four patterns and a password.
struct Entry {
    patterns: [String; 4],
    password: SecretString,
}

/// A password file that was read.
pub(super) struct PassFile {
    entries: Vec<Entry>,
}

/// Reads a password file; where it may not be used, the error is a sentence for a notice. A file that is not there is no error.
pub(super) fn read(path: &Path) -> Result<Option<PassFile>, String> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if !metadata.is_file() {
        return Err(format!("The password file {} was ignored: it is not a plain file.", path.display()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The rule of libpq: nobody but the owner may have any right to it.
        if metadata.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            return Err(format!("The password file {path} was ignored: others may read it. Run `chmod 600 {path}`."));
        }
    }
    let bytes = std::fs::read(path).map_err(|error| format!("The password file {} could not be read: {error}.", path.display()))?;
    Ok(Some(PassFile::parse(&String::from_utf8_lossy(&bytes))))
}

impl PassFile {
    pub(super) fn parse(text: &str) -> PassFile {
        PassFile { entries: text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect() }
    }

    /// The password of the first line that fits, if it has one.
    pub(super) fn password(&self, host: &str, port: u16, database: &str, user: &str) -> Option<SecretString> {
        let wanted = [host, &port.to_string(), database, user];
        let fits = |entry: &&Entry| entry.patterns.iter().zip(wanted).all(|(pattern, value)| matches(pattern, value));
        self.entries.iter().find(fits).map(|entry| entry.password.clone())
    }
}

/// Cuts a line at its colons; a backslash takes the next character as it is. Patterns keep their escapes, so that `\*` is not a wildcard.
fn entry(line: &str) -> Option<Entry> {
    let mut fields = vec![String::new()];
    let mut chars = line.trim_end_matches('\r').chars();
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '\\' => {
                field.push(c);
                field.extend(chars.next());
            }
            ':' => fields.push(String::new()),
            c => field.push(c),
        }
    }
    // What follows the password's own colon, if anything, is not looked at, as in libpq.
    let mut fields = fields.into_iter();
    let patterns = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let password = unescape(&fields.next()?);
    Some(Entry { patterns, password: SecretString::from(password) })
}

fn matches(pattern: &str, value: &str) -> bool {
    pattern == "*" || unescape(pattern) == value
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => result.push(chars.next().unwrap_or('\\')),
            c => result.push(c),
        }
    }
    result
}
