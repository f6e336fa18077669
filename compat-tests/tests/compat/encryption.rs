//! Stock clients that refuse plaintext peers (MSE).

use chunkcast_compat_tests::scene::{Made, Scene};
use chunkcast_compat_tests::stock::At;

use crate::cell::{Cell, Ended, Exchange, NO_TRACKER};

const HERE: At<'static> = At::Loopback;

fn exchange(cell: Cell, flags: &[&str]) -> Ended {
    let scene = Scene::new(HERE, Made::ByUs).ok_or(NO_TRACKER)?;
    let mut exchange = Exchange::new(cell, &scene, HERE, HERE);
    exchange.them.require_encryption = true;
    exchange.with(flags);
    exchange.by_tracker();
    Ok(())
}

/// Ours has its default setting.
pub(crate) fn theirs(cell: Cell) -> Ended {
    exchange(cell, &[])
}

/// So does ours.
pub(crate) fn both(cell: Cell) -> Ended {
    exchange(cell, &["--encryption", "require"])
}
