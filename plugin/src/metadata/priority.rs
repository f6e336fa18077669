//! How much each file of a torrent is wanted, and what follows for its pieces.

use chunkcast::chunks::ChunkSet;
use serde::{Deserialize, Serialize};

use super::Layout;

/// How much a file is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Not at all.
    Skip,
    /// After the others.
    Low,
    /// As the others.
    #[default]
    Normal,
    /// Before the others.
    High,
}

/// The pieces that hold bytes of files that are wanted; all if none is skipped. `files` by index; files behind its end are
/// [`Priority::Normal`].
pub fn wanted_pieces(layout: &Layout, files: &[Priority]) -> ChunkSet {
    if !files.contains(&Priority::Skip) {
        return ChunkSet::full(layout.piece_count());
    }
    let mut wanted = ChunkSet::empty(layout.piece_count());
    for (index, file) in layout.files.iter().enumerate().filter(|(_, f)| !f.padding) {
        let priority = files.get(index).copied().unwrap_or_default();
        if priority != Priority::Skip && file.length > 0 {
            for piece in layout.pieces_of_file(index) {
                wanted.insert(piece);
            }
        }
    }
    wanted
}
