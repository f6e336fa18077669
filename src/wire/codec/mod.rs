//! Shapes to datagrams and back.

mod body;
mod entry;
mod envelope;
mod fields;
mod lookup;

pub use entry::encoded_entry_len;
pub use envelope::{decode, encode};

pub(super) use entry::sendable_entry;

/// Why a message cannot be sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The datagram would be longer than [`super::MAX_DATAGRAM`] bytes; send fewer entries.
    #[error("the message takes {0} bytes, more than a datagram's 1200")]
    TooLong(usize),
    /// A field is outside its bounds.
    #[error("the message's {0} is out of bounds")]
    Bounds(&'static str),
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`super::MAX_DATAGRAM`] bytes.
    #[error("the datagram is {0} bytes long, more than 1200")]
    TooLong(usize),
    /// No canonical bencoded dictionary, or something follows it.
    #[error("the datagram is not one bencoded dictionary with sorted keys")]
    Malformed,
    /// Another protocol version.
    #[error("the datagram speaks protocol version {0}, not 1")]
    Version(u64),
    /// A kind that this version does not know.
    #[error("the message kind {kind} is unknown")]
    UnknownKind {
        /// The exchange, so that it can be refused.
        tx: u32,
        /// The kind.
        kind: u64,
    },
    /// A required key is absent.
    #[error("the datagram lacks `{0}`")]
    Missing(&'static str),
    /// A value has the wrong type or length, or leaves its bounds.
    #[error("the datagram's {0} is out of bounds")]
    Bounds(&'static str),
}

impl From<super::bencode::Malformed> for DecodeError {
    fn from(_: super::bencode::Malformed) -> Self {
        DecodeError::Malformed
    }
}
