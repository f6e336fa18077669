//! A torrent's part of the memory that all torrents share for pieces that are not on disk yet.
//!
//! The swarm begins a piece only when the piece's whole length is set aside for it. What is set aside grows a piece at a
//! time while it is wanted, and shrinks when pieces are done and others wait.

use std::time::Duration;

use super::{Input, Torrent};
use crate::limits::Room;

/// While other torrents wait for memory, a piece of which nothing was asked for so long is given up.
const IDLE: Duration = Duration::from_secs(30); // guess: peers that choked have had three turns to unchoke

/// Memory is taken and kept in steps of so many bytes, or of one piece if that is longer, while nobody else waits.
const STEP: u64 = 1 << 20; // guess: 64 blocks

/// What is set aside for this torrent's pieces.
#[derive(Debug, Default)]
pub(super) struct Memory {
    room: Option<Room>,
    /// Bytes that the room stands for; more than it holds when a piece is longer than all the memory there is.
    bytes: u64,
    /// More is being waited for: so many bytes.
    asked: Option<u64>,
}

impl Memory {
    fn add(&mut self, room: Room, bytes: u64) {
        self.bytes += bytes;
        match &mut self.room {
            Some(all) => all.merge(room),
            None => self.room = Some(room),
        }
    }

    /// Keeps no more than `bytes`.
    fn shrink_to(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            return;
        }
        self.bytes = bytes;
        match &mut self.room {
            Some(_) if bytes == 0 => self.room = None,
            Some(room) => room.shrink_to(bytes),
            None => {}
        }
    }
}

impl Torrent {
    /// After every input: gives back what the swarm does not use, takes more memory if it could use it. True if it may go
    /// on with more.
    pub(super) fn take_memory(&mut self) -> bool {
        if self.storage.is_none() {
            return false;
        }
        let now = self.now();
        let short = self.shared.limits.memory().pieces().is_short();
        let open = self.swarm.open_bytes();
        let step = self
            .meta
            .as_ref()
            .map_or(STEP, |meta| STEP.max(u64::from(meta.layout.piece_length)));
        let spare = if open > 0 && !short { step } else { 0 };
        if open + spare < self.memory.bytes {
            self.memory.shrink_to(open + spare);
            self.swarm.set_memory(self.memory.bytes, now);
        }
        let wanted = self.swarm.memory_wanted();
        let Some(wanted) = wanted.filter(|_| self.memory.asked.is_none() && !self.disk.is_paused())
        else {
            return false;
        };
        if self.memory.bytes >= open + wanted {
            self.swarm.set_memory(self.memory.bytes, now);
            return true;
        }
        let share = self.shared.limits.memory().pieces().clone();
        for bytes in [step, wanted] {
            if let Some(room) = share.try_take(bytes) {
                self.memory.add(room, bytes);
                self.swarm.set_memory(self.memory.bytes, now);
                return true;
            }
        }
        self.memory.asked = Some(wanted);
        let input = self.input.clone();
        self.tasks.spawn(async move {
            let room = share.take(wanted).await;
            let _ = input.send(Input::Memory(room)).await;
        });
        false
    }

    /// There is memory for another piece.
    pub(super) fn on_memory(&mut self, room: Room) {
        let bytes = self.memory.asked.take().unwrap_or(room.bytes());
        self.memory.add(room, bytes);
        self.allow_memory();
    }

    /// Tells the swarm what its pieces may take.
    pub(super) fn allow_memory(&mut self) {
        if self.storage.is_some() && !self.disk.is_paused() {
            let now = self.now();
            self.swarm.set_memory(self.memory.bytes, now);
        }
    }

    /// A piece is done: if others wait for memory, what it had is theirs, and not for the next piece of this torrent.
    pub(super) fn give_way(&mut self, piece: u32) {
        let (Some(storage), true) = (
            &self.storage,
            self.shared.limits.memory().pieces().is_short(),
        ) else {
            return;
        };
        let len = u64::from(storage.layout().piece_len(piece));
        let left = self.swarm.open_bytes().saturating_sub(len);
        let now = self.now();
        if !self.disk.is_paused() {
            self.swarm.set_memory(left, now);
        }
    }

    /// Once a second: what others need more.
    pub(super) fn share_memory(&mut self) {
        let now = self.now();
        let memory = self.shared.limits.memory();
        if memory.pieces().is_short() {
            self.swarm.give_up_idle(IDLE, now);
            self.shed_refused();
        }
        if self.shared.limits.memory().uploads().is_short() {
            self.swarm.close_stuck(now);
        }
    }
}
