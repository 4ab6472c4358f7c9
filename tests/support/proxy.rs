//! A network that fails on command: a TCP proxy in front of a server, with faults that a test switches on and off.
//!
//! `let proxy = Proxy::start(cluster.port).await;` and connect to `proxy.port` instead. Faults act on all connections, those
//! that exist and those that come; `cut_after` acts on the total of one direction, so that a byte position of a whole run can be hit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A running proxy. Dropping it closes everything.
pub struct Proxy {
    /// The port on 127.0.0.1 to connect to.
    pub port: u16,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

struct Shared {
    upstream: u16,
    refuse: AtomicBool,
    accepted: AtomicU64,
    lanes: [Lane; 2],
    /// Increased by every cut; a connection ends when the value differs from the one at its beginning.
    epoch: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
}

/// One direction of all connections together.
struct Lane {
    passed: AtomicU64,
    /// The total at which everything is cut, `u64::MAX` for never.
    cut_at: AtomicU64,
    /// Bytes per second for each connection, 0 for no limit.
    rate: AtomicU64,
    /// Increased by every half-close.
    closed: watch::Sender<u64>,
}

impl Proxy {
    /// A proxy before a server on 127.0.0.1.
    pub async fn start(upstream: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lane = || Lane {
            passed: AtomicU64::new(0),
            cut_at: AtomicU64::new(u64::MAX),
            rate: AtomicU64::new(0),
            closed: watch::Sender::new(0),
        };
        let shared = Arc::new(Shared {
            upstream,
            refuse: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            lanes: [lane(), lane()],
            epoch: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
        });
        let acceptor = tokio::spawn(accept(listener, shared.clone()));
        Proxy { port, shared, acceptor }
    }

    /// The same connection string, but through the proxy. The string must name the server's port.
    pub fn through(&self, url: &str) -> String {
        let direct = format!(":{}/", self.shared.upstream);
        assert!(url.contains(&direct), "the connection string does not name the port {}", self.shared.upstream);
        url.replace(&direct, &format!(":{}/", self.port))
    }

    /// Resets all connections now. New ones are accepted.
    pub fn cut(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Resets all connections when this many more bytes have passed in one direction; once.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        let lane = &self.shared.lanes[direction as usize];
        lane.cut_at.store(lane.passed.load(Ordering::SeqCst) + bytes, Ordering::SeqCst);
    }

    /// Passes nothing on in either direction, without closing: a dead network.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// Limits each connection to so many bytes per second in one direction; 0 lifts the limit.
    pub fn throttle(&self, direction: Direction, bytes_per_second: u64) {
        self.shared.lanes[direction as usize].rate.store(bytes_per_second, Ordering::SeqCst);
    }

    /// Ends one direction of all connections that exist with a FIN; the other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        self.shared.lanes[direction as usize].closed.send_modify(|count| *count += 1);
    }

    /// Whether new connections are reset as soon as they arrive.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Bytes that have passed in one direction, over all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.lanes[direction as usize].passed.load(Ordering::SeqCst)
    }

    /// Connections that were accepted and not refused.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.refuse.load(Ordering::SeqCst) {
            reset(&client);
            continue;
        }
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(splice(client, shared.clone()));
    }
}

async fn splice(mut client: TcpStream, shared: Arc<Shared>) {
    let mut epoch = shared.epoch.subscribe();
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", shared.upstream)).await else {
        reset(&client);
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::join!(
                carry(from_client, to_server, Direction::ToServer, &shared),
                carry(from_server, to_client, Direction::ToClient, &shared),
            )
        };
        tokio::select! {
            _ = both => false,
            _ = epoch.changed() => true,
        }
    };
    if cut {
        reset(&client);
        reset(&server);
    }
}

/// Carries one direction of one connection until it ends.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, direction: Direction, shared: &Shared) {
    let lane = &shared.lanes[direction as usize];
    let mut stalled = shared.stalled.subscribe();
    let mut closed = lane.closed.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let rate = lane.rate.load(Ordering::SeqCst);
        let most = if rate == 0 { buffer.len() } else { (rate / 20).clamp(1, buffer.len() as u64) as usize };
        let read = tokio::select! {
            read = from.read(&mut buffer[..most]) => read.unwrap_or(0),
            _ = closed.changed() => 0,
        };
        if read == 0 || stalled.wait_for(|stalled| !stalled).await.is_err() {
            break;
        }
        let before = lane.passed.fetch_add(read as u64, Ordering::SeqCst);
        let left = lane.cut_at.load(Ordering::SeqCst).saturating_sub(before);
        if left <= read as u64 {
            let _ = to.write_all(&buffer[..left as usize]).await;
            lane.cut_at.store(u64::MAX, Ordering::SeqCst);
            shared.epoch.send_modify(|epoch| *epoch += 1);
            return std::future::pending().await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
        if rate > 0 {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
        }
    }
    let _ = to.shutdown().await;
}

/// Has the socket send a reset when it is closed: a zero linger time means that instead of a FIN.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
