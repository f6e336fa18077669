//! Who downloads nothing more (BEP 21): a seed, or who has all the files that were selected.
//!
//! Such a peer takes no upload slot even if it says that it is interested, nothing is kept for it, and two of them need
//! no connection. That we are one ourselves is said in the extended handshake, and when it changes in an `upload_only`
//! message to who takes that, else in another handshake unless HAVEs say as much. A superseeding seed does not say it: a peer that has got the one
//! piece that it was shown would hang up. Trackers are not told (BEP 21's event `paused`): what is `left` tells them.

use super::{ConnId, Swarm};
use crate::wire::extended::encode_upload_only;
use crate::wire::message::Message;

impl Swarm {
    /// Whether the peer is to know that we download nothing more.
    pub(super) fn is_upload_only_to(&self, conn: ConnId) -> bool {
        self.is_complete() && self.client.shows_all(conn.into())
    }

    /// Tells the peer whether we download nothing more, if that has changed.
    pub(super) fn tell_upload_only(&mut self, conn: ConnId) {
        let upload_only = self.is_upload_only_to(conn);
        let changed = |ext: &super::peer::Extensions| ext.told_upload_only != upload_only;
        // one whose handshake has not come yet is told when it comes
        let Some(peer) = self
            .peers
            .get_mut(&conn)
            .filter(|p| p.ext.shaken && changed(&p.ext))
        else {
            return;
        };
        let Some(id) = peer.ext.upload_only_id else {
            // that we have everything is seen from our HAVEs
            if !self.client.held().is_full() {
                self.send_extended_handshake(conn);
            }
            return;
        };
        peer.ext.told_upload_only = upload_only;
        let payload = encode_upload_only(upload_only);
        self.send(conn, Message::Extended { id, payload });
    }

    /// The peer says whether it downloads nothing more.
    pub(super) fn on_upload_only(&mut self, conn: ConnId, upload_only: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut peer.upload_only, upload_only) == upload_only {
            return;
        }
        self.client
            .handle_upload_only(conn.into(), upload_only, self.now);
        self.report_interest(conn);
        self.close_if_useless(conn);
    }

    /// Tells the client whether the peer wants something of ours, as far as it is believed.
    pub(super) fn report_interest(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get(&conn) {
            let interested = peer.interested && !peer.upload_only;
            self.client
                .handle_interested(conn.into(), interested, self.now);
        }
    }
}
