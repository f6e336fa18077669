//! Memory: of an idle node, and of an entry. Each figure is the growth of the resident set of a process of its own.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::Command;

use chunkcast::coords::Coord;
use chunkcast::id::{Id, ObjectId};
use chunkcast::node::{Node, NodeConfig};
use chunkcast::time::Instant;
use chunkcast::wire::{self, Body, Sender};

use crate::messages::{CHUNKS, datagram, entry};

const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);
const NODES: u32 = 1000;
/// Neighbours that a node measures before it counts as settled: the leaf set and four rows of a routing table.
const NEIGHBOURS: u32 = 76;
/// Entries in the cache in all.
const ENTRIES: u32 = 65_536;

/// What a child measures.
const MEASURES: [(&str, &str); 6] = [
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
            "few" | "single" | "again" => writeln!(
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
        "few" => entries(512, 1)?,
        "single" => entries(1, 1)?,
        "seeds" => entries(512, 0)?,
        "again" => entries(512, 10)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    writeln!(io::stdout(), "{bytes:.1}")
}

/// Bytes a node.
fn nodes(neighbours: u32) -> io::Result<f64> {
    let now = Instant::from_micros(1);
    let before = resident()?;
    let mut nodes: Vec<Node> = (0..NODES).map(|n| node(n, now)).collect();
    for node in &mut nodes {
        for n in 0..neighbours {
            meet(node, n, now);
        }
    }
    let after = resident()?;
    drop(nodes);
    Ok(f64::from(after.saturating_sub(before)) / f64::from(NODES))
}

fn node(seed: u32, now: Instant) -> Node {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    let config = NodeConfig {
        directory: chunkcast::node::DirectoryConfig {
            bytes: usize::MAX,
            objects: usize::MAX,
            ..Default::default()
        },
        ..NodeConfig::default()
    };
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
fn entries(each: u16, changes: u64) -> io::Result<f64> {
    let now = Instant::from_micros(1);
    let mut node = node(1, now);
    node.handle_datagram(FROM, &datagram(1, None, Body::Ping), now);
    let pong = node
        .poll_transmit()
        .and_then(|t| wire::decode(&t.payload).ok());
    let Some(Body::Pong { token, .. }) = pong.map(|e| e.body) else {
        return Err(io::Error::other("the node did not answer a ping"));
    };
    let before = resident()?;
    for sequence in 1..=changes.max(1) {
        for n in 0..ENTRIES {
            let mut object = [0; 20];
            let number = (n / u32::from(each)).wrapping_mul(2_654_435_761);
            object[..4].copy_from_slice(&number.to_be_bytes());
            let publisher = u16::try_from(n % u32::from(each)).expect("below 512");
            let mut entry = entry(ObjectId(Id(object)), publisher, sequence, FROM);
            if changes == 0 {
                entry.held = chunkcast::chunks::ChunkSet::full(CHUNKS);
            }
            let request = datagram(n, Some(token), Body::Publish { entry });
            node.handle_datagram(FROM, &request, now);
            while node.poll_transmit().is_some() {}
        }
    }
    let after = resident()?;
    let held: usize = node.snapshot().entries.values().sum();
    if held != ENTRIES as usize {
        return Err(io::Error::other(format!("{held} entries are held")));
    }
    Ok(f64::from(after.saturating_sub(before)) / f64::from(ENTRIES))
}

/// Bytes of this process that are in memory.
fn resident() -> io::Result<u32> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u32>().ok());
    kib.map(|n| n * 1024)
        .ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}
