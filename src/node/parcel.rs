//! How an entry is put into datagrams for one receiver: the difference to what it holds, everything at once, or windows.

use rand::RngExt;

use super::Node;
use super::rpc::Passed;
use crate::chunks::ChunkSet;
use crate::directory::fresh::Fresh;
use crate::id::Id;
use crate::wire::{
    Entry, MAX_ENTRY_BITS, SUMMARY_ABOVE, Summary, encoded_entry_len, entry_windows, fits_entry,
    symmetric_difference,
};

/// Windows of one large entry that are sent together.
const WINDOWS: u32 = 8; // guess: 32,768 chunks a turn
/// Bits that take at most so many bytes are sent as they are: there is nothing to save.
const SHORT: usize = 16; // a delta costs 13 bytes more than its bits

/// An entry (or a window of a large one) on its way out.
pub(super) struct Part {
    pub(super) passed: Passed,
    pub(super) entry: Entry,
    /// The receiver has not heard of it.
    pub(super) news: bool,
}

/// What is sent of one entry.
pub(super) struct Parcel {
    pub(super) passed: Passed,
    /// One for each datagram at most.
    pub(super) parts: Vec<Entry>,
}

impl Node {
    /// The entry for this receiver. `fresh`: the parts of it that belong to its sequence, if not all do.
    pub(super) fn parcel(&mut self, to: &Id, entry: &Entry, fresh: Option<&Fresh>) -> Parcel {
        let key = (entry.object, entry.publisher);
        let mut passed = Passed {
            key,
            sequence: entry.sequence,
            delta: false,
        };
        if let Some(fresh) = fresh {
            let parts = windows(entry, fresh.windows().take(WINDOWS as usize));
            return Parcel { passed, parts };
        }
        let whole = entry_windows(&entry.held, 0).len() == entry.held.len();
        let full = match whole {
            true => vec![Entry {
                summary: None,
                ..entry.clone()
            }],
            false => self.turn(entry),
        };
        let complete = whole || entry.held.len() <= WINDOWS * MAX_ENTRY_BITS;
        let mut parts = full;
        if let Some(delta) = self.delta(to, entry)
            && encoded_entry_len(&delta) < parts.iter().map(encoded_entry_len).sum()
        {
            parts = vec![delta];
            passed.delta = true;
        }
        let changes = complete || passed.delta;
        let long = !fits_entry(&entry.held, SHORT);
        if changes && long && !entry.lifetime.is_zero() {
            let held = entry.held.clone();
            self.bases
                .sent(to, &key, entry.sequence, held, parts.len(), self.now);
        }
        Parcel { passed, parts }
    }

    /// What differs from what the receiver holds.
    fn delta(&self, to: &Id, entry: &Entry) -> Option<Entry> {
        let (base, held) = self.bases.of(to, &(entry.object, entry.publisher))?;
        if entry.lifetime.is_zero()
            || held.len() != entry.held.len()
            || held.start() != entry.held.start()
            || base >= entry.sequence
        {
            return None;
        }
        let held = symmetric_difference(held, &entry.held);
        let delta_of = Some(base);
        fits_entry(&held, MAX_ENTRY_BITS as usize / 8).then(|| Entry {
            held,
            delta_of,
            summary: None,
            ..entry.clone()
        })
    }

    /// The next few windows of a set that no datagram carries.
    fn turn(&mut self, entry: &Entry) -> Vec<Entry> {
        let all = entry.held.len().div_ceil(MAX_ENTRY_BITS);
        let first = match all > WINDOWS {
            true => self.rng.random_range(0..all),
            false => 0,
        };
        let nth = (first..first + all.min(WINDOWS)).map(|n| n % all * MAX_ENTRY_BITS);
        let spans = nth.map(|start| (start, MAX_ENTRY_BITS.min(entry.held.len() - start)));
        let summary = (entry.chunks > SUMMARY_ABOVE).then(|| Box::new(Summary::of(&entry.held)));
        let entry = Entry {
            summary,
            ..entry.clone()
        };
        windows(&entry, spans)
    }
}

/// Windows of the entry by start and length; the first one carries the summary.
fn windows(entry: &Entry, spans: impl Iterator<Item = (u32, u32)>) -> Vec<Entry> {
    let bare = Entry {
        held: ChunkSet::default(),
        summary: None,
        ..entry.clone()
    };
    let windows = spans.map(|(start, len)| Entry {
        held: entry.held.window(start, len),
        ..bare.clone()
    });
    let mut parts: Vec<Entry> = windows.collect();
    if let Some(first) = parts.first_mut() {
        first.summary.clone_from(&entry.summary);
    }
    parts
}
