//! How long chunk sets take to write and to read: `cargo run --release --example bits`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "prints what it measures by the clock"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use chunkcast::chunks::ChunkSet;
use chunkcast::wire::{Summary, decode_bits, decode_delta, encode_bits, encode_delta};

/// Chunks of the largest window in a published entry.
const WINDOW: u32 = 4096;

/// Nanoseconds a call: the fastest of twenty rounds of a few milliseconds.
fn time<T>(mut call: impl FnMut() -> T) -> u128 {
    let mut calls = 1u32;
    loop {
        let begin = Instant::now();
        (0..calls).for_each(|_| drop(black_box(call())));
        if begin.elapsed() > Duration::from_millis(3) {
            break;
        }
        calls *= 2;
    }
    let round = |_| {
        let begin = Instant::now();
        (0..calls).for_each(|_| drop(black_box(call())));
        begin.elapsed().as_nanos() / u128::from(calls)
    };
    (0..20).map(round).min().unwrap_or_default()
}

/// The chunks whose hash is below `percent` of the hashes.
fn scattered(len: u32, percent: u64) -> ChunkSet {
    let hash = |i: u32| u64::from(i.wrapping_add(1).wrapping_mul(2_654_435_761).rotate_left(9) ^ i);
    let below =
        |i: &u32| (hash(*i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * 100 < percent << 32;
    ChunkSet::from_indices(len, (0..len).filter(below))
}

fn main() {
    println!(
        "{:<34} {:>6} {:>9} {:>9}",
        "", "bytes", "write ns", "read ns"
    );
    let report = |name: &str, bytes: usize, write: u128, read: u128| {
        println!("{name:<34} {bytes:>6} {write:>9} {read:>9}");
    };
    let set = |name: &str, set: ChunkSet| {
        let bytes = encode_bits(&set);
        let read = || decode_bits(0, set.len(), black_box(&bytes), set.len());
        report(
            name,
            bytes.len(),
            time(|| encode_bits(black_box(&set))),
            time(read),
        );
    };
    set("full window", ChunkSet::full(WINDOW));
    set("sequential window", ChunkSet::from_indices(WINDOW, 0..1500));
    for percent in [1, 5, 10, 20, 30, 50, 80, 99] {
        set(
            &format!("random window, {percent} % held"),
            scattered(WINDOW, percent),
        );
    }
    set("1,048,576 chunks, 1 % held", scattered(1 << 20, 1));
    set("1,048,576 chunks, 50 % held", scattered(1 << 20, 50));

    let base = scattered(10_000, 50);
    let mut now = base.clone();
    base.iter_missing().step_by(100).for_each(|chunk| {
        now.insert(chunk);
    });
    let bytes = encode_delta(&base, &now);
    report(
        &format!("delta of {} in 10,000 chunks", now.count() - base.count()),
        bytes.len(),
        time(|| encode_delta(black_box(&base), black_box(&now))),
        time(|| decode_delta(black_box(&base), black_box(&bytes), 10_000)),
    );
    let held = scattered(100_000, 1);
    let bytes = Summary::of(&held).encode();
    report(
        "summary of 100,000 chunks, 1 %",
        bytes.len(),
        time(|| Summary::of(black_box(&held)).encode()),
        time(|| Summary::decode(100_000, black_box(&bytes))),
    );
}
