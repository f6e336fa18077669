//! Both know only a tracker.

use chunkcast_compat_tests::scene::{Made, Scene};
use chunkcast_compat_tests::stock::{At, Client, NO_NODE};

use crate::cell::{Cell, Ended, Exchange, NO_TRACKER};

const HERE: At<'static> = At::Loopback;

pub(crate) fn http(cell: Cell) -> Ended {
    let scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    Exchange::new(cell, &scene, HERE, HERE).by_tracker();
    Ok(())
}

pub(crate) fn udp(cell: Cell) -> Ended {
    let mut scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    scene.only_udp();
    let mut exchange = Exchange::new(cell, &scene, HERE, HERE);
    if cell.client == Client::Aria2 {
        // it announces over UDP only from its DHT's socket; nobody is there
        exchange.them.dht = vec![NO_NODE];
    }
    exchange.by_tracker();
    Ok(())
}

/// The leecher has nothing but the infohash and the tracker.
pub(crate) fn magnet(cell: Cell) -> Ended {
    let scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    let mut exchange = Exchange::new(cell, &scene, HERE, HERE);
    exchange.source = scene.magnet(&scene.urls[0]);
    exchange.by_tracker();
    Ok(())
}
