//! What surrounds a connection string: variables, the home directory and the user, passed in as a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The surroundings that libpq would look at. Tests make their own, so that the process's environment is never touched.
#[derive(Clone, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The home directory, for `.pgpass`, `.pg_service.conf` and `.postgresql/`.
    pub home: Option<PathBuf>,
    /// The operating system's name for the effective user: the default role.
    pub user: Option<String>,
    /// Where servers put their unix sockets by default, in the order in which they are looked at.
    pub socket_dirs: Vec<PathBuf>,
}

impl Environment {
    /// The surroundings of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        let uid = rustix::process::geteuid().as_raw();
        let user = user_name(uid).or_else(|| variables.get("USER").cloned()).or_else(|| variables.get("LOGNAME").cloned());
        let home = variables.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let socket_dirs = vec![PathBuf::from("/var/run/postgresql"), PathBuf::from("/tmp")];
        Environment { variables, home, user, socket_dirs }
    }

    /// A variable's value; libpq takes an empty variable for one that is not set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A path below the home directory.
    pub(super) fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// A path from a setting; libpq does not expand `~`, but a shell did not either when it stood in quotes.
    pub(super) fn expand(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/").and_then(|rest| self.in_home(rest)) {
            Some(path) => path,
            None => PathBuf::from(path),
        }
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: a value may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("variables", &self.variables.keys()).field("home", &self.home).finish_non_exhaustive()
    }
}

/// The name in `/etc/passwd`, as libpq's `getpwuid` would usually find it.
fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let line_uid = fields.nth(1)?;
        (line_uid.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
