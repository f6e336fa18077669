//! Protection of roots that everybody asks and publishes to: answers kept for a moment, and Coral's full-and-loaded rule.
//!
//! A lookup that is not answered here goes on only while its object is below the rate of [`HotConfig::pass_every`]. Above
//! it is answered with what is known here and says so ([`Found::loaded`](crate::wire::Found::loaded)). Whoever would get
//! nothing at all goes first, then who would get too little; those who have enough and want the root's view as well come
//! last. Of an object with a long list of entries only [`HotConfig::tell_every`] are passed on to the parent, each
//! publisher in its turn.

use std::time::Duration;

use super::Node;
use super::config::ConfigError;
use crate::directory::answers::{self, Answers};
use crate::directory::hot::{Pace, Turns};
use crate::directory::rank::search;
use crate::id::{Id, ObjectId};
use crate::wire::{Found, Lookup, Wanted, Why};

/// How much one object may trouble the nodes nearer to its root.
#[derive(Clone, Debug)]
pub struct HotConfig {
    /// One lookup of an object is passed on in so long, once the burst is used up.
    pub pass_every: Duration,
    /// Lookups of an object that are passed on at once.
    pub pass_burst: u32,
    /// An object with so many entries has a full list: it is not passed on as a whole.
    pub full: usize,
    /// One entry of such an object is passed on in so long, once the burst is used up.
    pub tell_every: Duration,
    /// Entries of such an object that are passed on at once.
    pub tell_burst: u32,
    /// Objects whose rates are kept apart.
    pub objects: usize,
    /// How long an answer that went by is used for others, at most 2 s; zero: never.
    pub answer_life: Duration,
    /// Answers kept of one object.
    pub answers_per_object: usize,
    /// Bytes of all kept answers.
    pub answer_bytes: usize,
}

impl Default for HotConfig {
    fn default() -> Self {
        Self {
            pass_every: Duration::from_secs(2), // guess: Coral passes on one in 5 s
            pass_burst: 16,                     // guess: a start of one client
            full: 64,                           // guess: eight answers' worth
            tell_every: Duration::from_millis(200), // guess: a datagram of entries an active period
            tell_burst: 16,                     // guess: two datagrams
            objects: 4_096,                     // guess
            answer_life: Duration::from_secs(2), // requirement: no longer
            answers_per_object: 4,              // guess: 32 matches
            answer_bytes: 1 << 20,              // guess
        }
    }
}

impl HotConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let most = Duration::from_secs(3_600);
        let rate = |every: Duration| !every.is_zero() && every <= most;
        let two = Duration::from_secs(2);
        let rules = [
            (rate(self.pass_every), "hot.pass_every", "up to an hour"),
            (rate(self.tell_every), "hot.tell_every", "up to an hour"),
            (self.pass_burst > 0, "hot.pass_burst", "at least 1"),
            (self.tell_burst > 0, "hot.tell_burst", "at least 1"),
            (self.objects > 0, "hot.objects", "at least 1"),
            (
                self.answer_life <= two,
                "hot.answer_life",
                "at most 2 seconds",
            ),
            (
                self.answers_per_object > 0,
                "hot.answers_per_object",
                "at least 1",
            ),
        ];
        match rules.into_iter().find(|(ok, ..)| !ok) {
            Some((_, field, expected)) => Err(ConfigError { field, expected }),
            None => Ok(()),
        }
    }
}

/// What a node remembers for that.
#[derive(Debug)]
pub(super) struct Hot {
    full: usize,
    burst: u32,
    pass: Pace,
    tell: Turns,
    answers: Answers,
}

impl Hot {
    pub(super) fn new(config: &HotConfig) -> Self {
        let c = config;
        Self {
            full: c.full,
            burst: c.pass_burst,
            pass: Pace::new(c.pass_every, c.pass_burst, c.objects),
            tell: Turns::new(Pace::new(c.tell_every, c.tell_burst, c.objects)),
            answers: Answers::new(answers::Limits {
                life: c.answer_life,
                an_object: c.answers_per_object,
                bytes: c.answer_bytes,
            }),
        }
    }
}

impl Node {
    /// Whether a lookup that could be passed on is answered here all the same, and why; its matches are completed then.
    pub(super) fn spare_the_root(&mut self, lookup: &mut Lookup) -> Option<Why> {
        let known = self.hot.answers.known(lookup, self.now);
        let mut enough = known.complete;
        let mut more = None;
        if !known.matches.is_empty() {
            let mut with = lookup.clone();
            with.matches.extend(known.matches);
            enough |= search(&self.cache, &mut with, &mut self.rng, self.now);
            more = Some(with);
        }
        let has = useful(more.as_ref().unwrap_or(lookup));
        let mut why = (enough && !lookup.to_root).then_some(Why::Cached);
        if why.is_none() {
            let reserve = match has {
                0 => 0,
                some if some < usize::from(lookup.p) => self.hot.burst / 4,
                _ => self.hot.burst / 2,
            };
            let worth = self.jitter(self.config.directory.hot.pass_every);
            let pass = &mut self.hot.pass;
            let passes = pass.admit(lookup.object, worth, reserve, self.now);
            why = (!passes).then_some(Why::Loaded);
        }
        if let (Some(_), Some(with)) = (why, more) {
            *lookup = with;
        }
        why
    }

    /// The answer to a lookup that this node passed on goes by.
    pub(super) fn answer_went_by(&mut self, lookup: &Lookup, found: &Found) {
        self.hot.answers.put(lookup, found, self.now);
    }

    /// Takes out of the news for a parent what its objects' rates leave to later: it stays news.
    pub(super) fn leave_to_later(&mut self, news: &mut Vec<(ObjectId, Id)>) {
        news.sort_unstable();
        let mut told = Vec::with_capacity(news.len());
        for of_object in news.chunk_by(|a, b| a.0 == b.0) {
            let object = of_object[0].0;
            if self.cache.len_of(&object) < self.hot.full {
                told.extend_from_slice(of_object);
                continue;
            }
            let publishers: Vec<Id> = of_object.iter().map(|key| key.1).collect();
            let admitted = self.hot.tell.admit(object, &publishers, self.now);
            told.extend(admitted.into_iter().map(|publisher| (object, publisher)));
        }
        *news = told;
    }
}

/// Matches that help the asker.
fn useful(lookup: &Lookup) -> usize {
    let certain = lookup.matches.iter().filter(|m| m.matched > 0).count();
    match lookup.wanted {
        Wanted::Any => certain,
        Wanted::Chunks(_) if certain > 0 => lookup.matches.len(),
        Wanted::Chunks(_) => 0,
    }
}
