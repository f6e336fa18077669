//! Data that was there and is gone: a disk that is not mounted must not be taken for an empty one.

use std::fs;
use std::io;
use std::path::Path;

use crate::metadata::Layout;
use crate::storage::Resume;

/// A line about files below `dir` that held verified pieces and are gone. Blocking.
pub(super) fn line(layout: &Layout, resume: &Resume, dir: &Path) -> Option<String> {
    let held = &resume.held;
    let holds = |file: usize| layout.pieces_of_file(file).any(|p| held.contains(p));
    let gone = |file: usize| {
        let path = dir.join(&layout.files[file].path);
        fs::metadata(path).is_err_and(|e| {
            matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            )
        })
    };
    let files = &layout.files;
    let missing: Vec<usize> = (0..files.len())
        .filter(|f| !files[*f].padding && holds(*f) && gone(*f))
        .collect();
    let first = dir.join(&files[*missing.first()?].path);
    let others = match missing.len() {
        1 => String::new(),
        n => format!(" and {} other files", n - 1),
    };
    let (count, all) = (held.count(), held.len());
    Some(format!(
        "{first:?}{others} are gone, with data that was verified ({count} of {all} pieces in all): mount the disk or say where the data \
         is now; if it is lost, start the torrent again to fetch it anew"
    ))
}
