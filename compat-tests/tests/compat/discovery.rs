//! Peers from everywhere but a tracker: each on a host of its own, and in each test only one way is open.

use std::net::{Ipv4Addr, SocketAddrV4};

use chunkcast_compat_tests::matrix::Role;
use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::{DEADLINE, Scene};
use chunkcast_compat_tests::stock::{At, Client, Job, Setup, libtorrent};
use chunkcast_compat_tests::{Proc, wait_for};

use crate::cell::{Cell, Ended, Exchange, NO_NETWORK, Skipped};

/// Flags of ours that close all ways but local discovery and peer exchange.
const NOBODY: [&str; 3] = ["--no-trackers", "--no-index", "--no-dht"];

/// Where qBittorrent looks for its first node of the DHT, as it has no setting for that, and the first one's port.
const WELL_KNOWN: ([&str; 5], u16) = (
    [
        "dht.libtorrent.org",
        "dht.transmissionbt.com",
        "router.bittorrent.com",
        "router.utorrent.com",
        "dht.aelitis.com",
    ],
    25_401,
);

/// Nodes of the DHT: Transmission announces nothing while it knows less than nine.
const NODES: usize = 16;

fn exchange<'a>(cell: Cell, scene: &'a Scene<'a>, us: &'a Host, them: &'a Host) -> Exchange<'a> {
    let mut exchange = Exchange::new(cell, scene, At::Host(us), At::Host(them));
    exchange.flags.extend(NOBODY.map(str::to_owned));
    exchange
}

/// Multicast on the local network (BEP 14).
pub(crate) fn lsd(cell: Cell) -> Ended {
    let lan = Lan::new("local discovery").ok_or(NO_NETWORK)?;
    let [us, them] = ["us", "them"].map(|name| lan.host(name));
    let scene = Scene::without_tracker(&[], &[]);
    let mut exchange = exchange(cell, &scene, &us, &them);
    exchange.without("--no-lsd");
    exchange.them.lsd = true;
    exchange.somehow();
    Ok(())
}

/// Both know a libtorrent that has nothing and fetches hardly anything; it tells them of each other (BEP 11).
pub(crate) fn pex(cell: Cell) -> Ended {
    if Client::Libtorrent.version().is_none() {
        return Err(Skipped(
            "libtorrent, which introduces the two, is not installed",
        ));
    }
    let lan = Lan::new("peer exchange").ok_or(NO_NETWORK)?;
    let [us, them, third] = ["us", "them", "third"].map(|name| lan.host(name));
    let scene = Scene::without_tracker(&[], &[]);
    let mut exchange = exchange(cell, &scene, &us, &them);
    exchange.without("--no-pex");
    exchange.with(&["--listen", &format!("{}:6881", us.ip)]);
    exchange.them.pex = true;
    let mut between = Setup::alone(scene.dir.path(), At::Host(&third), Client::Libtorrent);
    between.pex = true;
    between.slow = true;
    between.name = "third".to_owned();
    let job = Job {
        source: scene.torrent(),
        data: scene.dir.path().join("third/data"),
        complete: false,
        files: None,
    };
    let peers = [format!("{}:6881", us.ip), exchange.them.addr()];
    let introduce = || {
        std::fs::create_dir_all(&job.data).expect("a folder");
        libtorrent::start(&between, &job, &peers)
    };
    let their = exchange.start_them();
    match cell.role {
        Role::Seeds => {
            let ours = scene.we_start_getting(exchange.us, &exchange.source, &exchange.flags());
            is_up(&ours);
            let _third = introduce();
            wait_for("we have everything", DEADLINE, || {
                scene.is_equal(&scene.copy(), None).then_some(())
            });
        }
        Role::Leeches => {
            let ours = exchange.start_our_seed();
            is_up(&ours);
            let _third = introduce();
            exchange.arrived(&their);
        }
    }
    Ok(())
}

fn is_up(ours: &Proc) {
    wait_for("ours is up", DEADLINE, || ours.events("metadata").pop());
}

/// A magnet link and a DHT of libtorrents (BEP 5, 9).
pub(crate) fn dht(cell: Cell) -> Ended {
    if Client::Libtorrent.version().is_none() {
        return Err(Skipped(
            "libtorrent, of which the DHT is made, is not installed",
        ));
    }
    let lan = Lan::new("the DHT").ok_or(NO_NETWORK)?;
    let [us, them] = ["us", "them"].map(|name| lan.host(name));
    let scene = Scene::without_tracker(&[], &[]);
    let (nodes, port) = (lan.host("nodes"), WELL_KNOWN.1);
    let addresses: Vec<SocketAddrV4> = (100..)
        .take(NODES)
        .map(|n| SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, n), port))
        .collect();
    for address in &addresses {
        nodes.also(&address.ip().to_string());
    }
    let mut command = nodes.command("python3");
    command.args([
        "-W",
        "ignore",
        "-c",
        include_str!("dht_nodes.py"),
        &port.to_string(),
    ]);
    let running = Proc::spawn(
        "dht",
        scene.dir.path(),
        command.args(addresses.iter().map(|a| a.ip().to_string())),
    );
    wait_for("the DHT", DEADLINE, || {
        let log = running.log();
        (log.matches("bootstrap complete").count() >= NODES).then_some(())
    });
    let first = addresses[0];
    let names = WELL_KNOWN.0.join(" ");
    them.knows(&format!("127.0.0.1 localhost\n{} {names}\n", first.ip()));
    let mut exchange = exchange(cell, &scene, &us, &them);
    exchange.without("--no-dht");
    exchange.with(&["--dht-bootstrap", &first.to_string()]);
    exchange.them.dht = addresses;
    exchange.source = format!("magnet:?xt=urn:btih:{}", scene.infohash);
    let them = exchange.start_them();
    // ours asks the DHT at its start and then only now and then
    wait_for("the client is announced in the DHT", DEADLINE, || {
        running
            .log()
            .contains("incoming dht announce")
            .then_some(())
    });
    exchange.we_follow(&them);
    Ok(())
}
