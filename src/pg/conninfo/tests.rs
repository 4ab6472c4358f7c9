#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

/// Surroundings with nothing in them but a user.
fn bare() -> Environment {
    Environment { user: Some("ada".to_owned()), ..Environment::default() }
}

fn with(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment { variables, ..bare() }
}

fn parse(text: &str) -> Conninfo {
    Conninfo::parse(text, &bare()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    Conninfo::parse(text, &bare()).expect_err(text).to_string()
}

fn password(info: &Conninfo) -> Option<String> {
    info.password(&info.endpoints()[0]).map(|password| password.expose_secret().to_owned())
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn uris_of_every_shape() {
    let cases = [
        ("postgres://", "ada@localhost:5432/ada"),
        ("postgresql://bob@db.example", "bob@db.example:5432/bob"),
        ("postgres://bob:pw@db.example:6000/shop", "bob@db.example:6000/shop"),
        ("postgres://bob@[2001:db8::1]:6000/shop", "bob@[2001:db8::1]:6000/shop"),
        ("postgres://bob@a:1,b,[::1]:3/shop", "bob@a:1,b:5432,[::1]:3/shop"),
        ("postgres://bob@%2Fvar%2Flib%2Fpg:6000/shop", "bob@/var/lib/pg:6000/shop"),
        ("postgres:///shop?host=/var/lib/pg&user=bob", "bob@/var/lib/pg:5432/shop"),
        ("postgres://db.example?user=bob&dbname=shop&port=6000", "bob@db.example:6000/shop"),
        ("postgres://a%20b@db.example/d%2Fe%25", "a b@db.example:5432/d/e%"),
        ("host=db.example user=bob dbname=shop port=6000", "bob@db.example:6000/shop"),
        ("host = db.example user= 'b o\\'b' dbname ='a\\\\b'", "b o'b@db.example:5432/a\\b"),
        ("host=a,b port=1,2 dbname=x", "ada@a:1,b:2/x"),
        ("host=a,b port=7 dbname=x", "ada@a:7,b:7/x"),
        ("hostaddr=10.0.0.1 dbname=x", "ada@10.0.0.1:5432/x"),
        ("shop", "ada@localhost:5432/shop"),
        ("", "ada@localhost:5432/ada"),
    ];
    for (text, label) in cases {
        assert_eq!(parse(text).label(), label, "{text}");
    }
}

#[test]
fn what_consoles_and_frameworks_give_works() {
    let neon = "postgresql://shop_owner:npg_S3cret@ep-cool-darkness-123456.us-east-2.aws.neon.tech/shop?sslmode=require&channel_binding=require";
    let info = parse(neon);
    assert_eq!((info.tls().mode, info.channel_binding()), (SslMode::Require, ChannelBinding::Require));
    assert_eq!(password(&info).as_deref(), Some("npg_S3cret"));
    assert!(info.is_pooled_hint().is_none() && info.notices().is_empty());
    for pasted in [
        format!("psql '{neon}'"),
        format!("DATABASE_URL=\"{neon}\""),
        format!("export DATABASE_URL='{neon}'\n"),
        format!("\"{neon}\""),
    ] {
        assert_eq!(parse(&pasted).label(), info.label(), "{pasted}");
        assert_eq!(parse(&pasted).channel_binding(), ChannelBinding::Require, "{pasted}");
    }

    let prisma = parse("postgresql://u:p@h/db?schema=public&connection_limit=5&pgbouncer=true&uselibpqcompat=true&sslmode=require");
    assert_eq!(prisma.notices().len(), 2);
    assert!(prisma.notices()[0].contains("schema"), "{:?}", prisma.notices());
    assert!(prisma.is_pooled_hint().unwrap().direct.is_none());

    let heroku = parse("postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1?ssl=true");
    assert_eq!(heroku.tls().mode, SslMode::Require);
    assert_eq!(parse("postgres://u:p@h/db?sslmode=no-verify").tls().mode, SslMode::Require);
    assert_eq!(parse("postgresql+asyncpg://u:p@h/db").label(), "u@h:5432/db");
    assert_eq!(parse("jdbc:postgresql://h:5433/db?user=u&password=p").label(), "u@h:5433/db");
    assert_eq!(parse("postgres://u@h/db?options=endpoint%3Dep-x").options(), Some("endpoint=ep-x"));
}

#[test]
fn poolers_are_recognised_and_led_past() {
    let direct = |text: &str| {
        parse(text).is_pooled_hint().unwrap_or_else(|| panic!("{text}")).direct.map(|d| format!("{}@{}:{}", d.user, d.host, d.port))
    };
    let neon = "postgres://u@ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech/d";
    assert_eq!(direct(neon).as_deref(), Some("u@ep-cool-darkness-123456.us-east-2.aws.neon.tech:5432"));
    let supabase = "postgres://postgres.abcdefgh@aws-0-eu-central-1.pooler.supabase.com:6543/postgres";
    assert_eq!(direct(supabase).as_deref(), Some("postgres@db.abcdefgh.supabase.co:5432"));
    assert_eq!(direct("postgres://u@db.x.supabase.co:6543/p").as_deref(), Some("u@db.x.supabase.co:5432"));
    assert_eq!(direct("postgres://u@h.db.ondigitalocean.com:25061/p").as_deref(), Some("u@h.db.ondigitalocean.com:25060"));
    assert!(parse("postgres://u@localhost/d").is_pooled_hint().is_none());
    assert!(parse("postgres://u@my-pooler.example/d").is_pooled_hint().is_none());
}

#[test]
fn what_cannot_be_read_is_explained_and_never_repeated() {
    let cases = [
        ("postgres://u:p@hunter2@h/db", "%40"),
        ("postgres://u:hunter2/x@h/db", "%2F"),
        ("postgres://u:hunter2%zz@h/db", "%25"),
        ("u:hunter2@h/db", "postgres://"),
        ("host=h password=hunter2 hunter2x dbname=d", "single quotes"),
        ("host=h password='hunter2", "closing"),
        ("postgres://u:hunter2@h/db?sslmode", "no = sign"),
        ("postgres://u:hunter2@[::1/db", "bracket"),
        ("postgres://u:hunter2@h:70000/db", "65535"),
        ("mysql://u:hunter2@h/db", "mysql://"),
        ("prisma+postgres://accelerate.prisma-data.net/?api_key=hunter2", "Prisma"),
        ("postgres://u:hunter2@h/db?sslmod=require", "sslmod,"),
        ("host=h password=a hunter2!=b", "not a plain word"),
        ("host=h sslmode=verify-all", "verify-full"),
        ("host=h sslmode=require sslrootcert=system", "verify-full"),
        ("host=h sslnegotiation=direct", "sslmode=require"),
        ("host=h sslmode=verify-ca", "sslrootcert"),
        ("host=h sslmode=require sslrootcert=/no/such/file", "/no/such/file"),
        ("host=h sslcrl=x", "revocation"),
        ("host=h gssencmode=require", "GSSAPI"),
        ("host=h require_auth=gss", "GSSAPI"),
        ("host=h require_auth=md5,!password", "all with a !"),
        ("host=h oauth_issuer=x", "OAuth"),
        ("host=a,b hostaddr=1.1.1.1", "1 addresses for 2 hosts"),
        ("host=a,b port=1,2,3", "3 ports for 2 hosts"),
        ("host=h connect_timeout=soon", "whole number"),
        ("host=h ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "older"),
    ];
    for (text, words) in cases {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{text}: {error}");
        assert!(error.ends_with('.') || error.ends_with("Key Words."), "{error}");
    }
}

#[test]
fn the_string_beats_the_service_beats_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services");
    write(&file, "# mine\n[other]\nhost=wrong\n\n[shop]\nhost=service.example\nport=6001\nuser=svc\nsslmode=require\n", 0o644);
    let environment = with(&[
        ("PGSERVICEFILE", file.to_str().unwrap()),
        ("PGSERVICE", "shop"),
        ("PGHOST", "environment.example"),
        ("PGPASSWORD", "from-environment"),
        ("PGDATABASE", "envdb"),
        ("PGUSER", ""),
    ]);
    let info = Conninfo::parse("port=7000", &environment).unwrap();
    assert_eq!(info.label(), "svc@service.example:7000/envdb");
    assert_eq!(info.tls().mode, SslMode::Require);
    assert_eq!(password(&info).as_deref(), Some("from-environment"));
    let missing = Conninfo::parse("service=absent", &environment).unwrap_err().to_string();
    assert!(missing.contains("\"absent\"") && missing.contains("services"), "{missing}");
}

#[test]
fn variables_that_ask_for_a_check_that_we_cannot_do_are_refused() {
    for (variable, key) in [("PGREQUIREPEER", "requirepeer"), ("PGSSLCRL", "sslcrl"), ("PGSSLCRLDIR", "sslcrldir")] {
        let error = Conninfo::parse("host=h", &with(&[(variable, "x")])).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
        assert!(Conninfo::parse("host=h", &with(&[(variable, "")])).is_ok());
    }
}

#[test]
fn the_password_file_is_read_by_its_rules() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    let lines = "#db.example:*:*:*:comment\ndb.example:6000:shop:bob:sp\\:ec\\\\ial\ndb.example:*:*:bob:wild\n\\*:*:*:*:star\nlocalhost:*:*:*:local\n";
    write(&file, lines, 0o600);
    let environment = Environment { home: Some(home.path().to_owned()), ..bare() };
    let find = |text: &str| Conninfo::parse(text, &environment).unwrap();
    assert_eq!(password(&find("postgres://bob@db.example:6000/shop")).as_deref(), Some("sp:ec\\ial"));
    assert_eq!(password(&find("postgres://bob@db.example:6000/shop").with_database("other")).as_deref(), Some("wild"));
    assert_eq!(password(&find("postgres://bob:own@db.example/shop")).as_deref(), Some("own"));
    assert_eq!(password(&find("postgres://eve@db.example/shop")), None);
    assert_eq!(password(&find("host=/tmp user=eve")).as_deref(), Some("local"));

    write(&file, lines, 0o644);
    let info = find("postgres://bob@db.example:6000/shop");
    assert_eq!(password(&info), None);
    assert!(info.notices()[0].contains("chmod 600"), "{:?}", info.notices());
}

#[test]
fn files_in_the_home_directory_count_for_tls() {
    let home = tempfile::tempdir().unwrap();
    let environment = Environment { home: Some(home.path().to_owned()), ..bare() };
    let tls = |text: &str| Conninfo::parse(text, &environment).unwrap().tls().clone();
    assert_eq!(tls("host=h sslmode=require").roots, Roots::Unchecked);
    assert_eq!(tls("host=h sslmode=verify-full").roots, Roots::System);
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    let root = home.path().join(".postgresql/root.crt");
    write(&root, "", 0o644);
    write(&home.path().join(".postgresql/postgresql.crt"), "", 0o644);
    assert_eq!(tls("host=h sslmode=require").roots, Roots::File(root.clone()));
    assert_eq!(tls("host=h sslmode=prefer").roots, Roots::Unchecked);
    assert_eq!(tls("host=h sslmode=verify-full sslrootcert=system").roots, Roots::System);
    assert_eq!(tls("host=h sslrootcert=system").mode, SslMode::VerifyFull);
    assert!(tls("host=h").client.is_some_and(|client| client.key.ends_with("postgresql.key")));
    assert!(tls("host=h sslcertmode=disable").client.is_none());
}

#[test]
fn timeouts_and_keepalives_have_limits() {
    assert_eq!(parse("host=h").connect_timeout().as_secs(), 10);
    assert_eq!(parse("host=h connect_timeout=1").connect_timeout().as_secs(), 2);
    assert_eq!(parse("host=h connect_timeout=0").connect_timeout().as_secs(), 120);
    assert_eq!(parse("host=h keepalives_idle=5").keepalive().unwrap().idle.as_secs(), 5);
    assert!(parse("host=h keepalives=0").keepalive().is_none());
    assert_eq!(parse("host=h tcp_user_timeout=1500").tcp_user_timeout(), Some(Duration::from_millis(1500)));
}

#[test]
fn nothing_shows_the_password() {
    let info = Conninfo::parse("postgres://u:hunter2@h/db", &with(&[("PGPASSWORD", "hunter2")])).unwrap();
    assert!(!format!("{info:?} {info} {} {:?}", info.label(), info.notices()).contains("hunter2"));
    assert!(!format!("{:?}", with(&[("PGPASSWORD", "hunter2")])).contains("hunter2"));
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}") {
        let _ = Conninfo::parse(&text, &bare());
    }

    #[test]
    fn nothing_that_resembles_a_uri_makes_it_panic(text in "postgres(ql)?://[a-z:@/?%\\[\\],&=0-9.'\\\\ ]{0,60}") {
        let _ = Conninfo::parse(&text, &bare());
    }

    #[test]
    fn what_is_encoded_comes_back(user in "[^\0]{1,20}", secret in "[^\0]{1,20}", database in "[^\0]{1,20}", port in 1_u16..) {
        let uri = format!("postgres://{}:{}@db.example:{port}/{}", encode(&user), encode(&secret), encode(&database));
        let pairs = format!("user={} password={} host=db.example port={port} dbname={}", quote(&user), quote(&secret), quote(&database));
        for text in [uri, pairs] {
            let info = parse(&text);
            prop_assert_eq!(info.user(), &user);
            prop_assert_eq!(info.database(), &database);
            prop_assert_eq!(password(&info), Some(secret.clone()));
            prop_assert_eq!(info.endpoints()[0].port, port);
        }
    }
}

#[test]
fn a_password_says_where_it_comes_from_and_can_be_another() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join(".pgpass"), "h:*:*:*:filed\n", 0o600);
    let environment = Environment { home: Some(home.path().to_owned()), ..bare() };
    let from = |text: &str, environment: &Environment| Conninfo::parse(text, environment).unwrap().password_from();
    assert_eq!(from("postgresql://u@h/d", &environment), Some(PasswordFrom::File));
    assert_eq!(from("postgresql://u@other/d", &environment), None);
    assert_eq!(from("postgresql://u@h/d", &with(&[("PGPASSWORD", "x")])), Some(PasswordFrom::Environment));
    assert_eq!(from("postgresql://u:y@h/d", &with(&[("PGPASSWORD", "x")])), Some(PasswordFrom::Text));
    assert_eq!(from("postgresql://u:@h/d", &with(&[("PGPASSWORD", "x")])), Some(PasswordFrom::Environment));
    let typed = Conninfo::parse("postgresql://u@h/d", &with(&[("PGPASSWORD", "x")])).unwrap().with_password("z".to_owned().into());
    assert_eq!((typed.password_from(), password(&typed).as_deref()), (Some(PasswordFrom::Text), Some("z")));
}
