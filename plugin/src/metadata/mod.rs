//! .torrent files, magnet links, creation and checks of foreign metainfo: sans-IO.

mod layout;
mod metainfo;

pub use layout::{BLOCK, FileEntry, FileSlice, Layout};
pub use metainfo::Metainfo;
