//! How exactly rate limits are kept: achieved against asked for, over loopback.
//!
//! `cargo run --release -p chunkcast-bittorrent --example rates -- wires` moves blocks over bare connections of one process,
//! `… sessions` whole torrents between sessions (a limited seed with 1 and 20 downloaders, a limited downloader with 1 and
//! 20 seeds). The last
//! column is the slowest connection's bytes in terms of the fastest one's.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and owns sockets"
)]

mod sessions;
mod wires;

use std::process::ExitCode;

use chunkcast_bittorrent::limits::{Rate, Rates};

/// Which way is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Down,
    Up,
}

impl Way {
    fn limit(self, bytes: u64) -> Rates {
        let rate = Some(Rate::new(bytes));
        match self {
            Self::Down => Rates {
                down: rate,
                up: None,
            },
            Self::Up => Rates {
                down: None,
                up: rate,
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// What was seen of one limit.
struct Row {
    /// Bytes on the wire in that time.
    bytes: u64,
    seconds: f64,
    /// The slowest connection's bytes in terms of the fastest one's.
    even: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (whole, only) = match words.as_slice() {
        ["wires", only @ ..] => (false, only),
        ["sessions", only @ ..] => (true, only),
        _ => {
            eprintln!("usage: rates wires|sessions [BYTES-A-SECOND CONNECTIONS]...");
            return ExitCode::from(2);
        }
    };
    let asked = |bytes: u64, count: u32| {
        let pair = [bytes.to_string(), count.to_string()];
        only.is_empty() || only.chunks(2).any(|o| o == pair)
    };
    println!(
        "| asked for, B/s | way | connections | achieved, B/s | ratio | least / most of a connection |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for (bytes, seconds) in [
        (16 << 10, if whole { 20.0 } else { 10.0 }),
        (1 << 20, 4.0),
        (100 << 20, 3.0),
        (1_000_000_000, 3.0),
    ] {
        let too_much = whole && bytes > 100 << 20;
        for count in [1, 20] {
            for way in [Way::Up, Way::Down] {
                // of whole torrents the largest are more than fits on the disk
                let skipped = too_much || whole && bytes > 1 << 20 && count > 1;
                if only.is_empty() && skipped || !asked(bytes, count) {
                    continue;
                }
                let row = match whole {
                    true => sessions::measure(way, bytes, count, seconds).await,
                    false => wires::measure(way, bytes, count, seconds).await,
                };
                let achieved = row.bytes as f64 / row.seconds;
                println!(
                    "| {bytes} | {} | {count} | {achieved:.0} | {:.3} | {:.2} |",
                    way.name(),
                    achieved / bytes as f64,
                    row.even
                );
            }
        }
    }
    ExitCode::SUCCESS
}
