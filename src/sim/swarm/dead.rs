//! Entries of the directory that lead nowhere: as of peers that ended without a word, but whose index nodes live on and
//! keep the entry alive. Each claims a random half of the chunks.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::by_chunk;
use super::core::Core;
use super::result::System;
use crate::chunks::ChunkSet;
use crate::id::{Id, ObjectId};
use crate::node::{Command, Publication};
use crate::wire::PeerAddrs;

/// Publishes them all, each by the index node of a random living peer.
pub(super) fn publish(object: ObjectId, core: &mut Core) {
    let mut rng = ChaCha8Rng::seed_from_u64(core.plan.seed ^ 0x6465_6164);
    let chunks = core.plan.chunks;
    let by_chunk = match core.plan.system {
        System::Random | System::ConstrainedLocality => true,
        System::BitTorrent | System::Oracle => return,
        _ => false,
    };
    let living: Vec<usize> = (0..core.peers()).filter(|p| core.alive[*p]).collect();
    for number in 0..core.dead() {
        let node = living[rng.random_range(0..living.len())];
        let half = (0..chunks).filter(|_| rng.random_bool(0.5));
        let held = ChunkSet::from_indices(chunks, half.collect::<Vec<_>>());
        let entry = Publication {
            object,
            publisher: Some(Id(rng.random())),
            addrs: PeerAddrs::from(core.dead_addr(number)),
            chunks,
            held,
            load: 0,
            reachable: true,
            complete: false,
        };
        if !by_chunk {
            core.net.command(node, Command::Publish(entry));
            continue;
        }
        for chunk in entry.held.iter() {
            let one = Publication {
                object: by_chunk::object(chunk),
                chunks: 1,
                held: ChunkSet::full(1),
                complete: true,
                ..entry.clone()
            };
            core.net.command(node, Command::Publish(one));
        }
    }
}
