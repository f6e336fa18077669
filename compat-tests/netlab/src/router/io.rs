//! The process that carries packets between the TUN devices of the sites' gateways.
//!
//! It is started in a namespace of its own, makes a device for each site there and says `{"event":"ready"}`; the
//! harness then moves the devices into the gateways, with which the process goes on to read and write them. A line on its
//! standard input is answered by its counters as one JSON line; it ends when its standard input ends, and so when the
//! harness does.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::{Config, Router};

/// Longest packet; the devices' MTU is 1500.
const BUFFER: usize = 2048;

/// Packets taken from a device before the next one's turn.
const BATCH: usize = 64;

/// Packets that a device holds for this process: 600 KB, a quarter of a second at 20 Mbit/s.
const DEVICE_QUEUE: u32 = 4000;

/// It does not wake up more often than this, to spend its time on packets and not on waking up. // guess
const QUANTUM: Duration = Duration::from_micros(250);

/// Buckets of lateness: up to 0.5 ms, 1, 2, 5, 10, 20, 50, and more.
const LATE_US: [u64; 7] = [500, 1000, 2000, 5000, 10_000, 20_000, 50_000];

/// The name of a site's device.
pub(crate) fn device_name(site: usize) -> String {
    format!("wan{site}")
}

/// The bytes of a TCP segment behind its headers; 0 for all else.
fn payload(packet: &[u8]) -> u64 {
    let (Some(0x45..=0x4f), Some(6)) = (packet.first(), packet.get(9)) else {
        return 0;
    };
    let ip = usize::from(packet[0] & 15) * 4;
    let Some(offset) = packet.get(ip + 12) else {
        return 0;
    };
    let tcp = usize::from(offset >> 4) * 4;
    packet.len().saturating_sub(ip + tcp) as u64
}

/// The site of an address 10.77.SITE.HOST, from the bytes of an IPv4 packet.
fn destination(packet: &[u8]) -> Option<usize> {
    match packet {
        [first, rest @ ..] if first >> 4 == 4 => match rest.get(15..19)? {
            [10, 77, site, _] => Some(usize::from(*site)),
            _ => None,
        },
        _ => None,
    }
}

/// Carries packets until standard input ends.
///
/// # Errors
/// When devices cannot be made or read.
pub(crate) fn run(config: Config) -> Result<()> {
    let sites = config.delay.len();
    let devices: Vec<SyncDevice> = (0..sites)
        .map(|site| {
            let device = DeviceBuilder::new()
                .name(device_name(site))
                .layer(Layer::L3)
                .tx_queue_len(DEVICE_QUEUE)
                .build_sync()
                .with_context(|| format!("the TUN device of site {site}"))?;
            device.set_nonblocking(true)?;
            Ok(device)
        })
        .collect::<Result<_>>()?;
    say(&json!({ "event": "ready" }))?;
    Carrier {
        router: Router::new(config),
        devices,
        started: Instant::now(),
        spare: Vec::new(),
        payload: vec![0; sites],
        late: [0; LATE_US.len() + 1],
        latest: Duration::ZERO,
        not_ours: 0,
        refused: 0,
    }
    .carry()
}

struct Carrier {
    router: Router<Vec<u8>>,
    devices: Vec<SyncDevice>,
    started: Instant,
    /// Buffers that are used again.
    spare: Vec<Vec<u8>>,
    /// Payload of TCP delivered to each site.
    payload: Vec<u64>,
    /// Deliveries by how late they were.
    late: [u64; LATE_US.len() + 1],
    latest: Duration,
    /// Packets for no site: the kernel's own IPv6 and multicast.
    not_ours: u64,
    /// Packets that a device did not take.
    refused: u64,
}

impl Carrier {
    fn carry(mut self) -> Result<()> {
        let mut stdin = std::io::stdin().lock();
        loop {
            let now = self.started.elapsed();
            let wait = self.router.poll_timeout().map(|t| {
                let wait = t.saturating_sub(now).max(QUANTUM);
                Timespec {
                    tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: wait.subsec_nanos().into(),
                }
            });
            let (asked, readable) = {
                let mut fds = vec![PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
                let devices = self.devices.iter();
                fds.extend(devices.map(|d| PollFd::new(d, PollFlags::IN)));
                match poll(&mut fds, wait.as_ref()) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e).context("poll"),
                }
                let set: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
                (set[0], set[1..].to_vec())
            };
            for (site, _) in readable.iter().enumerate().filter(|(_, set)| **set) {
                self.read(site)?;
            }
            self.deliver();
            if asked {
                let mut line = [0; 64];
                if stdin.read(&mut line)? == 0 {
                    return Ok(());
                }
                say(&self.snapshot())?;
            }
        }
    }

    fn read(&mut self, from: usize) -> Result<()> {
        for _ in 0..BATCH {
            let mut buffer = self.spare.pop().unwrap_or_default();
            buffer.resize(BUFFER, 0);
            match self.devices[from].recv(&mut buffer) {
                Ok(n) => {
                    buffer.truncate(n);
                    match destination(&buffer) {
                        Some(to) if to < self.devices.len() && to != from => {
                            let now = self.started.elapsed();
                            self.router.handle_packet(now, from, to, n as u64, buffer);
                        }
                        _ => {
                            self.not_ours += 1;
                            self.spare.push(buffer);
                        }
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.spare.push(buffer);
                    return Ok(());
                }
                Err(e) => bail!("the TUN device of site {from}: {e}"),
            }
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let now = self.started.elapsed();
        while let Some(output) = self.router.poll_output(now) {
            let late = now.saturating_sub(output.due);
            let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            let bucket = LATE_US.partition_point(|limit| *limit < micros);
            self.late[bucket] += 1;
            self.latest = self.latest.max(late);
            if self.devices[output.to].send(&output.packet).is_err() {
                self.refused += 1;
            } else {
                self.payload[output.to] += payload(&output.packet);
            }
            self.spare.push(output.packet);
        }
    }

    fn snapshot(&self) -> Value {
        let counts = self.router.counts().iter().map(|row| {
            let row = row.iter().map(|c| {
                json!({
                    "packets": c.packets,
                    "bytes": c.bytes,
                    "dropped_up": c.dropped_up,
                    "dropped_down": c.dropped_down,
                })
            });
            row.collect::<Vec<_>>()
        });
        json!({
            "event": "counters",
            "counts": counts.collect::<Vec<_>>(),
            "payload": self.payload,
            "late_us": LATE_US,
            "late": self.late,
            "latest_us": u64::try_from(self.latest.as_micros()).unwrap_or(u64::MAX),
            "not_ours": self.not_ours,
            "refused": self.refused,
        })
    }
}

fn say(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_tcp_is_what_its_headers_leave() {
        let mut packet = [0u8; 152];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[32] = 0x80; // 32 bytes: with timestamps
        assert_eq!(payload(&packet), 100);
        assert_eq!(payload(&packet[..52]), 0);
        assert_eq!(payload(&packet[..30]), 0, "no TCP header");
        packet[9] = 17;
        assert_eq!(payload(&packet), 0);
        assert_eq!(payload(&[]), 0);
    }

    #[test]
    fn packets_are_routed_by_the_third_byte_of_their_destination() {
        let mut packet = [0u8; 40];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&[10, 77, 0, 10]);
        packet[16..20].copy_from_slice(&[10, 77, 2, 11]);
        assert_eq!(destination(&packet), Some(2));
        packet[16] = 224;
        assert_eq!(destination(&packet), None);
        packet[16] = 10;
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        assert_eq!(destination(&packet[..19]), None);
        assert_eq!(destination(&[]), None);
    }
}
