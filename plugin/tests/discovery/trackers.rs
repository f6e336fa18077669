//! The announcer against in-process trackers: events once each, fail-over, floors, hostile answers.

#![allow(clippy::disallowed_types, clippy::unwrap_used)] // the other side of the network is here, and a test may panic

use std::net::SocketAddr;
use std::time::Duration;

use super::common::{Http, Reply, response, within};
use chunkcast_bittorrent::discovery::{
    AnnounceStatus, AnnouncerConfig, AnnouncerHandle, TransferCounts, spawn_announcer,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

const OK: &[u8] = b"d8:intervali1800e5:peers12:\x0a\x00\x00\x01\x1a\xe1\x0a\x00\x00\x02\x00\x00e";

struct Running {
    handle: AnnouncerHandle,
    counts: watch::Sender<TransferCounts>,
    peers: mpsc::Receiver<Vec<SocketAddr>>,
    status: watch::Receiver<AnnounceStatus>,
}

fn config(tiers: &[String]) -> AnnouncerConfig {
    let tiers = tiers.iter().map(|url| vec![url.clone()]).collect();
    let mut config = AnnouncerConfig::new([0xaa; 20], *b"-CC0100-abcdefghijkl", 6881, tiers, false);
    config.schedule.first_backoff = Duration::from_millis(20);
    config.http_deadline = Duration::from_secs(5);
    config
}

fn start(config: AnnouncerConfig) -> Running {
    let (counts, stats) = watch::channel(TransferCounts {
        uploaded: 1,
        downloaded: 2,
        left: 3,
    });
    let (out, peers) = mpsc::channel(16);
    let handle = spawn_announcer(config, stats, out);
    let status = handle.status();
    Running {
        handle,
        counts,
        peers,
        status,
    }
}

impl Running {
    /// Waits for a status.
    async fn until(&mut self, wanted: impl FnMut(&AnnounceStatus) -> bool) -> AnnounceStatus {
        within(self.status.wait_for(wanted)).await.unwrap().clone()
    }
}

fn event(path: &str) -> &str {
    path.split(['?', '&'])
        .find_map(|p| p.strip_prefix("event="))
        .unwrap_or("")
}

async fn http(reply: impl FnMut(&str) -> Reply + Send + 'static) -> Http {
    Http::start("127.0.0.1:0", reply).await.unwrap()
}

/// One whole life over HTTP; gives the paths in order.
async fn life(mut server: Http) {
    let mut r = start(config(&[server.url("/announce?passkey=k")]));
    let first = server.next().await;
    assert!(
        first.starts_with(
            "/announce?passkey=k&info_hash=%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA%AA\
             &peer_id=-CC0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=3&compact=1"
        ),
        "{first}"
    );
    assert_eq!(event(&first), "started");
    assert_eq!(
        within(r.peers.recv()).await.unwrap(),
        ["10.0.0.1:6881".parse().unwrap()],
        "port 0 is left out"
    );
    let status = r.until(|s| s.answered == 1).await;
    assert_eq!(status.tracker, Some(format!("http://{}", server.address)));

    // A wish for more peers waits for the floor; completion does not.
    r.handle.need_more_peers();
    r.handle.need_more_peers();
    r.counts.send_modify(|c| c.left = 0);
    r.handle.completed();
    r.handle.completed();
    let second = server.next().await;
    assert_eq!(event(&second), "completed");
    assert!(second.contains("&left=0&"), "{second}");
    r.until(|s| s.answered == 2).await;
    within(r.handle.stop()).await;
    let last = server.next().await;
    assert_eq!(event(&last), "stopped");
    assert!(last.contains("&numwant=0&"), "{last}");
    assert!(server.seen.try_recv().is_err(), "nothing more was said");
}

#[tokio::test]
async fn started_completed_and_stopped_once_each_over_http() {
    life(http(|_| Reply::Body(OK.to_vec())).await).await;
}

#[tokio::test]
async fn other_trackers_take_the_place_of_those_there_were() {
    let mut old = http(|_| Reply::Body(OK.to_vec())).await;
    let mut new =
        http(|_| Reply::Body(b"d8:completei7e10:incompletei9e8:intervali1800e5:peers0:e".to_vec()))
            .await;
    let mut r = start(config(&[old.url("/announce")]));
    assert_eq!(event(&old.next().await), "started");
    let status = r.until(|s| s.answered == 1).await;
    let row = &status.trackers[0];
    assert_eq!((row.id, row.tier, row.ok, row.peers), (0, 0, true, 1));
    assert!(row.announce.ends_with("/announce") && row.last_announce > 0);
    r.until(|s| !s.trackers[0].asking && s.trackers[0].next_announce > row.last_announce)
        .await;
    r.handle.set_tiers(vec![vec![new.url("/announce")]]);
    assert_eq!(event(&old.next().await), "stopped");
    assert_eq!(event(&new.next().await), "started");
    let status = r.until(|s| s.answered == 2).await;
    assert_eq!(status.trackers.len(), 1);
    let row = &status.trackers[0];
    assert_eq!((row.seeders, row.leechers), (Some(7), Some(9)));
    within(r.handle.stop()).await;
    assert_eq!(event(&new.next().await), "stopped");
    assert!(old.seen.try_recv().is_err(), "nothing more was said");
}

#[tokio::test]
async fn an_ipv6_literal_works_over_http() {
    // Without IPv6 on this machine there is nothing to test.
    if let Ok(server) = Http::start("[::1]:0", |_| Reply::Body(OK.to_vec())).await {
        life(server).await;
    }
}

#[tokio::test]
async fn a_torrent_that_is_complete_says_no_completed() {
    let mut server = http(|_| Reply::Body(OK.to_vec())).await;
    let (_counts, stats) = watch::channel(TransferCounts {
        left: 0,
        ..TransferCounts::default()
    });
    let (out, _peers) = mpsc::channel(1);
    let handle = spawn_announcer(config(&[server.url("/announce")]), stats, out);
    assert_eq!(event(&server.next().await), "started");
    within(handle.status().wait_for(|s| s.answered == 1))
        .await
        .unwrap();
    handle.completed();
    within(handle.stop()).await;
    assert_eq!(event(&server.next().await), "stopped");
}

#[tokio::test]
async fn at_interval_0_a_wish_for_peers_waits_for_the_floor() {
    let mut server =
        http(|_| Reply::Body(b"d8:intervali0e12:min intervali0e5:peers0:e".to_vec())).await;
    let mut r = start(config(&[server.url("/announce")]));
    assert_eq!(event(&server.next().await), "started");
    r.until(|s| s.answered == 1).await;
    for _ in 0..50 {
        r.handle.need_more_peers();
        tokio::task::yield_now().await;
    }
    within(r.handle.stop()).await;
    assert_eq!(
        event(&server.next().await),
        "stopped",
        "and nothing between"
    );
}

#[tokio::test]
async fn after_the_floor_the_next_announce_is_regular() {
    let mut server = http(|_| Reply::Body(b"d8:intervali0e5:peers0:e".to_vec())).await;
    let mut c = config(&[server.url("/announce")]);
    c.schedule.floor = Duration::from_millis(1);
    let r = start(c);
    assert_eq!(event(&server.next().await), "started");
    assert_eq!(event(&server.next().await), "");
    assert_eq!(event(&server.next().await), "");
    within(r.handle.stop()).await;
}

#[tokio::test]
async fn tiers_fail_over_and_only_the_one_that_answered_is_told_stopped() {
    let closed = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/announce", socket.local_addr().unwrap())
    };
    let mut refuses = http(|_| Reply::Body(b"d14:failure reason14:not registerede".to_vec())).await;
    let mut answers = http(|_| Reply::Body(OK.to_vec())).await;
    let mut r = start(config(&[
        closed,
        refuses.url("/announce"),
        answers.url("/announce"),
    ]));
    assert_eq!(event(&refuses.next().await), "started");
    assert_eq!(event(&answers.next().await), "started");
    let status = r.until(|s| s.answered == 1).await;
    assert_eq!(status.tracker, Some(format!("http://{}", answers.address)));
    assert_eq!(status.error, None);
    within(r.handle.stop()).await;
    assert_eq!(event(&answers.next().await), "stopped");
    assert!(refuses.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_failure_reason_is_shown_with_the_tracker_and_without_its_passkey() {
    for status in ["200 OK", "403 Forbidden"] {
        let server =
            http(move |_| response(status, "", b"d14:failure reason11:bad\npasskeye")).await;
        let mut r = start(config(&[server.url("/SECRET/announce?passkey=SECRET")]));
        let error = r.until(|s| s.error.is_some()).await.error.unwrap();
        let name = server.address;
        assert_eq!(
            error,
            format!("tracker http://{name}: the tracker refused: bad passkey")
        );
        within(r.handle.stop()).await;
    }
}

#[tokio::test]
async fn stop_before_any_answer_says_nothing_and_does_not_wait() {
    let mut server = http(|_| Reply::Hang).await;
    let mut c = config(&[server.url("/announce")]);
    c.stop_deadline = Duration::from_secs(3600);
    c.http_deadline = Duration::from_secs(3600);
    let r = start(c);
    assert_eq!(event(&server.next().await), "started");
    within(r.handle.stop()).await;
    assert!(server.seen.try_recv().is_err());
}

#[tokio::test]
async fn stop_does_not_wait_for_a_tracker_that_hangs() {
    let mut server = http(|path| match event(path) {
        "stopped" => Reply::Hang,
        _ => Reply::Body(OK.to_vec()),
    })
    .await;
    let mut c = config(&[server.url("/announce")]);
    c.stop_deadline = Duration::from_millis(100);
    c.http_deadline = Duration::from_secs(3600);
    let mut r = start(c);
    r.until(|s| s.answered == 1).await;
    within(r.handle.stop()).await;
    server.next().await;
    assert_eq!(event(&server.next().await), "stopped");
}

#[tokio::test]
async fn hostile_answers_over_http_are_one_line_each() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let megabyte = [
        b"100000\r\n".to_vec(),
        vec![b'd'; 1 << 20],
        b"\r\n".to_vec(),
    ]
    .concat();
    type Make = Box<dyn Fn() -> Reply + Send>;
    let cases: Vec<(&str, Make)> = vec![
        (
            "longer than 1048576 bytes",
            Box::new(|| Reply::Body(vec![b'd'; (1 << 20) + 1])),
        ),
        (
            "longer than 1048576 bytes",
            Box::new(move || Reply::Endless(chunked.clone(), megabyte.clone())),
        ),
        (
            "no tracker answer",
            Box::new(|| Reply::Body(b"<html>".to_vec())),
        ),
        (
            "no tracker answer",
            Box::new(|| Reply::Body(b"d5:peersi1e8:intervall".to_vec())),
        ),
        (
            "no tracker answer",
            Box::new(|| Reply::Body(vec![b'l'; 1 << 20])),
        ),
        (
            "the answer broke off",
            Box::new(|| Reply::Raw(b"\x00\x01".to_vec())),
        ),
        (
            "HTTP status 500",
            Box::new(|| response("500 No", "", b"oops")),
        ),
        (
            "too many redirects",
            Box::new(|| response("302 Found", "Location: /announce\r\n", b"")),
        ),
        (
            "it redirects to a magnet: address",
            Box::new(|| response("302 Found", "Location: magnet:?xt=x\r\n", b"")),
        ),
        ("no answer in time", Box::new(|| Reply::Hang)),
    ];
    for (says, make) in cases {
        let server = http(move |_| make()).await;
        let mut c = config(&[server.url("/announce")]);
        if says == "no answer in time" {
            c.http_deadline = Duration::from_millis(100);
        }
        let mut r = start(c);
        let error = r.until(|s| s.error.is_some()).await.error.unwrap();
        assert!(error.contains(says), "{says}: {error}");
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
        assert!(r.peers.try_recv().is_err());
        within(r.handle.stop()).await;
    }
}

#[tokio::test]
async fn peers_that_nobody_takes_are_dropped_and_counted() {
    let server = http(|_| Reply::Body(OK.to_vec())).await;
    let mut c = config(&[server.url("/announce")]);
    c.schedule.floor = Duration::from_millis(1);
    c.schedule.ceiling = Duration::from_millis(2);
    let mut r = start(c);
    let status = r.until(|s| s.batches_dropped > 3).await;
    assert!(status.answered > 16, "the channel holds 16");
    within(r.handle.stop()).await;
}

#[tokio::test]
async fn without_usable_trackers_the_announcer_is_quiet() {
    let r = start(config(&["wss://x/announce".into(), "udp://noport".into()]));
    r.handle.completed();
    r.handle.need_more_peers();
    within(r.handle.stop()).await;
}

/// A UDP tracker (BEP 15); `lossy`: swallows the first datagram.
async fn udp_tracker(
    bind: &str,
    reply: impl Fn(u32, &[u8]) -> Vec<u8> + Send + 'static,
) -> std::io::Result<(SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>)> {
    let socket = UdpSocket::bind(bind).await?;
    let address = socket.local_addr()?;
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let packet = &buffer[..len];
            let action = u32::from_be_bytes(packet[8..12].try_into().unwrap());
            let answer = reply(action, packet);
            if tx.send(packet.to_vec()).is_err() {
                return;
            }
            // A forged answer with another transaction id comes first.
            let mut forged = answer.clone();
            forged[7] ^= 1;
            let _ = socket.send_to(&forged, from).await;
            let _ = socket.send_to(&answer, from).await;
        }
    });
    Ok((address, rx))
}

fn udp_answer(action: u32, packet: &[u8], peer: &[u8]) -> Vec<u8> {
    let mut out = action.to_be_bytes().to_vec();
    out.extend(&packet[12..16]);
    match action {
        0 => out.extend(77u64.to_be_bytes()),
        _ => {
            for n in [1800u32, 4, 5] {
                out.extend(n.to_be_bytes());
            }
            out.extend(peer);
        }
    }
    out
}

async fn udp_life(bind: &str, peer: Vec<u8>, expected: &str) {
    let made = udp_tracker(bind, move |action, packet| {
        udp_answer(action, packet, &peer)
    })
    .await;
    let Ok((address, mut seen)) = made else {
        assert!(bind.starts_with('['), "IPv4 is always there");
        return;
    };
    let mut r = start(config(&[format!("udp://{address}/announce")]));
    assert_eq!(within(seen.recv()).await.unwrap().len(), 16, "connect");
    let first = within(seen.recv()).await.unwrap();
    assert_eq!((first.len(), first[83]), (98, 2), "announce, started");
    assert_eq!(first[..8], 77u64.to_be_bytes());
    assert_eq!(
        within(r.peers.recv()).await.unwrap(),
        [expected.parse().unwrap()]
    );
    let status = r.until(|s| s.answered == 1).await;
    assert_eq!((status.leechers, status.seeders), (Some(4), Some(5)));
    r.handle.completed();
    let second = within(seen.recv()).await.unwrap();
    assert_eq!(
        (second.len(), second[83]),
        (98, 1),
        "the connection id is used again; completed"
    );
    r.until(|s| s.answered == 2).await;
    within(r.handle.stop()).await;
    let last = within(seen.recv()).await.unwrap();
    assert_eq!((last.len(), last[83]), (98, 3), "stopped");
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn started_completed_and_stopped_once_each_over_udp() {
    udp_life("127.0.0.1:0", vec![10, 0, 0, 9, 0, 80], "10.0.0.9:80").await;
}

#[tokio::test]
async fn peers_are_18_bytes_over_udp_on_ipv6() {
    let mut peer = vec![0; 18];
    (peer[0], peer[15], peer[17]) = (0x20, 1, 80);
    udp_life("[::1]:0", peer, "[2000::1]:80").await;
}

#[tokio::test]
async fn a_udp_error_is_shown_and_the_next_tier_asked() {
    let refuse = |_: u32, packet: &[u8]| {
        let mut out = 3u32.to_be_bytes().to_vec();
        out.extend(&packet[12..16]);
        out.extend(b"torrent not registered");
        out
    };
    let (address, _seen) = udp_tracker("127.0.0.1:0", refuse).await.unwrap();
    let mut answers = http(|_| Reply::Hang).await;
    let mut r = start(config(&[
        format!("udp://{address}"),
        answers.url("/announce"),
    ]));
    let error = r.until(|s| s.error.is_some()).await.error.unwrap();
    assert_eq!(
        error,
        format!("tracker udp://{address}: the tracker refused: torrent not registered")
    );
    assert_eq!(event(&answers.next().await), "started");
    within(r.handle.stop()).await;
}

#[tokio::test]
async fn a_closed_udp_port_fails_over_at_once_and_a_silent_one_at_its_deadline() {
    let closed = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut answers = http(|_| Reply::Body(OK.to_vec())).await;
    let mut c = config(&[
        format!("udp://{closed}/announce"),
        format!("udp://{}/announce", silent.local_addr().unwrap()),
        answers.url("/announce"),
    ]);
    c.udp_deadline = Duration::from_millis(150);
    let mut r = start(c);
    assert_eq!(event(&answers.next().await), "started");
    r.until(|s| s.answered == 1).await;
    within(r.handle.stop()).await;
}
