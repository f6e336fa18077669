//! A population on a [`Net`]: joins, sessions of random length, and lookups whose answers are judged.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use super::net::{Happening, Net, What};
use crate::id::{Id, ObjectId};
use crate::node::{Command, Event, LookupError, LookupId, LookupRequest, NodeConfig};
use crate::time::Instant;
use crate::wire::{PeerAddrs, Ranking, Wanted};

/// Members that a newcomer is told of.
const BOOTSTRAPS: usize = 3;

/// How one lookup ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Where it began.
    pub place: usize,
    /// When.
    pub began: Instant,
    /// From the command to the answer.
    pub took: Duration,
    /// Direct round-trip time to the true root, if that lives elsewhere.
    pub direct: Option<Duration>,
    /// Hops over the overlay (0: the asker is the root), if answered.
    pub hops: Option<u8>,
    /// Whether the true root answered: the member nearest to the key when the lookup began or when it ended.
    pub right: bool,
}

/// Outcomes, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Lookups that ended; those whose asker died do not count.
    pub ended: u64,
    /// At the right root.
    pub right: u64,
    /// Without an answer.
    pub failed: u64,
    /// Hops, by how often.
    pub hops: BTreeMap<u8, u64>,
    /// Sum of hops, over answers of the right root.
    pub hops_total: u64,
    /// Sum of routed and of direct times of lookups that the right root elsewhere answered.
    pub routed: Duration,
    /// See `routed`.
    pub direct: Duration,
    /// Routed over direct time of each of these.
    pub stretches: Vec<f64>,
}

impl Score {
    fn add(&mut self, outcome: &Outcome) {
        self.ended += 1;
        self.right += u64::from(outcome.right);
        self.failed += u64::from(outcome.hops.is_none());
        if let (true, Some(hops)) = (outcome.right, outcome.hops) {
            *self.hops.entry(hops).or_default() += 1;
            self.hops_total += u64::from(hops);
            if let Some(direct) = outcome.direct {
                self.routed += outcome.took;
                self.direct += direct;
                self.stretches
                    .push(outcome.took.as_secs_f64() / direct.as_secs_f64());
            }
        }
    }

    /// Share that ended at the right root, percent.
    pub fn right_percent(&self) -> f64 {
        100.0 * self.right as f64 / self.ended.max(1) as f64
    }

    /// Mean hops to the right root.
    pub fn mean_hops(&self) -> f64 {
        self.hops_total as f64 / self.right.max(1) as f64
    }

    /// Most hops to the right root.
    pub fn max_hops(&self) -> u8 {
        self.hops.last_key_value().map_or(0, |(hops, _)| *hops)
    }

    /// Mean routed time over mean direct time.
    pub fn stretch(&self) -> f64 {
        self.routed.as_secs_f64() / self.direct.as_secs_f64().max(1e-9)
    }

    /// Median of routed over direct time.
    pub fn median_stretch(&self) -> f64 {
        let mut all = self.stretches.clone();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(1.0)
    }
}

#[derive(Clone, Copy, Debug)]
enum Alarm {
    Join(usize),
    End { place: usize, session: u64 },
    Probe,
}

#[derive(Debug)]
struct Probe {
    place: usize,
    session: u64,
    key: Id,
    root: Option<usize>,
    began: Instant,
}

/// A population on a net.
#[derive(Debug)]
pub struct Scenario {
    /// The net it lives on.
    pub net: Net,
    template: NodeConfig,
    alarms: BTreeMap<u64, Alarm>,
    next: u64,
    /// Mean session; `None`: nobody leaves.
    session: Option<Duration>,
    sessions: Vec<u64>,
    probe_every: Option<Duration>,
    probes: BTreeMap<LookupId, Probe>,
    score: Score,
    outcomes: Vec<Outcome>,
    deaths: u64,
}

impl Scenario {
    /// Nobody yet. Every node is configured as `template`, with bootstrap addresses.
    pub fn new(net: Net, template: NodeConfig) -> Self {
        Self {
            sessions: vec![0; net.topology().len()],
            net,
            template,
            alarms: BTreeMap::new(),
            next: 0,
            session: None,
            probe_every: None,
            probes: BTreeMap::new(),
            score: Score::default(),
            outcomes: Vec::new(),
            deaths: 0,
        }
    }

    /// Starts nodes at `places`, evenly over `within`.
    pub fn join_all(&mut self, places: std::ops::Range<usize>, within: Duration) {
        let count = u32::try_from(places.len().max(1)).unwrap_or(u32::MAX);
        for (i, place) in (0u32..).zip(places) {
            self.alarm(within * i / count, Alarm::Join(place));
        }
    }

    /// From now on sessions last exponentially long with this median; whoever goes says nothing, and a new node comes at
    /// the same place at once. `None`: nobody goes.
    pub fn churn(&mut self, median: Option<Duration>) {
        self.session = median.map(|m| m.div_f64(std::f64::consts::LN_2));
        for place in 0..self.sessions.len() {
            self.sessions[place] += 1;
            if self.net.node(place).is_some() {
                self.plan_end(place);
            }
        }
    }

    /// From now on random members look up random keys, one lookup each `every`. `None`: no longer.
    pub fn probe(&mut self, every: Option<Duration>) {
        let idle = self.probe_every.is_none();
        self.probe_every = every;
        if let (true, Some(every)) = (idle, every) {
            self.alarm(every, Alarm::Probe);
        }
    }

    /// Starts one node, told of random members.
    pub fn join(&mut self, place: usize) {
        let mut config = self.template.clone();
        for _ in 0..BOOTSTRAPS {
            let known = self.net.random_member();
            config.bootstrap.extend(known.map(|k| self.net.addr(k)));
        }
        self.join_as(place, config);
    }

    /// Starts one node with a configuration of its own.
    ///
    /// # Panics
    /// If the configuration is out of range.
    pub fn join_as(&mut self, place: usize, config: NodeConfig) {
        self.net
            .spawn(place, config)
            .expect("the configuration of a scenario is valid");
        self.sessions[place] += 1;
        self.plan_end(place);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.net.now() + time;
        while let Some(happening) = self.net.next(end) {
            self.happened(happening);
        }
    }

    /// Lets time pass until the condition holds (looked at once a virtual second); whether it did within `time`.
    pub fn run_until(&mut self, time: Duration, condition: impl Fn(&Net) -> bool) -> bool {
        let end = self.net.now() + time;
        while self.net.now() < end {
            if condition(&self.net) {
                return true;
            }
            self.run(Duration::from_secs(1));
        }
        condition(&self.net)
    }

    /// One lookup of a key from a place; its outcome is counted when it ends.
    pub fn look_up(&mut self, place: usize, key: Id) {
        let id = LookupId(self.next);
        self.next += 1;
        let probe = Probe {
            place,
            session: self.sessions[place],
            key,
            root: self.net.root_of(&key),
            began: self.net.now(),
        };
        self.probes.insert(id, probe);
        let request = LookupRequest {
            trace: false,
            object: ObjectId(key),
            wanted: Wanted::Any,
            p: 1,
            mix: 0,
            ranking: Ranking::Closeness,
            asker: PeerAddrs::default(),
            ignore: Vec::new(),
            to_root: true,
        };
        self.net.command(place, Command::Lookup(id, request));
    }

    /// What was counted since the last call.
    pub fn take_score(&mut self) -> Score {
        self.outcomes.clear();
        std::mem::take(&mut self.score)
    }

    /// Every outcome since the last [`Scenario::take_score`].
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Nodes that went so far.
    pub fn deaths(&self) -> u64 {
        self.deaths
    }

    fn alarm(&mut self, after: Duration, alarm: Alarm) {
        self.alarms.insert(self.next, alarm);
        self.net.alarm(after, self.next);
        self.next += 1;
    }

    fn plan_end(&mut self, place: usize) {
        if let Some(mean) = self.session {
            let u: f64 = self.net.rng().random_range(f64::EPSILON..1.0);
            let session = self.sessions[place];
            self.alarm(mean.mul_f64(-u.ln()), Alarm::End { place, session });
        }
    }

    fn happened(&mut self, happening: Happening) {
        match happening.what {
            What::Alarm(token) => match self.alarms.remove(&token) {
                Some(Alarm::Join(place)) => self.join(place),
                Some(Alarm::End { place, session }) if self.sessions[place] == session => {
                    self.deaths += 1;
                    self.net.kill(place);
                    self.join(place);
                }
                Some(Alarm::Probe) => self.probe_now(),
                _ => {}
            },
            What::Event {
                event: Event::LookupDone { id, result },
                ..
            } => {
                let result = result.map(|found| (found.by, found.root, found.hops));
                self.ended(id, result);
            }
            What::Event { .. } => {}
        }
    }

    fn probe_now(&mut self) {
        let Some(every) = self.probe_every else {
            return;
        };
        if let Some(place) = self.net.random_member() {
            let key = self.net.random_id();
            self.look_up(place, key);
        }
        self.alarm(every, Alarm::Probe);
    }

    fn ended(&mut self, id: LookupId, result: Result<(Id, bool, u8), LookupError>) {
        let Some(probe) = self.probes.remove(&id) else {
            return;
        };
        if self.sessions[probe.place] != probe.session {
            return;
        }
        let here = |place: Option<usize>| place.and_then(|p| self.net.node(p)).map(|n| n.id());
        let answered = result.as_ref().ok();
        let right = answered.is_some_and(|(by, root, _)| {
            // A root that died since has no id any more, and its successor counts.
            let now = here(self.net.root_of(&probe.key));
            *root && (now == Some(*by) || here(probe.root) == Some(*by))
        });
        let root = probe.root.filter(|root| *root != probe.place);
        let outcome = Outcome {
            place: probe.place,
            began: probe.began,
            took: self.net.now() - probe.began,
            direct: root.map(|root| self.net.topology().rtt(probe.place, root)),
            hops: answered.map(|(_, _, hops)| hops.saturating_sub(1)),
            right,
        };
        self.score.add(&outcome);
        self.outcomes.push(outcome);
    }
}
