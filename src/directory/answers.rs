//! Answers that went by a moment ago, for those who ask the same next (Coral's protection of the root; the paper's 3.2
//! sends every lookup of an object with fewer than p peers to its root).
//!
//! What is kept of an answer are the matches that came from nearer to the root: those of this node are looked up again,
//! and those that the asker's side piggybacked are not vouched for by anyone here, so that a forged one spreads to
//! nobody else. A kept match is used only as far as it is certain: one that held `m` of the chunks of the earlier
//! lookup holds at least `m` less those that the later one does not ask for.
//!
//! Differences from the paper: it has no such cache.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::id::ObjectId;
use crate::time::Instant;
use crate::wire::{Found, Lookup, Match, PeerAddrs, Summary, Wanted};

/// Bytes of an answer beside its chunk bits.
const ANSWER_BYTES: usize = 1_024; // guess: 8 matches, 8 ignored addresses and the share of two maps

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) life: Duration,
    pub(crate) an_object: usize,
    pub(crate) bytes: usize,
}

/// What the kept answers say about a lookup.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// Matches that hold something wanted; `matched` is a lower bound.
    pub(crate) matches: Vec<Match>,
    /// The root had no others for a question that includes this one.
    pub(crate) complete: bool,
}

#[derive(Debug)]
struct Answer {
    object: ObjectId,
    at: Instant,
    wanted: Wanted,
    summary: Option<Box<Summary>>,
    asker: PeerAddrs,
    ignore: Vec<SocketAddr>,
    matches: Vec<Match>,
    complete: bool,
}

/// Answers by age and by object.
#[derive(Debug)]
pub(crate) struct Answers {
    limits: Limits,
    by_age: BTreeMap<u64, Answer>,
    objects: BTreeMap<ObjectId, VecDeque<u64>>,
    next: u64,
    bytes: usize,
}

impl Answers {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_age: BTreeMap::new(),
            objects: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// Keeps the answer to a lookup that was passed on as `lookup`.
    pub(crate) fn put(&mut self, lookup: &Lookup, found: &Found, now: Instant) {
        self.expire(now);
        if self.limits.life.is_zero() {
            return;
        }
        let sent = |m: &Match| lookup.matches.iter().any(|own| own.addrs.shares(&m.addrs));
        let answer = Answer {
            object: lookup.object,
            at: now,
            wanted: lookup.wanted.clone(),
            summary: lookup.summary.clone(),
            asker: lookup.asker,
            ignore: lookup.ignore.clone(),
            matches: found.matches.iter().filter(|m| !sent(m)).cloned().collect(),
            complete: found.root && !found.loaded && found.matches.len() < usize::from(lookup.p),
        };
        self.bytes += cost(&answer);
        let of_object = self.objects.entry(lookup.object).or_default();
        of_object.push_back(self.next);
        let crowded = of_object.len() > self.limits.an_object;
        let oldest = of_object.front().copied().filter(|_| crowded);
        self.by_age.insert(self.next, answer);
        self.next += 1;
        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
        while self.bytes > self.limits.bytes {
            let Some(oldest) = self.by_age.first_key_value().map(|(n, _)| *n) else {
                break;
            };
            self.remove(oldest);
        }
    }

    /// What is known of this lookup's question. Nobody is given the answer to an own earlier lookup once more.
    pub(crate) fn known(&mut self, lookup: &Lookup, now: Instant) -> Known {
        self.expire(now);
        let mut known = Known::default();
        let numbers = self.objects.get(&lookup.object).into_iter().flatten();
        let answers = numbers.filter_map(|n| self.by_age.get(n));
        for answer in answers.filter(|a| !a.asker.shares(&lookup.asker)) {
            let before = known.matches.len();
            let matches = answer.matches.iter();
            known
                .matches
                .extend(matches.filter_map(|m| still(m, answer, lookup)));
            // One that may or may not hold what this lookup is about is for the root to judge.
            let certain = known.matches.len() - before == answer.matches.len();
            known.complete |= answer.complete && certain && includes(answer, lookup);
        }
        known
    }

    fn expire(&mut self, now: Instant) {
        let life = self.limits.life;
        while let Some((&oldest, answer)) = self.by_age.first_key_value()
            && now - answer.at >= life
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(answer) = self.by_age.remove(&number) else {
            return;
        };
        self.bytes -= cost(&answer);
        if let Some(of_object) = self.objects.get_mut(&answer.object) {
            of_object.retain(|n| *n != number);
            if of_object.is_empty() {
                self.objects.remove(&answer.object);
            }
        }
    }
}

/// The match as one of the later lookup, if it certainly is one.
fn still(m: &Match, answer: &Answer, lookup: &Lookup) -> Option<Match> {
    let matched = match (&answer.wanted, &lookup.wanted) {
        (_, Wanted::Any) => m.matched,
        (Wanted::Any, Wanted::Chunks(_)) => 0,
        (Wanted::Chunks(then), Wanted::Chunks(now)) => {
            m.matched.saturating_sub(then.count() - then.overlap(now))
        }
    };
    let named = matched > 0 || lookup.wanted == Wanted::Any;
    named.then(|| Match {
        matched,
        ..m.clone()
    })
}

/// Whether every match of the later lookup is one of the earlier lookup: it asks for no other chunk, and leaves out
/// whomever the earlier one left out. (The earlier asker itself publishes along the path that its lookups take.)
fn includes(answer: &Answer, lookup: &Lookup) -> bool {
    let wanted = match (&answer.wanted, &lookup.wanted) {
        (Wanted::Any, _) => true,
        (Wanted::Chunks(_), Wanted::Any) => false,
        (Wanted::Chunks(then), Wanted::Chunks(now)) => now.overlap(then) == now.count(),
    };
    // An answer for anything names peers without a chunk, or leaves them out: it says nothing of who has which.
    let same_kind = (answer.wanted == Wanted::Any) == (lookup.wanted == Wanted::Any);
    wanted
        && same_kind
        && answer.summary == lookup.summary
        && answer.ignore.iter().all(|a| lookup.ignore.contains(a))
}

fn cost(answer: &Answer) -> usize {
    let bits = match &answer.wanted {
        Wanted::Any => 0,
        Wanted::Chunks(chunks) => chunks.heap_bytes(),
    };
    ANSWER_BYTES + bits + answer.summary.as_ref().map_or(0, |_| 512)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunks::ChunkSet;
    use crate::coords::Coord;
    use crate::id::Id;
    use crate::wire::Ranking;

    fn limits() -> Limits {
        Limits {
            life: Duration::from_secs(2),
            an_object: 4,
            bytes: 16 << 10,
        }
    }

    fn addrs(n: u8) -> PeerAddrs {
        PeerAddrs::from(SocketAddr::from(([10, 0, 0, n], 1)))
    }

    fn a_match(n: u8, matched: u32) -> Match {
        Match {
            addrs: addrs(n),
            coord: Coord::default(),
            matched,
            load: 0,
            reachable: true,
        }
    }

    fn lookup(asker: u8, wanted: impl IntoIterator<Item = u32>) -> Lookup {
        Lookup {
            object: ObjectId(Id([1; 20])),
            wanted: Wanted::Chunks(ChunkSet::from_indices(60, wanted)),
            summary: None,
            p: 4,
            mix: 0,
            ranking: Ranking::Closeness,
            coord: Coord::default(),
            asker: addrs(asker),
            ignore: Vec::new(),
            to_root: false,
            trace: false,
            hops: 1,
            matches: Vec::new(),
        }
    }

    fn found(matches: Vec<Match>, root: bool) -> Found {
        Found {
            matches,
            hops: 2,
            root,
            by: Id([9; 20]),
            loaded: false,
            trace: Vec::new(),
        }
    }

    fn ms(n: u64) -> Instant {
        Instant::from_micros(n * 1_000)
    }

    fn known(answers: &mut Answers, lookup: &Lookup, now: u64) -> (Vec<(PeerAddrs, u32)>, bool) {
        let known = answers.known(lookup, ms(now));
        let matches = known.matches.iter().map(|m| (m.addrs, m.matched));
        (matches.collect(), known.complete)
    }

    #[test]
    fn the_same_question_is_answered_for_two_seconds() {
        let mut answers = Answers::new(limits());
        answers.put(&lookup(1, 0..9), &found(vec![a_match(7, 3)], true), ms(0));
        let asked = lookup(2, 0..9);
        assert_eq!(
            known(&mut answers, &asked, 1_999),
            (vec![(addrs(7), 3)], true)
        );
        assert_eq!(known(&mut answers, &asked, 2_000), (vec![], false));
        assert_eq!(answers.bytes, 0);
        let other = Lookup {
            object: ObjectId(Id([2; 20])),
            ..asked
        };
        answers.put(&lookup(1, 0..9), &found(vec![a_match(7, 3)], true), ms(0));
        assert_eq!(known(&mut answers, &other, 1), (vec![], false));
    }

    #[test]
    fn another_question_is_answered_as_far_as_is_certain() {
        let mut answers = Answers::new(limits());
        let all = a_match(7, 10);
        answers.put(
            &lookup(1, 0..10),
            &found(vec![all, a_match(8, 2)], true),
            ms(0),
        );
        let mut ask = |wanted| known(&mut answers, &lookup(2, wanted), 1);
        assert_eq!(
            ask(3..60),
            (vec![(addrs(7), 7)], false),
            "8 may hold 0 and 1"
        );
        assert_eq!(
            ask(1..10),
            (vec![(addrs(7), 9), (addrs(8), 1)], true),
            "nothing else is asked for"
        );
        assert_eq!(ask(10..60), (vec![], false));
        let any = Lookup {
            wanted: Wanted::Any,
            ..lookup(2, 0..1)
        };
        assert_eq!(
            known(&mut answers, &any, 1),
            (vec![(addrs(7), 10), (addrs(8), 2)], false)
        );
    }

    #[test]
    fn what_anybody_was_told_says_nothing_of_who_has_which_chunk() {
        let mut answers = Answers::new(limits());
        let any = |asker| Lookup {
            wanted: Wanted::Any,
            ..lookup(asker, 0..1)
        };
        answers.put(&any(1), &found(vec![a_match(7, 10)], true), ms(0));
        assert_eq!(known(&mut answers, &lookup(2, 0..60), 1), (vec![], false));
        assert_eq!(
            known(&mut answers, &any(2), 1),
            (vec![(addrs(7), 10)], true)
        );
    }

    #[test]
    fn nobody_is_given_an_own_answer_again() {
        let mut answers = Answers::new(limits());
        answers.put(&lookup(1, 0..9), &found(vec![a_match(7, 3)], true), ms(0));
        assert_eq!(known(&mut answers, &lookup(1, 0..9), 1), (vec![], false));
    }

    #[test]
    fn an_answer_is_complete_only_from_the_root_with_room_left_for_those_who_leave_out_as_many() {
        let complete = |found: Found, change: fn(&mut Lookup, &mut Lookup)| {
            let mut answers = Answers::new(limits());
            let (mut first, mut second) = (lookup(1, 0..9), lookup(2, 0..9));
            change(&mut first, &mut second);
            answers.put(&first, &found, ms(0));
            known(&mut answers, &second, 1).1
        };
        let few = || vec![a_match(7, 3)];
        assert!(complete(found(few(), true), |_, _| ()));
        assert!(complete(found(vec![], true), |_, _| ()));
        assert!(!complete(found(few(), false), |_, _| ()));
        assert!(!complete(
            found((1..5).map(|n| a_match(n, 1)).collect(), true),
            |_, _| ()
        ));
        let loaded = Found {
            loaded: true,
            ..found(few(), true)
        };
        assert!(!complete(loaded, |_, _| ()));
        let ignored = SocketAddr::from(([10, 0, 0, 50], 1));
        assert!(!complete(found(few(), true), |first, _| first
            .ignore
            .push(SocketAddr::from(([10, 0, 0, 50], 1)))));
        assert!(complete(found(few(), true), |_, second| second
            .ignore
            .push(SocketAddr::from(([10, 0, 0, 50], 1)))));
        let both = move |first: &mut Lookup, second: &mut Lookup| {
            first.ignore.push(ignored);
            second.ignore.push(ignored);
        };
        let mut answers = Answers::new(limits());
        let (mut first, mut second) = (lookup(1, 0..9), lookup(2, 0..9));
        both(&mut first, &mut second);
        answers.put(&first, &found(few(), true), ms(0));
        assert!(known(&mut answers, &second, 1).1);
    }

    #[test]
    fn what_the_askers_side_brought_along_is_not_kept() {
        let mut answers = Answers::new(limits());
        let passed_on = Lookup {
            matches: vec![a_match(6, 9)],
            ..lookup(1, 0..9)
        };
        let answer = found(vec![a_match(6, 9), a_match(7, 3)], true);
        answers.put(&passed_on, &answer, ms(0));
        let told = known(&mut answers, &lookup(2, 0..9), 1).0;
        assert_eq!(told, [(addrs(7), 3)]);
    }

    #[test]
    fn answers_are_bounded_for_each_object_and_as_a_whole() {
        let mut answers = Answers::new(limits());
        for n in 0..100u8 {
            answers.put(&lookup(n, 0..9), &found(vec![a_match(n, 3)], true), ms(0));
        }
        let told = known(&mut answers, &lookup(200, 0..9), 1).0;
        assert_eq!(told.len(), 4);
        assert!(told.contains(&(addrs(99), 3)), "the newest stay");
        for n in 0..100u8 {
            let l = Lookup {
                object: ObjectId(Id([n; 20])),
                ..lookup(1, 0..9)
            };
            answers.put(&l, &found(vec![], true), ms(1));
            assert!(answers.bytes <= 16 << 10);
        }
        assert!(answers.by_age.len() <= 16 && answers.objects.len() <= 16);
        answers.expire(ms(3_000));
        assert_eq!(
            (answers.by_age.len(), answers.objects.len(), answers.bytes),
            (0, 0, 0)
        );
    }

    proptest! {
        #[test]
        fn a_kept_match_never_promises_more_than_the_peer_holds(
            held in prop::collection::btree_set(0u32..30, 0..20),
            then in prop::collection::btree_set(0u32..30, 1..20),
            now in prop::collection::btree_set(0u32..30, 1..20),
        ) {
            let mut answers = Answers::new(limits());
            let matched = u32::try_from(held.intersection(&then).count()).expect("few");
            let matches = if matched > 0 { vec![a_match(7, matched)] } else { vec![] };
            answers.put(&lookup(1, then.iter().copied()), &found(matches, true), ms(0));
            let (told, complete) = known(&mut answers, &lookup(2, now.iter().copied()), 1);
            let really = held.intersection(&now).count();
            prop_assert!(told.iter().all(|(_, promised)| 0 < *promised && *promised as usize <= really));
            // Complete: whoever really matches was told.
            prop_assert!(!complete || really == 0 || !told.is_empty());
            prop_assert!(!complete || now.is_subset(&then));
            prop_assert!(complete || now != then, "the same question");
        }
    }
}
