//! One machine: a namespace in which everything is on loopback, at addresses that do not look like it.
//!
//! Stock clients refuse 127.0.0.0/8 or treat it specially, so loopback has 10.77.0.0/16 here: every address in it is
//! this machine's own. There is a default route, which some ask for, and nothing behind it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::lab::{Lab, Peer};
use crate::ns::Set;

/// The machine, with the peers that share it.
#[derive(Debug)]
pub(crate) struct Host {
    /// Where all are.
    pub(crate) place: Peer,
    /// The namespace.
    pub(crate) set: Set,
}

impl Host {
    /// Makes it.
    ///
    /// # Errors
    /// When the namespace cannot be had.
    pub(crate) fn build(mut set: Set) -> Result<Self> {
        let ns = set.add("host")?;
        let ip = Lab::gateway_ip(0);
        ns.ip(&[
            &format!("addr add {ip}/16 dev lo"),
            &format!("route add default dev lo src {ip}"),
        ])?;
        let place = Peer { ns, ip, site: 0 };
        Ok(Self { place, set })
    }
}

/// Bytes that loopback has carried in the namespace of this process.
///
/// # Errors
/// When there is no such process.
pub(crate) fn carried(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/net/dev");
    let text = std::fs::read_to_string(Path::new(&path)).with_context(|| path.clone())?;
    received(&text, "lo").with_context(|| format!("no loopback in {path}"))
}

/// Bytes that a device has received, from `/proc/net/dev`.
fn received(text: &str, device: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|l| l.trim().strip_prefix(device)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_whole_name() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n  lo0: 9 9\n    lo:  1234 5 0\neth0:77 8 0\n";
        assert_eq!(received(text, "lo"), Some(1234));
        assert_eq!(received(text, "eth0"), Some(77));
        assert_eq!(received(text, "eth"), None);
        assert_eq!(received("", "lo"), None);
    }

    #[test]
    fn our_own_namespace_has_loopback() {
        assert!(carried(std::process::id()).is_ok());
        assert!(carried(u32::MAX).is_err());
    }
}
