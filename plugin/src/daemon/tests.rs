//! What tests of the daemon's parts begin with.

use super::config::{Config, Places};
use super::model::Options;
use super::settings::Settings;
use crate::metadata::{FileEntry, Layout};

/// Options of which nothing was said.
pub(super) fn options() -> Options {
    Options::new("/downloads".into(), 50)
}

/// Settings without limits.
pub(super) fn settings() -> Settings {
    Config::defaults(&Places::of_system()).settings
}

/// A torrent of these files, of a byte each.
pub(super) fn layout(paths: &[&str]) -> Layout {
    let files = paths.iter().zip(0..).map(|(path, offset)| FileEntry {
        path: path.into(),
        length: 1,
        offset,
        padding: false,
        executable: false,
    });
    let files: Vec<FileEntry> = files.collect();
    Layout {
        name: "t".into(),
        piece_length: 16 << 10,
        total_length: files.len() as u64,
        files,
        hashes: vec![0; 20].into(),
    }
}
