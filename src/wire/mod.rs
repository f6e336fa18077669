//! Messages between index nodes, and their bencoded datagrams of at most [`MAX_DATAGRAM`] bytes.
//!
//! - [`message`]: the shapes.
//! - [`encode`], [`decode`]: shapes to bytes and back. Every bound below is checked by both, and by the decoder before
//!   anything is allocated.
//! - [`encode_bits`], [`decode_bits`]: chunk sets; [`entry_windows`] and [`lookup_window`] choose the part of a large
//!   one that a datagram carries.
//! - [`pack_entries`]: how many entries one propagation message takes.
//!
//! # A datagram
//! One bencoded dictionary, keys sorted, nothing behind it. Unknown keys are skipped, so that later versions can add
//! some; an unknown kind is told apart from garbage.
//!
//! | key | value |
//! | --- | --- |
//! | `k` | kind, integer (see `codec/body.rs`) |
//! | `m` | the kind's fields, dictionary; absent when there are none |
//! | `o` | token, 8 bytes; absent when there is none |
//! | `s` | sender, 35 bytes: id 20, coordinate 14, flags 1 (bit 0: client) |
//! | `t` | exchange, 4 bytes |
//! | `v` | version, integer 1 |
//!
//! Records that come in numbers are strings, not dictionaries: an address is 6 (IPv4) or 18 bytes (IPv6), port last;
//! a peer's addresses 6, 18 or 24 bytes (IPv4 first); a contact id 20, coordinate 14, address; a match coordinate 14,
//! matched 4, load 1, flags 1 (bit 0: reachable), addresses. Integers in strings are big-endian; varints are LEB128
//! in the fewest bytes.
//!
//! Differences from the paper: it names the fields (3.1, 3.2) and no encoding.

mod bencode;
mod bits;
mod codec;
mod compact;
pub mod message;
mod pack;
mod windows;

#[cfg(test)]
pub(crate) mod tests;

pub use bits::{
    BitsError, MAX_CHUNKS, SUMMARY_ABOVE, SUMMARY_BUCKETS, Summary, decode_bits, decode_delta,
    encode_bits, encode_delta, symmetric_difference,
};
pub use codec::{DecodeError, EncodeError, decode, encode, encoded_entry_len};
pub use message::*;
pub use pack::{pack_entries, pack_entries_within};
pub use windows::{
    MAX_ENTRY_BITS, MAX_LOOKUP_BITS, SUMMARISED_LOOKUP_BITS, entry_windows, fits_entry,
    lookup_window, summarised_lookup_window,
};

/// No datagram is longer than this many bytes, so that none is ever fragmented.
pub const MAX_DATAGRAM: usize = 1200;
/// The protocol version that is spoken.
pub const VERSION: u64 = 1;
/// Contacts in one message: a leaf set of 8 + 8 and its owner.
pub const MAX_CONTACTS: usize = 17;
/// Names in one message: a row of 15 slots with four contacts each, and some more.
pub const MAX_NAMES: usize = 64;
/// Addresses that a lookup can ask not to be given.
pub const MAX_IGNORED: usize = 8;
/// Matches in a lookup or an answer, and the largest `p`.
pub const MAX_MATCHES: usize = 8;
/// Hops in the trace of an answer.
pub const MAX_TRACE: usize = 12;
/// Keys in one [`Body::SendFull`].
pub const MAX_GAPS: usize = 24;
/// Index nodes that a routed request may pass.
pub const MAX_HOPS: u8 = 64;
