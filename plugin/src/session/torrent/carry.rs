//! Carrying the swarm's outputs out, and what connections and the directory say in.

use std::net::SocketAddr;

use chunkcast::chunks::ChunkSet;
use chunkcast::client::{self, Candidate, Query, Source, Wanted};
use chunkcast::coords::Coord;
use chunkcast::node::{LookupError, LookupRequest, Publication};
use chunkcast::wire::{self as dir, Found, Ranking};

use super::super::{Directory, TorrentSource, object_id, transports};
use super::lookups::Answer;
use super::pacing;
use super::reads::{Run, runs};
use super::{Conn, Input, PeersFrom, Torrent, TorrentError};
use crate::discovery::DhtNode;
use crate::limits::{Pace, Permit, Room};
use crate::metadata::{FileSelection, Metainfo};
use crate::storage::{StorageError, Stored};
use crate::swarm::{ConnId, DropReason, Output, PeerInfo};
use crate::wire::codec::FrameLimits;
use crate::wire::conn::{self, CloseReason, ConnEvent};
use crate::wire::connect::PeerStream;
use crate::wire::message::{BlockRef, Handshake};

impl Torrent {
    /// Carries out everything that the swarm asks for.
    pub(super) fn drain(&mut self) {
        loop {
            let reads = self.carry_out();
            let mut more = self.take_memory();
            for run in runs(&reads) {
                more |= self.read(run);
            }
            if !more {
                return;
            }
        }
    }

    /// Carries out what the swarm has said so far, but for the reads, which are put together.
    fn carry_out(&mut self) -> Vec<(ConnId, BlockRef)> {
        let mut reads = Vec::new();
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Send { conn, msg } => {
                    // a peer that does not read what it asked for: a message lost in between would leave both sides
                    // with different ideas of what is owed, so the connection ends, which comes back as an event
                    if let Some(c) = self.conns.get(&conn)
                        && !c.outbox.send(msg)
                    {
                        c.outbox.close();
                    }
                }
                Output::Close { conn, reason } => {
                    tracing::trace!("close {conn:?}: {reason:?}");
                    self.conns.remove(&conn);
                    self.on_web_seed_closed(conn, reason);
                }
                Output::Dial { addr, source } => self.dial(addr, source),
                Output::Store { piece, begin, data } => self.store(piece, begin, data),
                Output::Finish { piece } => self.finish(piece),
                Output::Discard { piece } => {
                    if let Some(buffers) = &mut self.buffers {
                        buffers.discard(piece);
                    }
                }
                Output::Read { conn, block } => reads.push((conn, block)),
                Output::LookUp(query) => self.look_up(query),
                Output::Publish {
                    held,
                    complete,
                    load,
                } => self.publish(held, complete, load),
                Output::Metadata(info) => self.on_metadata(info),
                Output::IndexNode(addr) => {
                    if let Some(index) = &self.shared.index {
                        index.learn(addr);
                    }
                }
                Output::DhtNode(addr) => {
                    if let Some(dht) = &self.shared.dht
                        && self.discovery.acceptable(addr, PeersFrom::Pex)
                    {
                        dht.add_node(addr);
                    }
                }
                Output::Introduced { conn, mut addrs } => {
                    // as far as the directory would be believed
                    addrs.retain(|a| self.discovery.acceptable(*a, PeersFrom::Directory));
                    let now = self.now();
                    self.swarm.handle_introduced(conn, &addrs, now);
                }
                Output::Exchanged(addrs) => self.candidates(PeersFrom::Pex, &addrs),
                Output::PieceDone { piece } => self.numbers.piece_done(piece),
                Output::Complete => self.finalize(),
            }
        }
        reads
    }

    fn dial(&mut self, addr: SocketAddr, source: Source) {
        let blocked = self.shared.is_blocked(addr.ip());
        let permit = self.shared.limits.try_connection();
        let Some(permit) = permit.filter(|_| !blocked) else {
            let now = self.now();
            return self.swarm.handle_dial_failed(addr, now);
        };
        let (shared, input, hash) = (self.shared.clone(), self.input.clone(), self.info_hash);
        let dht = shared.dht.is_some() && !self.private;
        self.tasks.spawn(async move {
            let ours = Handshake::ours(hash, shared.peer_id).with_dht(dht);
            let dialled = {
                let _half_open = shared.limits.half_open().await;
                transports::dial(&shared, addr, ours).await
            };
            let _ = input
                .send(Input::Dialled(
                    addr,
                    source,
                    Box::new(dialled.map(|peer| (peer, permit))),
                ))
                .await;
        });
    }

    /// A connection is up, handshakes exchanged.
    pub(super) fn connected(
        &mut self,
        peer: PeerStream,
        permit: Permit,
        source: Source,
        outbound: bool,
    ) {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        let info = PeerInfo {
            addr: peer.remote,
            outbound,
            source,
            rtt: peer.rtt,
            transport: peer.stream.transport(),
            encrypted: peer.stream.is_encrypted(),
            handshake: peer.handshake,
        };
        let limits = match &self.meta {
            Some(meta) => FrameLimits::for_pieces(meta.layout.piece_count()),
            None => FrameLimits::default(),
        };
        let pace = Pace::new(&self.limiters, self.shared.limits.rates()).unless(&self.alone);
        pace.set_exempt(pacing::is_exempt(&self.shared.config.limits, info.rtt));
        let outbox = conn::start_paced(
            id,
            peer,
            limits,
            self.wires.clone(),
            &self.shared.config.conn,
            pace,
        );
        self.conns.insert(
            id,
            Conn {
                outbox,
                remote: Some(info.addr),
                _permits: vec![permit],
            },
        );
        let now = self.now();
        let dht = self.shared.dht.as_ref().and_then(DhtNode::listen_addr);
        self.swarm.set_dht_port(dht.map(|addr| addr.port()));
        self.swarm.handle_connected(id, info, now);
    }

    /// A connection said something.
    pub(super) fn on_wire(&mut self, conn: ConnId, event: ConnEvent) {
        if !self.conns.contains_key(&conn) {
            return; // closed by us meanwhile
        }
        self.web.observe(conn, &event);
        let now = self.now();
        match event {
            ConnEvent::Messages(messages) => {
                for message in messages {
                    self.swarm.handle_message(conn, message, now);
                }
            }
            ConnEvent::Flushed(bytes) => self.swarm.handle_flushed(conn, bytes, now),
            ConnEvent::Held { down, up } => self.swarm.handle_held(conn, down, up, now),
            ConnEvent::BadAnswer => {
                self.swarm
                    .handle_dropped(conn, DropReason::BadAnswer, 1, now);
            }
            ConnEvent::Unknown { count, .. } => {
                self.swarm
                    .handle_dropped(conn, DropReason::UnknownMessage, count, now);
            }
            ConnEvent::Closed(reason) => {
                tracing::trace!("{conn:?} closed: {reason:?}");
                self.conns.remove(&conn);
                if let CloseReason::Broken(_) = reason {
                    self.swarm
                        .handle_dropped(conn, DropReason::BadFrame, 1, now);
                }
                self.swarm.handle_disconnected(conn, now);
            }
        }
    }

    /// Keeps an accepted block, which owns its bytes alone. What cannot be kept makes its piece fail when it is finished.
    fn store(&mut self, piece: u32, begin: u32, data: bytes::Bytes) {
        let kept = self.buffers.as_mut().map(|b| b.store(piece, begin, data));
        if !matches!(kept, Some(Stored::Kept | Stored::Complete)) {
            tracing::warn!("a block of piece {piece} was not kept: {kept:?}");
        }
    }

    /// Reads blocks for an upload: at once what the kernel has in memory, for that is sooner done than told to another
    /// thread; true if so. All else on a blocking thread, when there is memory for it.
    fn read(&mut self, run: Run) -> bool {
        let Some(storage) = self.storage.clone() else {
            return false;
        };
        let share = self.shared.limits.memory().uploads().clone();
        let room = share.try_take(run.len.into());
        if room.is_some()
            && let Some(data) = storage.read_cached(run.piece, run.begin, run.len)
        {
            self.on_blocks(&run, Ok(Held::new(data, room)));
            return true;
        }
        let input = self.input.clone();
        self.tasks.spawn(async move {
            let room = match room {
                Some(room) => room,
                None => share.take(run.len.into()).await,
            };
            let data = storage.read_block(run.piece, run.begin, run.len).await;
            let data = data.map(|data| Held::new(data, Some(room)));
            let _ = input.send(Input::Blocks(run, data)).await;
        });
        false
    }

    /// A run of blocks for an upload was read, or not.
    pub(super) fn on_blocks(&mut self, run: &Run, data: Result<bytes::Bytes, StorageError>) {
        // once: peers can ask for them as often as they like
        if let Err(e) = &data
            && !std::mem::replace(&mut self.read_failed, true)
        {
            tracing::warn!("blocks cannot be read for an upload: {e}");
        }
        let now = self.now();
        let mut data = data.ok();
        for block in run.blocks() {
            let bytes = data.as_mut().map(|d| d.split_to(block.len as usize));
            self.swarm.handle_block_read(run.conn, block, bytes, now);
        }
    }

    /// The files that are wanted; `None`: all.
    pub(super) fn selection(&self) -> Option<&FileSelection> {
        let of_magnet = match &self.add.source {
            TorrentSource::Magnet(magnet) => magnet.select.as_ref(),
            TorrentSource::Metainfo(_) => None,
        };
        self.add.select.as_ref().or(of_magnet)
    }

    /// Peers sent an info dict that has the right hash: check it, then look at the disk.
    fn on_metadata(&mut self, info: bytes::Bytes) {
        if self.meta.is_some() {
            // from a peer that came while existing data is still being checked
            return;
        }
        match Metainfo::from_info(info, Some(self.info_hash)) {
            Ok(mut meta) => {
                if let TorrentSource::Magnet(m) = &self.add.source {
                    // a private torrent's data comes from whom its metainfo names (BEP 27), which a link is not
                    if !meta.private {
                        meta.web_seeds.clone_from(&m.web_seeds);
                    }
                    meta.trackers = m.tiers();
                }
                self.on_metainfo(std::sync::Arc::new(meta));
            }
            Err(e) => {
                let info_hash = super::hex(&self.info_hash);
                self.fail(TorrentError::BadMetadata {
                    info_hash,
                    reason: e.to_string(),
                });
            }
        }
    }

    /// The client asks who holds what it still needs.
    fn look_up(&mut self, asked: Query) {
        let Some(index) = self.shared.index.clone().filter(|_| !self.private) else {
            let now = self.now();
            return self.swarm.handle_no_answer(now);
        };
        let request = LookupRequest {
            trace: self.lookups.is_watched(),
            object: object_id(&self.info_hash),
            wanted: match asked.wanted {
                Wanted::Chunks(set) if set.len() <= dir::MAX_CHUNKS => dir::Wanted::Chunks(set),
                Wanted::Any | Wanted::Chunks(_) => dir::Wanted::Any,
            },
            p: asked.p,
            mix: asked.mix,
            ranking: match asked.ranking {
                client::Ranking::Overlap => Ranking::Overlap,
                client::Ranking::Closeness => Ranking::Closeness,
                client::Ranking::Hybrid => Ranking::Hybrid,
            },
            asker: self.shared.addrs,
            ignore: asked.ignore,
            to_root: asked.to_root,
        };
        let (input, limits) = (self.input.clone(), self.shared.limits.clone());
        let ranking = request.ranking;
        self.tasks.spawn(async move {
            let began = tokio::time::Instant::now();
            let outcome = match limits.lookup().await {
                true => index.lookup(request).await,
                false => Err(LookupError::Busy),
            };
            let took = began.elapsed();
            let answered = match &outcome {
                Ok(found) => index.answered(found).await,
                Err(_) => (None, 0),
            };
            let answer = Answer {
                outcome,
                ranking,
                answered,
                took,
            };
            let _ = input.send(Input::Answer(Box::new(answer))).await;
        });
    }

    /// The directory answered, or did not.
    pub(super) fn on_answer(&mut self, answer: &Answer) {
        let own = self.shared.index.as_ref().map(Directory::coord);
        self.lookups.note(answer, own.as_ref());
        match &answer.outcome {
            Ok(found) => self.on_found(found, own),
            Err(_) => {
                let now = self.now();
                self.swarm.handle_no_answer(now);
            }
        }
    }

    /// The directory's answer, as candidates with predicted distances.
    fn on_found(&mut self, found: &Found, coord: Option<Coord>) {
        if self.private {
            // the question was asked before the metadata said so
            let now = self.now();
            return self.swarm.handle_no_answer(now);
        }
        let candidates: Vec<Candidate> = found
            .matches
            .iter()
            .filter_map(|m| {
                let addrs: Vec<SocketAddr> = m
                    .addrs
                    .iter()
                    .filter(|a| self.discovery.acceptable(*a, super::PeersFrom::Directory))
                    .collect();
                (!addrs.is_empty()).then(|| Candidate {
                    addrs,
                    source: Source::Directory,
                    apart: coord.as_ref().map(|c| c.apart(&m.coord)),
                    matched: m.matched,
                    load: m.load,
                    reachable: m.reachable,
                })
            })
            .collect();
        let now = self.now();
        match found.loaded {
            true => self.swarm.handle_loaded_answer(&candidates, now),
            false => self.swarm.handle_answer(&candidates, now),
        }
    }

    fn publish(&mut self, held: ChunkSet, complete: bool, load: u8) {
        let Some(index) = self.shared.index.as_ref().filter(|_| !self.private) else {
            return;
        };
        // more pieces than the directory can name: found all the same, by `any`
        let held = if held.len() > dir::MAX_CHUNKS {
            ChunkSet::empty(0)
        } else {
            held
        };
        index.publish(Publication {
            object: object_id(&self.info_hash),
            publisher: None,
            addrs: self.shared.addrs,
            chunks: held.len(),
            held,
            complete,
            load,
            reachable: true,
        });
    }
}

/// Blocks read for a peer: their memory is given back when the last of them is with the kernel, or dropped.
struct Held {
    bytes: bytes::Bytes,
    _room: Option<Room>,
}

impl Held {
    #[allow(clippy::new_ret_no_self, reason = "the bytes hold it")]
    fn new(bytes: bytes::Bytes, room: Option<Room>) -> bytes::Bytes {
        bytes::Bytes::from_owner(Self { bytes, _room: room })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl super::PeersFrom {
    /// The client's word for it.
    pub(super) fn source(self) -> Source {
        match self {
            Self::User => Source::Manual,
            Self::Tracker => Source::Tracker,
            Self::Dht => Source::Dht,
            Self::Lsd => Source::Lsd,
            Self::Pex => Source::Pex,
            Self::Directory => Source::Directory,
        }
    }
}
