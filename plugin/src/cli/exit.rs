//! How a command ends: one line for the user and a documented exit code.

use std::fmt;

use super::output::printable;

/// The exit codes of the program, as documented in README.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// Anything that has no code of its own.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No metadata, or no peers, in time.
    NotFound = 3,
    /// The network: a port in use, a name that does not resolve, a fetch that failed.
    Network = 4,
    /// The disk: unreadable, not writable, other data in the way. A full one pauses the download.
    Disk = 6,
    /// Interrupted with unfinished work; what is done is kept and reused.
    Interrupted = 7,
    /// A .torrent file or magnet link that cannot be used.
    BadTorrent = 8,
}

/// A command that failed: what to print and how to exit.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub code: Code,
    /// One line that names the thing and the way out.
    pub message: String,
    /// It has been printed already, while other torrents went on.
    pub told: bool,
}

impl Failure {
    /// A failure with this code and line; line breaks become spaces, other control characters are escaped.
    pub(super) fn new(code: Code, message: impl fmt::Display) -> Self {
        let message = message
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            code,
            message: printable(&message).into_owned(),
            told: false,
        }
    }

    /// What Ctrl-C, SIGTERM or the end of standard input cut short.
    pub(super) fn interrupted(what: &str) -> Self {
        Self::new(Code::Interrupted, format!("interrupted {what}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
