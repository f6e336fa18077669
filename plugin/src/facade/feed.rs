//! Clients in this process, which tell of their pieces themselves as they complete them.
//!
//! What such a client has from before is still read by connecting to it; the connection is not kept.

use std::sync::Arc;

use chunkcast::chunks::ChunkSet;
use tokio::sync::watch;

use super::service::Shared;
use crate::metadata::Metainfo;

/// What a client has told of a torrent.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// Those who tell of it: more than one while a client opens it anew.
    tellers: usize,
    /// How often it has begun or ended to serve it, as far as it knows.
    pub(super) turns: u32,
    /// Pieces completed since it began.
    pub(super) completed: Option<ChunkSet>,
}

impl Fed {
    /// Whether the client tells of the torrent.
    pub(super) fn is_fed(&self) -> bool {
        self.tellers > 0
    }
}

/// A torrent of a client, by infohash and peer id.
pub(super) type FeedKey = ([u8; 20], [u8; 20]);

/// Through which clients in this process tell a tracker of their torrents.
#[derive(Clone, Debug)]
pub struct Feeds(pub(super) Arc<Shared>);

impl Feeds {
    /// The client with this peer id has a torrent, and tells of it until the last copy of the answer is dropped. The torrent
    /// counts as known from its metainfo.
    pub fn torrent(&self, meta: &Metainfo, peer_id: [u8; 20]) -> Feed {
        let told = self.0.fed(meta, (meta.info_hash, peer_id));
        let pieces = meta.layout.piece_count();
        told.send_modify(|fed| {
            *fed = Fed {
                tellers: fed.tellers + 1,
                turns: fed.turns + 1,
                completed: Some(ChunkSet::empty(pieces)),
            };
        });
        Feed(Arc::new(Teller(told)))
    }
}

/// One torrent of one client.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Teller>);

/// Takes back what was told when it is dropped.
#[derive(Debug)]
struct Teller(Arc<watch::Sender<Fed>>);

impl Feed {
    /// A piece is complete and checked. One that the torrent does not have is ignored.
    pub fn completed(&self, piece: u32) {
        self.0.0.send_if_modified(|fed| {
            let completed = fed.completed.as_mut().filter(|c| piece < c.len());
            completed.is_some_and(|c| c.insert(piece))
        });
    }

    /// The client begins to serve the torrent, or ends it: it is looked at again.
    pub fn turned(&self) {
        self.0.0.send_modify(|fed| fed.turns += 1);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.send_modify(|fed| {
            fed.tellers -= 1;
            if fed.tellers == 0 {
                fed.turns += 1;
                fed.completed = None;
            }
        });
    }
}
