//! What may be asked for while choked (BEP 6, Allowed Fast): a peer that has nothing to give in return gets its first pieces
//! sooner.
//!
//! We name such pieces to a client of another kind that is interested, has to wait for a slot, and holds fewer pieces than are
//! named; clients of this kind find somebody who serves them by the directory. Which pieces is a matter of the peer's
//! address, so that coming again gains nothing, and of each no more than twice its length is sent while choked. Nothing
//! is named to who is shown our pieces one by one (superseeding), where that would be an eighth of the torrent, or
//! to IPv6 addresses, for which BEP 6 names no rule.
//!
//! Of what peers name to us a piece is asked for while we hold too few ourselves. A SUGGEST is not followed: it says what
//! the sender has in its cache, and the client knows what is rare.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use sha1::{Digest, Sha1};

use super::peer::{Has, Peer};
use super::pieces::BlockKey;
use super::{ConnId, DropReason, Swarm};
use crate::wire::message::{BlockRef, Message};

/// Pieces that are named to a peer, and that we hold at most while we ask choking peers.
const ALLOWED: u32 = 10; // BEP 6

/// Of so many pieces one may be named. // guess
const ONE_IN: u32 = 8;

/// Bytes of the pieces that are named to a peer. // guess: half a second of 128 Mbit/s, and twice that may be asked for
const ALLOWED_BYTES: u32 = 8 << 20;

/// Addresses for which is remembered what they have had. // guess: more than most torrents have neighbours
const MAX_ADDRS: usize = 512;

/// Pieces that are remembered of those that a peer names. // guess: stock clients name ten
const MAX_NAMED: usize = 64;

/// How much of the pieces named to an address may still be asked for while choked, in bytes.
#[derive(Debug, Default)]
pub(super) struct Offers(BTreeMap<Ipv4Addr, BTreeMap<u32, u64>>);

impl Offers {
    /// Forgets addresses that nobody is connected from, if there are too many.
    fn make_room(&mut self, peers: &BTreeMap<ConnId, Peer>) {
        if self.0.len() >= MAX_ADDRS {
            let addrs = peers.values().filter_map(|p| ipv4(p.info.addr.ip()));
            let here: BTreeSet<Ipv4Addr> = addrs.collect();
            self.0.retain(|ip, _| here.contains(ip));
        }
    }
}

/// The pieces that `ip` may ask for while choked: `count` of `pieces`, fewer if there are not so many.
fn allowed_set(ip: Ipv4Addr, info_hash: &[u8; 20], pieces: u32, count: u32) -> Vec<u32> {
    let [a, b, c, _] = ip.octets();
    let mut digest = Sha1::new()
        .chain_update([a, b, c, 0])
        .chain_update(info_hash)
        .finalize();
    let count = count.min(pieces) as usize;
    let mut set = Vec::new();
    while set.len() < count {
        let (words, _) = digest.as_chunks::<4>();
        for word in words {
            let piece = u32::from_be_bytes(*word) % pieces;
            if set.len() < count && !set.contains(&piece) {
                set.push(piece);
            }
        }
        digest = Sha1::digest(digest);
    }
    set
}

impl Swarm {
    /// Names to a peer that has to wait what it may ask for meanwhile, once.
    pub(super) fn offer_fast(&mut self, conn: ConnId) {
        let (Some(torrent), Some(peer)) = (&self.torrent, self.peers.get(&conn)) else {
            return;
        };
        let layout = torrent.layout();
        let pieces = layout.piece_count();
        let count = (pieces / ONE_IN)
            .min(ALLOWED_BYTES / layout.piece_length)
            .min(ALLOWED);
        let waits = peer.interested && !peer.upload_only && !peer.up.serving;
        let starts = peer.declared && peer.held() < count;
        if !peer.fast()
            || peer.up.offered
            || !peer.announce
            || !waits
            || !starts
            || !peer.is_stranger()
        {
            return;
        }
        let Some(ip) = ipv4(peer.info.addr.ip()) else {
            return;
        };
        self.offers.make_room(&self.peers);
        if self.offers.0.len() >= MAX_ADDRS && !self.offers.0.contains_key(&ip) {
            return;
        }
        let mut named = allowed_set(ip, &self.config.info_hash, pieces, count);
        let left = self.offers.0.entry(ip).or_default();
        for piece in &named {
            let twice = 2 * u64::from(layout.piece_len(*piece));
            left.entry(*piece).or_insert(twice);
        }
        named.retain(|piece| !peer.has(*piece));
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.up.offered = true;
        }
        for piece in named {
            self.send(conn, Message::AllowedFast(piece));
        }
    }

    /// What the peer may still ask for of the piece while it is choked.
    fn offered(&mut self, conn: ConnId, piece: u32) -> Option<&mut u64> {
        let peer = self.peers.get(&conn).filter(|p| p.up.offered)?;
        let ip = ipv4(peer.info.addr.ip())?;
        self.offers.0.get_mut(&ip)?.get_mut(&piece)
    }

    /// Whether the peer may ask for this although it is choked.
    pub(super) fn allows_choked(&mut self, conn: ConnId, r: BlockRef) -> bool {
        let left = self.offered(conn, r.piece);
        left.is_some_and(|left| *left >= u64::from(r.len))
    }

    /// The peer asked for this although it is choked, and is going to have it.
    pub(super) fn spend_choked(&mut self, conn: ConnId, r: BlockRef) {
        if let Some(left) = self.offered(conn, r.piece) {
            *left = left.saturating_sub(u64::from(r.len));
        }
    }

    /// The peer names a piece that we may ask for while it chokes us.
    pub(super) fn on_allowed_fast(&mut self, conn: ConnId, piece: u32) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let allowed = &mut peer.down.allowed;
        let fault = match &peer.has {
            Has::Known(set) if piece >= set.len() => Some(DropReason::BadHint),
            _ if allowed.contains(&piece) => Some(DropReason::Redundant),
            _ if allowed.len() >= MAX_NAMED => Some(DropReason::TooManyHints),
            _ => None,
        };
        if let Some(reason) = fault {
            return self.fault(conn, reason);
        }
        allowed.insert(piece);
        self.noise(conn);
        self.refill = true;
    }

    /// The peer says what it would like to send.
    pub(super) fn on_suggest(&mut self, conn: ConnId, piece: u32) {
        let exists = |has: &Has| !matches!(has, Has::Known(set) if piece >= set.len());
        match self.peers.get(&conn) {
            Some(peer) if !exists(&peer.has) => self.fault(conn, DropReason::BadHint),
            _ => self.noise(conn),
        }
    }

    /// Asks a peer that chokes us for what it allows.
    pub(super) fn fill_allowed(&mut self, conn: ConnId) {
        while self.has_window(conn)
            && let Some(key) = self.allowed_block(conn)
        {
            self.request(conn, key);
        }
    }

    fn allowed_block(&mut self, conn: ConnId) -> Option<BlockKey> {
        let peer = self.peers.get(&conn)?;
        let few = self.torrent.as_ref()?.held.count() < ALLOWED;
        if !few || peer.down.allowed.is_empty() || peer.down.snubbed {
            return None;
        }
        let allowed = peer.down.allowed.iter();
        let pieces: Vec<u32> = allowed.copied().filter(|piece| peer.has(*piece)).collect();
        for piece in pieces {
            let assigned = |p: &Peer| p.down.pieces.contains(&piece);
            if !self.peers.get(&conn).is_some_and(assigned) {
                let begins =
                    self.may_begin(conn) && self.client.take_chunk(conn.into(), piece, self.now);
                if !begins {
                    continue;
                }
                self.begin(conn, piece);
            }
            if let Some(block) = self.block_of(conn, piece) {
                return Some((piece, block));
            }
        }
        None
    }

    /// The peer chokes us and does not send what it allowed.
    pub(super) fn disallow(&mut self, conn: ConnId, piece: u32) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.down.allowed.remove(&piece);
        if peer.down.pieces.contains(&piece) {
            self.give_back(conn, piece);
        }
    }
}

fn ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_the_one_that_bep_6_computes() {
        let ip = Ipv4Addr::new(80, 4, 4, 200);
        let set = |count| allowed_set(ip, &[0xaa; 20], 1313, count);
        let seven = [1059, 431, 808, 1217, 287, 376, 1188];
        assert_eq!(set(7), seven);
        assert_eq!(set(9), [&seven[..], &[353, 508]].concat());
        let neighbour = Ipv4Addr::new(80, 4, 4, 1);
        assert_eq!(allowed_set(neighbour, &[0xaa; 20], 1313, 7), seven);
    }

    #[test]
    fn there_are_no_more_than_there_are_pieces() {
        let set = |pieces| allowed_set(Ipv4Addr::LOCALHOST, &[7; 20], pieces, 10);
        let mut three = set(3);
        three.sort_unstable();
        assert_eq!(three, [0, 1, 2]);
        assert_eq!(set(0), [0; 0]);
    }
}
