//! Where the Postgres binaries are, whom they run as, and the template clusters that tests copy.
//!
//! Postgres refuses to run as root. As root everything runs as `nobody` (through `setpriv`), as anybody else it runs as that user. The
//! binaries must be reachable for that user: where a directory on the way is closed to others, they are copied once to the shared
//! test directory. `setpriv` also ties the server to us: when the process that started it dies, the server is told to quit.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};

/// The majors that every run must have.
pub const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// The superuser of every test cluster and its password (scram over TCP; the unix socket asks for none).
pub const SUPERUSER: &str = "postgres";
pub const SUPERUSER_PASSWORD: &str = "super-s3cret";

/// The user that servers run as: (uid, gid), or `None` if it is simply us.
pub fn unprivileged() -> Option<(u32, u32)> {
    static NOBODY: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *NOBODY.get_or_init(|| {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
        let line = passwd.lines().find(|line| line.starts_with("nobody:")).expect("the user nobody exists");
        let ids: Vec<u32> = line.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
        Some((ids[0], ids[1]))
    })
}

/// A command that runs as the unprivileged user.
pub fn as_unprivileged(program: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((uid, gid)) = unprivileged() {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.args(options).arg("--").arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// The directory that all test processes of this user share; short, because socket paths may have at most 107 bytes.
pub fn shared_dir() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let temp = std::env::temp_dir();
        let base = if temp.as_os_str().len() <= 40 { temp } else { PathBuf::from("/tmp") };
        let owner = fs::metadata("/proc/self").unwrap().uid();
        let shared = base.join(format!("nm-test-{owner}"));
        fs::create_dir_all(&shared).unwrap();
        give_away(&shared);
        sweep(&shared);
        shared
    })
}

/// Removes what killed test processes left behind: a directory is named after the process that made it.
fn sweep(shared: &Path) {
    for entry in fs::read_dir(shared).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix('c').and_then(|rest| rest.split('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Makes the unprivileged user the owner of one file or directory.
pub fn give_away(path: &Path) {
    if let Some((uid, gid)) = unprivileged() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// A client tool of version 18: psql, pg_dump, pg_restore, pgbench.
pub fn client_tool(name: &str) -> PathBuf {
    let tool = cache().join("client/bin").join(name);
    assert!(tool.exists(), "{} is missing: run scripts/fetch-postgres", tool.display());
    tool
}

/// The directory of the client tools, to be put on a child's PATH.
pub fn client_bin() -> PathBuf {
    client_tool("psql").parent().unwrap().to_path_buf()
}

fn cache() -> PathBuf {
    let place = std::env::var_os("NEON_MIGRATE_TEST_PG")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/pg"), PathBuf::from);
    fs::canonicalize(&place).unwrap_or_else(|_| panic!("{} is missing: run scripts/fetch-postgres", place.display()))
}

/// A server program of one major, at a place where the unprivileged user can run it.
pub fn server_tool(major: u32, name: &str) -> PathBuf {
    let origin = cache().join(major.to_string());
    assert!(
        origin.join("bin/postgres").exists(),
        "Postgres {major} is missing in {}: run scripts/fetch-postgres",
        origin.display()
    );
    let reachable = unprivileged().is_none() || origin.ancestors().all(|dir| fs::metadata(dir).unwrap().mode() & 0o001 != 0);
    if reachable {
        return origin.join("bin").join(name);
    }
    let copy = shared_dir().join(format!("pg{major}-{}", fingerprint(&origin)));
    once(&copy, |unfinished| {
        run(Command::new("cp").arg("-a").arg(&origin).arg(unfinished));
    });
    copy.join("bin").join(name)
}

/// The template cluster of a major: made once, then only read.
pub fn template(major: u32) -> PathBuf {
    let initdb = server_tool(major, "initdb");
    let template = shared_dir().join(format!("template{major}-{}", fingerprint(&cache().join(major.to_string()))));
    once(&template, |unfinished| {
        let password = unfinished.with_extension("password");
        fs::write(&password, SUPERUSER_PASSWORD).unwrap();
        give_away(&password);
        let mut command = as_unprivileged(&initdb, &[]);
        command.arg("-D").arg(unfinished).arg("--pwfile").arg(&password).args(["-U", SUPERUSER, "-E", "UTF8", "--no-sync"]);
        command.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C.UTF-8"]);
        if major >= 17 {
            command.arg("--locale-provider=builtin");
        }
        run(&mut command);
        fs::remove_file(password).unwrap();
    });
    template
}

/// Makes `place` once for all processes: under a file lock, beside its place, renamed when it is whole.
fn once(place: &Path, make: impl FnOnce(&Path)) {
    if place.exists() {
        return;
    }
    let lock = File::create(place.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !place.exists() {
        let unfinished = place.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        make(&unfinished);
        fs::rename(unfinished, place).unwrap();
    }
}

/// Tells one fetched build from another, so that a newer one gets a new template.
fn fingerprint(origin: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    fs::read(origin.join(".stamp")).ok().hash(&mut hasher);
    fs::metadata(origin.join("bin/postgres")).unwrap().mtime().hash(&mut hasher);
    format!("{:08x}", hasher.finish() as u32)
}

/// Runs a command to its end; panics with what it said if it failed.
pub fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?} ended with {}: {said}", done.status);
}

/// Starts a child from a thread that lives as long as the process. Linux ties the parent-death signal to the thread that
/// forked, and a thread of an async runtime may end long before the test does.
pub fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).unwrap();
    answer.recv().unwrap()
}

/// Writes a file for the server alone to read.
pub fn write_private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    give_away(path);
}

/// Sends a signal to a process. Whether it still lives is not our concern.
#[allow(unsafe_code)]
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: kill has no memory effects; the pid is that of a child that was not waited for yet, or of its child.
    unsafe { libc::kill(pid as i32, signal) };
}
