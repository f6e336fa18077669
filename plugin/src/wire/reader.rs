//! Frames out of reads of any size, with each byte copied once. Sans-IO.
//!
//! What a socket gives is read into a buffer that is used again and again, and that so many connections share that it
//! stays in the processor's cache. A frame that is whole in it is decoded in place, and its block copied out; one that
//! is not is put together in memory of its own length, which becomes the block's. Either way a block keeps nothing alive
//! but its own bytes (and a header of 13), however a peer pads it, and a connection on which no frame is begun holds
//! nothing at all.

use bytes::BytesMut;

use super::codec::{Frame, FrameDecoder, FrameError, FrameLimits, PIECE_HEADER};
use crate::metadata::BLOCK;

/// Memory taken at once for a frame that has begun: a block as we ask for them. A longer one takes more as it comes, or
/// five bytes from a peer would take a MiB of ours.
const FIRST: usize = PIECE_HEADER + BLOCK as usize;

/// Puts frames together from reads.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// The beginning of a frame.
    begun: BytesMut,
}

impl FrameReader {
    /// Takes the next frame off `input`. `None`: all of it is taken, and the frame goes on in the next read.
    ///
    /// # Errors
    /// [`FrameError`] when the stream is broken; nothing more is to be read then.
    pub fn next(
        &mut self,
        limits: FrameLimits,
        input: &mut &[u8],
    ) -> Result<Option<Frame>, FrameError> {
        let decoder = FrameDecoder::new(limits);
        let mut len = None;
        if self.begun.is_empty() {
            if let Some(frame) = decoder.decode_slice(input)? {
                return Ok(Some(frame));
            }
            len = decoder.frame_len(input)?;
        }
        // a keep-alive has four bytes, and the fifth is the next one's
        for header in [4, 5] {
            if len.is_none() {
                self.take(input, header);
                len = decoder.frame_len(&self.begun)?;
            }
        }
        let Some(len) = len else {
            return Ok(None);
        };
        self.take(input, len);
        if self.begun.len() < len {
            return Ok(None);
        }
        let mut whole = std::mem::take(&mut self.begun);
        decoder.decode(&mut whole)
    }

    /// Bytes of the frame that has begun.
    pub fn held(&self) -> usize {
        self.begun.len()
    }

    /// Moves bytes from `input` until `len` of the frame are here.
    fn take(&mut self, input: &mut &[u8], len: usize) {
        let part = len.saturating_sub(self.begun.len()).min(input.len());
        let (taken, rest) = input.split_at(part);
        *input = rest;
        if part > 0 && self.begun.capacity() < self.begun.len() + part {
            let most = len - self.begun.len();
            self.begun
                .reserve(most.min(FIRST.max(self.begun.len())).max(part));
        }
        self.begun.extend_from_slice(taken);
    }
}

/// Messages of one read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<super::message::Message>,
    /// The first unknown id and how many there were.
    pub(super) unknown: Option<(u8, u32)>,
}

impl Batch {
    /// Takes frames off `input` until there are `most` messages or it is used up.
    pub(super) fn fill(
        &mut self,
        reader: &mut FrameReader,
        limits: FrameLimits,
        input: &mut &[u8],
        most: usize,
    ) -> Result<(), FrameError> {
        while self.messages.len() < most {
            match reader.next(limits, input)? {
                Some(Frame::Message(message)) => self.messages.push(message),
                Some(Frame::Unknown(id)) => self.unknown.get_or_insert((id, 0)).1 += 1,
                None => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Message;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let body = |len: std::ops::Range<usize>| prop::collection::vec(any::<u8>(), len);
        let framed = |id: u8, body: Vec<u8>| {
            let len = u32::try_from(1 + body.len()).unwrap();
            [&len.to_be_bytes()[..], &[id], &body].concat()
        };
        prop_oneof![
            2 => Just(vec![0; 4]),
            2 => Just(framed(1, vec![])),
            2 => body(4..5).prop_map(move |b| framed(4, b)),
            2 => body(12..13).prop_map(move |b| framed(6, b)),
            4 => (1usize..40_000, any::<u8>()).prop_map(move |(n, fill)| framed(7, vec![fill; 8 + n])),
            1 => body(0..300).prop_map(move |b| framed(99, b)),
            1 => body(1..300).prop_map(move |b| framed(5, b)),
            1 => body(0..30), // no frame at all
        ]
    }

    /// The frames of a stream that comes in parts of these lengths, and the error that ends it.
    fn read(stream: &[u8], parts: &[usize]) -> (Vec<Frame>, Option<FrameError>) {
        let mut reader = FrameReader::default();
        let (mut rest, mut frames) = (stream, Vec::new());
        let mut parts = parts.iter().cycle();
        while !rest.is_empty() {
            let part = parts.next().map_or(rest.len(), |p| (*p).min(rest.len()));
            let (mut input, after) = rest.split_at(part);
            rest = after;
            loop {
                match reader.next(FrameLimits::default(), &mut input) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(e) => return (frames, Some(e)),
                }
            }
            assert!(input.is_empty(), "all of a read is taken");
        }
        (frames, None)
    }

    fn naive(stream: &[u8]) -> (Vec<Frame>, Option<FrameError>) {
        let (decoder, mut buf, mut frames) =
            (FrameDecoder::default(), BytesMut::from(stream), Vec::new());
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None),
                Err(e) => return (frames, Some(e)),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_are_the_same_however_the_stream_is_cut(
            stream in prop::collection::vec(frame(), 0..12),
            parts in prop::collection::vec(1usize..20_000, 1..8),
            small in prop::collection::vec(1usize..20, 1..8),
        ) {
            let stream = stream.concat();
            let whole = naive(&stream);
            prop_assert_eq!(&read(&stream, &[]), &whole);
            prop_assert_eq!(&read(&stream, &parts), &whole);
            prop_assert_eq!(&read(&stream, &small), &whole);
        }
    }

    #[test]
    fn a_block_keeps_its_own_bytes_alive_and_nothing_else() {
        let block = Message::Piece {
            piece: 1,
            begin: 0,
            data: Bytes::from(vec![7; BLOCK as usize]),
        };
        let mut stream = BytesMut::new();
        block.encode_into(&mut stream);
        let junk = [&[0, 1, 0, 1, 99][..], &[0; 1 << 16]].concat();
        for cut in [0, 4, 13, 5000, stream.len()] {
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            let first = [&junk[..], &stream[..cut]].concat();
            let second = [&stream[cut..], &junk[..]].concat();
            for part in [first, second] {
                let mut input = &part[..];
                while let Some(frame) = reader.next(FrameLimits::default(), &mut input).unwrap() {
                    got.push(frame);
                }
            }
            let Frame::Message(Message::Piece { data, .. }) = got.swap_remove(1) else {
                panic!("no block");
            };
            // the only handle: what it can be extended to is what it was allocated with
            let owned = data.try_into_mut().expect("nobody else has it");
            assert!(
                owned.capacity() <= FIRST,
                "{} bytes for a block, cut at {cut}",
                owned.capacity()
            );
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut reader = FrameReader::default();
        let mut input = &[0, 15, 0, 0, 5, 1, 2][..];
        assert_eq!(
            reader.next(FrameLimits::UNKNOWN_PIECES, &mut input),
            Ok(None)
        );
        assert_eq!(reader.held(), 7);
        assert!(reader.begun.capacity() <= FIRST);
    }
}
