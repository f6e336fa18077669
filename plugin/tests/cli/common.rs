//! How the tests of the program run it, and what they take from what it said.

use std::path::Path;
use std::process::{Command, Output};

use chunkcast_compat_tests::{chunkcast, command, shield};

/// Runs the program in this directory, which is its home too.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = command(dir);
    command.args(args).current_dir(dir);
    command.output().expect("chunkcast runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it printed, having done as it was told.
pub(crate) fn good(out: &Output) -> String {
    assert!(out.status.success(), "{}", stderr(out));
    text(&out.stdout)
}

pub(crate) fn stderr(out: &Output) -> String {
    text(&out.stderr)
}

/// The exit code, and the one line on standard error.
pub(crate) fn refused(out: &Output) -> (Option<i32>, String) {
    let err = stderr(out);
    assert_eq!(err.lines().count(), 1, "{err}");
    (out.status.code(), err)
}

/// Runs a script, in which `$CHUNKCAST` is the program, as root of a network namespace of its own that `setup`
/// prepares; `None`, with a line that says what is `skipped`, where that is forbidden.
pub(crate) fn in_namespace(dir: &Path, setup: &str, skipped: &str, script: &str) -> Option<Output> {
    let run = |script: &str| {
        shield(&mut Command::new("timeout"))
            .args(["120", "unshare", "--net", "--map-root-user"])
            .args(["sh", "-c", script])
            .env("CHUNKCAST", chunkcast())
            .current_dir(dir)
            .output()
    };
    if !run(setup).is_ok_and(|out| out.status.success()) {
        #[allow(clippy::print_stdout, reason = "says what is skipped")]
        {
            println!("SKIPPED: {skipped}: no network namespace can be made");
        }
        return None;
    }
    Some(run(&format!("{setup}; {script}")).expect("unshare ran before"))
}
