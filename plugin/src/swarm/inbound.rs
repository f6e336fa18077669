//! What a message of a peer leads to.

use super::availability::Claim;
use super::{ConnId, DropReason, Swarm};
use crate::wire::message::Message;

impl Swarm {
    pub(super) fn on_message(&mut self, conn: ConnId, msg: Message) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.last_received = self.now;
        let of_fast = matches!(
            msg,
            Message::Suggest(_)
                | Message::HaveAll
                | Message::HaveNone
                | Message::Reject(_)
                | Message::AllowedFast(_)
        );
        if of_fast && !peer.fast() {
            return self.fault(conn, DropReason::NotNegotiated);
        }
        match msg {
            Message::KeepAlive => self.noise(conn),
            Message::Suggest(piece) => self.on_suggest(conn, piece),
            Message::AllowedFast(piece) => self.on_allowed_fast(conn, piece),
            Message::Port(port) => self.on_dht_port(conn, port),
            Message::Choke => self.on_choke(conn),
            Message::Unchoke => self.on_unchoke(conn),
            Message::Interested => self.on_interested(conn, true),
            Message::NotInterested => self.on_interested(conn, false),
            Message::Have(piece) => self.on_have(conn, piece),
            Message::Bitfield(bits) => self.on_claim(conn, Claim::Bits(bits)),
            Message::HaveAll => self.on_claim(conn, Claim::All),
            Message::HaveNone => self.on_claim(conn, Claim::None),
            Message::Request(block) => self.on_request(conn, block),
            Message::Piece { piece, begin, data } => self.on_block(conn, piece, begin, data),
            Message::Cancel(block) => self.on_cancel(conn, block),
            Message::Reject(block) => self.on_reject(conn, block),
            Message::Extended { id, payload } => self.on_extended(conn, id, &payload),
        }
    }

    fn on_interested(&mut self, conn: ConnId, interested: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut peer.interested, interested) == interested {
            return self.fault(conn, DropReason::Redundant);
        }
        peer.noise += 1;
        self.report_interest(conn);
        if interested {
            // it may be served at once
            self.run_actions();
            self.offer_fast(conn);
        }
        if !interested {
            self.tell_withheld(conn);
        }
    }
}
