//! Finds pg_dump and pg_restore on this machine.
//!
//! pg_dump refuses servers newer than itself, so its major must be at least the source's. Both programs are taken from one
//! directory: pg_restore reads no archive of a newer pg_dump. A directory that was named on purpose is the only one looked at;
//! otherwise `PATH` comes first, in its order, and then the places where packages put the programs, newest major first.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// The environment variable that names the directory of pg_dump and pg_restore.
pub const BIN_DIR_VARIABLE: &str = "NEON_MIGRATE_PG_BIN_DIR";

/// The newest major whose client programs are known to serve every supported server.
pub const RECOMMENDED_MAJOR: u32 = 18;

/// How long `pg_dump --version` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The only directory to look at, if one was named.
    pub bin_dir: Option<PathBuf>,
    /// The directories of `PATH`, in order.
    pub path: Vec<PathBuf>,
    /// The root of the file system, below which the usual places are looked for; a test may name another one.
    pub root: PathBuf,
}

impl Search {
    /// Looks at what the command line named, else at this process's `PATH` and the usual places.
    pub fn new(bin_dir: Option<PathBuf>) -> Self {
        let path = std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
        Search { bin_dir, path, root: PathBuf::from("/") }
    }
}

/// pg_dump and pg_restore of one directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// The path of pg_dump.
    pub pg_dump: PathBuf,
    /// The path of pg_restore.
    pub pg_restore: PathBuf,
    /// The major version of both.
    pub major: u32,
    /// The version as they print it, such as `18.1`.
    pub version: String,
}

/// A directory with a pg_dump in it, and what is the matter with it, if anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The directory.
    pub dir: PathBuf,
    /// The programs, or why they cannot be used.
    pub tools: Result<Tools, String>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tools {
            Ok(tools) => write!(f, "{} in {}", tools.version, self.dir.display()),
            Err(why) => write!(f, "{}: {why}", self.dir.display()),
        }
    }
}

/// No usable pg_dump and pg_restore were found.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no pg_dump and pg_restore of major {needed_major} or later were found")]
pub struct NotFound {
    /// The least major that would do.
    pub needed_major: u32,
    /// What was found instead, and where.
    pub candidates: Vec<Candidate>,
    /// The directory that was named, if one was.
    pub bin_dir: Option<PathBuf>,
}

impl Tools {
    /// The directory of both.
    pub fn dir(&self) -> &Path {
        self.pg_dump.parent().unwrap_or(Path::new(""))
    }

    /// Whether psql is beside them.
    pub fn has_psql(&self) -> bool {
        ["psql", "psql.exe"].iter().any(|name| self.dir().join(name).is_file())
    }

    /// Whether the programs were built with TLS; nothing if that cannot be told.
    ///
    /// libpq without TLS refuses a connection string that insists on it before it connects (`sslmode value "require" invalid when SSL support is not
    /// compiled in`); with TLS it goes on and finds that there is no socket below a file.
    pub async fn speak_tls(&self) -> Option<bool> {
        let mut command = Command::new(&self.pg_dump);
        command.args(["--no-password", "--dbname", "host=/dev/null dbname=none user=none sslmode=require connect_timeout=2"]);
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(VERSION_LIMIT, command.output()).await.ok()?.ok()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("not compiled in") { Some(false) } else { said.contains("/dev/null").then_some(true) }
    }
}

/// Finds pg_dump and pg_restore of at least `needed_major`.
pub async fn find(search: &Search, needed_major: u32) -> Result<Tools, NotFound> {
    let mut candidates = Vec::new();
    let usable = |candidate: &Candidate| candidate.tools.as_ref().ok().filter(|tools| tools.major >= needed_major).cloned();
    for dir in first_places(search) {
        let Some(candidate) = inspect(&dir).await else { continue };
        if let Some(tools) = usable(&candidate) {
            return Ok(tools);
        }
        candidates.push(candidate);
    }
    let mut usual = Vec::new();
    if search.bin_dir.is_none() {
        for dir in usual_places(&search.root) {
            usual.extend(inspect(&dir).await);
        }
    }
    usual.sort_by_key(|candidate| std::cmp::Reverse(candidate.tools.as_ref().map_or(0, |tools| tools.major)));
    if let Some(tools) = usual.iter().find_map(usable) {
        return Ok(tools);
    }
    candidates.extend(usual);
    let mut seen = HashSet::new();
    candidates.retain(|candidate| seen.insert(candidate.dir.clone()));
    Err(NotFound { needed_major, candidates, bin_dir: search.bin_dir.clone() })
}

fn first_places(search: &Search) -> Vec<PathBuf> {
    match &search.bin_dir {
        Some(dir) => vec![dir.clone()],
        None => search.path.clone(),
    }
}

/// Where packages put the programs: Debian and Ubuntu, PGDG's RPMs, Alpine, Homebrew on both kinds of Mac, Postgres.app, MacPorts,
/// and the installer of EDB.
fn usual_places(root: &Path) -> Vec<PathBuf> {
    const PLACES: [(&str, &str, &str); 11] = [
        ("usr/lib/postgresql", "", "bin"),
        ("usr", "pgsql-", "bin"),
        ("usr/libexec", "postgresql", ""),
        ("opt/homebrew/opt", "postgresql@", "bin"),
        ("opt/homebrew/opt", "libpq", "bin"),
        ("usr/local/opt", "postgresql@", "bin"),
        ("usr/local/opt", "libpq", "bin"),
        ("home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
        ("Applications/Postgres.app/Contents/Versions", "", "bin"),
        ("opt/local/lib", "postgresql", "bin"),
        ("Library/PostgreSQL", "", "bin"),
    ];
    let below = |(parent, prefix, bin): &(&str, &str, &str)| {
        let entries = std::fs::read_dir(root.join(parent)).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        named.map(|entry| entry.path().join(bin)).collect::<Vec<_>>()
    };
    let mut places: Vec<PathBuf> = PLACES.iter().flat_map(below).collect();
    places.push(root.join("usr/local/pgsql/bin"));
    places.push(root.join("usr/local/bin"));
    places
}

/// What a directory has to offer; nothing if there is no pg_dump in it.
async fn inspect(dir: &Path) -> Option<Candidate> {
    let (pg_dump, pg_restore) = (dir.join("pg_dump"), dir.join("pg_restore"));
    if !pg_dump.is_file() || is_debian_wrapper(&pg_dump) {
        return None;
    }
    let tools = pair(pg_dump, pg_restore).await;
    Some(Candidate { dir: dir.to_owned(), tools })
}

async fn pair(pg_dump: PathBuf, pg_restore: PathBuf) -> Result<Tools, String> {
    if !pg_restore.is_file() {
        return Err("there is a pg_dump, but no pg_restore beside it".to_owned());
    }
    let version = version_of(&pg_dump).await?;
    let restore = version_of(&pg_restore).await?;
    match (major_of(&version), major_of(&restore)) {
        (Some(major), Some(other)) if major == other => Ok(Tools { pg_dump, pg_restore, major, version }),
        (Some(_), Some(_)) => Err(format!("pg_dump is {version} and pg_restore is {restore}; they must be of one major version")),
        _ => Err("what they print with --version was not understood".to_owned()),
    }
}

/// Debian puts a Perl script before the real programs, which picks a version by rules of its own. The real ones are among the usual
/// places.
fn is_debian_wrapper(program: &Path) -> bool {
    std::fs::canonicalize(program).is_ok_and(|real| real.ends_with("pg_wrapper"))
}

/// Runs `program --version` and gives the version, such as `18.1`.
async fn version_of(program: &Path) -> Result<String, String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = match tokio::time::timeout(VERSION_LIMIT, command.output()).await {
        Err(_) => return Err(format!("{name} --version did not answer within {} s", VERSION_LIMIT.as_secs())),
        Ok(Err(error)) => return Err(format!("{name} could not be started: {error}")),
        Ok(Ok(output)) if !output.status.success() => return Err(format!("{name} --version failed ({})", output.status)),
        Ok(Ok(output)) => output,
    };
    parse_version(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| format!("what {name} --version prints was not understood"))
}

/// Takes `18.1` from `pg_dump (PostgreSQL) 18.1 (Debian 18.1-1.pgdg12+2)`.
fn parse_version(output: &str) -> Option<String> {
    let (_, after) = output.lines().next()?.split_once("(PostgreSQL)")?;
    let version = after.split_whitespace().next()?;
    major_of(version).map(|_| version.to_owned())
}

/// The major of `18.1`, `19devel`, `18beta2` or `9.6.24` (which is 9).
fn major_of(version: &str) -> Option<u32> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The kinds of systems whose install command is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// Debian, Ubuntu and their kin.
    Debian,
    /// Fedora, with its release.
    Fedora(String),
    /// Red Hat Enterprise Linux, Rocky, Alma, CentOS Stream, Oracle; with the major release.
    RedHat(String),
    /// Alpine.
    Alpine,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
    /// Anything else.
    Other,
}

impl Platform {
    /// The system that this process runs on.
    pub fn current() -> Self {
        if cfg!(target_os = "macos") {
            return Platform::MacOs;
        }
        if cfg!(target_os = "windows") {
            return Platform::Windows;
        }
        Platform::from_os_release(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    /// Reads `/etc/os-release` (see os-release(5)).
    pub fn from_os_release(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_ascii_lowercase()
        };
        let id = value("ID");
        let version = value("VERSION_ID");
        let like = value("ID_LIKE");
        let is = |name: &str| id == name || like.split_whitespace().any(|other| other == name);
        if is("debian") || is("ubuntu") {
            Platform::Debian
        } else if id == "fedora" {
            Platform::Fedora(version)
        } else if is("rhel") || is("centos") {
            Platform::RedHat(version.split('.').next().unwrap_or_default().to_owned())
        } else if is("alpine") {
            Platform::Alpine
        } else {
            Platform::Other
        }
    }

    /// The commands that install pg_dump and pg_restore of a major version, in words where no command is known.
    pub fn install_command(&self, major: u32) -> String {
        let yum = "https://download.postgresql.org/pub/repos/yum/reporpms";
        let arch = std::env::consts::ARCH;
        match self {
            Platform::Debian => format!(
                "sudo apt-get update && sudo apt-get install -y postgresql-common ca-certificates\n\
                 sudo /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y\n\
                 sudo apt-get install -y postgresql-client-{major}"
            ),
            Platform::Fedora(release) => format!(
                "sudo dnf install -y {yum}/F-{release}-{arch}/pgdg-fedora-repo-latest.noarch.rpm\n\
                 sudo dnf install -y postgresql{major}"
            ),
            Platform::RedHat(release) => format!(
                "sudo dnf install -y {yum}/EL-{release}-{arch}/pgdg-redhat-repo-latest.noarch.rpm\n\
                 sudo dnf -qy module disable postgresql\n\
                 sudo dnf install -y postgresql{major}"
            ),
            Platform::Alpine => format!("sudo apk add postgresql{major}-client"),
            Platform::MacOs => format!("brew install postgresql@{major}"),
            Platform::Windows => {
                format!(
                    "Run neon-migrate inside WSL (wsl --install), and install there: sudo apt-get install postgresql-client-{major}"
                )
            }
            Platform::Other => {
                format!("Install the PostgreSQL {major} client programs for your system: https://www.postgresql.org/download/")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake(dir: &Path, program: &str, says: &str) {
        std::fs::create_dir_all(dir).unwrap();
        let path = dir.join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{says}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn fake_pair(dir: &Path, version: &str) {
        fake(dir, "pg_dump", &format!("echo 'pg_dump (PostgreSQL) {version}'"));
        fake(dir, "pg_restore", &format!("echo 'pg_restore (PostgreSQL) {version}'"));
    }

    #[test]
    fn versions_are_read_as_they_are_printed() {
        for (text, version, major) in [
            ("pg_dump (PostgreSQL) 18.1 (Debian 18.1-1.pgdg12+2)\n", "18.1", 18),
            ("pg_dump (PostgreSQL) 19devel\n", "19devel", 19),
            ("pg_restore (PostgreSQL) 18beta2", "18beta2", 18),
            ("pg_dump (PostgreSQL) 9.6.24", "9.6.24", 9),
        ] {
            assert_eq!(parse_version(text).as_deref(), Some(version));
            assert_eq!(major_of(version), Some(major));
        }
        assert_eq!(parse_version("pg_dump: command not found"), None);
        assert_eq!(parse_version(""), None);
    }

    #[tokio::test]
    async fn path_comes_first_and_the_newest_of_the_usual_places_next() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_owned();
        let on_path = root.join("on-path");
        fake_pair(&on_path, "16.4");
        for major in [14, 17, 18] {
            fake_pair(&root.join(format!("usr/lib/postgresql/{major}/bin")), &format!("{major}.2"));
        }
        let search = Search { bin_dir: None, path: vec![root.join("nowhere"), on_path.clone()], root: root.clone() };
        assert_eq!(find(&search, 15).await.unwrap().pg_dump, on_path.join("pg_dump"));
        assert_eq!(find(&search, 17).await.unwrap().major, 18);

        let missing = find(&search, 19).await.unwrap_err();
        let found: Vec<&str> = missing.candidates.iter().map(|c| c.tools.as_ref().unwrap().version.as_str()).collect();
        assert_eq!(found, ["16.4", "18.2", "17.2", "14.2"]);
    }

    #[tokio::test]
    async fn programs_without_tls_say_so() {
        let temp = tempfile::tempdir().unwrap();
        for (says, speaks) in [
            ("pg_dump: error: sslmode value \"require\" invalid when SSL support is not compiled in", Some(false)),
            ("pg_dump: error: connection to server on socket \"/dev/null/.s.PGSQL.5432\" failed: Not a directory", Some(true)),
            ("pg_dump: cannot execute", None),
        ] {
            fake(temp.path(), "pg_dump", &format!("echo '{says}' >&2; exit 1"));
            let (pg_dump, pg_restore) = (temp.path().join("pg_dump"), temp.path().join("pg_restore"));
            let tools = Tools { pg_dump, pg_restore, major: 18, version: "18.1".to_owned() };
            assert_eq!(tools.speak_tls().await, speaks, "{says}");
        }
    }

    #[tokio::test]
    async fn a_named_directory_is_the_only_one() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_owned();
        fake_pair(&root.join("usr/lib/postgresql/18/bin"), "18.2");
        fake_pair(&root.join("old"), "13.9");
        let search = Search { bin_dir: Some(root.join("old")), path: Vec::new(), root: root.clone() };
        let missing = find(&search, 14).await.unwrap_err();
        assert_eq!(missing.candidates.len(), 1);
        assert_eq!(missing.candidates[0].to_string(), format!("13.9 in {}", root.join("old").display()));
        assert_eq!(missing.bin_dir, Some(root.join("old")));
    }

    #[tokio::test]
    async fn half_a_pair_a_mixed_pair_and_a_failing_program_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let (lonely, mixed, broken) = (temp.path().join("lonely"), temp.path().join("mixed"), temp.path().join("broken"));
        fake(&lonely, "pg_dump", "echo 'pg_dump (PostgreSQL) 18.1'");
        fake_pair(&mixed, "18.1");
        fake(&mixed, "pg_restore", "echo 'pg_restore (PostgreSQL) 17.1'");
        fake_pair(&broken, "18.1");
        fake(&broken, "pg_dump", "exit 3");
        let search = Search { bin_dir: None, path: vec![lonely, mixed, broken], root: temp.path().join("empty") };
        let missing = find(&search, 14).await.unwrap_err();
        let why: Vec<String> = missing.candidates.into_iter().map(|c| c.tools.unwrap_err()).collect();
        assert!(why[0].contains("no pg_restore"), "{why:?}");
        assert!(why[1].contains("of one major"), "{why:?}");
        assert!(why[2].contains("failed"), "{why:?}");
    }

    #[test]
    fn platforms_are_recognised() {
        let read = Platform::from_os_release;
        assert_eq!(read("ID=debian\nVERSION_ID=\"12\"\n"), Platform::Debian);
        assert_eq!(read("NAME=Mint\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Platform::Debian);
        assert_eq!(read("ID=fedora\nVERSION_ID=42\n"), Platform::Fedora("42".into()));
        assert_eq!(read("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n"), Platform::RedHat("9".into()));
        assert_eq!(read("ID=alpine\n"), Platform::Alpine);
        assert_eq!(read(""), Platform::Other);
    }

    #[test]
    fn install_commands_name_the_major() {
        for platform in
            [Platform::Debian, Platform::Fedora("42".into()), Platform::RedHat("9".into()), Platform::Alpine, Platform::MacOs]
        {
            assert!(platform.install_command(18).contains("18"), "{platform:?}");
        }
    }
}
