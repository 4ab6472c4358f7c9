//! The target's connection string, direct and pooled, and how common frameworks take it.
//!
//! Everything in a URI that is not plain is percent-encoded, so that what is put between any quotes is the same text; what a framework wants as
//! separate values is quoted by its own rules. Without the password, `…` stands in its place.

use secrecy::{ExposeSecret, SecretString};

use crate::migration::commands::connection::{End, Setting};
use crate::migration::commands::quote::Shell;
use crate::migration::ends::Target;
use crate::migration::error::Side;

/// Stands for a password that is not shown.
pub const PLACEHOLDER: &str = "…";

/// How a database is reached, in one of two ways.
#[derive(Debug, Clone)]
pub struct Address {
    settings: Vec<Setting>,
    password: Option<SecretString>,
}

/// Both ways to the target.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The server itself.
    pub direct: Address,
    /// Its pooler, where one is known.
    pub pooled: Option<Address>,
}

impl Addresses {
    /// Those of a target.
    pub fn of(target: &Target) -> Addresses {
        let End { settings, password, .. } = End::new(Side::Target, target.info());
        let pooled = settings.iter().find(|setting| setting.keyword == "host").and_then(|host| pooler(&host.value)).map(|host| {
            let mut settings: Vec<Setting> = settings.iter().filter(|setting| setting.keyword != "hostaddr").cloned().collect();
            settings.iter_mut().filter(|setting| setting.keyword == "host").for_each(|setting| setting.value.clone_from(&host));
            Address { settings, password: password.clone() }
        });
        Addresses { direct: Address { settings, password }, pooled }
    }

    /// Whether there is a password to show.
    pub fn has_password(&self) -> bool {
        self.direct.password.is_some()
    }
}

/// The host of Neon's pooler for one of its servers.
fn pooler(host: &str) -> Option<String> {
    let lower = host.to_ascii_lowercase();
    let (first, domain) = lower.split_once('.')?;
    let is_neon = domain == "neon.tech" || domain.ends_with(".neon.tech");
    (is_neon && first.starts_with("ep-") && !host.contains(','))
        .then(|| format!("{}-pooler.{domain}", first.trim_end_matches("-pooler")))
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Address {
    fn value(&self, keyword: &str) -> &str {
        self.settings.iter().find(|setting| setting.keyword == keyword).map_or("", |setting| setting.value.as_str())
    }

    /// Settings that are not part of the address, and not what a driver does by itself.
    fn more(&self) -> impl Iterator<Item = &Setting> {
        let address = ["host", "port", "user", "dbname"];
        let is_default = |setting: &&Setting| setting.keyword == "sslmode" && setting.value == "prefer";
        self.settings.iter().filter(move |setting| !address.contains(&setting.keyword)).filter(move |setting| !is_default(setting))
    }

    fn password(&self, shown: bool) -> &str {
        match &self.password {
            Some(password) if shown => password.expose_secret(),
            _ => PLACEHOLDER,
        }
    }

    /// The password as part of a URI; the placeholder is meant to be seen.
    fn encoded_password(&self, shown: bool) -> String {
        if shown && self.password.is_some() { encoded(self.password(true)) } else { PLACEHOLDER.to_owned() }
    }

    /// As a URI of libpq.
    pub fn uri(&self, shown: bool) -> String {
        self.uri_as("postgresql", shown)
    }

    fn uri_as(&self, scheme: &str, shown: bool) -> String {
        let hosts: Vec<&str> = self.value("host").split(',').collect();
        let ports: Vec<&str> = self.value("port").split(',').collect();
        let port = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or("5432");
        let mut params: Vec<(&str, &str)> = self.more().map(|setting| (setting.keyword, setting.value.as_str())).collect();
        let authority = if hosts.iter().any(|host| host.starts_with('/')) {
            params.insert(0, ("host", self.value("host")));
            params.insert(1, ("port", self.value("port")));
            String::new()
        } else {
            let one = |(n, host): (usize, &&str)| {
                let host = if host.contains(':') { format!("[{host}]") } else { encoded(host) };
                if port(n) == "5432" { host } else { format!("{host}:{}", port(n)) }
            };
            hosts.iter().enumerate().map(one).collect::<Vec<_>>().join(",")
        };
        let user = format!("{}:{}", encoded(self.value("user")), self.encoded_password(shown));
        format!("{scheme}://{user}@{authority}/{}{}", encoded(self.value("dbname")), query(&params))
    }

    /// As a URI of the JDBC driver, which has words of its own.
    fn jdbc(&self) -> String {
        let hosts: Vec<&str> = self.value("host").split(',').collect();
        let ports: Vec<&str> = self.value("port").split(',').collect();
        let one = |(n, host): (usize, &&str)| format!("{host}:{}", ports.get(n).or(ports.first()).copied().unwrap_or("5432"));
        let authority = hosts.iter().enumerate().map(one).collect::<Vec<_>>().join(",");
        let name = |keyword: &str| match keyword {
            "channel_binding" => Some("channelBinding"),
            "sslmode" => Some("sslmode"),
            "sslrootcert" => Some("sslrootcert"),
            "sslcert" => Some("sslcert"),
            "sslkey" => Some("sslkey"),
            "options" => Some("options"),
            _ => None,
        };
        let params: Vec<(&str, &str)> =
            self.more().filter_map(|setting| Some((name(setting.keyword)?, setting.value.as_str()))).collect();
        format!("jdbc:postgresql://{authority}/{}{}", encoded(self.value("dbname")), query(&params))
    }
}

fn query(params: &[(&str, &str)]) -> String {
    let words: Vec<String> = params.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    if words.is_empty() { String::new() } else { format!("?{}", words.join("&")) }
}

/// What is put where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file, or the place.
    pub name: &'static str,
    /// Its lines.
    pub text: String,
}

/// How a framework takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// A stable name.
    pub id: &'static str,
    /// The framework.
    pub title: &'static str,
    /// What goes where.
    pub files: Vec<File>,
    /// What to know, a sentence or two; may be empty.
    pub note: &'static str,
}

/// The frameworks, in the order of their tabs.
pub const FRAMEWORKS: [(&str, &str); 9] = [
    ("env", ".env"),
    ("psql", "psql"),
    ("node", "Node.js (pg)"),
    ("prisma", "Prisma"),
    ("django", "Django"),
    ("rails", "Rails"),
    ("sqlalchemy", "SQLAlchemy"),
    ("jdbc", "Java (JDBC, Spring)"),
    ("go", "Go (pgx)"),
];

impl Addresses {
    /// The one for an application with many short connections.
    fn for_application(&self) -> &Address {
        self.pooled.as_ref().unwrap_or(&self.direct)
    }

    /// The example of a framework; that of `.env` if there is no such framework.
    pub fn example(&self, id: &str, shown: bool) -> Example {
        let (id, title) = FRAMEWORKS.into_iter().find(|(known, _)| *known == id).unwrap_or(FRAMEWORKS[0]);
        let (files, note) = match id {
            "psql" => self.psql(shown),
            "node" => self.node(shown),
            "prisma" => self.prisma(shown),
            "django" => self.django(shown),
            "rails" => self.rails(shown),
            "sqlalchemy" => self.sqlalchemy(shown),
            "jdbc" => self.jdbc(shown),
            "go" => self.go(shown),
            _ if self.pooled.is_none() => (vec![self.env(shown)], ""),
            _ => (
                vec![self.env(shown)],
                "The pooled one is for applications with many connections; the direct one for migrations, dumps, and whatever needs a session of its own.",
            ),
        };
        Example { id, title, files, note }
    }

    fn env(&self, shown: bool) -> File {
        let mut lines = vec![format!("DATABASE_URL=\"{}\"", self.for_application().uri(shown))];
        if self.pooled.is_some() {
            lines.push(format!("DIRECT_URL=\"{}\"", self.direct.uri(shown)));
        }
        File { name: ".env", text: lines.join("\n") }
    }

    fn psql(&self, shown: bool) -> (Vec<File>, &'static str) {
        let text = format!("psql {}", Shell::Bash.quoted(&self.direct.uri(shown)));
        (
            vec![File { name: "at a prompt", text }],
            "With the placeholder taken out, and the colon before it, psql asks for the password, and it is in no history.",
        )
    }

    fn node(&self, shown: bool) -> (Vec<File>, &'static str) {
        let text = "import pg from \"pg\";\n\nconst pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });\nconst { rows } = await pool.query(\"select version()\");";
        (vec![self.env(shown), file("db.mjs", text)], "")
    }

    fn prisma(&self, shown: bool) -> (Vec<File>, &'static str) {
        let direct = if self.pooled.is_some() { "\n  directUrl = env(\"DIRECT_URL\")" } else { "" };
        let text = format!("datasource db {{\n  provider  = \"postgresql\"\n  url       = env(\"DATABASE_URL\"){direct}\n}}");
        let note = if self.pooled.is_some() { "Queries go through the pooler; migrations use directUrl." } else { "" };
        (vec![self.env(shown), File { name: "schema.prisma", text }], note)
    }

    fn django(&self, shown: bool) -> (Vec<File>, &'static str) {
        let address = self.for_application();
        let more: Vec<String> =
            address.more().map(|setting| format!("{}: {}", python(setting.keyword), python(&setting.value))).collect();
        let options = if more.is_empty() { String::new() } else { format!("\n        \"OPTIONS\": {{{}}},", more.join(", ")) };
        let pooled = if self.pooled.is_some() { "\n        \"DISABLE_SERVER_SIDE_CURSORS\": True," } else { "" };
        let text = format!(
            "import os\n\nDATABASES = {{\n    \"default\": {{\n        \"ENGINE\": \"django.db.backends.postgresql\",\n        \"NAME\": {},\n        \"USER\": {},\n        \"PASSWORD\": \
             os.environ[\"DATABASE_PASSWORD\"],\n        \"HOST\": {},\n        \"PORT\": {},{options}{pooled}\n    }}\n}}",
            python(address.value("dbname")),
            python(address.value("user")),
            python(address.value("host")),
            python(address.value("port"))
        );
        let password = format!("export DATABASE_PASSWORD={}", Shell::Bash.quoted(address.password(shown)));
        (
            vec![File { name: "the environment", text: password }, File { name: "settings.py", text }],
            "Through a pooler, cursors on the server would outlive their transaction, so they are turned off.",
        )
    }

    fn rails(&self, shown: bool) -> (Vec<File>, &'static str) {
        let text = "production:\n  adapter: postgresql\n  encoding: unicode\n  url: <%= ENV[\"DATABASE_URL\"] %>";
        let note = if self.pooled.is_some() {
            "Run migrations with the direct one: DATABASE_URL=\"$DIRECT_URL\" bin/rails db:migrate. They take an advisory lock, which a pooler does not keep."
        } else {
            ""
        };
        (vec![self.env(shown), file("config/database.yml", text)], note)
    }

    fn sqlalchemy(&self, shown: bool) -> (Vec<File>, &'static str) {
        let url = self.for_application().uri_as("postgresql+psycopg", shown);
        let env = File { name: ".env", text: format!("DATABASE_URL=\"{url}\"") };
        let text = "import os\n\nfrom sqlalchemy import create_engine\n\nengine = create_engine(os.environ[\"DATABASE_URL\"], pool_pre_ping=True)";
        (vec![env, file("db.py", text)], "pool_pre_ping replaces connections that ended while the compute was suspended.")
    }

    fn jdbc(&self, shown: bool) -> (Vec<File>, &'static str) {
        let address = self.for_application();
        if address.value("host").starts_with('/') {
            return (
                vec![file("application.properties", "# The JDBC driver needs a host name; this target was named by a socket.")],
                "",
            );
        }
        let text = format!(
            "spring.datasource.url={}\nspring.datasource.username={}\nspring.datasource.password={}",
            property(&address.jdbc()),
            property(address.value("user")),
            if shown { property(address.password(true)) } else { PLACEHOLDER.to_owned() }
        );
        (
            vec![File { name: "application.properties", text }],
            "Without Spring, the url is what DriverManager.getConnection takes, with the user and the password.",
        )
    }

    fn go(&self, shown: bool) -> (Vec<File>, &'static str) {
        let text =
            "pool, err := pgxpool.New(ctx, os.Getenv(\"DATABASE_URL\"))\nif err != nil {\n\treturn err\n}\ndefer pool.Close()";
        (vec![self.env(shown), file("main.go", text)], "")
    }
}

fn file(name: &'static str, text: &str) -> File {
    File { name, text: text.to_owned() }
}

/// A literal of Python.
fn python(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// A value in a properties file, which is read as Latin-1.
fn property(text: &str) -> String {
    let escape = |(n, unit): (usize, u16)| match char::from_u32(u32::from(unit)) {
        Some('\\') => "\\\\".to_owned(),
        Some(' ') if n == 0 => "\\ ".to_owned(),
        // Spring replaces what stands in ${}, also in values.
        Some('$') => "\\u0024".to_owned(),
        Some(c) if c.is_ascii() && !c.is_ascii_control() => c.to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    text.encode_utf16().enumerate().map(escape).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pg::conninfo::{Conninfo, Environment};

    const NEON: &str = "postgresql://app:pl%40nted@ep-x-1.eu-central-1.aws.neon.tech/shop?sslmode=require&channel_binding=require";
    const HOSTILE: &str =
        "host=db.example.com port=6001 user='it''s \"$u\" `x` \\\\ ü' dbname='a b/c?d#e' password='p\\'w \"$(id)\" \\\\ %41 =é'";

    fn of(text: &str) -> Addresses {
        let text = text.replace("it''s", "it\\'s");
        Addresses::of(&Target::new(Conninfo::parse(&text, &Environment::default()).unwrap()))
    }

    #[test]
    fn neon_has_a_pooler_and_others_none() {
        let neon = of(NEON);
        let end = "eu-central-1.aws.neon.tech/shop?sslmode=require&channel_binding=require";
        assert_eq!(neon.direct.uri(false), format!("postgresql://app:…@ep-x-1.{end}"));
        assert_eq!(neon.pooled.as_ref().unwrap().uri(false), format!("postgresql://app:…@ep-x-1-pooler.{end}"));
        let pooled = of(&NEON.replace("ep-x-1.", "ep-x-1-pooler."));
        assert_eq!(pooled.direct.uri(false), neon.direct.uri(false));
        assert_eq!(pooled.pooled.unwrap().uri(false), neon.pooled.unwrap().uri(false));
        assert!(of("postgresql://app@db.example.com/shop").pooled.is_none());
        assert!(of("postgresql://app@ep-x.aws.neon.tech.example.org/shop").pooled.is_none());
    }

    #[test]
    fn a_uri_reads_back_as_the_same_address() {
        for text in [
            NEON,
            HOSTILE,
            "postgresql://u@[::1]:5433/d",
            "host=/tmp/s port=5433 user=u dbname=d",
            "postgresql://u@a:1,b:2/d?target_session_attrs=read-write",
        ] {
            let addresses = of(text);
            let uri = addresses.direct.uri(true).replace(&format!(":{PLACEHOLDER}"), "");
            let again = Addresses::of(&Target::new(Conninfo::parse(&uri, &Environment::default()).unwrap()));
            assert_eq!(again.direct.settings, addresses.direct.settings, "{uri}");
            assert_eq!(again.direct.password(true), addresses.direct.password(true), "{uri}");
        }
    }

    #[test]
    fn no_example_has_the_password_unless_it_is_asked_for() {
        let addresses = of(NEON);
        for (id, title) in FRAMEWORKS {
            let (hidden, shown) = (addresses.example(id, false), addresses.example(id, true));
            let text = |example: &Example| example.files.iter().map(|file| file.text.as_str()).collect::<String>();
            assert_eq!((hidden.id, hidden.title), (id, title));
            assert!(!text(&hidden).contains("nted") && text(&hidden).contains(PLACEHOLDER), "{id}: {}", text(&hidden));
            assert!(text(&shown).contains("pl%40nted") || text(&shown).contains("pl@nted"), "{id}: {}", text(&shown));
        }
        assert!(!format!("{addresses:?}").contains("nted"));
    }

    #[test]
    fn every_tongue_has_its_own_quotes() {
        let addresses = of(HOSTILE);
        let django = addresses.example("django", true);
        assert!(django.files[1].text.contains("\"USER\": \"it's \\\"$u\\\" `x` \\\\ ü\""), "{}", django.files[1].text);
        let java = &addresses.example("jdbc", true).files[0].text;
        assert!(java.contains("username=it's \"\\u0024u\" `x` \\\\ \\u00fc"), "{java}");
        assert!(java.contains("password=p'w \"\\u0024(id)\" \\\\ %41 =\\u00e9"), "{java}");
        assert!(java.contains("jdbc:postgresql://db.example.com:6001/a%20b%2Fc%3Fd%23e"), "{java}");
        for id in ["env", "psql", "sqlalchemy"] {
            let text = &addresses.example(id, true).files[0].text;
            let inner = text.split_once("://").unwrap().1;
            assert!(!inner[..inner.len() - 1].contains(['\'', '"', '$', '`', ' ', '#', '\\']), "{text}");
        }
    }

    #[test]
    fn the_environment_of_django_is_read_back_by_a_shell() {
        let text = of(HOSTILE).example("django", true).files[0].text.clone();
        let script = format!("{text}\nprintf %s \"$DATABASE_PASSWORD\"");
        let said = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "p'w \"$(id)\" \\ %41 =é");
    }
}
