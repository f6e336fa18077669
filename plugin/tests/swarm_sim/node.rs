//! A torrent's content, and a torrent with its disk that checks what is sent and stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chunkcast::chunks::ChunkSet;
use chunkcast::time::Instant;
use chunkcast_bittorrent::metadata::Metainfo;
use chunkcast_bittorrent::swarm::{CloseReason, ConnId, PieceResult, Swarm};
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha1::{Digest, Sha1};

/// A torrent and its bytes.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) meta: Arc<Metainfo>,
    pub(crate) data: Bytes,
}

impl Content {
    /// `len` random bytes in pieces of `piece_length`.
    pub(crate) fn random(len: usize, piece_length: usize, seed: u64) -> Self {
        let mut data = vec![0; len];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut data);
        let hashes: Vec<u8> = data.chunks(piece_length).flat_map(Sha1::digest).collect();
        let mut info = format!(
            "d6:lengthi{len}e4:name4:data12:piece lengthi{piece_length}e6:pieces{}:",
            hashes.len()
        )
        .into_bytes();
        info.extend_from_slice(&hashes);
        info.push(b'e');
        let meta = Metainfo::from_info(info.into(), None).unwrap();
        Self {
            meta: Arc::new(meta),
            data: data.into(),
        }
    }

    pub(crate) fn pieces(&self) -> u32 {
        self.meta.layout.piece_count()
    }

    pub(crate) fn full(&self) -> ChunkSet {
        ChunkSet::full(self.pieces())
    }

    pub(crate) fn none(&self) -> ChunkSet {
        ChunkSet::empty(self.pieces())
    }

    pub(crate) fn block(&self, b: BlockRef) -> Bytes {
        let at = self.meta.layout.piece_offset(b.piece) as usize + b.begin as usize;
        self.data.slice(at..at + b.len as usize)
    }
}

/// A torrent with its disk.
pub(crate) struct Node {
    pub(crate) swarm: Swarm,
    pub(crate) content: Content,
    pub(crate) disk: BTreeMap<u32, Vec<u8>>,
    pub(crate) buffers: BTreeMap<u32, BTreeMap<u32, Bytes>>,
    pub(crate) finishing: BTreeSet<u32>,
    /// Requests sent, by connection: a block that nobody asked for must not be stored.
    pub(crate) requested: BTreeSet<(ConnId, BlockRef)>,
    pub(crate) stored_now: Vec<(u32, u32, Bytes)>,
    pub(crate) complete_at: Option<Instant>,
    pub(crate) closed: Vec<(ConnId, CloseReason)>,
    pub(crate) sent: Vec<(ConnId, Message)>,
    pub(crate) keep_sent: bool,
    pub(crate) metadata: Option<Bytes>,
    pub(crate) index_nodes: Vec<SocketAddr>,
    pub(crate) dht_nodes: Vec<SocketAddr>,
    pub(crate) exchanged: Vec<SocketAddr>,
    pub(crate) published: Vec<ChunkSet>,
    pub(crate) payload_sent: u64,
    /// Pieces whose write fails, once each.
    pub(crate) disk_errors: BTreeSet<u32>,
    /// After the metadata: what is wanted (all if `None`).
    pub(crate) wanted: Option<ChunkSet>,
}

impl Node {
    /// Whether every wanted piece is on disk with the right bytes, and nothing else.
    pub(crate) fn check_bytes(&self) {
        let wanted = self.wanted.clone().unwrap_or_else(|| self.content.full());
        for piece in wanted.iter() {
            let len = self.content.meta.layout.piece_len(piece);
            let good = self.content.block(BlockRef {
                piece,
                begin: 0,
                len,
            });
            assert_eq!(
                self.disk.get(&piece).map(Vec::as_slice),
                Some(&good[..]),
                "piece {piece}"
            );
        }
    }

    pub(crate) fn verify(&mut self, piece: u32) -> PieceResult {
        let layout = &self.content.meta.layout;
        let blocks = self
            .buffers
            .remove(&piece)
            .expect("the buffer of a finished piece");
        let mut bytes = Vec::new();
        for (begin, data) in blocks {
            assert_eq!(begin as usize, bytes.len(), "a gap in piece {piece}");
            bytes.extend_from_slice(&data);
        }
        assert_eq!(bytes.len(), layout.piece_len(piece) as usize);
        if Sha1::digest(&bytes)[..] != layout.piece_hash(piece) {
            return PieceResult::BadHash;
        }
        if self.disk_errors.remove(&piece) {
            return PieceResult::DiskError;
        }
        self.disk.insert(piece, bytes);
        PieceResult::Ok
    }

    pub(crate) fn check_sent(&mut self, conn: ConnId, msg: &Message) {
        match msg {
            Message::Have(piece) => {
                assert!(
                    self.disk.contains_key(piece),
                    "HAVE {piece} before it is written"
                );
            }
            Message::Bitfield(bits) => {
                let set = ChunkSet::from_bytes(0, self.content.pieces(), bits).unwrap();
                assert!(
                    set.iter().all(|p| self.disk.contains_key(&p)),
                    "bitfield too early"
                );
            }
            Message::HaveAll => assert_eq!(self.disk.len(), self.content.pieces() as usize),
            Message::Request(block) => {
                let layout = &self.content.meta.layout;
                assert!(layout.contains(block.piece, block.begin, block.len));
                assert!(
                    !self.disk.contains_key(&block.piece),
                    "asked for a held piece"
                );
                let wanted = self.wanted.as_ref();
                assert!(
                    wanted.is_none_or(|w| w.contains(block.piece)),
                    "asked for a piece that nobody wants"
                );
                self.requested.insert((conn, *block));
            }
            _ => {}
        }
    }

    /// What was stored came with this message and had been asked of this connection.
    pub(crate) fn check_stored(&mut self, conn: ConnId, block: Option<(u32, u32, Bytes)>) {
        for stored in std::mem::take(&mut self.stored_now) {
            let len = u32::try_from(stored.2.len()).unwrap();
            let asked = BlockRef {
                piece: stored.0,
                begin: stored.1,
                len,
            };
            assert_eq!(Some(stored), block, "stored something else than what came");
            assert!(
                self.requested.contains(&(conn, asked)),
                "stored what was not asked: {asked:?}"
            );
        }
    }
}
