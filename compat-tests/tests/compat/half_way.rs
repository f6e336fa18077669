//! The leecher ends half-way and starts again.

use chunkcast_compat_tests::matrix::Role;
use chunkcast_compat_tests::scene::{DEADLINE, FILES, Made, Scene};
use chunkcast_compat_tests::stock::{At, Client, OFF};
use chunkcast_compat_tests::{Proc, wait_for};

use crate::cell::{Cell, Ended, Exchange, NO_TRACKER};

const HERE: At<'static> = At::Loopback;

/// So slow that there is time to end it half-way.
const SLOW: &str = "500KiB/s";

/// What is there before the end, at least, in bytes.
const HALF: u64 = 1_200_000;

fn last(proc: &Proc, what: &str) -> u64 {
    let progress = proc.events("progress");
    progress.last().and_then(|p| p[what].as_u64()).unwrap_or(0)
}

fn total() -> u64 {
    FILES.iter().map(|(_, len)| *len as u64).sum()
}

pub(crate) fn resume(cell: Cell) -> Ended {
    let scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    let exchange = Exchange::new(cell, &scene, HERE, HERE);
    match cell.role {
        Role::Seeds => ours(&exchange),
        Role::Leeches => theirs(exchange),
    }
    Ok(())
}

/// Ours is killed.
fn ours(exchange: &Exchange<'_>) {
    let scene = exchange.scene;
    let _seed = exchange.start_them();
    scene.announced(1, 0);
    let slow = [&OFF[..], &["--max-download", SLOW]].concat();
    let mut first = scene.we_start_getting(HERE, &exchange.source, &slow);
    let kept = wait_for("a part is verified", DEADLINE, || {
        Some(last(&first, "verified_bytes")).filter(|v| *v >= HALF)
    });
    first.kill();
    assert_eq!(first.events("complete").len(), 0, "killed half-way");
    let second = exchange.we_get();
    let done = &second.events("complete")[0];
    let number = |name: &str| done[name].as_u64().expect("a number");
    let (downloaded, wasted) = (number("downloaded"), number("wasted"));
    assert!(
        downloaded - wasted <= total() - kept,
        "{downloaded} bytes, though {kept} were there"
    );
    assert!(downloaded > 0, "something was missing");
}

/// The stock client is told to end: what each would have written down before a SIGKILL is its own affair.
fn theirs(mut exchange: Exchange<'_>) {
    exchange.with(&["--max-upload", SLOW]);
    let scene = exchange.scene;
    let they_dial = exchange.cell.client != Client::Transmission;
    let mut them;
    let mut seed;
    if they_dial {
        seed = exchange.start_our_seed();
        scene.announced(1, 0);
        them = exchange.start_them();
    } else {
        them = exchange.start_them();
        scene.announced(0, 1);
        seed = exchange.start_our_seed();
    }
    let sent = wait_for("a part is sent", DEADLINE, || {
        Some(last(&seed, "uploaded")).filter(|v| *v >= HALF)
    });
    them.stop();
    assert!(!scene.is_equal(&scene.copy(), None), "ended half-way");
    // it says goodbye to the tracker; a client that did not is none of the matter
    seed.terminate();
    seed.wait(DEADLINE);
    exchange.flags.truncate(OFF.len());
    let mut again;
    if they_dial {
        again = exchange.start_our_seed();
        scene.seed_announced();
        them = exchange.start_them();
    } else {
        them = exchange.start_them();
        again = exchange.start_our_seed();
    }
    exchange.arrived(&them);
    again.terminate();
    again.wait(DEADLINE);
    let more = last(&again, "uploaded");
    // what was sent and belonged to no complete piece may come again
    let again = total() - sent + HALF / 2;
    assert!(
        more > 0 && more <= again,
        "{more} bytes were sent after {sent}"
    );
}
