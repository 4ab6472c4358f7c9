//! The pump: rows go from the source's COPY to the target's COPY without being looked at.
//!
//! Why this is correct. `CopyData` (type, length, bytes) and `CopyDone` are the same bytes in both directions (Postgres documentation, "Message
//! Formats"), so what the source sends can be written to the target verbatim. Only the headers are read: to count rows, and to notice when
//! something else than row data comes. A frame may be larger than any buffer (a row may have close to 1 GiB), so frames are passed on in pieces and the
//! scanner remembers how much of the present one is still to come; memory is two buffers whatever the rows are.
//!
//! Several tables can share one pass: both sides get one query with a COPY per table, in the same order, and the data of all of them flows without
//! waiting for a single answer. A server that fails in the middle ignores the rest of the COPY messages and says `ReadyForQuery`, so blind
//! sending is safe. Both sides say how many rows each COPY had (`COPY n`), and [`run`] refuses a pass where they differ.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::PgError;
use super::wire::{Answer, Collector, Conn, READ_BYTES, copy_fail, frame_len, next_frame};

/// How much is collected before it is written, unless the source has no more to give at once, in bytes.
const WRITE_BYTES: usize = 128 * 1024;

/// How long both sides may be silent. A COPY may search a bloated table for a while before it finds its first row.
const STALL_LIMIT: Duration = Duration::from_secs(15 * 60);

/// [`STALL_LIMIT`], unless a test says otherwise.
fn stall_limit() -> Duration {
    super::wire::stall_limit(STALL_LIMIT)
}

/// Is told how a pass gets on: which COPY (from 0), how many frames of row data began, and how many bytes of row data went by since the last call. In the
/// text format one frame is one row; the binary format has one frame more.
pub type OnProgress<'a> = &'a (dyn Fn(usize, u64, u64) + Sync);

/// What one table's COPY moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Rows, as both sides counted them.
    pub rows: u64,
    /// Bytes of row data.
    pub bytes: u64,
}

/// A pass that failed, and on which side.
#[derive(Debug)]
pub enum PumpError {
    /// The source failed.
    Source(PgError),
    /// The target failed.
    Target(PgError),
    /// Both sides finished, and disagree about the number of rows.
    Counts {
        /// Which COPY of the pass, from 0.
        index: usize,
        /// Rows that the source sent.
        source: u64,
        /// Rows that the target took.
        target: u64,
    },
}

/// The two scripts of a pass.
#[derive(Debug, Clone)]
pub struct Pass {
    /// For the source: statements among which are `copies` COPY … TO STDOUT.
    pub source_sql: String,
    /// For the target: statements among which are as many COPY … FROM STDIN, in the same order.
    pub target_sql: String,
    /// How many COPY statements each holds.
    pub copies: usize,
}

/// Everything that a pass gave: what each COPY moved, and the answers of all statements of the source's script.
#[derive(Debug)]
pub struct Passed {
    /// What each COPY moved.
    pub copied: Vec<Copied>,
    /// What the source answered, statement by statement.
    pub source_answers: Vec<Answer>,
}

/// Runs both scripts and moves the rows.
///
/// # Errors
/// The side that failed first. A connection that cannot be used any more is not idle then ([`Conn::is_idle`]).
pub async fn run(source: &mut Conn, target: &mut Conn, pass: &Pass, progress: OnProgress<'_>) -> Result<Passed, PumpError> {
    let (sent, taken) = tokio::join!(source.send_query(&pass.source_sql), target.send_query(&pass.target_sql));
    sent.map_err(PumpError::Source)?;
    taken.map_err(PumpError::Target)?;

    let (mut target_read, mut target_write) = tokio::io::split(&mut target.stream);
    let answers = read_answers(&mut target_read, &mut target.buffer);
    tokio::pin!(answers);
    let mut bytes = vec![0; pass.copies];
    let forwarded = {
        let mut flow = Flow::new(&mut source.stream, &mut source.buffer, &mut bytes, progress);
        let forward = flow.forward(&mut target_write);
        tokio::pin!(forward);
        tokio::select! {
            biased;
            // The target answers in full only after the last row, unless it failed.
            early = &mut answers => Err(early),
            done = &mut forward => Ok(done),
        }
    };
    let (source_answers, target_answers) = match forwarded {
        Err(early) => {
            target.idle = early.is_ok() || matches!(early, Err(PgError::Server(_)));
            return Err(PumpError::Target(
                early.err().unwrap_or_else(|| PgError::Protocol("the target ended the copy before all rows were sent".to_owned())),
            ));
        }
        Ok(Ok(source_answers)) => {
            source.idle = true;
            let target_answers = within_stall_limit("the target's answer", answers).await;
            target.idle = matches!(target_answers, Ok(_) | Err(PgError::Server(_)));
            (source_answers, target_answers.map_err(PumpError::Target)?)
        }
        Ok(Err(FlowError::Source(error))) => {
            source.idle = matches!(error, PgError::Server(_));
            if source.idle {
                // The source stopped between two frames, so that the target can be told and stays usable.
                let told = async {
                    target_write.write_all(&copy_fail("the source failed")).await?;
                    target_write.flush().await
                };
                if told.await.is_ok() {
                    target.idle =
                        matches!(within_stall_limit("the target's answer", answers).await, Ok(_) | Err(PgError::Server(_)));
                }
            }
            return Err(PumpError::Source(error));
        }
        Ok(Err(FlowError::Target(error))) => {
            // A target that failed has often said why before it closed the connection.
            let said = tokio::time::timeout(Duration::from_secs(2), answers).await;
            return Err(PumpError::Target(match said {
                Ok(Err(PgError::Server(server))) => PgError::Server(server),
                _ => error,
            }));
        }
    };
    let copied = settle(&bytes, &source_answers, &target_answers)?;
    Ok(Passed { copied, source_answers })
}

/// Compares what both sides counted.
fn settle(bytes: &[u64], source: &[Answer], target: &[Answer]) -> Result<Vec<Copied>, PumpError> {
    let counts = |answers: &[Answer]| -> Vec<u64> {
        answers.iter().filter(|a| a.tag.starts_with("COPY ")).filter_map(Answer::count).collect()
    };
    let (source, target) = (counts(source), counts(target));
    if source.len() != bytes.len() || target.len() != bytes.len() {
        let message = format!("{} copies were asked for, {} sent and {} taken", bytes.len(), source.len(), target.len());
        return Err(PumpError::Target(PgError::Protocol(message)));
    }
    let mut copied = Vec::with_capacity(bytes.len());
    for (index, bytes) in bytes.iter().enumerate() {
        if source[index] != target[index] {
            return Err(PumpError::Counts { index, source: source[index], target: target[index] });
        }
        copied.push(Copied { rows: source[index], bytes: *bytes });
    }
    Ok(copied)
}

async fn within_stall_limit<T>(what: &str, work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
    match tokio::time::timeout(stall_limit(), work).await {
        Ok(result) => result,
        Err(_) => Err(PgError::Timeout { what: what.to_owned(), limit_s: stall_limit().as_secs() }),
    }
}

/// Reads what the target answers, to the end.
async fn read_answers<R: AsyncRead + Unpin>(stream: &mut R, buffer: &mut BytesMut) -> Result<Vec<Answer>, PgError> {
    let mut collector = Collector::default();
    loop {
        let frame = next_frame(stream, buffer).await?;
        if collector.take(&frame)? {
            return collector.finish();
        }
    }
}

enum FlowError {
    Source(PgError),
    Target(PgError),
}

/// What the scanner found in a piece of the source's stream.
#[derive(Debug, PartialEq, Eq)]
struct Scan {
    /// How many bytes from the start can be passed on.
    forward: usize,
    /// How many rows' frames began in them.
    frames: u64,
    /// How many bytes of row data are in them.
    bytes: u64,
    /// Whether something else than row data follows right after them.
    stopped: bool,
}

/// Reads frame headers, across pieces.
#[derive(Debug, Default)]
struct Scanner {
    /// How much of the present frame is still to come, in bytes.
    left: usize,
}

impl Scanner {
    fn scan(&mut self, piece: &[u8]) -> Result<Scan, PgError> {
        let mut found = Scan { forward: 0, frames: 0, bytes: 0, stopped: false };
        loop {
            let available = piece.len() - found.forward;
            let step = self.left.min(available);
            self.left -= step;
            found.forward += step;
            found.bytes += step as u64;
            let header = &piece[found.forward..];
            if self.left > 0 || header.len() < 5 {
                return Ok(found);
            }
            if header[0] != b'd' {
                found.stopped = true;
                return Ok(found);
            }
            self.left = frame_len(header)? - 5;
            found.forward += 5;
            found.frames += 1;
        }
    }
}

/// The stream of one pass.
struct Flow<'a, R> {
    source: &'a mut R,
    /// What was read and not yet written.
    buffer: &'a mut BytesMut,
    /// How much at the start of the buffer can be written, in bytes.
    ready: usize,
    /// Bytes of row data, for each COPY of the pass.
    bytes: &'a mut [u64],
    progress: OnProgress<'a>,
    /// Which COPY is on its way.
    index: usize,
    scanner: Scanner,
}

impl<'a, R: AsyncRead + Unpin> Flow<'a, R> {
    fn new(source: &'a mut R, buffer: &'a mut BytesMut, bytes: &'a mut [u64], progress: OnProgress<'a>) -> Self {
        Flow { source, buffer, ready: 0, bytes, progress, index: 0, scanner: Scanner::default() }
    }

    /// Passes everything on and gives the source's answers. Reading and writing overlap: while one piece is written the next one is read.
    async fn forward<W: AsyncWrite + Unpin>(&mut self, target: &mut W) -> Result<Vec<Answer>, FlowError> {
        let mut collector = Collector::default();
        let mut piece = BytesMut::with_capacity(READ_BYTES);
        let mut finished = false;
        loop {
            let write = async {
                if !piece.is_empty() {
                    target.write_all(&piece).await?;
                }
                if finished {
                    target.flush().await?;
                }
                Ok::<(), std::io::Error>(())
            };
            if finished {
                let written = within_stall_limit("sending rows to the target", async { Ok(write.await?) }).await;
                written.map_err(FlowError::Target)?;
                return collector.finish().map_err(FlowError::Source);
            }
            let mut next = BytesMut::new();
            let read = self.collect(&mut next, &mut collector);
            let both = async {
                tokio::try_join!(async { write.await.map_err(|e| FlowError::Target(e.into())) }, async {
                    read.await.map_err(FlowError::Source)
                })
            };
            let ((), ended) = match tokio::time::timeout(stall_limit(), both).await {
                Ok(result) => result?,
                Err(_) => {
                    let what = "moving rows from the source to the target".to_owned();
                    return Err(FlowError::Source(PgError::Timeout { what, limit_s: stall_limit().as_secs() }));
                }
            };
            finished = ended;
            piece = next;
        }
    }

    /// Collects the next piece to be written: at least [`WRITE_BYTES`] unless the pass ends. True at its end.
    async fn collect(&mut self, piece: &mut BytesMut, collector: &mut Collector) -> Result<bool, PgError> {
        loop {
            let scan = self.scanner.scan(&self.buffer[self.ready..])?;
            self.ready += scan.forward;
            self.count(&scan);
            if scan.stopped && self.buffer[self.ready] == b'c' {
                self.ready += 5;
                self.index += 1;
                continue;
            }
            if scan.stopped {
                self.hand_over(piece);
                let frame = next_frame(self.source, self.buffer).await?;
                if collector.take(&frame)? {
                    return Ok(true);
                }
                if collector.failed() {
                    // Nothing of a failed pass is kept; only the end of the answer is of interest.
                    piece.clear();
                }
                continue;
            }
            if piece.len() + self.ready >= WRITE_BYTES {
                self.hand_over(piece);
                return Ok(false);
            }
            if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
                self.buffer.reserve(READ_BYTES);
            }
            if self.source.read_buf(self.buffer).await? == 0 {
                let closed = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the server closed the connection");
                return Err(PgError::Io(closed));
            }
        }
    }

    /// Moves what can be written from the buffer to the piece; without copying where the piece is empty.
    fn hand_over(&mut self, piece: &mut BytesMut) {
        if piece.is_empty() {
            *piece = self.buffer.split_to(self.ready);
        } else {
            piece.extend_from_slice(&self.buffer[..self.ready]);
            self.buffer.advance(self.ready);
        }
        self.ready = 0;
    }

    fn count(&mut self, scan: &Scan) {
        if let Some(bytes) = self.bytes.get_mut(self.index).filter(|_| scan.forward > 0) {
            *bytes += scan.bytes;
            (self.progress)(self.index, scan.frames, scan.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn select_answer(count: usize) -> Vec<u8> {
        [frame(b'C', format!("COPY {count}\0").as_bytes()), frame(b'Z', b"I")].concat()
    }

    async fn flow(stream: &[u8], cut: usize) -> (Result<Vec<Answer>, PgError>, Vec<u8>, u64, u64) {
        let frames = std::sync::atomic::AtomicU64::new(0);
        let count = |_: usize, n: u64, _: u64| {
            frames.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        };
        let mut bytes = [0];
        let mut taken = Vec::new();
        let mut source = tokio_util::io::StreamReader::new(futures_util::stream::iter(
            stream
                .chunks(cut.max(1))
                .map(|chunk| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(chunk)))
                .collect::<Vec<_>>(),
        ));
        let mut buffer = BytesMut::new();
        let result = Flow::new(&mut source, &mut buffer, &mut bytes, &count).forward(&mut taken).await;
        let result = result.map_err(|e| match e {
            FlowError::Source(e) | FlowError::Target(e) => e,
        });
        (result, taken, frames.into_inner(), bytes[0])
    }

    proptest! {
        /// However the stream is cut into reads, the target gets the row frames and the end, and nothing else.
        #[test]
        fn any_cut_gives_the_same_stream(rows: Vec<Vec<u8>>, cut in 1_usize..200) {
            let mut stream = frame(b'H', &[0, 0, 0]);
            let mut wanted = Vec::new();
            for row in &rows {
                wanted.extend_from_slice(&frame(b'd', row));
            }
            wanted.extend_from_slice(&frame(b'c', b""));
            stream.extend_from_slice(&wanted);
            stream.extend_from_slice(&select_answer(rows.len()));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (result, taken, frames, bytes) = runtime.block_on(flow(&stream, cut));
            prop_assert_eq!(result.unwrap()[0].count(), Some(rows.len() as u64));
            prop_assert_eq!(taken, wanted);
            prop_assert_eq!(frames, rows.len() as u64);
            prop_assert_eq!(bytes, rows.iter().map(|r| r.len() as u64).sum::<u64>());
        }

        #[test]
        fn a_stream_that_ends_early_is_an_error(rows: Vec<Vec<u8>>, cut in 1_usize..50, lost in 1_usize..20) {
            let mut stream = frame(b'H', &[0, 0, 0]);
            for row in &rows {
                stream.extend_from_slice(&frame(b'd', row));
            }
            stream.extend_from_slice(&frame(b'c', b""));
            stream.extend_from_slice(&select_answer(rows.len()));
            stream.truncate(stream.len() - lost);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            prop_assert!(runtime.block_on(flow(&stream, cut)).0.is_err());
        }
    }
}
