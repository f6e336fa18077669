//! Bytes on their way to the kernel: small messages are put together, blocks are written from where they are.

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

#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    segments: VecDeque<Segment>,
    /// Small messages behind the last segment.
    tail: BytesMut,
    tail_cost: usize,
    len: usize,
}

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    is_block: bool,
    /// Released when the last byte is out.
    cost: usize,
}

impl WriteQueue {
    /// Bytes in the queue.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a message; its cost is given back when it is out.
    pub(super) fn push(&mut self, message: &Message, cost: usize) {
        self.len += message.encoded_len();
        let block = message.encode_header(&mut self.tail).cloned();
        let Some(block) = block else {
            self.tail_cost += cost;
            return;
        };
        self.cut_tail();
        self.segments.push_back(Segment {
            bytes: block,
            is_block: true,
            cost,
        });
    }

    /// Gives the first bytes of the queue to `write`.
    pub(super) fn with_slices<T>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        self.cut_tail();
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(&segment.bytes);
            count += 1;
        }
        write(&slices[..count])
    }

    /// Takes off the first `written` bytes.
    pub(super) fn advance(&mut self, mut written: usize) -> Taken {
        let mut taken = Taken::default();
        self.len -= written;
        // An empty block is no message, so a segment without bytes is one that is out.
        while let Some(segment) = self.segments.front_mut() {
            let part = segment.bytes.len().min(written);
            segment.bytes.advance(part);
            written -= part;
            if segment.is_block {
                taken.block_bytes += part as u64;
            }
            if !segment.bytes.is_empty() {
                break;
            }
            taken.cost += segment.cost;
            self.segments.pop_front();
        }
        taken
    }

    fn cut_tail(&mut self) {
        if !self.tail.is_empty() {
            let bytes = self.tail.split().freeze();
            let cost = std::mem::take(&mut self.tail_cost);
            self.segments.push_back(Segment {
                bytes,
                is_block: false,
                cost,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut WriteQueue, step: usize) -> (Vec<u8>, Taken) {
        let (mut out, mut total) = (Vec::new(), Taken::default());
        while !queue.is_empty() {
            let written = queue.with_slices(|slices| {
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
        queue.with_slices(|slices| {
            assert_eq!(slices.len(), 2);
            assert_eq!(slices[1].as_ptr(), data.as_ptr());
        });
    }
}
