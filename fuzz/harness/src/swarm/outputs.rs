//! What the engine does, carried out and checked.

use std::collections::BTreeSet;

use chunkcast::client::ClientConfig;
use chunkcast::client::MAX_INTRODUCED;
use chunkcast_bittorrent::swarm::{ConnId, Output, PieceResult};
use chunkcast_bittorrent::wire::codec::FrameLimits;
use chunkcast_bittorrent::wire::extended::UtMetadata;
use chunkcast_bittorrent::wire::message::{BlockRef, Message};
use chunkcast_bittorrent::wire::pex::MAX_READ;
use sha1::{Digest, Sha1};

use super::{Bench, PIECES, TORRENT};
use crate::peer::write_and_read;

impl Bench {
    pub(super) fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.swarm.poll_output() {
            outputs += 1;
            assert!(outputs < 3000, "{outputs} outputs for one input");
            self.carry_out(output);
        }
        let stats = self.swarm.stats();
        assert!(stats.outstanding <= 2048);
        assert!(
            stats
                .peers
                .iter()
                .all(|p| p.queued <= 500 && p.outstanding <= 500)
        );
        let held = self.swarm.held();
        let held: BTreeSet<_> = (0..held.len()).filter(|i| held.contains(*i)).collect();
        assert!(!self.known || held == self.verified);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn, msg } => self.sent(conn, msg),
            Output::Close { conn, .. } => assert!(self.open.remove(&conn), "closed twice"),
            Output::Dial { addr, .. } => self.dials.push(addr),
            Output::Store { piece, begin, data } => {
                let (conn, block) = self.arrived.expect("a block arrived");
                assert_eq!(
                    (block.piece, block.begin, block.len as usize),
                    (piece, begin, data.len())
                );
                assert!(
                    self.asked.contains(&(conn, block)),
                    "{block:?} was not asked for"
                );
                assert!(!self.verified.contains(&piece));
                let before = self.pieces.entry(piece).or_default().insert(begin, data);
                assert!(before.is_none(), "{block:?} is stored twice");
            }
            Output::Discard { piece } => {
                self.pieces.remove(&piece);
            }
            Output::Finish { piece } => {
                let blocks = self.pieces.remove(&piece).expect("blocks were stored");
                let bytes: Vec<u8> = blocks.into_values().flatten().collect();
                let layout = &TORRENT.1.layout;
                assert_eq!(
                    bytes.len(),
                    layout.piece_len(piece) as usize,
                    "a piece with holes"
                );
                let result =
                    match <[u8; 20]>::from(Sha1::digest(&bytes)) == layout.piece_hash(piece) {
                        true if self.disk_fails => PieceResult::DiskError,
                        true => {
                            self.verified.insert(piece);
                            PieceResult::Ok
                        }
                        false => PieceResult::BadHash,
                    };
                self.swarm.handle_piece_result(piece, result, self.now);
            }
            Output::Read { conn, block } => {
                assert!(self.verified.contains(&block.piece));
                assert!(
                    TORRENT
                        .1
                        .layout
                        .contains(block.piece, block.begin, block.len)
                );
                assert!(
                    self.requested_of_us.contains(&(conn, block)),
                    "{block:?} was not asked for"
                );
                self.reads.push((conn, block));
            }
            Output::LookUp(query) => {
                let before = self.looking_up.replace(self.now);
                let patience = ClientConfig::default().lookup_deadline;
                assert!(
                    before.is_none_or(|t| self.now - t >= patience),
                    "two lookups at once"
                );
                assert!(query.p > 0 && query.mix <= query.p && query.ignore.len() <= 8);
            }
            Output::Metadata(info) => assert_eq!(info, TORRENT.1.info),
            Output::Publish { held, complete, .. } => {
                assert_eq!(complete, self.verified.len() == PIECES as usize);
                assert!((0..PIECES).all(|i| !held.contains(i) || self.verified.contains(&i)));
            }
            Output::PieceDone { piece } => assert!(self.verified.contains(&piece)),
            Output::Complete => assert_eq!(self.verified.len(), PIECES as usize),
            Output::DhtNode(addr) | Output::IndexNode(addr) => assert_ne!(addr.port(), 0),
            Output::Exchanged(addrs) => assert!((1..=MAX_READ).contains(&addrs.len())),
            Output::Introduced { addrs, .. } => assert!(addrs.len() <= MAX_INTRODUCED),
        }
    }

    fn sent(&mut self, conn: ConnId, msg: Message) {
        assert!(
            self.open.contains(&conn),
            "{msg:?} to {conn:?}, which is closed"
        );
        write_and_read(&msg, FrameLimits::UNKNOWN_PIECES);
        match msg {
            Message::Request(block) => {
                assert!(
                    TORRENT
                        .1
                        .layout
                        .contains(block.piece, block.begin, block.len)
                );
                assert!(
                    !self.verified.contains(&block.piece),
                    "{block:?} is here already"
                );
                self.asked.insert((conn, block));
            }
            Message::Piece { piece, begin, data } => {
                let len = u32::try_from(data.len()).expect("a block");
                let block = BlockRef { piece, begin, len };
                assert!(self.requested_of_us.contains(&(conn, block)));
            }
            Message::Have(piece) => assert!(self.verified.contains(&piece)),
            Message::Extended { id, payload } if id != 0 => {
                if let Ok(UtMetadata::Request(piece)) = UtMetadata::decode(&payload) {
                    self.metadata_asked.insert((conn, piece));
                }
            }
            _ => {}
        }
    }
}
