//! How fast SHA-1 is here: the implementation that the client uses beside the one in aws-lc, which librqbit's wrapper
//! chooses. `cargo run --release -p chunkcast-bittorrent --example hash`

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

use std::time::Instant;

use sha1::{Digest, Sha1};

const PIECE: usize = 1 << 20;
const PIECES: u32 = 512;
const BLOCK: usize = 16 << 10;

fn measure(what: &str, hash: impl Fn(&[u8]) -> [u8; 20], piece: &[u8]) {
    let rate = |_| {
        let begin = Instant::now();
        for _ in 0..PIECES {
            std::hint::black_box(hash(std::hint::black_box(piece)));
        }
        f64::from(PIECES) * piece.len() as f64 / begin.elapsed().as_secs_f64() / 1e6
    };
    let mut rates: Vec<f64> = (0..5).map(rate).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{what:32} {:5.0} MB/s ({:.0} to {:.0})",
        rates[2], rates[0], rates[4]
    );
}

fn main() {
    let piece: Vec<u8> = (0..PIECE)
        .map(|i| (i * 31 % 251).to_le_bytes()[0])
        .collect();
    let ours = |data: &[u8]| -> [u8; 20] { Sha1::digest(data).into() };
    let in_blocks = |data: &[u8]| -> [u8; 20] {
        let mut sha = Sha1::new();
        data.chunks(BLOCK).for_each(|block| sha.update(block));
        sha.finalize().into()
    };
    let theirs = |data: &[u8]| -> [u8; 20] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, data);
        digest.as_ref().try_into().expect("SHA-1 has 20 bytes")
    };
    let theirs_in_blocks = |data: &[u8]| -> [u8; 20] {
        let mut sha = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
        data.chunks(BLOCK).for_each(|block| sha.update(block));
        sha.finish()
            .as_ref()
            .try_into()
            .expect("SHA-1 has 20 bytes")
    };
    assert_eq!(ours(&piece), theirs(&piece));
    for _ in 0..2 {
        measure("sha1, a piece of 1 MiB", ours, &piece);
        measure("sha1, in blocks of 16 KiB", in_blocks, &piece);
        measure("aws-lc, a piece of 1 MiB", theirs, &piece);
        measure("aws-lc, in blocks of 16 KiB", theirs_in_blocks, &piece);
    }
}
