//! Ports that the router forwards to us, asked for with UPnP (Internet Gateway Device, WANIPConnection).
//!
//! [`PortMapper`] looks for gateways on the local network (SSDP), asks each for the ports, asks again at half of the lease, and
//! takes the ports back at the end. It runs beside everything else: nothing waits for it at the start, and the end waits at
//! most [`STOP_WITHIN`]. A port of the same number is asked for, because that is the one that trackers, the DHT and the
//! directory are told. Of `librqbit-upnp` it uses the search request, the reading of answers and the shape of descriptions;
//! that crate's own forwarder maps no UDP, deletes nothing and follows a description to any host.
//!
//! Whoever answers the multicast is a stranger: see [`gateway`] for what is believed. IPv4 only: IPv6 has no ports to map,
//! and its firewalls are another service (WANIPv6FirewallControl), which is not used. No NAT-PMP and no PCP.

pub mod gateway;
mod soap;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::gateway::Gateway;
use self::soap::Refusal;

/// What the end waits for gateways to take ports back. Those that do not answer in time forget the ports with the lease.
pub const STOP_WITHIN: Duration = Duration::from_secs(5); // guess: as long as trackers get

/// How long a port is asked for; again at half of it.
pub const LEASE: Duration = Duration::from_secs(3600); // UPnP WANIPConnection:2, the recommended value

/// When nothing was mapped, the search is repeated after this long, twice as long each time up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_secs(60); // guess: a router that starts at the same time
const RETRY_MOST: Duration = Duration::from_secs(1800); // guess: a laptop that is carried home

/// What kind of port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// UPnP's word for it.
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Which ports, and for how long at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapConfig {
    /// What listens: its address, which may be unspecified, and port. What cannot be mapped is left out: port 0, loopback, IPv6,
    /// and IPv4 addresses that are not private, as there is no router to ask.
    pub listening: Vec<(Protocol, SocketAddr)>,
    /// [`LEASE`], or less in tests.
    pub lease: Duration,
}

/// Asks routers for ports until it is stopped or dropped. After a drop the ports are taken back too, if the runtime goes on.
#[derive(Debug)]
pub struct PortMapper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl PortMapper {
    /// Begins, unless no port can be mapped. Needs a tokio runtime.
    pub fn spawn(config: &PortMapConfig) -> Option<Self> {
        let ports: Vec<Port> = config.listening.iter().filter_map(Port::of).collect();
        if ports.is_empty() {
            return None;
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(ports, config.lease, stopped));
        Some(Self { stop, task })
    }

    /// Takes the ports back, within [`STOP_WITHIN`].
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let mut task = self.task;
        if timeout(STOP_WITHIN, &mut task).await.is_err() {
            tracing::debug!("a gateway does not take its ports back in time");
            task.abort();
        }
    }
}

/// Takes the ports back, if any were asked for.
pub async fn unmap(ports: Option<PortMapper>) {
    if let Some(ports) = ports {
        ports.stop().await;
    }
}

/// A port that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    protocol: Protocol,
    /// The address that it is bound to; unspecified: any.
    ip: Ipv4Addr,
    number: u16,
}

impl Port {
    fn of((protocol, addr): &(Protocol, SocketAddr)) -> Option<Self> {
        let ip = match addr.ip().to_canonical() {
            IpAddr::V4(ip) => ip,
            // takes IPv4 too
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED,
            IpAddr::V6(_) => return None,
        };
        let usable = ip.is_unspecified() || gateway::is_local_network(ip);
        (usable && addr.port() != 0).then_some(Self {
            protocol: *protocol,
            ip,
            number: addr.port(),
        })
    }
}

/// A port that a gateway was asked for and has not refused.
#[derive(Debug)]
struct Mapping {
    gateway: Gateway,
    port: Port,
    /// The gateway said yes; otherwise its answer is missing.
    confirmed: bool,
}

async fn run(ports: Vec<Port>, lease: Duration, mut stopped: oneshot::Receiver<()>) {
    let mut held = Vec::new();
    let mut retry = RETRY_FIRST;
    loop {
        // an end in the middle of it loses no mapping: each is noted before it is asked for
        tokio::select! {
            () = ask(&ports, lease, &mut held) => {}
            _ = &mut stopped => break,
        }
        let pause = match held.iter().any(|m: &Mapping| m.confirmed) {
            true => {
                retry = RETRY_FIRST;
                (lease / 2).max(Duration::from_secs(1))
            }
            false => {
                let pause = retry;
                retry = (retry * 2).min(RETRY_MOST);
                pause
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            _ = &mut stopped => break,
        }
    }
    // side by side, each for one port after the other, as they were asked
    let held = &held;
    let mut gateways: Vec<&Gateway> = Vec::new();
    for m in held {
        if !gateways.contains(&&m.gateway) {
            gateways.push(&m.gateway);
        }
    }
    join_all(gateways.into_iter().map(|gateway| async move {
        for Mapping { port, .. } in held.iter().filter(|m| m.gateway == *gateway) {
            let done = soap::delete(gateway, port.protocol, port.number).await;
            tracing::debug!("{port:?} taken back from {gateway}: {done:?}");
        }
    }))
    .await;
}

/// Asks the known gateways again; looks for others when one of them does not confirm all.
async fn ask(ports: &[Port], lease: Duration, held: &mut Vec<Mapping>) {
    let mut known: Vec<Gateway> = Vec::new();
    for mapping in &*held {
        if !known.contains(&mapping.gateway) {
            known.push(mapping.gateway.clone());
        }
    }
    map(known, ports, lease, held).await;
    // asked twice without an answer: it is gone, or so busy that the search may find it again
    let all = held.len();
    held.retain(|m| m.confirmed);
    if held.is_empty() || held.len() < all {
        let bind = ports[0].ip;
        let same = ports.iter().all(|p| p.ip == bind);
        let from = if same { bind } else { Ipv4Addr::UNSPECIFIED };
        let found = gateway::search(from).await;
        let new = found
            .into_iter()
            .filter(|g| held.iter().all(|m| m.gateway != *g));
        map(new.collect(), ports, lease, held).await;
    }
}

/// Asks `gateways` for every port. They are asked side by side, each for one port after the other, as small routers do one thing
/// at a time.
async fn map(gateways: Vec<Gateway>, ports: &[Port], lease: Duration, held: &mut Vec<Mapping>) {
    held.retain(|m| !gateways.contains(&m.gateway));
    for port in ports {
        let first = held.len();
        held.extend(gateways.iter().map(|gateway| Mapping {
            gateway: gateway.clone(),
            port: *port,
            confirmed: false,
        }));
        let asked = held[first..]
            .iter()
            .map(|m| map_one(&m.gateway, *port, lease));
        let answers = join_all(asked).await;
        let mut answers = answers.into_iter();
        let mut at = 0;
        held.retain_mut(|m| {
            at += 1;
            if at <= first {
                return true;
            }
            match answers.next() {
                Some(Ok(())) => m.confirmed = true,
                // a mapping that belongs to another host must not be deleted at the end
                Some(Err(Refusal::Code(_))) => return false,
                Some(Err(Refusal::Http(_))) | None => {}
            }
            true
        });
    }
}

async fn map_one(gateway: &Gateway, port: Port, lease: Duration) -> Result<(), Refusal> {
    let client = match port.ip.is_unspecified() {
        true => gateway.faces(),
        false => port.ip,
    };
    let add = |lease| soap::add(gateway, port.protocol, port.number, client, lease);
    let mut done = add(lease).await;
    if done == Err(Refusal::Code(soap::ONLY_PERMANENT_LEASES)) {
        done = add(Duration::ZERO).await;
    }
    match &done {
        Ok(()) => tracing::debug!("{gateway} forwards {port:?} to {client}"),
        Err(e) => tracing::debug!("{gateway} does not forward {port:?} to {client}: {e}"),
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(addr: &str) -> Option<Ipv4Addr> {
        Port::of(&(Protocol::Tcp, addr.parse().expect("an address"))).map(|p| p.ip)
    }

    #[test]
    fn only_what_is_behind_a_router_is_mapped() {
        for none in [
            "127.0.0.1:7",
            "[::1]:7",
            "[fd00::1]:7",
            "8.8.8.8:7",
            "10.0.0.5:0",
        ] {
            assert_eq!(mapped(none), None, "{none}");
        }
        for any in ["0.0.0.0:7", "[::]:7"] {
            assert_eq!(mapped(any), Some(Ipv4Addr::UNSPECIFIED), "{any}");
        }
        for one in ["10.0.0.5:7", "[::ffff:10.0.0.5]:7"] {
            assert_eq!(mapped(one), Some(Ipv4Addr::new(10, 0, 0, 5)), "{one}");
        }
    }

    #[tokio::test]
    async fn nothing_is_started_for_loopback() {
        let config = PortMapConfig {
            listening: vec![(Protocol::Tcp, "127.0.0.1:6881".parse().expect("an address"))],
            lease: LEASE,
        };
        assert!(PortMapper::spawn(&config).is_none());
    }
}
