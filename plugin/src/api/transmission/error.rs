//! Why a request has no success: the text of its `result`.

use crate::daemon::DaemonError;

/// Why a request has no success. Where Transmission says the same, it is said in its words: clients compare them.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    /// Not JSON, or too much of it.
    #[error("this is no JSON request: {0}")]
    Json(#[from] serde_json::Error),
    /// Transmission's words.
    #[error("{0}")]
    Said(&'static str),
    /// An argument is of another kind.
    #[error("the argument `{name}` must be {wanted}")]
    Argument {
        /// Its name.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// Only a start with other settings changes this.
    #[error(
        "`{0}` cannot be changed while the daemon runs; set it in the configuration file and restart the daemon"
    )]
    Fixed(&'static str),
    /// Nothing here does that.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
    /// The daemon says no.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

pub(super) const NO_METHOD: RpcError = RpcError::Said("no method name");
pub(super) const UNKNOWN_METHOD: RpcError = RpcError::Said("method name not recognized");
pub(super) const NO_FIELDS: RpcError = RpcError::Said("no fields specified");
pub(super) const NO_SOURCE: RpcError = RpcError::Said("no filename or metainfo specified");
pub(super) const NO_TORRENT: RpcError = RpcError::Said("invalid or corrupt torrent file");
pub(super) const DIR_NOT_ABSOLUTE: RpcError =
    RpcError::Said("download directory path is not absolute");
pub(super) const NO_LOCATION: RpcError = RpcError::Said("no location");
pub(super) const LOCATION_NOT_ABSOLUTE: RpcError =
    RpcError::Said("new location path is not absolute");
pub(super) const NO_PATH: RpcError = RpcError::Said("directory path argument is missing");
pub(super) const PATH_NOT_ABSOLUTE: RpcError = RpcError::Said("directory path is not absolute");
pub(super) const FILE_RANGE: RpcError = RpcError::Said("file index out of range");
pub(super) const LABEL_EMPTY: RpcError = RpcError::Said("labels cannot be empty");
pub(super) const LABEL_COMMA: RpcError =
    RpcError::Said("labels cannot contain comma (,) character");
pub(super) const LABEL_TWICE: RpcError = RpcError::Said("labels cannot contain duplicates");
pub(super) const ONE_TORRENT: RpcError = RpcError::Said("torrent-rename-path requires 1 torrent");
