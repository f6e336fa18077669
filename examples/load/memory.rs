//! Memory: of an idle node, and of an entry. Each figure is the growth of the resident set of a process of its own.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use chunkcast::auth::proof::{Publisher, Secret};
use chunkcast::auth::seal::Seal;
use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Network, Node, NodeConfig, sign_entry};
use chunkcast::time::Instant;
use chunkcast::wire::{self, Body, Sender};

use crate::messages::{CHUNKS, datagram, entry};
use crate::serve::KEY;

const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);
const NODES: u32 = 1000;
/// Neighbours that a node measures before it counts as settled: the leaf set and four rows of a routing table.
const NEIGHBOURS: u32 = 76;
/// Entries in the cache in all.
const ENTRIES: u32 = 65_536;

/// What a child measures.
const MEASURES: [(&str, &str); 7] = [
    ("idle", "a node of its own ring, that nobody asked yet"),
    ("settled", "a node that has heard of 76 others"),
    (
        "few",
        "an entry, 512 an object, each a scattered half of 1,024 chunks",
    ),
    (
        "single",
        "an entry, 1 an object, a scattered half of 1,024 chunks",
    ),
    ("seeds", "an entry, 512 an object, all 1,024 chunks"),
    (
        "again",
        "an entry, 512 an object, published ten times with changes",
    ),
    (
        "signed",
        "a signed entry, 1 an object, a scattered half of 1,024 chunks",
    ),
];

/// Prints every figure.
pub(crate) fn report() -> io::Result<()> {
    let bits = CHUNKS / 8;
    let mut out = io::stdout().lock();
    for (what, text) in MEASURES {
        let child = Command::new(std::env::current_exe()?)
            .args(["--measure", what])
            .output()?;
        let text_out = String::from_utf8_lossy(&child.stdout);
        let bytes: f64 = text_out
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("{what}: no figure")))?;
        write!(out, "{bytes:>9.0} B  {text}")?;
        match what {
            "few" | "single" | "again" | "signed" => writeln!(
                out,
                ": {:.0} B beside its {bits} B of bits",
                bytes - f64::from(bits)
            )?,
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

/// In the child: prints bytes a node or an entry.
pub(crate) fn measure(what: &str) -> io::Result<()> {
    let bytes = match what {
        "idle" => nodes(0)?,
        "settled" => nodes(NEIGHBOURS)?,
        "few" => entries(512, 1, false)?,
        "single" => entries(1, 1, false)?,
        "seeds" => entries(512, 0, false)?,
        "again" => entries(512, 10, false)?,
        "signed" => entries(1, 1, true)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    writeln!(io::stdout(), "{bytes:.1}")
}

/// Bytes a node.
fn nodes(neighbours: u32) -> io::Result<f64> {
    let now = Instant::from_micros(1);
    let before = resident()?;
    let mut nodes: Vec<Node> = (0..NODES).map(|n| node(n, Network::Open, now)).collect();
    for node in &mut nodes {
        for n in 0..neighbours {
            meet(node, n, now);
        }
    }
    let after = resident()?;
    drop(nodes);
    Ok(f64::from(after.saturating_sub(before)) / f64::from(NODES))
}

fn node(seed: u32, network: Network, now: Instant) -> Node {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    let mut config = NodeConfig {
        directory: chunkcast::node::DirectoryConfig {
            bytes: usize::MAX,
            objects: usize::MAX,
            ..Default::default()
        },
        network,
        ..NodeConfig::default()
    };
    config.guard.rates.per_second = 0;
    Node::new(config, bytes, now).expect("a valid configuration")
}

/// Another index node pings, is probed and answers.
fn meet(node: &mut Node, n: u32, now: Instant) {
    let from = SocketAddr::from(([127, 0, 0, 1], 5000 + u16::try_from(n).expect("few")));
    let mut id = [0; 20];
    let mixed = n.wrapping_mul(2_654_435_761);
    id[..4].copy_from_slice(&mixed.to_be_bytes());
    let sender = Sender {
        id: Id(id),
        coord: Coord::default(),
        client: false,
    };
    let said = |node: &mut Node, tx: u32, body: Body, later: u64| {
        let envelope = wire::Envelope {
            tx,
            sender,
            token: None,
            body,
        };
        let bytes = wire::encode(&envelope).expect("within bounds");
        let at = Instant::from_micros(now.as_micros() + later);
        node.handle_datagram(from, &bytes, at);
        let mut asked = Vec::new();
        while let Some(transmit) = node.poll_transmit() {
            if transmit.to == from {
                asked.extend(wire::decode(&transmit.payload).ok());
            }
        }
        asked
    };
    let asked = said(node, 1, Body::Ping, 0);
    for question in asked {
        if question.body == Body::Ping {
            let pong = Body::Pong {
                token: wire::Token([1; 8]),
                observed: FROM,
            };
            said(node, question.tx, pong, 2000 + u64::from(n));
        }
    }
}

/// Bytes an entry, with `each` entries an object; published `changes` times with changes, 0: as seeds.
fn entries(each: u16, changes: u64, signed: bool) -> io::Result<f64> {
    let now = Instant::from_micros(1_000_000_000);
    let network = match signed {
        true => Network::Open,
        false => Network::Closed(KEY),
    };
    let mut asker = Inside {
        node: node(1, network, now),
        seal: (!signed).then(|| Seal::new(&KEY, [1; 8], Default::default())),
        now,
    };
    let publisher = Publisher::new(&Secret([7; 32]), None);
    let pong = asker.ask(&datagram(1, None, Body::Ping));
    let Some(Body::Pong { token, .. }) = pong else {
        return Err(io::Error::other("the node did not answer a ping"));
    };
    let before = resident()?;
    // a signature is one of a publisher's: one object each
    let entries = if signed { ENTRIES / 16 } else { ENTRIES };
    for sequence in 1..=changes.max(1) {
        for n in 0..entries {
            let mut object = [0; 20];
            let number = (n / u32::from(each)).wrapping_mul(2_654_435_761);
            object[..4].copy_from_slice(&number.to_be_bytes());
            let nth = u16::try_from(n % u32::from(each)).expect("below 512");
            let mut entry = entry(ObjectId(Id(object)), nth, sequence, FROM);
            if changes == 0 {
                entry.held = chunkcast::chunks::ChunkSet::full(CHUNKS);
            }
            if signed {
                entry = sign_entry(entry, &publisher, 2_500);
            }
            asker.ask(&datagram(n, Some(token), Body::Publish { entry }));
        }
    }
    let after = resident()?;
    let held: usize = asker.node.snapshot().entries.values().sum();
    if held != entries as usize {
        return Err(io::Error::other(format!("{held} entries are held")));
    }
    Ok(f64::from(after.saturating_sub(before)) / f64::from(entries))
}

/// Asks a node of this process.
struct Inside {
    node: Node,
    seal: Option<Seal>,
    now: Instant,
}

impl Inside {
    fn ask(&mut self, request: &[u8]) -> Option<Body> {
        let wall = Duration::from_micros(self.now.as_micros());
        let sealed = self.seal.as_mut().map(|seal| seal.seal(request, wall));
        let request = sealed.as_deref().unwrap_or(request);
        self.node.handle_datagram(FROM, request, self.now);
        let answer = self.node.poll_transmit()?.payload;
        let payload = match &mut self.seal {
            None => answer.as_slice(),
            Some(seal) => seal.open(&answer, wall).ok()?,
        };
        wire::decode(payload).ok().map(|e| e.body)
    }
}

/// Bytes of this process that are in memory.
fn resident() -> io::Result<u32> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u32>().ok());
    kib.map(|n| n * 1024)
        .ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}
