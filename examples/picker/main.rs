//! What a pick costs in an object of many chunks: a [`Client`](chunkcast::client::Client) with 32 neighbours through a
//! whole download (or upload), with every HAVE, every pick and every finished chunk.
//!
//! `cargo run --release -p chunkcast --example picker -- [--chunks N,N,…] [--scene crowd|sites|seed] [--seed N]`
//!
//! CPU time of the thread a chunk, and of that how much went to picks, to HAVEs and to the rest. The last column is the
//! ratio to the smallest object: about 1 where nothing is linear in the number of chunks.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod scene;

use std::io::{self, Write};
use std::process::ExitCode;

use scene::{Kind, Scene};

const USAGE: &str = "usage: picker [--chunks N,N,...] [--scene crowd|sites|seed] [--seed N]";

fn main() -> ExitCode {
    match Options::read(std::env::args().skip(1)).and_then(|o| report(&o)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("picker: {message}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    chunks: Vec<u32>,
    scenes: Vec<Kind>,
    seed: u64,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            chunks: vec![1_000, 10_000, 100_000, 400_000],
            scenes: Kind::ALL.to_vec(),
            seed: 1,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or(USAGE)?;
            let number = |text: &str| text.parse().map_err(|e| format!("{name}: {text}: {e}"));
            match name.as_str() {
                "--chunks" => {
                    options.chunks = value.split(',').map(number).collect::<Result<_, _>>()?
                }
                "--scene" => {
                    let named = |kind: &Kind| kind.name() == value;
                    let kind = Kind::ALL.into_iter().find(named);
                    options.scenes = vec![kind.ok_or_else(|| format!("--scene: no {value}"))?];
                }
                "--seed" => options.seed = number(&value)?.into(),
                _ => return Err(USAGE.to_owned()),
            }
        }
        if options.chunks.iter().any(|n| !(100..1 << 20).contains(n)) {
            return Err("--chunks: 100 up to 1048575".to_owned());
        }
        Ok(options)
    }
}

fn report(options: &Options) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(|e| e.to_string());
    say(format!(
        "{:<6} {:>8} {:>10} {:>8} {:>9} {:>11} {:>12} {:>8} {:>6}",
        "scene",
        "chunks",
        "CPU s",
        "CPU us",
        "of picks",
        "of HAVEs",
        "of the rest",
        "picks",
        "ratio"
    ))?;
    for kind in &options.scenes {
        let mut least = None;
        for chunks in &options.chunks {
            let cost = Scene::new(*kind, *chunks, options.seed).run()?;
            let each = cost.cpu.as_secs_f64() * 1e6 / f64::from(*chunks);
            let part = |d: std::time::Duration| d.as_secs_f64() * 1e6 / f64::from(*chunks);
            let base = *least.get_or_insert(each);
            say(format!(
                "{:<6} {chunks:>8} {:>10.3} {each:>8.2} {:>9.2} {:>11.2} {:>12.2} {:>8} {:>6.2}",
                kind.name(),
                cost.cpu.as_secs_f64(),
                part(cost.picks),
                part(cost.haves),
                part(cost.rest),
                cost.picked,
                each / base,
            ))?;
        }
    }
    Ok(())
}
