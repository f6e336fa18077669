//! Each on a host of its own, IPv6, and uTP.

use chunkcast_compat_tests::http_tracker::HttpTracker;
use chunkcast_compat_tests::netns::Lan;
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, Client, Setup, Transport};
use chunkcast_compat_tests::wait_for;

use crate::cell::{Cell, Ended, Exchange, NO_NETWORK, NO_TRACKER, Skipped};

/// Encryption preferred, uTP first, every source of peers on: what a client does when nobody holds its hand.
pub(crate) fn default_settings(cell: Cell) -> Ended {
    let lan = Lan::new("default settings").ok_or(NO_NETWORK)?;
    let [tracker, us, them] = ["tracker", "us", "them"].map(|name| lan.host(name));
    let scene = Scene::new(At::Host(&tracker), Made::ByUs).ok_or(NO_TRACKER)?;
    let mut exchange = Exchange::new(cell, &scene, At::Host(&us), At::Host(&them));
    exchange.them = Setup::all_on(scene.dir.path(), At::Host(&them), cell.client);
    exchange.by_tracker();
    Ok(())
}

/// The tracker has an IPv6 address only, and names only such.
pub(crate) fn ipv6(cell: Cell) -> Ended {
    let here = At::Loopback6;
    let tracker = HttpTracker::start_v6();
    let scene = Scene::without_tracker(&[&tracker.url()], &[]);
    let exchange = Exchange::new(cell, &scene, here, here);
    // the one that comes later dials: Transmission dials no loopback address
    let them = exchange.start_them();
    wait_for("the tracker is told", DEADLINE, || {
        (!tracker.announces().is_empty()).then_some(())
    });
    exchange.we_follow(&them);
    Ok(())
}

/// Both have TCP switched off. (libtorrent goes on listening for TCP and hangs up on whoever calls.)
pub(crate) fn utp(cell: Cell) -> Ended {
    match cell.client {
        Client::Aria2 => return Err(Skipped("it has no uTP")),
        Client::Transmission => {
            return Err(Skipped(
                "it has no switch for TCP; uTP beside TCP is part of its default settings",
            ));
        }
        Client::QBittorrent | Client::Libtorrent => {}
    }
    let here = At::Loopback;
    let scene = Scene::new(here, Made::ByUs).ok_or(NO_TRACKER)?;
    let mut exchange = Exchange::new(cell, &scene, here, here);
    exchange.them.transport = Transport::Utp;
    exchange.with(&["--transport", "utp"]);
    exchange.by_tracker();
    Ok(())
}
