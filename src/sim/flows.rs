//! Flows of bytes that share links: weighted max-min fairness, solved exactly each time that something changed.
//!
//! A transfer is modelled by its rate alone, as long-lived TCP connections share a bottleneck: no flow can be given more
//! without taking from one that has no more than it. The rates are found by progressive filling: a level rises from
//! zero, each flow has its weight times the level, and stops at its own ceiling or when one of its links is full.
//!
//! - The filling jumps from one stop to the next. The level at which a link is full only rises while other flows stop,
//!   so a heap that holds old levels is put right lazily, at its top; flows with a ceiling stay sorted between solves.
//!   A solve costs about (flows x links of a flow) + (links x log links), and allocates nothing once it has grown.
//! - Weights are held as multiples of 1/65,536: their sums are then exact in whatever order flows come and go, and no
//!   rounding piles up over a run of millions of flows.
//! - The same calls give the same bits: no hashing, ties by number of the link and of the flow.
//!
//! Time moves in steps. A flow that ends within a step ends at its own moment, which orders the ends of the step, but
//! what it leaves free is given to others only from the next step on. Half a step a flow is lost at its bottleneck on
//! average: with steps of 10 ms and flows of a second, half a percent. A caller that needs less takes shorter steps.
//!
//! ```
//! # use chunkcast::sim::{FlowSpec, Flows, LinkId};
//! let mut flows = Flows::new(vec![1_000.0]);
//! let spec = |weight| FlowSpec { links: vec![LinkId(0)], bytes: 3_000, ceiling: f64::INFINITY, weight };
//! let (small, large) = (flows.start(spec(1.0)), flows.start(spec(3.0)));
//! let mut done = Vec::new();
//! flows.step(4.0, &mut done);
//! assert_eq!((flows.rate(small), done), (250.0, vec![large]));
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::mem;

/// Links that one flow may cross: its record holds them.
const MAX_LINKS: usize = 8;

/// Least weight of a flow, and the unit of weights: sums of multiples of it are exact up to 2^37.
const WEIGHT_UNIT: f64 = 1.0 / 65_536.0;
/// Largest weight of a flow.
const WEIGHT_MAX: f64 = 65_536.0;
/// Bytes that may be missing from a flow at the end of a step: it is rounding, not something to carry.
const ROUNDING: f64 = 1e-6;
/// In place of a rate, during a solve: the flow still rises with the level.
const RISING: f64 = -1.0;
/// In place of bytes left: no flow is here. It never ends, and is given nothing.
const VACANT: f64 = f64::INFINITY;

/// A link, by index into the capacities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// A flow; never used twice, and larger than those of all earlier flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// A flow to start.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowSpec {
    /// The finite links that it crosses, at most [`FlowSpec::MAX_LINKS`], each once. A link that both directions share (half
    /// duplex) is one link. None: only the ceiling holds it.
    pub links: Vec<LinkId>,
    /// Bytes to carry, below 2^53.
    pub bytes: u64,
    /// Most bytes per second, whatever is free; `f64::INFINITY` for none.
    pub ceiling: f64,
    /// Its share relative to others at a bottleneck, 1/65,536 to 65,536, rounded to a multiple of 1/65,536; 1 is plain.
    pub weight: f64,
}

impl FlowSpec {
    /// Links that one flow may cross.
    pub const MAX_LINKS: usize = MAX_LINKS;
}

/// Links with capacities, and the flows that share them.
///
/// Rates are those of the last solve: [`step`](Self::step) solves first if anything changed, so that a flow that was
/// started just before a step has its share in that step.
#[derive(Debug)]
pub struct Flows {
    links: Vec<Link>,
    /// Per place: the flow in it. Places of ended flows are used again.
    flows: Vec<Flow>,
    /// Per place: bytes left, or [`VACANT`].
    left: Vec<f64>,
    /// Per place: bytes per second, zero where none is.
    rates: Vec<f64>,
    vacant: Vec<u32>,
    /// Places of living flows.
    places: BTreeMap<FlowId, u32>,
    next: u64,
    changed: bool,
    /// Bytes of flows that ended.
    settled: f64,
    /// Flows with a ceiling in the order in which they reach it; ended ones are dropped by the next solve.
    ceilings: Vec<Ceiling>,
    /// Those that started since the last solve, in no order.
    new_ceilings: Vec<Ceiling>,
    /// Reused by solves and steps.
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    filling: Vec<Filling>,
    heap: BinaryHeap<Reverse<Full>>,
    ceilings: Vec<Ceiling>,
    ended: Vec<(Level, FlowId)>,
}

#[derive(Debug)]
struct Link {
    capacity: f64,
    /// Weights of its flows together; exact.
    weight: f64,
    members: Vec<Member>,
}

/// A flow on a link.
#[derive(Clone, Copy, Debug)]
struct Member {
    place: u32,
    /// Which of the flow's links this is.
    hop: u32,
}

#[derive(Debug)]
struct Flow {
    id: FlowId,
    bytes: u64,
    ceiling: f64,
    weight: f64,
    hops: u32,
    links: [u32; MAX_LINKS],
    /// Per link: where the link's members have this flow.
    positions: [u32; MAX_LINKS],
}

/// A link during a solve: what no stopped flow uses, and the weights of those that rise.
#[derive(Clone, Copy, Debug)]
struct Filling {
    room: f64,
    weight: f64,
}

impl Filling {
    /// The level at which the link is full. It has rising flows.
    fn level(self) -> Level {
        Level((self.room / self.weight).max(0.0))
    }
}

#[derive(Clone, Copy, Debug)]
struct Ceiling {
    level: Level,
    id: FlowId,
    place: u32,
}

/// A number that is not negative, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level(f64);

impl Eq for Level {}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_bits().cmp(&other.0.to_bits()) // as of the numbers themselves, where no sign is set
    }
}

/// The level at which a link was full, and the link: in order of both. One number: the heap took two fifths of a solve's
/// time, and a processor guesses the outcome of two comparisons in a row badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Full(u128);

impl Full {
    fn new(level: Level, link: u32) -> Self {
        Self(u128::from(level.0.to_bits()) << 64 | u128::from(link))
    }

    fn level(self) -> Level {
        Level(f64::from_bits((self.0 >> 64) as u64))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn link(self) -> u32 {
        self.0 as u32
    }
}

impl Flows {
    /// Links without flows, with these capacities in bytes per second; infinity is one.
    ///
    /// # Panics
    ///
    /// A capacity is negative or not a number.
    #[must_use]
    pub fn new(capacities: Vec<f64>) -> Self {
        let links = capacities.into_iter().map(|capacity| Link {
            capacity: checked_rate(capacity),
            weight: 0.0,
            members: Vec::new(),
        });
        Self {
            links: links.collect(),
            flows: Vec::new(),
            left: Vec::new(),
            rates: Vec::new(),
            vacant: Vec::new(),
            places: BTreeMap::new(),
            next: 0,
            changed: false,
            settled: 0.0,
            ceilings: Vec::new(),
            new_ceilings: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Sets what a link can carry from the next step on.
    ///
    /// # Panics
    ///
    /// There is no such link, or the capacity is negative or not a number.
    pub fn set_capacity(&mut self, link: LinkId, bytes_per_s: f64) {
        let link = &mut self.links[link.0 as usize];
        let old = mem::replace(&mut link.capacity, checked_rate(bytes_per_s));
        self.changed |= old != link.capacity;
    }

    /// Starts a flow. Its rate is zero until the next solve.
    ///
    /// # Panics
    ///
    /// The spec breaks a limit of its fields, or names a link that there is not.
    pub fn start(&mut self, spec: FlowSpec) -> FlowId {
        let id = FlowId(self.next);
        self.next += 1;
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.left.push(VACANT);
            self.rates.push(0.0);
            u32::try_from(self.left.len() - 1).expect("fewer than 2^32 flows at a time")
        });
        let flow = self.join(id, place, &spec);
        if flow.ceiling < f64::INFINITY {
            let level = Level(flow.ceiling / flow.weight);
            self.new_ceilings.push(Ceiling { level, id, place });
        }
        self.left[place as usize] = flow.bytes as f64;
        match self.flows.get_mut(place as usize) {
            Some(old) => *old = flow,
            None => self.flows.push(flow),
        }
        self.places.insert(id, place);
        self.changed = true;
        id
    }

    /// Ends a flow; the whole bytes that it had carried. None: it ended before, or never was.
    pub fn cancel(&mut self, flow: FlowId) -> Option<u64> {
        let place = *self.places.get(&flow)?;
        let left = self.left[place as usize];
        let bytes = self.flows[place as usize].bytes;
        self.settled += bytes as f64 - left;
        self.leave(flow);
        #[expect(clippy::cast_possible_truncation, reason = "at most the flow's bytes")]
        let whole = (left - ROUNDING).ceil() as u64;
        Some(bytes - whole)
    }

    /// Lets `dt` seconds pass at the present rates, which are solved first if anything changed since the last solve.
    /// Appends the flows that ended to `done`, in the order in which they ended, at the same moment in order of their
    /// start. A flow that nothing holds, and one of no bytes, ends at once, in a step of no length too.
    ///
    /// # Panics
    ///
    /// `dt` is negative or not finite.
    pub fn step(&mut self, dt: f64, done: &mut Vec<FlowId>) {
        assert!(
            dt.is_finite() && dt >= 0.0,
            "a step of {dt} s: time goes forwards"
        );
        self.solve();
        let mut ended = mem::take(&mut self.scratch.ended);
        for (place, (left, &rate)) in self.left.iter_mut().zip(&self.rates).enumerate() {
            let after = *left - rate * dt;
            if after > ROUNDING {
                *left = after;
            } else if *left <= ROUNDING || rate == f64::INFINITY {
                ended.push((Level(0.0), self.flows[place].id));
            } else {
                ended.push((Level(*left / rate), self.flows[place].id));
            }
        }
        ended.sort_unstable();
        for &(_, id) in &ended {
            self.settled += self.flows[self.places[&id] as usize].bytes as f64;
            self.leave(id);
            done.push(id);
        }
        ended.clear();
        self.scratch.ended = ended;
    }

    /// Bytes per second of a flow at the last solve; zero for one that started since, that ended, or that never was.
    #[must_use]
    pub fn rate(&self, flow: FlowId) -> f64 {
        let place = self.places.get(&flow);
        place.map_or(0.0, |&place| self.rates[place as usize])
    }

    /// Bytes that a flow has yet to carry; zero for one that ended, or that never was.
    #[must_use]
    pub fn left(&self, flow: FlowId) -> f64 {
        let place = self.places.get(&flow);
        place.map_or(0.0, |&place| self.left[place as usize])
    }

    /// Living flows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// No flow lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes carried so far by all flows, of finished, cancelled and living ones; each counts once, however many links it
    /// crossed. Costs a look at every living flow.
    #[must_use]
    pub fn carried(&self) -> f64 {
        let living = self.left.iter().zip(&self.flows);
        let living = living.filter(|&(&left, _)| left < VACANT);
        self.settled
            + living
                .map(|(left, flow)| flow.bytes as f64 - left)
                .sum::<f64>()
    }

    /// Brings all rates up to date, if anything changed since the last solve.
    pub fn solve(&mut self) {
        if !mem::take(&mut self.changed) {
            return;
        }
        self.sort_ceilings();
        for (rate, &left) in self.rates.iter_mut().zip(&self.left) {
            *rate = if left < VACANT { RISING } else { 0.0 };
        }
        let mut scratch = mem::take(&mut self.scratch);
        self.fill(&mut scratch.filling, &mut scratch.heap);
        self.scratch = scratch;
    }

    /// Raises the level from stop to stop until no flow rises.
    fn fill(&mut self, filling: &mut Vec<Filling>, heap: &mut BinaryHeap<Reverse<Full>>) {
        filling.clear();
        filling.extend(self.links.iter().map(|link| Filling {
            room: link.capacity,
            weight: link.weight,
        }));
        let mut levels = mem::take(heap).into_vec();
        levels.clear();
        let used = (0..)
            .zip(filling.iter())
            .filter(|(_, link)| link.weight > 0.0);
        levels.extend(used.map(|(id, link)| Reverse(Full::new(link.level(), id))));
        *heap = BinaryHeap::from(levels);

        let mut rising = self.places.len();
        let mut next_ceiling = 0;
        while rising > 0 {
            let top = heap.peek().map(|top| top.0);
            let level = top.map_or(Level(f64::INFINITY), Full::level);
            if let Some(&ceiling) = self.ceilings.get(next_ceiling)
                && ceiling.level <= level
            {
                next_ceiling += 1;
                if self.rates[ceiling.place as usize] == RISING {
                    rising -= 1;
                    let rate = self.flows[ceiling.place as usize].ceiling;
                    stop(&self.flows, &mut self.rates, filling, ceiling.place, rate);
                }
                continue;
            }
            let Some(link) = top.filter(|_| level.0 < f64::INFINITY).map(Full::link) else {
                break; // nothing holds the others
            };
            if filling[link as usize].weight <= 0.0 {
                heap.pop();
                continue;
            }
            let now = filling[link as usize].level();
            if now > level {
                if let Some(mut top) = heap.peek_mut() {
                    top.0 = Full::new(now, link);
                }
                continue;
            }
            for member in &self.links[link as usize].members {
                if self.rates[member.place as usize] == RISING {
                    rising -= 1;
                    let flow = &self.flows[member.place as usize];
                    let rate = (flow.weight * level.0).min(flow.ceiling);
                    stop(&self.flows, &mut self.rates, filling, member.place, rate);
                }
            }
            heap.pop();
        }
        if rising > 0 {
            for rate in &mut self.rates {
                *rate = if *rate == RISING {
                    f64::INFINITY
                } else {
                    *rate
                };
            }
        }
    }

    /// Merges the ceilings of new flows into those of older ones, without those of flows that ended.
    fn sort_ceilings(&mut self) {
        let Self {
            flows,
            left,
            ceilings,
            new_ceilings,
            scratch,
            ..
        } = self;
        let order = |ceiling: &Ceiling| (ceiling.level, ceiling.id);
        let lives = |ceiling: &Ceiling| {
            let place = ceiling.place as usize;
            left[place] < VACANT && flows[place].id == ceiling.id
        };
        new_ceilings.sort_unstable_by_key(order);
        scratch.ceilings.clear();
        let mut new = new_ceilings.drain(..).filter(lives).peekable();
        for old in ceilings.iter().filter(|old| lives(old)) {
            while let Some(new) = new.next_if(|new| order(new) < order(old)) {
                scratch.ceilings.push(new);
            }
            scratch.ceilings.push(*old);
        }
        scratch.ceilings.extend(new);
        mem::swap(ceilings, &mut scratch.ceilings);
    }

    /// Checks a spec, and puts its flow on its links.
    fn join(&mut self, id: FlowId, place: u32, spec: &FlowSpec) -> Flow {
        let hops = spec.links.len();
        assert!(
            hops <= MAX_LINKS,
            "a flow crosses {MAX_LINKS} links at most, not {hops}"
        );
        assert!(
            spec.bytes < 1 << 53,
            "a flow carries less than 2^53 bytes, not {}",
            spec.bytes
        );
        assert!(
            (WEIGHT_UNIT..=WEIGHT_MAX).contains(&spec.weight),
            "the weight of a flow is 1/65,536 to 65,536, not {}",
            spec.weight
        );
        let mut flow = Flow {
            id,
            bytes: spec.bytes,
            ceiling: checked_rate(spec.ceiling),
            weight: (spec.weight / WEIGHT_UNIT).round() * WEIGHT_UNIT,
            hops: 0,
            links: [0; MAX_LINKS],
            positions: [0; MAX_LINKS],
        };
        for (hop, &LinkId(link)) in spec.links.iter().enumerate() {
            assert!(
                !flow.links[..hop].contains(&link),
                "a flow crosses link {link} twice: each link is named once"
            );
            let members = &mut self.links[link as usize].members;
            flow.links[hop] = link;
            flow.positions[hop] = u32::try_from(members.len()).expect("fewer than 2^32 flows");
            members.push(Member {
                place,
                hop: flow.hops,
            });
            self.links[link as usize].weight += flow.weight;
            flow.hops += 1;
        }
        flow
    }

    /// Takes a living flow off its links, and frees its place.
    fn leave(&mut self, id: FlowId) {
        let place = self.places.remove(&id).expect("the flow lives");
        let Flow {
            weight,
            hops,
            links,
            positions,
            ..
        } = self.flows[place as usize];
        for (link, position) in links.into_iter().zip(positions).take(hops as usize) {
            let link = &mut self.links[link as usize];
            link.weight -= weight;
            link.members.swap_remove(position as usize);
            if let Some(moved) = link.members.get(position as usize) {
                self.flows[moved.place as usize].positions[moved.hop as usize] = position;
            }
        }
        self.left[place as usize] = VACANT;
        self.rates[place as usize] = 0.0;
        self.vacant.push(place);
        self.changed = true;
    }
}

/// Gives a rising flow its rate, and takes it from its links.
fn stop(flows: &[Flow], rates: &mut [f64], filling: &mut [Filling], place: u32, rate: f64) {
    let flow = &flows[place as usize];
    rates[place as usize] = rate;
    for &link in &flow.links[..flow.hops as usize] {
        let link = &mut filling[link as usize];
        link.room -= rate;
        link.weight -= flow.weight;
    }
}

/// A capacity or a ceiling.
fn checked_rate(bytes_per_s: f64) -> f64 {
    assert!(
        bytes_per_s >= 0.0,
        "{bytes_per_s} is no rate: bytes per second, from zero to infinity, are expected"
    );
    bytes_per_s.abs() // zero has no sign
}

#[cfg(test)]
mod tests;
