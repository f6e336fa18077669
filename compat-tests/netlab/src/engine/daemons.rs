//! The clients that run as daemons, alike: on loopback, without the Internet, spoken to with `transmission-remote`.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;

use super::{Chunkcast, chunkcast};
use crate::lab::Lab;
use crate::ns::{Ns, output};

/// Where the daemon under test is spoken to.
const RPC_PORT: u16 = 9091;
/// Where it listens for peers.
const PEER_PORT: u16 = 51413;

/// A client that can run as a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Daemon {
    /// `chunkcast daemon`.
    Chunkcast,
    /// `transmission-daemon`.
    Transmission,
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chunkcast => "chunkcast",
            Self::Transmission => "transmission",
        })
    }
}

impl Daemon {
    /// What it calls itself.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn version(self, program: &Chunkcast) -> Result<String> {
        match self {
            Self::Chunkcast => chunkcast::version(program),
            Self::Transmission => super::transmission::version(),
        }
    }

    /// Its command: data in `data`, everything else that it keeps in `home`.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub(crate) fn command(
        self,
        ns: &Ns,
        home: &Path,
        data: &Path,
        program: &Chunkcast,
    ) -> Result<Command> {
        std::fs::create_dir_all(home)?;
        let mut command = match self {
            Self::Chunkcast => {
                let (config, ip) = (home.join("config.toml"), Lab::gateway_ip(0));
                let text = format!(
                    "[paths]\ndownload-dir = {data:?}\nstate-dir = {:?}\n\n[network]\nlisten = \"{ip}:{PEER_PORT}\"\n\
                     index-listen = \"{ip}:4241\"\nbootstrap = [\"{ip}:{}\"]\ntrackers = false\ndht = false\n\
                     rendezvous = false\nlan = false\nlsd = false\nupnp = false\n\n[api]\nlisten = \"127.0.0.1:{RPC_PORT}\"\n",
                    home.join("state"),
                    chunkcast::INDEX_PORT,
                );
                std::fs::write(&config, text)?;
                let mut command = ns.command(&program.program);
                command.args(["daemon", "--config"]).arg(config);
                command.args(&program.words);
                command
            }
            Self::Transmission => {
                let settings = json!({
                    "dht-enabled": false,
                    "lpd-enabled": false,
                    "port-forwarding-enabled": false,
                    "peer-port": PEER_PORT,
                    "rpc-port": RPC_PORT,
                    "bind-address-ipv4": Lab::gateway_ip(0),
                });
                std::fs::write(home.join("settings.json"), settings.to_string())?;
                let mut command = ns.command("transmission-daemon");
                command
                    .args(["--foreground", "--config-dir"])
                    .arg(home)
                    .arg("--download-dir")
                    .arg(data);
                command
            }
        };
        command.env("HOME", home).current_dir(home);
        Ok(command)
    }
}

/// `transmission-remote`, which both speak with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote<'a>(pub(crate) &'a Ns);

impl Remote<'_> {
    fn ask<W: AsRef<OsStr>>(&self, words: &[W]) -> Result<String> {
        let mut command = self.0.command("transmission-remote");
        command.arg(format!("127.0.0.1:{RPC_PORT}"));
        output(command.args(words)).context(
            "transmission-remote fails; is it installed (apt-get install transmission-cli)?",
        )
    }

    /// Adds a .torrent file.
    ///
    /// # Errors
    /// With what the daemon has said.
    pub(crate) fn add(&self, file: &Path) -> Result<()> {
        self.ask(&[OsStr::new("-a"), file.as_os_str()]).map(|_| ())
    }

    /// How many torrents have all of their data and are seeded; `None` while nobody answers.
    pub(crate) fn seeding(&self) -> Option<usize> {
        self.ask(&["-l"]).ok().map(|list| seeding(&list))
    }
}

/// Torrents of a list that are complete and seeded.
fn seeding(list: &str) -> usize {
    let seeded = |line: &&str| {
        let mut words = line.split_whitespace();
        words.nth(1) == Some("100%") && words.any(|w| w == "Idle" || w == "Seeding")
    };
    list.lines().filter(seeded).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_counts_once_it_is_complete_and_seeded() {
        let list = "    ID   Done       Have  ETA           Up    Down  Ratio  Status       Name\n     \
                    1   100%    1.05 MB  Done         0.0     0.0    0.0  Idle         t1\n     \
                    2   100%    1.05 MB  Done         0.0     0.0    0.0  Verifying    t2\n     \
                    3    50%    0.52 MB  Unknown      0.0     0.0    0.0  Idle         t3\n     \
                    4*  100%    1.05 MB  Done         0.0     0.0    0.0  Seeding      t4\n\
                    Sum:           4.2 MB               0.0     0.0\n";
        assert_eq!(seeding(list), 2);
        assert_eq!(seeding(""), 0);
    }
}
