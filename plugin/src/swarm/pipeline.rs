//! Which block is asked of which peer next.
//!
//! A peer with room in its pipeline gets, in this order: blocks of pieces assigned to it; what is left of a piece whose
//! server is gone (only the peer that it was begun with may go on with it in its first second); a new piece from the
//! client; blocks of a piece that others work on; and in the [endgame](super::endgame) blocks that others owe.

use super::peer::Peer;
use super::pieces::{BlockKey, Torrent};
use super::timers::wanted_bytes;
use super::{ConnId, Limits, Swarm};
use crate::metadata::BLOCK;
use crate::wire::message::{BlockRef, Message};

/// Pieces that the client may assign to a peer in one go without one of them having a block to ask for.
const MAX_ASSIGNMENTS: usize = 64;

/// Open pieces that are always allowed, whatever their size.
const MIN_OPEN: usize = 2;

/// Bytes of unfinished pieces of this length that there are at most: what the caller has to be able to keep.
pub fn max_buffered(limits: &Limits, piece_length: u32) -> u64 {
    let always = MIN_OPEN as u64 * u64::from(piece_length);
    limits.max_open_bytes.saturating_mul(2).max(always)
}

/// Requests outstanding at all far peers together: they share a link, and each piece that is in flight on it longer than need be
/// is one that others of the area, or other areas, cannot have from us yet.
#[derive(Debug)]
pub(super) struct FarWindow {
    /// Requests that are outstanding, in blocks.
    outstanding: u32,
    /// Of these the ones that are so old that they say nothing about the link.
    stuck: u32,
    /// How many there may be.
    window: u32,
}

impl FarWindow {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            outstanding: 0,
            stuck: 0,
            window: limits.far_window,
        }
    }

    fn has_room(&self) -> bool {
        self.outstanding.saturating_sub(self.stuck) < self.window
    }
}

impl Swarm {
    /// Counts what far peers owe, and sizes their common window by their common rate.
    pub(super) fn update_far_window(&mut self) {
        let limits = &self.config.limits;
        let (mut outstanding, mut stuck, mut bytes) = (0_usize, 0_usize, 0_u64);
        for peer in self.peers.values().filter(|p| !p.near) {
            let owed = &peer.down.outstanding;
            outstanding += owed.len();
            stuck += owed
                .values()
                .filter(|sent| self.now.saturating_since(**sent) >= limits.rescue_after)
                .count();
            if !owed.is_empty() {
                bytes = bytes.saturating_add(wanted_bytes(peer, limits));
            }
        }
        let blocks = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.far = FarWindow {
            outstanding: blocks(outstanding),
            stuck: blocks(stuck),
            window: u32::try_from(bytes / u64::from(BLOCK))
                .unwrap_or(u32::MAX)
                .max(limits.far_window),
        };
    }

    /// Asks `conn` for blocks until its pipeline is full or nothing is left for it.
    pub(super) fn fill(&mut self, conn: ConnId) {
        if self.peers.get(&conn).is_some_and(|p| p.choking) {
            return self.fill_allowed(conn);
        }
        while self.has_room(conn) {
            let mut key = self.own_block(conn);
            if key.is_none() {
                self.fill_relays(conn);
                if !self.has_room(conn) {
                    break;
                }
                key = self.other_block(conn);
            }
            let Some(key) = key else {
                break;
            };
            self.request(conn, key);
        }
    }

    /// Before a far peer is asked for a piece that it is not sending yet, those far servers are that have fewer pieces, the one
    /// with the fewest first: what they pass on is not asked of those that have everything, whose uplinks all wait for.
    /// // measured: 33.5 s in place of 36 to 43 between sites
    fn fill_relays(&mut self, conn: ConnId) {
        let Some(held) = self.peers.get(&conn).filter(|p| !p.near).map(Peer::held) else {
            return;
        };
        let relays = self
            .peers
            .iter()
            .filter(|(_, p)| !p.near && p.down.active && p.serves() && p.held() < held);
        let mut relays: Vec<(u32, ConnId)> = relays.map(|(c, p)| (p.held(), *c)).collect();
        relays.sort_unstable();
        for (_, relay) in relays {
            while self.has_room(relay)
                && let Some(key) = self.own_block(relay).or_else(|| self.other_block(relay))
            {
                self.request(relay, key);
            }
        }
    }

    /// A block that is not of a piece assigned to the peer; none of one that refused lately.
    fn other_block(&mut self, conn: ConnId) -> Option<BlockKey> {
        if self.client.is_paused(conn.into()) {
            return None;
        }
        let helps = self.may_help(conn);
        let key = if self.peers.get(&conn).is_some_and(|p| p.down.active) {
            self.orphan_block(conn).or_else(|| self.new_block(conn))
        } else {
            None
        };
        key.or_else(|| if helps { self.joined_block(conn) } else { None })
            .or_else(|| self.endgame_block(conn))
    }

    /// Fills every pipeline that has room.
    pub(super) fn fill_all(&mut self) {
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        for conn in conns {
            self.fill(conn);
        }
    }

    /// Whether the peer may go on with pieces of others: a server of ours, or anyone once nothing is left to begin (a
    /// client without a chunk for a peer does not make it a server).
    fn may_help(&self, conn: ConnId) -> bool {
        let all_open = self.torrent.as_ref().is_some_and(Torrent::all_open);
        self.peers
            .get(&conn)
            .is_some_and(|p| p.down.active || (all_open && !p.down.snubbed))
    }

    fn has_room(&self, conn: ConnId) -> bool {
        self.peers.get(&conn).is_some_and(|p| !p.choking) && self.has_window(conn)
    }

    /// Whether there is room in the peer's pipeline, whether it serves us or not.
    pub(super) fn has_window(&self, conn: ConnId) -> bool {
        let Some(peer) = self.peers.get(&conn) else {
            return false;
        };
        let window = peer
            .down
            .window
            .min(peer.ext.reqq.unwrap_or(u32::MAX).max(1));
        !self.stopped
            && self.torrent.is_some()
            && peer.down.outstanding.len() < window as usize
            && self.outstanding < self.config.limits.max_outstanding
            && (peer.near || self.far.has_room())
    }

    /// A block of a piece that is assigned to the peer.
    fn own_block(&mut self, conn: ConnId) -> Option<BlockKey> {
        let pieces = self.peers.get(&conn)?.down.pieces.clone();
        for piece in pieces {
            if let Some(block) = self.block_of(conn, piece) {
                return Some((piece, block));
            }
        }
        None
    }

    /// A block of a piece that the peer works on.
    pub(super) fn block_of(&mut self, conn: ConnId, piece: u32) -> Option<u32> {
        let block = self
            .may_fetch(conn, piece)
            .then(|| self.free_block(piece))??;
        self.begin_exclusive(conn, piece);
        Some(block)
    }

    /// A block of an open piece that nobody works on; the peer becomes its worker.
    fn orphan_block(&mut self, conn: ConnId) -> Option<BlockKey> {
        let peer = self.peers.get(&conn)?;
        let torrent = self.torrent.as_ref()?;
        let limits = &self.config.limits;
        let piece = torrent.open.iter().find_map(|(&piece, open)| {
            if open.free == 0 || open.checking || !peer.has(piece) {
                return None; // most
            }
            let (by, at) = open.begun;
            let others_turn = by == conn
                || self.now.saturating_since(at) >= limits.begun_with
                || !self
                    .peers
                    .get(&by)
                    .is_some_and(|p| p.serves() && p.down.active);
            let orphan = open.workers.is_empty() || self.waits_for_another(piece);
            (orphan && others_turn && self.is_near_enough(conn, piece))
                .then_some(piece)
                .filter(|&piece| self.may_fetch(conn, piece))
        })?;
        self.assign(conn, piece);
        self.begin_exclusive(conn, piece);
        self.free_block(piece).map(|block| (piece, block))
    }

    /// The first block of a piece that the client assigns now.
    fn new_block(&mut self, conn: ConnId) -> Option<BlockKey> {
        for _ in 0..MAX_ASSIGNMENTS {
            if !self.may_begin(conn) {
                return None;
            }
            let piece = self.client.next_chunk(conn.into(), self.now)?;
            let torrent = self.torrent.as_ref()?;
            debug_assert!(!torrent.held.contains(piece) && torrent.wanted.contains(piece));
            if piece >= torrent.held.len() || torrent.held.contains(piece) {
                return None;
            }
            self.begin(conn, piece);
            if let Some(block) = self.block_of(conn, piece) {
                return Some((piece, block));
            }
            // another peer is to fetch it
            self.refill = true;
        }
        None
    }

    /// Whether there is room for one more open piece that the peer works on.
    pub(super) fn may_begin(&mut self, conn: ConnId) -> bool {
        let (Some(torrent), Some(peer)) = (&self.torrent, self.peers.get(&conn)) else {
            return false;
        };
        let bytes = torrent.open_bytes() + u64::from(torrent.layout().piece_length);
        let limit = self.config.limits.max_open_bytes;
        let busy = !peer.down.pieces.is_empty();
        let full = torrent.open.len() >= MIN_OPEN
            && (bytes > limit && busy || bytes > limit.saturating_mul(2));
        if full {
            return false;
        }
        self.memory_short |= bytes > self.memory;
        bytes <= self.memory
    }

    /// Opens a piece that the client has assigned to the peer.
    pub(super) fn begin(&mut self, conn: ConnId, piece: u32) {
        if let Some(torrent) = &mut self.torrent {
            torrent.open(piece, conn, self.now);
            self.assign(conn, piece);
        }
    }

    /// A block of a piece that other peers work on and did not finish in its first second.
    fn joined_block(&mut self, conn: ConnId) -> Option<BlockKey> {
        let peer = self.peers.get(&conn)?;
        let torrent = self.torrent.as_ref()?;
        let limits = &self.config.limits;
        let piece = torrent.open.iter().find_map(|(&piece, open)| {
            if open.free == 0 || open.checking || !peer.has(piece) {
                return None; // most
            }
            let age = self.now.saturating_since(open.begun.1);
            let near = |c: &ConnId| self.peers.get(c).is_some_and(|p| p.near);
            let first_choice = peer.near || !open.workers.iter().any(near);
            let wait = if first_choice {
                limits.begun_with
            } else {
                limits.request_timeout
            };
            (age >= wait && !self.blame.is_exclusive(piece)).then_some(piece)
        })?;
        self.free_block(piece).map(|block| (piece, block))
    }

    fn free_block(&mut self, piece: u32) -> Option<u32> {
        let open = self.torrent.as_mut()?.open.get_mut(&piece)?;
        if open.checking {
            None
        } else {
            open.next_free()
        }
    }

    /// From a far peer only what no near peer could send (area rule, for pieces that the client does not assign anew).
    fn is_near_enough(&self, conn: ConnId, piece: u32) -> bool {
        let near = self.peers.get(&conn).is_some_and(|p| p.near);
        near || self.blame.is_exclusive(piece)
            || !self
                .peers
                .values()
                .any(|p| p.near && p.serves() && p.has(piece))
    }

    /// A piece that failed its hash is fetched from one peer alone, not a suspect where there is another.
    fn may_fetch(&self, conn: ConnId, piece: u32) -> bool {
        if !self.blame.is_exclusive(piece) {
            return true;
        }
        let Some(open) = self.torrent.as_ref().and_then(|t| t.open.get(&piece)) else {
            return true;
        };
        let taken = open.blocks.iter().any(|b| b.requests > 0)
            && !self.peers.get(&conn).is_some_and(|p| {
                p.down
                    .outstanding
                    .range((piece, 0)..=(piece, u32::MAX))
                    .next()
                    .is_some()
            });
        let begun_by_other = open.contributors.iter().any(|c| {
            c.conn != conn
                && self
                    .peers
                    .get(&c.conn)
                    .is_some_and(|p| p.serves() && p.down.pieces.contains(&piece))
        });
        if taken || begun_by_other {
            return false;
        }
        !self.blame.is_suspect(piece, conn) || !self.has_unsuspected_server(piece)
    }

    /// Whether a server that had no part in a failed attempt holds the piece.
    fn has_unsuspected_server(&self, piece: u32) -> bool {
        self.peers.iter().any(|(c, p)| {
            p.down.active && p.serves() && p.has(piece) && !self.blame.is_suspect(piece, *c)
        })
    }

    /// Whether nobody is asked for a piece that must come from one peer alone, as those who work on it are suspects and
    /// another server is not.
    fn waits_for_another(&self, piece: u32) -> bool {
        let open = self.torrent.as_ref().and_then(|t| t.open.get(&piece));
        self.blame.is_exclusive(piece)
            && open.is_some_and(|o| {
                o.blocks.iter().all(|b| b.requests == 0)
                    && o.workers.iter().all(|w| self.blame.is_suspect(piece, *w))
            })
            && self.has_unsuspected_server(piece)
    }

    /// A piece that must come from one peer alone starts anew when another peer takes it over.
    fn begin_exclusive(&mut self, conn: ConnId, piece: u32) {
        if !self.blame.is_exclusive(piece) {
            return;
        }
        let Some(open) = self.torrent.as_mut().and_then(|t| t.open.get_mut(&piece)) else {
            return;
        };
        if open.contributors.iter().any(|c| c.conn != conn) {
            open.reset();
            self.push(super::Output::Discard { piece });
        }
    }

    /// Makes the peer a worker of an open piece.
    fn assign(&mut self, conn: ConnId, piece: u32) {
        let Some(open) = self.torrent.as_mut().and_then(|t| t.open.get_mut(&piece)) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if !open.workers.contains(&conn) {
            open.workers.push(conn);
        }
        if !peer.down.pieces.contains(&piece) {
            peer.down.pieces.push(piece);
        }
    }

    /// Sends the request for a block of an open piece.
    pub(super) fn request(&mut self, conn: ConnId, (piece, block): BlockKey) {
        let now = self.now;
        let Some(torrent) = &mut self.torrent else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let Some(open) = torrent.open.get_mut(&piece) else {
            return;
        };
        let down = &mut peer.down;
        if down.outstanding.is_empty() {
            down.alive = now;
            down.since = now;
            down.counted = 0;
            down.probe = Some(((piece, block), now));
        }
        if down.outstanding.insert((piece, block), now).is_some() {
            return;
        }
        // A request made again is no longer one that was given up.
        down.take_late((piece, block));
        open.asked(block, now);
        self.outstanding += 1;
        self.far.outstanding += u32::from(!peer.near);
        let len = torrent.layout().block_len(piece, block);
        let msg = Message::Request(BlockRef {
            piece,
            begin: block * BLOCK,
            len,
        });
        self.send(conn, msg);
        self.tick = self.tick.min(now + self.config.limits.busy_tick);
    }

    /// Takes a request off the books; whether it was outstanding.
    pub(super) fn unrequest(&mut self, conn: ConnId, (piece, block): BlockKey) -> bool {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return false;
        };
        if peer.down.outstanding.remove(&(piece, block)).is_none() {
            return false;
        }
        self.outstanding -= 1;
        let far = u32::from(!peer.near);
        self.far.outstanding = self.far.outstanding.saturating_sub(far);
        if let Some(open) = self.torrent.as_mut().and_then(|t| t.open.get_mut(&piece)) {
            open.unasked(block);
        }
        self.prune(piece);
        true
    }

    /// Gives up every request to the peer; answers that still come are taken while their blocks are missing.
    pub(super) fn give_up_requests(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.down.probe = None;
        let keys: Vec<BlockKey> = peer.down.outstanding.keys().copied().collect();
        for key in keys {
            self.give_up(conn, key);
        }
    }

    /// Gives up one request.
    pub(super) fn give_up(&mut self, conn: ConnId, key: BlockKey) {
        if self.unrequest(conn, key) {
            self.refill = true;
            let limit = self.config.limits.max_late;
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.down.give_up(key, limit);
            }
        }
    }

    /// Gives the peer's pieces back: others go on with them.
    pub(super) fn give_back_pieces(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        for piece in std::mem::take(&mut peer.down.pieces) {
            self.give_back(conn, piece);
        }
    }

    /// Gives one piece back.
    pub(super) fn give_back(&mut self, conn: ConnId, piece: u32) {
        self.take_piece(conn, piece);
        self.client.handle_released(conn.into(), piece, self.now);
        self.prune(piece);
    }

    /// The peer refuses to send the piece: it is nobody's, and nothing more is begun with the peer for a while. Pieces
    /// that it did begin to send go on.
    pub(super) fn refused(&mut self, conn: ConnId, piece: u32) {
        self.take_piece(conn, piece);
        if self.client.is_assigned_to(piece, conn.into()) {
            self.client.handle_refused(conn.into(), piece, self.now);
        } else {
            self.client.handle_busy(conn.into(), self.now);
        }
        self.prune(piece);
    }

    /// The peer no longer works on the piece.
    fn take_piece(&mut self, conn: ConnId, piece: u32) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.down.pieces.retain(|p| *p != piece);
        }
        if let Some(open) = self.torrent.as_mut().and_then(|t| t.open.get_mut(&piece)) {
            open.workers.retain(|w| *w != conn);
        }
        self.refill = true;
    }

    /// The client asks nothing more of this peer, which finishes the pieces that were begun with it: what is on the wire
    /// comes anyway, and a piece that nobody seems to be fetching is fetched by a near neighbour too.
    pub(super) fn stop_asking(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.down.active = false;
        let pieces = peer.down.pieces.clone();
        for piece in pieces {
            if !self.is_begun_with(conn, piece) {
                self.give_back(conn, piece);
            }
        }
    }

    /// Whether the peer was asked for something of the piece, or sent some.
    fn is_begun_with(&self, conn: ConnId, piece: u32) -> bool {
        let open = self.torrent.as_ref().and_then(|t| t.open.get(&piece));
        open.is_some_and(|o| o.contributors.iter().any(|c| c.conn == conn))
            || self.peers.get(&conn).is_some_and(|p| {
                let mut owed = p.down.outstanding.range((piece, 0)..=(piece, u32::MAX));
                owed.next().is_some()
            })
    }

    /// An open piece that nobody works on and of which there is nothing is not open.
    fn prune(&mut self, piece: u32) {
        let Some(torrent) = &mut self.torrent else {
            return;
        };
        if torrent
            .open
            .get(&piece)
            .is_some_and(|o| o.workers.is_empty() && o.is_untouched())
        {
            torrent.close(piece);
        }
    }
}
