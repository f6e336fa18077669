//! Nodes that one has only heard of: they are pinged, a bounded number at a time, before they may enter a table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::rpc::Asked;
use super::{DropReason, Node};
use crate::id::Id;
use crate::overlay::{MAX_TIMEOUT, predicted_timeout};
use crate::time::Instant;
use crate::wire::{Body, Contact};

/// How long an address that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(60); // guess: as long as a suspect is kept
/// And if it sends something itself: whoever forges its address is not to have it pinged at will.
const LEFT_ALONE_ALIVE: Duration = Duration::from_secs(5); // guess

/// How long a probe waits at least: nothing waits for it, and a coordinate that is wrong must not make a node that is
/// there unreachable for good.
const PATIENCE: Duration = Duration::from_secs(1); // guess: longer than any path takes

/// Candidates that wait, and addresses that did not answer.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Each with whether a neighbour has named it.
    queue: BTreeMap<Id, (Contact, bool)>,
    failed: BTreeMap<SocketAddr, Instant>,
}

impl Probes {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Node {
    /// Another node has sent something: probe it if the tables could use it.
    pub(super) fn consider(&mut self, contact: Contact) {
        self.candidate(contact, false, LEFT_ALONE_ALIVE);
    }

    /// The same of a node that was named by a neighbour (`near`) or by another one.
    pub(super) fn hear_of(&mut self, contact: Contact, near: bool) {
        self.candidate(contact, near, LEFT_ALONE);
    }

    fn candidate(&mut self, contact: Contact, near: bool, left_alone: Duration) {
        let here = self.vivaldi.coord();
        if self.is_client() || !usable(contact.addr) || !self.overlay.wants(&contact, &here, near) {
            return;
        }
        if !self.is_of_overlay(contact.addr) || self.has_place(&contact).is_err() {
            return;
        }
        if self
            .probes
            .failed
            .get(&contact.addr)
            .is_some_and(|at| self.now - *at < left_alone)
            || self.overlay.id_at(contact.addr).is_some()
            || self
                .pending
                .is_asking(contact.addr, |a| matches!(a, Asked::Probe))
        {
            return;
        }
        if self.probes.queue.len() >= self.config.limits.candidates
            && !self.probes.queue.contains_key(&contact.id)
        {
            return self.counters.drop(DropReason::Candidates);
        }
        self.probes.queue.insert(contact.id, (contact, near));
        self.pump_probes();
    }

    /// Starts probes while there is room for more.
    pub(super) fn pump_probes(&mut self) {
        while self.pending.probes() < self.config.limits.probes {
            let Some((_, (contact, near))) = self.probes.queue.pop_first() else {
                return;
            };
            let here = self.vivaldi.coord();
            if !self.overlay.wants(&contact, &here, near) {
                continue;
            }
            // Whoever would be a leaf must not be missed however far it is.
            let timeout = match self.overlay.wants_as_leaf(&contact.id) {
                true => MAX_TIMEOUT,
                false => predicted_timeout(&here, &contact.coord).max(PATIENCE),
            };
            let sent = self.request(contact.addr, None, Asked::Probe, None, Body::Ping, timeout);
            if sent.is_none() {
                return;
            }
        }
    }

    /// The overlay is IPv4 in this version: a node that is seen at an IPv4 address keeps no others in its tables, as those
    /// it tells of them may be unable to use them.
    pub(super) fn is_of_overlay(&self, addr: SocketAddr) -> bool {
        self.is_client() || addr.is_ipv4() || self.observed.is_none_or(|o| o.is_ipv6())
    }

    /// Whether the address was silent a moment ago.
    pub(super) fn probe_has_failed(&self, addr: SocketAddr) -> bool {
        let failed = self.probes.failed.get(&addr);
        failed.is_some_and(|until| *until > self.now)
    }

    pub(super) fn probe_failed(&mut self, addr: SocketAddr) {
        let (now, failed) = (self.now, &mut self.probes.failed);
        failed.retain(|_, at| now - *at < LEFT_ALONE);
        while failed.len() >= self.config.limits.failed {
            failed.pop_first();
        }
        failed.insert(addr, now);
    }
}

/// Whether a datagram can be sent there at all.
pub(super) fn usable(addr: SocketAddr) -> bool {
    let broadcast = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast() && !broadcast
}
