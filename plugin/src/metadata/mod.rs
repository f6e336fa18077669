//! .torrent files, magnet links, creation and checks of foreign metainfo: sans-IO.

mod layout;

pub use layout::{BLOCK, FileEntry, FileSlice, Layout};
