//! Connection strings as libpq reads them: URI and keyword=value, `PG*` variables, `.pgpass`, `pg_service.conf`.
//!
//! What a person copies from a provider's console must work as it is, or be explained in one sentence. Passwords live in [`SecretString`];
//! neither `Debug` nor `Display` nor an error shows one.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use environment::Environment;
pub use pooled::{Direct, PooledHint};
pub use settings::{
    AuthMethod, ChannelBinding, ClientCertificate, Keepalive, Roots, SslMode, SslNegotiation, TargetSession, Tls, TlsVersion,
};

mod build;
mod environment;
mod keywords;
mod passfile;
mod pooled;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod text;

/// Why a connection string cannot be used. The text is full sentences and holds nothing that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConninfoError {
    code: &'static str,
    message: String,
}

impl ConninfoError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        ConninfoError { code, message: message.into() }
    }

    fn syntax(why: impl fmt::Display) -> Self {
        ConninfoError::new("connection-string-syntax", format!("The connection string could not be read: {why}."))
    }

    fn invalid(key: &str, why: impl fmt::Display) -> Self {
        ConninfoError::new("invalid-parameter", format!("The connection string could not be used: {key} {why}."))
    }

    /// Names the key only if it looks like one: where quoting went wrong it may be a piece of the password.
    fn unknown_key(key: &str) -> Self {
        let plain = !key.is_empty() && key.len() <= 40 && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        let name = if plain { format!("the parameter {key}") } else { "a parameter whose name is not a plain word".to_owned() };
        let fix = "Remove it, or correct its spelling; the list is in the Postgres documentation under Parameter Key Words";
        ConninfoError::new("unknown-parameter", format!("The connection string holds {name}, which libpq does not know. {fix}."))
    }

    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// An address that saves looking the host's name up (`hostaddr`).
    pub address: Option<IpAddr>,
    /// The port, also of a unix socket.
    pub port: u16,
}

/// A host: a name or address, or the directory of a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or an IP address, without brackets.
    Name(String),
    /// The directory that holds the socket.
    Socket(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Socket(dir) => write!(f, "{}:{}", dir.display(), self.port),
        }
    }
}

/// Where a password comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFrom {
    /// The connection string, or the service that it names.
    Text,
    /// `PGPASSWORD`.
    Environment,
    /// The password file.
    File,
}

/// Everything that is needed to connect to one database.
#[derive(Clone)]
pub struct Conninfo {
    endpoints: Vec<Endpoint>,
    user: String,
    database: String,
    password: Option<SecretString>,
    is_password_of_environment: bool,
    passfile: Option<Arc<passfile::PassFile>>,
    tls: Tls,
    /// The TLS configuration made from `tls`, shared by clones: reading the system's roots takes milliseconds.
    pub(in crate::pg) tls_cache: Arc<std::sync::OnceLock<Arc<tokio_rustls::rustls::ClientConfig>>>,
    channel_binding: ChannelBinding,
    require_auth: Vec<AuthMethod>,
    target_session: TargetSession,
    load_balance: bool,
    connect_timeout: Duration,
    keepalive: Option<Keepalive>,
    tcp_user_timeout: Option<Duration>,
    options: Option<String>,
    application_name: Option<String>,
    pooled: bool,
    notices: Vec<String>,
}

impl Conninfo {
    /// Reads a connection string: a URI, keyword=value pairs, or the bare name of a database. What it leaves out comes from the service
    /// file, the environment and libpq's defaults.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConninfoError> {
        build::build(text, environment)
    }

    /// The servers, in the order in which they are tried.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The role.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The password for a server: the given one, or the password file's.
    pub fn password(&self, endpoint: &Endpoint) -> Option<SecretString> {
        if let Some(password) = &self.password {
            return Some(password.clone());
        }
        // A unix socket in a default directory is called localhost in the password file (Postgres documentation, "The Password File").
        let host = match &endpoint.host {
            Host::Name(name) => name.clone(),
            Host::Socket(dir) if ["/var/run/postgresql", "/tmp"].iter().any(|default| dir.as_os_str() == *default) => {
                "localhost".to_owned()
            }
            Host::Socket(dir) => dir.to_string_lossy().into_owned(),
        };
        self.passfile.as_ref()?.password(&host, endpoint.port, &self.database, &self.user)
    }

    /// Where the password for the first server comes from, if there is one.
    pub fn password_from(&self) -> Option<PasswordFrom> {
        match self.password {
            Some(_) if self.is_password_of_environment => Some(PasswordFrom::Environment),
            Some(_) => Some(PasswordFrom::Text),
            None => self.endpoints.first().and_then(|endpoint| self.password(endpoint)).map(|_| PasswordFrom::File),
        }
    }

    /// Everything about TLS.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Whether the login must be bound to the TLS channel.
    pub fn channel_binding(&self) -> ChannelBinding {
        self.channel_binding
    }

    /// The ways to log in that are allowed.
    pub fn allowed_auth(&self) -> &[AuthMethod] {
        &self.require_auth
    }

    /// Which state of a server will do.
    pub fn target_session(&self) -> TargetSession {
        self.target_session
    }

    /// Whether servers and addresses are tried in random order.
    pub fn load_balance(&self) -> bool {
        self.load_balance
    }

    /// The limit for reaching one address, TLS included.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How dead peers are noticed; `None` if that is turned off.
    pub fn keepalive(&self) -> Option<Keepalive> {
        self.keepalive
    }

    /// How long sent data may go without an acknowledgement.
    pub fn tcp_user_timeout(&self) -> Option<Duration> {
        self.tcp_user_timeout
    }

    /// The `options` for the server's command line (Neon's endpoint may be in there).
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// The application's name, if the string gives one.
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    /// What was ignored, a sentence each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Whether the address looks like a pooler's, why, and where the server itself is.
    pub fn is_pooled_hint(&self) -> Option<PooledHint> {
        pooled::hint(self)
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: impl Into<String>) -> Self {
        Conninfo { database: database.into(), ..self.clone() }
    }

    /// The same server, role and database, and this password.
    #[must_use]
    pub fn with_password(&self, password: SecretString) -> Self {
        Conninfo { password: Some(password), is_password_of_environment: false, ..self.clone() }
    }

    /// The same, but only the one server: where a session was made, its cancel request must go.
    pub(in crate::pg) fn at(&self, endpoint: Endpoint) -> Self {
        Conninfo { endpoints: vec![endpoint], target_session: TargetSession::Any, ..self.clone() }
    }

    /// `user@host:port/database`, for people. Holds no secret.
    pub fn label(&self) -> String {
        let endpoints: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        let label = format!("{}@{}/{}", self.user, endpoints.join(","), self.database);
        label.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
    }
}

impl fmt::Display for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Conninfo").field(&self.label()).field(&self.tls.mode).finish()
    }
}
