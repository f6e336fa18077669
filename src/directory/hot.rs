//! How often one object may trouble the nodes nearer to its root: Coral's full-and-loaded rule.
//!
//! Every node passes on only so many lookups and so many publications of one object. A root has O(log N) nodes that pass
//! things on to it, so that is what reaches it, however many ask and publish. What is beyond the rate is answered, or
//! kept, where it is: the many who ask for one object leave many entries of it there.
//!
//! Differences from Coral: it counts requests a minute and refuses above; here a steady rate with a burst is passed on,
//! and those who would have nothing come before those who only want more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Id, ObjectId};
use crate::time::Instant;

/// A steady rate for each object, with a burst.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    burst: u32,
    /// Objects kept apart; of more, the ones that are farthest from their bound are forgotten.
    most: usize,
    /// When each object's burst is whole again.
    whole: BTreeMap<ObjectId, Instant>,
    order: BTreeSet<(Instant, ObjectId)>,
}

impl Pace {
    /// One each `every` and `burst` at once, at least 1, for up to `most` objects.
    pub(crate) fn new(every: Duration, burst: u32, most: usize) -> Self {
        Self {
            every,
            burst,
            most,
            whole: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Whether one more may pass, `reserve` of the burst left untouched. It counts only if it may, for `worth`: about the
    /// time of one. Where many come at fixed times this has to vary, or the same ones would be admitted for ever.
    pub(crate) fn admit(
        &mut self,
        object: ObjectId,
        worth: Duration,
        reserve: u32,
        now: Instant,
    ) -> bool {
        let due = self.whole.get(&object).copied();
        let debt = due.map_or(Duration::ZERO, |due| due - now);
        let room = self.burst.saturating_sub(reserve).saturating_sub(1);
        if debt > self.every * room || reserve >= self.burst {
            return false;
        }
        if let Some(due) = due {
            self.order.remove(&(due, object));
        }
        let due = now + debt + worth;
        self.whole.insert(object, due);
        self.order.insert((due, object));
        self.forget(now);
        true
    }

    /// Objects without a debt are as good as unknown.
    fn forget(&mut self, now: Instant) {
        while let Some(&(due, object)) = self.order.first()
            && (due <= now || self.whole.len() > self.most)
        {
            self.order.remove(&(due, object));
            self.whole.remove(&object);
        }
    }
}

/// Which of an object's news a parent is told, when not all of it may pass: every publisher in its turn.
#[derive(Debug)]
pub(crate) struct Turns {
    pace: Pace,
    /// The publisher that was told last.
    last: BTreeMap<ObjectId, Id>,
}

impl Turns {
    pub(crate) fn new(pace: Pace) -> Self {
        let last = BTreeMap::new();
        Self { pace, last }
    }

    /// Those of the publishers, in order of their ids, whose entries may pass now.
    pub(crate) fn admit(
        &mut self,
        object: ObjectId,
        publishers: &[Id],
        now: Instant,
    ) -> BTreeSet<Id> {
        let last = self.last.get(&object);
        let next = publishers.partition_point(|p| last.is_some_and(|last| p <= last));
        let (before, after) = publishers.split_at(next);
        let turn = after.iter().chain(before);
        let admitted: Vec<Id> = turn
            .take_while(|_| self.pace.admit(object, self.pace.every, 0, now))
            .copied()
            .collect();
        if let Some(last) = admitted.last() {
            self.last.insert(object, *last);
            if self.last.len() > self.pace.most {
                self.last.pop_first();
            }
        }
        admitted.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(n: u8) -> ObjectId {
        ObjectId(Id([n; 20]))
    }

    fn ms(n: u64) -> Instant {
        Instant::from_micros(n * 1_000)
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        Pace::new(SECOND, 8, 16)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut pace = pace();
        let passed = |pace: &mut Pace, o, at| {
            (0..100)
                .filter(|_| pace.admit(object(o), SECOND, 0, ms(at)))
                .count()
        };
        assert_eq!(passed(&mut pace, 1, 0), 8);
        assert_eq!(passed(&mut pace, 2, 0), 8, "each object has its own");
        assert_eq!(passed(&mut pace, 1, 999), 0);
        assert_eq!(passed(&mut pace, 1, 1_000), 1);
        assert_eq!(passed(&mut pace, 1, 4_000), 3);
        assert_eq!(passed(&mut pace, 1, 100_000), 8, "no more is saved up");
    }

    #[test]
    fn those_who_have_something_leave_a_reserve_to_those_who_have_nothing() {
        let mut pace = pace();
        for at in 0..1_000 {
            pace.admit(object(1), SECOND, 4, ms(at * 10));
        }
        let needy = (0..100).filter(|_| pace.admit(object(1), SECOND, 0, ms(10_000)));
        assert!((4..=5).contains(&needy.count()));
        assert!(
            !pace.admit(object(2), SECOND, 8, ms(0)),
            "all of it is reserved"
        );
    }

    #[test]
    fn of_too_many_objects_the_least_busy_are_forgotten() {
        let mut pace = pace();
        while pace.admit(object(0), SECOND, 0, ms(0)) {}
        for n in 1..=255 {
            assert!(pace.admit(object(n), SECOND, 0, ms(0)));
            assert!(pace.whole.len() <= 16 && pace.order.len() == pace.whole.len());
        }
        assert!(
            !pace.admit(object(0), SECOND, 0, ms(0)),
            "the busiest is not"
        );
        pace.admit(object(1), SECOND, 0, ms(1_000_000));
        assert_eq!(pace.whole.len(), 1, "idle ones are forgotten");
    }

    #[test]
    fn every_publisher_has_its_turn() {
        let mut turns = Turns::new(Pace::new(Duration::from_millis(250), 8, 16));
        let all: Vec<Id> = (0..100).map(|n| Id([n; 20])).collect();
        let mut told = BTreeMap::<Id, u32>::new();
        for period in 0..100 {
            for id in turns.admit(object(1), &all, ms(2_000 * period)) {
                *told.entry(id).or_default() += 1;
            }
        }
        assert_eq!(told.values().sum::<u32>(), 800, "eight a period");
        assert!(told.values().all(|n| *n == 8), "{told:?}");
    }

    proptest! {
        #[test]
        fn no_more_pass_than_the_burst_and_the_rate_allow(
            steps in prop::collection::vec((0u64..700, 0u32..10), 1..200),
        ) {
            let mut pace = pace();
            let (mut now, mut passed) = (0, 0u64);
            for (later, reserve) in steps {
                now += later;
                passed += u64::from(pace.admit(object(1), SECOND, reserve, ms(now)));
                prop_assert!(passed <= 8 + now / 1_000);
            }
        }
    }
}
