//! The stream of events.

use std::sync::Arc;

use chunkcast_bittorrent::daemon::{Event, InfoHash, Listing, State, Summary};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::common::{HERE, MAGNET, Scripted, poll, read_until, summary};

/// The data of the next event of this name.
async fn next(stream: &mut TcpStream, name: &str) -> Value {
    let mut text = read_until(stream, &format!("event: {name}\n")).await;
    let begins = text.rfind(&format!("event: {name}\n")).expect("it came");
    text.drain(..begins);
    while !text.contains("\n\n") {
        text += &read_until(stream, "\n").await;
    }
    data(&text)
}

/// The data of the first event.
fn data(text: &str) -> Value {
    let data = text.lines().find_map(|l| l.strip_prefix("data: "));
    serde_json::from_str(data.expect("data")).expect("JSON")
}

#[tokio::test]
async fn a_listener_hears_of_all_and_then_of_what_changes() {
    let api = Scripted::start().await;
    let mut stream = api.listen().await;
    let first = next(&mut stream, "listing").await;
    assert_eq!(first["all"], true);
    assert_eq!(first["torrents"].as_array().map(Vec::len), Some(2));

    let new = InfoHash([0xee; 20]);
    let same = api.script.daemon.list().torrents[0].clone();
    let mut listing = Listing::clone(&api.script.daemon.list());
    listing.torrents = vec![same, Arc::new(summary(new))];
    listing.totals.rate_down = 77;
    api.script.listing.send_replace(Arc::new(listing));
    let tell = |event| api.script.events.send(event).expect("a listener");
    tell(Event::Tick);
    let second = next(&mut stream, "listing").await;
    assert_eq!(second["all"], false);
    assert_eq!(
        second["torrents"].as_array().map(Vec::len),
        Some(1),
        "{second}"
    );
    assert_eq!(second["torrents"][0]["hash"], new.to_string());
    assert_eq!(second["removed"][0], MAGNET.to_string());
    assert_eq!(second["totals"]["rate_down"], 77);

    // nothing has changed: the next that is heard of is what happened
    let mut listing = Listing::clone(&api.script.daemon.list());
    for torrent in &mut listing.torrents {
        *torrent = Arc::new(Summary::clone(torrent));
    }
    api.script.listing.send_replace(Arc::new(listing));
    tell(Event::Tick);
    tell(Event::State(HERE, State::Seeding));
    let text = read_until(&mut stream, "\n\n").await;
    assert!(text.contains("event: state\n"), "{text}");
    let state = data(&text);
    assert_eq!(state["hash"], HERE.to_string());
    assert_eq!(state["state"], "seeding");
    tell(Event::Trouble(HERE, "the disk\nis full".to_owned()));
    let trouble = next(&mut stream, "trouble").await;
    assert_eq!(trouble["message"], "the disk\nis full");
}

#[tokio::test]
async fn who_missed_something_hears_of_all_again() {
    let api = Scripted::start().await;
    let mut stream = api.listen().await;
    next(&mut stream, "listing").await;
    // more than the channel holds, before the listener is polled again
    for _ in 0..5000 {
        let _ = api.script.events.send(Event::Added(HERE));
    }
    loop {
        let listing = next(&mut stream, "listing").await;
        if listing["all"] == true {
            break;
        }
    }
}

#[tokio::test]
async fn listeners_are_bounded_and_leave_room_for_others() {
    let api = Scripted::start().await;
    let mut listeners = Vec::new();
    for _ in 0..32 {
        let mut stream = api.listen().await;
        next(&mut stream, "listing").await;
        listeners.push(stream);
    }
    api.get("/api/v1/events").await.is_refused(503);
    api.is_well().await;
    listeners.pop();
    // its place is given back as soon as the server sees that it is gone
    poll("a place", async || {
        let mut stream = api.listen().await;
        let text = read_until(&mut stream, "\r\n\r\n").await;
        text.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}
