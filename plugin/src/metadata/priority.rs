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

/// How much each piece is wanted: as much as the file that is wanted most of those that it holds bytes of. `files` by index;
/// files behind its end are [`Priority::Normal`]. Padding is wanted no more than what it fills up.
fn of_pieces(layout: &Layout, files: &[Priority]) -> Vec<Priority> {
    let mut pieces = vec![Priority::Skip; layout.piece_count() as usize];
    for (index, _) in (layout.files.iter().enumerate()).filter(|(_, f)| !f.padding) {
        let priority = files.get(index).copied().unwrap_or_default();
        for piece in layout.pieces_of_file(index) {
            let piece = &mut pieces[piece as usize];
            *piece = priority.max(*piece);
        }
    }
    pieces
}

/// The pieces that are wanted when files are wanted so much, and in which order: classes, the first first, that together are
/// all of them; none if all are wanted alike. `files` by index; files behind its end are [`Priority::Normal`].
pub fn wanted_pieces(layout: &Layout, files: &[Priority]) -> (ChunkSet, Vec<ChunkSet>) {
    let count = layout.piece_count();
    if files.iter().all(|p| *p == Priority::Normal) {
        return (ChunkSet::full(count), Vec::new());
    }
    let pieces = of_pieces(layout, files);
    let with = |keep: &dyn Fn(Priority) -> bool| {
        let pieces = (0u32..).zip(&pieces).filter(|(_, p)| keep(**p));
        ChunkSet::from_indices(count, pieces.map(|(piece, _)| piece))
    };
    let classes = [Priority::High, Priority::Normal, Priority::Low];
    let classes = classes.map(|class| with(&|p| p == class));
    let mut classes: Vec<ChunkSet> = classes.into_iter().filter(|c| !c.is_none()).collect();
    if classes.len() < 2 {
        classes.clear();
    }
    (with(&|p| p != Priority::Skip), classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::FileEntry;
    use proptest::prelude::*;

    /// Files of these lengths; the third is padding.
    fn layout(lengths: &[u64], piece_length: u32) -> Layout {
        let mut offset = 0;
        let files = lengths.iter().enumerate().map(|(i, &length)| {
            let at = offset;
            offset += length;
            FileEntry {
                path: i.to_string().into(),
                length,
                offset: at,
                padding: i == 2,
                executable: false,
            }
        });
        let files: Vec<FileEntry> = files.collect();
        Layout {
            name: "t".into(),
            piece_length,
            total_length: offset,
            files,
            hashes: bytes::Bytes::new(),
        }
    }

    fn priority() -> impl Strategy<Value = Priority> {
        use Priority::{High, Low, Normal, Skip};
        prop::sample::select(vec![Skip, Low, Normal, High])
    }

    proptest! {
        /// Byte by byte: a piece is wanted as much as the most wanted byte in it.
        #[test]
        fn a_piece_belongs_to_the_most_wanted_of_its_files(
            lengths in prop::collection::vec(0u64..40, 1..8),
            files in prop::collection::vec(priority(), 0..9),
            piece_length in 1u32..30,
        ) {
            let total: u64 = lengths.iter().sum();
            prop_assume!(total > 0);
            let layout = layout(&lengths, piece_length);
            let (wanted, classes) = wanted_pieces(&layout, &files);
            let bytes: Vec<Priority> = (layout.files.iter().enumerate())
                .flat_map(|(i, f)| {
                    let own = files.get(i).copied().unwrap_or_default();
                    let own = if f.padding { Priority::Skip } else { own };
                    std::iter::repeat_n(own, usize::try_from(f.length).unwrap())
                })
                .collect();
            let most: Vec<Priority> = (bytes.chunks(piece_length as usize))
                .map(|piece| *piece.iter().max().unwrap())
                .collect();
            for (a, piece) in (0u32..).zip(&most) {
                let all = files.iter().all(|p| *p == Priority::Normal);
                prop_assert_eq!(wanted.contains(a), all || *piece != Priority::Skip);
                for (b, other) in (0u32..).zip(&most) {
                    let class = |p: u32| classes.iter().position(|c| c.contains(p));
                    if wanted.contains(a) && wanted.contains(b) && !classes.is_empty() {
                        prop_assert_eq!(piece > other, class(a) < class(b));
                    } else if classes.is_empty() && !all && *piece != Priority::Skip && *other != Priority::Skip {
                        prop_assert_eq!(piece, other);
                    }
                }
            }
        }
    }
}
