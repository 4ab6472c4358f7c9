//! From pairs of keyword and value to a [`Conninfo`]: precedence, defaults, and the rules between settings.
//!
//! Precedence is libpq's: the string, then the service, then the environment, then the defaults.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::keywords::{self, Keyword};
use super::settings::{
    AuthMethod, ChannelBinding, ClientCertificate, Keepalive, Roots, SslMode, SslNegotiation, TargetSession, Tls, TlsVersion,
    require_auth,
};
use super::{Conninfo, ConninfoError, Endpoint, Environment, Host, passfile, service, text};

/// The limit for a connection where none is given.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The limit where libpq would have none (`connect_timeout=0`): every wait has a limit here.
const CONNECT_TIMEOUT_NONE: Duration = Duration::from_secs(120);

/// Builds from a text and its surroundings.
pub(super) fn build(text: &str, environment: &Environment) -> Result<Conninfo, ConninfoError> {
    let (pairs, notices) = text::pairs(text)?;
    let mut builder = Builder { settings: BTreeMap::new(), environment, notices, has_password_of_its_own: false };
    builder.add(pairs, false)?;
    builder.add_service()?;
    builder.has_password_of_its_own = builder.settings.contains_key("password");
    builder.add_environment()?;
    builder.finish()
}

struct Builder<'a> {
    settings: BTreeMap<String, String>,
    environment: &'a Environment,
    notices: Vec<String>,
    /// The string or its service has a password.
    has_password_of_its_own: bool,
}

impl Builder<'_> {
    /// Adds pairs; `weak` ones give way to what is there.
    fn add(&mut self, pairs: Vec<(String, String)>, weak: bool) -> Result<(), ConninfoError> {
        let strong = if weak { self.settings.clone() } else { BTreeMap::new() };
        for (key, value) in pairs {
            match keywords::lookup(&key) {
                Some(Keyword::Used) if strong.contains_key(&key) => {}
                Some(Keyword::Used) if value.is_empty() => {
                    self.settings.remove(&key);
                }
                Some(Keyword::Used) => {
                    self.settings.insert(key, value);
                }
                Some(Keyword::Harmless) => {}
                Some(Keyword::Ignored(why)) => self.notices.push(format!("The parameter {key} was ignored: {why}.")),
                Some(Keyword::Refused(_)) if value.is_empty() => {}
                Some(Keyword::Refused(why)) => {
                    return Err(ConninfoError::new("unsupported-parameter", format!("The parameter {key} cannot be used: {why}.")));
                }
                None => return Err(ConninfoError::unknown_key(&key)),
            }
        }
        Ok(())
    }

    fn add_service(&mut self) -> Result<(), ConninfoError> {
        let environment = self.environment;
        let Some(name) = self.take("service").or_else(|| environment.variable("PGSERVICE").map(str::to_owned)) else {
            return Ok(());
        };
        let file = self.take("servicefile").or_else(|| environment.variable("PGSERVICEFILE").map(str::to_owned));
        let settings = service::settings(&name, file.as_deref(), environment)?;
        self.add(settings, true)
    }

    fn add_environment(&mut self) -> Result<(), ConninfoError> {
        for (key, variable) in keywords::USED.iter().filter(|(_, variable)| !variable.is_empty()) {
            if let Some(value) = self.environment.variable(variable) {
                self.settings.entry((*key).to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        // A check that is asked for and cannot be done must not be forgotten silently.
        let refused =
            keywords::REFUSED_VARIABLES.iter().filter_map(|(key, variable)| Some((*key, self.environment.variable(variable)?)));
        let refused = refused.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.add(refused, true)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.settings.remove(key).filter(|value| !value.is_empty())
    }

    /// A setting that is one of a few words.
    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, ConninfoError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
            return Ok(Some(*meaning));
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Err(ConninfoError::invalid(key, format!("must be one of {}", known.join(", "))))
    }

    fn number(&mut self, key: &str) -> Result<Option<i64>, ConninfoError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.trim().parse().map(Some).map_err(|_| ConninfoError::invalid(key, "must be a whole number"))
    }

    fn finish(mut self) -> Result<Conninfo, ConninfoError> {
        let tls = self.tls()?;
        let user = match self.take("user").or_else(|| self.environment.user.clone()) {
            Some(user) => user,
            None => {
                return Err(ConninfoError::new(
                    "no-user",
                    "The connection string names no user, and the system's user has no name; add user=NAME.",
                ));
            }
        };
        let endpoints = self.endpoints()?;
        let database = self.take("dbname").unwrap_or_else(|| user.clone());
        let password = self.take("password").map(SecretString::from);
        let passfile = self.passfile(password.is_some());
        let pooled = self.take("pgbouncer").is_some_and(|value| value != "false");
        self.refuse_gss()?;
        self.check_encoding();
        let channel_binding = self.word(
            "channel_binding",
            &[("disable", ChannelBinding::Disable), ("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)],
        )?;
        let require_auth = match self.take("require_auth") {
            Some(text) => require_auth(&text).map_err(|why| ConninfoError::invalid("require_auth", why))?,
            None => AuthMethod::ALL.to_vec(),
        };
        let target_session = self.word(
            "target_session_attrs",
            &[
                ("any", TargetSession::Any),
                ("read-write", TargetSession::ReadWrite),
                ("read-only", TargetSession::ReadOnly),
                ("primary", TargetSession::Primary),
                ("standby", TargetSession::Standby),
                ("prefer-standby", TargetSession::PreferStandby),
            ],
        )?;
        let connect_timeout = self.connect_timeout()?;
        let tcp_user_timeout = self.number("tcp_user_timeout")?.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        Ok(Conninfo {
            endpoints,
            user,
            database,
            password,
            is_password_of_environment: !self.has_password_of_its_own,
            passfile,
            tls,
            tls_cache: Arc::default(),
            channel_binding: channel_binding.unwrap_or(ChannelBinding::Prefer),
            require_auth,
            target_session: target_session.unwrap_or(TargetSession::Any),
            load_balance: self.word("load_balance_hosts", &[("disable", false), ("random", true)])?.unwrap_or(false),
            connect_timeout,
            keepalive: self.keepalive()?,
            tcp_user_timeout: tcp_user_timeout.map(Duration::from_millis),
            options: self.take("options"),
            application_name: self.take("application_name"),
            pooled,
            notices: self.notices,
        })
    }

    fn connect_timeout(&mut self) -> Result<Duration, ConninfoError> {
        Ok(match self.number("connect_timeout")? {
            None => CONNECT_TIMEOUT,
            Some(limit) if limit <= 0 => CONNECT_TIMEOUT_NONE,
            // libpq takes one second for two.
            Some(limit) => Duration::from_secs(limit.clamp(2, 3600).unsigned_abs()),
        })
    }

    /// Probes are on by default, and earlier than the system's two hours: a statement that runs for hours is silent, and
    /// gateways between networks forget silent connections after minutes.
    fn keepalive(&mut self) -> Result<Option<Keepalive>, ConninfoError> {
        let on = self.number("keepalives")?.unwrap_or(1) != 0;
        let mut seconds = |key, default| -> Result<Duration, ConninfoError> {
            let given = self.number(key)?.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
            Ok(Duration::from_secs(given.unwrap_or(default).min(32_767)))
        };
        let (idle, interval) = (seconds("keepalives_idle", 60)?, seconds("keepalives_interval", 10)?);
        let count = self.number("keepalives_count")?.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
        Ok(on.then_some(Keepalive { idle, interval, count: count.unwrap_or(6).min(127) }))
    }

    fn refuse_gss(&mut self) -> Result<(), ConninfoError> {
        match self.word("gssencmode", &[("disable", false), ("prefer", false), ("require", true)])? {
            Some(true) => Err(ConninfoError::invalid(
                "gssencmode",
                "is require, but this tool does not support GSSAPI encryption; use TLS (sslmode=verify-full)",
            )),
            _ => Ok(()),
        }
    }

    fn check_encoding(&mut self) {
        let Some(encoding) = self.take("client_encoding") else { return };
        let plain: String = encoding.chars().filter(char::is_ascii_alphanumeric).collect();
        if !matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode" | "auto") {
            self.notices.push("The parameter client_encoding was ignored: the tool always speaks UTF-8.".to_owned());
        }
    }

    fn passfile(&mut self, has_password: bool) -> Option<Arc<passfile::PassFile>> {
        let path = match self.take("passfile") {
            Some(path) => self.environment.expand(&path),
            None => self.environment.in_home(".pgpass")?,
        };
        if has_password {
            return None;
        }
        match passfile::read(&path) {
            Ok(file) => file.map(Arc::new),
            Err(notice) => {
                self.notices.push(notice);
                None
            }
        }
    }

    fn endpoints(&mut self) -> Result<Vec<Endpoint>, ConninfoError> {
        let split = |text: Option<String>| -> Vec<String> {
            text.map(|text| text.split(',').map(|part| part.trim().to_owned()).collect()).unwrap_or_default()
        };
        let (hosts, addresses, ports) = (split(self.take("host")), split(self.take("hostaddr")), split(self.take("port")));
        if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
            return Err(ConninfoError::invalid(
                "hostaddr",
                format!("names {} addresses for {} hosts", addresses.len(), hosts.len()),
            ));
        }
        let count = hosts.len().max(addresses.len()).max(1);
        if ports.len() > 1 && ports.len() != count {
            return Err(ConninfoError::invalid("port", format!("names {} ports for {count} hosts", ports.len())));
        }
        (0..count)
            .map(|index| {
                let port = ports.get(index).or(if ports.len() == 1 { ports.first() } else { None }).filter(|port| !port.is_empty());
                let port = match port {
                    Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0),
                    None => Some(5432),
                };
                let Some(port) = port else { return Err(ConninfoError::invalid("port", "must be a number from 1 to 65535")) };
                let address = match addresses.get(index).filter(|address| !address.is_empty()) {
                    Some(address) => {
                        Some(address.parse().map_err(|_| ConninfoError::invalid("hostaddr", "must be an IP address"))?)
                    }
                    None => None,
                };
                Ok(Endpoint { host: self.host(hosts.get(index).map_or("", String::as_str), address, port)?, address, port })
            })
            .collect()
    }

    fn host(&self, host: &str, address: Option<IpAddr>, port: u16) -> Result<Host, ConninfoError> {
        if host.starts_with('/') {
            return Ok(Host::Socket(PathBuf::from(host)));
        }
        if host.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control()) {
            return Err(ConninfoError::invalid("host", "holds an @, a space or a control character"));
        }
        if !host.is_empty() {
            return Ok(Host::Name(host.to_owned()));
        }
        if let Some(address) = address {
            return Ok(Host::Name(address.to_string()));
        }
        let socket = self.environment.socket_dirs.iter().find(|dir| dir.join(format!(".s.PGSQL.{port}")).exists());
        Ok(socket.map_or_else(|| Host::Name("localhost".to_owned()), |dir| Host::Socket(dir.clone())))
    }

    fn tls(&mut self) -> Result<Tls, ConninfoError> {
        let rootcert = self.take("sslrootcert");
        let mode = self.ssl_mode(rootcert.as_deref() == Some("system"))?;
        let negotiation =
            self.word("sslnegotiation", &[("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)])?;
        let negotiation = negotiation.unwrap_or(SslNegotiation::Postgres);
        if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
            return Err(ConninfoError::invalid("sslnegotiation", "is direct, which needs sslmode=require or stronger"));
        }
        let versions =
            [("TLSv1", TlsVersion::V12), ("TLSv1.1", TlsVersion::V12), ("TLSv1.2", TlsVersion::V12), ("TLSv1.3", TlsVersion::V13)];
        let min = self.word("ssl_min_protocol_version", &versions)?.unwrap_or(TlsVersion::V12);
        let max = self.word("ssl_max_protocol_version", &versions[2..])?.unwrap_or(TlsVersion::V13);
        if min > max {
            return Err(ConninfoError::invalid("ssl_max_protocol_version", "is older than ssl_min_protocol_version"));
        }
        let client = self.client_certificate()?;
        let sni = self.word("sslsni", &[("0", false), ("1", true)])?.unwrap_or(true);
        Ok(Tls { mode, negotiation, roots: self.roots(rootcert, mode)?, client, sni, min, max })
    }

    fn ssl_mode(&mut self, system_roots: bool) -> Result<SslMode, ConninfoError> {
        // JDBC's and node-postgres's ssl=true; libpq itself reads the first so in a URI.
        let ssl = match self.take("ssl").as_deref() {
            None => None,
            Some("true" | "1" | "on") => Some(SslMode::Require),
            Some("false" | "0" | "off") => Some(SslMode::Disable),
            Some(_) => return Err(ConninfoError::invalid("ssl", "must be true or false; sslmode says more")),
        };
        let words = [
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
            // node-postgres's name for TLS without looking at the certificate.
            ("no-verify", SslMode::Require),
        ];
        let mode = self.word("sslmode", &words)?.or(ssl);
        match (mode, system_roots) {
            (None, true) => Ok(SslMode::VerifyFull),
            (Some(mode), true) if mode < SslMode::VerifyFull => {
                Err(ConninfoError::invalid("sslrootcert", "is system, which libpq allows only with sslmode=verify-full"))
            }
            (mode, _) => Ok(mode.unwrap_or(SslMode::Prefer)),
        }
    }

    /// As libpq: a file of roots makes `require` check the authority. Two steps to the safe side: a file that is named must be there,
    /// and `verify-full` without any file trusts the system's authorities, where libpq gives up.
    fn roots(&mut self, rootcert: Option<String>, mode: SslMode) -> Result<Roots, ConninfoError> {
        if mode < SslMode::Require {
            return Ok(Roots::Unchecked);
        }
        if rootcert.as_deref() == Some("system") {
            return Ok(Roots::System);
        }
        if let Some(path) = rootcert {
            let path = self.environment.expand(&path);
            if !path.is_file() {
                return Err(ConninfoError::invalid("sslrootcert", format!("names {}, which is not a file", path.display())));
            }
            return Ok(Roots::File(path));
        }
        match (self.environment.in_home(".postgresql/root.crt").filter(|path| path.is_file()), mode) {
            (Some(path), _) => Ok(Roots::File(path)),
            (None, SslMode::VerifyFull) => {
                self.notices.push(
                    "There is no sslrootcert, so the server's certificate is checked against the system's authorities.".to_owned(),
                );
                Ok(Roots::System)
            }
            (None, SslMode::VerifyCa) => Err(ConninfoError::invalid(
                "sslmode",
                "is verify-ca, which needs sslrootcert=FILE; to trust the system's authorities use sslmode=verify-full with sslrootcert=system",
            )),
            (None, _) => Ok(Roots::Unchecked),
        }
    }

    fn client_certificate(&mut self) -> Result<Option<ClientCertificate>, ConninfoError> {
        let (certificate, key) = (self.take("sslcert"), self.take("sslkey"));
        match self.take("sslcertmode").as_deref() {
            Some("disable") => return Ok(None),
            None | Some("allow") => {}
            Some("require") => return Err(ConninfoError::invalid("sslcertmode", "is require, which is not supported; remove it")),
            Some(_) => return Err(ConninfoError::invalid("sslcertmode", "must be disable or allow")),
        }
        let explicit = certificate.is_some();
        let default = |name| self.environment.in_home(name);
        let certificate = certificate.map(|path| self.environment.expand(&path)).or_else(|| default(".postgresql/postgresql.crt"));
        let Some(certificate) = certificate.filter(|path| explicit || path.is_file()) else { return Ok(None) };
        let key = key.map(|path| self.environment.expand(&path)).or_else(|| default(".postgresql/postgresql.key"));
        let Some(key) = key else { return Err(ConninfoError::invalid("sslcert", "is given without sslkey")) };
        Ok(Some(ClientCertificate { certificate, key }))
    }
}
