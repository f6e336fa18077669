//! The addresses of this machine, without a netlink library and without privileges.
//!
//! Two ways, put together: what Linux lists under /proc/net, and on every system the local address that the kernel
//! picks for a route (a UDP socket that is connected and sends nothing). The second alone misses interfaces without a
//! route to any of its targets; for the filter that only means that a private address is judged as from outside.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Somewhere on the internet and in each private range: never sent to, only routed.
const TARGETS: [&str; 8] = [
    "1.1.1.1:9",
    "10.255.255.254:9",
    "172.31.255.254:9",
    "192.168.255.254:9",
    "100.127.255.254:9",
    "169.254.255.254:9",
    "[2606:4700:4700::1111]:9",
    "[fd00::1]:9",
];

/// Bytes read of a table: a router with all of the internet's routes lists 100 MB.
const MAX_TABLE: u64 = 4 * 1024 * 1024; // guess

/// Addresses kept of a machine, in all. // guess: a host with hundreds of bridges
const MAX_ADDRESSES: usize = 1024;

/// All addresses that are found, loopback included.
pub(super) fn local_addresses() -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    found.extend(parse_fib_trie(&table("/proc/net/fib_trie")).map(IpAddr::V4));
    found.extend(parse_if_inet6(&table("/proc/net/if_inet6")).map(IpAddr::V6));
    found.extend(
        TARGETS
            .iter()
            .filter_map(|target| route_source(target.parse().ok()?)),
    );
    found.into_iter().take(MAX_ADDRESSES).collect()
}

/// A table of the kernel, or nothing where there is none.
fn table(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error still counts.
        let _ = file.take(MAX_TABLE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The address that the kernel would send from.
fn route_source(target: SocketAddr) -> Option<IpAddr> {
    let any = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// The kernel's local table: a line with an address, `|-- 10.0.0.5`, and the line `/32 host LOCAL` under it.
fn parse_fib_trie(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let next = table.lines().skip(1);
    table.lines().zip(next).filter_map(|(line, below)| {
        let ip = line.trim_start().strip_prefix("|-- ")?;
        (below.trim() == "/32 host LOCAL")
            .then(|| ip.trim().parse().ok())
            .flatten()
    })
}

/// A line for each address, which comes first as 32 hexadecimal digits.
fn parse_if_inet6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    table.lines().filter_map(|line| {
        let digits = line
            .split_whitespace()
            .next()
            .filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let table = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.2.0/24 2 0 2
        |-- 10.1.2.0
           /24 link UNICAST
Local:
     |-- 10.1.2.3
        /32 host LOCAL
     |-- 10.1.2.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- ";
        let found: Vec<_> = parse_fib_trie(table).collect();
        assert_eq!(found, [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST]);

        let table = "\
00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000004200fffe1122aa 02 40 20 80     eth0
not an address
";
        let found: Vec<_> = parse_if_inet6(table).collect();
        assert_eq!(found[0], Ipv6Addr::LOCALHOST);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn this_machine_has_a_loopback_address_and_nothing_unspecified() {
        let found = local_addresses();
        assert!(found.iter().all(|ip| !ip.is_unspecified()));
        if cfg!(target_os = "linux") {
            assert!(found.iter().any(IpAddr::is_loopback), "{found:?}");
        }
    }
}
