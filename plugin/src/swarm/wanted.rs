//! Other pieces are wanted while the download runs: files were selected, or no longer are.
//!
//! Pieces that are no longer wanted are given up: what is asked for is cancelled, and what has come of them forgotten, but for
//! those that are whole and on their way to the disk.

use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;

use super::pieces::{BlockKey, Torrent};
use super::{ConnId, Swarm};

impl Swarm {
    /// Pieces `wanted` from now on, over all pieces, and which of them come before others: classes, the first first, that
    /// together are all that is wanted; none if all are alike. Before [`Swarm::set_metainfo`] only the classes count.
    ///
    /// A torrent that was complete may be incomplete by that, and complete again later: each time there is an
    /// [`Output::Complete`](super::Output::Complete).
    ///
    /// # Panics
    /// If `wanted` is not a set over exactly the torrent's pieces: a mistake of the caller.
    pub fn set_wanted(&mut self, wanted: ChunkSet, classes: Vec<ChunkSet>, now: Instant) {
        self.now = now;
        self.client.set_classes(classes);
        let Some(torrent) = &mut self.torrent else {
            return;
        };
        assert!(
            wanted.start() == 0 && wanted.len() == torrent.held.len(),
            "wanted is a set over all pieces of the torrent"
        );
        torrent.want(wanted.clone());
        self.client.set_wanted(wanted, now);
        self.give_up_unwanted();
        if !self.is_complete() && std::mem::take(&mut self.complete_told) {
            let conns: Vec<ConnId> = self.peers.keys().copied().collect();
            for conn in conns {
                self.tell_upload_only(conn);
            }
        }
        self.check_complete();
        self.refill = true;
        self.settle();
    }

    fn give_up_unwanted(&mut self) {
        let unwanted = |t: &Torrent| -> Vec<u32> {
            let open = t.open.iter();
            open.filter(|(piece, o)| !o.checking && !t.wanted.contains(**piece))
                .map(|(piece, _)| *piece)
                .collect()
        };
        for piece in self.torrent.as_ref().map(unwanted).unwrap_or_default() {
            let mut asked: Vec<(ConnId, BlockKey)> = Vec::new();
            for (conn, peer) in &self.peers {
                let owed = peer.down.outstanding.range((piece, 0)..=(piece, u32::MAX));
                asked.extend(owed.map(|(key, _)| (*conn, *key)));
            }
            for (conn, key) in asked {
                self.give_up(conn, key);
                self.send_cancel(conn, key);
            }
            self.give_up_piece(piece);
        }
    }
}
