//! Refusals from both ends: a full server rejects at once, and who is rejected looks elsewhere and comes back.

use std::time::Duration;

use chunkcast::time::Instant;
use chunkcast_bittorrent::swarm::ConnId;
use chunkcast_bittorrent::wire::message::Message;

use crate::scripts::{Fault, Seed};
use crate::world::{Content, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

/// A seed that has no place for anybody at first.
struct FullUntil {
    seed: Seed,
    until: Instant,
    asked: std::rc::Rc<std::cell::Cell<u32>>,
}

impl Script for FullUntil {
    fn connected(&mut self, conn: ConnId) -> Vec<(Duration, Message)> {
        self.seed.connected(conn)
    }

    fn message(&mut self, conn: ConnId, msg: Message, now: Instant) -> Vec<(Duration, Message)> {
        match msg {
            Message::Request(r) if now < self.until => {
                self.asked.set(self.asked.get() + 1);
                vec![(Duration::ZERO, Message::Reject(r))]
            }
            msg => self.seed.message(conn, msg, now),
        }
    }
}

/// A downloader and a seed that rejects everything for so many seconds; requests rejected, and when it was complete.
fn after_refusals(seconds: u64, second_seed: bool) -> (u32, Duration, u64) {
    let content = Content::random(512 << 10, 64 << 10, 1);
    let mut w = World::new(1);
    w.directory = false;
    let asked = std::rc::Rc::<std::cell::Cell<u32>>::default();
    let full = FullUntil {
        seed: Seed::new(&content, true, Fault::None),
        until: w.now + Duration::from_secs(seconds),
        asked: asked.clone(),
    };
    let full = w.add_script(full, true);
    let get = w.add(&content, Some(content.none()));
    let begin = w.now;
    w.connect(get, full);
    if second_seed {
        let other = Seed::new(&content, true, Fault::None).slow(Duration::from_millis(20));
        let other = w.add_script(other, true);
        w.connect(get, other);
    }
    w.complete(&[get], MINUTE);
    let stats = w.node(get).swarm.stats();
    assert_eq!(stats.refusals, u64::from(asked.get()));
    (asked.get(), w.now.saturating_since(begin), stats.stalls)
}

#[test]
fn a_full_peer_is_asked_again_after_pauses_that_grow_and_is_not_taken_for_dead() {
    let (asked, took, stalls) = after_refusals(5, false);
    // pauses of 1, 2 and 4 s
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!((3..=3 * 8).contains(&asked), "{asked} requests");
    assert_eq!(stalls, 0);
}

#[test]
fn what_one_peer_refuses_comes_from_another_meanwhile() {
    let (asked, took, stalls) = after_refusals(60, true);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!((1..=2 * 8).contains(&asked), "{asked} requests");
    assert_eq!(stalls, 0);
}

/// Three downloaders and a seed that sends `uploads` pieces at a time; the most that it was seen sending, and the
/// requests that it refused.
fn bounded(uploads: usize, stock: bool, second_seed: bool) -> (usize, u64) {
    let content = Content::random(2 << 20, 64 << 10, 2);
    let mut w = World::new(2);
    w.directory = false;
    let seed = w.add_with(&content, Some(content.full()), None, |c| {
        c.client.uploads = uploads;
        c.client.superseed = false;
    });
    w.set_uplink(seed, 1_000_000);
    let other = second_seed.then(|| w.add(&content, Some(content.full())));
    let gets: Vec<usize> = (0..3)
        .map(|_| w.add(&content, Some(content.none())))
        .collect();
    for get in &gets {
        if stock {
            w.connect_without_fast(*get, seed);
        } else {
            w.connect(*get, seed);
        }
        if let Some(other) = other {
            w.connect(*get, other);
        }
    }
    let mut most = 0;
    let done = w.run_until(MINUTE, |w| {
        let stats = w.node(seed).swarm.stats();
        most = most.max(stats.peers.iter().map(|p| p.sending).sum());
        gets.iter().all(|g| w.node(*g).complete_at.is_some())
    });
    assert!(done, "{:#?}", w.node(seed).swarm.stats());
    w.complete(&gets, MINUTE);
    let stats = w.node(seed).swarm.stats();
    let closed = w.node(seed).closed.clone();
    let harmless = ["Useless", "DuplicatePeer"]; // introduced to each other, both dial
    let bad = closed
        .iter()
        .filter(|(_, r)| !harmless.contains(&format!("{r:?}").as_str()));
    assert_eq!(bad.count(), 0, "{closed:?}");
    (most, stats.refused)
}

#[test]
fn a_bound_on_uploads_holds_and_everybody_is_served_in_time() {
    assert_eq!(bounded(0, false, false).1, 0, "no bound, no refusals");
    for uploads in [1, 2] {
        for second_seed in [false, true] {
            let (most, refused) = bounded(uploads, false, second_seed);
            assert!((1..=uploads).contains(&most), "{most} of {uploads}");
            assert!(refused > 0);
        }
    }
}

#[test]
fn peers_without_reject_wait_in_the_queue_instead() {
    for uploads in [1, 2] {
        let (most, refused) = bounded(uploads, true, false);
        assert_eq!((most, refused), (uploads, 0));
    }
}

#[test]
fn a_piece_no_longer_counts_once_it_is_sent_cancelled_choked_or_left() {
    let content = Content::random(2 << 20, 256 << 10, 3);
    let mut w = World::new(3);
    w.directory = false;
    let seed = w.add_with(&content, Some(content.full()), None, |c| {
        c.client.superseed = false;
    });
    let get = w.add(&content, Some(content.none()));
    let conn = w.connect(get, seed);
    let sending = |w: &mut World| -> usize {
        let stats = w.node(seed).swarm.stats();
        stats.peers.iter().map(|p| p.sending).sum()
    };
    assert!(w.run_until(MINUTE, |w| sending(w) > 0), "something is sent");
    w.cut(conn);
    w.run_for(Duration::from_secs(1));
    assert_eq!(sending(&mut w), 0);
    // it comes back and ends well
    w.connect(get, seed);
    w.complete(&[get], MINUTE);
    w.run_for(Duration::from_secs(6));
    assert_eq!(sending(&mut w), 0);
    let client = w.node(seed).swarm.client();
    let times: u32 = (0..8).map(|p| u32::from(client.times_served(p))).sum();
    assert!(
        (7..=8).contains(&times),
        "each piece but what was cut off, once: {times}"
    );
}
