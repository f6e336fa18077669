//! The extension protocol's handshake (BEP 10), the metadata of a magnet link from peers, and ours to peers (BEP 9).

use std::net::SocketAddr;

use bytes::Bytes;

use super::blame::Contributor;
use super::{CloseReason, ConnId, DropReason, Output, Swarm};
use crate::metadata::{Outcome, metadata_piece};
use crate::wire::extended::{
    ExtendedHandshake, OUR_UPLOAD_ONLY, OUR_UT_METADATA, UtMetadata, decode_upload_only,
};
use crate::wire::message::Message;
use crate::wire::pex::OUR_UT_PEX;
use crate::wire::status::OUR_CC_STATUS;

impl Swarm {
    /// Says who we are and what we can; again when the metadata has become known.
    pub(super) fn send_extended_handshake(&mut self, conn: ConnId) {
        if !self
            .peers
            .get(&conn)
            .is_some_and(super::peer::Peer::extended)
        {
            return;
        }
        let size = self
            .torrent
            .as_ref()
            .and_then(|t| u32::try_from(t.meta.info.len()).ok());
        let port = Some(self.config.listen_port).filter(|port| *port != 0);
        let upload_only = self.is_upload_only_to(conn);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let told = std::mem::replace(&mut peer.ext.told_upload_only, upload_only);
        let handshake = ExtendedHandshake {
            upload_only_id: Some(OUR_UPLOAD_ONLY),
            upload_only: (upload_only || told).then_some(upload_only),
            ut_metadata: Some(OUR_UT_METADATA),
            ut_pex: self.our_pex(),
            cc_status: Some(OUR_CC_STATUS),
            metadata_size: size,
            port,
            version: Some(self.config.version.clone()),
            reqq: u32::try_from(self.config.limits.max_queue).ok(),
            index_port: self.config.index_port.filter(|_| !self.config.private),
        };
        self.send(
            conn,
            Message::Extended {
                id: 0,
                payload: handshake.encode(),
            },
        );
    }

    pub(super) fn on_extended(&mut self, conn: ConnId, id: u8, payload: &Bytes) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        if !peer.extended() {
            return self.fault(conn, DropReason::NotNegotiated);
        }
        match id {
            0 => match ExtendedHandshake::decode(payload) {
                Ok(handshake) => self.on_extended_handshake(conn, handshake),
                Err(_) => self.fault(conn, DropReason::BadExtended),
            },
            OUR_UT_METADATA | OUR_UT_PEX | OUR_CC_STATUS | OUR_UPLOAD_ONLY if !peer.ext.shaken => {
                self.fault(conn, DropReason::BadExtended);
            }
            OUR_CC_STATUS => self.on_status(conn, payload),
            OUR_UT_PEX => self.on_pex(conn, payload),
            OUR_UPLOAD_ONLY => match decode_upload_only(payload) {
                Ok(upload_only) => {
                    self.noise(conn);
                    self.on_upload_only(conn, upload_only);
                }
                Err(_) => self.fault(conn, DropReason::BadExtended),
            },
            OUR_UT_METADATA => match UtMetadata::decode(payload) {
                Ok(msg) => self.on_ut_metadata(conn, msg),
                Err(_) => self.fault(conn, DropReason::BadExtended),
            },
            _ => self.fault(conn, DropReason::UnknownExtended),
        }
    }

    fn on_extended_handshake(&mut self, conn: ConnId, handshake: ExtendedHandshake) {
        let private = self.config.private;
        let rate = self.config.limits.metadata_rate;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut peer.ext.shaken, true) {
            // It may be said again when something changes; a flood of them is noise.
            self.noise(conn);
        } else {
            peer.ext.tokens = rate;
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let ip = peer.info.addr.ip();
        if let Some(id) = handshake.ut_metadata {
            peer.ext.ut_metadata = Some(id).filter(|id| *id != 0);
        }
        if let Some(id) = handshake.cc_status {
            peer.status.id = Some(id).filter(|id| *id != 0);
            self.client.handle_stranger(conn.into(), id == 0, self.now);
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if let Some(id) = handshake.ut_pex {
            peer.pex.id = Some(id).filter(|id| *id != 0);
        }
        if let Some(id) = handshake.upload_only_id {
            peer.ext.upload_only_id = Some(id).filter(|id| *id != 0);
        }
        let understands = handshake.cc_status.is_some();
        peer.ext.reqq = handshake.reqq.or(peer.ext.reqq);
        if handshake.version.is_some() {
            peer.client = handshake.version;
        }
        let listen = match handshake.port {
            Some(port) if peer.listen.is_none() => Some(SocketAddr::new(ip, port)),
            _ => None,
        };
        peer.listen = peer.listen.or(listen);
        let index = handshake
            .index_port
            .filter(|_| !private && !peer.ext.index_told);
        peer.ext.index_told |= index.is_some();
        if let Some(port) = index {
            self.push(Output::IndexNode(SocketAddr::new(ip, port)));
        }
        if let Some(listen) = listen {
            if self.is_banned(listen) {
                return self.close(conn, CloseReason::Banned);
            }
            self.client
                .handle_listen_addr(conn.into(), listen, self.now);
        }
        if let Some(upload_only) = handshake.upload_only {
            self.on_upload_only(conn, upload_only);
        }
        self.tell_upload_only(conn);
        self.ping(conn);
        if understands {
            self.tell_status(conn);
            self.introduce(conn);
        }
        if let Some(size) = handshake.metadata_size.filter(|_| self.torrent.is_none()) {
            self.assembly.on_size(conn.0, size);
            self.request_metadata();
        }
    }

    /// Asks peers for metadata, as much as may be in flight.
    pub(super) fn request_metadata(&mut self) {
        if self.torrent.is_some() || self.metadata_out || self.stopped {
            return;
        }
        let conns: Vec<(ConnId, u8)> = self
            .peers
            .iter()
            .filter_map(|(c, p)| Some((*c, p.ext.ut_metadata?)))
            .collect();
        for (conn, id) in conns {
            loop {
                let asked = self
                    .peers
                    .get(&conn)
                    .map_or(usize::MAX, |p| p.ext.asked.len());
                if asked >= self.config.limits.metadata_pipeline {
                    break;
                }
                let Some(piece) = self.assembly.next_request(conn.0) else {
                    break;
                };
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.ext.asked.insert(piece, self.now);
                }
                let payload = UtMetadata::Request(piece).encode();
                self.send(conn, Message::Extended { id, payload });
            }
        }
    }

    fn on_ut_metadata(&mut self, conn: ConnId, msg: UtMetadata) {
        let now = self.now;
        match msg {
            UtMetadata::Request(piece) => self.on_metadata_request(conn, piece),
            UtMetadata::Data {
                piece,
                total_size,
                data,
            } => {
                let Some(peer) = self.peers.get_mut(&conn) else {
                    return;
                };
                let asked = peer.ext.asked.remove(&piece);
                let alone = peer.ext.asked.is_empty();
                if let Some(sent) = asked.filter(|_| alone) {
                    self.measured(conn, now.saturating_since(sent));
                }
                if self.torrent.is_some() || self.metadata_out {
                    if asked.is_none() {
                        self.fault(conn, DropReason::BadMetadata);
                    }
                    return;
                }
                match self.assembly.on_data(conn.0, piece, total_size, &data) {
                    // Late or twice; a peer that nobody asked is at fault.
                    Outcome::Ignored if asked.is_none() => {
                        self.fault(conn, DropReason::BadMetadata)
                    }
                    Outcome::Ignored | Outcome::Progress => {}
                    Outcome::Complete(info) => {
                        self.metadata_out = true;
                        self.push(Output::Metadata(info));
                    }
                    Outcome::BadPeer(peer) => self.ban_liar(ConnId(peer)),
                }
                self.request_metadata();
            }
            UtMetadata::Reject(piece) => {
                let Some(peer) = self.peers.get_mut(&conn) else {
                    return;
                };
                if peer.ext.asked.remove(&piece).is_none() {
                    return self.fault(conn, DropReason::Unasked);
                }
                self.assembly.on_reject(conn.0, piece);
                self.request_metadata();
            }
        }
    }

    /// A peer whose metadata was certainly wrong.
    fn ban_liar(&mut self, conn: ConnId) {
        self.counters.drop(DropReason::BadMetadata);
        if let Some(peer) = self.peers.get(&conn) {
            self.ban(Contributor {
                conn,
                addr: peer.listen.unwrap_or(peer.info.addr),
            });
        }
    }

    fn on_metadata_request(&mut self, conn: ConnId, piece: u32) {
        let limit = self.config.limits.metadata_queue;
        let known = self
            .torrent
            .as_ref()
            .is_some_and(|t| metadata_piece(&t.meta.info, piece).is_some());
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if known && peer.ext.wants.len() < limit {
            peer.ext.wants.push_back(piece);
            return self.serve_metadata(conn);
        }
        self.send_metadata(conn, &UtMetadata::Reject(piece));
        self.fault(conn, DropReason::MetadataRefused);
    }

    /// Sends what the peer waits for, as fast as it may be sent.
    pub(super) fn serve_metadata(&mut self, conn: ConnId) {
        let Some(torrent) = &self.torrent else { return };
        let info = torrent.meta.info.clone();
        loop {
            let Some(peer) = self.peers.get_mut(&conn) else {
                return;
            };
            if peer.ext.tokens == 0 {
                return;
            }
            let Some(piece) = peer.ext.wants.pop_front() else {
                return;
            };
            peer.ext.tokens -= 1;
            let Some(data) = metadata_piece(&info, piece) else {
                continue;
            };
            let Ok(total_size) = u32::try_from(info.len()) else {
                return;
            };
            self.send_metadata(
                conn,
                &UtMetadata::Data {
                    piece,
                    total_size,
                    data,
                },
            );
        }
    }

    fn send_metadata(&mut self, conn: ConnId, msg: &UtMetadata) {
        // Without an id from its handshake there is no way to answer.
        if let Some(id) = self.peers.get(&conn).and_then(|p| p.ext.ut_metadata) {
            self.send(
                conn,
                Message::Extended {
                    id,
                    payload: msg.encode(),
                },
            );
        }
    }

    /// The peer is gone: others are asked for what it owed.
    pub(super) fn assembly_gone(&mut self, conn: ConnId) {
        self.assembly.on_gone(conn.0);
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.ext.asked.clear();
            peer.ext.ut_metadata = None;
        }
        self.request_metadata();
    }

    /// Metadata requests that took too long go to others, and a peer that refused is asked again after a pause.
    pub(super) fn check_metadata(&mut self, conn: ConnId) {
        let timeout = self.config.limits.metadata_timeout;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let late = peer
            .ext
            .asked
            .values()
            .any(|sent| self.now.saturating_since(*sent) >= timeout);
        if late {
            peer.ext.asked.clear();
            self.assembly.on_timeout(conn.0);
        }
    }
}
