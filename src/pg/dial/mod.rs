//! The only place that connects: TCP or unix socket, then TLS.
//!
//! What comes out is a [`Stream`] before the login; [`super::auth`] logs in and decides between servers and between TLS and none.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use rand::seq::SliceRandom;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::conninfo::{Conninfo, Endpoint, Host, SslMode, SslNegotiation};

pub use error::DialError;
pub use stream::Stream;

mod binding;
mod error;
mod stream;
mod tls;

/// Whether a connection is to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Encryption {
    /// Without TLS.
    Plain,
    /// With TLS if the server has it.
    IfOffered,
    /// With TLS or not at all.
    Required,
}

/// Opens a connection to one server: all its addresses in turn, each within `connect_timeout`. Unix sockets never use TLS, as in libpq.
pub(in crate::pg) async fn open(info: &Conninfo, endpoint: &Endpoint, encryption: Encryption) -> Result<Stream, DialError> {
    let limit = info.connect_timeout();
    let name = match &endpoint.host {
        Host::Socket(dir) => {
            let path = dir.join(format!(".s.PGSQL.{}", endpoint.port));
            let place = endpoint.to_string();
            return match timeout(limit, UnixStream::connect(&path)).await {
                Ok(Ok(stream)) => Ok(Stream::Unix(stream)),
                Ok(Err(error)) => Err(DialError::socket(&place, false, &error)),
                Err(_) => Err(DialError::timeout(&place, limit.as_secs())),
            };
        }
        Host::Name(name) => name,
    };
    let addresses = addresses(info, endpoint, name).await?;
    let only_ipv6 = addresses.iter().all(SocketAddr::is_ipv6);
    let mut worst = None;
    for address in addresses {
        match timeout(limit, open_address(info, endpoint, address, encryption, only_ipv6)).await {
            Ok(Ok(stream)) => return Ok(stream),
            // What TLS objects to is the same at every address of the server.
            Ok(Err(error)) if error.is_tls() => return Err(error),
            // An address family without a route says less than a refusal or a timeout at another address.
            Ok(Err(error)) if matches!(error.code(), "unreachable" | "no-ipv6-route") => worst = worst.or(Some(error)),
            Ok(Err(error)) => worst = Some(error),
            Err(_) => worst = Some(DialError::timeout(&endpoint.to_string(), limit.as_secs())),
        }
    }
    Err(worst.unwrap_or_else(|| {
        DialError::new("unknown-host", format!("The host {name} has no address. Check the spelling in the connection string."))
    }))
}

async fn addresses(info: &Conninfo, endpoint: &Endpoint, name: &str) -> Result<Vec<SocketAddr>, DialError> {
    if let Some(address) = endpoint.address {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let limit = info.connect_timeout();
    let lookup = timeout(limit, tokio::net::lookup_host((name, endpoint.port))).await;
    let found = lookup.map_err(|_| DialError::timeout(&format!("The name server, asked for {name},"), limit.as_secs()))?;
    let mut addresses: Vec<SocketAddr> = found.map_err(|error| DialError::lookup(name, &error))?.collect();
    if info.load_balance() {
        addresses.shuffle(&mut rand::rng());
    }
    Ok(addresses)
}

async fn open_address(
    info: &Conninfo,
    endpoint: &Endpoint,
    address: SocketAddr,
    encryption: Encryption,
    only_ipv6: bool,
) -> Result<Stream, DialError> {
    let connected = TcpStream::connect(address).await.and_then(|stream| set_options(info, &stream).map(|()| stream));
    let mut tcp = connected.map_err(|error| DialError::socket(&endpoint.to_string(), only_ipv6, &error))?;
    if encryption == Encryption::Plain {
        return Ok(Stream::Tcp(tcp));
    }
    let direct = info.tls().negotiation == SslNegotiation::Direct;
    if !direct {
        let offered = ask_for_tls(&mut tcp).await.map_err(|error| DialError::io(endpoint, false, &error))?;
        if !offered && encryption == Encryption::Required {
            return Err(DialError::no_tls(endpoint, mode_name(info.tls().mode)));
        }
        if !offered {
            return Ok(Stream::Tcp(tcp));
        }
    }
    let config = tls::config(info)?;
    let name = server_name(info, endpoint)?;
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| DialError::io(endpoint, direct, &error))?;
    tracing::debug!(%endpoint, version = ?stream.get_ref().1.protocol_version(), "TLS is up");
    // Without the application protocol another service may have answered (libpq demands it too).
    if direct && stream.get_ref().1.alpn_protocol() != Some(b"postgresql") {
        return Err(DialError::no_alpn(endpoint));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

fn set_options(info: &Conninfo, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if let Some(keepalive) = info.keepalive() {
        let probes = TcpKeepalive::new().with_time(keepalive.idle).with_interval(keepalive.interval).with_retries(keepalive.count);
        socket.set_tcp_keepalive(&probes)?;
    }
    #[cfg(target_os = "linux")]
    if let Some(limit) = info.tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(limit))?;
    }
    Ok(())
}

/// Sends an SSLRequest. Exactly one byte of the answer is read: whatever follows belongs to the handshake, so that nothing that was slipped in
/// before it can pass for the server's word (CVE-2021-23222).
async fn ask_for_tls(tcp: &mut TcpStream) -> io::Result<bool> {
    let mut request = BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    tcp.write_all(&request).await?;
    match tcp.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        b'E' => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the request for TLS was answered with an error")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to the request for TLS was neither yes nor no")),
    }
}

/// The name to send and to compare. A name that no certificate can carry is sent as nothing, unless it has to be compared.
fn server_name(info: &Conninfo, endpoint: &Endpoint) -> Result<ServerName<'static>, DialError> {
    let Host::Name(name) = &endpoint.host else {
        return Ok(ServerName::from(IpAddr::from([0, 0, 0, 0])));
    };
    match ServerName::try_from(name.clone()) {
        Ok(name) => Ok(name),
        Err(_) if info.tls().mode < SslMode::VerifyFull => Ok(ServerName::from(IpAddr::from([0, 0, 0, 0]))),
        Err(_) => {
            let message = format!(
                "{name} is not a name that a certificate can carry, so sslmode=verify-full cannot work. Use the server's DNS name."
            );
            Err(DialError::new("certificate-wrong-name", message))
        }
    }
}

fn mode_name(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}
