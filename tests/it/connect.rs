//! Connections to real servers: TLS in all its modes, every way to log in, and what a person is told when it does not work.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use neon_migrate::pg::conninfo::{Conninfo, Environment};
use neon_migrate::pg::error::PgError;
use neon_migrate::pg::{auth, sql};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::cluster::{Cluster, ServerCerts};
use crate::support::postgres::{MAJORS, SUPERUSER, SUPERUSER_PASSWORD};

/// A certificate authority of the tests.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key. Without alternative names only the common name says whose it is.
    fn certify(&self, common_name: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server's certificate for these names.
    pub fn server(&self, names: &[&str]) -> ServerCerts {
        let (cert, key) = self.certify("server", names, |_| ());
        ServerCerts { cert, key, client_ca: Some(self.pem.clone()) }
    }
}

/// Files of the tests, private to their owner.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn surroundings(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment { variables, user: Some("nobody".to_owned()), ..Environment::default() }
}

pub fn info(text: &str) -> Conninfo {
    Conninfo::parse(text, &surroundings(&[])).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The superuser on a cluster, by the name `localhost`.
fn at(cluster: &Cluster, more: &str) -> String {
    format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={SUPERUSER} password={SUPERUSER_PASSWORD} dbname=postgres {more}",
        cluster.port
    )
}

/// `tls` or `plain` as the server sees the session, or the code of the error.
async fn outcome(text: &str) -> String {
    match sql::connect(&info(text), "tests").await {
        Ok(client) => {
            let row = client
                .query_one("select ssl from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()", &[])
                .await
                .unwrap();
            if row.get(0) { "tls".to_owned() } else { "plain".to_owned() }
        }
        Err(error) => refusal(&error).0.to_owned(),
    }
}

/// The code and the sentence of a refused connection.
fn refusal(error: &PgError) -> (&'static str, String) {
    let PgError::Connect(dial) = error else { panic!("not a refused connection: {error:?}") };
    let sentence = error.to_string();
    assert!(sentence.ends_with(['.', ';']), "no full sentence: {sentence}");
    assert!(!sentence.contains(SUPERUSER_PASSWORD), "a password is shown: {sentence}");
    (dial.code(), sentence)
}

#[tokio::test]
async fn every_sslmode_against_a_good_certificate() {
    let (authority, other, files) = (Authority::new("ours"), Authority::new("other"), Files::new());
    let cluster = Cluster::build(18).with_tls(&authority.server(&["localhost"])).start().await;
    let (ours, other) = (files.put("ours.pem", &authority.pem), files.put("other.pem", &other.pem));
    let both = files.put("both.pem", &format!("{}{}", std::fs::read_to_string(&other).unwrap(), authority.pem));
    let cases = [
        ("disable", "", "plain"),
        ("allow", "", "plain"),
        ("prefer", "", "tls"),
        ("require", "", "tls"),
        ("prefer", &other, "tls"),
        ("require", &ours, "tls"),
        ("require", &other, "certificate-untrusted"),
        ("verify-ca", &ours, "tls"),
        ("verify-ca", &both, "tls"),
        ("verify-ca", &other, "certificate-untrusted"),
        ("verify-full", &ours, "tls"),
        ("verify-full", &other, "certificate-untrusted"),
        ("verify-full", "system", "certificate-untrusted"),
    ];
    for (mode, root, expected) in cases {
        let root = if root.is_empty() { String::new() } else { format!("sslrootcert={root}") };
        assert_eq!(outcome(&at(&cluster, &format!("sslmode={mode} {root}"))).await, expected, "{mode} {root}");
    }
    for version in ["TLSv1.2", "TLSv1.3"] {
        let text = at(
            &cluster,
            &format!(
                "sslmode=verify-full sslrootcert={ours} ssl_min_protocol_version={version} ssl_max_protocol_version={version}"
            ),
        );
        let client = sql::connect(&info(&text), "tests").await.unwrap();
        let row = client
            .query_one("select version from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), version);
    }
    let empty = files.put("empty.pem", "no certificate");
    let error = sql::connect(&info(&at(&cluster, &format!("sslmode=verify-ca sslrootcert={empty}"))), "tests").await.unwrap_err();
    assert_eq!(refusal(&error).0, "tls-file");
}

#[tokio::test]
async fn certificates_with_a_wrong_name_or_date_and_those_of_the_old_recipe() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let root = files.put("root.pem", &authority.pem);
    let outcomes = async |certs: (String, String), root: &str| {
        let certs = ServerCerts { cert: certs.0, key: certs.1, client_ca: None };
        let cluster = Cluster::build(17).with_tls(&certs).start().await;
        let mut seen = Vec::new();
        for mode in ["require", "verify-ca", "verify-full"] {
            let root = if mode == "require" { String::new() } else { format!("sslrootcert={root}") };
            seen.push(outcome(&at(&cluster, &format!("sslmode={mode} {root}"))).await);
        }
        seen.join(" ")
    };
    let wrong_name = authority.certify("localhost", &["db.example"], |_| ());
    assert_eq!(outcomes(wrong_name, &root).await, "tls tls certificate-wrong-name");
    let expired = authority.certify("x", &["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert_eq!(outcomes(expired, &root).await, "tls certificate-expired certificate-expired");
    let future = authority.certify("x", &["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    });
    assert_eq!(outcomes(future, &root).await, "tls certificate-not-yet-valid certificate-not-yet-valid");
    // Without alternative names the common name counts, as in libpq.
    assert_eq!(outcomes(authority.certify("localhost", &[], |_| ()), &root).await, "tls tls tls");
    assert_eq!(outcomes(authority.certify("other", &[], |_| ()), &root).await, "tls tls certificate-wrong-name");

    // A self-signed authority's certificate as the server's own, trusted by itself: what `openssl req -x509` makes.
    let own = |name: &str, year: i32| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    for (name, year, expected) in [
        ("localhost", 2090, "tls tls tls"),
        ("other", 2090, "tls tls certificate-wrong-name"),
        ("localhost", 2021, "tls certificate-expired certificate-expired"),
    ] {
        let certs = own(name, year);
        let root = files.put("own.pem", &certs.0);
        assert_eq!(outcomes(certs, &root).await, expected, "{name} {year}");
    }
    let untrusted = own("localhost", 2090);
    assert!(!outcomes(untrusted, &root).await.contains("tls tls"));
}

#[tokio::test]
async fn a_server_without_tls_and_servers_that_want_one_kind_of_connection() {
    let plain = Cluster::start(16).await;
    for (mode, expected) in [("disable", "plain"), ("allow", "plain"), ("prefer", "plain"), ("require", "tls-not-offered")] {
        assert_eq!(outcome(&at(&plain, &format!("sslmode={mode}"))).await, expected, "{mode}");
    }
    assert_eq!(outcome(&at(&plain, "channel_binding=require")).await, "channel-binding-unavailable");

    let authority = Authority::new("ours");
    let certs = authority.server(&["localhost"]);
    let only_tls = Cluster::build(16).with_tls(&certs).with_hba(&["hostnossl all all all reject"]).start().await;
    for (mode, expected) in [("disable", "no-hba-entry"), ("allow", "tls"), ("prefer", "tls"), ("require", "tls")] {
        assert_eq!(outcome(&at(&only_tls, &format!("sslmode={mode}"))).await, expected, "{mode}");
    }
    let only_plain = Cluster::build(16).with_tls(&certs).with_hba(&["hostssl all all all reject"]).start().await;
    for (mode, expected) in [("disable", "plain"), ("allow", "plain"), ("prefer", "plain"), ("require", "no-hba-entry")] {
        assert_eq!(outcome(&at(&only_plain, &format!("sslmode={mode}"))).await, expected, "{mode}");
    }
}

#[tokio::test]
async fn direct_tls_needs_version_17() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let root = files.put("root.pem", &authority.pem);
    for (major, expected) in [(16, "tls-direct-refused"), (17, "tls"), (18, "tls")] {
        let cluster = Cluster::build(major).with_tls(&authority.server(&["localhost"])).start().await;
        let text = at(&cluster, &format!("sslmode=verify-full sslrootcert={root} sslnegotiation=direct channel_binding=require"));
        assert_eq!(outcome(&text).await, expected, "{major}");
    }
}

#[tokio::test]
async fn every_major_logs_in_by_every_method() {
    let authority = Authority::new("ours");
    for major in MAJORS {
        let hba = ["host all clear 127.0.0.1/32 password", "host all free 127.0.0.1/32 trust", "host all old 127.0.0.1/32 md5"];
        let cluster = Cluster::build(major).with_tls(&authority.server(&["localhost"])).with_hba(&hba).start().await;
        let roles =
            "create role clear login password 'pw'; create role free login; create role \"Sl o:w\" login password 'p:ä ''w';
                     set password_encryption = 'md5'; create role old login password 'pw'";
        cluster.psql(SUPERUSER, roles).await;
        let by = |user: &str, password: &str, more: &str| {
            format!("host=127.0.0.1 port={} user={user} password={password} dbname=postgres sslmode=require {more}", cluster.port)
        };
        let cases = [
            (by(SUPERUSER, SUPERUSER_PASSWORD, "channel_binding=require"), "tls"),
            (by(SUPERUSER, SUPERUSER_PASSWORD, "channel_binding=disable require_auth=scram-sha-256"), "tls"),
            (by(SUPERUSER, SUPERUSER_PASSWORD, "require_auth=!scram-sha-256"), "authentication-not-allowed"),
            (by("'Sl o:w'", "'p:ä \\'w'", "channel_binding=require"), "tls"),
            (by("old", "pw", ""), "tls"),
            (by("old", "pw", "require_auth=scram-sha-256"), "authentication-not-allowed"),
            (by("old", "pw", "channel_binding=require"), "channel-binding-unavailable"),
            (by("clear", "pw", ""), "tls"),
            (by("clear", "pw", "require_auth=md5,scram-sha-256"), "authentication-not-allowed"),
            (by("clear", "pw", "channel_binding=require"), "channel-binding-unavailable"),
            (by("free", "x", ""), "tls"),
            (by("free", "x", "require_auth=!none"), "authentication-not-allowed"),
            (by("free", "x", "channel_binding=require"), "channel-binding-unavailable"),
            (by("clear", "wrong", ""), "wrong-password"),
            (by("old", "wrong", ""), "wrong-password"),
            (by(SUPERUSER, "wrong", "channel_binding=require"), "wrong-password"),
        ];
        for (text, expected) in cases {
            assert_eq!(outcome(&text).await, expected, "{major}: {text}");
        }
    }
}

#[tokio::test]
async fn client_certificates() {
    let (authority, stranger, files) = (Authority::new("ours"), Authority::new("stranger"), Files::new());
    let cluster = Cluster::build(18)
        .with_tls(&authority.server(&["localhost"]))
        .with_hba(&["hostssl all carol 127.0.0.1/32 cert"])
        .start()
        .await;
    cluster.psql(SUPERUSER, "create role carol login").await;
    let root = files.put("root.pem", &authority.pem);
    let put = |name: &str, pair: (String, String)| {
        (files.put(&format!("{name}.crt"), &pair.0), files.put(&format!("{name}.key"), &pair.1))
    };
    let (cert, key) = put("carol", authority.certify("carol", &[], |_| ()));
    let (mallory, mallory_key) = put("mallory", authority.certify("mallory", &[], |_| ()));
    let (foreign, foreign_key) = put("foreign", stranger.certify("carol", &[], |_| ()));
    let base = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=carol dbname=postgres sslmode=verify-full sslrootcert={root}",
        cluster.port
    );
    let with = |cert: &str, key: &str| format!("{base} sslcert={cert} sslkey={key}");
    assert_eq!(outcome(&with(&cert, &key)).await, "tls");
    assert_eq!(outcome(&base).await, "not-authorized");
    assert_eq!(outcome(&with(&mallory, &mallory_key)).await, "not-authorized");
    assert_eq!(outcome(&with(&foreign, &foreign_key)).await, "tls-client-certificate-refused");
    assert_eq!(outcome(&with(&cert, "/no/such/key")).await, "tls-file");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = sql::connect(&info(&with(&cert, &key)), "tests").await.unwrap_err();
    assert!(refusal(&error).1.contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn what_does_not_work_is_explained() {
    let cluster = Cluster::build(15).with_hba(&["host all shut 127.0.0.1/32 reject"]).start().await;
    let setup = "create role shut login password 'x'; create role few login password 'x' connection limit 0;
                 create role out login password 'x';
                 create database closed; revoke connect on database closed from public";
    for statement in setup.split(';') {
        cluster.psql(SUPERUSER, statement).await;
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let by =
        |user: &str, password: &str, database: &str| format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", cluster.port);
    let cases = [
        (by(SUPERUSER, "wrong", "postgres"), "wrong-password", "Check the user and the password", false),
        (by("nobody-here", "wrong", "postgres"), "wrong-password", "nobody-here", false),
        (by(SUPERUSER, SUPERUSER_PASSWORD, "shoop"), "database-missing", "There is no database shoop", false),
        (by("shut", "x", "postgres"), "no-hba-entry", "pg_hba.conf", false),
        (by("few", "x", "postgres"), "too-many-connections", "connection limit", true),
        (by("out", "x", "closed"), "no-connect-privilege", "grant connect on database \"closed\" to \"out\";", false),
        (format!("postgres://{SUPERUSER}@127.0.0.1:{}/postgres", cluster.port), "password-missing", "~/.pgpass", false),
        (format!("postgres://u:p@127.0.0.1:{nothing}/d"), "connection-refused", "Nothing listens", true),
        (format!("postgres://u:p@127.0.0.1:{silent_port}/d?connect_timeout=2"), "connect-timeout", "within 2 s", true),
        ("host=/no/such/dir user=u".to_owned(), "no-socket", "unix_socket_directories", true),
    ];
    for (text, code, words, transient) in cases {
        let started = Instant::now();
        let error = sql::connect(&info(&text), "tests").await.unwrap_err();
        let (seen, sentence) = refusal(&error);
        assert_eq!(seen, code, "{text}: {sentence}");
        assert!(sentence.contains(words), "{sentence}");
        assert_eq!(error.is_transient(), transient, "{sentence}");
        assert!(started.elapsed() < Duration::from_secs(8), "{text} took {:?}", started.elapsed());
    }
    // A web server answers both the request for TLS and the startup packet with words of its own.
    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web_port = web.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            let mut request = [0; 8];
            let _ = stream.read_exact(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for mode in ["disable", "require"] {
        let error =
            sql::connect(&info(&format!("postgres://u:p@127.0.0.1:{web_port}/d?sslmode={mode}")), "tests").await.unwrap_err();
        assert_eq!(refusal(&error).0, "not-postgres", "{error}");
    }
    // A resolver that cannot reach a name server does not know that the name is wrong.
    let error = sql::connect(&info("postgres://u:p@no-such-host.invalid/d"), "tests").await.unwrap_err();
    let (code, sentence) = refusal(&error);
    assert!(matches!(code, "unknown-host" | "name-server-down") && sentence.contains("no-such-host.invalid"), "{sentence}");
}

#[tokio::test]
async fn passwords_and_settings_come_from_files() {
    let (cluster, files) = (Cluster::start(14).await, Files::new());
    let pass = files.put("pass", &format!("127.0.0.1:{}:*:{SUPERUSER}:{SUPERUSER_PASSWORD}\n", cluster.port));
    let services = files.put("services", &format!("[shop]\nhost=127.0.0.1\nport={}\nuser={SUPERUSER}\n", cluster.port));
    let environment = surroundings(&[("PGPASSFILE", &pass), ("PGSERVICEFILE", &services), ("PGDATABASE", "postgres")]);
    let info = Conninfo::parse("service=shop", &environment).unwrap();
    let client = sql::connect(&info, "tests").await.unwrap();
    assert_eq!(client.query_one("select current_user::text", &[]).await.unwrap().get::<_, String>(0), SUPERUSER);
    let socket = format!(
        "host={} port={} user={SUPERUSER} dbname=postgres sslmode=verify-full",
        cluster.socket_dir().display(),
        cluster.port
    );
    assert_eq!(outcome(&socket).await, "plain");
}

#[tokio::test]
async fn sessions_are_pinned_against_what_roles_and_databases_bring() {
    for major in MAJORS {
        let cluster = Cluster::start(major).await;
        let mut hostile = "alter role postgres set statement_timeout = '1s'; alter role postgres set search_path = public, pg_catalog;
            alter role postgres set timezone = 'Asia/Tokyo'; alter role postgres set datestyle = 'German'; alter role postgres set bytea_output = 'escape';
            alter role postgres set client_encoding = 'LATIN1'; alter role postgres set intervalstyle = 'iso_8601';
            alter role postgres set idle_session_timeout = '1h'; alter role postgres set extra_float_digits = 0"
            .to_owned();
        if major >= 17 {
            hostile += "; alter role postgres set transaction_timeout = '1s'";
        }
        cluster.psql(SUPERUSER, &hostile).await;
        let client = sql::connect(&info(&at(&cluster, "")), "pinned").await.unwrap();
        assert_eq!(client.server_version().major(), major);
        let settings = "select pg_catalog.string_agg(name || '=' || setting, ' ' order by name) from pg_catalog.pg_settings where name = any ($1)";
        let names = [
            "TimeZone",
            "DateStyle",
            "bytea_output",
            "client_encoding",
            "IntervalStyle",
            "statement_timeout",
            "idle_session_timeout",
            "extra_float_digits",
            "row_security",
            "search_path",
            "transaction_timeout",
            "lock_timeout",
            "application_name",
        ];
        let seen: String = client.query_one(settings, &[&names.as_slice()]).await.unwrap().get(0);
        for pinned in [
            "TimeZone=UTC",
            "DateStyle=ISO",
            "bytea_output=hex",
            "client_encoding=UTF8",
            "IntervalStyle=postgres",
            "statement_timeout=0",
            "idle_session_timeout=0",
            "extra_float_digits=3",
            "row_security=off",
            "search_path=\"\"",
            "lock_timeout=0",
            "application_name=pinned",
        ] {
            assert!(seen.contains(pinned), "{major}: {pinned} is not in {seen}");
        }
        assert_eq!(seen.contains("transaction_timeout=0"), major >= 17, "{seen}");
        // The raw login serves replication as well; its server is the same.
        let session = auth::login(&info(&at(&cluster, "")), &[("replication", "database")]).await.unwrap();
        assert_eq!(session.server_version().major(), major);
        assert!(session.buffer.is_empty() && session.process_id > 0 && !session.secret_key.is_empty());
    }
}

#[tokio::test]
async fn statements_are_cancelled_and_a_lost_connection_is_noticed() {
    let authority = Authority::new("ours");
    let cluster = Cluster::build(18).with_tls(&authority.server(&["localhost"])).start().await;
    let client = sql::connect(&info(&at(&cluster, "sslmode=require")), "victim").await.unwrap();
    let started = Instant::now();
    let canceller = client.canceller();
    let sleep = client.batch_execute("select pg_catalog.pg_sleep(60)");
    let cancel = async {
        let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active' and application_name = 'victim'";
        crate::support::poll::until_true(Duration::from_secs(20), "the statement runs", async || {
            cluster.query("postgres", running).await == "1"
        })
        .await;
        canceller.cancel().await.unwrap();
    };
    let (slept, ()) = tokio::join!(sleep, cancel);
    assert_eq!(PgError::from(slept.unwrap_err()).sqlstate(), Some("57014"));
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(!client.is_closed());

    assert_eq!(cluster.terminate_backends("victim").await, 1);
    tokio::time::timeout(Duration::from_secs(20), client.lost()).await.expect("the loss was not noticed");
    assert!(client.is_closed());
}

#[tokio::test]
async fn several_hosts_are_tried_until_one_fits() {
    let writable = Cluster::start(18).await;
    let readonly = Cluster::build(14).with_setting("default_transaction_read_only", "on").start().await;
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let all = |more: &str| {
        let ports = format!("{nothing},{},{}", readonly.port, writable.port);
        format!(
            "host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports} user={SUPERUSER} password={SUPERUSER_PASSWORD} dbname=postgres {more}"
        )
    };
    let reached = async |more: &str| match sql::connect(&info(&all(more)), "tests").await {
        Ok(client) => client.server_version().major().to_string(),
        Err(error) => refusal(&error).0.to_owned(),
    };
    assert_eq!(reached("").await, "14");
    assert_eq!(reached("target_session_attrs=read-write").await, "18");
    assert_eq!(reached("target_session_attrs=read-only").await, "14");
    assert_eq!(reached("target_session_attrs=primary").await, "14");
    assert_eq!(reached("target_session_attrs=prefer-standby").await, "14");
    assert_eq!(reached("target_session_attrs=standby").await, "no-server-usable");
    assert!(["14", "18"].contains(&reached("load_balance_hosts=random").await.as_str()));
    let error = sql::connect(&info(&all("target_session_attrs=standby")), "tests").await.unwrap_err();
    let (_, sentence) = refusal(&error);
    for words in ["None of the 3 servers", "Nothing listens", "is a primary"] {
        assert!(sentence.contains(words), "{sentence}");
    }
    // A refused login ends the search: the next server would refuse it too, and might lock the role.
    let wrong = all("").replace(SUPERUSER_PASSWORD, "wrong");
    assert_eq!(outcome(&wrong).await, "wrong-password");
}
