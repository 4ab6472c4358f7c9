//! What is kept of the projects that were created: `projects/<id>.json` in the state directory, for its owner only, and without a password.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::report::{Exit, Report};
use crate::migration::error::Error;
use crate::neon::types::{ConnectionUri, NewProject, Project};

/// A project that was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedProject {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The major version of Postgres.
    pub pg_version: u32,
    /// The host of direct connections; nothing before it is ready.
    pub host: Option<String>,
    /// The database.
    pub database: String,
    /// The role that owns it.
    pub role: String,
    /// The connection string without its password; nothing before it is ready.
    pub connection: Option<String>,
    /// When it was created, by Neon's clock.
    pub created_at: Timestamp,
    /// The label of the source that it was created for.
    pub source: Option<String>,
}

impl SavedProject {
    /// What is known when Neon has answered.
    pub(super) fn new(project: &Project, request: &NewProject, source: Option<String>) -> SavedProject {
        SavedProject {
            id: project.id.clone(),
            name: project.name.clone(),
            region: project.region_id.clone(),
            pg_version: project.pg_version,
            host: None,
            database: request.branch.database_name.clone(),
            role: request.branch.role_name.clone(),
            connection: None,
            created_at: project.created_at,
            source,
        }
    }

    /// Adds how to connect.
    pub(super) fn ready(&mut self, uri: &ConnectionUri) -> Result<(), Report> {
        let usable = uri.host().zip(uri.without_password());
        let Some((host, connection)) = usable else {
            return Err(Report::new("neon-answer", Exit::NeonApi, "Neon answered with a connection string that is none.")
                .with_fix("Take the connection string from Neon's console."));
        };
        (self.host, self.connection) = (Some(host), Some(connection));
        Ok(())
    }
}

/// The project that was created last for a source, if it is ready. What cannot be read is passed over.
pub fn latest_for(root: &Path, source_label: &str) -> Option<SavedProject> {
    let entries = std::fs::read_dir(folder(root)).into_iter().flatten().flatten().map(|entry| entry.path());
    let saved = entries.filter(|path| path.extension().is_some_and(|kind| kind == "json")).filter_map(|path| {
        let text = std::fs::read(path).ok()?;
        serde_json::from_slice::<SavedProject>(&text).ok()
    });
    let fitting = saved.filter(|saved| saved.source.as_deref() == Some(source_label) && saved.connection.is_some());
    fitting.max_by_key(|saved| saved.created_at)
}

/// The file with the connection string and its password, if it was kept.
pub fn kept_connection(root: &Path, id: &str) -> Option<PathBuf> {
    is_id(id).then(|| connection_file(&folder(root), id)).filter(|path| path.is_file())
}

fn folder(root: &Path) -> PathBuf {
    root.join("projects")
}

fn connection_file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.connection"))
}

/// Makes the folder, and makes sure that it can be written.
pub(super) fn prepare(root: &Path) -> Result<PathBuf, Report> {
    let folder = folder(root);
    let made = || {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let probe = folder.join(format!(".probe-{}", std::process::id()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
        std::fs::remove_file(&probe)
    };
    made().map_err(|error| failed(format!("making the directory {}", folder.display()), error))?;
    Ok(folder)
}

/// Writes what is known of a project; a reader sees the old text or the new one.
pub(super) fn save(folder: &Path, saved: &SavedProject) -> Result<(), Report> {
    let place = folder.join(format!("{}.json", checked(&saved.id)?));
    let fresh = folder.join(format!(".{}.{}", saved.id, std::process::id()));
    let write = || {
        let text = serde_json::to_vec_pretty(saved)?;
        write_new(&fresh, &text)?;
        std::fs::rename(&fresh, &place)
    };
    write().map_err(|error| failed(format!("writing {}", place.display()), error))
}

/// Keeps the connection string with its password, for the owner of the file only.
pub(super) fn keep_connection(folder: &Path, id: &str, uri: &ConnectionUri) -> Result<PathBuf, Report> {
    let place = connection_file(folder, checked(id)?);
    write_new(&place, uri.expose().as_bytes()).map_err(|error| failed(format!("writing {}", place.display()), error))?;
    Ok(place)
}

/// Writes a file that was not there; from its first moment nobody else can read it.
fn write_new(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// An id becomes the name of a file, and comes from outside.
fn checked(id: &str) -> Result<&str, Report> {
    if is_id(id) {
        return Ok(id);
    }
    Err(Report::new("neon-answer", Exit::NeonApi, "Neon answered with a project's id that is none.")
        .with_fix("Look at the project in Neon's console, and check --api-url."))
}

fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=60).contains(&id.len()) && id.bytes().all(plain)
}

fn failed(doing: String, error: std::io::Error) -> Report {
    Error::File { doing, error }.report()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn saved(id: &str, source: Option<&str>, second: i64, ready: bool) -> SavedProject {
        SavedProject {
            id: id.to_owned(),
            name: "shop".to_owned(),
            region: "aws-us-east-2".to_owned(),
            pg_version: 17,
            host: ready.then(|| "ep-x".to_owned()),
            database: "shop".to_owned(),
            role: "app".to_owned(),
            connection: ready.then(|| format!("postgresql://app@ep-{id}/shop")),
            created_at: Timestamp::from_second(second).unwrap(),
            source: source.map(str::to_owned),
        }
    }

    #[test]
    fn the_latest_project_of_a_source_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(latest_for(root.path(), "a"), None);
        let folder = prepare(root.path()).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for (id, source, second, ready) in [
            ("old", Some("a"), 1, true),
            ("new", Some("a"), 2, true),
            ("late", Some("a"), 3, false),
            ("other", Some("b"), 4, true),
            ("no", None, 5, true),
        ] {
            save(&folder, &saved(id, source, second, ready)).unwrap();
        }
        std::fs::write(folder.join("broken.json"), "{").unwrap();
        assert_eq!(latest_for(root.path(), "a").map(|saved| saved.id).as_deref(), Some("new"));
        save(&folder, &saved("late", Some("a"), 3, true)).unwrap();
        assert_eq!(latest_for(root.path(), "a").map(|saved| saved.id).as_deref(), Some("late"));
        let mode = std::fs::metadata(folder.join("late.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 6, "{left:?}");
    }

    #[test]
    fn an_id_is_no_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = prepare(root.path()).unwrap();
        for id in ["", "../x", "a/b", "UPPER", "a.b", &"a".repeat(61)] {
            assert_eq!(save(&folder, &saved(id, None, 1, true)).unwrap_err().code, "neon-answer", "{id}");
            assert_eq!(kept_connection(root.path(), id), None);
        }
    }

    #[test]
    fn a_password_is_kept_in_a_file_of_its_own_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = prepare(root.path()).unwrap();
        let uri: ConnectionUri = serde_json::from_str("\"postgresql://app:secret@ep-x/shop\"").unwrap();
        let place = keep_connection(&folder, "shop-1", &uri).unwrap();
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "postgresql://app:secret@ep-x/shop\n");
        assert_eq!(kept_connection(root.path(), "shop-1"), Some(place));
        assert_eq!(keep_connection(&folder, "shop-1", &uri).unwrap_err().code, "state-file");
    }
}
