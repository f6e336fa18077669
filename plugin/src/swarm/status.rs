//! What ChunkCast clients tell each other: the pieces being fetched, so that of two near each other only one fetches a
//! piece from far (area dedupe), and the load.
//!
//! The client says whom to tell and when; a peer that understands it and misses pieces is told if something has changed,
//! and once as soon as it says that it understands.
//!
//! What a peer tells is believed for as long as the area rule is patient
//! ([`area_patience`](chunkcast::client::ClientConfig::area_patience)), counted for each piece from when it was first
//! told: nobody can keep others from a piece by saying that it is on its way. Withdrawn and told again, a piece counts
//! as told anew only after twice that time.
//!
//! Both ends ping, until the least round-trip time cannot make the other nearer. The end that did not dial has measured
//! none: without pings a neighbour that connected to us would be far until it has sent us a block, and as far is not
//! asked for what somebody near has. And the connect time and the first answers may have waited behind blocks.
//!
//! An answer may wait behind our own blocks in the kernel's buffers and on the link, but not in the connection's queue,
//! where it overtakes them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::peer::{Has, Peer, PerSecond};
use super::{ConnId, DropReason, Output, Swarm};
use crate::wire::message::Message;
use crate::wire::status::{MAX_FETCHING, Status, StatusError, StatusMessage};

/// Addresses of near peers that one peer may name while it is connected: nobody makes us dial the world.
const MAX_NAMED: usize = 256; // guess: sixteen full messages

/// Draws the numbers of pings, which nobody is to guess: an answer must not come before the ping.
#[derive(Debug)]
pub(super) struct Pings(ChaCha8Rng);

impl Pings {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }
}

/// Status messages from and to one peer.
#[derive(Debug)]
pub(super) struct PeerStatus {
    /// The id under which it takes them.
    pub(super) id: Option<u8>,
    /// The payload that it was sent last.
    told: Bytes,
    /// Whom it was told of.
    introduced: Vec<SocketAddr>,
    /// Addresses that it named.
    named: usize,
    /// Its messages.
    rate: PerSecond,
    /// The ping that is not answered yet, and when it was sent.
    ping: Option<(u32, Instant)>,
    /// When the next may be sent, and the pause after that.
    next_ping: Instant,
    pause: Duration,
    /// Pings since the last answer.
    unanswered: u32,
    /// Whether there was one.
    pinged: bool,
    /// The pieces that it said it is fetching and that it does not have, at most [`MAX_FETCHING`].
    claims: BTreeMap<u32, Claim>,
    /// When the first of those that are believed is no longer.
    lapse: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    since: Instant,
    /// Whether its last message names it.
    stands: bool,
}

impl PeerStatus {
    /// The first ping is due after `pause`.
    pub(super) fn new(pause: Duration, now: Instant) -> Self {
        Self {
            id: None,
            told: Bytes::new(),
            introduced: Vec::new(),
            named: 0,
            rate: PerSecond::new(now),
            ping: None,
            next_ping: now + pause,
            pause,
            unanswered: 0,
            pinged: false,
            claims: BTreeMap::new(),
            lapse: None,
        }
    }

    /// Takes over what the peer says that it is fetching. Of more than are kept the first count.
    fn claim(&mut self, fetching: &ChunkSet, patience: Duration, now: Instant) {
        let forgotten = |c: &Claim| now.saturating_since(c.since) >= 2 * patience;
        self.claims.retain(|piece, c| {
            c.stands = fetching.contains(*piece);
            c.stands || !forgotten(c)
        });
        for piece in fetching.iter() {
            if self.claims.len() >= MAX_FETCHING as usize {
                break;
            }
            self.claims.entry(piece).or_insert(Claim {
                since: now,
                stands: true,
            });
        }
    }

    /// The pieces that it is believed to be fetching.
    fn believed(&mut self, pieces: u32, patience: Duration, now: Instant) -> ChunkSet {
        let fresh = |c: &Claim| c.stands && now.saturating_since(c.since) < patience;
        let standing = self.claims.iter().filter(|(_, c)| fresh(c));
        self.lapse = standing.clone().map(|(_, c)| c.since + patience).min();
        ChunkSet::from_indices(pieces, standing.map(|(piece, _)| *piece))
    }
}

impl Swarm {
    /// Tells the peer, if it understands it, what is being fetched and how loaded we are, if that has changed.
    pub(super) fn tell_status(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(id) = peer.status.id.filter(|_| !peer.wants_nothing()) else {
            return;
        };
        if self.torrent.is_none() {
            return;
        }
        let (load, fetching) = (self.client.current_load(), self.client.fetching());
        let payload = StatusMessage::Status(Status { load, fetching }).encode();
        if peer.status.told != payload {
            peer.status.told = payload.clone();
            self.send(conn, Message::Extended { id, payload });
        }
    }

    /// Tells the peer, if it is near and understands it, who else is, if that has changed. Never in a private torrent
    /// (BEP 27).
    pub(super) fn introduce(&mut self, conn: ConnId) {
        if self.config.private {
            return;
        }
        let others = self.client.introductions(conn.into());
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let new = others.iter().any(|a| !peer.status.introduced.contains(a));
        if new && peer.status.id.is_some() {
            peer.status.introduced.clone_from(&others);
            self.send_status(conn, &StatusMessage::Near(others));
        }
    }

    /// The peer names others that are near it.
    fn on_introduced(&mut self, conn: ConnId, addrs: Vec<SocketAddr>) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.status.named += addrs.len();
        if self.config.private || peer.status.named > MAX_NAMED {
            return self.noise(conn);
        }
        if peer.near {
            self.push(Output::Introduced { conn, addrs });
        }
    }

    /// A `cc_status` message.
    pub(super) fn on_status(&mut self, conn: ConnId, payload: &Bytes) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer
            .status
            .rate
            .exceeds(self.config.limits.status_rate, self.now)
        {
            return self.fault(conn, DropReason::TooManyStatus);
        }
        let pieces = match &peer.has {
            Has::Known(has) => Some(has.len()),
            Has::Early(_) => None,
        };
        match StatusMessage::decode(payload, pieces) {
            Ok(StatusMessage::Status(status)) => self.on_fetching(conn, &status),
            Ok(StatusMessage::Ping(number)) => {
                self.send_status(conn, &StatusMessage::Pong(number));
            }
            Ok(StatusMessage::Pong(number)) => {
                let answered = peer.status.ping.take_if(|(sent, _)| *sent == number);
                match answered {
                    Some((_, at)) => {
                        peer.status.unanswered = 0;
                        self.measured(conn, self.now.saturating_since(at));
                    }
                    None => self.fault(conn, DropReason::Unasked),
                }
            }
            Ok(StatusMessage::Near(addrs)) => self.on_introduced(conn, addrs),
            // who tells it cannot know what we know
            Err(StatusError::Early) => self.noise(conn),
            Err(StatusError::Kind(_)) => self.fault(conn, DropReason::UnknownExtended),
            Err(_) => self.fault(conn, DropReason::BadExtended),
        }
    }

    fn on_fetching(&mut self, conn: ConnId, status: &Status) {
        let (patience, now) = (self.config.client.area_patience, self.now);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.status.claim(&status.fetching, patience, now);
        self.client.handle_load(conn.into(), status.load, now);
        self.believe(conn);
        self.refill = true;
    }

    fn send_status(&mut self, conn: ConnId, msg: &StatusMessage) {
        if let Some(id) = self.peers.get(&conn).and_then(|p| p.status.id) {
            let payload = msg.encode();
            self.send(conn, Message::Extended { id, payload });
        }
    }

    /// Measures the round-trip time to a peer that understands it, if that is due and it could turn out nearer.
    pub(super) fn ping(&mut self, conn: ConnId) {
        let now = self.now;
        let due = self.peers.get(&conn).and_then(|p| self.ping_due(p));
        let Some(peer) = self
            .peers
            .get_mut(&conn)
            .filter(|_| due.is_some_and(|at| at <= now))
        else {
            return;
        };
        let number = self.pings.0.next_u32();
        let status = &mut peer.status;
        status.ping = Some((number, now));
        status.pinged = true;
        status.unanswered += 1;
        status.next_ping = now + status.pause;
        status.pause = (2 * status.pause).min(self.config.limits.max_ping_pause);
        self.send_status(conn, &StatusMessage::Ping(number));
    }

    /// When the peer is pinged next.
    pub(super) fn ping_due(&self, peer: &Peer) -> Option<Instant> {
        let (limits, floor) = (&self.config.limits, self.config.client.near_floor);
        let (status, rtt) = (&peer.status, peer.rtt());
        let wanted = status.id.is_some() && rtt.is_none_or(|least| least > floor);
        if self.stopped || !wanted || status.unanswered >= limits.max_lost_pings {
            return None;
        }
        match status.ping {
            Some((_, sent)) => Some(status.next_ping.max(sent + limits.max_ping_pause)),
            None if rtt.is_none() && !status.pinged => Some(self.now),
            None => Some(status.next_ping),
        }
    }

    /// Tells the client what the peer is believed to be fetching.
    fn believe(&mut self, conn: ConnId) {
        let (patience, now) = (self.config.client.area_patience, self.now);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Has::Known(has) = &peer.has else { return };
        peer.status.claims.retain(|piece, _| !has.contains(*piece));
        let fetching = peer.status.believed(has.len(), patience, now);
        self.client.handle_fetching(conn.into(), &fetching, now);
    }

    /// Pings again, and looks whether a piece that the peer said it is fetching has been on its way for too long to be
    /// believed.
    pub(super) fn check_status(&mut self, conn: ConnId) {
        self.ping(conn);
        let lapsed = |p: &Peer| p.status.lapse.is_some_and(|at| at <= self.now);
        if self.peers.get(&conn).is_some_and(lapsed) {
            self.believe(conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn believed(s: &mut PeerStatus, at: u64) -> Vec<u32> {
        let now = Instant::ZERO + Duration::from_secs(at);
        s.believed(10, PATIENCE, now).iter().collect()
    }

    fn claim(s: &mut PeerStatus, pieces: &[u32], at: u64) -> Vec<u32> {
        let set = ChunkSet::from_indices(10, pieces.iter().copied());
        s.claim(&set, PATIENCE, Instant::ZERO + Duration::from_secs(at));
        believed(s, at)
    }

    #[test]
    fn each_piece_is_believed_for_a_while_however_often_it_is_told() {
        let mut s = PeerStatus::new(Duration::ZERO, Instant::ZERO);
        assert_eq!(claim(&mut s, &[1], 0), [1]);
        assert_eq!(claim(&mut s, &[1, 2], 20), [1, 2]);
        assert_eq!(s.lapse, Some(Instant::ZERO + PATIENCE));
        assert_eq!(believed(&mut s, 30), [2]);
        assert_eq!(s.lapse, Some(Instant::ZERO + Duration::from_secs(50)));
        assert_eq!(claim(&mut s, &[1, 2], 40), [2]);
        assert_eq!(claim(&mut s, &[], 45), [0; 0], "withdrawn");
        assert_eq!(claim(&mut s, &[1, 2], 49), [2], "not anew");
        assert_eq!(claim(&mut s, &[], 50), [0; 0]);
        assert_eq!(claim(&mut s, &[2], 61), [0; 0], "the first is forgotten");
        assert_eq!(claim(&mut s, &[1], 62), [1]);
    }

    #[test]
    fn what_is_remembered_of_a_peer_is_bounded() {
        let mut s = PeerStatus::new(Duration::ZERO, Instant::ZERO);
        let pieces = 3 * MAX_FETCHING;
        for from in [0, 1, 2] {
            let some = from * MAX_FETCHING..(from + 1) * MAX_FETCHING;
            let set = ChunkSet::from_indices(pieces, some);
            s.claim(&set, PATIENCE, Instant::ZERO);
        }
        assert_eq!(s.claims.len(), MAX_FETCHING as usize);
        assert_eq!(s.believed(pieces, PATIENCE, Instant::ZERO).count(), 0);
    }
}
