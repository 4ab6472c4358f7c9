//! Why a connection could not be made: full sentences with what happened, why, and what to do.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::pg::conninfo::{Conninfo, Endpoint};
use crate::pg::error::{ServerError, is_transient_sqlstate};
use crate::pg::names::human;

/// Why a connection could not be made. The text is for people and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}{}", if fix.is_empty() { "" } else { " " }, fix)]
pub struct DialError {
    code: &'static str,
    /// What happened and why, in one sentence.
    message: String,
    /// What to do; empty where there is nothing to say.
    fix: String,
    sqlstate: Option<String>,
    transient: bool,
}

impl DialError {
    /// The first sentence of `text` says what happened and why, the others what to do.
    pub(in crate::pg) fn new(code: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        let (message, fix) = match text.split_once(". ") {
            Some((first, rest)) => (format!("{first}."), rest.to_owned()),
            None => (text, String::new()),
        };
        DialError { code, message, fix, sqlstate: None, transient: false }
    }

    pub(in crate::pg) fn transient(self) -> Self {
        DialError { transient: true, ..self }
    }

    /// A stable name of the situation, such as `unknown-host` or `wrong-password`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What happened and why, in one sentence, without what to do about it.
    pub fn what(&self) -> &str {
        &self.message
    }

    /// What to do about it; empty where there is nothing to say.
    pub fn fix(&self) -> &str {
        &self.fix
    }

    /// The SQLSTATE, if the server refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// Whether a later attempt may succeed.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// Whether TLS itself failed, so that a login without it may go through.
    pub(in crate::pg) fn is_tls(&self) -> bool {
        self.code.starts_with("tls-") || self.code.starts_with("certificate-")
    }

    /// The host's name could not be looked up.
    pub(super) fn lookup(host: &str, error: &io::Error) -> Self {
        // getaddrinfo's EAI_AGAIN has no kind of its own.
        if error.to_string().contains("emporary failure") {
            let message = format!(
                "The name {host} could not be looked up: the name server does not answer. Check the network and try again."
            );
            return DialError::new("name-server-down", message).transient();
        }
        let message = format!(
            "There is no host named {host}. Check the spelling in the connection string, and that a VPN is up if the name needs one."
        );
        DialError::new("unknown-host", message)
    }

    /// A socket could not be connected.
    pub(super) fn socket(place: &str, only_ipv6: bool, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                let message = format!(
                    "Nothing listens at {place}: the connection was refused. Check host and port, that the server runs, and that \
                     listen_addresses lets it listen there."
                );
                DialError::new("connection-refused", message).transient()
            }
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable if only_ipv6 => {
                let message = format!(
                    "{place} has only an IPv6 address, and this machine has no IPv6 route to it. Use a network with IPv6, or the provider's \
                     IPv4 address or add-on."
                );
                DialError::new("no-ipv6-route", message)
            }
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => DialError::new(
                "unreachable",
                format!("There is no route to {place}. Check the network, and the VPN if one is needed."),
            )
            .transient(),
            io::ErrorKind::NotFound => {
                let message = format!(
                    "There is no unix socket of a server in {place}. Check that the server runs, and its unix_socket_directories."
                );
                DialError::new("no-socket", message).transient()
            }
            io::ErrorKind::PermissionDenied => {
                let message = format!(
                    "The system does not allow a connection to {place}. Check the rights of the socket or the firewall of this machine."
                );
                DialError::new("not-permitted", message)
            }
            _ => DialError::new(
                "connection-failed",
                format!("No connection to {place} could be made: {error}. Try again, and check the network between."),
            )
            .transient(),
        }
    }

    /// An address did not answer in time.
    pub(super) fn timeout(place: &str, seconds: u64) -> Self {
        let message = format!(
            "{place} did not answer within {seconds} s. A firewall or an allow list that drops packets looks like this: let this machine's address \
             in, or raise connect_timeout if the server is slow to wake up."
        );
        DialError::new("connect-timeout", message).transient()
    }

    /// The server took the connection and then fell silent.
    pub(in crate::pg) fn login_timeout(endpoint: &Endpoint, seconds: u64) -> Self {
        let message = format!(
            "The server at {endpoint} took the connection but did not finish the login within {seconds} s. Check that it is a Postgres server and \
             not overloaded, or raise connect_timeout."
        );
        DialError::new("login-timeout", message).transient()
    }

    /// The server said no to TLS.
    pub(super) fn no_tls(endpoint: &Endpoint, mode: &str) -> Self {
        let message = format!(
            "The server at {endpoint} does not offer TLS, but sslmode={mode} demands it. Turn TLS on at the server (ssl = on), or, on a \
             network that you trust, use sslmode=disable."
        );
        DialError::new("tls-not-offered", message)
    }

    /// What was read or written during TLS or login failed.
    pub(in crate::pg) fn io(endpoint: &Endpoint, direct: bool, error: &io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            return DialError::tls(endpoint, tls);
        }
        if error.kind() == io::ErrorKind::InvalidData {
            return DialError::not_postgres(endpoint);
        }
        if direct {
            let message = format!(
                "The server at {endpoint} ended the connection during the direct TLS handshake. sslnegotiation=direct needs PostgreSQL 17 or later \
                 with TLS turned on; remove it to use the older way."
            );
            return DialError::new("tls-direct-refused", message);
        }
        let message = format!(
            "The server at {endpoint} ended the connection during the login ({error}). Check that it is a Postgres server; its log says more. Then try again."
        );
        DialError::new("connection-closed", message).transient()
    }

    /// Something answers, but not in the Postgres protocol.
    pub(in crate::pg) fn not_postgres(endpoint: &Endpoint) -> Self {
        let message = format!(
            "What answers at {endpoint} does not speak the Postgres protocol. Check the port: it may be that of a web server or of another database."
        );
        DialError::new("not-postgres", message)
    }

    /// The TLS library's objection.
    fn tls(endpoint: &Endpoint, error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(problem) => DialError::certificate(endpoint, problem),
            TlsError::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::NoCertificate) => {
                let message =
                    format!("The server at {endpoint} demands a client certificate. Give one with sslcert=FILE and sslkey=FILE.");
                DialError::new("tls-client-certificate-needed", message)
            }
            TlsError::AlertReceived(
                alert @ (AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied),
            ) => {
                let message = format!(
                    "The server at {endpoint} did not accept our client certificate ({alert:?}). Check that sslcert was signed by an authority in the \
                     server's ssl_ca_file, is still valid, and belongs to sslkey."
                );
                DialError::new("tls-client-certificate-refused", message)
            }
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) | TlsError::NoApplicationProtocol => {
                DialError::no_alpn(endpoint)
            }
            TlsError::AlertReceived(AlertDescription::ProtocolVersion) | TlsError::PeerIncompatible(_) => {
                let message = format!(
                    "The server at {endpoint} and this tool have no TLS version or cipher in common ({error}). This tool speaks TLS 1.2 and 1.3: check \
                     ssl_max_protocol_version at the server, and ssl_min_protocol_version in the connection string."
                );
                DialError::new("tls-no-common-version", message)
            }
            other => {
                let message = format!(
                    "The TLS handshake with {endpoint} failed: {other}. Check that nothing between here and the server changes the traffic."
                );
                DialError::new("tls-failed", message)
            }
        }
    }

    /// A direct handshake without the application protocol could be with any TLS server.
    pub(super) fn no_alpn(endpoint: &Endpoint) -> Self {
        let message = format!(
            "The server at {endpoint} does not name Postgres as its protocol in the TLS handshake. sslnegotiation=direct needs PostgreSQL 17 or later; \
             remove it to use the older way."
        );
        DialError::new("tls-direct-refused", message)
    }

    /// The server's certificate does not pass.
    fn certificate(endpoint: &Endpoint, problem: &CertificateError) -> Self {
        match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let message = format!(
                    "The certificate of the server at {endpoint} has expired. Have it renewed at the server, and check this machine's clock."
                );
                DialError::new("certificate-expired", message)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let message = format!(
                    "The certificate of the server at {endpoint} is not valid yet. Check this machine's clock and the server's certificate."
                );
                DialError::new("certificate-not-yet-valid", message)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let message = format!(
                    "The certificate of the server at {endpoint} was made for another name. Connect by the name that is in the certificate (with \
                     hostaddr if that does not lead there), or use sslmode=verify-ca, which does not compare names."
                );
                DialError::new("certificate-wrong-name", message)
            }
            CertificateError::UnknownIssuer => {
                let message = format!(
                    "The certificate of the server at {endpoint} was signed by an authority that is not trusted here. Give the provider's or your own \
                     authority with sslrootcert=FILE, or use sslrootcert=system with sslmode=verify-full if a public authority signed it."
                );
                DialError::new("certificate-untrusted", message)
            }
            other => {
                let message = format!(
                    "The certificate of the server at {endpoint} cannot be used: {other}. Have a certificate (X.509 version 3, RSA or ECDSA) made for the \
                     server, or give its own certificate with sslrootcert=FILE."
                );
                DialError::new("certificate-unusable", message)
            }
        }
    }

    /// The server answered the login with an error.
    pub(in crate::pg) fn server(info: &Conninfo, endpoint: &Endpoint, error: &ServerError) -> Self {
        let (user, database) = (human(info.user()), human(info.database()));
        let sqlstate = error.sqlstate.as_str();
        let (code, message) = match sqlstate {
            "28P01" => {
                let fix =
                    "Check the user and the password in the connection string; special characters in a URI are percent-encoded.";
                ("wrong-password", format!("The server at {endpoint} did not accept the password for user {user}. {fix}"))
            }
            "28000" if error.message.contains("pg_hba.conf") => {
                let fix = if error.message.contains("no encryption") || error.message.contains("SSL off") {
                    "It may want TLS: try sslmode=require. Otherwise add a line for this address to pg_hba.conf, or to the provider's allow list."
                } else {
                    "Add a line for this address to pg_hba.conf and reload, or let the address in at the provider."
                };
                let what = format!(
                    "The server at {endpoint} does not let user {user} into database {database} from this machine: {}.",
                    error.message
                );
                ("no-hba-entry", format!("{what} {fix}"))
            }
            "28000" => {
                let fix = "Check the user's name, that it may log in, and how pg_hba.conf wants it to log in.";
                ("not-authorized", format!("The server at {endpoint} did not let user {user} in: {}. {fix}", error.message))
            }
            "3D000" => {
                let fix = "Check the name after the last / of the URI, or create the database.";
                ("database-missing", format!("There is no database {database} on the server at {endpoint}. {fix}"))
            }
            "42501" => {
                let fix = format!(
                    "Run at the server:\ngrant connect on database {} to {};",
                    crate::pg::names::Ident::new(info.database()),
                    crate::pg::names::Ident::new(info.user())
                );
                ("no-connect-privilege", format!("User {user} may not connect to database {database} at {endpoint}. {fix}"))
            }
            "53300" => {
                let fix = "Close connections that are not needed, raise max_connections or the role's connection limit, or try again later.";
                (
                    "too-many-connections",
                    format!("The server at {endpoint} has no connection left for user {user}: {}. {fix}", error.message),
                )
            }
            "57P03" => {
                let fix = "Wait a moment and try again; a standby must have hot_standby on.";
                ("server-starting", format!("The server at {endpoint} does not accept connections now: {}. {fix}", error.message))
            }
            _ => {
                let hint = error.hint.as_deref().map(|hint| format!(" {}", hint.trim())).unwrap_or_default();
                let message = error.message.trim_end_matches('.');
                (
                    "refused-by-server",
                    format!(
                        "The server at {endpoint} refused the login: {message} (SQLSTATE {sqlstate}).{hint} See the server's log for more."
                    ),
                )
            }
        };
        DialError {
            sqlstate: Some(sqlstate.to_owned()),
            transient: is_transient_sqlstate(sqlstate),
            ..DialError::new(code, message)
        }
    }

    /// The errors of several servers, in one.
    pub(in crate::pg) fn combined(mut errors: Vec<(String, DialError)>) -> Self {
        if errors.len() == 1
            && let Some((_, only)) = errors.pop()
        {
            return only;
        }
        let list: Vec<String> = errors.iter().map(|(endpoint, error)| format!("{endpoint}: {error}")).collect();
        let message = format!("None of the {} servers could be used.", errors.len());
        let transient = errors.iter().any(|(_, error)| error.transient);
        let sqlstate = errors.into_iter().find_map(|(_, error)| error.sqlstate);
        DialError { code: "no-server-usable", message, fix: list.join("\n"), sqlstate, transient }
    }
}
