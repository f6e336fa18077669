//! Which of the peers that were found a stock client is told of. Sans-IO.
//!
//! A stock client dials whom it is told of, near or far alike, and fetches each piece from anybody who has it: however few far
//! peers it has, it fetches from them all the time. So of the clients of one place a few are told of far peers, and the
//! others of near ones alone, from whom they get what these have fetched. Who these few are each client's tracker finds
//! out for itself, from the addresses.

use std::time::Duration;

/// Who is nearer than this is of the same place, with links that are wider than those to others. A neighbour at home has more to
/// the first exchange, and little upload. // as the client's `near_floor`
const NEAR: Duration = Duration::from_millis(6);

/// So many clients of a place are told of far peers, until the place has everything.
const DELEGATES: usize = 1; // measured: with two a place fetches half as much again

/// Far peers for each of these.
const FAR: usize = 2; // guess: one may refuse

/// A client with fewer peers than this is told of more far ones. // paper 5.1: four servers in parallel
pub(super) const FEW: usize = 4;

/// A peer that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// How far it is from the client.
    pub(super) distance: Duration,
    /// The part of what the client lacks that it holds, 0 to 1; an estimate will do.
    pub(super) holds: f64,
    /// Its lot: the same number wherever it is drawn.
    pub(super) lot: u64,
}

/// The client that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    /// Pieces that it lacks.
    pub(super) lacks: u32,
    /// Its lot.
    pub(super) lot: u64,
    /// It has got next to nothing since it was last told of near peers alone.
    pub(super) stuck: bool,
}

/// Who is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Places in the list of candidates, the best first.
    pub(super) named: Vec<usize>,
    /// How many of them are near; they come first.
    pub(super) near: usize,
}

/// Chooses for a client. Of the far ones those that hold more are drawn more often.
pub(super) fn choose(candidates: &[Candidate], asking: &Asking) -> Choice {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|i| candidates[*i].distance);
    let near = order
        .iter()
        .take_while(|i| candidates[**i].distance <= NEAR)
        .count();
    if near == 0 {
        return Choice { named: order, near };
    }
    let mut far = order.split_off(near);
    far.sort_by(|a, b| {
        let (a, b) = (&candidates[*a], &candidates[*b]);
        b.score().total_cmp(&a.score())
    });
    let mut unheld = f64::from(asking.lacks);
    for i in &order {
        unheld *= candidates[*i].lacks();
    }
    let before = order
        .iter()
        .filter(|i| candidates[**i].lot > asking.lot)
        .count();
    let fetches = before < DELEGATES || asking.stuck;
    let enough = match near {
        1 => FEW - 1,
        _ if unheld < 0.5 || !fetches => return Choice { named: order, near },
        _ => FAR.max(FEW.saturating_sub(near)),
    };
    for i in far {
        if order.len() - near >= enough && unheld < 0.5 {
            break;
        }
        unheld *= candidates[i].lacks();
        order.push(i);
    }
    Choice { named: order, near }
}

/// Whether, by what the candidates hold together, somebody is likely to have each of so many pieces.
pub(super) fn is_covered(candidates: &[Candidate], lacks: u32) -> bool {
    let unheld = candidates.iter().map(Candidate::lacks).product::<f64>();
    f64::from(lacks) * unheld < 0.5
}

impl Candidate {
    fn lacks(&self) -> f64 {
        1.0 - self.holds.clamp(0.0, 1.0)
    }

    /// Its place in a weighted draw (Efraimidis and Spirakis): the highest wins.
    #[allow(clippy::cast_precision_loss, reason = "a draw needs no 64 bits")]
    fn score(&self) -> f64 {
        let uniform = (self.lot as f64 + 1.0) / (u64::MAX as f64 + 2.0);
        // nobody is left out for having nothing yet
        let weight = self.holds.clamp(1e-6, 1.0);
        uniform.ln() / weight
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use proptest::prelude::*;

    use super::*;

    fn peer(ms: u64, holds: f64, draw: u64) -> Candidate {
        let mut hasher = DefaultHasher::new();
        draw.hash(&mut hasher);
        Candidate {
            distance: Duration::from_millis(ms),
            holds,
            lot: hasher.finish(),
        }
    }

    fn asking(lacks: u32, lot: u64) -> Asking {
        Asking {
            lacks,
            lot,
            stuck: false,
        }
    }

    /// Four near ones that have nothing, ten far ones that have nothing either, and a far seed.
    fn flash_crowd() -> Vec<Candidate> {
        let mut all: Vec<Candidate> = (1..=4).map(|n| peer(1 + n, 0.0, n)).collect();
        all.extend((5..=14).map(|n| peer(58 + n, 0.0, n)));
        all.push(peer(60, 1.0, 15));
        all
    }

    #[test]
    fn one_of_a_place_is_told_of_the_far_seed_and_the_others_of_each_other() {
        let all = flash_crowd();
        let first = choose(&all, &asking(256, u64::MAX));
        assert_eq!(first.near, 4);
        assert_eq!(first.named[..4], [0, 1, 2, 3]);
        assert_eq!(first.named.len(), 4 + FAR);
        assert!(
            first.named.contains(&14),
            "the seed is the only one that has anything"
        );
        let last = choose(&all, &asking(256, 0));
        assert_eq!(last.named, [0, 1, 2, 3]);
        // with the four others' lots and its own, one of five is told
        let mut place: Vec<Candidate> = (1..=5).map(|n| peer(1, 0.0, n)).collect();
        let mut told = 0;
        for _ in 0..5 {
            place.rotate_left(1);
            let mut others = place[1..].to_vec();
            others.push(peer(60, 1.0, 15));
            let choice = choose(&others, &asking(256, place[0].lot));
            told += usize::from(choice.named.len() > choice.near);
        }
        assert_eq!(told, DELEGATES);
    }

    #[test]
    fn one_that_gets_nothing_from_near_is_told_of_far_ones() {
        let stuck = Asking {
            stuck: true,
            ..asking(256, 0)
        };
        assert_eq!(choose(&flash_crowd(), &stuck).named.len(), 4 + FAR);
    }

    #[test]
    fn a_place_that_has_everything_is_told_of_no_far_ones() {
        let mut all = flash_crowd();
        all.push(peer(1, 1.0, 16));
        let choice = choose(&all, &asking(256, u64::MAX));
        assert_eq!((choice.near, choice.named.len()), (5, 5));
        // but one near peer alone is no place
        let two = [peer(1, 1.0, 1), peer(60, 1.0, 2), peer(61, 0.0, 3)];
        assert_eq!(choose(&two, &asking(256, 0)).named.len(), 3);
    }

    #[test]
    fn one_with_nobody_near_is_told_of_all() {
        let all: Vec<Candidate> = (0..10).map(|n| peer(40 + n, 0.3, n)).collect();
        let choice = choose(&all, &asking(100, 0));
        assert_eq!((choice.near, choice.named.len()), (0, 10));
    }

    #[test]
    fn far_ones_are_named_until_no_piece_is_likely_to_be_held_by_nobody() {
        let near = (0..4).map(|n| peer(1, 0.0, n));
        let far = (4..24).map(|n| peer(80, 0.5, n));
        let all: Vec<Candidate> = near.chain(far).collect();
        let choice = choose(&all, &asking(256, u64::MAX));
        // 256 pieces halve ten times until one is left with less than one half
        assert_eq!(choice.named.len() - choice.near, 10);
    }

    #[test]
    fn who_holds_more_is_drawn_more_often_and_all_are_drawn() {
        let mut drawn = [0; 3];
        for object in 0..3000 {
            let all = [
                peer(1, 0.0, 0),
                peer(1, 0.0, 0),
                peer(1, 0.0, 0),
                peer(90, 0.8, object * 3 + 1),
                peer(90, 0.2, object * 3 + 2),
                peer(90, 0.2, object * 3 + 3),
            ];
            let choice = choose(&all, &asking(10, u64::MAX));
            drawn[choice.named[3] - 3] += 1;
        }
        assert!((1800..2200).contains(&drawn[0]), "two thirds: {drawn:?}");
        assert!(drawn[1] > 300 && drawn[2] > 300, "{drawn:?}");
    }

    proptest! {
        #[test]
        fn each_is_named_once_and_the_near_ones_always(
            all in prop::collection::vec((0u64..300, 0.0f64..=1.0, any::<u64>()), 0..40),
            (lacks, lot, stuck) in (0u32..5000, any::<u64>(), any::<bool>()),
        ) {
            let all: Vec<Candidate> = all.iter().map(|(ms, h, d)| peer(*ms, *h, *d)).collect();
            let choice = choose(&all, &Asking { lacks, lot, stuck });
            let mut sorted = choice.named.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), choice.named.len());
            prop_assert!(choice.named.len() >= all.len().min(2));
            let farthest = choice.named[..choice.near].iter().map(|i| all[*i].distance).max();
            for (i, c) in all.iter().enumerate() {
                if farthest.is_some_and(|d| c.distance <= d) {
                    prop_assert!(choice.named.contains(&i));
                }
            }
            let named: Vec<Candidate> = choice.named.iter().map(|i| all[*i]).collect();
            let told = choice.named.len() > choice.near;
            prop_assert!(!told || is_covered(&named, lacks) || named.len() == all.len());
            if stuck {
                prop_assert!(is_covered(&named, lacks) || named.len() == all.len());
            }
        }
    }
}
