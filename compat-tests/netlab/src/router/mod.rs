//! The wide-area network between sites: what a packet meets on its way, in virtual time and without any I/O.
//!
//! A packet of site A for site B waits in A's uplink queue, then travels for the delay of (A, B), then waits in B's
//! downlink queue. A link serialises: it is busy for as long as a packet's bytes take at its rate, and what would have to
//! wait longer than the queue's time is dropped. Both queues are shared by all that passes, whoever it comes from, and
//! neither reorders: packets of one pair of sites arrive in the order in which they were sent.
//!
//! The caller says what time it is: [`Router::handle_packet`] for what has come in, then [`Router::poll_output`] until
//! there is nothing more to deliver, then it sleeps until [`Router::poll_timeout`]. Calling late makes a delivery late
//! and nothing else: the time in a link's queue is counted from when the packet was due there.

pub(crate) mod io;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::units::Rate;

/// What a packet costs on a wire besides its own bytes: an Ethernet header, as the counters of TBF have it.
pub(crate) const FRAME: u64 = 14;

/// What the network is like.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Rate of every site's link, in each direction.
    pub(crate) rate: Rate,
    /// The longest wait in a queue.
    pub(crate) queue: Duration,
    /// One-way delay by sender and receiver; its length is the number of sites.
    pub(crate) delay: Vec<Vec<Duration>>,
}

impl Config {
    /// `sites` sites with the same round-trip time between any two.
    pub(crate) fn uniform(sites: usize, rate: Rate, queue: Duration, rtt: Duration) -> Self {
        Self {
            rate,
            queue,
            delay: vec![vec![rtt / 2; sites]; sites],
        }
    }
}

/// What went from one site to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Packets delivered.
    pub(crate) packets: u64,
    /// Their bytes, headers and frames included.
    pub(crate) bytes: u64,
    /// Packets for which the sender's uplink had no room.
    pub(crate) dropped_up: u64,
    /// Packets for which the receiver's downlink had none.
    pub(crate) dropped_down: u64,
}

/// A packet that leaves the network.
#[derive(Debug)]
pub(crate) struct Output<P> {
    /// When it was due.
    pub(crate) due: Duration,
    /// The site that it is for.
    pub(crate) to: usize,
    /// The packet.
    pub(crate) packet: P,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Router<P> {
    config: Config,
    up: Vec<Link>,
    down: Vec<Link>,
    /// Between an uplink and a downlink, by when they arrive there; the number breaks ties.
    travelling: BinaryHeap<Reverse<Travelling<P>>>,
    leaving: Vec<VecDeque<(Duration, P)>>,
    counts: Vec<Vec<Count>>,
    next: u64,
}

impl<P> Router<P> {
    /// A network in which nothing travels.
    pub(crate) fn new(config: Config) -> Self {
        let sites = config.delay.len();
        let link = Link {
            rate: config.rate,
            queue: config.queue,
            busy_until: Duration::ZERO,
        };
        Self {
            config,
            up: vec![link.clone(); sites],
            down: vec![link; sites],
            travelling: BinaryHeap::new(),
            leaving: std::iter::repeat_with(VecDeque::new).take(sites).collect(),
            counts: vec![vec![Count::default(); sites]; sites],
            next: 0,
        }
    }

    /// A packet of `bytes` bytes, without its frame, comes from one site for another. Sites that do not exist, and a site
    /// that talks to itself, are not carried.
    pub(crate) fn handle_packet(
        &mut self,
        now: Duration,
        from: usize,
        to: usize,
        bytes: u64,
        packet: P,
    ) {
        let sites = self.up.len();
        if from >= sites || to >= sites || from == to {
            return;
        }
        let bytes = bytes + FRAME;
        let Some(left) = self.up[from].offer(now, bytes) else {
            self.counts[from][to].dropped_up += 1;
            return;
        };
        self.travelling.push(Reverse(Travelling {
            at: left + self.config.delay[from][to],
            number: self.next,
            from,
            to,
            bytes,
            packet,
        }));
        self.next += 1;
    }

    /// The next packet that has arrived by `now`.
    pub(crate) fn poll_output(&mut self, now: Duration) -> Option<Output<P>> {
        self.arrive(now);
        for (to, queue) in self.leaving.iter_mut().enumerate() {
            if queue.front().is_some_and(|(due, _)| *due <= now) {
                let (due, packet) = queue.pop_front()?;
                return Some(Output { due, to, packet });
            }
        }
        None
    }

    /// When there will be something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let leaving = self.leaving.iter().filter_map(|q| q.front().map(|p| p.0));
        let travelling = self.travelling.peek().map(|t| t.0.at);
        leaving.chain(travelling).min()
    }

    /// What went from each site to each.
    pub(crate) fn counts(&self) -> &[Vec<Count>] {
        &self.counts
    }

    /// Lets what has travelled into the downlinks.
    fn arrive(&mut self, now: Duration) {
        while self.travelling.peek().is_some_and(|t| t.0.at <= now) {
            let Some(Reverse(t)) = self.travelling.pop() else {
                return;
            };
            let count = &mut self.counts[t.from][t.to];
            let Some(due) = self.down[t.to].offer(t.at, t.bytes) else {
                count.dropped_down += 1;
                continue;
            };
            count.packets += 1;
            count.bytes += t.bytes;
            self.leaving[t.to].push_back((due, t.packet));
        }
    }
}

/// One direction of a site's link.
#[derive(Clone, Debug)]
struct Link {
    rate: Rate,
    queue: Duration,
    busy_until: Duration,
}

impl Link {
    /// When the last bit of a packet that comes now has left; `None` when the queue is full.
    fn offer(&mut self, now: Duration, bytes: u64) -> Option<Duration> {
        if self.busy_until.saturating_sub(now) > self.queue {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + self.rate.time(bytes);
        Some(self.busy_until)
    }
}

#[derive(Debug)]
struct Travelling<P> {
    at: Duration,
    number: u64,
    from: usize,
    to: usize,
    bytes: u64,
    packet: P,
}

impl<P> PartialEq for Travelling<P> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<P> Eq for Travelling<P> {}

impl<P> PartialOrd for Travelling<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Travelling<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// At this rate a packet of 1000 bytes with its frame takes a millisecond.
    const PACKET: u64 = 1000 - FRAME;

    fn network(sites: usize, queue_ms: u32, rtt_ms: u32) -> Router<u64> {
        let rate = "8mbit".parse().expect("a rate");
        Router::new(Config::uniform(sites, rate, MS * queue_ms, MS * rtt_ms))
    }

    /// Everything that arrives, in order, with when it was due; time goes where the router says.
    fn drain(router: &mut Router<u64>) -> Vec<(Duration, usize, u64)> {
        let mut out = Vec::new();
        while let Some(now) = router.poll_timeout() {
            while let Some(o) = router.poll_output(now) {
                assert!(o.due <= now, "not before its time");
                out.push((o.due, o.to, o.packet));
            }
        }
        out
    }

    #[test]
    fn a_packet_takes_its_time_on_both_links_and_half_the_round_trip() {
        let mut router = network(2, 150, 60);
        router.handle_packet(MS * 5, 0, 1, PACKET, 7);
        assert_eq!(router.poll_timeout(), Some(MS * 36));
        assert!(router.poll_output(MS * 36).is_none());
        assert_eq!(router.poll_timeout(), Some(MS * 37));
        assert_eq!(drain(&mut router), [(MS * 37, 1, 7)]);
        assert_eq!(router.counts()[0][1].bytes, 1000);
        assert_eq!(router.counts()[1][0], Count::default());
    }

    #[test]
    fn a_burst_leaves_at_the_rate_and_what_would_wait_too_long_is_dropped() {
        let mut router = network(2, 10, 60);
        for i in 0..100 {
            router.handle_packet(MS, 0, 1, PACKET, i);
        }
        let out = drain(&mut router);
        // ten milliseconds of queue, and one that is on the wire
        assert_eq!(out.len(), 11);
        for (i, (due, to, packet)) in (0u32..).zip(out) {
            assert_eq!((due, to, packet), (MS * (33 + i), 1, u64::from(i)));
        }
        assert_eq!(router.counts()[0][1].dropped_up, 89);
        assert_eq!(router.counts()[0][1].dropped_down, 0);
    }

    #[test]
    fn two_senders_share_the_downlink_of_one_receiver() {
        let mut router = network(3, 1000, 20);
        for i in 0..50 {
            router.handle_packet(Duration::ZERO, 0, 2, PACKET, i);
            router.handle_packet(Duration::ZERO, 1, 2, PACKET, 100 + i);
        }
        let out = drain(&mut router);
        assert_eq!(out.len(), 100);
        // each uplink sends for 50 ms, the downlink for 100
        assert_eq!(out.last().map(|o| o.0), Some(MS * (1 + 10 + 100)));
        let of_first = out.iter().take(50).filter(|o| o.2 < 100).count();
        assert_eq!(of_first, 25, "neither starves");
    }

    #[test]
    fn a_full_downlink_drops_and_counts_it_for_the_pair() {
        let mut router = network(3, 10, 20);
        for i in 0..200 {
            let now = MS * i;
            router.handle_packet(now, 0, 2, PACKET, 0);
            router.handle_packet(now, 1, 2, PACKET, 1);
        }
        drain(&mut router);
        let (a, b) = (router.counts()[0][2], router.counts()[1][2]);
        assert_eq!((a.dropped_up, b.dropped_up), (0, 0));
        assert_eq!(a.packets + b.packets + a.dropped_down + b.dropped_down, 400);
        assert!((a.packets + b.packets).abs_diff(211) <= 2, "{a:?} {b:?}");
    }

    #[test]
    fn uplinks_and_downlinks_do_not_hinder_each_other() {
        let mut router = network(2, 1000, 20);
        for i in 0..50 {
            router.handle_packet(Duration::ZERO, 0, 1, PACKET, i);
            router.handle_packet(Duration::ZERO, 1, 0, PACKET, i);
        }
        let out = drain(&mut router);
        assert_eq!(out.last().map(|o| o.0), Some(MS * (50 + 10 + 1)));
    }

    #[test]
    fn what_is_for_nobody_is_not_carried() {
        let mut router = network(2, 10, 20);
        for (from, to) in [(0, 0), (0, 2), (2, 0)] {
            router.handle_packet(MS, from, to, PACKET, 0);
        }
        assert_eq!(router.poll_timeout(), None);
    }

    proptest! {
        /// Any traffic, polled at any times: no reordering in a pair, nothing early, never above the rate, nothing lost
        /// but what is counted, and the same whenever it is polled.
        #[test]
        fn links_keep_order_and_rate(
            packets in prop::collection::vec((0u64..3_000, 0usize..3, 0usize..3, 40u64..1500), 1..300),
            polls in prop::collection::vec(0u64..200, 300),
        ) {
            let run = |eager: bool| {
                let mut router = network(3, 30, 40);
                let (mut now, mut sent, mut out) = (Duration::ZERO, vec![], vec![]);
                for (i, (gap, from, to, bytes)) in packets.iter().enumerate() {
                    now += Duration::from_micros(*gap);
                    if eager || polls[i] < 20 {
                        while let Some(o) = router.poll_output(now) {
                            out.push((o.due, o.to, o.packet));
                        }
                    }
                    router.handle_packet(now, *from, *to, *bytes, i as u64);
                    sent.push(now);
                }
                out.extend(drain(&mut router));
                (router, sent, out)
            };
            let (router, sent, out) = run(true);
            let (_, _, mut late) = run(false);
            let mut early = out.clone();
            early.sort_unstable();
            late.sort_unstable();
            prop_assert_eq!(early, late);

            let carried = packets.iter().filter(|p| p.1 != p.2).count() as u64;
            let all: Vec<Count> = router.counts().iter().flatten().copied().collect();
            prop_assert_eq!(carried, all.iter().map(|c| c.packets + c.dropped_up + c.dropped_down).sum::<u64>());
            prop_assert_eq!(out.len() as u64, all.iter().map(|c| c.packets).sum::<u64>());
            let mut last = vec![vec![None; 3]; 3];
            let mut busy = [Duration::ZERO; 3];
            for (due, to, id) in &out {
                let i = usize::try_from(*id).expect("small");
                let (_, from, _, bytes) = packets[i];
                prop_assert!(last[from][*to] < Some(*id), "reordered");
                last[from][*to] = Some(*id);
                let wire = router.config.rate.time(bytes + FRAME);
                prop_assert!(*due >= sent[i] + MS * 20 + wire * 2, "early");
                prop_assert!(*due <= sent[i] + MS * (20 + 30 + 30) + wire * 2, "waited longer than both queues");
                prop_assert!(*due >= busy[*to] + wire, "faster than the link");
                busy[*to] = *due;
            }
        }
    }
}
