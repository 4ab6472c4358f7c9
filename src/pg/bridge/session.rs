//! One connection of a child, from its first packet to its end.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Shared;
use crate::pg::auth::{self, Canceller, Session, frame};
use crate::pg::error::PgError;

/// The limit for what the child has to say before its session begins. It is local, so this is ample.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit for the server's end after the child's.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest startup packet that Postgres takes.
const STARTUP_LIMIT: usize = 10_000;

/// How much is passed on at once in each direction.
const BUFFER_BYTES: usize = 256 * 1024;

/// What a child's first packet asks for (Postgres documentation, "Message Formats").
enum First {
    Startup { minor: u16, params: BTreeMap<String, String> },
    Cancel { process_id: i32, key: Vec<u8> },
}

/// Serves one connection to its end.
pub(super) async fn serve(mut child: UnixStream, shared: &Shared) -> Result<(), PgError> {
    let first = timeout(HANDSHAKE_TIMEOUT, first_packet(&mut child)).await;
    let first = first
        .map_err(|_| PgError::Timeout { what: "the first packet of a child".to_owned(), limit_s: HANDSHAKE_TIMEOUT.as_secs() })??;
    match first {
        // A child that only looked whether somebody is there.
        None => Ok(()),
        Some(First::Cancel { process_id, key }) => cancel(shared, process_id, &key).await,
        Some(First::Startup { minor, params }) => session(child, shared, minor, &params).await,
    }
}

/// Reads packets until one asks for something; encryption is declined, since the socket is private.
async fn first_packet(child: &mut UnixStream) -> Result<Option<First>, PgError> {
    const SSL_REQUEST: u32 = 80_877_103;
    const GSSENC_REQUEST: u32 = 80_877_104;
    const CANCEL_REQUEST: u32 = 80_877_102;
    loop {
        let length = match child.read_u32().await {
            Ok(length) => length as usize,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !(8..=STARTUP_LIMIT).contains(&length) {
            return Err(PgError::Protocol("a child's first packet has an impossible length".to_owned()));
        }
        let code = child.read_u32().await?;
        let mut body = vec![0; length - 8];
        child.read_exact(&mut body).await?;
        match code {
            SSL_REQUEST | GSSENC_REQUEST => child.write_all(b"N").await?,
            CANCEL_REQUEST => {
                let Some((process_id, key)) = body.split_first_chunk::<4>() else {
                    return Err(PgError::Protocol("a child's cancel request was cut short".to_owned()));
                };
                return Ok(Some(First::Cancel { process_id: i32::from_be_bytes(*process_id), key: key.to_vec() }));
            }
            version if version >> 16 == 3 => {
                return Ok(Some(First::Startup { minor: (version & 0xFFFF) as u16, params: startup_params(&body) }));
            }
            _ => return Err(PgError::Protocol("a child speaks a version of the protocol that is not 3".to_owned())),
        }
    }
}

fn startup_params(body: &[u8]) -> BTreeMap<String, String> {
    let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let mut params = BTreeMap::new();
    while let (Some(name), Some(value)) = (texts.next().filter(|name| !name.is_empty()), texts.next()) {
        params.insert(name, value);
    }
    params
}

/// Passes a cancel request on to where the session went. One for an unknown session is dropped, as a server does.
async fn cancel(shared: &Shared, process_id: i32, key: &[u8]) -> Result<(), PgError> {
    let found = shared.sessions().iter().find(|canceller| canceller.is_for(process_id, key)).cloned();
    match found {
        Some(canceller) => canceller.cancel().await,
        None => Ok(()),
    }
}

/// Logs in for the child and passes bytes until one side ends.
async fn session(mut child: UnixStream, shared: &Shared, minor: u16, params: &BTreeMap<String, String>) -> Result<(), PgError> {
    // Who and where is our decision; `_pq_.` options belong to newer minor versions, which the answer below declines.
    let own = |name: &str| matches!(name, "user" | "database") || name.starts_with("_pq_.");
    let passed: Vec<(&str, &str)> =
        params.iter().filter(|(name, _)| !own(name)).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let login = tokio::select! {
        login = auth::login(&shared.info, &passed) => login,
        early = gone(&child) => return early,
    };
    let session = match login {
        Ok(session) => session,
        Err(error) => {
            let _ = timeout(HANDSHAKE_TIMEOUT, child.write_all(&refusal(&error))).await;
            return Err(error);
        }
    };
    let mut hello = BytesMut::new();
    let unknown: Vec<&str> = params.keys().map(String::as_str).filter(|name| name.starts_with("_pq_.")).collect();
    if minor > 0 || !unknown.is_empty() {
        hello.extend_from_slice(&negotiate(&unknown));
    }
    hello.extend_from_slice(&session.greeting());
    hello.extend_from_slice(&session.buffer);
    child.write_all(&hello).await?;
    let _registered = Registered::new(shared, session.canceller());
    splice(child, session, shared).await
}

/// Returns when the child gives up before it was greeted. It has nothing to say until then.
async fn gone(child: &UnixStream) -> Result<(), PgError> {
    loop {
        child.readable().await?;
        match child.try_read(&mut [0; 1]) {
            Ok(0) => return Ok(()),
            Ok(_) => return Err(PgError::Protocol("a child spoke before it was greeted".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// That we speak 3.0 and know none of these options.
fn negotiate(unknown: &[&str]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u32(0);
    body.put_u32(unknown.len() as u32);
    for name in unknown {
        body.put_slice(name.as_bytes());
        body.put_u8(0);
    }
    let mut message = BytesMut::new();
    frame(&mut message, b'v', &body);
    message
}

/// Our error in the form in which a server says why it does not let somebody in.
fn refusal(error: &PgError) -> BytesMut {
    // 08006: connection failure, for whatever no server said.
    let code = error.sqlstate().unwrap_or("08006").to_owned();
    let mut body = BytesMut::new();
    for (kind, text) in [(b'S', "FATAL".to_owned()), (b'V', "FATAL".to_owned()), (b'C', code), (b'M', error.to_string())] {
        body.put_u8(kind);
        body.put_slice(text.replace('\0', " ").as_bytes());
        body.put_u8(0);
    }
    body.put_u8(0);
    let mut message = BytesMut::new();
    frame(&mut message, b'E', &body);
    message
}

/// A session that can be cancelled for as long as this lives.
struct Registered<'a> {
    shared: &'a Shared,
    canceller: Canceller,
}

impl<'a> Registered<'a> {
    fn new(shared: &'a Shared, canceller: Canceller) -> Self {
        shared.sessions().push(canceller.clone());
        Registered { shared, canceller }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.sessions().retain(|canceller| !canceller.is_same(&self.canceller));
    }
}

/// Passes bytes both ways. The end of one direction is passed on as a half-close, so that what the other still has to say arrives.
async fn splice(child: UnixStream, session: Session, shared: &Shared) -> Result<(), PgError> {
    let canceller = session.canceller();
    let (from_child, to_child) = child.into_split();
    let (from_server, to_server) = tokio::io::split(session.stream);
    // A child that is done, or gone, is no error of ours; a server that breaks off is.
    let up = async {
        let _ = pass(from_child, to_server, &shared.to_server).await;
    };
    let down = async {
        match pass(from_server, to_child, &shared.to_child).await {
            Err(Broken::Reading(error)) => Err(PgError::Io(error)),
            Err(Broken::Writing) | Ok(()) => Ok(()),
        }
    };
    tokio::pin!(up, down);
    tokio::select! {
        // After the server's last word there is nobody to send to.
        result = &mut down => result,
        () = &mut up => match timeout(GOODBYE_TIMEOUT, down).await {
            Ok(result) => result,
            // The server answers a child's goodbye by closing. One that does not is still at work for a child that is gone.
            Err(_) => canceller.cancel().await,
        },
    }
}

enum Broken {
    Reading(io::Error),
    Writing,
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, counter: &AtomicU64) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await.map_err(Broken::Reading)?;
        if read == 0 {
            return to.shutdown().await.map_err(|_| Broken::Writing);
        }
        to.write_all(&buffer[..read]).await.map_err(|_| Broken::Writing)?;
        to.flush().await.map_err(|_| Broken::Writing)?;
        counter.fetch_add(read as u64, Ordering::Relaxed);
    }
}
