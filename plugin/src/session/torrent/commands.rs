//! What the torrent is asked to do while it runs.

use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::super::control::Command;
use super::super::detail::{PeerDetail, TorrentDetail};
use super::super::discover::PeersFrom;
use super::{Conn, Torrent};
use crate::metadata::{Layout, Priority, SelectionError, wanted_pieces};
use crate::storage::Resume;
use crate::swarm::{ConnId, PeerStats};

impl Torrent {
    /// Does what is asked. Who asks for an answer and gets none learns that there is none.
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Priorities(files) => self.set_priorities(files),
            Command::Reannounce => self.discovery.need_more_peers(),
            Command::AddPeers(peers) => self.candidates(PeersFrom::User, &peers),
            Command::Hints(peers) => self.discovery.resolve_peers(&peers),
            Command::Trackers(tiers) => {
                // those of the metadata, when it comes, are not asked in their place
                self.add.trackers = Some(tiers.clone());
                self.discovery.set_trackers(tiers, self.private);
            }
            Command::MaxPeers(most) => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let now = self.now();
                self.swarm.set_max_peers(most, now);
            }
            Command::SessionRates(hold) => {
                self.alone.store(!hold, Relaxed);
                self.pace();
            }
            Command::TrackerRows(reply) => {
                let _ = reply.send(self.discovery.trackers());
            }
            Command::Detail(reply) => {
                let _ = reply.send(self.detail());
            }
            Command::SavePoint(reply) => self.save_point(reply),
        }
    }

    /// How much the files are wanted at first, and the pieces that this means.
    ///
    /// # Errors
    /// The selection names no file with data.
    pub(super) fn select(&mut self, layout: &Layout) -> Result<(), SelectionError> {
        if let Some(select) = self.selection()
            && self.priorities.is_empty()
        {
            select.wanted_pieces(layout)?;
            self.priorities = select.priorities(layout.files.len());
        }
        self.want(layout);
        Ok(())
    }

    /// The files that are wanted, by number; `None`: all.
    pub(super) fn selected_files(&self) -> Option<Vec<usize>> {
        let files = self.meta.as_ref()?.layout.files.len();
        let skipped = |file: &usize| self.priorities.get(*file) == Some(&Priority::Skip);
        let some = (0..files).any(|file| skipped(&file));
        some.then(|| (0..files).filter(|file| !skipped(file)).collect())
    }

    /// Sets the pieces that the files' priorities mean.
    fn want(&mut self, layout: &Layout) {
        let (wanted, classes) = wanted_pieces(layout, &self.priorities);
        let now = self.now();
        self.swarm.set_wanted(wanted.clone(), classes, now);
        self.wanted = wanted;
    }

    fn set_priorities(&mut self, files: Vec<Priority>) {
        self.priorities = files;
        let Some(meta) = self.meta.clone() else {
            return;
        };
        self.want(&meta.layout);
        self.numbers.want(&self.wanted);
        self.reports.hurry();
        // while data is checked nobody knows yet
        if self.storage.is_some() {
            self.discovery.count(self.numbers.counts());
        }
    }

    fn save_point(&mut self, reply: oneshot::Sender<Resume>) {
        let Some(storage) = self.storage.clone() else {
            return;
        };
        let held = self.swarm.held().clone();
        self.writes.spawn(async move {
            if let Ok(resume) = storage.save_point(held).await {
                let _ = reply.send(resume);
            }
        });
    }

    /// Ends connections with hosts of a new blocklist.
    pub(super) fn end_blocked(&mut self) {
        let lists = self.shared.blocklists.load(Relaxed);
        if std::mem::replace(&mut self.blocklists, lists) == lists {
            return;
        }
        let blocked = |c: &Conn| c.remote.is_some_and(|a| self.shared.is_blocked(a.ip()));
        let blocked = self.conns.iter().filter(|(_, c)| blocked(c));
        let blocked: Vec<ConnId> = blocked.map(|(conn, _)| *conn).collect();
        let now = self.now();
        for conn in blocked {
            self.conns.remove(&conn);
            self.swarm.handle_disconnected(conn, now);
        }
    }

    fn detail(&mut self) -> TorrentDetail {
        self.lookups.watch();
        let stats = self.swarm.stats();
        let now = (stats.peers.into_iter()).map(|peer| self.peer_detail(peer, true));
        let gone = (stats.gone.into_iter()).map(|peer| self.peer_detail(peer, false));
        TorrentDetail {
            held: self.swarm.held().clone(),
            wanted: self.wanted.clone(),
            open: self.swarm.open_pieces(),
            peers: now.chain(gone).collect(),
            trackers: self.discovery.trackers(),
            lookups: self.lookups.rows(),
            drops: (stats.drops.iter())
                .map(|(reason, count)| (reason.to_string(), *count))
                .collect(),
            bad_pieces: stats.bad_pieces,
            banned: stats.banned,
        }
    }

    fn peer_detail(&self, peer: PeerStats, connected: bool) -> PeerDetail {
        let pieces = self.swarm.pieces_of(peer.conn).filter(|_| connected);
        PeerDetail {
            outbound: peer.outbound,
            rate_down: peer.down_rate,
            rate_up: peer.up_rate,
            chokes_us: peer.choking,
            interested: peer.interesting,
            choked: !peer.served,
            wants: peer.interested,
            pieces: pieces.cloned().unwrap_or_default(),
            outstanding: peer.outstanding,
            queued: peer.queued,
            why: self.lookups.why(peer.listen.into_iter().chain([peer.addr])),
            row: self.row(peer, connected),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::limits::{Limiters, Rates};
    use crate::metadata::Magnet;
    use crate::session::{AddTorrent, DataPath, Session, TorrentSource};

    /// A torrent that nobody runs.
    async fn torrent() -> Torrent {
        let session = Session::quiet().await;
        let add = AddTorrent::new(
            TorrentSource::Magnet(Magnet::new([7; 20])),
            DataPath::OutputDir("/nowhere".into()),
        );
        let (input, _) = mpsc::channel(1);
        let (events, _) = mpsc::channel(1);
        let limiters = Limiters::new(Rates::default());
        Torrent::new(session.shared.clone(), add, input, events, limiters)
    }

    #[tokio::test]
    async fn only_who_asks_for_everything_makes_the_directory_tell_of_each_hop() {
        let mut torrent = torrent().await;
        let (reply, answer) = oneshot::channel();
        torrent.on_command(Command::TrackerRows(reply));
        assert_eq!(answer.await, Ok(Vec::new()));
        assert!(!torrent.lookups.is_watched());
        let (reply, answer) = oneshot::channel();
        torrent.on_command(Command::Detail(reply));
        assert!(answer.await.is_ok() && torrent.lookups.is_watched());
    }
}
