//! What can be measured.

pub(crate) mod crowd;
pub(crate) mod idle;
pub(crate) mod loopback;
pub(crate) mod many;
mod standing;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::Common;
use crate::engine::{Chunkcast, Directory, Engine};

/// Measured, and some peer did not get the file.
const INCOMPLETE: u8 = 5;

/// How clients are started; with `no_pex` stock ones do not exchange peers.
fn chunkcast(args: &Common, directory: Directory, no_pex: bool) -> Chunkcast {
    Chunkcast {
        program: args.chunkcast.clone().unwrap_or_else(beside),
        words: args.chunkcast_arg.clone(),
        directory,
        no_pex,
    }
}

/// The version of each engine, once.
fn versions(engines: &[Engine], chunkcast: &Chunkcast) -> Result<Vec<(Engine, String)>> {
    let mut versions: Vec<(Engine, String)> = Vec::new();
    for engine in engines {
        if versions.iter().all(|(known, _)| known != engine) {
            versions.push((*engine, engine.version(chunkcast)?));
        }
    }
    Ok(versions)
}

/// `chunkcast` in this program's directory, or else in PATH.
fn beside() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let found = exe.with_file_name("chunkcast");
    if found.is_file() {
        found
    } else {
        PathBuf::from("chunkcast")
    }
}

fn tell_versions(versions: &[(Engine, String)]) {
    for (engine, version) in versions {
        tell(&format!("netlab: {engine} is {version}"));
    }
}

/// What the program ends with when so many downloaders have failed.
fn exit_code(failures: usize) -> ExitCode {
    if failures > 0 {
        return INCOMPLETE.into();
    }
    ExitCode::SUCCESS
}

/// Onto standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

/// Onto standard error, where nobody may be listening.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
