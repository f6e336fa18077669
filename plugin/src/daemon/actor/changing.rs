//! What somebody says of a torrent: start, stop, options.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Actor;
use crate::daemon::handle::{DaemonError, Reply};
use crate::daemon::model::{
    Change, InfoHash, LONGEST_LABEL, Limit, MOST_LABELS, MOST_TRACKERS, Options, Priority,
};
use crate::daemon::settings::{LONGEST, MOST_PEERS, set};
use crate::daemon::store::Standing;
use crate::daemon::torrent::Next;
use crate::metadata::{PeerHint, usable_tracker};

/// Files that priorities are kept for while the metadata is unknown.
pub(super) const MAX_FILES: usize = 100_000; // guess: more than torrents have
/// Peers that are named at once, and of a torrent in all.
const MAX_PEERS: usize = 256; // guess: a person types them

impl Actor {
    pub(super) fn start(&mut self, hash: InfoHash, now: bool, reply: Reply<()>) {
        let unix = self.now.unix;
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        torrent.record.standing = if now { Standing::Now } else { Standing::Queued };
        if torrent.record.finished {
            (torrent.record.finished, torrent.record.past_limits) = (false, true);
        }
        // it was told what is missing, and wants it all the same
        torrent.insist = torrent.trouble.take().is_some_and(|t| t.stopped);
        torrent.record.changed = unix;
        self.requeue = true;
        self.touch(hash);
        self.keep_and_answer(hash, reply);
    }

    pub(super) fn pause(&mut self, hash: InfoHash, reply: Reply<()>) {
        let unix = self.now.unix;
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        torrent.record.standing = Standing::Paused;
        torrent.record.changed = unix;
        self.requeue = true;
        self.touch(hash);
        self.keep_and_answer(hash, reply);
    }

    pub(super) fn reannounce(&mut self, hash: InfoHash, reply: Reply<()>) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        if let Some(control) = torrent.control() {
            self.tasks.spawn(async move {
                control.reannounce().await;
                let _ = reply.send(Ok(()));
            });
        } else {
            self.answer(reply, Ok(()));
        }
    }

    pub(super) fn change(&mut self, hash: InfoHash, change: Change, reply: Reply<()>) {
        let Some((torrent, reply)) = self.find(hash, reply) else {
            return;
        };
        let files = torrent.meta().map_or(MAX_FILES, |m| m.layout.files.len());
        if let Err(e) = check(&change, files) {
            return self.answer(reply, Err(e));
        }
        let mut options = (*torrent.options).clone();
        apply(&change, &mut options);
        let options = Arc::new(options);
        let files = options.files != torrent.options.files;
        if options.trackers != torrent.options.trackers {
            // what was said of the others matters no more
            torrent.trouble = torrent.trouble.take().filter(|t| !t.tracker);
        }
        torrent.options = options.clone();
        if let Some(live) = torrent.live() {
            live.options.send_replace(options);
        }
        if files {
            torrent.measure();
            // one that runs says itself what is missing now
            if torrent.live().is_none() && !torrent.is_complete() {
                torrent.record.done = 0;
            }
        }
        if !change.peers.is_empty() {
            remember(&mut torrent.record.peers, &change.peers);
            if let Some(control) = torrent.control() {
                self.tasks
                    .spawn(async move { control.add_peers(change.peers).await });
            }
        }
        self.redescribe(hash);
        if let Some(position) = change.queue_position {
            self.place(hash, position);
        }
        self.requeue = true;
        self.touch(hash);
        self.keep_and_answer(hash, reply);
    }

    /// What a torrent says of itself is made anew.
    pub(super) fn redescribe(&mut self, hash: InfoHash) {
        let file = self.places.torrent(hash);
        if let Some(torrent) = self.torrents.get_mut(&hash) {
            let known = torrent.meta().is_some();
            torrent.describe(known.then_some(file));
        }
    }

    /// Tells a torrent to do something as soon as it has stopped and done what it was told before.
    pub(super) fn do_next(&mut self, hash: InfoHash, next: Next) {
        if let Some(torrent) = self.torrents.get_mut(&hash) {
            torrent.next.push_back(next);
            self.requeue = true;
            self.touch(hash);
        }
    }
}

/// Whether a change can be, of a torrent with so many files.
///
/// # Errors
/// [`DaemonError::Invalid`], with a line that names what cannot be.
pub(super) fn check(change: &Change, files: usize) -> Result<(), DaemonError> {
    let invalid = |why: String| Err(DaemonError::Invalid(why));
    if let Some((index, _)) = change.files.iter().find(|(index, _)| *index >= files) {
        return invalid(format!(
            "there is no file {index}: the first one is 0, the last one {}",
            files - 1
        ));
    }
    if let Some(Limit::Own(ratio)) = change.seed_ratio
        && !(ratio.is_finite() && ratio >= 0.0)
    {
        return invalid(format!("a ratio of {ratio}; give a number from 0 on"));
    }
    let own = |limit| match limit {
        Some(Limit::Own(time)) => Some(time),
        _ => None,
    };
    let noted = change.noted.as_ref().and_then(|noted| noted.seed_idle);
    let mut times = [own(change.seed_idle), own(change.seed_time), noted].into_iter();
    if times.any(|time| time.is_some_and(|time| time > LONGEST)) {
        return invalid("a limit of time is longer than 100 years; give a shorter one".into());
    }
    if let Some(labels) = &change.labels {
        let fits = |label: &String| (1..=LONGEST_LABEL).contains(&label.len());
        if labels.len() > MOST_LABELS || !labels.iter().all(fits) {
            return invalid(format!(
                "labels: at most {MOST_LABELS}, of 1 to {LONGEST_LABEL} bytes each"
            ));
        }
    }
    if let Some(tiers) = &change.trackers {
        let mut all = tiers.iter().flatten();
        if let Some(bad) = all.clone().find(|url| !usable_tracker(url)) {
            let bad: String = bad.chars().take(200).collect();
            return invalid(format!(
                "{bad:?} is not a tracker's URL; use http://…, https://… or udp://HOST:PORT/…"
            ));
        }
        if all.by_ref().count() > MOST_TRACKERS {
            return invalid(format!(
                "more than {MOST_TRACKERS} trackers; leave some out"
            ));
        }
    }
    if change.peers.len() > MAX_PEERS {
        return invalid(format!("more than {MAX_PEERS} peers; name fewer"));
    }
    if let Some(bad) = change.peers.iter().find(|p| !dialable(p)) {
        return invalid(format!("{bad} is no peer's address"));
    }
    match change.max_peers {
        Some(most) if !(1..=MOST_PEERS).contains(&most) => invalid(format!(
            "{most} peers; give a number from 1 to {MOST_PEERS}"
        )),
        _ => Ok(()),
    }
}

/// Peers that were named are tried whenever the torrent starts; beyond [`MAX_PEERS`] the oldest are forgotten.
pub(super) fn remember(known: &mut Vec<PeerHint>, named: &[SocketAddr]) {
    for peer in named.iter().copied().map(PeerHint::Addr) {
        if !known.contains(&peer) {
            known.push(peer);
        }
    }
    known.drain(..known.len().saturating_sub(MAX_PEERS));
}

fn dialable(peer: &SocketAddr) -> bool {
    peer.port() != 0 && !peer.ip().is_unspecified() && !peer.ip().is_multicast()
}

/// Makes a change that was checked.
pub(super) fn apply(change: &Change, options: &mut Options) {
    let change = change.clone();
    set(&mut options.labels, change.labels);
    set(&mut options.rates.down, change.download);
    set(&mut options.rates.up, change.upload);
    set(&mut options.session_rates, change.session_rates);
    set(&mut options.seed_ratio, change.seed_ratio);
    set(&mut options.seed_idle, change.seed_idle);
    set(&mut options.seed_time, change.seed_time);
    set(&mut options.max_peers, change.max_peers);
    set(&mut options.noted, change.noted);
    if let Some(mut tiers) = change.trackers {
        tiers.retain(|tier| !tier.is_empty());
        options.trackers = Some(tiers);
    }
    for (index, priority) in change.files {
        if options.files.len() <= index {
            options.files.resize(index + 1, Priority::Normal);
        }
        options.files[index] = priority;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::daemon::tests::options;

    #[test]
    fn peers_that_were_named_stay_and_the_oldest_go_when_there_are_too_many() {
        let peer = |n: usize| -> SocketAddr {
            let n = u16::try_from(n).expect("few");
            ([192, 0, 2, 1], n + 1).into()
        };
        let mut known = Vec::new();
        remember(&mut known, &[peer(0), peer(1)]);
        remember(&mut known, &[peer(1), peer(2)]);
        assert_eq!(known, [0, 1, 2].map(|n| PeerHint::Addr(peer(n))));
        for n in 0..=MAX_PEERS {
            remember(&mut known, &[peer(n)]);
        }
        assert_eq!(known.len(), MAX_PEERS);
        assert_eq!(known.first(), Some(&PeerHint::Addr(peer(1))));
    }

    #[test]
    fn what_is_not_named_stays() {
        let before = Options {
            labels: vec!["a".into()],
            files: vec![Priority::Low],
            ..options()
        };
        let mut after = before.clone();
        apply(&Change::default(), &mut after);
        assert_eq!(after, before);
        let change = Change {
            files: vec![(2, Priority::Skip)],
            max_peers: Some(7),
            ..Change::default()
        };
        apply(&change, &mut after);
        let files = vec![Priority::Low, Priority::Normal, Priority::Skip];
        let expected = Options {
            files,
            max_peers: 7,
            ..before
        };
        assert_eq!(after, expected);
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line() {
        let bad = [
            Change {
                files: vec![(3, Priority::High)],
                ..Change::default()
            },
            Change {
                seed_ratio: Some(Limit::Own(f64::NAN)),
                ..Change::default()
            },
            Change {
                seed_idle: Some(Limit::Own(LONGEST + Duration::from_secs(1))),
                ..Change::default()
            },
            Change {
                seed_time: Some(Limit::Own(Duration::MAX)),
                ..Change::default()
            },
            Change {
                labels: Some(vec![String::new()]),
                ..Change::default()
            },
            Change {
                trackers: Some(vec![vec!["ftp://tracker.example".into()]]),
                ..Change::default()
            },
            Change {
                peers: vec!["192.0.2.1:0".parse().expect("an address")],
                ..Change::default()
            },
            Change {
                max_peers: Some(0),
                ..Change::default()
            },
        ];
        for change in bad {
            let refused = check(&change, 3).expect_err("refused").to_string();
            assert_eq!(refused.lines().count(), 1, "{refused}");
        }
        assert_eq!(check(&Change::default(), 1), Ok(()));
    }
}
