//! An orderly end: trackers hear of it, what is held is kept, and nobody who does not answer holds it up.

use std::net::TcpListener;
use std::time::Duration;

use chunkcast_bittorrent::daemon::{Change, DaemonError, State};
use chunkcast_compat_tests::http_tracker::HttpTracker;
use tokio::time::{sleep, timeout};

use crate::support::*;

fn tracker(url: String) -> Change {
    Change {
        trackers: Some(vec![vec![url]]),
        ..Change::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trackers_hear_of_the_end_and_one_that_is_silent_does_not_hold_it_up() {
    let (one, two) = (Content::file(80, 40_000), Content::file(81, 40_000));
    let listening = HttpTracker::start();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut rig = Rig::prepared(|_| {});
    rig.session.trackers = true;
    rig.start().await;
    one.copy_to(&rig.settings.download_dir);
    rig.add_with(&one, &[], |new| new.change = tracker(listening.url()))
        .await;
    let addr = silent.local_addr().expect("bound");
    let url = format!("http://{addr}/announce");
    rig.add_with(&two, &[], |new| new.change = tracker(url))
        .await;
    rig.until_state(one.hash, State::Seeding).await;
    let daemon = rig.daemon().clone();
    // who has not answered yet is told nothing at the end
    let answered = async {
        while !(daemon.detail(one.hash).await.expect("there").trackers)
            .iter()
            .any(|row| row.ok)
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, answered).await.expect("it is announced");
    timeout(Duration::from_secs(12), rig.stop())
        .await
        .expect("it ends in ten seconds and a bit");
    let last = listening.announces().pop().expect("announces");
    assert_eq!(last.text("event"), "stopped");
    assert_eq!(daemon.pause(one.hash).await, Err(DaemonError::Ending));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_refuses_is_named_with_the_torrent_until_it_does_not() {
    let content = Content::file(82, 40_000);
    let gone = chunkcast_compat_tests::free_port();
    let mut rig = Rig::prepared(|_| {});
    rig.session.trackers = true;
    rig.start().await;
    let url = format!("http://127.0.0.1:{gone}/announce");
    rig.add_with(&content, &[], |new| new.change = tracker(url))
        .await;
    rig.until_state(content.hash, State::Downloading).await;
    rig.pass(Duration::from_secs(60)).await;
    let complains = |s: &chunkcast_bittorrent::daemon::Summary| {
        (s.trouble.as_ref()).is_some_and(|t| t.tracker && !t.stopped)
    };
    let named = async {
        while !complains(&rig.summary(content.hash)) {
            rig.pass(Duration::from_secs(60)).await;
        }
    };
    timeout(DEADLINE, named).await.expect("it is named");
    let message = rig
        .summary(content.hash)
        .trouble
        .clone()
        .expect("trouble")
        .message;
    assert!(message.contains(&gone.to_string()), "{message}");
    let none = Change {
        trackers: Some(vec![]),
        ..Change::default()
    };
    rig.change(content.hash, none).await;
    rig.until("it is forgotten", content.hash, |s| s.trouble.is_none())
        .await;
}
