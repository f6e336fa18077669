//! Who may run, and the order of who is next.

use std::collections::BTreeSet;

use super::model::{InfoHash, QueueMove};

/// What somebody wants of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing.
    Rest,
    /// To run when there is a place.
    Place,
    /// To run whatever the queue says.
    Now,
}

/// A torrent as the queue sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) wants: Wants,
    /// It has all that is wanted of it.
    pub(super) seeds: bool,
    /// It runs and moves nothing, so that it takes no place.
    pub(super) stalled: bool,
}

/// Torrents that run at a time; `None`: all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) downloads: Option<u32>,
    pub(super) seeds: Option<u32>,
}

/// Which of `torrents`, in their order, may run.
pub(super) fn runs<'a>(
    torrents: impl Iterator<Item = Place> + 'a,
    places: Places,
) -> impl Iterator<Item = bool> + 'a {
    let mut left = [places.downloads, places.seeds];
    torrents.map(move |torrent| match torrent.wants {
        Wants::Rest => false,
        Wants::Now => true,
        Wants::Place if torrent.stalled => true,
        Wants::Place => match &mut left[usize::from(torrent.seeds)] {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        },
    })
}

/// The order when those of `which` have been moved together.
pub(super) fn moved(
    order: &[InfoHash],
    which: &BTreeSet<InfoHash>,
    to: QueueMove,
) -> Vec<InfoHash> {
    let (chosen, others): (Vec<InfoHash>, Vec<InfoHash>) =
        order.iter().partition(|hash| which.contains(hash));
    match to {
        QueueMove::Top => [chosen, others].concat(),
        QueueMove::Bottom => [others, chosen].concat(),
        QueueMove::Up => {
            let mut order = order.to_vec();
            for at in 1..order.len() {
                if which.contains(&order[at]) && !which.contains(&order[at - 1]) {
                    order.swap(at - 1, at);
                }
            }
            order
        }
        QueueMove::Down => {
            let mut order = order.to_vec();
            for at in (1..order.len()).rev() {
                if which.contains(&order[at - 1]) && !which.contains(&order[at]) {
                    order.swap(at - 1, at);
                }
            }
            order
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(wants: Wants, seeds: bool, stalled: bool) -> Place {
        Place {
            wants,
            seeds,
            stalled,
        }
    }

    fn which(torrents: &[Place], downloads: u32, seeds: u32) -> Vec<bool> {
        let places = Places {
            downloads: Some(downloads),
            seeds: Some(seeds),
        };
        runs(torrents.iter().copied(), places).collect()
    }

    #[test]
    fn the_first_ones_run_and_who_is_forced_or_stalled_takes_no_place() {
        let (download, seed) = (
            place(Wants::Place, false, false),
            place(Wants::Place, true, false),
        );
        let all = [download, seed, download, seed, download];
        assert_eq!(which(&all, 2, 1), [true, true, true, false, false]);
        let now = place(Wants::Now, false, false);
        let stalled = place(Wants::Place, false, true);
        let rest = place(Wants::Rest, false, false);
        let all = [stalled, now, rest, download, download];
        assert_eq!(which(&all, 1, 0), [true, true, false, true, false]);
        let none = Places {
            downloads: None,
            seeds: None,
        };
        assert!(runs([download, seed, stalled].into_iter(), none).all(|runs| runs));
    }

    fn hashes(bytes: &[u8]) -> Vec<InfoHash> {
        bytes.iter().map(|b| InfoHash([*b; 20])).collect()
    }

    #[test]
    fn torrents_move_together() {
        let order = hashes(&[1, 2, 3, 4, 5]);
        let which: BTreeSet<_> = hashes(&[2, 3, 5]).into_iter().collect();
        for (to, expected) in [
            (QueueMove::Top, [2, 3, 5, 1, 4]),
            (QueueMove::Bottom, [1, 4, 2, 3, 5]),
            (QueueMove::Up, [2, 3, 1, 5, 4]),
            (QueueMove::Down, [1, 4, 2, 3, 5]),
        ] {
            assert_eq!(moved(&order, &which, to), hashes(&expected), "{to:?}");
        }
        let first: BTreeSet<_> = hashes(&[1]).into_iter().collect();
        assert_eq!(moved(&order, &first, QueueMove::Up), order);
    }

    proptest! {
        #[test]
        fn no_move_loses_a_torrent_or_the_order_of_the_others(
            count in 0u8..12, which in prop::collection::btree_set(0u8..12, 0..12), to in 0usize..4,
        ) {
            let order = hashes(&(0..count).collect::<Vec<_>>());
            let which: BTreeSet<_> = hashes(&which.into_iter().collect::<Vec<_>>()).into_iter().collect();
            let to = [QueueMove::Top, QueueMove::Up, QueueMove::Down, QueueMove::Bottom][to];
            let new = moved(&order, &which, to);
            for chosen in [true, false] {
                let part = |list: &[InfoHash]| -> Vec<InfoHash> {
                    list.iter().copied().filter(|h| which.contains(h) == chosen).collect()
                };
                prop_assert_eq!(part(&new), part(&order));
            }
        }
    }
}
