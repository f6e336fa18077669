//! What the tests of the harness share.

use std::path::Path;
use std::process::{Command, Output};

use chunkcast_compat_tests::installed;

/// Whether networks can be built here; says so when they cannot.
pub(crate) fn allowed(skipped: &str) -> bool {
    use std::os::unix::fs::MetadataExt;
    if !installed("ip", skipped) || !installed("tc", skipped) {
        return false;
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let name = format!("nltest-{}", std::process::id());
    let ip = |word: &str| Command::new("ip").args(["netns", word, &name]).output();
    let able = root && ip("add").is_ok_and(|o| o.status.success());
    if able {
        let _ = ip("del");
    } else {
        println!("SKIPPED: {skipped}: network namespaces need root and must be allowed");
    }
    able
}

/// Both outputs.
pub(crate) fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// How many directories of harnesses are left in `dir`.
pub(crate) fn leftovers(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).expect("a directory").flatten();
    entries
        .filter(|e| e.file_name().to_string_lossy().starts_with("netlab-"))
        .count()
}
