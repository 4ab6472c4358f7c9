//! Keeps passwords out of the process list.
//!
//! A program cannot take back what it was started with: the system shows the arguments of a process to everyone on the machine.
//! What it can do is to replace itself by itself, with the connection strings moved from the arguments to the environment, which
//! only the same user and root can read. The process id, the terminal and everything that is waiting for the process stay as they
//! were. For a few milliseconds the password was to be seen, and it stays in the shell's history, so a notice says so.

use std::ffi::{OsStr, OsString};

use super::args::{SOURCE_VARIABLE, TARGET_VARIABLE};

/// What is said to somebody who put a password on the command line.
pub const NOTICE: &str = "A password was given on the command line, where it ends up in your shell's history and is visible to \
                          other users of this \
    machine for a moment. Put connection strings into NEON_MIGRATE_SOURCE and NEON_MIGRATE_TARGET, or passwords into ~/.pgpass.";

/// The arguments without the connection strings that hold a password, and the variables that they move to.
#[derive(Debug, PartialEq, Eq)]
struct Moved {
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

/// Moves passwords from the arguments to the environment by starting this program anew in the same process. Returns only if there
/// is nothing to move, or if the system refused, and then says whether a password is still in the arguments.
#[cfg(unix)]
pub fn hide_passwords() -> bool {
    use std::os::unix::process::CommandExt;

    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let Some(moved) = without_passwords(arguments.collect()) else { return false };
    let Ok(program) = std::env::current_exe() else { return true };
    let mut command = std::process::Command::new(program);
    if let Some(name) = name {
        command.arg0(name);
    }
    command.args(moved.arguments).envs(moved.variables).env(SEEN_VARIABLE, "1");
    let _refused = command.exec();
    true
}

/// Set by the first start for the second one, which gives the notice.
const SEEN_VARIABLE: &str = "NEON_MIGRATE_PASSWORD_SEEN";

/// Whether the first start of this process found a password in its arguments.
pub fn password_was_seen() -> bool {
    std::env::var_os(SEEN_VARIABLE).is_some()
}

/// Whether a command line that was not understood asks for JSON, so that its error is told that way too.
pub fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = arguments.collect();
    words.iter().any(|word| word == "--output=json") || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

fn without_passwords(given: Vec<OsString>) -> Option<Moved> {
    let mut moved = Moved { arguments: Vec::new(), variables: Vec::new() };
    let mut given = given.into_iter().peekable();
    while let Some(argument) = given.next() {
        let text = argument.to_string_lossy().into_owned();
        let (flag, inline) =
            text.split_once('=').map_or((text.as_str(), None), |(flag, value)| (flag, Some(OsString::from(value))));
        let variable = match flag {
            "--source" => SOURCE_VARIABLE,
            "--target" => TARGET_VARIABLE,
            _ if is_position(&moved.arguments, &argument) => {
                moved.variables.push((SOURCE_VARIABLE, argument));
                continue;
            }
            _ => {
                moved.arguments.push(argument);
                continue;
            }
        };
        let value = inline.clone().or_else(|| given.next_if(|next| holds_password(next)));
        match value {
            Some(value) if holds_password(&value) => moved.variables.push((variable, value)),
            _ => moved.arguments.push(argument),
        }
    }
    if moved.variables.is_empty() { None } else { Some(moved) }
}

/// Whether an argument is a connection string with a password in the place of `check SOURCE`.
fn is_position(before: &[OsString], argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    before.first().is_some_and(|command| command == "check") && !text.starts_with('-') && holds_password(argument)
}

/// Whether a connection string holds a password: in the user part of a URI, as one of its parameters, or as `password=` or
/// `sslpassword=`.
pub fn holds_password(value: &OsStr) -> bool {
    let text = value.to_string_lossy();
    if text.to_ascii_lowercase().contains("password") {
        return true;
    }
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = if authority.contains('@') { authority } else { rest };
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<OsString> {
        line.iter().map(OsString::from).collect()
    }

    #[test]
    fn passwords_move_to_the_environment() {
        let url = "postgresql://u:secret@h/d";
        let given = words(&["copy", "--source", url, "--target=host=h password=x", "--jobs", "2"]);
        let moved = Moved {
            arguments: words(&["copy", "--jobs", "2"]),
            variables: vec![(SOURCE_VARIABLE, url.into()), (TARGET_VARIABLE, "host=h password=x".into())],
        };
        assert_eq!(without_passwords(given), Some(moved));
    }

    #[test]
    fn the_source_of_a_check_needs_no_flag() {
        for string in ["postgresql://u:secret@h/d", "host=h password=x"] {
            let moved =
                Moved { arguments: words(&["check", "--report", "a.html"]), variables: vec![(SOURCE_VARIABLE, string.into())] };
            assert_eq!(without_passwords(words(&["check", string, "--report", "a.html"])), Some(moved));
        }
        assert_eq!(without_passwords(words(&["check", "postgresql://u@h/d"])), None);
    }

    #[test]
    fn what_holds_none_stays() {
        for line in [
            vec!["copy", "--source", "postgresql://u@h/d"],
            vec!["copy", "--target=service=new"],
            vec!["--help"],
            vec!["copy", "--source"],
        ] {
            assert_eq!(without_passwords(words(&line)), None, "{line:?}");
        }
    }

    #[test]
    fn a_password_with_a_slash_in_it_is_seen() {
        assert!(holds_password(OsStr::new("postgres://u:p/w@h/d")));
        assert!(holds_password(OsStr::new("postgres://h/d?user=u&password=x")));
        assert!(!holds_password(OsStr::new("postgres://h:5432/d")));
        assert!(!holds_password(OsStr::new("postgres://u@h:5432,h2:5433/d")));
    }
}
