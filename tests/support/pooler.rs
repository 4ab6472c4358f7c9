//! A pooler in transaction mode, as small as it can be: it greets clients itself and lends them, for each transaction, the backend
//! that was given back last.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::cluster::Cluster;
use super::postgres::SUPERUSER;

/// A running pooler; it ends with the test's runtime.
pub struct Pooler {
    port: u16,
    database: String,
}

struct Shared {
    socket: std::path::PathBuf,
    database: String,
    idle: Mutex<Vec<UnixStream>>,
}

impl Pooler {
    /// Listens on a free port for a database of a cluster.
    pub async fn start(cluster: &Cluster, database: &str) -> Pooler {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = cluster.socket_dir().join(format!(".s.PGSQL.{}", cluster.port));
        let shared = Arc::new(Shared { socket, database: database.to_owned(), idle: Mutex::new(Vec::new()) });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { serve(client, &shared).await });
            }
        });
        Pooler { port, database: database.to_owned() }
    }

    /// A connection string through the pooler.
    pub fn url(&self) -> String {
        format!("postgresql://{SUPERUSER}@127.0.0.1:{}/{}", self.port, self.database)
    }
}

/// Serves one client until it leaves or something fails.
async fn serve(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    client.write_all(&[message(b'R', &0u32.to_be_bytes()), message(b'Z', b"I")].concat()).await?;
    loop {
        let first = read(&mut client).await?;
        if first[0] == b'X' {
            return Ok(());
        }
        let idle = shared.idle.lock().unwrap().pop();
        let mut backend = match idle {
            Some(backend) => backend,
            None => connect(shared).await?,
        };
        transaction(&mut client, &mut backend, first).await?;
        shared.idle.lock().unwrap().push(backend);
    }
}

/// Passes messages on until the backend is idle outside a transaction and has answered all that was asked.
async fn transaction(client: &mut TcpStream, backend: &mut UnixStream, first: Vec<u8>) -> std::io::Result<()> {
    let mut next = first;
    loop {
        backend.write_all(&next).await?;
        if matches!(next[0], b'Q' | b'S') && answer(client, backend).await? == b'I' {
            return Ok(());
        }
        next = read(client).await?;
    }
}

/// Passes an answer on to its end and gives the state of the transaction: `I` outside one, `T` in one, `E` in a failed one.
async fn answer(client: &mut TcpStream, backend: &mut UnixStream) -> std::io::Result<u8> {
    loop {
        let part = read(backend).await?;
        client.write_all(&part).await?;
        if part[0] == b'Z' {
            return Ok(part[5]);
        }
    }
}

async fn connect(shared: &Shared) -> std::io::Result<UnixStream> {
    let mut backend = UnixStream::connect(&shared.socket).await?;
    let parameters = format!("user\0{SUPERUSER}\0database\0{}\0client_encoding\0UTF8\0\0", shared.database);
    let mut startup = (parameters.len() as u32 + 8).to_be_bytes().to_vec();
    startup.extend(196_608u32.to_be_bytes());
    startup.extend(parameters.as_bytes());
    backend.write_all(&startup).await?;
    while read(&mut backend).await?[0] != b'Z' {}
    Ok(backend)
}

/// One message with its type and length.
async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await?;
    let mut content = vec![0; length as usize - 4];
    stream.read_exact(&mut content).await?;
    Ok(message(kind, &content))
}

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((content.len() as u32 + 4).to_be_bytes());
    message.extend(content);
    message
}
