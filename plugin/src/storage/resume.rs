//! What vouches for pieces that are not hashed again at the next start.

use chunkcast::chunks::ChunkSet;
use serde::{Deserialize, Serialize};

/// What was verified and written at some moment, and what the files looked like then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Pieces verified and written, over all pieces of the torrent.
    pub held: ChunkSet,
    /// The files by index, padding included.
    pub files: Vec<FileStamp>,
}

/// What a file looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Bytes.
    pub len: u64,
    /// When its content last changed, nanoseconds since 1970; 0: nobody can tell, nothing in it is to be trusted.
    pub mtime_ns: i64,
}
