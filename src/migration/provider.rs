//! Who hosts a server, and what that means; `data/providers.toml` has the facts, their date and why the order of providers decides.
//!
//! # How a provider is recognised
//!
//! A host name is only an address: it can be an alias or a tunnel, and several providers rent their servers from one cloud. Settings and roles are the
//! server's own, and nobody makes them by accident. So what is seen inside beats the host name, but in three cases:
//!
//! * The host name is the narrower of the two. Heroku's databases run on Amazon RDS and show its marks; the host name of a provider that builds on the
//!   one seen inside counts.
//! * The mark is a schema or an extension and the host name another provider's. Schemas travel with a dump: a database that came from Heroku keeps
//!   `heroku_ext` wherever it goes. The host name counts, unless it is that of the family on which the provider builds.
//! * The role is a superuser. Some providers give that right to nobody; neither a role that a dump brought along nor a host name makes the server theirs.
//!
//! Where nothing is seen inside, the host name decides, and where that says nothing either, the server is somebody's own.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde::Deserialize;

use crate::pg::names::Ident;

const TEXT: &str = include_str!("../../data/providers.toml");

const SELF_HOSTED: &str = "self-hosted";

/// A text that does not parse gives an empty table; a test forbids that it ships.
static TABLE: LazyLock<Table> = LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

/// Expressions that do not compile match nothing; a test forbids that they ship.
static ADDRESSES: LazyLock<Vec<Address>> = LazyLock::new(|| all().iter().map(Address::of).collect());

/// What stands for a provider while there is none, which a test forbids.
static NOBODY: LazyLock<Provider> = LazyLock::new(Provider::default);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    providers: Vec<Provider>,
}

/// Who hosts a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// A short name for programs, such as `cloud-sql`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Whether it can be a source at all.
    #[serde(default = "yes")]
    pub usable: bool,
    /// Whether it makes nobody a superuser.
    #[serde(default)]
    pub customers_are_never_superuser: bool,
    /// The ids of providers whose marks this one shows as well.
    #[serde(default)]
    pub builds_on: Vec<String>,
    /// Regular expressions on the host name in lower case.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// A regular expression that the user has to match as well, where others have such host names, too.
    #[serde(default)]
    pub host_user: Option<String>,
    /// Users that give it away whatever the host name.
    #[serde(default)]
    pub logins: Vec<Login>,
    /// What stands before the dot in the names of its settings.
    #[serde(default)]
    pub setting_prefixes: Vec<String>,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Its schemas.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Its databases.
    #[serde(default)]
    pub databases: Vec<String>,
    /// Its extensions.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// How logical replication is turned on.
    pub logical: Logical,
    /// Schemas that belong to the platform.
    #[serde(default)]
    pub leave_out_schemas: Vec<String>,
    /// Extensions that belong to the platform.
    #[serde(default)]
    pub leave_out_extensions: Vec<String>,
    /// Roles that belong to the platform.
    #[serde(default)]
    pub leave_out_roles: Vec<String>,
    /// Event triggers that belong to the platform.
    #[serde(default)]
    pub leave_out_event_triggers: Vec<String>,
    /// What else to know, in full sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How to get the direct address, past a pooler.
    #[serde(default)]
    pub direct_hint: Option<String>,
    /// What it takes for a target to dial this source; nothing if it is not known or makes no sense.
    #[serde(default)]
    pub inbound: Option<String>,
}

fn yes() -> bool {
    true
}

/// A user that gives a provider away.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// A regular expression on the user.
    pub user: String,
    /// The ports on which it counts; none for all.
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// How logical replication is turned on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logical {
    /// Who can turn it on.
    pub available: Availability,
    /// What to do, in full sentences and in order.
    pub steps: Vec<String>,
    /// The SQL, where SQL does it.
    #[serde(default)]
    pub sql: Vec<String>,
    /// What has to restart; nothing if nothing has to, or it is not known.
    #[serde(default)]
    pub restart: Option<String>,
    /// SQL that lets a role replicate, with `{role}` for a quoted identifier.
    #[serde(default)]
    pub replication_grant: Option<String>,
}

/// Who can turn logical replication on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Nobody has to: it is usually on.
    Always,
    /// The user.
    Switch,
    /// The provider's support, or nobody: ask.
    #[default]
    Support,
    /// Nobody.
    Never,
}

impl Logical {
    /// How to turn it on: the steps, one on a line, and then the SQL.
    pub fn fix(&self) -> String {
        let lines: Vec<&str> = self.steps.iter().chain(&self.sql).map(String::as_str).collect();
        lines.join("\n")
    }

    /// The SQL that lets a role replicate; nothing if SQL cannot, or it is not known whether it can.
    pub fn grant_replication(&self, role: &Ident) -> Option<String> {
        self.replication_grant.as_ref().map(|sql| sql.replace("{role}", &role.to_string()))
    }
}

/// What can be seen inside a server that may give its provider away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marks<'a> {
    /// What stands before the dot in the names of settings. `aurora` may stand for functions such as `aurora_version()`.
    pub setting_prefixes: &'a [String],
    /// The server's roles.
    pub roles: &'a [String],
    /// The database's schemas.
    pub schemas: &'a [String],
    /// The server's databases.
    pub databases: &'a [String],
    /// The database's extensions.
    pub extensions: &'a [String],
    /// Whether the connected role is a superuser.
    pub superuser: bool,
}

impl Marks<'_> {
    /// Whether the server itself is this provider's, by what no dump brings along, or only with a superuser's rights.
    fn of_server(&self, provider: &Provider) -> bool {
        common(&provider.setting_prefixes, self.setting_prefixes)
            || !self.refute(provider) && (common(&provider.roles, self.roles) || common(&provider.databases, self.databases))
    }

    /// Whether the database was once at this provider's, and may still be.
    fn of_database(&self, provider: &Provider) -> bool {
        !self.refute(provider) && (common(&provider.schemas, self.schemas) || common(&provider.extensions, self.extensions))
    }

    fn refute(&self, provider: &Provider) -> bool {
        self.superuser && provider.customers_are_never_superuser
    }
}

fn common(some: &[String], others: &[String]) -> bool {
    some.iter().any(|one| others.contains(one))
}

/// A provider's expressions, compiled.
struct Address {
    hosts: Vec<Regex>,
    host_user: Option<Regex>,
    logins: Vec<(Regex, &'static [u16])>,
}

impl Address {
    fn of(provider: &'static Provider) -> Address {
        let compile = |text: &String| Regex::new(text).ok();
        Address {
            hosts: provider.hosts.iter().filter_map(compile).collect(),
            host_user: provider.host_user.as_ref().and_then(compile),
            logins: provider.logins.iter().filter_map(|login| Some((compile(&login.user)?, &*login.ports))).collect(),
        }
    }

    fn has_host(&self, host: &str, user: &str) -> bool {
        let user_too = self.host_user.as_ref().is_none_or(|regex| regex.is_match(user));
        user_too && self.hosts.iter().any(|regex| regex.is_match(host))
    }

    fn has_login(&self, port: u16, user: &str) -> bool {
        self.logins.iter().any(|(regex, ports)| regex.is_match(user) && (ports.is_empty() || ports.contains(&port)))
    }
}

/// All providers, from the most telling marks to the least.
pub fn all() -> &'static [Provider] {
    &TABLE.providers
}

/// A provider by its id.
pub fn by_id(id: &str) -> Option<&'static Provider> {
    all().iter().find(|provider| provider.id == id)
}

/// A server of one's own, or one of which nothing is known.
pub fn self_hosted() -> &'static Provider {
    by_id(SELF_HOSTED).unwrap_or(&NOBODY)
}

/// The provider that an address gives away: its host name, or else its user and port.
pub fn of_host(host: &str, port: u16, user: &str) -> Option<&'static Provider> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let find = |matches: &dyn Fn(&Address) -> bool| {
        let found = all().iter().zip(ADDRESSES.iter()).find(|(_, address)| matches(address));
        found.map(|(provider, _)| provider)
    };
    find(&|address| address.has_host(&host, user)).or_else(|| find(&|address| address.has_login(port, user)))
}

/// The provider that is seen inside: the first with a mark of the server, unless one that builds on it has a mark in the database.
pub fn of_marks(marks: &Marks<'_>) -> Option<&'static Provider> {
    let server = all().iter().find(|provider| marks.of_server(provider));
    let database = all().iter().find(|provider| marks.of_database(provider));
    match (server, database) {
        (Some(server), Some(database)) if database.builds_on.contains(&server.id) => Some(database),
        (server, database) => server.or(database),
    }
}

/// The provider by address (host, port, user) and by what is seen inside; the module's opening says which counts when.
pub fn recognise(host: Option<(&str, u16, &str)>, marks: &Marks<'_>) -> &'static Provider {
    let named = host.and_then(|(host, port, user)| of_host(host, port, user)).filter(|named| !marks.refute(named));
    match (named, of_marks(marks)) {
        (None, None) => self_hosted(),
        (Some(provider), None) | (None, Some(provider)) => provider,
        (Some(named), Some(inside)) => {
            let narrower = named.builds_on.contains(&inside.id);
            let travelled = !marks.of_server(inside) && !inside.builds_on.contains(&named.id);
            if narrower || travelled { named } else { inside }
        }
    }
}

/// Whether a host is one that only a private network reaches, by its address or name. A target elsewhere, such as Neon, cannot dial it.
pub fn is_private(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or_default();
            host.starts_with(['/', '@']) || ["", "localhost", "internal", "flycast"].contains(&last)
        }
    }
}

#[cfg(test)]
mod tests;
