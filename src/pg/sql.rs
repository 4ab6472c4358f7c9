//! Sessions for SQL: tokio-postgres over a session that our own login made.
//!
//! tokio-postgres wants to log in by itself. It is handed a stream that swallows its startup packet and answers with the greeting that
//! our login received, so that servers, encryption and authentication are decided in one place, [`super::auth`], for every kind of session.

use std::borrow::Borrow;
use std::fmt::Write;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::auth::{self, Canceller, Session};
use super::conninfo::Conninfo;
use super::dial::Stream;
use super::error::PgError;
use super::types::ServerVersion;

/// The limit for the settings that start a session: they touch no table.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(30);

/// The statements that pin a session, for a server of this version (such as 170005); one text for one simple query.
///
/// Poolers and some providers refuse settings in the startup packet, and roles and databases bring their own defaults: so they are set after
/// the login, in every session, whoever speaks in it. Nothing may time out behind our back, no name is found by search path, values have one
/// form only, and a policy that would hide rows is an error.
pub fn session_settings(version_num: u32) -> String {
    let since = [
        (0, "client_encoding", "'UTF8'"),
        (0, "statement_timeout", "0"),
        (90_300, "lock_timeout", "0"),
        (90_600, "idle_in_transaction_session_timeout", "0"),
        (140_000, "idle_session_timeout", "0"),
        (170_000, "transaction_timeout", "0"),
        (0, "search_path", "''"),
        (0, "datestyle", "'ISO'"),
        (0, "intervalstyle", "'postgres'"),
        (0, "timezone", "'UTC'"),
        (0, "extra_float_digits", "3"),
        (0, "bytea_output", "'hex'"),
        (90_500, "row_security", "off"),
    ];
    since.iter().filter(|(version, ..)| *version <= version_num).fold(String::new(), |mut sql, (_, name, value)| {
        let separator = if sql.is_empty() { "" } else { "; " };
        let _ = write!(sql, "{separator}set {name} to {value}");
        sql
    })
}

/// A session for SQL. It ends when this is dropped.
pub struct Client {
    inner: tokio_postgres::Client,
    connection: JoinHandle<()>,
    lost: CancellationToken,
    canceller: Canceller,
    server_version: ServerVersion,
}

impl Client {
    /// Returns when the connection has ended, whichever side ended it.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.lost.is_cancelled() || self.inner.is_closed()
    }

    /// Cancels what this session is doing, from elsewhere.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The server's version.
    pub fn server_version(&self) -> ServerVersion {
        self.server_version
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl Borrow<tokio_postgres::Client> for Client {
    fn borrow(&self) -> &tokio_postgres::Client {
        &self.inner
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("canceller", &self.canceller).finish_non_exhaustive()
    }
}

/// Logs in and pins the session ([`session_settings`]).
pub async fn connect(info: &Conninfo, application_name: &str) -> Result<Client, PgError> {
    let session = auth::login(info, &[("application_name", application_name)]).await?;
    let (canceller, server_version) = (session.canceller(), session.server_version());
    let mut config = tokio_postgres::Config::new();
    // The startup packet that this makes goes nowhere; the user only has to be there.
    config.user(info.user()).ssl_mode(tokio_postgres::config::SslMode::Disable);
    let (inner, connection) = config.connect_raw(TakenOver::new(session), NoTls).await?;
    let lost = CancellationToken::new();
    let at_end = lost.clone().drop_guard();
    let connection = tokio::spawn(async move {
        let _at_end = at_end;
        if let Err(error) = connection.await {
            tracing::debug!(error = %PgError::from(error), "a connection ended");
        }
    });
    let client = Client { inner, connection, lost, canceller, server_version };
    let settings = session_settings(server_version.0);
    match timeout(SETTINGS_TIMEOUT, client.batch_execute(&settings)).await {
        Ok(done) => done?,
        Err(_) => return Err(PgError::Timeout { what: "setting up the session".to_owned(), limit_s: SETTINGS_TIMEOUT.as_secs() }),
    }
    Ok(client)
}

/// A stream on which a login seems to happen that has already happened.
struct TakenOver {
    stream: Stream,
    /// What is read before anything from the stream: the greeting, and what came after it.
    ahead: BytesMut,
    startup: Startup,
}

/// How much of the client's startup packet has been swallowed.
enum Startup {
    Length { seen: usize, value: u32 },
    Body(usize),
    Done,
}

impl TakenOver {
    fn new(mut session: Session) -> Self {
        // tokio-postgres knows only keys of four bytes; cancel requests go through our own canceller, so that it may hold anything.
        let key = std::mem::replace(&mut session.secret_key, vec![0; 4]);
        if key.len() == 4 {
            session.secret_key = key;
        }
        let mut ahead = session.greeting();
        ahead.extend_from_slice(&session.buffer);
        TakenOver { stream: session.stream, ahead, startup: Startup::Length { seen: 0, value: 0 } }
    }

    /// How many of the bytes belong to the startup packet.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        let mut swallowed = 0;
        loop {
            match &mut self.startup {
                Startup::Done => return swallowed,
                Startup::Length { seen: 4, value } => self.startup = Startup::Body((*value as usize).saturating_sub(4)),
                Startup::Body(0) => self.startup = Startup::Done,
                Startup::Length { seen, value } => {
                    let Some(byte) = bytes.get(swallowed) else { return swallowed };
                    *value = *value << 8 | u32::from(*byte);
                    *seen += 1;
                    swallowed += 1;
                }
                Startup::Body(left) => {
                    let here = (*left).min(bytes.len() - swallowed);
                    if here == 0 {
                        return swallowed;
                    }
                    *left -= here;
                    swallowed += here;
                }
            }
        }
    }
}

impl AsyncRead for TakenOver {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let length = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead[..length]);
        this.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TakenOver {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let swallowed = this.swallow(buf);
        if swallowed > 0 || buf.is_empty() {
            return Poll::Ready(Ok(swallowed));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_grow_with_the_version() {
        let (old, new) = (session_settings(90_200), session_settings(180_000));
        assert!(!old.contains("row_security") && !old.contains("lock_timeout"));
        assert!(new.contains("; set idle_session_timeout to 0") && new.contains("; set transaction_timeout to 0"));
        assert!(!session_settings(160_004).contains("transaction_timeout"));
        assert!(new.starts_with("set client_encoding to 'UTF8'; "));
    }
}
