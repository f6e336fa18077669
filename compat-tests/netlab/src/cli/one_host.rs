//! The scenes on one machine, without a network between.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Common, no_twins, none_near, piece_fits};
use crate::engine::{Daemon, Engine};
use crate::units::{duration, size};

/// Downloaders of `many` have addresses in 10.77.1.0 and up, 250 in each 256.
const MAX_LEECHERS: usize = 1000;

/// Torrents of `idle`.
const MAX_TORRENTS: usize = 100_000;

/// Arguments of `loopback`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoopbackArgs {
    /// Who runs, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "chunkcast,libtorrent,aria2,transmission"
    )]
    pub(crate) engines: Vec<Engine>,
    /// Length of the file.
    #[arg(long, value_parser = size, default_value = "1GiB")]
    pub(crate) size: u64,
    /// Length of a piece.
    #[arg(long, value_parser = size, default_value = "1MiB")]
    pub(crate) piece: u64,
    /// The stock clients may use uTP as well, which some prefer to TCP: without this, all are measured over TCP.
    #[arg(long)]
    pub(crate) utp: bool,
    /// What all scenes have.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `many`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ManyArgs {
    /// Who seeds, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "chunkcast,libtorrent,aria2,transmission"
    )]
    pub(crate) engines: Vec<Engine>,
    /// Downloaders.
    #[arg(long, default_value_t = 200)]
    pub(crate) n: usize,
    /// Length of the file, which every one of them gets from the seed.
    #[arg(long, value_parser = size, default_value = "4MiB")]
    pub(crate) size: u64,
    /// Length of a piece.
    #[arg(long, value_parser = size, default_value = "256KiB")]
    pub(crate) piece: u64,
    /// The seed's memory is held against it.
    #[arg(long, value_parser = size, default_value = "128MiB")]
    pub(crate) budget: u64,
    /// What all scenes have.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `idle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct IdleArgs {
    /// Who runs, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "chunkcast,transmission"
    )]
    pub(crate) daemons: Vec<Daemon>,
    /// Torrents, each of one file of zeros.
    #[arg(long, default_value_t = 1000)]
    pub(crate) torrents: usize,
    /// Length of each file.
    #[arg(long, value_parser = size, default_value = "16MiB")]
    pub(crate) size: u64,
    /// Length of a piece.
    #[arg(long, value_parser = size, default_value = "16KiB")]
    pub(crate) piece: u64,
    /// Time for which nothing is measured after the second start.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub(crate) settle: Duration,
    /// Time that is measured.
    #[arg(long, value_parser = duration, default_value = "120s")]
    pub(crate) span: Duration,
    /// What all scenes have.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `leech`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LeechArgs {
    /// Whom to download from.
    #[arg(long)]
    pub(crate) from: SocketAddrV4,
    /// The first downloader's own address; those of the others follow.
    #[arg(long)]
    pub(crate) first: Ipv4Addr,
    /// Downloaders.
    #[arg(long)]
    pub(crate) n: usize,
    /// In hexadecimal.
    #[arg(long)]
    pub(crate) infohash: String,
    /// A file with the hashes of all pieces, 20 bytes each.
    #[arg(long)]
    pub(crate) hashes: PathBuf,
    /// Length of the file.
    #[arg(long)]
    pub(crate) size: u64,
    /// Length of a piece.
    #[arg(long)]
    pub(crate) piece: u64,
    /// Who is not done by then has failed.
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Duration,
}

impl LoopbackArgs {
    /// Whether everything fits.
    ///
    /// # Errors
    /// A line that says what does not.
    pub(crate) fn validate(&self) -> Result<(), String> {
        piece_fits(self.piece)?;
        none_near("--engines", &self.engines)?;
        no_twins("--engines", &self.engines)
    }
}

impl IdleArgs {
    /// Whether everything fits.
    ///
    /// # Errors
    /// A line that says what does not.
    pub(crate) fn validate(&self) -> Result<(), String> {
        piece_fits(self.piece)?;
        no_twins("--daemons", &self.daemons)?;
        if !(1..=MAX_TORRENTS).contains(&self.torrents) {
            let n = self.torrents;
            return Err(format!(
                "--torrents is {n}; it goes from 1 to {MAX_TORRENTS}"
            ));
        }
        if self.size == 0 {
            return Err("--size is 0; it is at least 1".to_owned());
        }
        Ok(())
    }
}

impl ManyArgs {
    /// Whether everything fits.
    ///
    /// # Errors
    /// A line that says what does not.
    pub(crate) fn validate(&self) -> Result<(), String> {
        piece_fits(self.piece)?;
        none_near("--engines", &self.engines)?;
        no_twins("--engines", &self.engines)?;
        if !(1..=MAX_LEECHERS).contains(&self.n) {
            return Err(format!(
                "--n is {}; it goes from 1 to {MAX_LEECHERS}",
                self.n
            ));
        }
        // every downloader holds the pieces that it has begun
        if self.size > 1 << 30 {
            return Err(format!("--size is {}; it goes up to 1GiB", self.size));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let refused = |words: &str| {
            let words = ["netlab"].into_iter().chain(words.split(' '));
            let valid = match Cli::try_parse_from(words).expect("parses").command {
                Command::Loopback(args) => args.validate(),
                Command::Many(args) => args.validate(),
                Command::Idle(args) => args.validate(),
                other => panic!("{other:?}"),
            };
            valid.err()
        };
        for words in ["loopback", "many", "idle"] {
            assert_eq!(refused(words), None);
        }
        for (words, flag) in [
            ("loopback --piece 100000", "--piece"),
            ("loopback --engines aria2,aria2", "--engines"),
            ("many --engines aria2,aria2", "--engines"),
            ("many --n 0", "--n"),
            ("many --size 2GiB", "--size"),
            ("idle --daemons chunkcast,chunkcast", "--daemons"),
            ("idle --torrents 0", "--torrents"),
            ("idle --piece 100000", "--piece"),
        ] {
            let line = refused(words).unwrap_or_else(|| panic!("`{words}` is taken"));
            assert!(line.starts_with(flag), "{words}: {line}");
        }
    }
}
