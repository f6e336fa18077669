//! When to announce, whom to answer, what to believe: the part of the LAN discovery without sockets and clocks.
//!
//! - A newcomer announces itself in a short burst, a known node rarely, and the more rarely the more there are.
//! - Who hears a newcomer answers it alone, after a random pause, so that a network of hundreds does not answer at once:
//!   each answers with a probability that lets about [`BeaconConfig::answers`] of them do it.
//! - A client announces itself as one, is answered like a newcomer, and answers nobody.
//! - An address that is heard is a hint to join through, nothing more. A machine that invents nodes runs into bounds:
//!   addresses an id, addresses an IP, addresses at all, and hints a minute.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::announcement::{Announcement, Kind};
use crate::id::Id;
use crate::time::Instant;

/// Settings of the announcements.
#[derive(Clone, Debug)]
pub struct BeaconConfig {
    /// Announcements of a newcomer.
    pub burst: u32,
    /// Pause after the first of them; doubled each time.
    pub burst_pause: Duration,
    /// Pause between two announcements after the burst, drawn from 0.5 to 1.5 of it.
    pub period: Duration,
    /// Announcements of all nodes together come no faster than this.
    pub spacing: Duration,
    /// Longest pause before an answer.
    pub answer_delay: Duration,
    /// About how many nodes answer a newcomer.
    pub answers: usize,
    /// Answers that wait to be sent.
    pub answers_waiting: usize,
    /// Addresses remembered.
    pub known: usize,
    /// Of these with the same IP address.
    pub known_per_ip: usize,
    /// Of these with the same id: one for each address family and network that two machines share.
    pub known_per_id: usize,
    /// Hints handed out at once.
    pub hints: u32,
    /// Time after which one more is handed out.
    pub hint_pause: Duration,
}

impl Default for BeaconConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            burst: 4,               // guess: three may be lost
            burst_pause: ms(1_000), // guess
            period: ms(300_000),    // guess: a split LAN merges within minutes
            spacing: ms(3_000),     // guess: 12 bytes a second
            answer_delay: ms(200),  // guess: unnoticed by a person
            answers: 8,             // as many as are asked at once to join through
            answers_waiting: 32,    // guess
            known: 1_024,           // guess: a large LAN
            known_per_ip: 64,       // guess: a machine that runs a demo
            known_per_id: 4,        // guess
            hints: 16,              // guess: two tries of as many as are asked at once
            hint_pause: ms(5_000),  // guess
        }
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the groups, on every interface.
    Everyone,
    /// To one node's announcing socket.
    One(SocketAddr),
}

#[derive(Debug)]
struct Known {
    id: Id,
    heard: Instant,
    /// The node has been told of it.
    told: bool,
}

/// The state of the announcements of one index node.
#[derive(Debug)]
pub struct Beacon {
    config: BeaconConfig,
    me: Announcement,
    rng: ChaCha8Rng,
    burst_left: u32,
    next: Instant,
    answers: BTreeSet<(Instant, SocketAddr)>,
    known: BTreeMap<SocketAddr, Known>,
    hints_left: u32,
    hint_at: Instant,
    out: VecDeque<(Target, Announcement)>,
}

impl Beacon {
    /// A beacon that begins with a burst at once. `me` is a newcomer or a client; `seed` decides every random choice.
    pub fn new(config: BeaconConfig, me: Announcement, seed: [u8; 32], now: Instant) -> Self {
        Self {
            me,
            rng: ChaCha8Rng::from_seed(seed),
            burst_left: config.burst,
            next: now,
            answers: BTreeSet::new(),
            known: BTreeMap::new(),
            hints_left: config.hints,
            hint_at: now,
            out: VecDeque::new(),
            config,
        }
    }

    /// The machine has a new address: a newcomer again.
    pub fn moved(&mut self, now: Instant) {
        self.burst_left = self.config.burst;
        self.next = now;
    }

    /// The node goes by this id now.
    pub fn rename(&mut self, id: Id) {
        self.me.id = id;
    }

    /// A datagram has arrived; the address of an index node to join through, if it names one that is news.
    pub fn handle_datagram(
        &mut self,
        from: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> Option<SocketAddr> {
        let said = Announcement::decode(payload)?;
        if said.network != self.me.network || said.id == self.me.id {
            return None;
        }
        let at = SocketAddr::new(from.ip().to_canonical(), said.port);
        if !usable(at.ip()) {
            return None;
        }
        if said.kind != Kind::Client {
            self.note(at, said.id, now);
        }
        if said.kind.asks() && self.me.kind != Kind::Client {
            let many = self.known.len().max(1);
            if self.rng.random_range(0..many) >= self.config.answers {
                return None; // others do
            }
            self.answer(from, now);
        }
        let untold = self.known.get(&at).is_some_and(|k| !k.told);
        if !untold || !self.may_hint(now) {
            return None;
        }
        self.known.get_mut(&at)?.told = true;
        Some(at)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, to)) = self.answers.first().copied()
            && at <= now
        {
            let here = Announcement {
                kind: Kind::Here,
                ..self.me
            };
            self.out.push_back((Target::One(to), here));
            self.answers.pop_first();
        }
        if self.next > now {
            return;
        }
        self.forget_silent(now);
        let burst = self.burst_left > 0;
        let kind = match self.me.kind {
            Kind::Here | Kind::Newcomer if !burst => Kind::Here,
            asking => asking,
        };
        let said = Announcement { kind, ..self.me };
        self.out.push_back((Target::Everyone, said));
        let pause = if burst {
            self.burst_left -= 1;
            let said = (self.config.burst - self.burst_left).min(16);
            self.config.burst_pause * (1 << (said - 1))
        } else {
            self.period()
        };
        self.next = now + pause.mul_f64(self.rng.random_range(0.5..1.5));
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(Target, Announcement)> {
        self.out.pop_front()
    }

    /// When to call [`Beacon::handle_timeout`].
    pub fn poll_timeout(&self) -> Instant {
        let answer = self.answers.first().map(|(at, _)| *at);
        answer.map_or(self.next, |at| at.min(self.next))
    }

    /// Remembers an address, if there is room.
    fn note(&mut self, at: SocketAddr, id: Id, now: Instant) {
        if let Some(known) = self.known.get_mut(&at) {
            // another id: restarted, and perhaps alone in a ring of its own
            known.told &= known.id == id;
            (known.id, known.heard) = (id, now);
            return;
        }
        let (mut of_ip, mut of_id) = (0, 0);
        for (addr, known) in &self.known {
            of_ip += usize::from(addr.ip() == at.ip());
            of_id += usize::from(known.id == id);
        }
        let c = &self.config;
        if self.known.len() < c.known && of_ip < c.known_per_ip && of_id < c.known_per_id {
            let (heard, told) = (now, false);
            self.known.insert(at, Known { id, heard, told });
        }
    }

    /// Only silence makes room, so that a flood of inventions drives out nobody.
    fn forget_silent(&mut self, now: Instant) {
        let silence = self.period() * 3;
        self.known.retain(|_, k| now - k.heard < silence);
    }

    /// Pause between two announcements: the more nodes, the longer.
    fn period(&self) -> Duration {
        let all = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let spaced = self.config.spacing.saturating_mul(all);
        self.config.period.max(spaced)
    }

    fn answer(&mut self, to: SocketAddr, now: Instant) {
        let waits = self.answers.iter().any(|(_, addr)| *addr == to);
        if waits || self.answers.len() >= self.config.answers_waiting {
            return;
        }
        let pause = self
            .config
            .answer_delay
            .mul_f64(self.rng.random_range(0.0..1.0));
        self.answers.insert((now + pause, to));
    }

    fn may_hint(&mut self, now: Instant) -> bool {
        let pause = self.config.hint_pause;
        while self.hints_left < self.config.hints && now - self.hint_at >= pause {
            self.hints_left += 1;
            self.hint_at += pause;
        }
        if self.hints_left == self.config.hints {
            self.hint_at = now;
        }
        let may = self.hints_left > 0;
        self.hints_left = self.hints_left.saturating_sub(1);
        may
    }
}

/// Whether other machines can send to this address as it stands: one of a single link means nothing without the link.
fn usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
