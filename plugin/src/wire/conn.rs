//! The tokio task of one connection: messages to bytes to the socket, and back.
//!
//! [`start`] gives the connection to a task and returns its [`Outbox`]. What arrives goes to a bounded channel in
//! batches; while that is full nothing is read, so that a peer is slowed down by TCP and not by our memory. What is
//! sent is queued up to a bound; [`ConnEvent::Flushed`] tells how much of the blocks the kernel has taken, by which
//! the caller paces its uploads. Blocks that wait are overtaken by all messages but CHOKE, UNCHOKE and REJECT: a HAVE or
//! a ping's answer is not to wait for half a megabyte. Dropping the outbox ends the task.
//!
//! Where rate limits hold ([`Pace`]), no more is read and no more of blocks written than their turn allows; what is of no
//! block never waits, but counts. How long limits held a connection is told ([`ConnEvent::Held`]), as its peer is not to
//! blame for that.
//!
//! Before a read there has to be room for it in the memory of all connections, and what was read counts until its event
//! is taken: a crowd of peers that send what nobody asked for is slowed down together, and holds no more than that.
//!
//! Reading and writing are two futures in one task: neither waits for the other, and when one ends both do.
//!
//! Memory of a connection: nothing but a small struct while it is idle, else at most the frame that has begun,
//! [`ConnConfig::max_queued_out`] to be sent, and one batch that waits for room in the channel (what was read at once,
//! [`ConnConfig::read_buffer`] bytes). What sockets are read into belongs to the thread, and blocks that come out of it
//! own what they hold: [`reader`](super::reader).

mod detached;
mod paced;
mod queue;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::detached::{Inbox, detached};
use self::paced::Held;
use self::queue::WriteQueue;
use super::codec::{FrameError, FrameLimits};
use super::connect::PeerStream;
use super::encryption::Encryption;
use super::message::Message;
use super::reader::{Batch, FrameReader};
use super::stream::{ReadEnd, Stream, WriteEnd, is_for_later};
use crate::limits::{Memory, Pace, Room};

/// Timeouts and bounds of a connection, and how it begins.
#[derive(Clone, Debug)]
pub struct ConnConfig {
    /// Longest wait for the connection to be there, before any handshake.
    pub connect_timeout: Duration,
    /// Longest wait for the whole handshake, once connected.
    pub handshake_timeout: Duration,
    /// Whether connections are encrypted.
    pub encryption: Encryption,
    /// A connection on which nothing arrives for that long is closed.
    pub idle_timeout: Duration,
    /// A keep-alive is sent when nothing else was for that long.
    pub keep_alive: Duration,
    /// A peer that takes none of the waiting bytes for that long is dropped.
    pub write_timeout: Duration,
    /// After a failed write: how long what the peer sent before is still read.
    pub linger: Duration,
    /// Largest read, in bytes. Reads start at [`Self::min_read`] and grow while the socket fills them.
    pub read_buffer: usize,
    /// Smallest read, in bytes.
    pub min_read: usize,
    /// Bytes that are handed to the kernel at a time.
    pub write_batch: usize,
    /// Bytes that may wait to be sent, each message counted as 64 at least.
    pub max_queued_out: usize,
    /// Messages in one event.
    pub max_batch: usize,
    /// What all connections together may have read that nobody has looked at:
    /// [`Memory::incoming`](crate::limits::Memory::incoming).
    pub memory: Memory,
}

impl Default for ConnConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5), // guess: one lost SYN is retried after 1 s, two after 3 s
            handshake_timeout: Duration::from_secs(10), // libtorrent's handshake_timeout
            encryption: Encryption::default(),
            idle_timeout: Duration::from_secs(150), // BEP 3: keep-alives every two minutes, and some slack
            keep_alive: Duration::from_secs(100), // BEP 3: "generally two minutes", sent ahead of that
            write_timeout: Duration::from_secs(60), // guess
            linger: Duration::from_secs(1),       // guess
            read_buffer: 128 * 1024,              // guess: eight blocks
            min_read: 4 * 1024,                   // guess: a page
            write_batch: 128 * 1024,              // guess: eight blocks
            max_queued_out: 4 * 1024 * 1024, // guess: 250 blocks, libtorrent's queue for a peer
            max_batch: 1024,                 // guess
            memory: Memory::default(),
        }
    }
}

impl ConnConfig {
    /// Whether the values make a working connection.
    ///
    /// # Errors
    /// One line that names the field.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.min_read == 0 || self.read_buffer < self.min_read {
            return Err("read_buffer must be at least min_read, and min_read at least 1");
        }
        if self.write_batch == 0 || self.max_queued_out < 64 || self.max_batch == 0 {
            return Err("write_batch and max_batch must be at least 1, max_queued_out at least 64");
        }
        if self.keep_alive >= self.idle_timeout {
            return Err("keep_alive must be shorter than idle_timeout");
        }
        Ok(())
    }
}

/// What happens on a connection.
#[derive(Debug)]
pub enum ConnEvent {
    /// Messages in the order in which they arrived; at least one, at most [`ConnConfig::max_batch`].
    Messages(Received),
    /// So many bytes of blocks were handed to the kernel since the last time.
    Flushed(u64),
    /// Messages with ids that we do not know; they were skipped.
    Unknown {
        /// The first one's id.
        id: u8,
        /// How many since the last time.
        count: u32,
    },
    /// An answer of a web seed was not as long as it said; what was missing is asked for again, what was too much is not
    /// used.
    BadAnswer,
    /// So long our own rate limits kept us from reading what has come, or from sending blocks that wait, since the last
    /// time.
    Held {
        /// From reading.
        down: Duration,
        /// From sending.
        up: Duration,
    },
    /// The connection is over. The last event, exactly once.
    Closed(CloseReason),
}

/// Messages of one event. The memory that they count for is given back when this is dropped or taken apart.
#[derive(Debug)]
pub struct Received {
    messages: Vec<Message>,
    _room: Option<Room>,
}

impl Deref for Received {
    type Target = Vec<Message>;

    fn deref(&self) -> &Vec<Message> {
        &self.messages
    }
}

impl IntoIterator for Received {
    type Item = Message;
    type IntoIter = std::vec::IntoIter<Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.into_iter()
    }
}

impl<const N: usize> PartialEq<[Message; N]> for Received {
    fn eq(&self, other: &[Message; N]) -> bool {
        self.messages == other
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it, or dropped its [`Outbox`] or the events' receiver.
    Local,
    /// The peer closed it.
    Remote,
    /// Nothing came for [`ConnConfig::idle_timeout`].
    Idle,
    /// The peer did not read for [`ConnConfig::write_timeout`].
    Stalled,
    /// The peer sent something that is no message.
    Broken(FrameError),
    /// The network failed.
    Io(io::ErrorKind),
}

/// The sending end of a connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
    max_queued: usize,
    pace: Pace,
}

impl Outbox {
    /// With what its messages come out of.
    fn new(
        limits: FrameLimits,
        config: &ConnConfig,
        pace: Pace,
    ) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queued: AtomicUsize::new(0),
            max_frame: AtomicU32::new(limits.max_frame),
            closed: CancellationToken::new(),
        });
        let outbox = Self {
            queue,
            shared,
            max_queued: config.max_queued_out,
            pace,
        };
        (outbox, outgoing)
    }

    /// Queues a message; it may overtake blocks (see the [module](self)). Never waits. False: it was not taken, because
    /// the connection is closed or because the peer does not read as fast as we write and
    /// [`ConnConfig::max_queued_out`] is reached.
    pub fn send(&self, message: Message) -> bool {
        let cost = queue::cost(&message);
        let queued = self.shared.queued.load(Ordering::Relaxed);
        if self.shared.closed.is_cancelled() || queued + cost > self.max_queued {
            return false;
        }
        self.shared.queued.fetch_add(cost, Ordering::Relaxed);
        self.queue.send(message).is_ok()
    }

    /// Closes the connection; what is still queued is not sent.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    /// Bytes that wait for the kernel, each message counted as 64 at least.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued.load(Ordering::Relaxed)
    }

    /// Whether no rate limit holds for this connection.
    pub fn set_exempt(&self, exempt: bool) {
        self.pace.set_exempt(exempt);
    }

    /// Other limits from the next frame on, once the piece count is known.
    pub fn set_limits(&self, limits: FrameLimits) {
        self.shared
            .max_frame
            .store(limits.max_frame, Ordering::Relaxed);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// Gives a connection to a task of its own, without rate limits: see [`start_paced`].
pub fn start<K: Copy + Send + Sync + 'static>(
    key: K,
    peer: PeerStream,
    limits: FrameLimits,
    events: mpsc::Sender<(K, ConnEvent)>,
    config: &ConnConfig,
) -> Outbox {
    start_paced(key, peer, limits, events, config, Pace::default())
}

/// Gives a connection to a task of its own. Its events come with `key`; the channel should be short, as every place in
/// it can hold [`ConnConfig::read_buffer`] bytes.
pub fn start_paced<K: Copy + Send + Sync + 'static>(
    key: K,
    peer: PeerStream,
    limits: FrameLimits,
    events: mpsc::Sender<(K, ConnEvent)>,
    config: &ConnConfig,
    pace: Pace,
) -> Outbox {
    let (outbox, outgoing) = Outbox::new(limits, config, pace);
    let task = Task {
        key,
        events,
        shared: Arc::clone(&outbox.shared),
        config: config.clone(),
        pace: outbox.pace.clone(),
    };
    tokio::spawn(task.run(peer.stream, outgoing));
    outbox
}

#[derive(Debug)]
struct Shared {
    queued: AtomicUsize,
    max_frame: AtomicU32,
    closed: CancellationToken,
}

/// What one read brought.
struct Read {
    bytes: usize,
    batch: Batch,
    /// The stream is no more to be read.
    broken: Option<FrameError>,
    /// What was not decoded, as the batch was full.
    rest: Vec<u8>,
}

thread_local! {
    /// What sockets are read into before it is decoded. One for all connections of a thread: it stays in the cache.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Task<K> {
    key: K,
    events: mpsc::Sender<(K, ConnEvent)>,
    shared: Arc<Shared>,
    config: ConnConfig,
    pace: Pace,
}

impl<K: Copy + Send + Sync> Task<K> {
    async fn run(self, mut stream: Stream, outgoing: mpsc::UnboundedReceiver<Message>) {
        let reason = tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => CloseReason::Local,
            reason = self.transfer(&mut stream, outgoing) => reason,
        };
        self.shared.closed.cancel();
        drop(stream);
        let Self { key, events, .. } = self;
        // An error means that nobody is left to be told.
        let _ = events.send((key, ConnEvent::Closed(reason))).await;
    }

    async fn transfer(
        &self,
        stream: &mut Stream,
        outgoing: mpsc::UnboundedReceiver<Message>,
    ) -> CloseReason {
        let (read, write) = stream.split();
        let reading = self.read(read);
        tokio::pin!(reading);
        let failed = tokio::select! {
            reason = &mut reading => return reason,
            reason = self.write(write, outgoing) => reason,
        };
        if !matches!(failed, CloseReason::Io(_)) {
            return failed;
        }
        // The peer may have sent the last block that we need and then closed.
        timeout(self.config.linger, reading).await.unwrap_or(failed)
    }

    async fn read(&self, mut stream: ReadEnd<'_>) -> CloseReason {
        let mut reader = FrameReader::default();
        let mut size = self.config.min_read;
        let mut heard = Instant::now();
        let idle = sleep_until(heard + self.config.idle_timeout);
        tokio::pin!(idle);
        let mut held = Held::default();
        loop {
            tokio::select! {
                biased;
                ready = stream.readable() => {
                    if let Err(error) = ready {
                        return CloseReason::Io(error.kind());
                    }
                }
                () = &mut idle => {
                    // set anew only when it has run out: a busy connection touches no timer
                    let deadline = heard + self.config.idle_timeout;
                    if deadline <= Instant::now() {
                        return CloseReason::Idle;
                    }
                    idle.as_mut().reset(deadline);
                    continue;
                }
            }
            // While there is none the peer's bytes stay with the kernel, which tells the peer to wait.
            let free = self.pace.down.is_free();
            let most = if free {
                size
            } else {
                self.pace.down.portion(size)
            };
            let mut room = self.config.memory.incoming().take(most as u64).await;
            let read = if free {
                self.read_some(&mut stream, &mut reader, most).await
            } else {
                let read = self.read_turn(&mut stream, &mut reader, most, &mut held);
                let read = read.await;
                heard = Instant::now(); // it was we who did not listen
                read
            };
            let mut read = match read {
                Ok(None) => continue,
                Ok(Some(Read { bytes: 0, .. })) => return CloseReason::Remote,
                Ok(Some(read)) => read,
                Err(error) => return CloseReason::Io(error.kind()),
            };
            room.shrink_to(read.bytes as u64);
            let mut room = Some(room);
            if read.bytes >= most {
                size = (size * 4).min(self.config.read_buffer);
            } else if read.bytes < size / 8 {
                size = (size / 2).max(self.config.min_read);
            }
            loop {
                if let Err(reason) = self.deliver(read.batch, room.take()).await {
                    return reason;
                }
                if let Some(error) = read.broken {
                    return CloseReason::Broken(error);
                }
                if read.rest.is_empty() {
                    break;
                }
                // more small messages than one event takes
                read = self.decode(&mut reader, &read.rest);
            }
            // Only now: while the channel was full it was we who did not listen.
            heard = Instant::now();
        }
    }

    /// Reads at most `size` bytes and decodes them where they were read to; `None` if none are there after all.
    async fn read_some(
        &self,
        stream: &mut ReadEnd<'_>,
        reader: &mut FrameReader,
        size: usize,
    ) -> io::Result<Option<Read>> {
        // not `try_read`: this one knows after a short read that there is no more, without asking the kernel
        poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                if scratch.len() < size {
                    scratch.resize(size, 0);
                }
                let mut buf = ReadBuf::new(&mut scratch[..size]);
                Poll::Ready(match stream.poll_read(cx, &mut buf) {
                    Poll::Ready(read) => read.map(|()| Some(self.decode(reader, buf.filled()))),
                    Poll::Pending => Ok(None),
                })
            })
        })
        .await
    }

    /// Cuts one read into messages.
    fn decode(&self, reader: &mut FrameReader, mut input: &[u8]) -> Read {
        let max_frame = self.shared.max_frame.load(Ordering::Relaxed);
        let bytes = input.len();
        let mut batch = Batch::default();
        let limits = FrameLimits { max_frame };
        let filled = batch.fill(reader, limits, &mut input, self.config.max_batch);
        Read {
            bytes,
            batch,
            broken: filled.err(),
            rest: input.to_vec(),
        }
    }

    /// Sends on what was read.
    async fn deliver(&self, batch: Batch, room: Option<Room>) -> Result<(), CloseReason> {
        if !batch.messages.is_empty() {
            let messages = batch.messages;
            let received = Received::new(messages, room);
            self.emit(ConnEvent::Messages(received)).await?;
        }
        if let Some((id, count)) = batch.unknown {
            self.emit(ConnEvent::Unknown { id, count }).await?;
        }
        Ok(())
    }

    async fn emit(&self, event: ConnEvent) -> Result<(), CloseReason> {
        self.events
            .send((self.key, event))
            .await
            .map_err(|_| CloseReason::Local)
    }

    async fn write(
        &self,
        mut stream: WriteEnd<'_>,
        mut outgoing: mpsc::UnboundedReceiver<Message>,
    ) -> CloseReason {
        let mut queue = WriteQueue::default();
        let mut flushed = 0_u64;
        let mut held = Held::default();
        loop {
            fill(&mut queue, &mut outgoing);
            let told = self.pace.up.portion(self.config.write_batch) as u64;
            if flushed >= told || (flushed > 0 && queue.is_empty()) {
                if let Err(reason) = self.emit(ConnEvent::Flushed(flushed)).await {
                    return reason;
                }
                flushed = 0;
                continue;
            }
            if queue.is_empty() && !stream.is_out() {
                match timeout(self.config.write_timeout, stream.writable()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => return CloseReason::Io(error.kind()),
                    Err(_) => return CloseReason::Stalled,
                }
            }
            if queue.is_empty() {
                match timeout(self.config.keep_alive, outgoing.recv()).await {
                    Ok(Some(message)) => queue.push(&message, queue::cost(&message)),
                    Ok(None) => return pending().await, // the outbox is gone, which ends the task
                    Err(_) => queue.push(&Message::KeepAlive, 0),
                }
                continue;
            }
            if !self.pace.up.is_free() {
                match self
                    .write_paced(&mut stream, &mut queue, &mut outgoing, &mut held)
                    .await
                {
                    Ok(taken) => {
                        flushed += taken.block_bytes;
                        self.shared.queued.fetch_sub(taken.cost, Ordering::Relaxed);
                    }
                    Err(reason) => return reason,
                }
                continue;
            }
            match timeout(
                self.config.write_timeout,
                self.write_some(&mut stream, &mut queue, &mut outgoing),
            )
            .await
            {
                Ok(Ok(taken)) => {
                    flushed += taken.block_bytes;
                    self.shared.queued.fetch_sub(taken.cost, Ordering::Relaxed);
                }
                Ok(Err(error)) => return CloseReason::Io(error.kind()),
                Err(_) => return CloseReason::Stalled,
            }
        }
    }

    /// Waits until the transport takes some bytes of the queue.
    async fn write_some(
        &self,
        stream: &mut WriteEnd<'_>,
        queue: &mut WriteQueue,
        outgoing: &mut mpsc::UnboundedReceiver<Message>,
    ) -> io::Result<queue::Taken> {
        loop {
            stream.writable().await?;
            fill(queue, outgoing); // what came meanwhile may overtake
            let batch = self.config.write_batch;
            match queue.with_slices(batch, |slices| stream.try_write_vectored(slices)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(queue.advance(written)),
                // of what was written before a part has gone, so the peer reads
                Err(error) if is_for_later(&error) && !stream.is_out() => {
                    return Ok(queue::Taken::default());
                }
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes over what the caller has queued, which it bounds.
fn fill(queue: &mut WriteQueue, outgoing: &mut mpsc::UnboundedReceiver<Message>) {
    while let Ok(message) = outgoing.try_recv() {
        queue.push(&message, queue::cost(&message));
    }
}
