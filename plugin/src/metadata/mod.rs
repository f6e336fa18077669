//! .torrent files, magnet links, creation and checks of foreign metainfo: sans-IO, but for the file walk of [`create()`].

mod assembly;
mod bencode;
mod create;
mod layout;
mod limits;
mod magnet;
mod metainfo;
mod names;
mod priority;
mod remarks;
mod selection;
mod trackers;
mod web_seeds;

pub use assembly::{
    AssemblyConfig, METADATA_PIECE, MetadataAssembly, Outcome, metadata_piece, metadata_pieces,
};
pub use bencode::BencodeError;
pub use create::{CreateError, CreateOptions, Created, create};
pub use layout::{BLOCK, FileEntry, FileSlice, Layout};
pub use limits::MetadataLimits;
pub(crate) use magnet::from_hex;
pub use magnet::{Magnet, MagnetError, PeerHint};
pub use metainfo::{Metainfo, MetainfoError};
pub use names::NameError;
pub use priority::{Priority, wanted_pieces};
pub use remarks::Remarks;
pub use selection::{FileSelection, SelectionError};
pub use trackers::usable_tracker;
