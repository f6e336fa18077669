//! Bytes on their way to the kernel: small messages are put together, blocks are written from where they are, and what
//! does not depend on blocks goes out before those that wait.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::message::Message;

/// Slices in one system call; each block takes two. // far below IOV_MAX, which is 1024
const MAX_SLICES: usize = 64;

/// What a queued message costs at least: a keep-alive of 4 bytes takes more memory than that.
const MIN_COST: usize = 64;

/// What a message counts against the bound on queued bytes.
pub(super) fn cost(message: &Message) -> usize {
    message.encoded_len().max(MIN_COST)
}

/// What the kernel took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes of blocks.
    pub(super) block_bytes: u64,
    /// Cost of the messages that are out completely, in terms of [`cost`].
    pub(super) cost: usize,
}

/// Two lanes: what says something about blocks keeps its place among them, all else goes out before blocks that wait.
/// Within a lane the order is kept, and over both while no block waits.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    /// What is left of a message that the kernel has taken a part of, then what overtakes.
    first: VecDeque<Segment>,
    /// Behind `first`.
    express: Small,
    /// Blocks and what must not overtake them; none of it is begun.
    rest: VecDeque<Segment>,
    /// Behind `rest`.
    tail: Small,
    len: usize,
}

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    is_block: bool,
    /// Released when the last byte is out.
    cost: usize,
}

/// Small messages, put together.
#[derive(Debug, Default)]
struct Small {
    bytes: BytesMut,
    cost: usize,
}

impl Small {
    fn cut_into(&mut self, segments: &mut VecDeque<Segment>) {
        if !self.bytes.is_empty() {
            segments.push_back(Segment {
                bytes: self.bytes.split().freeze(),
                is_block: false,
                cost: std::mem::take(&mut self.cost),
            });
        }
    }
}

impl WriteQueue {
    /// Bytes in the queue.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in front that are of no block: what need not wait for a limit on uploads.
    pub(super) fn urgent(&self) -> usize {
        if self.first.iter().any(|segment| segment.is_block) {
            return 0;
        }
        let first: usize = self.first.iter().map(|segment| segment.bytes.len()).sum();
        first + self.express.bytes.len()
    }

    /// Bytes up to the end of a block: of so many blocks that they are at least `portion`, or of all there are.
    pub(super) fn portion(&self, portion: usize) -> usize {
        let small = |small: &Small| (small.bytes.len(), false);
        let segment = |s: &Segment| (s.bytes.len(), s.is_block);
        let lens = (self.first.iter().map(segment))
            .chain([small(&self.express)])
            .chain(self.rest.iter().map(segment))
            .chain([small(&self.tail)]);
        let mut sum = 0;
        for (len, is_block) in lens {
            sum += len;
            if is_block && sum >= portion {
                break;
            }
        }
        sum
    }

    /// Adds a message; its cost is given back when it is out.
    pub(super) fn push(&mut self, message: &Message, cost: usize) {
        self.len += message.encoded_len();
        let free = self.rest.is_empty() && self.tail.bytes.is_empty();
        let lane = match message {
            Message::Piece { .. } => &mut self.tail,
            // a block after a CHOKE, or after the REJECT of an earlier request for it, is unasked for
            Message::Choke | Message::Unchoke | Message::Reject(_) if !free => &mut self.tail,
            _ => &mut self.express,
        };
        let Some(block) = message.encode_header(&mut lane.bytes).cloned() else {
            lane.cost += cost;
            return;
        };
        self.tail.cut_into(&mut self.rest);
        self.rest.push_back(Segment {
            bytes: block,
            is_block: true,
            cost,
        });
    }

    /// Gives the first bytes of the queue to `write`, whole segments until they are at least `batch` bytes.
    pub(super) fn with_slices<T>(
        &mut self,
        batch: usize,
        write: impl FnOnce(&[IoSlice<'_>]) -> T,
    ) -> T {
        self.with_at_most(batch, usize::MAX, write)
    }

    /// The same with at most `most` bytes.
    pub(super) fn with_at_most<T>(
        &mut self,
        batch: usize,
        most: usize,
        write: impl FnOnce(&[IoSlice<'_>]) -> T,
    ) -> T {
        self.express.cut_into(&mut self.first);
        self.tail.cut_into(&mut self.rest);
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut count, mut bytes) = (0, 0);
        for (slice, segment) in slices.iter_mut().zip(self.first.iter().chain(&self.rest)) {
            if bytes >= batch.min(most) {
                break;
            }
            let part = segment.bytes.len().min(most - bytes);
            *slice = IoSlice::new(&segment.bytes[..part]);
            bytes += part;
            count += 1;
        }
        write(&slices[..count])
    }

    /// Takes off the first `written` bytes.
    pub(super) fn advance(&mut self, written: usize) -> Taken {
        let mut taken = Taken::default();
        self.len -= written;
        let left = take_off(&mut self.first, written, &mut taken).0;
        let (_, cut) = take_off(&mut self.rest, left, &mut taken);
        // A message is not interrupted: nothing comes between a block and its header, which ends the segment before it.
        let is_block = |rest: &VecDeque<Segment>| rest.front().is_some_and(|s| s.is_block);
        if cut && !is_block(&self.rest) {
            self.first.extend(self.rest.pop_front());
        }
        if is_block(&self.rest) {
            self.first.extend(self.rest.pop_front());
        }
        taken
    }
}

/// Takes off at most `written` bytes; how many were more than that, and whether the segment that is first now was cut.
fn take_off(
    segments: &mut VecDeque<Segment>,
    mut written: usize,
    taken: &mut Taken,
) -> (usize, bool) {
    // An empty block is no message, so a segment without bytes is one that is out.
    while let Some(segment) = segments.front_mut() {
        let part = segment.bytes.len().min(written);
        segment.bytes.advance(part);
        written -= part;
        if segment.is_block {
            taken.block_bytes += part as u64;
        }
        if !segment.bytes.is_empty() {
            return (written, part > 0);
        }
        taken.cost += segment.cost;
        segments.pop_front();
    }
    (written, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut WriteQueue, step: usize) -> (Vec<u8>, Taken) {
        let (mut out, mut total) = (Vec::new(), Taken::default());
        while !queue.is_empty() {
            let written = queue.with_slices(1000, |slices| {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                let written = bytes.len().min(step);
                out.extend_from_slice(&bytes[..written]);
                written
            });
            let taken = queue.advance(written);
            total.block_bytes += taken.block_bytes;
            total.cost += taken.cost;
        }
        (out, total)
    }

    #[test]
    fn bytes_come_out_in_order_and_blocks_are_counted_whatever_the_kernel_takes() {
        let mut messages = vec![Message::Unchoke, Message::Have(7), Message::KeepAlive];
        for piece in 0..100 {
            let data = Bytes::from(vec![1; 50]);
            messages.push(Message::Piece {
                piece,
                begin: 0,
                data,
            });
            messages.push(Message::Choke);
        }
        let mut plain = BytesMut::new();
        messages
            .iter()
            .for_each(|message| message.encode_into(&mut plain));
        for step in [1, 2, 3, 7, 64, 1000, usize::MAX] {
            let mut queue = WriteQueue::default();
            for message in &messages {
                queue.push(message, cost(message));
            }
            assert_eq!(queue.len(), plain.len());
            let (out, taken) = drain(&mut queue, step);
            assert_eq!(out, plain);
            assert_eq!(taken.block_bytes, 5000);
            assert_eq!(taken.cost, messages.iter().map(cost).sum::<usize>());
        }
    }

    #[test]
    fn haves_that_wait_together_go_out_in_one_write() {
        let mut queue = WriteQueue::default();
        (0..100).for_each(|n| queue.push(&Message::Have(n), 64));
        queue.with_slices(usize::MAX, |slices| {
            assert_eq!(slices.len(), 1);
            assert_eq!(slices[0].len(), 900);
        });
    }

    #[test]
    fn a_block_is_not_copied() {
        let data = Bytes::from(vec![1; 16 * 1024]);
        let mut queue = WriteQueue::default();
        queue.push(&Message::Choke, 64);
        queue.push(
            &Message::Piece {
                piece: 0,
                begin: 0,
                data: data.clone(),
            },
            data.len(),
        );
        queue.with_slices(usize::MAX, |slices| {
            assert_eq!(slices.len(), 3);
            assert_eq!(slices[2].as_ptr(), data.as_ptr());
        });
    }

    fn piece(n: u32) -> Message {
        Message::Piece {
            piece: n,
            begin: 0,
            data: Bytes::from(vec![1; 40]),
        }
    }

    fn pong() -> Message {
        let payload = Bytes::from_static(&[2, 0, 0, 0, 9]);
        Message::Extended { id: 3, payload }
    }

    fn plain(messages: &[Message]) -> Vec<u8> {
        let mut out = BytesMut::new();
        messages.iter().for_each(|m| m.encode_into(&mut out));
        out.to_vec()
    }

    /// The bytes when `late` is pushed after the kernel has taken `begun` bytes of `early`.
    fn sent(early: &[Message], begun: usize, late: &[Message]) -> Vec<u8> {
        let mut queue = WriteQueue::default();
        early.iter().for_each(|m| queue.push(m, cost(m)));
        let mut out = Vec::new();
        queue.with_slices(usize::MAX, |slices| {
            out.extend(slices.iter().flat_map(|slice| slice.to_vec()).take(begun));
        });
        let taken = queue.advance(begun);
        late.iter().for_each(|m| queue.push(m, cost(m)));
        let (rest, more) = drain(&mut queue, 7);
        out.extend(rest);
        let all = || early.iter().chain(late);
        assert_eq!(taken.cost + more.cost, all().map(cost).sum::<usize>());
        let blocks = all().filter(|m| matches!(m, Message::Piece { .. })).count() as u64;
        assert_eq!(taken.block_bytes + more.block_bytes, 40 * blocks);
        out
    }

    #[test]
    fn a_message_waits_for_the_one_that_is_begun_and_overtakes_the_blocks_behind_it() {
        let early = [piece(1), piece(2), piece(3)];
        let len = early[0].encoded_len();
        for begun in 0..3 * len {
            let mut expected = early.to_vec();
            expected.insert(begun.div_ceil(len), pong());
            assert_eq!(sent(&early, begun, &[pong()]), plain(&expected), "{begun}");
        }
    }

    #[test]
    fn what_says_something_about_blocks_stays_behind_them() {
        let reject = Message::Reject(crate::wire::message::BlockRef {
            piece: 1,
            begin: 0,
            len: 40,
        });
        let early = [Message::Choke, Message::Have(1), piece(1)];
        let late = [
            Message::Choke,
            Message::Have(2),
            reject.clone(),
            pong(),
            Message::Unchoke,
            Message::Interested,
        ];
        let expected = [
            Message::Choke,
            Message::Have(1),
            Message::Have(2),
            pong(),
            Message::Interested,
            piece(1),
            Message::Choke,
            reject,
            Message::Unchoke,
        ];
        assert_eq!(sent(&early, 0, &late), plain(&expected));
    }

    #[test]
    fn what_is_of_no_block_is_urgent_until_one_is_begun() {
        let mut queue = WriteQueue::default();
        let (have, block) = (Message::Have(1), piece(1));
        queue.push(&have, 64);
        queue.push(&block, 64);
        queue.push(&Message::Choke, 64);
        queue.push(&block, 64);
        assert_eq!(queue.urgent(), have.encoded_len());
        let whole = have.encoded_len() + block.encoded_len();
        assert_eq!(queue.portion(1), whole);
        assert_eq!(queue.portion(whole), whole);
        assert_eq!(queue.portion(whole + 1), queue.len());
        assert_eq!(queue.portion(usize::MAX), queue.len());
        let out = |queue: &mut WriteQueue, bytes: usize| {
            queue.with_at_most(usize::MAX, bytes, |_| ());
            queue.advance(bytes);
        };
        out(&mut queue, have.encoded_len());
        assert_eq!(queue.urgent(), 0);
        for begun in 1..block.encoded_len() {
            out(&mut queue, 1);
            queue.push(&have, 64);
            assert_eq!(queue.urgent(), 0, "{begun} bytes of a block are out");
            assert_eq!(
                queue.portion(1),
                block.encoded_len() - begun,
                "the block's rest comes first"
            );
        }
        out(&mut queue, 1);
        assert_eq!(
            queue.urgent(),
            (block.encoded_len() - 1) * have.encoded_len()
        );
    }

    #[test]
    fn no_more_than_is_allowed_is_offered() {
        for most in 0..200 {
            let mut queue = WriteQueue::default();
            (0..3).for_each(|n| queue.push(&piece(n), 64));
            let all = queue.len();
            let offered: usize =
                queue.with_at_most(1000, most, |s| s.iter().map(|s| s.len()).sum());
            assert_eq!(most.min(all), offered);
        }
    }

    #[test]
    fn no_more_than_a_batch_is_offered_at_once() {
        let mut queue = WriteQueue::default();
        (0..20).for_each(|n| queue.push(&piece(n), 64));
        let header = piece(0).encoded_len() - 40;
        let offered = queue.with_slices(100, |s| s.iter().map(|s| s.len()).sum::<usize>());
        assert_eq!(offered, 2 * (40 + header));
    }
}
