//! Memory that is there before anything is measured.
//!
//! A virtual machine gets memory that it has not used of late from its host when it first writes to it, and that takes
//! longer than the writing: whoever is measured first pays for all.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fault::Interrupt;

/// Memory that a peer takes beside its file, about. // measured: 25 to 170 MiB
const SPARE: u64 = 64 << 20;

/// Bytes written at a time.
const BLOCK: usize = 1 << 20;

/// Fills as much memory as `peers` with a file of `size` bytes each take, with a file in `dir`, and removes that.
///
/// # Errors
/// When the disk refuses, or after Ctrl-C.
pub(crate) fn warm(dir: &Path, size: u64, peers: u64, interrupt: &Interrupt) -> Result<()> {
    let path = dir.join("warm");
    let said = || format!("`{}`", path.display());
    let mut file = File::create(&path).with_context(said)?;
    let block = vec![0; BLOCK];
    for _ in 0..((size + SPARE) * peers).div_ceil(BLOCK as u64) {
        interrupt.check()?;
        file.write_all(&block).with_context(said)?;
    }
    drop(file);
    std::fs::remove_file(&path).with_context(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_to_warm_the_memory_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let interrupt = Interrupt::install().expect("signals can be caught");
        warm(dir.path(), 10, 1, &interrupt).expect("warm");
        let left = std::fs::read_dir(dir.path())
            .expect("the directory")
            .count();
        assert_eq!(left, 0);
        assert!(warm(&dir.path().join("none"), 10, 1, &interrupt).is_err());
    }
}
