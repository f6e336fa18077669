//! A connection for which rate limits hold.
//!
//! Blocks are written one by one or in portions of whole ones, so that none is begun and left lying: nothing could
//! overtake it. What a peer says meanwhile is answered, and what is of no block goes out, without losing the place in
//! the line.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::queue::{self, Taken, WriteQueue};
use super::{CloseReason, ConnEvent, Read, Task, fill};
use crate::wire::message::Message;
use crate::wire::reader::FrameReader;
use crate::wire::stream::{ReadEnd, WriteEnd, is_for_later};

/// A limit that holds a connection is told of at least that often.
const HELD_STEP: Duration = Duration::from_millis(250); // the period of the swarm's housekeeping

/// How long limits have held the connection since that was last told.
///
/// Reading counts as held while the socket has more than may be read: a peer that sends byte by byte would otherwise be
/// taken for one that we do not listen to.
#[derive(Debug, Default)]
pub(super) struct Held {
    down: Duration,
    up: Duration,
    /// The last turn was read to its end: there is more.
    more: bool,
    /// Of `down`, if this turn is.
    unclear: Duration,
}

impl Held {
    /// So long a turn to read was waited for.
    fn waited(&mut self, span: Duration) {
        match self.more {
            true => self.down += span,
            false => self.unclear += span,
        }
    }

    /// So much of a turn was read.
    pub(super) fn read(&mut self, bytes: usize, turn: usize) {
        self.more = bytes == turn;
        let unclear = std::mem::take(&mut self.unclear);
        if self.more {
            self.down += unclear;
        }
    }

    /// Whether there is something to tell.
    fn is_due(&self) -> bool {
        self.down.max(self.up) >= HELD_STEP
    }

    /// What there is to tell.
    fn take(&mut self) -> ConnEvent {
        ConnEvent::Held {
            down: std::mem::take(&mut self.down),
            up: std::mem::take(&mut self.up),
        }
    }
}

impl<K: Copy + Send + Sync> Task<K> {
    /// Tells how long limits have held the connection, unless the channel is full: whoever waits in line may be the next
    /// in it, and is to keep nobody waiting.
    fn tell(&self, held: &mut Held) {
        if held.is_due()
            && let Ok(place) = self.events.try_reserve()
        {
            place.send((self.key, held.take()));
        }
    }

    /// Waits for its turn and reads at most `portion` bytes, or nothing if none have come.
    pub(super) async fn read_turn(
        &self,
        stream: &mut ReadEnd<'_>,
        reader: &mut FrameReader,
        portion: usize,
        held: &mut Held,
    ) -> io::Result<Option<Read>> {
        let turn = self.pace.down.take(portion);
        tokio::pin!(turn);
        loop {
            let began = Instant::now();
            let mine = timeout(HELD_STEP, &mut turn).await.is_ok();
            held.waited(began.elapsed());
            self.tell(held);
            if mine {
                break;
            }
        }
        // now or not at all: nothing is taken from others in advance
        let read = self.read_some(stream, reader, portion).await;
        let bytes = match &read {
            Ok(Some(read)) => read.bytes,
            Ok(None) | Err(_) => 0,
        };
        held.read(bytes, portion);
        self.pace.down.put_back(portion - bytes);
        read
    }

    /// Waits until some bytes of the queue may be sent and the kernel takes some.
    pub(super) async fn write_paced(
        &self,
        stream: &mut WriteEnd<'_>,
        queue: &mut WriteQueue,
        outgoing: &mut mpsc::UnboundedReceiver<Message>,
        held: &mut Held,
    ) -> Result<Taken, CloseReason> {
        loop {
            // first: bytes for a peer that does not read are to keep nobody else waiting
            match timeout(self.config.write_timeout, stream.writable()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(CloseReason::Io(error.kind())),
                Err(_) => return Err(CloseReason::Stalled),
            }
            if !stream.is_out() {
                continue;
            }
            fill(queue, outgoing);
            let turn = match queue.urgent() {
                0 => self.write_turn(stream, queue, outgoing, held).await?,
                _ => 0,
            };
            let result = offer(stream, queue, turn + queue.urgent());
            let written = *result.as_ref().unwrap_or(&0);
            self.pace.up.put_back(turn.saturating_sub(written));
            self.pace.up.charge(written.saturating_sub(turn));
            match result {
                Ok(0) => return Err(CloseReason::Io(io::ErrorKind::WriteZero)),
                Ok(written) => return Ok(queue.advance(written)),
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(CloseReason::Io(error.kind())),
            }
        }
    }

    /// How much of the queue, in which nothing is urgent, may be written now; waits for it.
    async fn write_turn(
        &self,
        stream: &mut WriteEnd<'_>,
        queue: &mut WriteQueue,
        outgoing: &mut mpsc::UnboundedReceiver<Message>,
        held: &mut Held,
    ) -> Result<usize, CloseReason> {
        let batch = self.pace.up.portion(self.config.write_batch);
        let portion = queue.portion(batch);
        let turn = self.pace.up.take(portion);
        tokio::pin!(turn);
        loop {
            let began = Instant::now();
            let mine = tokio::select! {
                biased;
                () = &mut turn => true,
                Some(message) = outgoing.recv() => {
                    queue.push(&message, queue::cost(&message));
                    fill(queue, outgoing);
                    self.overtake(stream, queue)?;
                    false
                }
                out = stream.writable(), if !stream.is_out() => {
                    out.map_err(|error| CloseReason::Io(error.kind()))?;
                    false
                }
                () = tokio::time::sleep(HELD_STEP) => false,
            };
            held.up += began.elapsed();
            self.tell(held);
            if mine {
                return Ok(portion);
            }
        }
    }

    /// Sends what is urgent ahead of the blocks that wait, as far as the kernel takes it at once.
    fn overtake(
        &self,
        stream: &mut WriteEnd<'_>,
        queue: &mut WriteQueue,
    ) -> Result<(), CloseReason> {
        let urgent = queue.urgent();
        if urgent == 0 {
            return Ok(());
        }
        match offer(stream, queue, urgent) {
            Ok(written) => {
                self.pace.up.charge(written);
                let taken = queue.advance(written);
                self.shared.queued.fetch_sub(taken.cost, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if is_for_later(&error) => Ok(()),
            Err(error) => Err(CloseReason::Io(error.kind())),
        }
    }
}

/// Offers the kernel the first `most` bytes of the queue.
fn offer(stream: &mut WriteEnd<'_>, queue: &mut WriteQueue, most: usize) -> io::Result<usize> {
    queue.with_at_most(most, most, |slices| stream.try_write_vectored(slices))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_millis(100);

    fn read(held: &mut Held, bytes: usize) {
        held.waited(TURN);
        held.read(bytes, 1024);
    }

    #[test]
    fn who_sends_byte_by_byte_is_not_held_by_us() {
        let mut held = Held::default();
        (0..1000).for_each(|_| read(&mut held, 1));
        assert!(held.down.is_zero() && !held.is_due());
    }

    #[test]
    fn who_has_sent_more_than_we_read_is_held_for_as_long_as_that_waits() {
        let mut held = Held::default();
        for _ in 0..10 {
            (0..16).for_each(|_| read(&mut held, 1024));
            read(&mut held, 13);
        }
        assert_eq!(held.down, 170 * TURN);
        assert!(held.is_due());
        held.take();
        assert!(!held.is_due());
    }
}
