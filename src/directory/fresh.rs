//! Which chunks of a large entry have arrived under its newest sequence. Windows of older sequences stay joined to what
//! is known, but they are not passed on as the newer one's, and no delta is applied to a mixture.

use crate::wire::MAX_ENTRY_BITS;

/// Stretches that are kept apart; as many as an object has windows.
const RANGES: usize = 256; // 2^20 chunks in windows of 4,096

/// Chunk ranges, ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fresh(Vec<(u32, u32)>);

impl Fresh {
    /// Adds the chunks `start .. end`.
    pub(crate) fn add(&mut self, mut start: u32, mut end: u32) {
        if start >= end {
            return;
        }
        let touching = |&(s, e): &(u32, u32)| s <= end && start <= e;
        let joined: Vec<(u32, u32)> = self.0.iter().copied().filter(touching).collect();
        for (s, e) in &joined {
            (start, end) = (start.min(*s), end.max(*e));
        }
        self.0.retain(|range| !joined.contains(range));
        if self.0.len() >= RANGES {
            self.0.clear(); // nobody sends so many windows apart
        }
        let at = self.0.partition_point(|(s, _)| *s < start);
        self.0.insert(at, (start, end));
    }

    /// Whether these are all chunks of an object of `chunks`.
    pub(crate) fn is_whole(&self, chunks: u32) -> bool {
        self.0.as_slice() == [(0, chunks)]
    }

    /// The ranges as windows that a datagram carries: start and length, cut at multiples of [`MAX_ENTRY_BITS`].
    pub(crate) fn windows(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().flat_map(|&(start, end)| {
            let cuts = start / MAX_ENTRY_BITS..end.div_ceil(MAX_ENTRY_BITS);
            cuts.map(move |n| {
                let from = start.max(n * MAX_ENTRY_BITS);
                (from, end.min((n + 1) * MAX_ENTRY_BITS) - from)
            })
        })
    }

    /// Bytes beside the struct itself.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.len() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_naive_set(ranges in prop::collection::vec((0u32..20_000, 0u32..6_000), 0..30)) {
            let mut fresh = Fresh::default();
            let mut naive = std::collections::BTreeSet::new();
            for (start, len) in ranges {
                fresh.add(start, start + len);
                naive.extend(start..start + len);
                prop_assert_eq!(fresh.is_whole(26_000), naive.len() == 26_000);
            }
            let windows: Vec<_> = fresh.windows().collect();
            prop_assert!(windows.iter().all(|(s, l)| *l > 0 && s / MAX_ENTRY_BITS == (s + l - 1) / MAX_ENTRY_BITS));
            let covered: Vec<u32> = windows.iter().flat_map(|(s, l)| *s..s + l).collect();
            prop_assert_eq!(covered, naive.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn scattered_windows_are_bounded() {
        let mut fresh = Fresh::default();
        for n in 0..10_000 {
            fresh.add(2 * n, 2 * n + 1);
        }
        assert!(fresh.heap_bytes() <= RANGES * 8);
    }
}
