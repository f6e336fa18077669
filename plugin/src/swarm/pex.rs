//! Peer exchange (BEP 11): connected peers tell each other whom else they are connected to.
//!
//! A peer that takes it is told of changes since its last message, at most once a minute. It is told of those whose
//! listening address is known, because we dialled it or the peer named its port, and that it could reach, going by the kind
//! of address. Private torrents have none of it (BEP 27): it is neither offered, said nor believed.
//!
//! What a peer names is bounded: in messages, in addresses a message, and in addresses a connection, so that nobody alone
//! decides whom we dial. Addresses that it drops are not forgotten: only our own dial tells whether somebody is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::time::Instant;

use super::peer::{Peer, PerMinute};
use super::{ConnId, DropReason, Output, Swarm};
use crate::limits::address::is_within_reach;
use crate::wire::message::Message;
use crate::wire::pex::{MAX_SENT, OUR_UT_PEX, PexPeer, UtPex};
use crate::wire::stream::Transport;

/// Pause between two messages to one peer.
const INTERVAL: Duration = Duration::from_secs(60); // BEP 11

/// Pause before it is looked again whether there is something to say.
const LOOK: Duration = Duration::from_secs(5); // guess: the period of the housekeeping

/// Messages of one peer that are read, a minute.
const MAX_HEARD: usize = 6; // libtorrent's bound; BEP 11 allows one

/// Addresses that one peer may name at once: a fifth of the candidates that are kept.
const MAX_NAMED: usize = 100; // guess: two full messages

/// What it may name besides, each minute.
const NAMED_A_MINUTE: usize = 5; // guess: what comes and goes in a large swarm

/// Peer exchange with one peer.
#[derive(Debug)]
pub(super) struct PeerPex {
    /// The id under which it takes the messages.
    pub(super) id: Option<u8>,
    /// Whom it was told of, but for those that it was told are gone: no more than there are connections, and one message.
    told: BTreeSet<SocketAddr>,
    /// When it may be told something again.
    next: Instant,
    /// Its messages.
    heard: PerMinute,
    /// Addresses that it may still name, and the time up to which that was added up.
    room: usize,
    added_up: Instant,
}

impl PeerPex {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            id: None,
            told: BTreeSet::new(),
            next: now,
            heard: PerMinute::new(now),
            room: MAX_NAMED,
            added_up: now,
        }
    }

    /// The peer names `wanted` addresses: how many of them count.
    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let minutes = now.saturating_since(self.added_up).as_secs() / 60;
        self.added_up += Duration::from_secs(60 * minutes);
        let more = usize::try_from(minutes).unwrap_or(usize::MAX);
        let more = more.saturating_mul(NAMED_A_MINUTE);
        self.room = self.room.saturating_add(more).min(MAX_NAMED);
        let taken = wanted.min(self.room);
        self.room -= taken;
        taken
    }
}

impl Swarm {
    /// The id under which we take messages, if we do.
    pub(super) fn our_pex(&self) -> Option<u8> {
        (self.config.pex && !self.config.private).then_some(OUR_UT_PEX)
    }

    /// Tells the peer who came and who left, if it is time and there is something to say.
    pub(super) fn exchange(&mut self, conn: ConnId) {
        let now = self.now;
        let due = |p: &&Peer| p.pex.id.is_some() && p.pex.next <= now;
        let Some(peer) = self.peers.get(&conn).filter(due) else {
            return;
        };
        if self.our_pex().is_none() || self.stopped {
            return;
        }
        let (ip, told) = (peer.info.addr.ip(), &peer.pex.told);
        let others = self.peers.iter().filter(|(other, _)| **other != conn);
        let present: BTreeMap<SocketAddr, u8> = others
            .filter_map(|(_, other)| Some((other.listen?, flags(other))))
            .filter(|(addr, _)| Some(*addr) != peer.listen && is_within_reach(addr.ip(), ip))
            .collect();
        let new = present.iter().filter(|(addr, _)| !told.contains(addr));
        let added = new.map(|(&addr, &flags)| PexPeer { addr, flags });
        let gone = told.iter().filter(|addr| !present.contains_key(addr));
        let message = UtPex {
            added: added.take(MAX_SENT).collect(),
            dropped: gone.take(MAX_SENT).copied().collect(),
            cut: 0,
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if message == UtPex::default() {
            peer.pex.next = now + LOOK;
            return;
        }
        peer.pex.next = now + INTERVAL;
        peer.pex.told.extend(message.added.iter().map(|p| p.addr));
        peer.pex.told.retain(|a| !message.dropped.contains(a));
        if let Some(id) = peer.pex.id {
            let payload = message.encode();
            self.send(conn, Message::Extended { id, payload });
        }
    }

    /// A `ut_pex` message.
    pub(super) fn on_pex(&mut self, conn: ConnId, payload: &Bytes) {
        if self.our_pex().is_none() {
            return self.fault(conn, DropReason::UnknownExtended);
        }
        let (complete, now) = (self.is_complete(), self.now);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.pex.heard.exceeds(MAX_HEARD, now) {
            return self.fault(conn, DropReason::TooManyPex);
        }
        let Ok(message) = UtPex::decode(payload) else {
            return self.fault(conn, DropReason::BadExtended);
        };
        let ip = peer.info.addr.ip();
        let mut named: Vec<PexPeer> = message.added;
        named.retain(|p| is_within_reach(p.addr.ip(), ip));
        // two that have everything are of no use to each other
        named.retain(|p| !(complete && p.is(PexPeer::SEED)));
        named.sort_by_key(|p| !p.is(PexPeer::REACHABLE));
        let taken = peer.pex.take(named.len(), now);
        let cut = message.cut + named.len() - taken;
        if taken > 0 {
            let addrs = named[..taken].iter().map(|p| p.addr).collect();
            self.push(Output::Exchanged(addrs));
        }
        if cut > 0 {
            self.fault(conn, DropReason::TooManyPex);
        }
    }
}

/// What others are told of a peer besides its address.
fn flags(peer: &Peer) -> u8 {
    let seed = if peer.is_seed() { PexPeer::SEED } else { 0 };
    let reachable = match peer.info.outbound {
        true => PexPeer::REACHABLE,
        false => 0,
    };
    let utp = match peer.info.transport {
        Transport::Utp => PexPeer::UTP,
        Transport::Tcp => 0,
    };
    seed | reachable | utp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_may_name_comes_back_slowly_and_not_without_end() {
        let at = |minutes: u64| Instant::ZERO + Duration::from_secs(60 * minutes);
        let mut pex = PeerPex::new(at(0));
        assert_eq!(pex.take(70, at(0)), 70);
        assert_eq!(pex.take(70, at(0)), 30);
        assert_eq!(pex.take(70, at(0) + Duration::from_secs(59)), 0);
        assert_eq!(pex.take(70, at(1)), 5);
        assert_eq!(pex.take(70, at(3)), 10);
        assert_eq!(pex.take(usize::MAX, at(1_000_000)), 100);
    }
}
