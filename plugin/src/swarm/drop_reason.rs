//! Why something from a peer was not used: each is counted, none is an error.

use std::fmt;

use serde::Serialize;

/// A peer's message, or part of one, that was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// A block that was not requested from this peer.
    Unrequested,
    /// A block whose length is not the one requested.
    BlockLength,
    /// A requested block that had come from elsewhere meanwhile.
    Duplicate,
    /// A bitfield of the wrong length, with spare bits set, or too large to keep.
    BadBitfield,
    /// A bitfield, HAVE ALL or HAVE NONE that is not the peer's first word on its pieces; it is used all the same.
    LateBitfield,
    /// A HAVE for a piece that does not exist.
    BadHave,
    /// More HAVE messages than are kept before the piece count is known.
    TooManyHaves,
    /// A request outside the torrent, empty, or longer than allowed.
    BadRequest,
    /// A request for a piece that we do not hold or have not told the peer of.
    NotHeld,
    /// A request while choked.
    ChokedRequest,
    /// A request beyond the queue's length.
    QueueFull,
    /// A request that was in the queue already.
    DuplicateRequest,
    /// A CANCEL or REJECT for something that was not asked.
    Unasked,
    /// A message of an extension that was not agreed on.
    NotNegotiated,
    /// An extended message with an id that we did not give out.
    UnknownExtended,
    /// An extended message that cannot be read, or before the extended handshake.
    BadExtended,
    /// Metadata that was not asked for, or is not the torrent's.
    BadMetadata,
    /// A metadata request beyond the rate, or for a piece that does not exist.
    MetadataRefused,
    /// A status message beyond the rate.
    TooManyStatus,
    /// A peer-exchange message beyond the rate, or addresses in one beyond what a peer may name.
    TooManyPex,
    /// An ALLOWED FAST or SUGGEST for a piece that does not exist.
    BadHint,
    /// More ALLOWED FAST than are remembered.
    TooManyHints,
    /// A message that says what is known already (choke while choked, a second HAVE).
    Redundant,
    /// A message with an id that BitTorrent does not define, or we do not know.
    UnknownMessage,
    /// A message longer than any may be, or of a length that its id cannot have.
    BadFrame,
    /// An answer of a web seed (BEP 19) that was longer or shorter than it said.
    BadAnswer,
}

/// As programs write it: `bad_have`.
impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [DropReason; 26] = [
        Self::Unrequested,
        Self::BlockLength,
        Self::Duplicate,
        Self::BadBitfield,
        Self::LateBitfield,
        Self::BadHave,
        Self::TooManyHaves,
        Self::BadRequest,
        Self::NotHeld,
        Self::ChokedRequest,
        Self::QueueFull,
        Self::DuplicateRequest,
        Self::Unasked,
        Self::NotNegotiated,
        Self::UnknownExtended,
        Self::BadExtended,
        Self::BadMetadata,
        Self::MetadataRefused,
        Self::TooManyStatus,
        Self::TooManyPex,
        Self::BadHint,
        Self::TooManyHints,
        Self::Redundant,
        Self::UnknownMessage,
        Self::BadFrame,
        Self::BadAnswer,
    ];

    /// What a drop for this reason costs the peer that caused it.
    pub(super) fn weight(self) -> Weight {
        match self {
            Self::Duplicate => Weight::None,
            Self::Unrequested
            | Self::BadRequest
            | Self::NotNegotiated
            | Self::BadExtended
            | Self::BadHint
            | Self::BadMetadata => Weight::Fault,
            Self::BlockLength | Self::BadBitfield | Self::BadHave | Self::BadFrame => Weight::Fatal,
            Self::TooManyHaves
            | Self::NotHeld
            | Self::ChokedRequest
            | Self::QueueFull
            | Self::DuplicateRequest
            | Self::Unasked
            | Self::LateBitfield
            | Self::UnknownExtended
            | Self::MetadataRefused
            | Self::TooManyStatus
            | Self::TooManyHints
            | Self::TooManyPex
            | Self::Redundant
            | Self::UnknownMessage
            | Self::BadAnswer => Weight::Noise,
        }
    }
}

/// What a drop costs the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Nothing: not its doing.
    None,
    /// Legal now and then (messages cross on the wire); a flood closes.
    Noise,
    /// Not legal; a few close.
    Fault,
    /// Closes at once.
    Fatal,
}
