//! How many entries one propagation message takes (paper 3.1: entries of many peers and objects travel together).

use super::codec::{encoded_entry_len, sendable_entry};
use super::{Body, Entry, Envelope, MAX_CHUNKS, MAX_DATAGRAM, Sender, Token, encode};

/// How many of the leading `entries` fit one propagation message of `sender` with `token`.
///
/// Only 0 when there are none or the first one is outside its bounds and can never be sent: skip it then.
pub fn pack_entries(sender: &Sender, token: Option<Token>, entries: &[Entry]) -> usize {
    pack_entries_within(MAX_DATAGRAM, sender, token, entries)
}

/// The same for a message of at most `bytes`, up to [`MAX_DATAGRAM`]: where something is put around it.
pub fn pack_entries_within(
    bytes: usize,
    sender: &Sender,
    token: Option<Token>,
    entries: &[Entry],
) -> usize {
    let empty = Envelope {
        tx: 0,
        sender: *sender,
        token,
        body: Body::Propagate {
            entries: Vec::new(),
        },
    };
    let overhead = encode(&empty)
        .expect("a message without entries is within bounds")
        .len();
    let (mut room, mut budget) = (bytes.min(MAX_DATAGRAM) - overhead, MAX_CHUNKS);
    entries
        .iter()
        .take_while(|entry| {
            if !sendable_entry(entry) {
                return false;
            }
            let left = room
                .checked_sub(encoded_entry_len(entry))
                .zip(budget.checked_sub(entry.held.len()));
            if let Some((bytes, chunks)) = left {
                (room, budget) = (bytes, chunks);
            }
            left.is_some()
        })
        .count()
}
