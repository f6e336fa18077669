//! What a person reads when a torrent is refused.

use crate::metadata::{BencodeError, NameError};

/// Why metainfo is refused. Each message is one line; the caller puts the file's or the torrent's name before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More bytes than the limit.
    #[error(
        "not a torrent that can be opened: {size} bytes are more than the {limit} allowed; create it with larger pieces"
    )]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not one complete bencoded value.
    #[error("not a torrent: {0}; get the file again from its source")]
    Bencode(#[from] BencodeError),
    /// Bytes behind the root value.
    #[error("not a torrent: {extra} bytes follow its end; get the file again from its source")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The root, or the info dict, is not a dict.
    #[error("not a torrent: {0} is not a dict; get the file again from its source")]
    NotADict(&'static str),
    /// A key has a value of another type, or is there twice.
    #[error("broken torrent: {0}; get the file again from its source")]
    Type(String),
    /// A required key is missing.
    #[error("broken torrent: `{0}` is missing; get the file again from its source")]
    Missing(&'static str),
    /// No v1 part.
    #[error(
        "a BitTorrent v2-only torrent; ChunkCast needs v1 or hybrid: ask the publisher for one of those"
    )]
    V2Only,
    /// `piece length` is zero, negative or absurd.
    #[error(
        "broken torrent: a piece length of {got} bytes, which must be 1 to {limit}; get the file again from its source"
    )]
    PieceLength {
        /// What it says.
        got: i64,
        /// The largest allowed.
        limit: u32,
    },
    /// A negative length, or a sum of lengths that overflows.
    #[error(
        "broken torrent: file {file} has a length that cannot be ({length} bytes); get the file again from its source"
    )]
    Length {
        /// Index of the file.
        file: usize,
        /// What it says.
        length: i64,
    },
    /// No byte in the torrent.
    #[error("the torrent holds no data at all: every file in it is empty")]
    NoData,
    /// Neither `length` nor `files`, or an empty list.
    #[error("broken torrent: it names no file; get the file again from its source")]
    NoFiles,
    /// Both `length` and `files`.
    #[error(
        "broken torrent: it claims to be both one file and a folder; get the file again from its source"
    )]
    FileAndFolder,
    /// More pieces than the limit.
    #[error(
        "the torrent has {count} pieces, more than the {limit} allowed; create it with larger pieces"
    )]
    TooManyPieces {
        /// How many.
        count: u64,
        /// The limit.
        limit: u32,
    },
    /// The number of hashes is not the number of pieces.
    #[error(
        "broken torrent: {bytes} bytes of piece hashes where {} are needed; get the file again from its source",
        u64::from(*pieces) * 20
    )]
    Hashes {
        /// Bytes in `pieces`.
        bytes: usize,
        /// Pieces by the lengths.
        pieces: u32,
    },
    /// A name that may not go to disk.
    #[error("not safe to open: the torrent has {why} in {name:?}; get another one")]
    Name {
        /// The name as the torrent has it, shortened.
        name: String,
        /// What is wrong.
        why: NameError,
    },
    /// A symbolic link (BEP 47).
    #[error(
        "not safe to open: the torrent has a symbolic link, {name:?}, which may lead out of the output directory; get another one"
    )]
    Symlink {
        /// Its path.
        name: String,
    },
    /// Two files that need the same name.
    #[error(
        "broken torrent: {first:?} and {second:?} cannot both exist; get the file again from its source"
    )]
    Clash {
        /// A file.
        first: String,
        /// A file of the same name, or below it.
        second: String,
    },
    /// The info dict has another hash than the one asked for.
    #[error("the info dict belongs to another torrent: its infohash is {got}, not {wanted}")]
    InfoHash {
        /// Its hash in hex.
        got: String,
        /// The expected hash in hex.
        wanted: String,
    },
}
