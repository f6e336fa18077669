//! Who runs at each place of a network.

use crate::engine::Engine;
use crate::engine::meeting::Needs;

/// One engine for each peer, the seed's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cast {
    engines: Vec<Engine>,
    mixed: bool,
}

impl Cast {
    /// `peers` of one engine.
    pub(crate) fn uniform(engine: Engine, peers: usize) -> Self {
        Self {
            engines: vec![engine; peers],
            mixed: false,
        }
    }

    /// A seed and `leechers`: ChunkCast's are `ours`, spread evenly, the first among them, and the stock engines share
    /// the others in turns.
    pub(crate) fn mixed(seed: Engine, stock: &[Engine], leechers: usize, ours: usize) -> Self {
        let mut engines = vec![seed];
        let mut turns = stock.iter().cycle();
        for i in 0..leechers {
            let theirs = if i * ours % leechers < ours {
                None
            } else {
                turns.next()
            };
            engines.push(theirs.copied().unwrap_or(Engine::Chunkcast));
        }
        Self {
            engines,
            mixed: true,
        }
    }

    /// The seed's engine, then that of each downloader.
    pub(crate) fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// The seed's.
    pub(crate) fn seed(&self) -> Engine {
        self.engines[0]
    }

    /// For directories.
    pub(crate) fn name(&self) -> String {
        let seed = self.seed();
        if self.mixed {
            format!("mixed-{seed}")
        } else {
            seed.to_string()
        }
    }

    /// What they meet through; `first`: ChunkCast's are told of an index node that runs before.
    pub(crate) fn needs(&self, first: bool) -> Needs {
        let ours = self.engines.contains(&Engine::Chunkcast);
        let near = self.engines.iter().any(|engine| engine.is_near());
        Needs {
            tracker: self.mixed || !(ours || near),
            index: near || ours && first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_mixed_swarm_is_ours_and_the_stock_ones_take_turns() {
        use Engine::{Aria2, Chunkcast, Libtorrent, Transmission};
        let stock = [Aria2, Libtorrent, Transmission];
        let cast = Cast::mixed(Transmission, &stock, 15, 8);
        let of = |engine| cast.engines()[1..].iter().filter(|e| **e == engine).count();
        assert_eq!(cast.engines().len(), 16);
        assert_eq!(cast.seed(), Transmission);
        assert_eq!((of(Chunkcast), of(Aria2)), (8, 3));
        assert_eq!((of(Libtorrent), of(Transmission)), (2, 2));
        assert_eq!(cast.engines()[1..3], [Chunkcast, Aria2]);
        assert_eq!(cast.name(), "mixed-transmission");
        let few = Cast::mixed(Transmission, &stock, 9, 3);
        let stock = [Aria2, Libtorrent, Transmission];
        let places = |all: &[Engine]| -> Vec<Engine> { all.iter().step_by(3).copied().collect() };
        assert_eq!(places(&few.engines()[1..]), [Chunkcast; 3]);
        assert_eq!(few.engines()[2..4], stock[..2]);
    }

    #[test]
    fn a_mixed_swarm_has_a_tracker_and_an_index_node() {
        let needs = |tracker, index| Needs { tracker, index };
        let mixed = Cast::mixed(Engine::Chunkcast, &[Engine::Aria2], 3, 2);
        assert_eq!(mixed.needs(true), needs(true, true));
        assert_eq!(mixed.needs(false), needs(true, false));
        let ours = Cast::uniform(Engine::Chunkcast, 3);
        assert_eq!(ours.needs(true), needs(false, true));
        assert_eq!(ours.needs(false), needs(false, false));
        let near = Cast::uniform(Engine::Aria2Near, 3);
        assert_eq!(near.needs(false), needs(false, true));
        let stock = Cast::uniform(Engine::Aria2, 3);
        assert_eq!(stock.needs(true), needs(true, false));
    }
}
