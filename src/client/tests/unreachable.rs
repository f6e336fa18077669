//! A complete peer that nobody can dial finds those that want something of it.

use super::*;

impl One {
    /// Lets time pass, whatever happens; the lookups of that time, answered by nobody.
    fn idle(&mut self, seconds: u64) -> Vec<Query> {
        let end = self.now + Duration::from_secs(seconds);
        let mut all = Vec::new();
        while let Some(next) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(next) + Duration::from_millis(1);
            self.client.handle_timeout(self.now);
            for query in self.lookups() {
                all.push(query);
                self.client.handle_answer(&[], self.now);
            }
        }
        self.now = end;
        all
    }
}

fn seed() -> One {
    let mut one = One::new(ClientConfig::default());
    one.object(ChunkSet::full(8), 8);
    for _ in one.lookups() {
        one.client.handle_answer(&[], one.now);
    }
    one
}

#[test]
fn a_seed_that_can_be_dialled_waits_and_one_that_cannot_asks_for_anyone() {
    let mut one = seed();
    assert_eq!(one.idle(600), []);
    one.client.set_reachable(false, one.now);
    let asked = one.lookups();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].wanted, Wanted::Any);
    one.client.handle_answer(&[], one.now);
    let later = one.idle(600);
    assert!((3..=12).contains(&later.len()), "{} lookups", later.len());
    one.client.set_reachable(true, one.now);
    assert_eq!(one.idle(600), []);
}

#[test]
fn it_dials_who_has_nothing_or_something_but_not_who_has_everything() {
    let mut one = seed();
    one.client.set_reachable(false, one.now);
    one.lookups();
    let holds = |i, matched| Candidate {
        matched,
        ..candidate(addr(i), 5.0)
    };
    one.client
        .handle_answer(&[holds(1, 0), holds(2, 5), holds(3, 8)], one.now);
    let mut dials = one.dials();
    dials.sort_unstable();
    assert_eq!(dials, [addr(1), addr(2)]);
}

#[test]
fn it_stops_asking_once_it_has_all_the_neighbours_that_it_wants() {
    let mut one = seed();
    one.client.set_reachable(false, one.now);
    one.lookups();
    one.client.handle_answer(&[], one.now);
    for _ in 0..ClientConfig::default().target_neighbours {
        one.join(5.0, 0, None);
    }
    assert_eq!(one.idle(600), []);
}
