//! The messages between BitTorrent peers (BEP 3, 5, 6, 10): shapes only. Sans-IO.

use bytes::Bytes;

/// A stretch of a piece, the subject of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Piece index.
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The 68 bytes that open a connection (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Capability bits.
    pub reserved: [u8; 8],
    /// The torrent.
    pub info_hash: [u8; 20],
    /// The sender's peer id.
    pub peer_id: [u8; 20],
}

impl Handshake {
    /// Length on the wire.
    pub const LEN: usize = 68;

    /// Our handshake: the extension protocol (BEP 10) and the Fast extension (BEP 6) are offered.
    pub fn ours(info_hash: [u8; 20], peer_id: [u8; 20]) -> Self {
        let mut reserved = [0; 8];
        reserved[5] |= 0x10;
        reserved[7] |= 0x04;
        Self {
            reserved,
            info_hash,
            peer_id,
        }
    }

    /// The same with the offer to tell our DHT node's port (BEP 5), if `dht`.
    #[must_use]
    pub fn with_dht(mut self, dht: bool) -> Self {
        self.reserved[7] |= u8::from(dht);
        self
    }

    /// Whether the sender has a DHT node (BEP 5).
    pub fn dht(&self) -> bool {
        self.reserved[7] & 0x01 != 0
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    pub fn extended(&self) -> bool {
        self.reserved[5] & 0x10 != 0
    }

    /// Whether the sender speaks the Fast extension (BEP 6).
    pub fn fast(&self) -> bool {
        self.reserved[7] & 0x04 != 0
    }
}

/// One message after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Length zero.
    KeepAlive,
    /// Id 0.
    Choke,
    /// Id 1.
    Unchoke,
    /// Id 2.
    Interested,
    /// Id 3.
    NotInterested,
    /// Id 4.
    Have(u32),
    /// Id 5: the raw bitfield; its length is checked against the piece count where that is known.
    Bitfield(Bytes),
    /// Id 6.
    Request(BlockRef),
    /// Id 7: a block's bytes.
    Piece {
        /// Piece index.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// The bytes.
        data: Bytes,
    },
    /// Id 8.
    Cancel(BlockRef),
    /// Id 9: the sender's DHT port (BEP 5).
    Port(u16),
    /// Id 13 (BEP 6).
    Suggest(u32),
    /// Id 14 (BEP 6).
    HaveAll,
    /// Id 15 (BEP 6).
    HaveNone,
    /// Id 16 (BEP 6).
    Reject(BlockRef),
    /// Id 17 (BEP 6).
    AllowedFast(u32),
    /// Id 20 (BEP 10): the receiver's id for the extension, and its payload.
    Extended {
        /// 0 = extended handshake.
        id: u8,
        /// Bencoded, what follows it included.
        payload: Bytes,
    },
}
