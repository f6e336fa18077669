//! Local service discovery (BEP 14): clients of one local network tell each other by multicast which torrents they have.
//!
//! What is said when, and what is believed, is [`LsdSchedule`]'s to say; what is written is [`LsdAnnouncement`]'s. Here are
//! the sockets, one group for each address family, on every interface; where the group's port cannot be had, or an
//! interface comes later, it is tried again. A private torrent (BEP 27) must not be announced here: that is the caller's to
//! see to. Addresses come from datagrams whose sender anyone in the network can forge, so only those of local networks are
//! handed out.
//!
//! Why not `librqbit-lsd`: its task ends at the first receive error, it announces each torrent in a datagram of its own,
//! believes any source, and its streams have no bound.

mod message;
mod schedule;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chunkcast::driver::multicast::{Interface, Sockets, families, heard, interfaces};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

pub use message::{LsdAnnouncement, MAX_ANNOUNCEMENT, MAX_HASHES};
pub use schedule::LsdSchedule;

use super::exchange::Clock;
use crate::limits::address::is_private;

/// UDP port of both groups.
const PORT: u16 = 6771; // BEP 14
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143); // BEP 14
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f); // BEP 14

/// How often the machine's addresses are looked at, and sockets tried that could not be opened.
const SCAN: Duration = Duration::from_secs(60); // guess: a cable that was plugged in
/// Pause after a receive error.
const ERROR_PAUSE: Duration = Duration::from_millis(100); // guess

/// Announcements of a session's torrents. They end when this is dropped.
#[derive(Debug)]
pub struct Lsd {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// The table has changed.
    changed: Notify,
    clock: Clock,
}

#[derive(Debug)]
struct Table {
    schedule: LsdSchedule,
    out: BTreeMap<[u8; 20], mpsc::Sender<Vec<SocketAddr>>>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lsd {
    /// Starts for a listener at `listen`; `None` if that is on loopback, which is no network. Needs a tokio runtime.
    pub fn spawn(listen: SocketAddr) -> Option<Self> {
        let ip = listen.ip().to_canonical();
        if ip.is_loopback() {
            return None;
        }
        let cookie = format!("{:08x}", rand::random::<u32>());
        let shared = Arc::new(Shared {
            table: Mutex::new(Table {
                schedule: LsdSchedule::new(listen.port(), cookie),
                out: BTreeMap::new(),
            }),
            changed: Notify::new(),
            clock: Clock::start(),
        });
        let task = Task {
            shared: shared.clone(),
            listen: ip,
            interfaces: BTreeMap::new(),
            v4: None,
            v6: None,
            scanned: false,
            silent: false,
        };
        let task = tokio::spawn(task.run()).abort_handle();
        Some(Self { shared, task })
    }

    /// Announces a torrent until the returned handle is dropped. Peers that are heard of go to `out`; those for which it has
    /// no room are dropped, and heard again.
    pub fn look_for(&self, info_hash: [u8; 20], out: mpsc::Sender<Vec<SocketAddr>>) -> LsdLookup {
        let mut table = self.shared.table();
        table.schedule.join(info_hash, self.shared.clock.now());
        table.out.insert(info_hash, out);
        drop(table);
        self.shared.changed.notify_one();
        LsdLookup {
            shared: self.shared.clone(),
            info_hash,
        }
    }
}

impl Drop for Lsd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A torrent that is announced; no longer when this is dropped.
#[derive(Debug)]
pub struct LsdLookup {
    shared: Arc<Shared>,
    info_hash: [u8; 20],
}

impl Drop for LsdLookup {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        table.schedule.leave(&self.info_hash);
        table.out.remove(&self.info_hash);
    }
}

struct Task {
    shared: Arc<Shared>,
    listen: IpAddr,
    /// Addresses to announce from, and their interfaces.
    interfaces: BTreeMap<IpAddr, Interface>,
    v4: Option<Sockets>,
    v6: Option<Sockets>,
    /// The interfaces have been looked at. Before the first torrent there is no group to join.
    scanned: bool,
    /// It was said that there is no socket.
    silent: bool,
}

impl Task {
    async fn run(mut self) {
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut b0, mut b1) = ([0; MAX_ANNOUNCEMENT + 1], [0; MAX_ANNOUNCEMENT + 1]);
        loop {
            self.say().await;
            let due = self.shared.table().schedule.poll_timeout();
            if due.is_some() && !self.scanned {
                self.scan();
                continue;
            }
            let due = due.map(|at| self.shared.clock.deadline(at));
            let received = tokio::select! {
                r = heard(self.v4.as_ref(), &mut b0) => r,
                r = heard(self.v6.as_ref(), &mut b1) => r,
                () = sleep_until(due), if due.is_some() => continue,
                () = self.shared.changed.notified() => continue,
                _ = scan.tick(), if self.scanned => {
                    self.scan();
                    continue;
                }
            };
            match received {
                Ok((payload, from)) => self.hear(from.ip().to_canonical(), payload),
                // an interface that has gone: the next scan sees what there is
                Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
            }
        }
    }

    /// Says what is due, on every interface.
    async fn say(&self) {
        let said: Vec<LsdAnnouncement> = {
            let mut table = self.shared.table();
            table.schedule.handle_timeout(self.shared.clock.now());
            std::iter::from_fn(|| table.schedule.poll_transmit()).collect()
        };
        for announcement in said {
            for (sockets, group) in [(&self.v4, GROUP_V4.into()), (&self.v6, GROUP_V6.into())] {
                let Some(sockets) = sockets else { continue };
                let payload = announcement.encode(SocketAddr::new(group, PORT));
                for (from, interface) in &self.interfaces {
                    sockets.announce(&payload, interface.index, *from).await;
                }
            }
        }
    }

    fn hear(&self, from: IpAddr, payload: &[u8]) {
        if !self.is_local(from) {
            return tracing::trace!(%from, "a local announcement from elsewhere");
        }
        let mut table = self.shared.table();
        let now = self.shared.clock.now();
        for (hash, peer) in table.schedule.handle_datagram(from, payload, now) {
            if let Some(out) = table.out.get(&hash) {
                let _ = out.try_send(vec![peer]);
            }
        }
    }

    /// Whether the address is one of a local network: private, or of a subnet of ours.
    fn is_local(&self, ip: IpAddr) -> bool {
        let mut ours = self.interfaces.iter();
        is_private(ip) || ours.any(|(own, interface)| interface.is_on_link(*own, ip))
    }

    /// Looks at the interfaces, and opens what sockets are missing.
    fn scan(&mut self) {
        self.scanned = true;
        let (v4, v6) = families(self.listen);
        let mut fault = None;
        let mut open = |sockets: &mut Option<Sockets>, own: Option<IpAddr>, group: IpAddr| {
            let Some(own) = own.filter(|_| sockets.is_none()) else {
                return false;
            };
            let opened = Sockets::open(own, group, PORT);
            *sockets = opened.inspect_err(|e| fault = Some(e.to_string())).ok();
            sockets.is_some()
        };
        let mut news = open(&mut self.v4, v4.map(IpAddr::from), GROUP_V4.into());
        news |= open(&mut self.v6, v6.map(IpAddr::from), GROUP_V6.into());
        if let (None, None, Some(fault)) = (&self.v4, &self.v6, fault)
            && !std::mem::replace(&mut self.silent, true)
        {
            tracing::warn!("no local service discovery: {fault}; --no-lsd does without");
        }
        let found = interfaces(self.listen, self.v4.is_some(), self.v6.is_some());
        news |= found.keys().any(|ip| !self.interfaces.contains_key(ip));
        self.interfaces = found;
        if !news {
            return;
        }
        for (ip, interface) in &self.interfaces {
            let sockets = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
            if let Some(sockets) = sockets {
                sockets.join(interface.index);
            }
        }
        let now = self.shared.clock.now();
        self.shared.table().schedule.moved(now);
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
