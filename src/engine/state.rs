//! Where migrations keep their state: a root directory with one directory for each.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::journal;
use super::report::{Exit, Report};

/// The root: `explicit` if it was given, else `$XDG_STATE_HOME/neon-migrate`, else `~/.local/state/neon-migrate`
/// (XDG Base Directory Specification).
pub fn root(explicit: Option<&Path>) -> Result<PathBuf, Report> {
    let from_env = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    explicit
        .map(Path::to_owned)
        .or_else(|| from_env("XDG_STATE_HOME").map(|dir| dir.join("neon-migrate")))
        .or_else(|| from_env("HOME").map(|home| home.join(".local/state/neon-migrate")))
        .ok_or_else(|| {
            Report::new("state-no-directory", Exit::Usage, "There is no place for the migration's state: HOME is not set.")
                .with_fix("Name a directory with `--state-dir DIR`.")
        })
}

/// Makes the root where it is missing, for its owner only.
///
/// # Errors
/// It cannot be made.
pub fn make_root(root: &Path) -> Result<(), Report> {
    crate::store::make_private_dir(root).map_err(|error| {
        Report::new("state-failed", Exit::State, format!("The state directory {} cannot be used.", root.display()))
            .with_cause(format!("{error}."))
            .with_fix("Name a directory that you may write to with `--state-dir`.")
    })
}

/// The directory of the migration between two databases: the same two always give the same one. `source` and `target` name them
/// without secrets, such as `user@host:port/database`.
pub fn migration_dir(root: &Path, source: &str, target: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{source}\n{target}"));
    let database = source.rsplit('/').next().unwrap_or_default();
    let readable: String = database.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(40).collect();
    let separator = if readable.is_empty() { "" } else { "-" };
    root.join(format!("{readable}{separator}{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]))
}

/// The migrations under `root`, those worked on last first. A root that does not exist has none.
pub fn migrations(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<(SystemTime, PathBuf)> = entries.filter_map(|dir| Some((touched(&dir)?, dir))).collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// When a migration was last written to; nothing if the directory holds none. SQLite writes to the WAL file before the database.
fn touched(dir: &Path) -> Option<SystemTime> {
    let modified = |file: String| std::fs::metadata(dir.join(file)).and_then(|metadata| metadata.modified()).ok();
    let database = modified(journal::FILE.to_owned())?;
    Some(modified(format!("{}-wal", journal::FILE)).map_or(database, |wal| wal.max(database)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use super::*;

    #[test]
    fn a_migration_has_one_place_that_can_be_recognised() {
        let root = Path::new("/r");
        let dir = migration_dir(root, "app@db.example.org:5432/shop", "app@ep-x.neon.tech:5432/shop");
        assert!(dir.to_str().unwrap().starts_with("/r/shop-"), "{dir:?}");
        assert_eq!(dir, migration_dir(root, "app@db.example.org:5432/shop", "app@ep-x.neon.tech:5432/shop"));
        assert_ne!(dir, migration_dir(root, "app@db.example.org:5433/shop", "app@ep-x.neon.tech:5432/shop"));
        let hostile = migration_dir(root, "a@b:1/..\n*", "x");
        assert_eq!(hostile.parent(), Some(root));
    }

    #[test]
    fn the_migration_worked_on_last_comes_first() {
        let root = tempfile::tempdir().unwrap();
        assert!(migrations(&root.path().join("none")).is_empty());
        for (name, age) in [("old", 60), ("new", 0), ("middle", 30)] {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let file = std::fs::File::create(dir.join(journal::FILE)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        std::fs::create_dir(root.path().join("unrelated")).unwrap();
        let names: Vec<_> = migrations(root.path()).iter().map(|dir| dir.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["new", "middle", "old"]);
    }
}
