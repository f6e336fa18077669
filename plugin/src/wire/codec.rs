//! Framing of peer messages (BEP 3, 5, 6, 10). Sans-IO.
//!
//! A frame is a length (4 bytes, big endian), an id and a body. The length is checked against [`FrameLimits`], and for
//! the ids whose length is fixed against that, as soon as the first five bytes are there: a peer that announces 4 GiB
//! is refused before a byte is allocated for it. Unknown ids are skipped and counted, as BEP 3 and 10 ask.
//!
//! [`FrameDecoder::decode`] gives a block that shares the memory of the buffer that it was read into; everything else is
//! copied out, so that a bitfield that is kept does not keep a read buffer. A connection reads through
//! [`FrameReader`](super::reader::FrameReader), whose blocks own what they hold.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::message::{BlockRef, Message};

/// Longest block that a peer may send, in bytes: eight times what we ask for, as no stock client asks for more.
pub const MAX_BLOCK: u32 = 128 * 1024; // libtorrent and Transmission refuse requests above it

/// Bytes in front of a block: length, id, piece, begin.
pub const PIECE_HEADER: usize = 13;

/// Id and numbers in front of a block's data, as the frame length counts them.
const PIECE_FIXED: u32 = 9;

/// Longest extended message: one 16 KiB piece of metadata with its dictionary.
const MAX_EXTENDED: u32 = 2 + 16 * 1024 + 1024;

/// What a peer may announce as the length of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Longest frame in bytes, without the four length bytes.
    pub max_frame: u32,
}

impl FrameLimits {
    /// While the piece count is unknown (a magnet link): a bitfield of up to 8 million pieces.
    pub const UNKNOWN_PIECES: Self = Self {
        max_frame: 1 + 1024 * 1024,
    };

    /// For a torrent of `pieces` pieces: a block, a metadata message or the bitfield, whichever is longest.
    pub fn for_pieces(pieces: u32) -> Self {
        let bitfield = 1 + pieces.div_ceil(8);
        Self {
            max_frame: bitfield.max(PIECE_FIXED + MAX_BLOCK).max(MAX_EXTENDED),
        }
    }
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self::UNKNOWN_PIECES
    }
}

/// One frame as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message that we know.
    Message(Message),
    /// A well-formed frame with an id that we do not know; its body is skipped.
    Unknown(u8),
}

/// Why a byte stream is not a stream of peer messages: the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length is above the limit.
    #[error("the peer announced a frame of {len} bytes, the limit is {max}")]
    TooLong {
        /// Announced.
        len: u32,
        /// Allowed.
        max: u32,
    },
    /// The length does not fit the message's id.
    #[error("the peer sent a message with id {id} and {len} bytes, which that message cannot have")]
    WrongLength {
        /// The message's id.
        id: u8,
        /// Announced length, id included.
        len: u32,
    },
}

/// Cuts a byte stream into frames. It holds no bytes: they stay in the caller's buffer.
#[derive(Clone, Debug, Default)]
pub struct FrameDecoder {
    limits: FrameLimits,
}

impl FrameDecoder {
    /// A decoder with these limits.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits }
    }

    /// Takes new limits, for example when the piece count becomes known.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Takes the first frame off `buf`; `None` if it is not complete: read more and call again.
    ///
    /// # Errors
    /// [`FrameError`] when the stream is broken; `buf` is then of no more use.
    pub fn decode(&self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((id, len)) = self.complete(buf)? else {
            return Ok(None);
        };
        buf.advance(4);
        let Some(id) = id else {
            return Ok(Some(Frame::Message(Message::KeepAlive)));
        };
        buf.advance(1);
        Ok(Some(frame(id, buf.split_to(len - 1))))
    }

    /// Takes the first frame off `bytes`; `None` if it is not complete. A block owns a copy of its bytes.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_slice(&self, bytes: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        let Some((id, len)) = self.complete(bytes)? else {
            return Ok(None);
        };
        let (whole, rest) = bytes.split_at(4 + len);
        *bytes = rest;
        Ok(Some(match id {
            Some(id) => frame(id, &whole[5..]),
            None => Frame::Message(Message::KeepAlive),
        }))
    }

    /// Length of the frame that `bytes` begin with, the four length bytes included; `None` while they are fewer than the
    /// five by which it is checked.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        Ok(self.header(bytes)?.map(|(_, len)| 4 + len))
    }

    /// Id and length of the frame that `bytes` begin with, if they are all of it.
    fn complete(&self, bytes: &[u8]) -> Result<Option<(Option<u8>, usize)>, FrameError> {
        let header = self.header(bytes)?;
        Ok(header.filter(|&(_, len)| bytes.len() - 4 >= len))
    }

    /// Id and length of the frame that `bytes` begin with, checked; a keep-alive has no id.
    fn header(&self, bytes: &[u8]) -> Result<Option<(Option<u8>, usize)>, FrameError> {
        let Some(len) = bytes.first_chunk().map(|b| u32::from_be_bytes(*b)) else {
            return Ok(None);
        };
        if len == 0 {
            return Ok(Some((None, 0)));
        }
        if len > self.limits.max_frame {
            return Err(FrameError::TooLong {
                len,
                max: self.limits.max_frame,
            });
        }
        let Some(&id) = bytes.get(4) else {
            return Ok(None);
        };
        if !length_fits(id, len) {
            return Err(FrameError::WrongLength { id, len });
        }
        Ok(Some((Some(id), len as usize)))
    }
}

/// The frame with this id and body, whose length fits. A body that lies in one piece of memory, as it does here, shares
/// it with the block that it is, if it can be shared.
fn frame(id: u8, mut body: impl Buf) -> Frame {
    Frame::Message(match id {
        0 => Message::Choke,
        1 => Message::Unchoke,
        2 => Message::Interested,
        3 => Message::NotInterested,
        4 => Message::Have(body.get_u32()),
        5 => Message::Bitfield(Bytes::copy_from_slice(body.chunk())),
        6 => Message::Request(get_block(&mut body)),
        7 => Message::Piece {
            piece: body.get_u32(),
            begin: body.get_u32(),
            data: body.copy_to_bytes(body.remaining()),
        },
        8 => Message::Cancel(get_block(&mut body)),
        9 => Message::Port(body.get_u16()),
        13 => Message::Suggest(body.get_u32()),
        14 => Message::HaveAll,
        15 => Message::HaveNone,
        16 => Message::Reject(get_block(&mut body)),
        17 => Message::AllowedFast(body.get_u32()),
        20 => Message::Extended {
            id: body.get_u8(),
            payload: Bytes::copy_from_slice(body.chunk()),
        },
        _ => return Frame::Unknown(id),
    })
}

impl Message {
    /// Length on the wire in bytes, the four length bytes included.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::KeepAlive => 4,
            Self::Choke
            | Self::Unchoke
            | Self::Interested
            | Self::NotInterested
            | Self::HaveAll
            | Self::HaveNone => 5,
            Self::Port(_) => 7,
            Self::Have(_) | Self::Suggest(_) | Self::AllowedFast(_) => 9,
            Self::Request(_) | Self::Cancel(_) | Self::Reject(_) => 17,
            Self::Bitfield(bits) => 5 + bits.len(),
            Self::Piece { data, .. } => PIECE_HEADER + data.len(),
            Self::Extended { payload, .. } => 6 + payload.len(),
        }
    }

    /// Appends the whole message to `out`.
    pub fn encode_into(&self, out: &mut BytesMut) {
        out.reserve(self.encoded_len());
        if let Some(block) = self.encode_header(out) {
            out.extend_from_slice(block);
        }
    }

    /// Appends all but a block's data, which is returned instead, to be written without a copy.
    pub fn encode_header(&self, out: &mut BytesMut) -> Option<&Bytes> {
        let len = u32::try_from(self.encoded_len() - 4).expect("a message is far below 4 GiB");
        out.put_u32(len);
        match self {
            Self::KeepAlive => {}
            Self::Choke => out.put_u8(0),
            Self::Unchoke => out.put_u8(1),
            Self::Interested => out.put_u8(2),
            Self::NotInterested => out.put_u8(3),
            Self::Have(piece) => put_piece(out, 4, *piece),
            Self::Bitfield(bits) => {
                out.put_u8(5);
                out.extend_from_slice(bits);
            }
            Self::Request(block) => put_block(out, 6, *block),
            Self::Piece { piece, begin, data } => {
                put_piece(out, 7, *piece);
                out.put_u32(*begin);
                return Some(data);
            }
            Self::Cancel(block) => put_block(out, 8, *block),
            Self::Port(port) => {
                out.put_u8(9);
                out.put_u16(*port);
            }
            Self::Suggest(piece) => put_piece(out, 13, *piece),
            Self::HaveAll => out.put_u8(14),
            Self::HaveNone => out.put_u8(15),
            Self::Reject(block) => put_block(out, 16, *block),
            Self::AllowedFast(piece) => put_piece(out, 17, *piece),
            Self::Extended { id, payload } => {
                out.put_u8(20);
                out.put_u8(*id);
                out.extend_from_slice(payload);
            }
        }
        None
    }
}

/// Whether a message with this id can have this length (id included). Ids that we do not know can have any.
fn length_fits(id: u8, len: u32) -> bool {
    match id {
        0..=3 | 14 | 15 => len == 1,
        4 | 13 | 17 => len == 5,
        6 | 8 | 16 => len == 13,
        7 => len > PIECE_FIXED && len <= PIECE_FIXED + MAX_BLOCK,
        9 => len == 3,
        20 => len >= 2,
        _ => true,
    }
}

fn get_block(body: &mut impl Buf) -> BlockRef {
    BlockRef {
        piece: body.get_u32(),
        begin: body.get_u32(),
        len: body.get_u32(),
    }
}

fn put_piece(out: &mut BytesMut, id: u8, piece: u32) {
    out.put_u8(id);
    out.put_u32(piece);
}

fn put_block(out: &mut BytesMut, id: u8, block: BlockRef) {
    put_piece(out, id, block.piece);
    out.put_u32(block.begin);
    out.put_u32(block.len);
}
