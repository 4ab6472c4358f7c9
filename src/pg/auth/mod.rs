//! The login, for every kind of session: one way through servers, encryption, authentication and the wanted state of the server.
//!
//! The rules are libpq's. Servers are tried in turn until one is reachable; a refused login ends the search, since the next server would only
//! refuse it again. `sslmode=allow` and `prefer` try the other kind of connection where the first does not lead to a login.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rand::seq::SliceRandom;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::conninfo::{Conninfo, Endpoint, Host, SslMode, TargetSession};
use super::dial::{self, DialError, Encryption, Stream};
use super::error::PgError;
use super::types::ServerVersion;

mod exchange;
mod state;

/// A server may wake up or replay its log between taking the connection and the end of the login, so this limit is longer than that for
/// reaching it.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A session that is logged in and ready for its first query.
pub struct Session {
    /// The connection.
    pub stream: Stream,
    /// What was read beyond `ReadyForQuery`.
    pub buffer: BytesMut,
    /// What the server reported about itself (`ParameterStatus`).
    pub parameters: BTreeMap<String, String>,
    /// The server process, for cancel requests.
    pub process_id: i32,
    /// Its key, for cancel requests.
    pub secret_key: Vec<u8>,
    /// The connection information, narrowed to the server and the address that were reached.
    pub reached: Conninfo,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("reached", &self.reached).field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

impl Session {
    /// The server's version as it reported it; zero if it did not.
    pub fn server_version(&self) -> ServerVersion {
        ServerVersion(self.parameters.get("server_version").and_then(|text| version_num(text)).unwrap_or(0))
    }

    /// What to send for a cancel request, and where.
    pub fn canceller(&self) -> Canceller {
        Canceller { reached: self.reached.clone(), process_id: self.process_id, secret_key: self.secret_key.clone() }
    }

    /// The server's side of a login, from `AuthenticationOk` to `ReadyForQuery`, for a client behind us that takes the session over.
    pub(in crate::pg) fn greeting(&self) -> BytesMut {
        let mut greeting = BytesMut::new();
        frame(&mut greeting, b'R', &0_i32.to_be_bytes());
        for (name, value) in &self.parameters {
            frame(&mut greeting, b'S', &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        frame(&mut greeting, b'K', &[&self.process_id.to_be_bytes(), self.secret_key.as_slice()].concat());
        frame(&mut greeting, b'Z', b"I");
        greeting
    }
}

/// Appends a message of the protocol.
pub(in crate::pg) fn frame(out: &mut BytesMut, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    // Our own messages are small, so that the length always fits.
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(body);
}

/// The number form of a version text: `17.5 (Debian 17.5-1)` is 170005, `18beta1` is 180000, `9.6.24` is 90624.
fn version_num(text: &str) -> Option<u32> {
    let word = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
    let mut parts = word.split('.').map(|part| part.parse::<u32>().ok().filter(|part| *part < 1000));
    let major = parts.next()??;
    let minor = parts.next().flatten().unwrap_or(0);
    let patch = parts.next().flatten().unwrap_or(0);
    Some(if major >= 10 { major * 10_000 + minor } else { major * 10_000 + minor * 100 + patch })
}

/// Cancels what a session is doing.
#[derive(Clone)]
pub struct Canceller {
    reached: Conninfo,
    process_id: i32,
    secret_key: Vec<u8>,
}

impl Canceller {
    /// Sends the cancel request on a connection of its own. The server does not say whether it had an effect.
    pub async fn cancel(&self) -> Result<(), PgError> {
        cancel(&self.reached, self.process_id, &self.secret_key).await
    }

    /// The server process that serves the session.
    pub(in crate::pg) fn process_id(&self) -> i32 {
        self.process_id
    }

    /// The server that serves the session, by itself.
    pub(in crate::pg) fn reached(&self) -> &Conninfo {
        &self.reached
    }

    /// Whether a cancel request with this process id and key is meant for the session.
    pub(in crate::pg) fn is_for(&self, process_id: i32, secret_key: &[u8]) -> bool {
        self.process_id == process_id && self.secret_key == secret_key
    }

    pub(in crate::pg) fn is_same(&self, other: &Canceller) -> bool {
        self.is_for(other.process_id, &other.secret_key)
    }
}

impl std::fmt::Debug for Canceller {
    /// Without the key: whoever has it can cancel.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canceller").field("reached", &self.reached).field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

/// Sends a cancel request to the first server of `info`, encrypted as its sessions are.
pub async fn cancel(info: &Conninfo, process_id: i32, secret_key: &[u8]) -> Result<(), PgError> {
    let mut request = BytesMut::new();
    request.put_u32(12 + secret_key.len() as u32);
    // 1234 and 5678 in two halves (Postgres documentation, "Message Formats", CancelRequest).
    request.put_i32(80_877_102);
    request.put_i32(process_id);
    request.put_slice(secret_key);
    let [endpoint, ..] = info.endpoints() else {
        return Err(PgError::Protocol("no server to send the cancel request to".to_owned()));
    };
    let mut stream = dial::open(info, endpoint, plan(info, endpoint)[0]).await?;
    let send = async {
        stream.write_all(&request).await?;
        stream.flush().await?;
        // The server closes when the request has been dealt with: waiting for that keeps a later query safe from it.
        let mut end = [0; 1];
        stream.read(&mut end).await.map(|_| ())
    };
    match timeout(info.connect_timeout(), send).await {
        // Some servers end the connection without a goodbye; the request is through all the same.
        Ok(_) => Ok(()),
        Err(_) => Err(PgError::Timeout { what: "the cancel request".to_owned(), limit_s: info.connect_timeout().as_secs() }),
    }
}

/// Logs in. `params` are startup parameters beyond user, database and those of the connection string, such as `replication`.
pub async fn login(info: &Conninfo, params: &[(&str, &str)]) -> Result<Session, PgError> {
    let mut endpoints = info.endpoints().to_vec();
    if info.load_balance() {
        endpoints.shuffle(&mut rand::rng());
    }
    let passes: &[TargetSession] = match info.target_session() {
        TargetSession::PreferStandby => &[TargetSession::Standby, TargetSession::Any],
        TargetSession::Any => &[TargetSession::Any],
        TargetSession::ReadWrite => &[TargetSession::ReadWrite],
        TargetSession::ReadOnly => &[TargetSession::ReadOnly],
        TargetSession::Primary => &[TargetSession::Primary],
        TargetSession::Standby => &[TargetSession::Standby],
    };
    let mut errors = Vec::new();
    for wanted in passes {
        errors.clear();
        for endpoint in &endpoints {
            match login_at(info, endpoint, params, *wanted).await {
                Ok(session) => return Ok(session),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => errors.push((endpoint.to_string(), error)),
            }
        }
    }
    Err(DialError::combined(errors).into())
}

/// Whether the next server need not be asked: it was a login that was refused, not a server that could not be used.
fn is_final(error: &DialError) -> bool {
    error.sqlstate().is_some_and(|sqlstate| !matches!(sqlstate, "57P03" | "53300" | "57P01" | "57P02"))
}

/// Which kinds of connection are tried, in turn.
fn plan(info: &Conninfo, endpoint: &Endpoint) -> &'static [Encryption] {
    match (&endpoint.host, info.tls().mode) {
        (Host::Socket(_), _) | (_, SslMode::Disable) => &[Encryption::Plain],
        (_, SslMode::Allow) => &[Encryption::Plain, Encryption::Required],
        (_, SslMode::Prefer) => &[Encryption::IfOffered, Encryption::Plain],
        _ => &[Encryption::Required],
    }
}

async fn login_at(
    info: &Conninfo,
    endpoint: &Endpoint,
    params: &[(&str, &str)],
    wanted: TargetSession,
) -> Result<Session, DialError> {
    let mut first: Option<DialError> = None;
    for encryption in plan(info, endpoint) {
        let outcome = attempt(info, endpoint, *encryption, params, wanted).await;
        match (outcome, first.take()) {
            (Ok(session), _) => return Ok(session),
            // The other kind of connection helps where TLS itself failed, or where pg_hba.conf has no entry for this kind.
            (Err(error), None) if error.is_tls() || error.sqlstate() == Some("28000") => first = Some(error),
            (Err(error), None) => return Err(error),
            // After both, the refusal of the encrypted one says more.
            (Err(second), Some(first)) => return Err(if *encryption == Encryption::Plain { first } else { second }),
        }
    }
    Err(first.unwrap_or_else(|| DialError::new("connection-failed", format!("No connection to {endpoint} could be made."))))
}

async fn attempt(
    info: &Conninfo,
    endpoint: &Endpoint,
    encryption: Encryption,
    params: &[(&str, &str)],
    wanted: TargetSession,
) -> Result<Session, DialError> {
    let stream = dial::open(info, endpoint, encryption).await?;
    let address = stream.peer_ip().or(endpoint.address);
    let reached = info.at(Endpoint { address, ..endpoint.clone() });
    let limit = info.connect_timeout().max(LOGIN_TIMEOUT);
    let login = async {
        let mut session = exchange::run(info, endpoint, stream, params, reached).await?;
        state::check(&mut session, endpoint, wanted).await?;
        Ok(session)
    };
    timeout(limit, login).await.unwrap_or_else(|_| Err(DialError::login_timeout(endpoint, limit.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_every_style() {
        let cases =
            [("17.5 (Debian 17.5-1)", 170_005), ("18beta1", 180_000), ("14.24", 140_024), ("9.6.24", 90_624), ("18devel", 180_000)];
        for (text, expected) in cases {
            assert_eq!(version_num(text), Some(expected), "{text}");
        }
        assert_eq!(version_num("PostgreSQL"), None);
        assert_eq!(version_num(""), None);
    }
}
