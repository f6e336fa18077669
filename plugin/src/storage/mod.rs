//! The verified piece store of one torrent: its pieces in its files, on disk (BEP 3, BEP 47).
//!
//! Blocks of a piece are collected in memory ([`PieceBuffers`], no copy). A complete piece is hashed and written by one
//! blocking job ([`Storage::finish_piece`]), so bytes that were not verified never reach the disk, and nobody reads a
//! piece before it is verified and written. What is already on disk at the start is hashed once
//! ([`Storage::check_existing`]), but for what a [`Resume`] of an earlier run vouches for ([`Storage::save_point`]): the data
//! is the truth, and whatever may have changed is looked at. A process that is killed loses nothing that was written, since
//! the kernel holds it; only a power cut before [`Storage::finalize`] can.
//!
//! Nothing here waits for space or tries again: a piece that the disk refuses comes back ([`PieceResult::Disk`]), and
//! whoever gave it keeps its blocks and gives it again when [`Storage::free_space`] says that there is room.
//!
//! Decisions:
//! - A file appears with its final length at its first write, as a sparse file: `ls` shows the full size at once,
//!   `du` what is there. Its directories appear with it. Empty files appear in [`Storage::finalize`].
//! - Padding files (BEP 47) are never opened: their bytes are zeros. A piece that hashes right with other bytes in a
//!   padding range cannot be stored, and says so ([`StorageError::Padding`]).
//! - An existing file of the right size or shorter is reused, and what does not verify in it is overwritten. A longer
//!   one is somebody else's data: [`Storage::open`] refuses it rather than truncating or seeding it.
//! - Nothing outside the root is opened: components are checked one by one, symlinks that stay inside are followed,
//!   those that lead out are refused. The root itself may be a symlink, because the user named it. Someone who swaps
//!   directories for symlinks while the program runs already writes as the user; against that there is no defence here.
//! - Two files of a torrent that are one file on disk (a hard link, a symlink, a case-folding file system) are refused
//!   at the first write, because each would overwrite the other's verified bytes.
//! - Pieces are not synced one by one. [`Storage::finalize`] syncs every file and directory, once.
//!
//! The paper leaves storage to the application; nothing here comes from it.

mod buffers;
mod check;
mod config;
mod error;
mod files;
mod finalize;
mod open;
mod pieces;
mod resume;
mod store;
mod tree;

pub use buffers::{PieceBuffers, Stored};
pub use check::Look;
pub use config::{StorageConfig, WriteHook};
pub use error::StorageError;
pub(crate) use finalize::sync_directory;
pub use open::OpenFiles;
pub use resume::{FileStamp, Resume};
pub use store::{Mode, PieceResult, Storage, StorageStats, Target};
