//! The flags for rate limits and budgets; shared by `get` and `seed`.

use clap::Args;

use super::exit::{Code, Failure};
use crate::limits::{LOCAL_RTT, LimitsConfig, Rate, Rates, raise_descriptors};

/// Rate limits and budgets.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct BudgetArgs {
    /// Download at most this much a second, all torrents together: 500KiB, 2.5MB/s, 20Mbit/s … [default: no limit]
    #[arg(long, value_name = "RATE")]
    max_download: Option<Rate>,
    /// Upload at most this much a second, all torrents together [default: no limit]
    #[arg(long, value_name = "RATE")]
    max_upload: Option<Rate>,
    /// Download at most this much a second of each torrent [default: no limit]
    #[arg(long, value_name = "RATE")]
    max_download_each: Option<Rate>,
    /// Upload at most this much a second of each torrent [default: no limit]
    #[arg(long, value_name = "RATE")]
    max_upload_each: Option<Rate>,
    /// The rates above do not hold for peers on the local network: those with a measured round-trip time of 3 ms or less.
    #[arg(long)]
    exempt_local: bool,
    /// Connections to peers at a time, all torrents together.
    #[arg(long, value_name = "N", default_value_t = LimitsConfig::default().connections)]
    max_connections: usize,
    /// Attempts to connect at a time.
    #[arg(long, value_name = "N", default_value_t = LimitsConfig::default().half_open)]
    max_half_open: usize,
    /// Files open at a time, at least 32.
    #[arg(long, value_name = "N", default_value_t = LimitsConfig::default().open_files)]
    max_open_files: usize,
    /// Pieces hashed and written at a time.
    #[arg(long, value_name = "N", default_value_t = LimitsConfig::default().hash_jobs)]
    max_hash_jobs: usize,
    /// Questions to the directory a second.
    #[arg(long, value_name = "N", default_value_t = LimitsConfig::default().lookups)]
    max_lookups: u32,
}

impl BudgetArgs {
    /// What was asked for.
    ///
    /// # Errors
    /// Code 2 for what makes no sense.
    pub(super) fn limits(&self) -> Result<LimitsConfig, Failure> {
        let limits = LimitsConfig {
            connections: self.max_connections,
            half_open: self.max_half_open,
            open_files: self.max_open_files,
            hash_jobs: self.max_hash_jobs,
            lookups: self.max_lookups,
            rates: Rates {
                down: self.max_download,
                up: self.max_upload,
            },
            torrent_rates: Rates {
                down: self.max_download_each,
                up: self.max_upload_each,
            },
            exempt_rtt: self.exempt_local.then_some(LOCAL_RTT),
            ..LimitsConfig::default()
        };
        // the flags are called as the fields
        limits.validate().map_err(|e| {
            let flag = e.split(' ').next().unwrap_or(e).replace('_', "-");
            let rule = e.split_once(' ').map_or("", |(_, rule)| rule);
            Failure::new(Code::Usage, format!("--max-{flag} {rule}"))
        })?;
        Ok(limits)
    }

    /// The same with as many file descriptors as the system lets this process have; and what to tell the user if these are
    /// too few.
    ///
    /// # Errors
    /// Code 2 for what makes no sense.
    pub(super) fn fitted(&self) -> Result<(LimitsConfig, Option<String>), Failure> {
        let mut limits = self.limits()?;
        let lowered = limits.fit(raise_descriptors(limits.descriptors()));
        Ok((limits, lowered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        budgets: BudgetArgs,
    }

    fn read(line: &str) -> Result<LimitsConfig, String> {
        let words = std::iter::once("chunkcast").chain(line.split(' ').filter(|w| !w.is_empty()));
        let line = Line::try_parse_from(words).map_err(|e| e.to_string())?;
        line.budgets.limits().map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(read(""), Ok(LimitsConfig::default()));
    }

    #[test]
    fn every_flag_has_its_place() {
        let limits = read(
            "--max-download 2.5MiB/s --max-upload 1MB --max-download-each 16KiB/s --max-upload-each 20Mbit/s \
             --exempt-local --max-connections 1 --max-half-open 2 --max-open-files 33 --max-hash-jobs 4 --max-lookups 5",
        );
        let expected = LimitsConfig {
            connections: 1,
            half_open: 2,
            open_files: 33,
            hash_jobs: 4,
            lookups: 5,
            rates: Rates {
                down: Some(Rate::new(5 << 19)),
                up: Some(Rate::new(1_000_000)),
            },
            torrent_rates: Rates {
                down: Some(Rate::new(16 << 10)),
                up: Some(Rate::new(2_500_000)),
            },
            exempt_rtt: Some(LOCAL_RTT),
            ..LimitsConfig::default()
        };
        assert_eq!(limits, Ok(expected));
    }

    #[test]
    fn what_makes_no_sense_names_the_flag() {
        for (line, flag) in [
            ("--max-connections 0", "--max-connections must be"),
            ("--max-half-open 0", "--max-half-open must be"),
            ("--max-open-files 7", "--max-open-files must be"),
            ("--max-hash-jobs 0", "--max-hash-jobs must be"),
            ("--max-lookups 0", "--max-lookups must be"),
            ("--max-upload 20Mb", "20Mbit"),
            ("--max-upload 0", "leave the option out"),
            ("--max-download fast", "--max-download"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.contains(flag), "{line}: {error}");
        }
    }
}
