//! What can be set on a node. Every limit of every table is here.

use std::net::SocketAddr;
use std::time::Duration;

use super::hot::HotConfig;
use crate::auth::CLOCK_TOLERANCE;
use crate::auth::proof::Secret;
use crate::auth::rates::RateConfig;
use crate::auth::seal::{NetworkKey, SealConfig};
use crate::coords::VivaldiConfig;
pub use crate::directory::cache::Eviction;
use crate::id::Id;

/// What a node does for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// An index node: it is on the ring, keeps location pointers, routes and answers.
    #[default]
    Index,
    /// A client: it asks and publishes through a near index node, and serves nobody.
    Client,
    /// An index node if others can reach it unasked, which is tested, else a client.
    Auto,
}

/// Who takes part in the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Anyone: ids are bound to public addresses, entries are signed.
    #[default]
    Open,
    /// Whoever has this key: every datagram is sealed with it, and nothing else is read.
    Closed(NetworkKey),
}

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What the node does for others.
    pub role: Role,
    /// Its ring id; drawn from the seed when `None`. Should survive a restart.
    pub id: Option<Id>,
    /// Nodes to join through. Empty: the node is a ring of its own until it is told of others.
    pub bootstrap: Vec<SocketAddr>,
    /// Sequence numbers of publications begin above this. It has to grow from run to run, as microseconds since 1970 do;
    /// otherwise a restarted publisher fights its own older entries.
    pub sequence_base: u64,
    /// Ring, timers and timeouts.
    pub overlay: OverlayConfig,
    /// Cache, propagation and lookups.
    pub directory: DirectoryConfig,
    /// Reachability, and a client's index node.
    pub roles: super::RolesConfig,
    /// Network coordinates.
    pub vivaldi: VivaldiConfig,
    /// Bounds of the tables that outsiders can fill.
    pub limits: LimitsConfig,
    /// Who takes part.
    pub network: Network,
    /// What its publishers are derived from; from the seed when `None`. Should survive a restart.
    pub secret: Option<Secret>,
    /// Time since 1970 at the start; later times come through [`Node::handle_wall`](super::Node::handle_wall). `None`:
    /// the node's own clock counts from 1970, as that of a simulation may.
    pub wall: Option<Duration>,
    /// What others may do.
    pub guard: GuardConfig,
}

/// Ring, timers and timeouts. Every period is drawn anew from 0.5 to 1.5 times its value.
///
/// The periods of upkeep are those of a calm ring. A node shortens them by itself, down to [`OverlayConfig::fastest`] of
/// them, when its contacts fail, and tunes faster as long as it finds nearer contacts.
/// [`OverlayConfig::quiet`], [`normal`](OverlayConfig::normal) and [`churny`](OverlayConfig::churny) fix them instead.
#[derive(Clone, Debug)]
pub struct OverlayConfig {
    /// Leaves on each side, 1..=8.
    pub leaves_per_side: usize,
    /// Contacts in a routing table slot beside the first.
    pub spares: usize,
    /// How often a leaf that was not heard from is pinged.
    pub leaf_ping: Duration,
    /// How often another contact that was not heard from is pinged.
    pub table_ping: Duration,
    /// How often leaf sets are exchanged with a random leaf.
    pub leaf_exchange: Duration,
    /// How often a random contact is asked for the row that both share (nearer contacts for every slot of a row).
    pub near_tune: Duration,
    /// How often a random contact is asked for the row below (nearer contacts for its own slot).
    pub far_tune: Duration,
    /// Shortest periods of pings, exchanges and far tuning as a share of the above, reached when contacts fail within
    /// minutes; 1.0: they never change.
    pub fastest: f64,
    /// How often remembered bootstrap nodes outside the tables are tried, so that split rings merge.
    pub rejoin: Duration,
    /// How long a suspect may be silent before it is dropped.
    pub suspect_silence: Duration,
    /// First pause between two attempts to reach a bootstrap node after the start, until one answers; doubled each time.
    pub bootstrap_first: Duration,
    /// The same of a node that has lost its ring, or was told of none at the start.
    pub bootstrap_retry: Duration,
    /// Longest such pause.
    pub bootstrap_retry_max: Duration,
    /// Index nodes that a routed request may pass.
    pub max_hops: u8,
    /// How long a routed request may take altogether.
    pub route_deadline: Duration,
    /// How long the origin waits for the answer of an acknowledged request before it tries another first hop.
    pub route_retry: Duration,
}

/// Cache, propagation and lookups.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// Entries of one object.
    pub entries_per_object: usize,
    /// Objects in the cache.
    pub objects: usize,
    /// Bytes of all entries.
    pub bytes: usize,
    /// Chunks that an object may have.
    pub chunks: u32,
    /// Objects that this node publishes itself.
    pub publications: usize,
    /// Lifetime of an entry whose peer is still downloading.
    pub downloader_lifetime: Duration,
    /// How often such an entry is refreshed.
    pub downloader_refresh: Duration,
    /// Lifetime of an entry whose peer has everything; also the longest that is accepted from others.
    pub seed_lifetime: Duration,
    /// How often such an entry is refreshed.
    pub seed_refresh: Duration,
    /// Longest wait of an object's first entries before they are passed on.
    pub first_hold: Duration,
    /// Period of propagation while something changes.
    pub active_period: Duration,
    /// Period of propagation while nothing changes.
    pub quiet_period: Duration,
    /// Bytes a second to one parent.
    pub parent_rate: u64,
    /// The root of an object passes its entries to its ring neighbours, one on each side: when it dies, one of these is the
    /// root and knows them. `false`: as in the paper, the root forwards nothing.
    pub replicas: bool,
    /// Whom a full list of entries loses for a newcomer.
    pub eviction: Eviction,
    /// Of propagated entries with public addresses at most 4 an object from one /24 (IPv4) or /56 (IPv6), and at most a
    /// quarter of a full list from one child. Only in networks that strangers can join, see [`Network::Open`].
    pub subnet_limits: bool,
    /// Bytes that copies of what others hold of changing entries may take, so that only differences are sent; 0: entries are
    /// always sent in full.
    pub delta_bytes: usize,
    /// How long such a copy is kept that is not used.
    pub delta_quiet: Duration,
    /// How long a token stays the newest; it is accepted for two more periods.
    pub token_period: Duration,
    /// Protection of roots that everybody asks and publishes to.
    pub hot: HotConfig,
}

/// Bounds of the tables that outsiders can fill.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Own requests that wait for an answer.
    pub pending: usize,
    /// Routed requests under way through this node.
    pub routed: usize,
    /// Nodes heard of that wait for a probe.
    pub candidates: usize,
    /// Probes under way at once.
    pub probes: usize,
    /// Nodes that did not answer a probe and are not probed again for a minute.
    pub failed: usize,
    /// Datagrams that wait to be sent.
    pub transmits: usize,
    /// Events that wait to be read.
    pub events: usize,
    /// Bootstrap addresses.
    pub bootstrap: usize,
}

/// What others may do.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    /// How sealed datagrams are opened; its tolerance is also that of signed expiries.
    pub seal: SealConfig,
    /// What one source may cost.
    pub rates: RateConfig,
    /// By how much the wall clock may differ from the monotonic one between two readings before this counts as a sleep
    /// or as a clock that was set.
    pub clock_step: Duration,
    /// Whether index nodes with public addresses need ids that fit them (BEP 42), in an open network.
    pub bind_ids: bool,
    /// Nodes of one public /24 (IPv4) or /48 (IPv6) in the leaf set, in an open network.
    pub subnet_leaves: usize,
    /// The same in one row of the routing table.
    pub subnet_row: usize,
}

/// A value that a node cannot work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is out of range: {expected}")]
pub struct ConfigError {
    /// The field of the configuration.
    pub field: &'static str,
    /// What it should be.
    pub expected: &'static str,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            role: Role::Index,
            id: None,
            bootstrap: Vec::new(),
            sequence_base: 0,
            overlay: OverlayConfig::default(),
            directory: DirectoryConfig::default(),
            roles: super::RolesConfig::default(),
            vivaldi: VivaldiConfig::default(),
            limits: LimitsConfig::default(),
            network: Network::default(),
            secret: None,
            wall: None,
            guard: GuardConfig::default(),
        }
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            seal: SealConfig::default(),
            rates: RateConfig::default(),
            clock_step: Duration::from_secs(10), // guess: more than a clock is slewed by
            bind_ids: true,
            subnet_leaves: 4, // guess: a quarter of the leaf set
            subnet_row: 2,    // guess: one slot can be lost, a row cannot
        }
    }
}

impl Default for OverlayConfig {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            leaves_per_side: 8,                        // Pastry, Bamboo
            spares: 2,                                 // guess
            leaf_ping: s(30),                          // quiet churn
            table_ping: s(120),                        // quiet churn
            leaf_exchange: s(30),                      // quiet churn
            near_tune: s(30),                          // quiet churn
            far_tune: s(60),                           // quiet churn
            fastest: 0.5,               // measured: 537 B/s at a median session of 5 min
            rejoin: s(300),             // guess
            suspect_silence: s(60),     // guess: longer than a route flap
            bootstrap_first: s(1) / 4,  // guess: longer than most paths
            bootstrap_retry: s(1),      // guess
            bootstrap_retry_max: s(60), // guess
            max_hops: 32,               // far above log16 of any ring
            route_deadline: s(5),       // guess
            route_retry: Duration::from_millis(2_000), // guess: leaves the second try as long
        }
    }
}

impl OverlayConfig {
    /// Fixed periods for sessions of an hour and more (Rhea et al. 2004 and measured in simulation).
    pub fn quiet() -> Self {
        Self {
            fastest: 1.0,
            ..Self::default()
        }
    }

    /// Fixed periods for sessions of a quarter of an hour.
    pub fn normal() -> Self {
        Self::quiet().at(2)
    }

    /// Fixed periods for sessions of minutes.
    pub fn churny() -> Self {
        Self::quiet().at(6)
    }

    /// `times` as fast.
    fn at(self, times: u32) -> Self {
        Self {
            leaf_ping: self.leaf_ping / times,
            table_ping: self.table_ping / times,
            leaf_exchange: self.leaf_exchange / times,
            near_tune: self.near_tune / times,
            far_tune: self.far_tune / times,
            ..self
        }
    }
}

impl Default for DirectoryConfig {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            entries_per_object: 512,     // paper 3.1 bounds it and names no number; guess
            objects: 65_536,             // guess
            bytes: 64 << 20,             // guess
            chunks: 1 << 20,             // guess: a tebibyte in pieces of a mebibyte
            publications: 4_096,         // guess
            downloader_lifetime: s(300), // guess
            downloader_refresh: s(120),  // two refreshes within a lifetime
            seed_lifetime: s(1_800),     // guess
            seed_refresh: s(720),        // two refreshes within a lifetime
            first_hold: Duration::from_millis(500), // guess: three hops within a short download
            active_period: s(2),         // guess
            quiet_period: s(60),         // guess
            parent_rate: 8 << 10,        // guess
            replicas: true,              // not in the paper: a root's death loses nothing
            eviction: Eviction::Random,  // paper 3.1
            subnet_limits: true,         // whoever rents a subnet does not own the lists
            delta_bytes: 4 << 20,        // guess: the bases of 10,000 entries of 1,000 chunks
            delta_quiet: s(60),          // guess: what changes does so every few seconds
            token_period: s(300),        // guess: as in the Mainline DHT
            hot: HotConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            pending: 8_192,   // guess
            routed: 4_096,    // guess
            candidates: 256,  // guess
            probes: 32,       // guess
            failed: 512,      // guess
            transmits: 8_192, // guess
            events: 8_192,    // guess
            bootstrap: 64,    // guess
        }
    }
}

impl NodeConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, field, expected| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError { field, expected })
            }
        };
        let (o, d, l) = (&self.overlay, &self.directory, &self.limits);
        check(
            (1..=8).contains(&o.leaves_per_side),
            "overlay.leaves_per_side",
            "1 to 8",
        )?;
        check(o.spares <= 8, "overlay.spares", "at most 8")?;
        check(
            (0.01..=1.0).contains(&o.fastest),
            "overlay.fastest",
            "0.01 to 1",
        )?;
        check(
            (1..=64).contains(&o.max_hops),
            "overlay.max_hops",
            "1 to 64",
        )?;
        let periods = [
            ("overlay.leaf_ping", o.leaf_ping),
            ("overlay.table_ping", o.table_ping),
            ("overlay.leaf_exchange", o.leaf_exchange),
            ("overlay.near_tune", o.near_tune),
            ("overlay.far_tune", o.far_tune),
            ("overlay.rejoin", o.rejoin),
            ("overlay.suspect_silence", o.suspect_silence),
            ("overlay.bootstrap_first", o.bootstrap_first),
            ("overlay.bootstrap_retry", o.bootstrap_retry),
            ("overlay.bootstrap_retry_max", o.bootstrap_retry_max),
            ("overlay.route_deadline", o.route_deadline),
            ("overlay.route_retry", o.route_retry),
            ("directory.first_hold", d.first_hold),
            ("directory.active_period", d.active_period),
            ("directory.quiet_period", d.quiet_period),
            ("directory.delta_quiet", d.delta_quiet),
            ("directory.token_period", d.token_period),
            ("directory.downloader_refresh", d.downloader_refresh),
            ("directory.seed_refresh", d.seed_refresh),
        ];
        for (field, period) in periods {
            let millisecond = Duration::from_millis(1);
            check(period >= millisecond, field, "at least a millisecond")?;
            check(
                period <= Duration::from_secs(86_400),
                field,
                "at most a day",
            )?;
        }
        check(
            d.downloader_refresh < d.downloader_lifetime
                && d.downloader_lifetime <= d.seed_lifetime,
            "directory.downloader_lifetime",
            "longer than its refresh and no longer than a seed's",
        )?;
        check(
            d.seed_refresh < d.seed_lifetime,
            "directory.seed_lifetime",
            "longer than its refresh",
        )?;
        check(
            d.entries_per_object > 0,
            "directory.entries_per_object",
            "at least 1",
        )?;
        check(d.objects > 0, "directory.objects", "at least 1")?;
        check(d.publications > 0, "directory.publications", "at least 1")?;
        check(d.bytes >= 1 << 16, "directory.bytes", "at least 65536")?;
        check(
            d.chunks > 0 && d.chunks <= 1 << 20,
            "directory.chunks",
            "1 to 1048576",
        )?;
        check(
            d.parent_rate >= 1_200,
            "directory.parent_rate",
            "a datagram a second, 1200, or more",
        )?;
        check(l.pending >= 64, "limits.pending", "at least 64")?;
        check(l.routed > 0, "limits.routed", "at least 1")?;
        check(l.candidates > 0, "limits.candidates", "at least 1")?;
        check(l.probes > 0, "limits.probes", "at least 1")?;
        check(l.failed > 0, "limits.failed", "at least 1")?;
        check(l.transmits >= 64, "limits.transmits", "at least 64")?;
        check(l.events >= 64, "limits.events", "at least 64")?;
        check(l.bootstrap > 0, "limits.bootstrap", "at least 1")?;
        self.roles.validate()?;
        let g = &self.guard;
        check(
            g.seal.tolerance >= Duration::from_secs(1) && g.seal.tolerance <= 6 * CLOCK_TOLERANCE,
            "guard.seal.tolerance",
            "a second to an hour",
        )?;
        check(g.seal.sessions > 0, "guard.seal.sessions", "at least 1")?;
        check(g.seal.window > 0, "guard.seal.window", "at least 1")?;
        check(g.rates.sources > 0, "guard.rates.sources", "at least 1")?;
        check(
            g.rates.burst >= 100 || g.rates.per_second == 0,
            "guard.rates.burst",
            "at least 100",
        )?;
        check(
            g.clock_step >= Duration::from_secs(1),
            "guard.clock_step",
            "at least a second",
        )?;
        check(g.subnet_leaves > 0, "guard.subnet_leaves", "at least 1")?;
        check(g.subnet_row > 0, "guard.subnet_row", "at least 1")?;
        d.hot.validate()?;
        self.vivaldi.validate().map_err(|_| ConfigError {
            field: "vivaldi",
            expected: "see VivaldiConfig::validate",
        })
    }
}
