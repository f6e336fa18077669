//! `chunkcast`: see [`chunkcast_bittorrent::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    chunkcast_bittorrent::cli::main()
}
