//! Connections come and go: who is let in, what is said first, and what is given back when one is closed.

use std::net::{IpAddr, SocketAddr};

use chunkcast::client::{Connected, Verdict};

use super::blame::Contributor;
use super::drop_reason::Weight;
use super::peer::Peer;
use super::{CloseReason, ConnId, DropReason, Output, PeerInfo, Swarm};
use crate::wire::message::Message;
use crate::wire::stream::Transport;

/// What a ban is on: an address, and on loopback (where every peer has the same one) a port too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BanKey(IpAddr, u16);

impl BanKey {
    pub(super) fn of(addr: SocketAddr) -> Self {
        let ip = addr.ip().to_canonical();
        Self(ip, if ip.is_loopback() { addr.port() } else { 0 })
    }
}

impl Swarm {
    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains(&BanKey::of(addr))
    }

    pub(super) fn on_connected(&mut self, conn: ConnId, info: PeerInfo) {
        if self.peers.contains_key(&conn) {
            return;
        }
        if let Err(reason) = self.admit(conn, &info) {
            if info.outbound {
                self.client.handle_dial_failed(info.addr, self.now);
            }
            self.push(Output::Close { conn, reason });
            return;
        }
        let connected = Connected {
            addr: info.addr,
            listen: info.outbound.then_some(info.addr),
            outbound: info.outbound,
            rtt: info.rtt,
            source: info.source,
        };
        let pieces = self.torrent.as_ref().map(|t| t.held.len());
        let peer = Peer::new(info, pieces, &self.config.limits, self.now);
        self.peers.insert(conn, peer);
        if self
            .client
            .handle_connected(conn.into(), connected, self.now)
            == Verdict::Refuse
        {
            self.peers.remove(&conn);
            self.push(Output::Close {
                conn,
                reason: CloseReason::TableFull,
            });
            return;
        }
        // until its extended handshake says otherwise
        self.client.handle_stranger(conn.into(), true, self.now);
        self.send_extended_handshake(conn);
        // A full client may say at once what the peer is to know of; with Fast it must hear something.
        self.run_actions();
        self.open(conn);
        self.tell_dht_port(conn);
    }

    /// Where our DHT node is, if we have one.
    fn our_dht(&self) -> Option<u16> {
        self.dht_port.filter(|_| !self.config.private)
    }

    /// Tells a peer that has a DHT node where ours is.
    fn tell_dht_port(&mut self, conn: ConnId) {
        let has_one = |p: &Peer| p.info.handshake.dht();
        if let Some(port) = self.our_dht()
            && self.peers.get(&conn).is_some_and(has_one)
        {
            self.send(conn, Message::Port(port));
        }
    }

    /// The peer says where its DHT node is: told on once.
    pub(super) fn on_dht_port(&mut self, conn: ConnId, port: u16) {
        let wanted = port != 0 && self.our_dht().is_some();
        if let Some(peer) = self.peers.get_mut(&conn).filter(|_| wanted)
            && !std::mem::replace(&mut peer.ext.dht_told, true)
        {
            let addr = SocketAddr::new(peer.info.addr.ip(), port);
            self.push(Output::DhtNode(addr));
        }
        self.noise(conn);
    }

    /// Whether the connection may stay, before the client is asked.
    fn admit(&mut self, conn: ConnId, info: &PeerInfo) -> Result<(), CloseReason> {
        let theirs = info.handshake.peer_id;
        if info.handshake.info_hash != self.config.info_hash {
            return Err(CloseReason::WrongTorrent);
        }
        if theirs == self.config.peer_id {
            return Err(CloseReason::OurselvesConnected);
        }
        if self.is_banned(info.addr) {
            return Err(CloseReason::Banned);
        }
        let twin = self.peers.iter().find(|(_, p)| {
            p.info.handshake.peer_id == theirs && p.info.addr.ip() == info.addr.ip()
        });
        if let Some((&old, twin)) = twin {
            // Both dialled at once: both ends keep the one over TCP, or else the one that the greater peer id began.
            let keep_outbound = self.config.peer_id > theirs;
            let keep = match (twin.info.transport, info.transport) {
                (Transport::Utp, Transport::Tcp) => true,
                (Transport::Tcp, Transport::Utp) => false,
                _ => info.outbound == keep_outbound,
            };
            if twin.info.outbound == info.outbound || !keep {
                return Err(CloseReason::DuplicatePeer);
            }
            debug_assert_ne!(old, conn);
            self.close(old, CloseReason::DuplicatePeer);
        }
        Ok(())
    }

    /// Sends `msg`, after the first word that Fast demands.
    pub(super) fn send(&mut self, conn: ConnId, msg: Message) {
        if !matches!(msg, Message::Extended { .. }) {
            self.open(conn);
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        // Whatever it is, a bitfield is no longer legal after it (BEP 3).
        peer.opened |= !matches!(msg, Message::Extended { .. });
        peer.last_sent = self.now;
        self.push(Output::Send { conn, msg });
    }

    /// Closes a connection and gives back what it had.
    pub(super) fn close(&mut self, conn: ConnId, reason: CloseReason) {
        if self.forget(conn) {
            self.push(Output::Close { conn, reason });
            self.client.handle_disconnected(conn.into(), self.now);
        }
    }

    /// Closes a connection that the client has forgotten already.
    pub(super) fn close_dropped(&mut self, conn: ConnId, reason: CloseReason) {
        if self.forget(conn) {
            self.push(Output::Close { conn, reason });
        }
    }

    /// Removes a connection's state; whether there was any.
    pub(super) fn forget(&mut self, conn: ConnId) -> bool {
        if !self.peers.contains_key(&conn) {
            return false;
        }
        self.give_up_requests(conn);
        self.give_back_pieces(conn);
        self.assembly_gone(conn);
        if let Some(peer) = self.peers.remove(&conn) {
            self.remember(conn, &peer);
        }
        self.counters.closed += 1;
        true
    }

    /// Never again: the peer sent bad bytes.
    pub(super) fn ban(&mut self, guilty: Contributor) {
        if self.banned.len() < self.config.limits.max_banned
            && self.banned.insert(BanKey::of(guilty.addr))
        {
            self.counters.banned += 1;
        }
        if self.peers.contains_key(&guilty.conn) {
            self.client.handle_ban(guilty.conn.into(), self.now);
            self.close_dropped(guilty.conn, CloseReason::Banned);
        }
        let key = BanKey::of(guilty.addr);
        let others: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, p)| BanKey::of(p.listen.unwrap_or(p.info.addr)) == key)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in others {
            self.client.handle_ban(conn.into(), self.now);
            self.close_dropped(conn, CloseReason::Banned);
        }
    }

    /// A message that is legal and tells us nothing, or that only a toggling peer sends often.
    pub(super) fn noise(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.noise += 1;
        if peer.noise > self.config.limits.max_noise {
            self.close(conn, CloseReason::Flood(DropReason::Redundant));
        }
    }

    /// Counts something that was thrown away, and closes the peer when it was too much.
    pub(super) fn fault(&mut self, conn: ConnId, reason: DropReason) {
        self.counters.drop(reason);
        let limits = self.config.limits;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let close = match reason.weight() {
            Weight::None => None,
            Weight::Noise => {
                peer.noise += 1;
                (peer.noise > limits.max_noise).then_some(CloseReason::Flood(reason))
            }
            Weight::Fault => {
                peer.faults += 1;
                (peer.faults > limits.max_faults).then_some(CloseReason::Protocol(reason))
            }
            Weight::Fatal => Some(CloseReason::Protocol(reason)),
        };
        if let Some(reason) = close {
            self.close(conn, reason);
        }
    }
}
