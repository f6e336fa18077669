//! libtorrent-rasterbar, through its Python module.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use super::{Seat, Sign, first_line};

/// The interpreter itself: pyenv's `python3` is a script, which would cost every peer a tenth of a second.
fn interpreter() -> &'static PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let words = ["-c", "import sys; print(sys.executable)"];
        first_line("python3", &words, "").map_or_else(|_| "python3".into(), PathBuf::from)
    })
}

pub(super) fn version() -> Result<String> {
    let program = "import libtorrent; print('libtorrent', libtorrent.__version__)";
    first_line(
        "python3",
        &["-c", program],
        "python3 -m pip install libtorrent",
    )
}

pub(super) fn prepare(seat: &Seat<'_>) -> (Command, Sign) {
    let mut command = seat.command(interpreter());
    command
        // pip's module may be the user's own
        .envs(std::env::var_os("HOME").map(|home| ("HOME", home)))
        .args(["-W", "ignore", "-c", include_str!("libtorrent.py")])
        .arg(seat.torrent())
        .arg(seat.data())
        .arg(
            seat.port()
                .map_or_else(|| "-".to_owned(), |port| format!("0.0.0.0:{port}")),
        )
        .args(seat.tcp_only.then_some("tcp"))
        .args(seat.chunkcast.no_pex.then_some("nopex"));
    (command, seat.in_log("netlab: has everything"))
}
