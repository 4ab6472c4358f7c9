//! B2: pg_dump and pg_restore.

use crate::engine::finding::{Finding, Severity};
use crate::pg::tools::{NotFound, Platform, RECOMMENDED_MAJOR, Search, Tools};
use crate::pg::types::ServerVersion;

/// A few words.
pub(super) const TITLE: &str = "Client programs";

/// The long text.
pub(super) const EXPLAIN: &str = "\
pg_dump and pg_restore carry the definitions. They are looked for in the directory that `--pg-bin-dir` names, else in `PATH` and where \
packages put them. pg_dump refuses servers that are newer than itself, so both must be at least of the source's major.

The finding names what was found, and the command that installs them on this system.";

/// Finds pg_dump and pg_restore for a source, or gives the finding that says what is missing and how to install it.
pub(super) async fn find(search: &Search, source: ServerVersion) -> Result<Tools, Box<Finding>> {
    crate::pg::tools::find(search, source.major())
        .await
        .map_err(|missing| Box::new(finding(&missing, source, &Platform::current())))
}

fn finding(missing: &NotFound, source: ServerVersion, platform: &Platform) -> Finding {
    let wanted = missing.needed_major;
    let place = match &missing.bin_dir {
        Some(dir) => format!("in {}", dir.display()),
        None => "on this machine".to_owned(),
    };
    let newest = missing.candidates.iter().filter_map(|c| c.tools.as_ref().ok()).max_by_key(|tools| tools.major);
    let sentence = match newest {
        Some(tools) => {
            format!("The newest pg_dump {place} is {}, and the source is {source}: {wanted} or newer is needed.", tools.version)
        }
        None => format!("There is no usable pg_dump and pg_restore {place}; {wanted} or newer is needed for the source, {source}."),
    };
    let why = "pg_dump and pg_restore carry the definitions, and pg_dump refuses servers that are newer than itself.";
    let command = platform.install_command(RECOMMENDED_MAJOR.max(wanted));
    let fix = format!("Install the client programs, or name their directory with --pg-bin-dir:\n{command}");
    let found = missing.candidates.iter().map(ToString::to_string).collect();
    Finding::new("B2", Severity::Blocker, "this machine", sentence, why).with_fix(fix).with_objects(found)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::pg::tools::Candidate;

    #[test]
    fn says_what_was_found_and_how_to_install() {
        let dir = PathBuf::from("/usr/bin");
        let tools = Tools { pg_dump: dir.join("pg_dump"), pg_restore: dir.join("pg_restore"), major: 15, version: "15.20".into() };
        let missing = NotFound { needed_major: 17, candidates: vec![Candidate { dir, tools: Ok(tools) }], bin_dir: None };
        let finding = finding(&missing, ServerVersion(170_010), &Platform::Debian);
        assert_eq!(
            finding.sentence,
            "The newest pg_dump on this machine is 15.20, and the source is 17.10: 17 or newer is needed."
        );
        assert_eq!(finding.objects, ["15.20 in /usr/bin"]);
        assert!(finding.fix.is_some_and(|fix| fix.contains("postgresql-client-18")));
    }
}
