//! The three rankings (paper 3.3) as sort keys.
//!
//! A match is certain when it names wanted chunks that the peer holds, and a guess (`matched` 0) when only the summary of
//! a large object speaks for it. Certain ones come first in every ranking.
//!
//! Differences from the paper: closeness leaves the heights of coordinates out ([`Coord::apart`](crate::coords::Coord::apart) says why); it leaves other rankings than overlap and closeness open. Ties of one ranking are broken
//! by the other, so that equal overlaps still prefer the nearer peer, then by load.

use std::time::Duration;

use crate::wire::Ranking;

/// Overlap beyond which more makes no better server.
const ENOUGH_OVERLAP: u32 = 50; // measured: the client's own score
/// Added to the one-way time: below it distances are noise.
const NOISE_US: u64 = 2_000; // measured: the client's own score
/// The load byte that counts as one transfer.
const LOAD_UNIT: u64 = 16; // measured: the client's own score
/// No distance counts for more than this round-trip time.
const FARTHEST_US: u64 = 1_000_000_000;

/// Where a match stands; the least is the best.
pub(crate) type Rank = (bool, u128, u128, u8);

/// Where a match stands that is `away` microseconds from the asker by their coordinates ([`Coord::apart`](crate::coords::Coord::apart)).
pub(crate) fn rank(ranking: Ranking, away: u64, matched: u32, load: u8) -> Rank {
    let (far, few) = (u128::from(away), u128::from(u32::MAX - matched));
    let (first, second) = match ranking {
        Ranking::Overlap => (few, far),
        Ranking::Closeness => (far, few),
        Ranking::Hybrid => (cost(away, matched, load), few),
    };
    (matched == 0, first, second, load)
}

/// The inverse square of the score that the client peer chooses its servers by,
/// `min(overlap, 50)^0.5 / (one-way seconds + 0.002) / (1 + transfers)`, in whole numbers. It grows with the distance
/// and the load and never with the overlap. A full load counts as 17 times the distance and no more, so whoever is
/// loaded is still found by those who have nobody else within that.
fn cost(away: u64, matched: u32, load: u8) -> u128 {
    let time = u128::from(away.min(FARTHEST_US) / 2 + NOISE_US);
    let stretched = time * u128::from(LOAD_UNIT + u64::from(load));
    stretched * stretched / u128::from(matched.clamp(1, ENOUGH_OVERLAP))
}

/// What a match is ranked by, for people: more is better. `apart` as [`Coord::apart`](crate::coords::Coord::apart) has it.
/// Overlap: the chunks; closeness: the inverse of the one-way seconds; hybrid: the score by which the client peer chooses
/// its servers. Certain matches come before guesses (`matched` 0) whatever their score.
pub fn score(ranking: Ranking, apart: Duration, matched: u32, load: u8) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "two milliseconds")]
    let noise = NOISE_US as f64 / 1e6;
    let near = 1.0 / (apart.as_secs_f64() / 2.0 + noise);
    match ranking {
        Ranking::Overlap => f64::from(matched),
        Ranking::Closeness => near,
        Ranking::Hybrid => {
            #[allow(clippy::cast_precision_loss, reason = "sixteen")]
            let transfers = f64::from(load) / LOAD_UNIT as f64;
            let overlap = f64::from(matched.clamp(1, ENOUGH_OVERLAP));
            overlap.sqrt() * near / (1.0 + transfers)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::coords::Coord;
    use crate::wire::{Match, PeerAddrs};

    /// No two peers are equal.
    fn place(m: &Match, ranking: Ranking, asker: &Coord) -> (Rank, PeerAddrs) {
        let away = u64::try_from(asker.apart(&m.coord).as_micros()).unwrap();
        (rank(ranking, away, m.matched, m.load), m.addrs)
    }

    /// A peer so many milliseconds of round-trip time away.
    fn peer(n: u8, ms: u32, matched: u32, load: u8) -> Match {
        Match {
            addrs: PeerAddrs::from(SocketAddr::from(([10, 0, 0, n], 1))),
            coord: Coord {
                position: [f64::from(ms) / 1000.0, 0.0, 0.0],
                height: 0.0,
                error: 0.1,
            },
            matched,
            load,
            reachable: true,
        }
    }

    fn best(ranking: Ranking, matches: &[Match]) -> u8 {
        let best = matches
            .iter()
            .min_by_key(|m| place(m, ranking, &Coord::default()));
        let Some(SocketAddr::V4(addr)) = best.and_then(|m| m.addrs.iter().next()) else {
            panic!("somebody is the best");
        };
        addr.ip().octets()[3]
    }

    #[test]
    fn an_idle_peer_with_few_chunks_is_better_than_a_full_one_beside_it_with_many() {
        let (idle, full) = (peer(1, 4, 1, 0), peer(2, 4, 500, 255));
        assert_eq!(best(Ranking::Hybrid, &[idle.clone(), full.clone()]), 1);
        assert_eq!(best(Ranking::Overlap, &[idle, full]), 2);
    }

    #[test]
    fn few_chunks_next_door_are_better_than_all_of_them_across_an_ocean() {
        let (near, far) = (peer(1, 2, 4, 0), peer(2, 150, 500, 0));
        assert_eq!(best(Ranking::Hybrid, &[near, far]), 1);
    }

    #[test]
    fn many_chunks_a_little_farther_are_better_than_one_next_door() {
        let (near, far) = (peer(1, 2, 1, 0), peer(2, 8, 40, 0));
        assert_eq!(best(Ranking::Hybrid, &[near.clone(), far.clone()]), 2);
        assert_eq!(best(Ranking::Closeness, &[near, far]), 1);
    }

    #[test]
    fn a_full_peer_next_door_is_still_better_than_an_idle_one_seventeen_times_as_far() {
        let (full, far) = (peer(1, 2, 9, 255), peer(2, 110, 9, 0));
        assert_eq!(best(Ranking::Hybrid, &[full.clone(), far]), 1);
        assert_eq!(best(Ranking::Hybrid, &[full, peer(3, 30, 9, 0)]), 3);
    }

    #[test]
    fn beyond_fifty_chunks_the_distance_decides() {
        let (near, far) = (peer(1, 10, 50, 0), peer(2, 11, 60_000, 0));
        assert_eq!(best(Ranking::Hybrid, &[near, far]), 1);
    }

    proptest! {
        #[test]
        fn less_distance_less_load_or_more_chunks_never_make_a_peer_worse(
            ms in 0u32..2_000_000, matched: u32, load: u8,
            nearer in 0u32..2_000_000, more: u32, less: u8, which in 0usize..3,
        ) {
            let worse = peer(2, ms, matched, load);
            let mut better = peer(1, ms, matched, load);
            match which {
                0 => better.coord = peer(1, ms.min(nearer), 0, 0).coord,
                1 => better.matched = matched.max(more),
                _ => better.load = load.min(less),
            }
            for ranking in [Ranking::Hybrid, Ranking::Closeness, Ranking::Overlap] {
                prop_assert_eq!(best(ranking, &[worse.clone(), better.clone()]), 1);
            }
        }

        #[test]
        fn a_guess_is_behind_whatever_is_certain(
            ranking in prop::sample::select(vec![Ranking::Overlap, Ranking::Closeness, Ranking::Hybrid]),
            ms in 0u32..2_000_000, matched in 1u32.., load: u8,
        ) {
            let (guess, certain) = (peer(1, 0, 0, 0), peer(2, ms, matched, load));
            prop_assert_eq!(best(ranking, &[guess, certain]), 2);
        }
    }

    proptest! {
        /// Whoever has the higher score comes first, but for what whole numbers round away.
        #[test]
        fn what_people_see_is_the_order_of_the_ranking(
            a in (0u64..400_000, 1u32..200, any::<u8>()),
            b in (0u64..400_000, 1u32..200, any::<u8>()),
            ranking in prop::sample::select(vec![Ranking::Overlap, Ranking::Closeness, Ranking::Hybrid]),
        ) {
            let shown = |(away, matched, load)| score(ranking, Duration::from_micros(away), matched, load);
            let ranked = |(away, matched, load)| rank(ranking, away, matched, load);
            if shown(a) > shown(b) * 1.001 {
                prop_assert!(ranked(a) < ranked(b));
            }
        }
    }
}
