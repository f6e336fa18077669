//! Web servers that hold a torrent's data (BEP 19).

use chunkcast_compat_tests::matrix::Role;
use chunkcast_compat_tests::scene::{DEADLINE, FILES, Made, Scene};
use chunkcast_compat_tests::stock::{At, Job};
use chunkcast_compat_tests::web_server::WebServer;
use chunkcast_compat_tests::{create, wait_for, write};

use crate::cell::{Cell, Ended, Exchange, NO_TRACKER};

const HERE: At<'static> = At::Loopback;

pub(crate) fn web_seed(cell: Cell) -> Ended {
    match cell.role {
        Role::Seeds => beside(cell),
        Role::Leeches => alone(cell),
    }
}

/// We fetch from the stock client, which has the first file, and the rest from a web server.
fn beside(cell: Cell) -> Ended {
    let scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    let server = WebServer::start(&scene.source());
    let mut exchange = Exchange::new(cell, &scene, HERE, HERE);
    // the client's own torrent names no server
    let torrent = scene.dir.path().join("with-server.torrent");
    let (data, url) = (scene.source().join("data"), server.url());
    // Transmission unchokes nobody for ten seconds, in which the server could send everything
    exchange.with(&["--max-download", "200KiB/s"]);
    let flags = [
        "--piece-length",
        "64KiB",
        "--tracker",
        &scene.urls[0],
        "--web-seed",
        &url,
    ];
    assert_eq!(create(&data, &torrent, &flags), scene.infohash);
    exchange.source = torrent.display().to_string();
    let part = scene.dir.path().join("part");
    let first = std::fs::read(data.join(FILES[0].0)).expect("the source");
    write(&part.join("data").join(FILES[0].0), &first);
    let job = Job {
        source: scene.torrent(),
        data: part,
        complete: true,
        files: None,
    };
    let _them = cell.client.start(&exchange.them, &job);
    scene.announced(0, 1);
    let get = exchange.we_get();
    assert!(server.served() > 0, "the server was asked");
    let peers = get.events("peers").pop().expect("the last numbers");
    let from_peers: u64 = (peers["peers"].as_array().into_iter().flatten())
        .filter(|p| p["source"] != "webseed")
        .filter_map(|p| p["downloaded"].as_u64())
        .sum();
    assert!(from_peers > 0, "so was the client: {peers}");
    Ok(())
}

/// The stock client fetches a torrent of ours from the web server that it names: there is nobody else.
fn alone(cell: Cell) -> Ended {
    let root = Scene::without_tracker(&[], &[]);
    let server = WebServer::start(&root.source());
    let scene = Scene::without_tracker(&[], &["--web-seed", &server.url()]);
    let exchange = Exchange::new(cell, &scene, HERE, HERE);
    let them = exchange.start_them();
    exchange.arrived(&them);
    let total: u64 = FILES.iter().map(|(_, len)| *len as u64).sum();
    wait_for("all is accounted for", DEADLINE, || {
        (server.served() >= total).then_some(())
    });
    Ok(())
}
