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
//! Reading and writing are two futures in one task: neither waits for the other, and when one ends both do.
//!
//! Memory of a connection: nothing but a small struct while it is idle, else at most a frame and
//! [`ConnConfig::read_buffer`] bytes (twice that while the buffer grows), [`ConnConfig::max_queued_out`] to be sent,
//! and one batch that waits for room in the channel.

mod paced;
mod queue;

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::paced::Held;
use self::queue::WriteQueue;
use super::codec::{Frame, FrameDecoder, FrameError, FrameLimits};
use super::connect::PeerStream;
use super::message::Message;
use crate::limits::Pace;

/// Timeouts and bounds of a connection.
#[derive(Clone, Debug)]
pub struct ConnConfig {
    /// Longest wait for the TCP connection.
    pub connect_timeout: Duration,
    /// Longest wait for the whole handshake, once connected.
    pub handshake_timeout: Duration,
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
}

impl Default for ConnConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5), // guess: one lost SYN is retried after 1 s, two after 3 s
            handshake_timeout: Duration::from_secs(10), // libtorrent's handshake_timeout
            idle_timeout: Duration::from_secs(150), // BEP 3: keep-alives every two minutes, and some slack
            keep_alive: Duration::from_secs(100), // BEP 3: "generally two minutes", sent ahead of that
            write_timeout: Duration::from_secs(60), // guess
            linger: Duration::from_secs(1),       // guess
            read_buffer: 128 * 1024,              // guess: eight blocks
            min_read: 4 * 1024,                   // guess: a page
            write_batch: 128 * 1024,              // guess: eight blocks
            max_queued_out: 4 * 1024 * 1024, // guess: 250 blocks, libtorrent's queue for a peer
            max_batch: 1024,                 // guess
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
    Messages(Vec<Message>),
    /// So many bytes of blocks were handed to the kernel since the last time.
    Flushed(u64),
    /// Messages with ids that we do not know; they were skipped.
    Unknown {
        /// The first one's id.
        id: u8,
        /// How many since the last time.
        count: u32,
    },
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
    let (queue, outgoing) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        queued: AtomicUsize::new(0),
        max_frame: AtomicU32::new(limits.max_frame),
        closed: CancellationToken::new(),
    });
    let task = Task {
        key,
        stream: peer.stream,
        events,
        shared: Arc::clone(&shared),
        config: config.clone(),
        pace: pace.clone(),
    };
    tokio::spawn(task.run(outgoing));
    Outbox {
        queue,
        shared,
        max_queued: config.max_queued_out,
        pace,
    }
}

#[derive(Debug)]
struct Shared {
    queued: AtomicUsize,
    max_frame: AtomicU32,
    closed: CancellationToken,
}

struct Task<K> {
    key: K,
    stream: TcpStream,
    events: mpsc::Sender<(K, ConnEvent)>,
    shared: Arc<Shared>,
    config: ConnConfig,
    pace: Pace,
}

impl<K: Copy + Send + Sync> Task<K> {
    async fn run(self, outgoing: mpsc::UnboundedReceiver<Message>) {
        let reason = tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => CloseReason::Local,
            reason = self.transfer(outgoing) => reason,
        };
        self.shared.closed.cancel();
        let Self {
            key,
            stream,
            events,
            ..
        } = self;
        drop(stream);
        // An error means that nobody is left to be told.
        let _ = events.send((key, ConnEvent::Closed(reason))).await;
    }

    async fn transfer(&self, outgoing: mpsc::UnboundedReceiver<Message>) -> CloseReason {
        let reading = self.read();
        tokio::pin!(reading);
        let failed = tokio::select! {
            reason = &mut reading => return reason,
            reason = self.write(outgoing) => reason,
        };
        if !matches!(failed, CloseReason::Io(_)) {
            return failed;
        }
        // The peer may have sent the last block that we need and then closed.
        timeout(self.config.linger, reading).await.unwrap_or(failed)
    }

    async fn read(&self) -> CloseReason {
        let mut buf = BytesMut::new();
        let mut size = self.config.min_read;
        let mut deadline = Instant::now() + self.config.idle_timeout;
        let mut held = Held::default();
        loop {
            match timeout_at(deadline, self.stream.readable()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return CloseReason::Io(error.kind()),
                Err(_) => return CloseReason::Idle,
            }
            let most = match self.read_turn(size, &mut held).await {
                Ok(most) => most,
                Err(reason) => return reason,
            };
            buf.reserve(most);
            let read = self.stream.try_read_buf(&mut (&mut buf).limit(most));
            let bytes = *read.as_ref().unwrap_or(&0);
            held.read(bytes, most);
            self.pace.down.put_back(most - bytes);
            let read = match read {
                Ok(0) => return CloseReason::Remote,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if buf.is_empty() {
                        buf = BytesMut::new(); // an idle connection holds no buffer
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return CloseReason::Io(error.kind()),
            };
            if read >= most {
                size = (size * 4).min(self.config.read_buffer);
            } else if read < size / 8 {
                size = (size / 2).max(self.config.min_read);
            }
            if let Err(reason) = self.deliver(&mut buf).await {
                return reason;
            }
            // Only now: while the channel was full it was we who did not listen.
            deadline = Instant::now() + self.config.idle_timeout;
        }
    }

    /// Sends on all complete messages in `buf`.
    async fn deliver(&self, buf: &mut BytesMut) -> Result<(), CloseReason> {
        let max_frame = self.shared.max_frame.load(Ordering::Relaxed);
        let decoder = FrameDecoder::new(FrameLimits { max_frame });
        let mut batch = Vec::new();
        let mut unknown: Option<(u8, u32)> = None;
        let result = loop {
            match decoder.decode(buf) {
                Ok(Some(Frame::Message(message))) => {
                    batch.push(message);
                    if batch.len() == self.config.max_batch {
                        self.emit(ConnEvent::Messages(std::mem::take(&mut batch)))
                            .await?;
                    }
                }
                Ok(Some(Frame::Unknown(id))) => unknown.get_or_insert((id, 0)).1 += 1,
                Ok(None) => break Ok(()),
                Err(error) => break Err(CloseReason::Broken(error)),
            }
        };
        if !batch.is_empty() {
            self.emit(ConnEvent::Messages(batch)).await?;
        }
        if let Some((id, count)) = unknown {
            self.emit(ConnEvent::Unknown { id, count }).await?;
        }
        result
    }

    async fn emit(&self, event: ConnEvent) -> Result<(), CloseReason> {
        self.events
            .send((self.key, event))
            .await
            .map_err(|_| CloseReason::Local)
    }

    async fn write(&self, mut outgoing: mpsc::UnboundedReceiver<Message>) -> CloseReason {
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
            if queue.is_empty() {
                match timeout(self.config.keep_alive, outgoing.recv()).await {
                    Ok(Some(message)) => queue.push(&message, queue::cost(&message)),
                    Ok(None) => return pending().await, // the outbox is gone, which ends the task
                    Err(_) => queue.push(&Message::KeepAlive, 0),
                }
                continue;
            }
            if !self.pace.up.is_free() {
                match self.write_paced(&mut queue, &mut outgoing, &mut held).await {
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
                self.write_some(&mut queue, &mut outgoing),
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

    /// Waits until the kernel takes some bytes of the queue.
    async fn write_some(
        &self,
        queue: &mut WriteQueue,
        outgoing: &mut mpsc::UnboundedReceiver<Message>,
    ) -> io::Result<queue::Taken> {
        loop {
            self.stream.writable().await?;
            fill(queue, outgoing); // what came meanwhile may overtake
            let batch = self.config.write_batch;
            match queue.with_slices(batch, |slices| self.stream.try_write_vectored(slices)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(queue.advance(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
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
