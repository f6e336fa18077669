//! Collecting a torrent's info dict from peers (BEP 9), and serving it. Sans-IO, no clock: the caller says what timed out.
//!
//! Nobody is believed. Peers say how large the dict is and hand out 16 KiB pieces, and only the SHA-1 of the whole tells
//! whether any of it was true. So:
//! - Peers that claim one size share an *attempt*; another size is another attempt, and they go on side by side.
//! - If a shared attempt ends with the wrong hash, each peer of that size gets an attempt of its own. A peer that filled
//!   a whole attempt alone and got the hash wrong is banned: nobody else can be to blame.
//! - Memory is taken only as data arrive. The sizes of the attempts under way stay within a budget; when it is short,
//!   attempts that nobody goes on with give way, then large dicts give way to small ones, so that a peer with an absurd
//!   claim cannot hold up the others.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha1::{Digest, Sha1};

/// Bytes in a metadata piece (BEP 9).
pub const METADATA_PIECE: u32 = 16 * 1024;

/// Bounds of a [`MetadataAssembly`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssemblyConfig {
    /// Largest info dict in bytes that is believed.
    pub max_size: u32,
    /// Bytes that all attempts under way may come to together; at least [`AssemblyConfig::max_size`].
    pub budget: u64,
    /// Peers that are remembered, and banned ones too.
    pub max_peers: usize,
    /// Requests that one peer may have open.
    pub requests_per_peer: usize,
    /// Peers that may be asked for one piece at a time.
    pub peers_per_piece: usize,
    /// Rejects and timeouts after which a peer is not asked again until [`MetadataAssembly::retry`].
    pub strikes: u32,
}

impl Default for AssemblyConfig {
    fn default() -> Self {
        Self {
            max_size: 32 << 20,   // guess: real dicts stay below 16 MiB
            budget: 64 << 20,     // guess: two of the largest
            max_peers: 256,       // guess: more than a torrent has connections
            requests_per_peer: 2, // guess: stock clients throttle more
            peers_per_piece: 2,   // guess: hides one slow peer
            strikes: 3,           // guess
        }
    }
}

impl AssemblyConfig {
    /// Whether the values can be kept together.
    ///
    /// # Errors
    /// One line that names the field.
    pub fn validate(&self) -> Result<(), &'static str> {
        match self {
            Self { max_size: 0, .. } => Err("max_size must be at least 1"),
            Self {
                max_size, budget, ..
            } if *budget < u64::from(*max_size) => Err("budget must be at least max_size"),
            Self { max_peers: 0, .. } => Err("max_peers must be at least 1"),
            Self {
                requests_per_peer: 0,
                ..
            } => Err("requests_per_peer must be at least 1"),
            Self {
                peers_per_piece: 0, ..
            } => Err("peers_per_piece must be at least 1"),
            Self { strikes: 0, .. } => Err("strikes must be at least 1"),
            _ => Ok(()),
        }
    }
}

/// What came of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody asked for it, or it is no longer needed.
    Ignored,
    /// It was taken.
    Progress,
    /// It was the last one: the info dict, whose SHA-1 is the infohash.
    Complete(Bytes),
    /// This peer (not always the sender of the piece) lied and is banned here.
    BadPeer(u64),
}

/// One torrent's info dict on its way in.
#[derive(Debug)]
pub struct MetadataAssembly {
    info_hash: [u8; 20],
    config: AssemblyConfig,
    peers: BTreeMap<u64, Peer>,
    banned: BTreeSet<u64>,
    /// Sizes whose shared attempt ended with a wrong hash.
    suspect: BTreeSet<u32>,
    attempts: BTreeMap<Key, Attempt>,
    complete: bool,
}

/// Who fills an attempt: all peers of a size, or one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    size: u32,
    alone: Option<u64>,
}

#[derive(Debug)]
struct Peer {
    size: u32,
    asked: BTreeSet<u32>,
    /// Timed out, but taken if they come after all.
    late: BTreeSet<u32>,
    strikes: u32,
}

#[derive(Debug, Default)]
struct Attempt {
    pieces: BTreeMap<u32, Bytes>,
    from: BTreeSet<u64>,
    /// No piece below this one is missing.
    first_missing: u32,
}

impl MetadataAssembly {
    /// An assembly that waits for peers.
    pub fn new(info_hash: [u8; 20]) -> Self {
        Self::with_config(info_hash, AssemblyConfig::default())
    }

    /// [`MetadataAssembly::new`] with other bounds, which must be valid.
    pub fn with_config(info_hash: [u8; 20], config: AssemblyConfig) -> Self {
        debug_assert_eq!(config.validate(), Ok(()));
        Self {
            info_hash,
            config,
            peers: BTreeMap::new(),
            banned: BTreeSet::new(),
            suspect: BTreeSet::new(),
            attempts: BTreeMap::new(),
            complete: false,
        }
    }

    /// `peer` says that the info dict has `size` bytes. Returns whether it will be asked for pieces: not if the size
    /// cannot be, the peer is banned, or there are too many peers.
    pub fn on_size(&mut self, peer: u64, size: u32) -> bool {
        let known = self.peers.get(&peer).map(|p| p.size);
        if self.complete || self.banned.contains(&peer) {
            return false;
        }
        if known == Some(size) {
            return true;
        }
        // a changed claim starts afresh
        self.on_gone(peer);
        let room = self.peers.len() < self.config.max_peers;
        if size == 0 || size > self.config.max_size || !room {
            return false;
        }
        let fresh = Peer {
            size,
            asked: BTreeSet::new(),
            late: BTreeSet::new(),
            strikes: 0,
        };
        self.peers.insert(peer, fresh);
        true
    }

    /// The next piece to ask `peer` for; `None`: nothing now. Call it again after every input.
    pub fn next_request(&mut self, peer: u64) -> Option<u32> {
        let state = self.peers.get(&peer)?;
        if self.complete
            || state.asked.len() >= self.config.requests_per_peer
            || state.strikes >= self.config.strikes
        {
            return None;
        }
        let key = self.key(peer)?;
        if !self.attempts.contains_key(&key) && !self.admit(key) {
            return None;
        }
        let piece = self.choose(peer, key)?;
        let state = self.peers.get_mut(&peer)?;
        state.late.remove(&piece);
        state.asked.insert(piece);
        Some(piece)
    }

    /// A piece of data from `peer`, which also says how large the whole is.
    pub fn on_data(&mut self, peer: u64, piece: u32, total_size: u32, data: &Bytes) -> Outcome {
        let Some(key) = self.key(peer).filter(|_| !self.complete) else {
            return Outcome::Ignored;
        };
        let Some(state) = self.peers.get_mut(&peer) else {
            return Outcome::Ignored;
        };
        if !state.asked.remove(&piece) && !state.late.remove(&piece) {
            return Outcome::Ignored;
        }
        if total_size != key.size || data.len() as u64 != piece_len(key.size, piece) {
            self.ban(peer);
            return Outcome::BadPeer(peer);
        }
        let Some(attempt) = self.attempts.get_mut(&key) else {
            return Outcome::Ignored;
        };
        if attempt.pieces.contains_key(&piece) {
            return Outcome::Ignored;
        }
        // a copy, so that the piece does not keep a whole network buffer alive
        attempt.pieces.insert(piece, Bytes::copy_from_slice(data));
        attempt.from.insert(peer);
        while attempt.pieces.contains_key(&attempt.first_missing) {
            attempt.first_missing += 1;
        }
        if attempt.first_missing < metadata_pieces(key.size) {
            return Outcome::Progress;
        }
        self.finish(key)
    }

    /// `peer` refuses to hand out `piece`.
    pub fn on_reject(&mut self, peer: u64, piece: u32) {
        if let Some(state) = self.peers.get_mut(&peer)
            && state.asked.remove(&piece)
        {
            state.strikes += 1;
        }
    }

    /// `peer` did not answer in time: its open requests may go to others. Data that come late are still taken.
    pub fn on_timeout(&mut self, peer: u64) {
        if let Some(state) = self.peers.get_mut(&peer)
            && !state.asked.is_empty()
        {
            state.strikes += 1;
            state.late = std::mem::take(&mut state.asked);
        }
    }

    /// A peer that refused or was too slow may be asked again: call it after a pause.
    pub fn retry(&mut self, peer: u64) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.strikes = 0;
        }
    }

    /// The connection to `peer` ended.
    pub fn on_gone(&mut self, peer: u64) {
        let Some(key) = self.key(peer) else { return };
        self.peers.remove(&peer);
        // without anybody left to go on with it, what was collected only takes room
        if !self.peers.values().any(|p| p.size == key.size) {
            self.attempts.retain(|k, _| k.size != key.size);
            self.suspect.remove(&key.size);
        } else if key.alone.is_some() {
            self.attempts.remove(&key);
        }
    }

    /// Whether the info dict was handed out.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether `peer` is banned here for wrong data.
    pub fn is_banned(&self, peer: u64) -> bool {
        self.banned.contains(&peer)
    }

    /// Bytes of collected pieces.
    pub fn stored_bytes(&self) -> usize {
        self.attempts
            .values()
            .flat_map(|a| a.pieces.values())
            .map(Bytes::len)
            .sum()
    }

    /// The attempt that `peer` takes part in.
    fn key(&self, peer: u64) -> Option<Key> {
        let size = self.peers.get(&peer)?.size;
        let alone = self.suspect.contains(&size).then_some(peer);
        Some(Key { size, alone })
    }

    /// Makes room for a new attempt: stalled ones give way, then larger ones. Whether it may begin.
    fn admit(&mut self, key: Key) -> bool {
        let need = u64::from(key.size);
        let mut order: Vec<(bool, Key)> = self
            .attempts
            .keys()
            .map(|k| (self.stalled(k), *k))
            .filter(|(stalled, k)| *stalled || k.size > key.size)
            .collect();
        order.sort_unstable();
        let mut sum: u64 = self.attempts.keys().map(|k| u64::from(k.size)).sum();
        let free: u64 = order.iter().map(|(_, k)| u64::from(k.size)).sum();
        if sum - free + need > self.config.budget {
            return false;
        }
        while sum + need > self.config.budget {
            let Some((_, gone)) = order.pop() else { break };
            sum -= u64::from(gone.size);
            self.attempts.remove(&gone);
            self.forget_requests(gone);
        }
        self.attempts.insert(key, Attempt::default());
        true
    }

    /// Whether nobody is left who would be asked for more of this attempt.
    fn stalled(&self, key: &Key) -> bool {
        !self.peers.iter().any(|(id, p)| {
            p.size == key.size
                && key.alone.is_none_or(|alone| alone == *id)
                && p.strikes < self.config.strikes
        })
    }

    /// The first missing piece that nobody is asked for, else the first that few are asked for, never twice the same
    /// peer.
    fn choose(&self, peer: u64, key: Key) -> Option<u32> {
        let attempt = self.attempts.get(&key)?;
        let own = &self.peers.get(&peer)?.asked;
        let mut asked: BTreeMap<u32, usize> = BTreeMap::new();
        for (id, state) in &self.peers {
            if state.size == key.size && key.alone.is_none_or(|alone| alone == *id) {
                for piece in &state.asked {
                    *asked.entry(*piece).or_default() += 1;
                }
            }
        }
        let mut second = None;
        for piece in attempt.first_missing..metadata_pieces(key.size) {
            if attempt.pieces.contains_key(&piece) || own.contains(&piece) {
                continue;
            }
            match asked.get(&piece) {
                None => return Some(piece),
                Some(n) if second.is_none() && *n < self.config.peers_per_piece => {
                    second = Some(piece);
                }
                Some(_) => {}
            }
        }
        second
    }

    /// Every piece of an attempt is here: is it the dict, and if not, whose fault is it?
    fn finish(&mut self, key: Key) -> Outcome {
        let Some(attempt) = self.attempts.remove(&key) else {
            return Outcome::Ignored;
        };
        let mut info = Vec::with_capacity(key.size as usize);
        for piece in attempt.pieces.values() {
            info.extend_from_slice(piece);
        }
        if <[u8; 20]>::from(Sha1::digest(&info)) == self.info_hash {
            self.complete = true;
            self.peers.clear();
            self.attempts.clear();
            return Outcome::Complete(info.into());
        }
        self.forget_requests(key);
        match attempt.from.first() {
            Some(&only) if attempt.from.len() == 1 => {
                self.ban(only);
                Outcome::BadPeer(only)
            }
            _ => {
                self.suspect.insert(key.size);
                Outcome::Progress
            }
        }
    }

    /// Data for an attempt that ended are no longer awaited.
    fn forget_requests(&mut self, key: Key) {
        for (id, state) in &mut self.peers {
            if state.size == key.size && key.alone.is_none_or(|alone| alone == *id) {
                state.asked.clear();
                state.late.clear();
            }
        }
    }

    fn ban(&mut self, peer: u64) {
        self.on_gone(peer);
        if self.banned.len() >= self.config.max_peers {
            // ids ascend with time: the oldest is the least likely to come back
            self.banned.pop_first();
        }
        self.banned.insert(peer);
    }
}

/// Number of metadata pieces in an info dict of `size` bytes.
pub fn metadata_pieces(size: u32) -> u32 {
    size.div_ceil(METADATA_PIECE)
}

/// Metadata piece `piece` of an info dict, to serve it; `None`: there is no such piece.
pub fn metadata_piece(info: &Bytes, piece: u32) -> Option<Bytes> {
    let from = (piece as usize).checked_mul(METADATA_PIECE as usize)?;
    let to = info.len().min(from.checked_add(METADATA_PIECE as usize)?);
    (from < to).then(|| info.slice(from..to))
}

/// Length of `piece` of a dict of `size` bytes, 0 behind its end.
fn piece_len(size: u32, piece: u32) -> u64 {
    let from = u64::from(piece) * u64::from(METADATA_PIECE);
    u64::from(size)
        .saturating_sub(from)
        .min(u64::from(METADATA_PIECE))
}

#[cfg(test)]
mod tests;
