//! Index nodes of one local network find each other with nothing configured: each announces itself by multicast, and
//! what it hears is one more way to join ([`Handle::add_bootstrap`]).
//!
//! An announcement goes to a group of local scope (RFC 2365; IPv6: site scope, hop limit 1) on every interface, from a
//! socket of its own to which the others answer. Which, when and how many is [`Beacon`]'s to say, what is written in them
//! [`Announcement`]'s.
//!
//! A node that listens on loopback only is in no local network and announces nothing. A machine that has nothing but
//! loopback is one: its nodes find each other.

mod announcement;
mod beacon;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rand::TryRng;
use tokio::task::AbortHandle;

use super::multicast::{self, Sockets};
use super::{Clock, Handle};
use crate::node::Network;

pub use announcement::{ANNOUNCEMENT_LEN, Announcement, Kind, NetworkTag};
pub use beacon::{Beacon, BeaconConfig, Target};

/// Pause after a receive error.
const ERROR_PAUSE: Duration = Duration::from_millis(100); // guess

/// Settings of the announcements on the local network.
#[derive(Clone, Debug)]
pub struct LanConfig {
    /// Which network: others are not heard.
    pub network: NetworkTag,
    /// IPv4 group.
    pub group_v4: Ipv4Addr,
    /// IPv6 group.
    pub group_v6: Ipv6Addr,
    /// UDP port of both.
    pub port: u16,
    /// How often the machine's addresses are looked at.
    pub scan: Duration,
    /// When to announce, whom to answer, what to believe.
    pub beacon: BeaconConfig,
}

impl Default for LanConfig {
    fn default() -> Self {
        Self {
            network: NetworkTag::of(&Network::Open),
            group_v4: Ipv4Addr::new(239, 255, 67, 67), // RFC 2365 local scope; "CC"
            group_v6: Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x6363, 0x6c6e), // transient, site scope; "ccln"
            port: 4241, // beside the index node's, which it must not collide with
            scan: Duration::from_secs(60), // guess: a cable that was plugged in
            beacon: BeaconConfig::default(),
        }
    }
}

/// Why a node does not announce itself.
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// The node listens on loopback only.
    #[error("the index node listens on loopback only, which is no local network")]
    Loopback(IpAddr),
    /// No socket of either family.
    #[error("no multicast socket for the local network: {0}; --no-lan does without")]
    Socket(io::Error),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(String),
}

/// Running announcements. They end when this is dropped.
#[derive(Debug)]
pub struct Lan {
    task: AbortHandle,
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Announces the node of `handle`, unless it is a client, and tells it of those that are heard. Needs a tokio runtime.
///
/// # Errors
/// [`LanError`]: the node is on loopback, or there is no socket; the node runs as well without.
pub fn spawn(handle: &Handle, config: LanConfig) -> Result<Lan, LanError> {
    let listen = handle.local_addr();
    if listen.ip().to_canonical().is_loopback() {
        return Err(LanError::Loopback(listen.ip()));
    }
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|e| LanError::Entropy(e.to_string()))?;
    let (v4, v6) = multicast::families(listen.ip());
    let v4 = v4.map(|ip| Sockets::open(ip.into(), config.group_v4.into(), config.port));
    let v6 = v6.map(|ip| Sockets::open(ip.into(), config.group_v6.into(), config.port));
    let (v4, v6) = match (v4, v6) {
        (Some(Err(e)), None | Some(Err(_))) | (None, Some(Err(e))) => {
            return Err(LanError::Socket(e));
        }
        (v4, v6) => (v4.and_then(Result::ok), v6.and_then(Result::ok)),
    };
    let clock = Clock(std::time::Instant::now());
    let me = Announcement {
        kind: if handle.is_client() {
            Kind::Client
        } else {
            Kind::Newcomer
        },
        network: config.network,
        id: handle.id(),
        port: listen.port(),
    };
    let beacon = Beacon::new(config.beacon.clone(), me, seed, clock.now());
    let task = Task {
        handle: handle.clone(),
        listen: listen.ip().to_canonical(),
        interfaces: BTreeMap::new(),
        config,
        clock,
        beacon,
        v4,
        v6,
    };
    let task = tokio::spawn(task.run()).abort_handle();
    Ok(Lan { task })
}

struct Task {
    handle: Handle,
    listen: IpAddr,
    /// Addresses to announce from, and their interfaces.
    interfaces: BTreeMap<IpAddr, u32>,
    config: LanConfig,
    clock: Clock,
    beacon: Beacon,
    v4: Option<Sockets>,
    v6: Option<Sockets>,
}

impl Task {
    async fn run(mut self) {
        self.interfaces = self.scan();
        self.join();
        let mut scan = tokio::time::interval(self.config.scan.max(Duration::from_secs(1)));
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut buffers = [[0; ANNOUNCEMENT_LEN + 1]; 4];
        let [b0, b1, b2, b3] = &mut buffers;
        loop {
            self.drain().await;
            let wait = self.beacon.poll_timeout() - self.clock.now();
            let (v4, v6) = (self.v4.as_ref(), self.v6.as_ref());
            let received = tokio::select! {
                r = multicast::heard(v4, b0) => r,
                r = multicast::answered(v4, b1) => r,
                r = multicast::heard(v6, b2) => r,
                r = multicast::answered(v6, b3) => r,
                () = tokio::time::sleep(wait) => {
                    self.beacon.rename(self.handle.id());
                    self.beacon.handle_timeout(self.clock.now());
                    continue;
                }
                _ = scan.tick() => {
                    self.rescan();
                    continue;
                }
            };
            match received {
                Ok((payload, from)) => {
                    let now = self.clock.now();
                    let hint = self.beacon.handle_datagram(from, payload, now);
                    if let Some(node) = hint {
                        tracing::debug!(%node, "an index node on the local network");
                        self.handle.add_bootstrap(vec![node]);
                    }
                }
                // The echo of an answer that nobody took, or an interface that has gone.
                Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
            }
        }
    }

    async fn drain(&mut self) {
        while let Some((target, announcement)) = self.beacon.poll_transmit() {
            let payload = announcement.encode();
            let sockets = |ip: IpAddr| match ip {
                IpAddr::V4(_) => self.v4.as_ref(),
                IpAddr::V6(_) => self.v6.as_ref(),
            };
            match target {
                Target::One(to) => {
                    if let Some(sockets) = sockets(to.ip()) {
                        sockets.answer(&payload, to).await;
                    }
                }
                Target::Everyone => {
                    for (from, interface) in &self.interfaces {
                        if let Some(sockets) = sockets(*from) {
                            sockets.announce(&payload, *interface, *from).await;
                        }
                    }
                }
            }
        }
    }

    /// New addresses are announced at once.
    fn rescan(&mut self) {
        let found = self.scan();
        let news = found.keys().any(|ip| !self.interfaces.contains_key(ip));
        self.interfaces = found;
        if news {
            self.join();
            self.beacon.moved(self.clock.now());
        }
    }

    fn join(&self) {
        for (ip, interface) in &self.interfaces {
            let sockets = match ip {
                IpAddr::V4(_) => &self.v4,
                IpAddr::V6(_) => &self.v6,
            };
            if let Some(sockets) = sockets {
                sockets.join(*interface);
            }
        }
    }

    fn scan(&self) -> BTreeMap<IpAddr, u32> {
        multicast::interfaces(self.listen, self.v4.is_some(), self.v6.is_some())
            .into_iter()
            .map(|(ip, interface)| (ip, interface.index))
            .collect()
    }
}
