//! The bridge: client tools without TLS and without a password reach a server that demands both.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use neon_migrate::pg::bridge::Bridge;
use neon_migrate::pg::error::PgError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::connect::{Authority, info};
use crate::support::cluster::{Cluster, output};
use crate::support::poll;
use crate::support::postgres::{SUPERUSER, SUPERUSER_PASSWORD, client_tool};

const LIMIT: Duration = Duration::from_secs(30);

/// A server that takes only TLS with SCRAM, and a bridge to it with everything checked.
struct House {
    cluster: Cluster,
    bridge: Bridge,
    files: tempfile::TempDir,
}

async fn house(major: u32) -> House {
    let authority = Authority::new("ours");
    let hba = ["hostnossl all all all reject", "hostssl all all 127.0.0.1/32 scram-sha-256"];
    let cluster = Cluster::build(major).with_tls(&authority.server(&["localhost"])).with_hba(&hba).start().await;
    let files = tempfile::tempdir().unwrap();
    let root = files.path().join("root.pem");
    std::fs::write(&root, &authority.pem).unwrap();
    let text = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={SUPERUSER} password={SUPERUSER_PASSWORD} dbname=postgres sslmode=verify-full
         sslrootcert={} channel_binding=require",
        cluster.port,
        root.display()
    );
    let bridge = Bridge::start(info(&text), files.path(), CancellationToken::new()).unwrap();
    House { cluster, bridge, files }
}

impl House {
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(client_tool(name));
        self.bridge.prepare(&mut command);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn psql(&self, sql: &str) -> Result<String, String> {
        output(self.tool("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])).await
    }
}

#[tokio::test]
async fn a_dump_through_the_bridge_equals_a_direct_one() {
    for major in [14, 17, 18] {
        let house = house(major).await;
        let sample = "create table big as select n, repeat(md5(n::text), 20) as text from generate_series(1, 20000) n;
                      create view v as select count(*) from big; create function f() returns int language sql as 'select 1'";
        house.cluster.psql("postgres", sample).await;
        // Two dumps differ in the random key of psql's restricted mode, unless it is given.
        let direct = house.cluster.pg_dump("postgres", &["--restrict-key=tests"]).await;
        let bridged = output(house.tool("pg_dump").arg("--restrict-key=tests")).await.unwrap();
        assert!(direct.len() > 10_000_000, "{}", direct.len());
        assert!(direct == bridged, "the dumps differ");
        assert!(house.bridge.bytes_to_child() > 10_000_000 && house.bridge.bytes_to_server() > 1000);
        assert!(house.bridge.last_error().is_none());

        // In parallel, and back in again. pg_restore 18 sets a timeout that servers before 17 do not know.
        if major < 17 {
            continue;
        }
        let dir = house.files.path().join("dump");
        output(house.tool("pg_dump").args(["-Fd", "-j4", "-f"]).arg(&dir)).await.unwrap();
        house.psql("drop table big cascade; drop function f()").await.unwrap();
        output(house.tool("pg_restore").args(["-j4", "-d", "postgres"]).arg(&dir)).await.unwrap();
        assert!(house.cluster.pg_dump("postgres", &["--restrict-key=tests"]).await == direct, "what was restored differs");
        assert!(house.bridge.last_error().is_none());
    }
}

#[tokio::test]
async fn startup_parameters_pass_and_the_session_is_encrypted() {
    let house = house(17).await;
    let mut psql = house.tool("psql");
    psql.env("PGAPPNAME", "a child").env("PGOPTIONS", "-c work_mem=3MB").env("PGCLIENTENCODING", "LATIN1");
    let sql = "select s.ssl, current_setting('application_name'), current_setting('work_mem'), current_setting('client_encoding')
               from pg_stat_ssl s where pid = pg_backend_pid()";
    assert_eq!(output(psql.args(["-XAtqc", sql])).await.unwrap(), "t|a child|3MB|LATIN1\n");
}

#[tokio::test]
async fn a_child_sees_no_secret() {
    let house = house(18).await;
    let mut child = house.tool("psql").args(["-XAtqc", "select pg_sleep(60)"]).spawn().unwrap();
    let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
    poll::until_true(LIMIT, "the child is connected", async || house.cluster.query("postgres", running).await == "1").await;
    let proc = Path::new("/proc").join(child.id().unwrap().to_string());
    for file in ["environ", "cmdline"] {
        let text = String::from_utf8_lossy(&std::fs::read(proc.join(file)).unwrap()).into_owned();
        assert!(text.len() > 10);
        assert!(!text.contains(SUPERUSER_PASSWORD), "{file}");
    }
    let environ = String::from_utf8_lossy(&std::fs::read(proc.join("environ")).unwrap()).into_owned();
    assert!(environ.contains("PGSSLMODE=disable") && !environ.contains("CARGO"), "{environ}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(house.bridge.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_cancel_goes_through() {
    let house = house(18).await;
    let mut child = house.tool("psql").args(["-XAtqc", "select pg_sleep(61)"]).stderr(Stdio::piped()).spawn().unwrap();
    let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(61)' and state = 'active'";
    poll::until_true(LIMIT, "the statement runs", async || house.cluster.query("postgres", running).await == "1").await;
    crate::support::postgres::signal(child.id().unwrap(), libc::SIGINT);
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    tokio::time::timeout(LIMIT, stderr.read_to_string(&mut said)).await.expect("the child did not end").unwrap();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    child.wait().await.unwrap();
}

#[tokio::test]
async fn what_the_server_does_ends_with_the_child_and_with_the_bridge() {
    let house = house(18).await;
    let running = "select count(*) from pg_stat_activity where query like 'select pg_sleep(6_)' and state = 'active'";
    let active = async |count: &str| house.cluster.query("postgres", running).await == count;
    let mut killed = house.tool("psql").args(["-XAtqc", "select pg_sleep(62)"]).spawn().unwrap();
    poll::until_true(LIMIT, "the statement runs", async || active("1").await).await;
    killed.kill().await.unwrap();
    poll::until_true(LIMIT, "the statement of a killed child ends", async || active("0").await).await;

    let mut left = house.tool("psql").args(["-XAtqc", "select pg_sleep(63)"]).stderr(Stdio::null()).spawn().unwrap();
    poll::until_true(LIMIT, "the statement runs", async || active("1").await).await;
    let House { cluster, bridge, files: _files } = house;
    let dir = bridge.dir().to_owned();
    drop(bridge);
    assert!(!dir.exists());
    assert!(!tokio::time::timeout(LIMIT, left.wait()).await.expect("the child did not end").unwrap().success());
    poll::until_true(LIMIT, "the statement ends with the bridge", async || cluster.query("postgres", running).await == "0").await;
}

#[tokio::test]
async fn a_refused_login_reaches_the_child_and_the_caller() {
    let cluster = Cluster::start(18).await;
    let files = tempfile::tempdir().unwrap();
    let text = format!("host=127.0.0.1 port={} user={SUPERUSER} password=wrong dbname=postgres", cluster.port);
    let bridge = Bridge::start(info(&text), files.path(), CancellationToken::new()).unwrap();
    let house = House { cluster, bridge, files };
    let said = house.psql("select 1").await.unwrap_err();
    assert!(said.contains("did not accept the password for user postgres"), "{said}");
    let kept = house.bridge.last_error().unwrap();
    assert!(
        matches!(&*kept, PgError::Connect(error) if error.code() == "wrong-password" && error.sqlstate() == Some("28P01")),
        "{kept}"
    );
}

#[tokio::test]
async fn a_server_that_breaks_off_is_noticed() {
    let mut house = house(18).await;
    let mut child = house.tool("psql").args(["-XAtqc", "select pg_sleep(64)"]).stderr(Stdio::null()).spawn().unwrap();
    let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(64)' and state = 'active'";
    poll::until_true(LIMIT, "the statement runs", async || house.cluster.query("postgres", running).await == "1").await;
    house.cluster.kill9().await;
    assert!(!tokio::time::timeout(LIMIT, child.wait()).await.expect("the child did not end").unwrap().success());
    let said = house.psql("select 1").await.unwrap_err();
    assert!(said.contains("Nothing listens"), "{said}");
    assert!(house.bridge.last_error().unwrap().is_transient());
}

#[tokio::test]
async fn odd_first_packets_do_no_harm() {
    let house = house(18).await;
    let socket = house.bridge.dir().join(".s.PGSQL.5432");
    let answer = async |packet: &[u8]| {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        stream.write_all(packet).await.unwrap();
        let mut answer = vec![0; 9];
        let read = tokio::time::timeout(LIMIT, stream.read(&mut answer)).await.expect("no answer").unwrap_or(0);
        answer.truncate(read);
        answer
    };
    let packet = |code: u32, body: &[u8]| [&(8 + body.len() as u32).to_be_bytes(), &code.to_be_bytes(), body].concat();
    assert_eq!(answer(&packet(80_877_103, b"")).await, b"N");
    assert_eq!(answer(&packet(80_877_104, b"")).await, b"N");
    assert_eq!(answer(&packet(80_877_102, &[0; 8])).await, b"");
    assert_eq!(answer(b"\xff\xff\xff\xff").await, b"");
    assert_eq!(answer(&packet(2 << 16, b"user\0x\0\0")).await, b"");
    // A newer minor version with an unknown option is answered with what we speak.
    assert_eq!(answer(&packet(3 << 16 | 2, b"user\0x\0_pq_.new\0on\0\0")).await[0], b'v');
    assert_eq!(house.psql("select 1").await.unwrap(), "1\n");
}

#[tokio::test]
async fn a_long_path_is_no_obstacle() {
    let cluster = Cluster::start(16).await;
    let files = tempfile::tempdir().unwrap();
    let deep = files.path().join("a".repeat(90));
    std::fs::create_dir(&deep).unwrap();
    let text = format!("host={} port={} user={SUPERUSER} dbname=postgres", cluster.socket_dir().display(), cluster.port);
    let bridge = Bridge::start(info(&text), &deep, CancellationToken::new()).unwrap();
    let house = House { cluster, bridge, files };
    assert_eq!(house.psql("select 1").await.unwrap(), "1\n");
}
