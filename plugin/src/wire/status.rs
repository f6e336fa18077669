//! What two ChunkCast clients tell each other at most once a second (`cc_status` in `m` of the extended handshake): the
//! pieces that the sender is fetching, and how loaded it is. Sans-IO.
//!
//! The payload is the load byte, then the pieces as bits over all pieces of the torrent, in any form of
//! [`chunkcast::wire`] that needs no base (docs/protocol.md 1.2). Reading is strict: only our own clients send it.

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::wire::{BitsError, decode_bits, encode_bits};

/// The id under which we take `cc_status` messages.
pub const OUR_CC_STATUS: u8 = 3;

/// Most pieces in one message: of more that are being fetched the first are told.
pub const MAX_FETCHING: u32 = 4096; // guess: 64 MiB in the smallest usual pieces, 16 KiB

/// Longest payload, in bytes: [`MAX_FETCHING`] pieces of any torrent take less (11,266 when there are 2^32).
pub const MAX_STATUS: usize = 12 * 1024;

/// What a client is fetching, and how loaded it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 0 (idle) ..= 255 (full).
    pub load: u8,
    /// The pieces that it is fetching, over all pieces of the torrent.
    pub fetching: ChunkSet,
}

/// Why a payload is not a status of this torrent: the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Longer than [`MAX_STATUS`].
    #[error("a status of {0} bytes, the limit is {MAX_STATUS}")]
    TooLong(usize),
    /// Not even a load byte.
    #[error("a status without a load byte")]
    Empty,
    /// The pieces cannot be read, or are not as many as the torrent has.
    #[error(transparent)]
    Bits(#[from] BitsError),
    /// More pieces than [`MAX_FETCHING`].
    #[error("a status that names {0} pieces, the limit is {MAX_FETCHING}")]
    TooMany(u32),
}

impl Status {
    /// The payload of a message with the receiver's id for `cc_status`; at most [`MAX_STATUS`] bytes.
    pub fn encode(&self) -> Bytes {
        let bits = if self.fetching.count() > MAX_FETCHING {
            let first = self.fetching.iter().take(MAX_FETCHING as usize);
            encode_bits(&ChunkSet::from_indices(self.fetching.len(), first))
        } else {
            encode_bits(&self.fetching)
        };
        let mut out = Vec::with_capacity(1 + bits.len());
        out.push(self.load);
        out.extend(bits);
        out.into()
    }

    /// Reads the payload of a message with our id for `cc_status`, in a torrent of `pieces` pieces.
    ///
    /// # Errors
    /// [`StatusError`]; what is allocated is an eighth of `pieces` in bytes at most.
    pub fn decode(payload: &[u8], pieces: u32) -> Result<Self, StatusError> {
        if payload.len() > MAX_STATUS {
            return Err(StatusError::TooLong(payload.len()));
        }
        let (&load, bits) = payload.split_first().ok_or(StatusError::Empty)?;
        let fetching = decode_bits(0, pieces, bits, pieces)?;
        if fetching.count() > MAX_FETCHING {
            return Err(StatusError::TooMany(fetching.count()));
        }
        Ok(Self { load, fetching })
    }
}
