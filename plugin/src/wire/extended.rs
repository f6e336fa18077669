//! The extension protocol (BEP 10) and metadata exchange (BEP 9): shapes only. Sans-IO.

use bytes::Bytes;

/// The id under which we take `ut_metadata` messages.
pub const OUR_UT_METADATA: u8 = 2;

/// What an extended handshake says, as far as we use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// The id under which the sender takes `ut_metadata`; `None` or 0: it does not.
    pub ut_metadata: Option<u8>,
    /// Size of the info dict in bytes, when the sender has it.
    pub metadata_size: Option<u32>,
    /// TCP port where the sender accepts connections.
    pub port: Option<u16>,
    /// Client name and version.
    pub version: Option<String>,
    /// Requests that the sender queues before it drops some.
    pub reqq: Option<u32>,
    /// UDP port of the sender's index node: only ChunkCast clients say it (key `cc_index`).
    pub index_port: Option<u16>,
}

/// A BEP 9 message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UtMetadata {
    /// Asks for a 16 KiB piece of the info dict.
    Request(u32),
    /// One piece of it.
    Data {
        /// Its number.
        piece: u32,
        /// Size of the whole info dict.
        total_size: u32,
        /// The bytes.
        data: Bytes,
    },
    /// The sender does not have it, or not for you.
    Reject(u32),
}
