//! The end of a session with many torrents.

#![allow(clippy::disallowed_types, reason = "a tracker of the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use chunkcast_bittorrent::session::{AddTorrent, DataPath, IndexUse, Session, SessionConfig};
use chunkcast_compat_tests::scratch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::hostile_common::*;

/// A tracker that takes its time.
#[derive(Default)]
struct Tracker {
    under_way: AtomicUsize,
    most: AtomicUsize,
    started: AtomicUsize,
    stopped: AtomicUsize,
}

impl Tracker {
    async fn start() -> (Arc<Self>, String) {
        let tracker = Arc::new(Self::default());
        let listener = TcpListener::bind(loopback()).await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let serving = tracker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        (tracker, format!("http://{addr}/announce"))
    }

    async fn answer(self: Arc<Self>, mut stream: tokio::net::TcpStream) {
        let mut request = [0; 2048];
        let Ok(len) = stream.read(&mut request).await else {
            return;
        };
        let request = String::from_utf8_lossy(&request[..len]);
        let now = self.under_way.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        sleep(Duration::from_millis(20)).await;
        let body = "d8:intervali1800e5:peers0:e";
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        for (event, count) in [
            ("event=started", &self.started),
            ("event=stopped", &self.stopped),
        ] {
            count.fetch_add(usize::from(request.contains(event)), SeqCst);
        }
        self.under_way.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tracker_is_told_and_not_all_of_them_at_once() {
    watch_panics();
    const TORRENTS: usize = 250;
    let (tracker, url) = Tracker::start().await;
    let config = SessionConfig {
        listen: Some(loopback()),
        index: IndexUse::Client,
        dht: false,
        ..SessionConfig::default()
    };
    let session = Session::start(config).await.expect("a session");
    let dir = scratch();
    let mut handles = Vec::new();
    for n in 0..TORRENTS {
        let content = Content::new(1000 + n as u64, 1000, 16 << 10);
        let dir = dir.path().join(n.to_string());
        std::fs::create_dir(&dir).expect("a directory");
        std::fs::write(dir.join("file.bin"), &content.data).expect("written");
        let add = AddTorrent {
            trackers: Some(vec![vec![url.clone()]]),
            ..AddTorrent::new(content.torrent(), DataPath::OutputDir(dir))
        };
        handles.push(session.add(add).await.expect("a new torrent"));
    }
    for handle in &mut handles {
        complete(handle).await;
    }
    let told = async {
        for handle in &handles {
            let control = handle.control();
            let answered = async || {
                let detail = control.detail().await.expect("it runs");
                detail.trackers.iter().all(|t| t.ok)
            };
            while !answered().await {
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    timeout(DEADLINE, told).await.expect("all are announced");
    assert_eq!(tracker.started.load(SeqCst), TORRENTS);
    timeout(DEADLINE, session.shutdown())
        .await
        .expect("it ends");
    assert_eq!(tracker.stopped.load(SeqCst), TORRENTS);
    let most = tracker.most.load(SeqCst);
    assert!(most <= 100, "{most} at a time");
    for mut handle in handles {
        while handle.next().await.is_some() {}
    }
    assert_no_panic();
}
