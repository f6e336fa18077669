//! The network of a scene: sites of peers on switches, and the links between them.
//!
//! A site is a bridge in its gateway's namespace. Each peer has a namespace and a veth pair into the bridge, with TBF at
//! both ends: one shapes what it sends, the other what it gets. With more than one site each gateway also has a TUN
//! device to the [router](crate::router), behind which are the other sites.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::ns::{Ns, Set, ip, output};
use crate::proc::Proc;
use crate::router::io::device_name;
use crate::units::Rate;

/// What a network is like.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Downloaders at each site; the seed is one more, at the first.
    pub(crate) leechers: Vec<usize>,
    /// Rate of every peer's own link, in each direction.
    pub(crate) access: Rate,
    /// The longest wait in the queue of a peer's link.
    pub(crate) access_queue: Duration,
    /// Round-trip time within a site, at most.
    pub(crate) rtt_lan: Duration,
    /// Between sites, when there are more than one.
    pub(crate) wan: Option<Wan>,
}

/// The links of sites.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wan {
    /// Rate of a site's link, in each direction.
    pub(crate) uplink: Rate,
    /// Round-trip time between two sites.
    pub(crate) rtt: Duration,
    /// The longest wait in a link's queue.
    pub(crate) queue: Duration,
}

/// A peer's place in the network.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its namespace.
    pub(crate) ns: Ns,
    /// Its address.
    pub(crate) ip: String,
    /// Its site.
    pub(crate) site: usize,
}

/// A network that is up.
#[derive(Debug)]
pub(crate) struct Lab {
    // first, so that it ends before its devices do
    router: Option<Router>,
    /// The seed, then all downloaders, site by site.
    pub(crate) peers: Vec<Peer>,
    /// One a site.
    pub(crate) gateways: Vec<Ns>,
    /// What it is like.
    pub(crate) spec: Spec,
    /// The namespaces.
    pub(crate) set: Set,
}

/// Sites and hosts fit into the third and fourth byte of an address.
pub(crate) const MAX_SITES: usize = 16;
/// See [`MAX_SITES`].
pub(crate) const MAX_PEERS: usize = 200;

/// The algorithm that routes ask of TCP: what most hosts of the Internet send with.
pub(crate) const CONGESTION_CONTROL: &str = "cubic";

impl Lab {
    /// Builds it.
    ///
    /// # Errors
    /// When a namespace, a device or the router cannot be had.
    pub(crate) fn build(mut set: Set, spec: Spec) -> Result<Self> {
        let mut gateways = Vec::new();
        for site in 0..spec.leechers.len() {
            gateways.push(gateway(&mut set, site)?);
        }
        let mut peers = Vec::new();
        for (site, leechers) in spec.leechers.iter().enumerate() {
            for host in 0..leechers + usize::from(site == 0) {
                peers.push(peer(&mut set, &spec, &gateways[site], site, host)?);
            }
        }
        let router = match spec.wan {
            Some(wan) => Some(Router::start(&mut set, &gateways, wan)?),
            None => None,
        };
        Ok(Self {
            router,
            peers,
            gateways,
            spec,
            set,
        })
    }

    /// The address that a gateway has within its site.
    pub(crate) fn gateway_ip(site: usize) -> String {
        format!("10.77.{site}.1")
    }

    /// What has been counted until now.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub(crate) fn counters(&mut self) -> Result<Counters> {
        let mut up = Vec::new();
        for peer in &self.peers {
            up.push(shaped(&peer.ns, "eth0")?);
        }
        let wan = match &mut self.router {
            Some(router) => Some(router.counters()?),
            None => None,
        };
        Ok(Counters { up, wan })
    }
}

/// Bytes on the wire since the network was built.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    /// Sent by each peer.
    pub(crate) up: Vec<u64>,
    /// The router's.
    pub(crate) wan: Option<WanCounters>,
}

/// What the router has counted.
#[derive(Clone, Debug)]
pub(crate) struct WanCounters {
    /// Bytes delivered, by sender and receiver.
    pub(crate) bytes: Vec<Vec<u64>>,
    /// Payload of TCP delivered, by receiver.
    pub(crate) payload: Vec<u64>,
    /// Packets dropped, up and down together, by sender and receiver.
    pub(crate) dropped: Vec<Vec<u64>>,
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// Deliveries, and those more than 5 ms late, which the emulation is then off by.
    pub(crate) deliveries: u64,
    /// See [`WanCounters::deliveries`].
    pub(crate) late: u64,
    /// The latest delivery until now, in seconds.
    pub(crate) latest: f64,
    /// Packets that a full device has lost, which no queue of the emulation accounts for.
    pub(crate) lost: u64,
}

fn gateway(set: &mut Set, site: usize) -> Result<Ns> {
    let ns = set.add(&format!("gw{site}"))?;
    let address = format!("addr add {}/24 dev br0", Lab::gateway_ip(site));
    ns.ip(&[
        "link add br0 type bridge",
        &address,
        "link set br0 up",
        "route add unreachable default",
    ])?;
    ns.sysctl(&[("ipv4/ip_forward", "1"), ("ipv4/tcp_no_metrics_save", "1")])?;
    Ok(ns)
}

fn peer(set: &mut Set, spec: &Spec, gateway: &Ns, site: usize, host: usize) -> Result<Peer> {
    let ns = set.add(&format!("s{site}h{host}"))?;
    let (port, address) = (format!("p{host}"), format!("10.77.{site}.{}", 10 + host));
    gateway.ip(&[
        &format!(
            "link add {port} type veth peer name eth0 netns {}",
            ns.name()
        ),
        &format!("link set {port} master br0 up"),
    ])?;
    let cc = CONGESTION_CONTROL;
    ns.ip(&[
        &format!("addr add {address}/24 dev eth0"),
        "link set eth0 up",
        &format!("route replace 10.77.{site}.0/24 dev eth0 src {address} congctl {cc}"),
        &format!(
            "route add default via {} congctl {cc}",
            Lab::gateway_ip(site)
        ),
    ])?;
    // what a connection has learnt of a path must not help the next engine
    ns.sysctl(&[("ipv4/tcp_no_metrics_save", "1")])?;
    let (rate, queue) = (spec.access, spec.access_queue);
    let shape = |device: &str| {
        format!(
            "qdisc add dev {device} root tbf rate {}bit burst {}b latency {}us",
            rate.bits(),
            burst(rate),
            queue.as_micros()
        )
    };
    ns.tc(&[&shape("eth0")])?;
    gateway.tc(&[&shape(&port)])?;
    Ok(Peer {
        ns,
        ip: address,
        site,
    })
}

/// Bytes that TBF lets through at once: 2 ms, and no less than a few packets.
fn burst(rate: Rate) -> u64 {
    rate.bytes_in(Duration::from_millis(2)).max(10_000)
}

/// Bytes that a device's TBF has let through, with all headers, counted a packet at a time whatever the kernel joined.
fn shaped(ns: &Ns, device: &str) -> Result<u64> {
    let text = output(
        std::process::Command::new("tc")
            .args(["-n", ns.name(), "-s", "-j", "qdisc", "show", "dev"])
            .arg(device),
    )?;
    let value: Value = serde_json::from_str(&text).context("tc -j")?;
    value[0]["bytes"]
        .as_u64()
        .with_context(|| format!("no counter of {device} in {text}"))
}

/// The process that joins the sites.
#[derive(Debug)]
struct Router {
    // first: its end is the end of the process
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
    proc: Proc,
    gateways: Vec<Ns>,
}

impl Router {
    fn start(set: &mut Set, gateways: &[Ns], wan: Wan) -> Result<Self> {
        let ns = set.add("wan")?;
        let exe = std::env::current_exe().context("the harness's own program")?;
        let mut command = ns.urgent(exe);
        command
            .args(["router", "--sites", &gateways.len().to_string()])
            .args(["--rate", &wan.uplink.to_string()])
            .args(["--rtt", &format!("{}us", wan.rtt.as_micros())])
            .args(["--queue", &format!("{}us", wan.queue.as_micros())]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut proc = Proc::spawn_with_outputs(&mut command)?;
        let stdin = proc.child().stdin.take().context("piped")?;
        let stdout = proc.child().stdout.take().context("piped")?;
        let mut this = Self {
            stdin,
            lines: reader(stdout),
            proc,
            gateways: gateways.to_vec(),
        };
        this.line().context("the router did not start")?;
        for (site, gateway) in gateways.iter().enumerate() {
            let device = device_name(site);
            ns.ip(&[&format!("link set {device} netns {}", gateway.name())])?;
            gateway.ip(&[
                &format!("link set {device} mtu 1500 up"),
                &format!("route add 10.77.0.0/16 dev {device}"),
            ])?;
        }
        Ok(this)
    }

    fn line(&mut self) -> Result<Value> {
        let line = self
            .lines
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| anyhow!("the router does not answer"))?;
        serde_json::from_str(&line).context("the router's line")
    }

    fn counters(&mut self) -> Result<WanCounters> {
        self.stdin.write_all(b"counters\n")?;
        let value = self.line()?;
        let sites = self.gateways.len();
        let matrix = |keys: &[&str]| {
            let pair = |a: usize, b: usize| {
                let of = |key: &&str| value["counts"][a][b][*key].as_u64().unwrap_or(0);
                keys.iter().map(of).sum::<u64>()
            };
            (0..sites)
                .map(|a| (0..sites).map(|b| pair(a, b)).collect())
                .collect()
        };
        let numbers = |key: &str| -> Vec<u64> {
            let list = value[key].as_array().into_iter().flatten();
            list.filter_map(Value::as_u64).collect()
        };
        let late = numbers("late");
        // the fourth bucket ends at 5 ms
        if numbers("late_us").get(3) != Some(&5000) {
            bail!("the router counts lateness otherwise: {value}");
        }
        let mut lost = value["refused"].as_u64().unwrap_or(0);
        for (site, gateway) in self.gateways.iter().enumerate() {
            lost += device_drops(gateway, &device_name(site))?;
        }
        Ok(WanCounters {
            bytes: matrix(&["bytes"]),
            payload: numbers("payload"),
            dropped: matrix(&["dropped_up", "dropped_down"]),
            cpu: self.proc.cpu(),
            deliveries: late.iter().sum(),
            late: late.iter().skip(4).sum(),
            latest: value["latest_us"].as_u64().unwrap_or(0) as f64 / 1e6,
            lost,
        })
    }
}

fn device_drops(ns: &Ns, device: &str) -> Result<u64> {
    let text = ip(&["-n", ns.name(), "-s", "-j", "link", "show", "dev", device])?;
    let value: Value = serde_json::from_str(&text).context("ip -j")?;
    Ok(value[0]["stats64"]["tx"]["dropped"].as_u64().unwrap_or(0))
}

/// A process's lines, read by a thread that ends with it.
fn reader(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(|l| l.ok()) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
