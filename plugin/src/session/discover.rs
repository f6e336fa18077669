//! Peers of one torrent from outside the directory: its trackers, the DHT and the local network, and the filter for every address.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Shared;
use super::torrent::Input;
pub(super) use crate::discovery::TransferCounts;
use crate::discovery::{
    AnnouncerConfig, AnnouncerHandle, DhtLookup, LookupConfig, LsdLookup, TrackerRow, resolve,
    spawn_announcer,
};
use crate::limits::address::{AddrSource, acceptable};
use crate::metadata::PeerHint;

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeersFrom {
    /// `--peer`, or the magnet link itself.
    User,
    /// A tracker.
    Tracker,
    /// The Mainline DHT.
    Dht,
    /// A client on the local network (BEP 14).
    Lsd,
    /// A peer that we are connected to (BEP 11).
    Pex,
    /// The ChunkCast directory.
    Directory,
}

/// Trackers, DHT and local announcements of one torrent.
pub(super) struct Discovery {
    shared: Arc<Shared>,
    info_hash: [u8; 20],
    input: mpsc::Sender<Input>,
    counts: watch::Sender<TransferCounts>,
    /// Whether anybody has been asked.
    started: bool,
    /// Something was missing when the announcer began, so completion is news.
    began_incomplete: bool,
    announcer: Option<AnnouncerHandle>,
    dht: Option<DhtLookup>,
    lsd: Option<LsdLookup>,
    tasks: JoinSet<()>,
}

impl Discovery {
    /// Nothing is asked yet.
    pub(super) fn new(
        shared: Arc<Shared>,
        info_hash: [u8; 20],
        input: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            shared,
            info_hash,
            input,
            counts: watch::Sender::new(TransferCounts::default()),
            started: false,
            began_incomplete: false,
            announcer: None,
            dht: None,
            lsd: None,
            tasks: JoinSet::new(),
        }
    }

    /// Starts what a torrent with known metainfo may use: a private one only its trackers (BEP 27).
    pub(super) fn start(&mut self, tiers: Vec<Vec<String>>, private: bool, left: u64) {
        if private {
            self.set_left(left);
            self.announce(tiers, true);
        } else {
            self.start_public(tiers, Some(left));
        }
    }

    /// Starts all that a torrent may use which is not known to be private.
    pub(super) fn start_public(&mut self, tiers: Vec<Vec<String>>, left: Option<u64>) {
        if let Some(left) = left {
            self.set_left(left);
        }
        self.announce(tiers, false);
        if let Some(lsd) = &self.shared.lsd {
            let (out, peers) = mpsc::channel(64); // as many as are remembered of a torrent
            self.lsd = Some(lsd.look_for(self.info_hash, out));
            self.forward(peers, PeersFrom::Lsd);
        }
        let Some(dht) = &self.shared.dht else { return };
        let (out, peers) = mpsc::channel(16);
        self.dht = Some(dht.look_up(
            self.info_hash,
            Some(self.shared.listen.port()),
            LookupConfig::default(),
            out,
        ));
        self.forward(peers, PeersFrom::Dht);
    }

    /// The metadata says `private`: neither DHT nor local network from now on, and no tracker but the torrent's own (BEP 27).
    pub(super) fn stop_public(&mut self) {
        self.dht = None;
        self.lsd = None;
    }

    /// Other trackers from now on; `private`: the torrent is.
    pub(super) fn set_trackers(&mut self, tiers: Vec<Vec<String>>, private: bool) {
        match &self.announcer {
            Some(announcer) => announcer.set_tiers(tiers),
            None if self.started => self.announce(tiers, private),
            // what is missing is not known yet
            None => {}
        }
    }

    /// What is known of the trackers.
    pub(super) fn trackers(&self) -> Vec<TrackerRow> {
        let status = self.announcer.as_ref().map(AnnouncerHandle::status);
        status.map_or_else(Vec::new, |s| s.borrow().trackers.clone())
    }

    /// How much is missing, once that is known.
    pub(super) fn set_left(&mut self, left: u64) {
        self.began_incomplete = left > 0;
        self.counts.send_modify(|c| c.left = left);
    }

    /// The counters that trackers are told, those too that are named later.
    pub(super) fn count(&self, counts: TransferCounts) {
        self.counts.send_replace(counts);
    }

    /// There are few peers: trackers and the DHT are asked as early as they allow.
    pub(super) fn need_more_peers(&self) {
        if let Some(announcer) = &self.announcer {
            announcer.need_more_peers();
        }
        if let Some(dht) = &self.dht {
            dht.need_more_peers();
        }
    }

    /// The download is complete. The DHT lookup goes on: it is also what announces us there.
    pub(super) fn completed(&mut self) {
        self.counts.send_modify(|c| c.left = 0);
        if let Some(announcer) = self.announcer.as_ref().filter(|_| self.began_incomplete) {
            announcer.completed();
        }
    }

    /// Resolves peers that a magnet link or somebody names.
    pub(super) fn resolve_peers(&mut self, hints: &[PeerHint]) {
        for hint in hints {
            let name = match hint {
                PeerHint::Addr(addr) => addr.to_string(),
                PeerHint::Host { host, port } => format!("{host}:{port}"),
            };
            let input = self.input.clone();
            self.tasks.spawn(async move {
                if let Ok(addrs) = resolve(&name).await {
                    let _ = input.send(Input::Peers(PeersFrom::User, addrs)).await;
                }
            });
        }
    }

    /// Whether an address named by `from` may be dialled.
    pub(super) fn acceptable(&self, addr: SocketAddr, from: PeersFrom) -> bool {
        let source = match from {
            PeersFrom::User => AddrSource::Manual,
            PeersFrom::Lsd => AddrSource::Local,
            PeersFrom::Directory if self.shared.local_directory && addr.ip().is_loopback() => {
                AddrSource::Manual
            }
            PeersFrom::Tracker | PeersFrom::Dht | PeersFrom::Pex | PeersFrom::Directory => {
                AddrSource::Public
            }
        };
        if self.shared.is_blocked(addr.ip()) {
            return false;
        }
        acceptable(addr, source, &self.shared.own)
            .inspect_err(|fault| tracing::trace!("{addr} from {from:?} refused: {fault:?}"))
            .is_ok()
    }

    /// Says goodbye to the tracker and ends everything.
    pub(super) async fn stop(&mut self) {
        self.dht = None;
        self.lsd = None;
        if let Some(announcer) = self.announcer.take() {
            announcer.stop().await;
        }
        self.tasks.abort_all();
    }

    fn announce(&mut self, tiers: Vec<Vec<String>>, private: bool) {
        self.started = true;
        if !self.shared.config.trackers || tiers.is_empty() {
            return;
        }
        let (out, peers) = mpsc::channel(16);
        let config = AnnouncerConfig {
            turns: self.shared.announces.clone(),
            ..AnnouncerConfig::new(
                self.info_hash,
                self.shared.peer_id,
                self.shared.listen.port(),
                tiers,
                private,
            )
        };
        self.announcer = Some(spawn_announcer(config, self.counts.subscribe(), out));
        self.forward(peers, PeersFrom::Tracker);
    }

    fn forward(&mut self, mut peers: mpsc::Receiver<Vec<SocketAddr>>, from: PeersFrom) {
        let input = self.input.clone();
        self.tasks.spawn(async move {
            while let Some(addrs) = peers.recv().await {
                if input.send(Input::Peers(from, addrs)).await.is_err() {
                    break;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    #[tokio::test]
    async fn a_tracker_that_is_named_later_is_told_what_was_moved_before() {
        let session = Session::quiet().await;
        let (input, _peers) = mpsc::channel(1);
        let mut discovery = Discovery::new(session.shared.clone(), [7; 20], input);
        discovery.start(Vec::new(), true, 1000);
        let counts = TransferCounts {
            uploaded: 300,
            downloaded: 600,
            left: 400,
        };
        discovery.count(counts);
        let tracker = vec![vec!["udp://127.0.0.1:9".to_owned()]];
        discovery.set_trackers(tracker, true);
        assert!(discovery.announcer.is_some());
        assert_eq!(*discovery.counts.borrow(), counts);
    }
}
