//! Torrents of all kinds, with a tracker.

use std::process::Command;

use chunkcast_compat_tests::matrix::Role;
use chunkcast_compat_tests::scene::{Content, FILES, Made, Scene, create_by_libtorrent};
use chunkcast_compat_tests::stock::{At, Client};
use chunkcast_compat_tests::{noise, scratch, write};

use crate::cell::{Cell, Ended, Exchange, NO_TRACKER, Skipped};

const HERE: At<'static> = At::Loopback;

fn exchange(cell: Cell, made: Made) -> Ended {
    let scene = Scene::new(HERE, made).ok_or(NO_TRACKER)?;
    Exchange::new(cell, &scene, HERE, HERE).by_tracker();
    Ok(())
}

/// Torrents that libtorrent makes.
fn made_by_libtorrent(cell: Cell, made: Made) -> Ended {
    if Client::Libtorrent.version().is_none() {
        return Err(Skipped(
            "libtorrent, which makes the torrent, is not installed",
        ));
    }
    exchange(cell, made)
}

/// Transmission 3.00 and aria2 1.36 stumble over it: tried here, so that newer ones are not left out.
pub(crate) fn hybrid(cell: Cell) -> Ended {
    if Client::Libtorrent.version().is_some() {
        let dir = scratch();
        let (data, torrent) = (dir.path().join("data"), dir.path().join("t.torrent"));
        write(&data.join("a"), &noise(1, 100_000));
        write(&data.join("b"), &noise(2, 100_000));
        let infohash =
            create_by_libtorrent(&data, &torrent, "http://127.0.0.1:9/announce", "hybrid");
        let read_by = |program: &str, flag: &[&str]| {
            let out = Command::new(program).args(flag).arg(&torrent).output();
            out.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(&infohash))
        };
        match cell.client {
            Client::Transmission if !read_by("transmission-show", &[]) => {
                return Err(Skipped(
                    "it cannot read hybrid torrents (`transmission-show` refuses them)",
                ));
            }
            Client::Aria2 if !read_by("aria2c", &["--no-conf", "-S"]) => {
                return Err(Skipped(
                    "it computes another infohash than v1's of hybrid torrents (`aria2c -S`), and so finds nobody",
                ));
            }
            _ => {}
        }
    }
    made_by_libtorrent(cell, Made::Hybrid)
}

pub(crate) fn padding(cell: Cell) -> Ended {
    made_by_libtorrent(cell, Made::Padded)
}

/// Ours is slowed down a little: an unoptimized build is kept busy by many open pieces.
pub(crate) fn many_pieces(cell: Cell) -> Ended {
    let scene = Scene::with_tracker(HERE, Made::ByUs, Content::Many).ok_or(NO_TRACKER)?;
    let mut exchange = Exchange::new(cell, &scene, HERE, HERE);
    if cell.role == Role::Seeds {
        exchange.with(&["--max-download", "8MiB/s"]);
    }
    if cell.client == Client::Transmission && cell.role == Role::Seeds {
        // it answers once or twice a second, and so sends us twenty blocks a second: 500 are left for it to send
        scene.copy_all_but_each(20);
    }
    exchange.by_tracker();
    Ok(())
}

/// The leecher takes two of the files, of which one shares pieces with a file that it does not take.
pub(crate) fn selected_files(cell: Cell) -> Ended {
    let scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    let mut exchange = Exchange::new(cell, &scene, HERE, HERE);
    exchange.files = Some(vec![0, 3]);
    exchange.by_tracker();
    // the other file's only whole pieces are those that it shares
    let other = std::fs::read(scene.copy().join("data").join(FILES[1].0)).unwrap_or_default();
    let source = std::fs::read(scene.source().join("data").join(FILES[1].0)).expect("the source");
    assert!(other != source, "what was not wanted was fetched");
    Ok(())
}
