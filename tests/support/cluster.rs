//! A real Postgres cluster for one test: copied from a template, started on a free port, gone when it is dropped.
//!
//! `let source = Cluster::start(16).await;` or, with more to say,
//! `Cluster::build(16).with_setting("max_connections", "20").with_tls(&certs).start().await`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::poll;
use super::postgres::{
    SUPERUSER, SUPERUSER_PASSWORD, as_unprivileged, client_tool, give_away, run, server_tool, shared_dir, signal,
    spawn_from_lasting_thread, template, write_private,
};

/// How long a server may take to start or to stop, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that tests may rely on. Durability is off, because no test pulls the plug of the machine; all else is real.
const SETTINGS: &str = "
fsync = off
full_page_writes = off
wal_level = logical
max_wal_senders = 12
max_replication_slots = 12
max_prepared_transactions = 4
max_connections = 60
shared_buffers = 48MB
min_wal_size = 32MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%a %u@%d '
listen_addresses = '127.0.0.1'
password_encryption = 'scram-sha-256'
";

/// A server certificate with its key, and the authority whose client certificates the server trusts; all PEM.
#[derive(Clone)]
pub struct ServerCerts {
    pub cert: String,
    pub key: String,
    pub client_ca: Option<String>,
}

/// A cluster that is about to be.
pub struct Builder {
    major: u32,
    settings: String,
    hba: String,
    certs: Option<ServerCerts>,
}

/// A running (or deliberately stopped) cluster.
pub struct Cluster {
    /// The major version.
    pub major: u32,
    /// The TCP port on 127.0.0.1; it stays the same across restarts.
    pub port: u16,
    dir: PathBuf,
    server: Option<Child>,
}

impl Builder {
    /// A line of postgresql.conf. The value is quoted here.
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.settings += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        self
    }

    /// Lines of pg_hba.conf that come before the usual ones (socket: trust; 127.0.0.1: scram-sha-256).
    pub fn with_hba(mut self, lines: &[&str]) -> Self {
        self.hba += &(lines.join("\n") + "\n");
        self
    }

    /// TLS with this certificate. Plain connections stay allowed unless `with_hba` forbids them.
    pub fn with_tls(mut self, certs: &ServerCerts) -> Self {
        self.certs = Some(certs.clone());
        self
    }

    /// Copies the template, writes the configuration and starts the server.
    pub async fn start(self) -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("c{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut cluster = Cluster { major: self.major, port: 0, dir: shared_dir().join(name), server: None };
        fs::create_dir(&cluster.dir).unwrap();
        give_away(&cluster.dir);
        run(as_unprivileged(Path::new("cp"), &[])
            .args(["-R", "--reflink=auto", "-p"])
            .arg(template(self.major))
            .arg(cluster.data()));
        self.configure(&cluster);
        for _ in 0..10 {
            cluster.port = free_port();
            if cluster.try_start().await {
                return cluster;
            }
        }
        panic!("the server did not start:\n{}", cluster.log());
    }

    fn configure(&self, cluster: &Cluster) {
        let data = cluster.data();
        let mut settings = format!("{SETTINGS}unix_socket_directories = '{}'\n", cluster.dir.display());
        if let Some(certs) = &self.certs {
            write_private(&data.join("server.crt"), &certs.cert);
            write_private(&data.join("server.key"), &certs.key);
            settings += "ssl = on\n";
            if let Some(ca) = &certs.client_ca {
                write_private(&data.join("client-ca.crt"), ca);
                settings += "ssl_ca_file = 'client-ca.crt'\n";
            }
        }
        write_private(&data.join("postgresql.auto.conf"), &(settings + &self.settings));
        let usual = "local all all trust\nlocal replication all trust\n\
                     host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n";
        write_private(&data.join("pg_hba.conf"), &format!("{}{usual}", self.hba));
    }
}

impl Cluster {
    /// A cluster of this major with nothing special about it.
    pub async fn start(major: u32) -> Cluster {
        Self::build(major).start().await
    }

    /// A cluster of this major, to be described further.
    pub fn build(major: u32) -> Builder {
        Builder { major, settings: String::new(), hba: String::new(), certs: None }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The directory of the unix socket, as libpq's `host` takes it.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// A connection string over TCP with a password.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        let [user, password, database] = [user, password, database].map(percent_encode);
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The superuser's connection string over TCP.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, SUPERUSER_PASSWORD, database)
    }

    /// A session of the superuser over the unix socket.
    pub async fn connect(&self, database: &str) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.dir).port(self.port).user(SUPERUSER).dbname(database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A client tool (psql, pg_dump, pg_restore, pgbench) that connects as the superuser over the unix socket.
    pub fn tool(&self, name: &str, database: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(client_tool(name));
        command.env("PGHOST", &self.dir).env("PGPORT", self.port.to_string()).env("PGUSER", SUPERUSER).env("PGDATABASE", database);
        command.env("PGOPTIONS", "-c client_min_messages=warning").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs statements with psql, stopping at the first error; returns unaligned rows without header, or what psql said.
    pub async fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.tool("psql", database);
        output(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])).await
    }

    /// As [`Self::try_psql`]; an error fails the test.
    pub async fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// The one value or the rows that a query returns, as text without the last line end.
    pub async fn query(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql).await.trim_end_matches('\n').to_owned()
    }

    /// Runs a file with psql, stopping at the first error.
    pub async fn psql_file(&self, database: &str, file: &Path) -> String {
        let mut psql = self.tool("psql", database);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file);
        output(&mut psql).await.unwrap_or_else(|error| panic!("{}\n{error}", file.display()))
    }

    /// What pg_dump of version 18 prints. It does not pin how bytea and timestamps print, so that is done here; and the random key
    /// that it writes into a plain dump is made the same, so that dumps can be compared.
    pub async fn pg_dump(&self, database: &str, args: &[&str]) -> String {
        let mut dump = self.tool("pg_dump", database);
        dump.env("PGOPTIONS", "-c bytea_output=hex -c timezone=UTC");
        if !args.iter().any(|arg| arg.starts_with("-F")) {
            dump.arg("--restrict-key=same");
        }
        output(dump.args(args)).await.unwrap_or_else(|error| panic!("pg_dump {args:?}\n{error}"))
    }

    /// An empty database in UTF8, owned by the superuser.
    pub async fn create_database(&self, name: &str) {
        self.psql(SUPERUSER, &format!("create database {}", neon_migrate::pg::names::Ident::new(name))).await;
    }

    /// Ends the client sessions whose application name or query is like the pattern; returns how many there were.
    pub async fn terminate_backends(&self, pattern: &str) -> u64 {
        let client = self.connect(SUPERUSER).await;
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid()
                   and backend_type in ('client backend', 'walsender') and (application_name like $1 or query like $1)";
        let ended: i64 = client.query_one(sql, &[&pattern]).await.unwrap().get(0);
        ended as u64
    }

    /// Stops the server as an administrator would (fast shutdown) and starts it again on the same port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts a stopped or killed server on the same port.
    pub async fn start_again(&mut self) {
        for _ in 0..3 {
            if self.try_start().await {
                return;
            }
        }
        panic!("the server did not start again:\n{}", self.log());
    }

    /// A fast shutdown: sessions are ended, a checkpoint is written.
    pub async fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        signal(server.id(), libc::SIGINT);
        poll::until_true(PATIENCE, "the server stops", async || server.try_wait().unwrap().is_some()).await;
    }

    /// Kills the server and all its processes at once, as a crash of the machine would; returns when all are gone.
    pub async fn kill9(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let family = family(server.id());
        family.iter().for_each(|pid| signal(*pid, libc::SIGKILL));
        server.wait().unwrap();
        let gone = async || family.iter().all(|pid| is_gone(*pid));
        poll::until_true(PATIENCE, "the killed processes are gone", gone).await;
    }

    /// Whether the server came up. It did not, for example, if another process took the port meanwhile.
    async fn try_start(&mut self) -> bool {
        let pid_file = self.data().join("postmaster.pid");
        let _ = fs::remove_file(&pid_file);
        let log = fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut command = as_unprivileged(&server_tool(self.major, "postgres"), &["--pdeathsig=QUIT"]);
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = spawn_from_lasting_thread(command).unwrap();
        let up = poll::until(PATIENCE, "the server starts", async || {
            if server.try_wait().unwrap().is_some() {
                return Some(false);
            }
            // The eighth line is the server's state: the same place where pg_ctl looks.
            let state = fs::read_to_string(&pid_file).ok()?;
            matches!(state.lines().nth(7)?.trim(), "ready" | "standby").then_some(true)
        });
        let up = up.await;
        self.server = up.then_some(server);
        up
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the last lines of Postgres {}'s log", self.major);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        if let Some(mut server) = self.server.take() {
            // An immediate shutdown; what it leaves is deleted anyway. If it does not obey, it is killed.
            signal(server.id(), libc::SIGQUIT);
            let obeyed = (0..500).any(|_| {
                let over = server.try_wait().is_ok_and(|status| status.is_some());
                if !over {
                    std::thread::sleep(Duration::from_millis(10));
                }
                over
            });
            if !obeyed {
                family(server.id()).iter().for_each(|pid| signal(*pid, libc::SIGKILL));
                let _ = server.wait();
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
}

/// Whether a process has ended. It may still be listed until init has collected it.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// A port that nobody uses, below the range from which the kernel gives ports to clients, so that it stays free over a restart.
fn free_port() -> u16 {
    loop {
        let port = rand::random_range(15_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs a tool to its end: its output, or what it said on failure.
pub async fn output(command: &mut tokio::process::Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output().await.unwrap();
    if done.status.success() {
        return Ok(String::from_utf8(done.stdout).unwrap());
    }
    Err(format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr)))
}

/// Encodes a part of a connection URI.
pub fn percent_encode(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}
