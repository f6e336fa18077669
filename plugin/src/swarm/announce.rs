//! What peers are told of the pieces that we hold: a bitfield (or HAVE ALL, HAVE NONE) as the first word, HAVE later,
//! and only what the client reveals (superseeding reveals one by one).
//!
//! A downloader that has a piece itself is not told of it as it comes, unless it sent some of it. It is told once that
//! matters: when it wants nothing of us any more, or when we have everything; it then knows what any other knows. Who
//! is not interested in us may be a superseeding seed, which learns from a HAVE that what it showed has arrived, and
//! hears of every piece at once.

use bytes::Bytes;

use super::{ConnId, Swarm};
use crate::wire::message::Message;

impl Swarm {
    /// Says the first word to a peer that expects one and has not heard it: HAVE NONE with Fast, else nothing.
    pub(super) fn open(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if !peer.opened && peer.fast() {
            peer.opened = true;
            self.send(conn, Message::HaveNone);
        }
    }

    /// Tells the peer everything that is held, and from now on every piece that comes.
    pub(super) fn reveal_all(&mut self, conn: ConnId) {
        self.say_all(conn);
        self.tell_upload_only(conn);
    }

    fn say_all(&mut self, conn: ConnId) {
        let Some(torrent) = &self.torrent else { return };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.announce = true;
        if peer.opened {
            let missing: Vec<u32> = torrent
                .held
                .iter()
                .filter(|p| !peer.told.contains(*p))
                .collect();
            for piece in missing {
                self.tell(conn, piece);
            }
            return;
        }
        if torrent.held.is_none() && !peer.fast() {
            // Nothing to say: a bitfield stays possible as long as nothing else is sent.
            return;
        }
        peer.opened = true;
        peer.told = torrent.held.clone();
        let msg = if !peer.fast() || (!torrent.held.is_none() && !torrent.held.is_full()) {
            Message::Bitfield(Bytes::copy_from_slice(torrent.held.as_bytes()))
        } else if torrent.held.is_full() {
            Message::HaveAll
        } else {
            Message::HaveNone
        };
        self.send(conn, msg);
    }

    /// Tells the peer of one held piece, unless it knows.
    pub(super) fn tell(&mut self, conn: ConnId, piece: u32) {
        let Some(torrent) = &self.torrent else { return };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if torrent.held.contains(piece) && peer.told.insert(piece) {
            self.send(conn, Message::Have(piece));
        }
    }

    /// A piece has come, some of it from each of `senders`: everyone who hears of everything hears of it, at once or
    /// when it matters.
    pub(super) fn announce(&mut self, piece: u32, senders: &[ConnId]) {
        let mut conns = Vec::new();
        for (conn, peer) in self.peers.iter_mut().filter(|(_, p)| p.announce) {
            if peer.interested && peer.has(piece) && !senders.contains(conn) {
                peer.withheld.push(piece);
            } else {
                conns.push(*conn);
            }
        }
        for conn in conns {
            self.tell(conn, piece);
        }
    }

    /// Tells the peer of the pieces that it was not told of because it has them.
    pub(super) fn tell_withheld(&mut self, conn: ConnId) {
        let withheld = self.peers.get_mut(&conn).map(|p| &mut p.withheld);
        for piece in withheld.map(std::mem::take).unwrap_or_default() {
            self.tell(conn, piece);
        }
    }
}
