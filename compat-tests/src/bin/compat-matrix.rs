//! Writes `docs/compat.md` from what the last run of the compatibility tests has written down, or compares the two.
//!
//! `compat-matrix [--check] [RESULTS]`, in the workspace's directory. With `--check` nothing is written; it fails when a
//! cell fails that did not in the document. `--clear` removes the results, before a run.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, bail};
use chunkcast_compat_tests::matrix::Matrix;

const DOCUMENT: &str = "docs/compat.md";

fn main() -> anyhow::Result<()> {
    let mut flag = None;
    let mut results = None;
    for argument in env::args().skip(1) {
        if argument.starts_with("--") {
            flag = Some(argument);
        } else {
            results = Some(PathBuf::from(argument));
        }
    }
    let results = match results {
        Some(results) => results,
        None => beside_the_build()?,
    };
    match flag.as_deref() {
        None => write(&results),
        Some("--check") => check(&results),
        Some("--clear") => {
            if results.exists() {
                fs::remove_dir_all(&results)?;
            }
            Ok(())
        }
        Some(other) => bail!("unknown flag {other}: --check, --clear, or none"),
    }
}

/// Where cargo has the tests write: `CARGO_TARGET_TMPDIR`, which only they are told.
fn beside_the_build() -> anyhow::Result<PathBuf> {
    let exe = env::current_exe()?;
    let target = exe
        .ancestors()
        .nth(2)
        .context("target/debug/compat-matrix")?;
    Ok(target.join("tmp/compat"))
}

fn read(results: &Path) -> anyhow::Result<Matrix> {
    Matrix::read(results).with_context(|| format!("results in {}", results.display()))
}

fn write(results: &Path) -> anyhow::Result<()> {
    fs::write(DOCUMENT, read(results)?.render())?;
    println!("{DOCUMENT} is written");
    Ok(())
}

fn check(results: &Path) -> anyhow::Result<()> {
    let document = fs::read_to_string(DOCUMENT).with_context(|| DOCUMENT.to_owned())?;
    let found = read(results)?.differences(&document);
    if found.lines.is_empty() {
        println!("{DOCUMENT} says what was found");
    }
    for line in &found.lines {
        println!("differs from {DOCUMENT}: {line}");
    }
    if found.worse {
        bail!("what {DOCUMENT} says works fails now");
    }
    Ok(())
}
