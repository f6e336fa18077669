//! A choice among the files of a torrent (BEP 53, `so=`).
//!
//! Kept as ranges: `so=0-999999999999` costs as much as `so=0`. The ranges meet the real number of files only when the
//! torrent is known.

use std::fmt;
use std::ops::RangeInclusive;

use chunkcast::chunks::ChunkSet;

use super::{Layout, MetadataLimits, Priority};

/// Files of a torrent by index, in torrent order, the first is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSelection {
    /// Ascending, apart from each other, never empty.
    ranges: Vec<RangeInclusive<u64>>,
}

/// Why a selection is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Not a comma-separated list of numbers and ranges.
    #[error("{0:?} is no file number and no range of them; write it like 0,2,5-9")]
    Syntax(String),
    /// More ranges than the limit.
    #[error("more than {0} ranges of files; join some")]
    TooMany(usize),
    /// None of the files exists.
    #[error("none of the selected files ({selection}) exists: the torrent has files 0 to {last}")]
    NoSuchFile {
        /// What was selected.
        selection: String,
        /// Index of the torrent's last file.
        last: usize,
    },
    /// The selected files exist, but all are empty or padding.
    #[error("the selected files ({0}) hold no data; select others")]
    NoData(String),
}

impl FileSelection {
    /// Reads `0,2,5-9`. Overlapping and touching ranges are joined; empty items are skipped.
    ///
    /// # Errors
    /// [`SelectionError::Syntax`] or [`SelectionError::TooMany`]; the former also when nothing is selected.
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        Self::parse_with(text, &MetadataLimits::default())
    }

    /// [`FileSelection::parse`] with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(text: &str, limits: &MetadataLimits) -> Result<Self, SelectionError> {
        let bad = |item: &str| SelectionError::Syntax(item.chars().take(40).collect());
        let mut ranges = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            if ranges.len() == limits.selection_ranges {
                return Err(SelectionError::TooMany(limits.selection_ranges));
            }
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            match (number(from), number(to)) {
                (Some(from), Some(to)) if from <= to => ranges.push(from..=to),
                _ => return Err(bad(item)),
            }
        }
        if ranges.is_empty() {
            return Err(bad(text));
        }
        ranges.sort_unstable_by_key(|r| (*r.start(), *r.end()));
        let mut joined: Vec<RangeInclusive<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=(*last.end()).max(*range.end());
                }
                _ => joined.push(range),
            }
        }
        Ok(Self { ranges: joined })
    }

    /// The ranges, ascending and apart from each other.
    pub fn ranges(&self) -> &[RangeInclusive<u64>] {
        &self.ranges
    }

    /// Whether file `index` is selected.
    pub fn contains(&self, index: u64) -> bool {
        self.ranges.iter().any(|r| r.contains(&index))
    }

    /// The selected files among the first `count`, ascending: what lies beyond is clipped.
    pub fn files(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        self.ranges.iter().flat_map(move |r| {
            // an index that does not fit usize lies beyond every file there can be
            let from = usize::try_from(*r.start()).map_or(count, |from| from.min(count));
            let to = usize::try_from(*r.end()).map_or(count, |to| to.saturating_add(1).min(count));
            from..to
        })
    }

    /// How much each of a torrent's `count` files is wanted then.
    pub fn priorities(&self, count: usize) -> Vec<Priority> {
        let mut files = vec![Priority::Skip; count];
        for file in self.files(count) {
            files[file] = Priority::Normal;
        }
        files
    }

    /// The pieces that hold bytes of the selected files; padding files are passed over.
    ///
    /// # Errors
    /// [`SelectionError::NoSuchFile`] when no selected file exists, [`SelectionError::NoData`] when none has bytes.
    pub fn wanted_pieces(&self, layout: &Layout) -> Result<ChunkSet, SelectionError> {
        let mut wanted = ChunkSet::empty(layout.piece_count());
        let mut any = false;
        for file in self.files(layout.files.len()) {
            any = true;
            if !layout.files[file].padding {
                for piece in layout.pieces_of_file(file) {
                    wanted.insert(piece);
                }
            }
        }
        let selection = || self.to_string().chars().take(80).collect();
        if !any {
            let last = layout.files.len() - 1;
            return Err(SelectionError::NoSuchFile {
                selection: selection(),
                last,
            });
        }
        if wanted.is_none() {
            return Err(SelectionError::NoData(selection()));
        }
        Ok(wanted)
    }
}

impl fmt::Display for FileSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.ranges.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (from, to) if from == to => write!(f, "{comma}{from}")?,
                (from, to) => write!(f, "{comma}{from}-{to}")?,
            }
        }
        Ok(())
    }
}

/// A decimal number; one beyond 64 bits is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
