//! TLS for a page that is served to other machines.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::engine::report::{Exit, Report};

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How many handshakes may be under way, and how many finished ones may wait.
const WAITING_MAX: usize = 64;
/// The pause after the system refused a connection, such as for want of file descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// The settings for a certificate with its chain, and its key, both PEM files.
///
/// # Errors
/// A file that cannot be read, or that holds something else.
pub fn settings(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Report> {
    let unusable = |path: &Path, why: String| {
        Report::new("tls-files", Exit::Usage, format!("The file {} cannot be used for TLS.", path.display()))
            .with_cause(why)
            .with_fix("--tls-cert takes the certificate with its chain, --tls-key its private key, both as PEM files.")
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| unusable(cert, format!("{error}.")))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, format!("{error}.")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|error| unusable(cert, format!("{error}.")))?;
    Ok(Arc::new(config))
}

/// Gives connections whose handshake is done. A handshake that dawdles keeps nobody else waiting.
pub struct TlsListener {
    done: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    /// Begins to accept. It ends when it is dropped.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn new(tcp: TcpListener, config: Arc<ServerConfig>) -> io::Result<TlsListener> {
        let address = tcp.local_addr()?;
        let (sender, done) = mpsc::channel(WAITING_MAX);
        tokio::spawn(accept(tcp, TlsAcceptor::from(config), sender));
        Ok(TlsListener { done, address })
    }
}

async fn accept(tcp: TcpListener, acceptor: TlsAcceptor, sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    loop {
        let Ok(permit) = sender.clone().reserve_owned().await else { return };
        let accepted = tokio::select! {
            accepted = tcp.accept() => accepted,
            () = sender.closed() => return,
        };
        let Ok((stream, address)) = accepted else {
            tokio::time::sleep(REFUSED_PAUSE).await;
            continue;
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                permit.send((stream, address));
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.done.recv().await {
            Some(connection) => connection,
            // The task that accepts ends only when this is dropped.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
