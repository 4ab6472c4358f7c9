//! The small types that a connection string's settings become, each with its parser.

use std::path::PathBuf;
use std::time::Duration;

/// How much TLS is asked for (Postgres documentation, "SSL Mode Descriptions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// Without TLS first; with TLS if the server wants it.
    Allow,
    /// With TLS first; without if the server has none.
    Prefer,
    /// TLS or nothing. The certificate is checked only if there is a file of root certificates.
    Require,
    /// TLS with a certificate that a trusted authority signed.
    VerifyCa,
    /// TLS with a certificate that a trusted authority signed for this host.
    VerifyFull,
}

/// How TLS starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslNegotiation {
    /// Postgres's own request first.
    Postgres,
    /// The handshake at once (PostgreSQL 17 and later).
    Direct,
}

/// Which certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// None are looked at: the certificate is not checked.
    Unchecked,
    /// Those in a PEM file.
    File(PathBuf),
    /// Those of the operating system.
    System,
}

/// A TLS protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// A client certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, with intermediates if need be.
    pub certificate: PathBuf,
    /// The private key, not encrypted.
    pub key: PathBuf,
}

/// Everything about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// How much TLS is asked for.
    pub mode: SslMode,
    /// How it starts.
    pub negotiation: SslNegotiation,
    /// Which certificates are trusted.
    pub roots: Roots,
    /// What we show to the server.
    pub client: Option<ClientCertificate>,
    /// Whether the host's name is sent in the clear for the server to choose by (Neon needs it).
    pub sni: bool,
    /// The oldest version.
    pub min: TlsVersion,
    /// The newest version.
    pub max: TlsVersion,
}

/// Whether the login must be bound to the TLS channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Or there is no login.
    Require,
}

/// Which state of a server will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSession {
    /// Any.
    Any,
    /// Sessions are read-write by default.
    ReadWrite,
    /// Sessions are read-only by default.
    ReadOnly,
    /// Not in hot standby.
    Primary,
    /// In hot standby.
    Standby,
    /// In hot standby, or any if there is none.
    PreferStandby,
}

/// How dead peers are noticed on an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without an answer before the connection counts as dead.
    pub count: u32,
}

/// The ways to log in that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// The server asks for nothing.
    None,
    /// The password in the clear.
    Password,
    /// An MD5 hash.
    Md5,
    /// SCRAM-SHA-256, bound to the channel or not.
    Scram,
}

impl AuthMethod {
    /// The name in `require_auth`.
    pub fn name(self) -> &'static str {
        match self {
            AuthMethod::None => "none",
            AuthMethod::Password => "password",
            AuthMethod::Md5 => "md5",
            AuthMethod::Scram => "scram-sha-256",
        }
    }

    pub(super) const ALL: [AuthMethod; 4] = [AuthMethod::None, AuthMethod::Password, AuthMethod::Md5, AuthMethod::Scram];
}

/// Reads `require_auth`: a list of methods, either all allowed or all, with `!`, forbidden.
pub(super) fn require_auth(text: &str) -> Result<Vec<AuthMethod>, &'static str> {
    const KNOWN: &str = "must be a list of password, md5, scram-sha-256 and none, either all with a ! in front or none of them";
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let forbidden = words.iter().filter(|word| word.starts_with('!')).count();
    if forbidden != 0 && forbidden != words.len() {
        return Err(KNOWN);
    }
    let mut named = Vec::new();
    for word in words {
        let word = word.trim_start_matches('!');
        match AuthMethod::ALL.iter().find(|method| method.name() == word) {
            Some(method) => named.push(*method),
            None if matches!(word, "gss" | "sspi" | "oauth") => {}
            None => return Err(KNOWN),
        }
    }
    if forbidden != 0 {
        return Ok(AuthMethod::ALL.into_iter().filter(|method| !named.contains(method)).collect());
    }
    if named.is_empty() {
        return Err("asks for GSSAPI, SSPI or OAuth, which this tool does not support; use a password");
    }
    Ok(named)
}
