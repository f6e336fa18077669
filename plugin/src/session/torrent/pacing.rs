//! What rate limits mean for a torrent beside the pace of its connections: shorter queues, fewer peers served at a time,
//! and peers that are exempt.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chunkcast::client::ClientConfig;

use super::super::{SessionConfig, Shared};
use super::Torrent;
use crate::limits::{Limiters, LimitsConfig, Rate, Rates};
use crate::swarm;

/// Bytes a second that an upload slot is worth: a block in two seconds.
const SLOT: u64 = 8 << 10; // guess: well within the request timeouts of others

/// Fewest upload slots.
const LEAST_SLOTS: usize = 2; // one that reciprocates and one that may find others who do

impl Torrent {
    /// Once a second: the swarm learns of other rates, and limits no longer hold for peers that have turned out to be
    /// exempt.
    pub(super) fn pace(&mut self) {
        let rates = rates(&self.shared, &self.limiters, self.alone.load(Relaxed));
        if rates != self.paced {
            self.paced = rates;
            self.swarm.set_limits(swarm_limits(rates));
        }
        let limits = &self.shared.config.limits;
        if limits.exempt_rtt.is_none() {
            return;
        }
        for peer in self.swarm.stats().peers {
            if let Some(conn) = self.conns.get(&peer.conn) {
                conn.outbox.set_exempt(is_exempt(limits, peer.rtt));
            }
        }
    }
}

/// The rates that hold for a torrent: the lower of its own and those of all, or its own `alone`.
pub(super) fn rates(shared: &Shared, torrent: &Limiters, alone: bool) -> Rates {
    let own = torrent.rates();
    if alone {
        return own;
    }
    let all = shared.limits.rates().rates();
    let lower = |own: Option<Rate>, all: Option<Rate>| own.into_iter().chain(all).min();
    Rates {
        down: lower(own.down, all.down),
        up: lower(own.up, all.up),
    }
}

/// The swarm's limits at these rates.
pub(super) fn swarm_limits(rates: Rates) -> swarm::Limits {
    swarm::Limits::default().at_rates(rates.down.map(Rate::bytes), rates.up.map(Rate::bytes))
}

/// The client policy of a torrent that begins with these rates: no more peers are served at a time than get a block
/// within the time that they wait for one. Not where peers are exempt: these are not served any slower.
pub(super) fn client_config(config: &SessionConfig, rates: Rates) -> ClientConfig {
    let mut client = config.client.clone();
    if let Some(rate) = rates.up.filter(|_| config.limits.exempt_rtt.is_none()) {
        let slots = usize::try_from(rate.bytes() / SLOT).unwrap_or(usize::MAX);
        let slots = slots.max(LEAST_SLOTS);
        client.slots = match client.slots {
            0 => slots,
            own => own.min(slots),
        };
        client.unlimited_up_to = client.unlimited_up_to.min(slots);
        client.reciprocal_slots = client.reciprocal_slots.min(client.slots - 1);
        client.stranger_slots = client.stranger_slots.min(slots);
    }
    client
}

/// Whether limits do not hold for a peer with this measured round-trip time.
pub(super) fn is_exempt(limits: &LimitsConfig, rtt: Option<Duration>) -> bool {
    limits
        .exempt_rtt
        .is_some_and(|local| rtt.is_some_and(|rtt| rtt <= local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: u64) -> ClientConfig {
        let up = Some(Rate::new(bytes));
        client_config(&SessionConfig::default(), Rates { down: None, up })
    }

    #[test]
    fn few_are_served_at_a_time_at_a_low_rate() {
        let base = ClientConfig::default();
        assert_eq!((at(16 << 10).slots, at(16 << 10).unlimited_up_to), (2, 2));
        assert_eq!(at(16 << 10).stranger_slots, 2);
        assert_eq!(at(1 << 20).stranger_slots, base.stranger_slots);
        assert_eq!(at(1 << 20).slots, base.slots);
        assert_eq!(at(1 << 20).unlimited_up_to, base.unlimited_up_to);
        for bytes in [1 << 10, 16 << 10, 40 << 10, 1 << 30] {
            assert_eq!(at(bytes).validate(), Ok(()));
            assert!(at(bytes).reciprocal_slots < at(bytes).slots);
        }
    }

    #[test]
    fn only_measured_peers_are_exempt_and_only_if_that_is_asked_for() {
        let near = Some(Duration::from_millis(1));
        let mut limits = LimitsConfig::default();
        assert!(!is_exempt(&limits, near));
        limits.exempt_rtt = Some(crate::limits::LOCAL_RTT);
        assert!(is_exempt(&limits, near));
        assert!(!is_exempt(&limits, Some(Duration::from_millis(30))));
        assert!(!is_exempt(&limits, None));
    }
}
