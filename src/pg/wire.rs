//! Our own connection for work that tokio-postgres does not do, or does not do cheaply: COPY streams that are passed on frame by frame,
//! and long scripts in the simple query protocol (Postgres documentation, "Message Flow").
//!
//! Everything here uses the simple query protocol: one `Query` message may hold many statements, COPY among them, and the server ends its answer
//! with exactly one `ReadyForQuery`, whether all went well or not. That makes the rule for keeping a connection usable short: after sending a query,
//! read until `ReadyForQuery`. A [`Conn`] that was left in the middle of an answer says so ([`Conn::is_idle`]) and must be dropped.
//!
//! An answer may take hours (an index is built), and a connection may die without a word (a firewall that forgets it, a proxy that hangs). So
//! silence is no error, but a reason to ask: after [`silence_limit`] another connection looks whether the server still has the session,
//! and whether it is still at work.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::auth::{self, Canceller};
use super::conninfo::Conninfo;
use super::dial::Stream;
use super::error::{PgError, ServerError};
use super::sql::session_settings;

/// How much is asked of the socket at once, in bytes.
pub const READ_BYTES: usize = 256 * 1024;

/// One row of a simple query: each value in text form, `None` for null.
pub type TextRow = Vec<Option<String>>;

/// What one statement of a simple query answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its rows.
    pub rows: Vec<TextRow>,
    /// Its command tag, such as `COPY 5`.
    pub tag: String,
}

impl Answer {
    /// The number at the end of the command tag: rows copied, inserted, selected.
    pub fn count(&self) -> Option<u64> {
        self.tag.rsplit(' ').next().and_then(|n| n.parse().ok())
    }
}

/// A connection in the simple query protocol.
#[derive(Debug)]
pub struct Conn {
    pub(super) stream: Stream,
    /// Bytes that were read and not yet looked at.
    pub(super) buffer: BytesMut,
    pub(super) idle: bool,
    canceller: Canceller,
}

/// How long the server may be silent before it is asked whether it is still at work.
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// How long that question may take beside the time to connect.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// `usual`; a debug build takes milliseconds from `NEON_MIGRATE_STALL_MS` for every limit of this kind, so that a test need not wait for minutes.
pub fn stall_limit(usual: Duration) -> Duration {
    #[cfg(debug_assertions)]
    if let Some(limit) = std::env::var("NEON_MIGRATE_STALL_MS").ok().and_then(|value| value.parse().ok()) {
        return Duration::from_millis(limit);
    }
    usual
}

/// [`SILENCE`], unless a test says otherwise.
pub fn silence_limit() -> Duration {
    stall_limit(SILENCE)
}

impl Conn {
    /// Connects, logs in and pins the session's settings.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made, or the settings from being accepted.
    pub async fn connect(info: &Conninfo, application_name: &str) -> Result<Conn, PgError> {
        let session = auth::login(info, &[("application_name", application_name), ("client_encoding", "UTF8")]).await?;
        let version = session.server_version().0;
        let canceller = session.canceller();
        let mut conn = Conn { canceller, stream: session.stream, buffer: session.buffer, idle: true };
        conn.query(&session_settings(version)).await?;
        Ok(conn)
    }

    /// Whether the last answer was read to its end, so that another query may be sent.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// The server process that serves this connection.
    pub fn process_id(&self) -> i32 {
        self.canceller.process_id()
    }

    /// Runs statements and gives the answer of each, in text form.
    ///
    /// # Errors
    /// The server's first error, after its answer was read to the end; or the loss of the connection.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Answer>, PgError> {
        self.send_query(sql).await?;
        self.answers().await
    }

    /// Like [`Conn::query`], with a time limit after which the connection is not usable any more.
    ///
    /// # Errors
    /// As [`Conn::query`], or [`PgError::Timeout`].
    pub async fn query_within(&mut self, limit: Duration, sql: &str, what: &str) -> Result<Vec<Answer>, PgError> {
        match tokio::time::timeout(limit, self.query(sql)).await {
            Ok(result) => result,
            Err(_) => Err(PgError::Timeout { what: what.to_owned(), limit_s: limit.as_secs() }),
        }
    }

    /// Sends a query without waiting for its answer.
    ///
    /// # Errors
    /// The loss of the connection; text with a NUL byte.
    pub async fn send_query(&mut self, sql: &str) -> Result<(), PgError> {
        if !self.idle {
            return Err(PgError::Protocol("a query was sent while another one was running".to_owned()));
        }
        let mut message = BytesMut::with_capacity(sql.len() + 16);
        postgres_protocol::message::frontend::query(sql, &mut message)?;
        self.idle = false;
        let send = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(silence_limit(), send).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(PgError::Timeout { what: "sending a statement".to_owned(), limit_s: silence_limit().as_secs() }),
        }
    }

    /// Reads the answers of a query that was sent, to its end.
    async fn answers(&mut self) -> Result<Vec<Answer>, PgError> {
        let mut collector = Collector::default();
        let mut seen_idle = false;
        loop {
            let Ok(frame) = tokio::time::timeout(silence_limit(), self.frame()).await else {
                seen_idle = self.ask_whether_at_work(seen_idle).await?;
                continue;
            };
            let frame = frame?;
            if collector.take(&frame)? {
                self.idle = true;
                return collector.finish();
            }
            if frame[0] == b'G' {
                // A COPY that nobody will feed: end it, so that the answer comes to its end.
                self.stream.write_all(&copy_fail("no data was prepared for this copy")).await?;
                self.stream.flush().await?;
            }
        }
    }

    /// Asks the server over another connection what the session does. True if it is idle: its answer may be on the way, and is lost if it
    /// is still not there the next time.
    async fn ask_whether_at_work(&self, seen_idle: bool) -> Result<bool, PgError> {
        let lost = |why: &str| Err(PgError::Io(io::Error::new(io::ErrorKind::ConnectionAborted, why)));
        let info = self.canceller.reached();
        let sql = format!("select state from pg_catalog.pg_stat_activity where pid = {}", self.process_id());
        let ask = async {
            let session = auth::login(info, &[("application_name", "neon-migrate probe"), ("client_encoding", "UTF8")]).await?;
            let canceller = session.canceller();
            let mut conn = Conn { canceller, stream: session.stream, buffer: session.buffer, idle: true };
            conn.send_query(&sql).await?;
            let mut collector = Collector::default();
            while !collector.take(&conn.frame().await?)? {}
            conn.close().await;
            collector.finish()
        };
        let answers = match tokio::time::timeout(info.connect_timeout() + PROBE_LIMIT, ask).await {
            Ok(Ok(answers)) => answers,
            // A server that refuses one more connection is there.
            Ok(Err(error)) if error.sqlstate().is_some() => return Ok(seen_idle),
            Ok(Err(error)) => return Err(error),
            Err(_) => return lost("the server fell silent, and answers on no other connection either"),
        };
        match answers.first().and_then(|answer| answer.rows.first()).and_then(|row| row.first()) {
            None => lost("the server fell silent, and has no such session any more"),
            Some(Some(state)) if state.starts_with("idle") && seen_idle => {
                lost("the server has answered, and the answer did not arrive")
            }
            Some(state) => Ok(state.as_ref().is_some_and(|state| state.starts_with("idle"))),
        }
    }

    /// Reads one whole message, header included.
    pub(super) async fn frame(&mut self) -> Result<BytesMut, PgError> {
        next_frame(&mut self.stream, &mut self.buffer).await
    }

    /// Says good-bye; the server ends the session at once.
    pub async fn close(mut self) {
        let mut message = BytesMut::new();
        postgres_protocol::message::frontend::terminate(&mut message);
        let goodbye = async {
            self.stream.write_all(&message).await?;
            self.stream.shutdown().await
        };
        // The other side may be gone already, and then there is nobody to say good-bye to.
        let _ = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
    }
}

/// A `CopyFail` message.
pub(super) fn copy_fail(reason: &str) -> BytesMut {
    let mut message = BytesMut::new();
    // Fails only for a reason with a NUL byte, and ours are constants.
    let _ = postgres_protocol::message::frontend::copy_fail(reason, &mut message);
    message
}

/// The largest message that is read whole. Row data is passed on in pieces and never read whole; everything else is small.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The length of a whole message from its five-byte header, type byte included.
pub(super) fn frame_len(header: &[u8]) -> Result<usize, PgError> {
    let len = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if len < 4 {
        return Err(PgError::Protocol(format!("a message of length {len}")));
    }
    Ok(len + 1)
}

/// Reads one whole message from `stream`, through `buffer`.
pub(super) async fn next_frame<R>(stream: &mut R, buffer: &mut BytesMut) -> Result<BytesMut, PgError>
where
    R: tokio::io::AsyncRead + Unpin,
{
    loop {
        if buffer.len() >= 5 {
            let len = frame_len(buffer)?;
            if len > FRAME_BYTES_MAX {
                return Err(PgError::Protocol(format!("a message of {len} bytes where a short one was expected")));
            }
            if buffer.len() >= len {
                return Ok(buffer.split_to(len));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(PgError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")));
        }
    }
}

/// Collects the answers of the statements of one simple query.
#[derive(Debug, Default)]
pub(super) struct Collector {
    answers: Vec<Answer>,
    current: Answer,
    error: Option<ServerError>,
}

impl Collector {
    /// Takes one message; true when it was the last of the answer.
    pub(super) fn take(&mut self, frame: &[u8]) -> Result<bool, PgError> {
        let body = &frame[5..];
        match frame[0] {
            b'D' => self.current.rows.push(text_row(body)?),
            b'C' => {
                self.current.tag = c_string(&mut &body[..])?;
                self.answers.push(std::mem::take(&mut self.current));
            }
            b'I' => self.answers.push(std::mem::take(&mut self.current)),
            b'E' => {
                let error = server_error(body)?;
                self.error.get_or_insert(error);
            }
            b'Z' => return Ok(true),
            // Notices, parameters, notifications, row descriptions and COPY in either direction.
            b'N' | b'S' | b'A' | b'T' | b'G' | b'H' | b'd' | b'c' => {}
            other => return Err(PgError::Protocol(format!("a message of type {:?}", char::from(other)))),
        }
        Ok(false)
    }

    /// Whether the server reported an error.
    pub(super) fn failed(&self) -> bool {
        self.error.is_some()
    }

    pub(super) fn finish(self) -> Result<Vec<Answer>, PgError> {
        match self.error {
            Some(error) => Err(PgError::Server(error)),
            None => Ok(self.answers),
        }
    }
}

fn truncated() -> PgError {
    PgError::Protocol("a message that ends too early".to_owned())
}

fn c_string(body: &mut &[u8]) -> Result<String, PgError> {
    let end = body.iter().position(|b| *b == 0).ok_or_else(truncated)?;
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Ok(text)
}

fn text_row(mut body: &[u8]) -> Result<TextRow, PgError> {
    if body.len() < 2 {
        return Err(truncated());
    }
    let columns = body.get_u16();
    let mut row = Vec::with_capacity(usize::from(columns));
    for _ in 0..columns {
        if body.len() < 4 {
            return Err(truncated());
        }
        let len = body.get_i32();
        let Ok(len) = usize::try_from(len) else {
            row.push(None);
            continue;
        };
        if body.len() < len {
            return Err(truncated());
        }
        row.push(Some(String::from_utf8_lossy(&body[..len]).into_owned()));
        body.advance(len);
    }
    Ok(row)
}

/// Reads an `ErrorResponse`. Detail and context are left out: they can hold row values.
pub(super) fn server_error(mut body: &[u8]) -> Result<ServerError, PgError> {
    let mut sqlstate = String::new();
    let mut message = String::new();
    let (mut hint, mut table, mut column, mut constraint) = (None, None, None, None);
    while body.first().is_some_and(|field| *field != 0) {
        let field = body.get_u8();
        let value = c_string(&mut body)?;
        match field {
            b'C' => sqlstate = value,
            b'M' => message = value,
            b'H' => hint = Some(value),
            b't' => table = Some(value),
            // Of the context no more than the table of a copy is kept.
            b'W' if table.is_none() => table = copied_table(&value),
            b'c' => column = Some(value),
            b'n' => constraint = Some(value),
            _ => {}
        }
    }
    Ok(ServerError { hint, table, column, constraint, ..ServerError::new(&sqlstate, &message) })
}

/// The table in a context such as `COPY orders, line 5, column id: "…"`. What follows it may be a row's value.
fn copied_table(context: &str) -> Option<String> {
    Some(context.strip_prefix("COPY ")?.split_once(", line ")?.0.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn error_body(fields: &[(u8, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (field, value) in fields {
            body.push(*field);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        body
    }

    #[test]
    fn errors_carry_no_row_values() {
        let body = error_body(&[
            (b'C', "23505"),
            (b'M', "duplicate key value violates unique constraint \"t_pkey\""),
            (b'D', "Key (secret)=(4711) already exists."),
            (b'W', "COPY t, line 1: \"4711\""),
        ]);
        let error = server_error(&body).unwrap();
        assert!(!format!("{error:?} {error}").contains("4711"));
        let body = error_body(&[(b'C', "22P02"), (b'M', "invalid input syntax for type integer: \"47\"11\"")]);
        assert_eq!(server_error(&body).unwrap().message, "invalid input syntax for type integer: \"…\"");
    }

    proptest! {
        #[test]
        fn broken_messages_are_errors_not_panics(kind: u8, body: Vec<u8>) {
            let mut frame = vec![kind, 0, 0, 0, 0];
            frame.extend_from_slice(&body);
            let _ = Collector::default().take(&frame);
        }

        #[test]
        fn rows_round_trip(values: Vec<Option<String>>) {
            let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
            for value in &values {
                match value {
                    Some(text) => {
                        body.extend_from_slice(&i32::try_from(text.len()).unwrap().to_be_bytes());
                        body.extend_from_slice(text.as_bytes());
                    }
                    None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                }
            }
            prop_assert_eq!(text_row(&body).unwrap(), values);
        }
    }
}
