//! What trackers hear from us, from the first announce to the last.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chunkcast_compat_tests::http_tracker::{Announce, HttpTracker};
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, ours};
use chunkcast_compat_tests::{
    ALONE, Proc, Scratch, chunkcast, create, free_port, noise, scratch, wait_for, write,
};

const HERE: At<'static> = At::Loopback;
const SIZE: u64 = 600_000;

/// One file, its torrent, and a tracker that writes down what it hears.
struct Life {
    dir: Scratch,
    tracker: HttpTracker,
    infohash: String,
}

impl Life {
    fn new(more: &[&str]) -> Self {
        let dir = scratch();
        let tracker = HttpTracker::start();
        let file = dir.path().join("file.bin");
        write(&file, &noise(1, usize::try_from(SIZE).expect("small")));
        let url = tracker.url();
        let mut flags = vec!["--piece-length", "64KiB", "--tracker", &url];
        flags.extend(more);
        let infohash = create(&file, &dir.path().join("t.torrent"), &flags);
        Self {
            dir,
            tracker,
            infohash,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn seed(&self) -> Proc {
        let (torrent, data) = (self.path("t.torrent"), self.path("file.bin"));
        self.ours("seed", &["seed", &torrent, "--data", &data])
    }

    fn get(&self, more: &[&str]) -> Proc {
        let (torrent, copy) = (self.path("t.torrent"), self.path("copy"));
        let mut args = vec!["get", &torrent, "-o", &copy];
        args.extend(more);
        self.ours("get", &args)
    }

    fn ours(&self, name: &str, args: &[&str]) -> Proc {
        ours(name, self.dir.path(), args)
    }

    /// Where our process listens.
    fn listens(&self, proc: &Proc) -> SocketAddrV4 {
        wait_for("our client is up", DEADLINE, || {
            let event = proc.events("metadata").pop()?;
            event["listen"].as_str()?.parse().ok()
        })
    }

    /// What came from the process that listens there.
    fn heard(&self, from: SocketAddrV4) -> Vec<Announce> {
        let all = self.tracker.announces().into_iter();
        all.filter(|a| a.number("port") == u64::from(from.port()))
            .collect()
    }

    fn wait_for_events(&self, events: &[&str]) {
        wait_for(&format!("{events:?} said"), DEADLINE, || {
            (self.tracker.events() == events).then_some(())
        });
    }
}

fn events(announces: &[Announce]) -> Vec<String> {
    announces.iter().map(|a| a.text("event")).collect()
}

#[test]
fn a_download_says_started_completed_and_stopped_once_each() {
    let life = Life::new(&[]);
    let mut seed = life.seed();
    let at = life.listens(&seed);
    life.wait_for_events(&["started"]);
    life.tracker.tell_of(at);
    let mut get = life.get(&[]);
    let us = life.listens(&get);
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}", get.log());
    let heard = life.heard(us);
    assert_eq!(events(&heard), ["started", "completed", "stopped"]);
    let numbers = |name: &str| -> Vec<u64> { heard.iter().map(|a| a.number(name)).collect() };
    assert_eq!(numbers("left"), [SIZE, 0, 0]);
    let downloaded = numbers("downloaded");
    assert_eq!(downloaded[0], 0);
    assert!(downloaded[1] >= SIZE, "said at completion: {downloaded:?}");
    assert!(downloaded[2] >= SIZE, "said at the end: {downloaded:?}");
    for name in ["info_hash", "peer_id", "port", "key"] {
        let same = heard.iter().all(|a| a.bytes(name) == heard[0].bytes(name));
        assert!(same && !heard[0].bytes(name).is_empty(), "{name}");
    }
    let hash: String = heard[0]
        .bytes("info_hash")
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(hash, life.infohash);

    seed.terminate();
    assert!(seed.wait(DEADLINE).success(), "{}", seed.log());
    let heard = life.heard(at);
    assert_eq!(
        events(&heard),
        ["started", "stopped"],
        "it was complete before"
    );
    assert_eq!(heard[0].number("left"), 0);
    assert!(heard[1].number("uploaded") >= SIZE, "{heard:?}");
}

#[test]
fn an_interrupted_download_says_stopped_and_not_completed() {
    for signal in ["INT", "TERM"] {
        let life = Life::new(&[]);
        let mut get = life.get(&[]);
        life.wait_for_events(&["started"]);
        get.signal(signal);
        let status = get.wait(DEADLINE);
        assert_eq!(status.code(), Some(7), "{}", get.log());
        assert_eq!(life.tracker.events(), ["started", "stopped"], "{signal}");
        let last = life.tracker.announces().pop().expect("two announces");
        assert_eq!(last.number("left"), SIZE);
    }
}

#[test]
fn a_download_that_goes_on_seeding_says_stopped_when_it_is_told_to_end() {
    let life = Life::new(&[]);
    let seed = life.seed();
    let at = life.listens(&seed);
    life.wait_for_events(&["started"]);
    life.tracker.tell_of(at);
    let mut get = life.get(&["--seed"]);
    let us = life.listens(&get);
    wait_for("completed said", DEADLINE, || {
        (events(&life.heard(us)) == ["started", "completed"]).then_some(())
    });
    get.signal("INT");
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    let said = events(&life.heard(us));
    assert_eq!(said, ["started", "completed", "stopped"]);
}

#[test]
fn what_is_complete_already_says_no_completed() {
    let life = Life::new(&[]);
    write(
        &life.dir.path().join("copy/file.bin"),
        &noise(1, usize::try_from(SIZE).expect("small")),
    );
    let mut get = life.get(&["--seed"]);
    life.wait_for_events(&["started"]);
    assert_eq!(life.tracker.announces()[0].number("left"), 0);
    get.terminate();
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    assert_eq!(life.tracker.events(), ["started", "stopped"]);
}

#[test]
fn a_download_that_nobody_serves_asks_the_tracker_again_before_its_interval() {
    let life = Life::new(&[]);
    let mut get = life.get(&[]);
    let us = life.listens(&get);
    life.wait_for_events(&["started"]);
    let seed = life.seed();
    life.tracker.tell_of(life.listens(&seed));
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}", get.log());
    let said = events(&life.heard(us));
    assert_eq!(said, ["started", "", "completed", "stopped"]);
}

/// Downloads with a second tracker, a DHT node and an index node at hand; whether they heard of the torrent: the
/// first tracker, the second one, the DHT, the directory.
fn asked(private: bool) -> [bool; 4] {
    let second = HttpTracker::start();
    let url = second.url();
    let mut flags = vec!["--tracker", &url];
    if private {
        flags.push("--private");
    }
    let life = Life::new(&flags);
    let dht = DhtNode::start(&life.infohash);
    let dht_addr = dht.addr.to_string();
    let index = format!("127.0.0.1:{}", free_port());
    let _node = life.ours_node(&index);
    // another than what `ours` gives: this one is to use the DHT, if it may
    let seed = {
        let mut command = Command::new(chunkcast());
        command
            .args(["seed", &life.path("t.torrent")])
            .args(["--data", &life.path("file.bin"), "--json"])
            .args(["--listen", "127.0.0.1:0", "--index-listen", "127.0.0.1:0"])
            .args(["--bootstrap", &index, "--dht-bootstrap", &dht_addr])
            .args(ALONE);
        Proc::spawn("seed", life.dir.path(), &mut command)
    };
    let at = life.listens(&seed);
    life.wait_or_other(&second);
    life.tracker.tell_of(at);
    let in_directory = || {
        let out = Command::new(chunkcast())
            .args(["lookup", &life.infohash, "--bootstrap", &index])
            .args(["--timeout", "5", "--json"])
            .output()
            .expect("chunkcast runs");
        out.status.success()
    };
    // as long as a public torrent needs to be told everywhere, and for a private one a while
    let end = Instant::now()
        + if private {
            Duration::from_secs(6)
        } else {
            DEADLINE
        };
    let mut directory = false;
    while Instant::now() < end && !(dht.heard() && directory) {
        directory = directory || in_directory();
        std::thread::park_timeout(Duration::from_millis(300));
    }
    let mut get = life.get(&["--bootstrap", &index]);
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    let heard = |t: &HttpTracker| !t.announces().is_empty();
    [heard(&life.tracker), heard(&second), dht.heard(), directory]
}

/// A DHT node (BEP 5) that knows nobody but itself and listens for one torrent.
struct DhtNode {
    addr: SocketAddr,
    heard: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl DhtNode {
    fn start(infohash: &str) -> Self {
        let bytes = (0..20).map(|i| u8::from_str_radix(&infohash[2 * i..2 * i + 2], 16));
        let hash: Vec<u8> = bytes.collect::<Result<_, _>>().expect("hexadecimal");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).expect("a timeout");
        let this = Self {
            addr: socket.local_addr().expect("bound"),
            heard: Arc::default(),
            end: Arc::default(),
        };
        let (heard, end, port) = (this.heard.clone(), this.end.clone(), this.addr.port());
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !end.load(Ordering::Acquire) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if buffer[..len].windows(20).any(|w| w == hash) {
                    heard.store(true, Ordering::Release);
                }
                if let Some(answer) = dht_answer(&buffer[..len], port) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        this
    }

    fn heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }
}

impl Drop for DhtNode {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
    }
}

/// A DHT node's answer to anything: itself.
fn dht_answer(query: &[u8], port: u16) -> Option<Vec<u8>> {
    let rest = &query[query.windows(3).position(|w| w == b"1:t")? + 3..];
    let colon = rest.iter().position(|b| *b == b':')?;
    let len: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    let transaction = rest.get(..colon + 1 + len)?;
    let mut answer = b"d1:rd2:id20:nnnnnnnnnnnnnnnnnnnn5:nodes26:nnnnnnnnnnnnnnnnnnnn".to_vec();
    answer.extend([127, 0, 0, 1]);
    answer.extend(port.to_be_bytes());
    answer.extend(b"5:token2:tke1:t");
    answer.extend(transaction);
    answer.extend(b"1:y1:re");
    Some(answer)
}

impl Life {
    fn ours_node(&self, addr: &str) -> Proc {
        let mut command = Command::new(chunkcast());
        command.args(["node", "--index-listen", addr, "--json"]);
        command.args(ALONE);
        Proc::spawn("node", self.dir.path(), &mut command)
    }

    /// Waits until one of the two trackers has heard of us: tiers begin with the first.
    fn wait_or_other(&self, other: &HttpTracker) {
        wait_for("a tracker is asked", DEADLINE, || {
            let heard = self.tracker.events().len() + other.events().len();
            (heard > 0).then_some(())
        });
    }
}

#[test]
fn a_private_torrent_asks_its_tracker_and_nobody_else() {
    assert_eq!(asked(true), [true, false, false, false]);
}

#[test]
fn a_public_torrent_asks_the_dht_and_the_directory_too() {
    // the same scene as for the private one: there the silence means something
    assert_eq!(asked(false), [true, false, true, true]);
}

/// opentracker's own numbers over a download's life.
fn life_at_opentracker(url: usize) {
    let Some(scene) = Scene::new(HERE, Made::ByUs) else {
        return;
    };
    let (dir, magnet) = (scene.dir.path(), scene.magnet(&scene.urls[url]));
    let mut seed = scene.we_seed(HERE);
    assert_eq!(scene.downloads(), 0);
    let copy = scene.path("copy");
    let args = ["get", &magnet, "-o", &copy, "--seed"];
    let mut get = ours("get", dir, &args);
    wait_for("complete", DEADLINE, || get.events("complete").pop());
    scene.announced(2, 0);
    assert_eq!(scene.downloads(), 1, "completed was said once");
    get.terminate();
    assert!(get.wait(DEADLINE).success(), "{}", get.log());
    scene.announced(1, 0);
    seed.terminate();
    assert!(seed.wait(DEADLINE).success(), "{}", seed.log());
    scene.announced(0, 0);
    assert_eq!(scene.downloads(), 1);
    scene.assert_equal();
}

#[test]
fn opentracker_over_http_counts_us_in_and_out() {
    life_at_opentracker(0);
}

#[test]
fn opentracker_over_udp_counts_us_in_and_out() {
    life_at_opentracker(1);
}
