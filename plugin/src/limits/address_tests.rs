use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::AddrFault::*;
use super::AddrSource::{Local, Manual, Public};
use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn own(bound: &str, interfaces: &[&str]) -> OwnAddrs {
    let interfaces: Vec<IpAddr> = interfaces
        .iter()
        .map(|ip| ip.parse().expect("an address"))
        .collect();
    OwnAddrs::with_interfaces(addr(bound), &interfaces)
}

/// A server with a global address.
fn global() -> OwnAddrs {
    own("0.0.0.0:6881", &["127.0.0.1", "8.8.4.4"])
}

/// A machine in a home network.
fn lan() -> OwnAddrs {
    own("[::]:6881", &["127.0.0.1", "::1", "192.168.1.5", "fe80::1"])
}

/// A demo.
fn loopback() -> OwnAddrs {
    own("127.0.0.1:6881", &["127.0.0.1", "8.8.4.4"])
}

#[test]
fn what_cannot_be_a_peer_is_refused_from_everyone() {
    for (text, fault) in [
        ("8.8.8.8:0", PortZero),
        ("[2606:4700::1]:0", PortZero),
        ("0.0.0.0:6881", Unspecified),
        ("0.1.2.3:6881", Unspecified),
        ("[::]:6881", Unspecified),
        ("[::ffff:0.0.0.0]:6881", Unspecified),
        ("224.0.0.1:6881", Multicast),
        ("239.192.152.143:6771", Multicast),
        ("[ff02::1]:6881", Multicast),
        ("255.255.255.255:6881", Broadcast),
        ("240.0.0.1:6881", Broadcast),
    ] {
        for source in [Public, Local, Manual] {
            for own in [global(), lan(), loopback()] {
                assert_eq!(
                    acceptable(addr(text), source, &own),
                    Err(fault),
                    "{text} {source:?}"
                );
            }
        }
    }
}

#[test]
fn global_addresses_are_taken_from_everyone() {
    for text in [
        "8.8.8.8:1",
        "1.1.1.1:65535",
        "[2606:4700::1]:6881",
        "[::ffff:8.8.8.8]:6881",
    ] {
        for source in [Public, Local, Manual] {
            for own in [global(), lan(), loopback()] {
                assert_eq!(
                    acceptable(addr(text), source, &own),
                    Ok(()),
                    "{text} {source:?}"
                );
            }
        }
    }
}

#[test]
fn private_addresses_need_a_local_source_or_a_private_address_of_our_own() {
    for text in [
        "10.0.0.1:6881",
        "172.16.0.1:6881",
        "172.31.255.255:6881",
        "192.168.1.1:6881",
        "169.254.1.1:6881",
        "100.64.0.1:6881",
        "100.127.255.255:6881",
        "198.18.0.1:6881",
        "192.0.2.1:6881",
        "198.51.100.1:6881",
        "203.0.113.1:6881",
        "[fd00::1]:6881",
        "[fe80::2]:6881",
        "[fec0::1]:6881",
        "[2001:db8::1]:6881",
        "[::ffff:192.168.1.1]:6881",
    ] {
        let addr = addr(text);
        assert_eq!(acceptable(addr, Public, &global()), Err(Private), "{text}");
        assert_eq!(acceptable(addr, Local, &global()), Ok(()), "{text}");
        assert_eq!(acceptable(addr, Manual, &global()), Ok(()), "{text}");
        assert_eq!(acceptable(addr, Public, &lan()), Ok(()), "{text}");
    }
    // Their neighbours are global.
    for text in [
        "172.32.0.1:1",
        "100.128.0.1:1",
        "198.20.0.1:1",
        "192.0.3.1:1",
        "11.0.0.1:1",
    ] {
        assert_eq!(acceptable(addr(text), Public, &global()), Ok(()), "{text}");
    }
}

#[test]
fn loopback_needs_a_listener_bound_there_or_the_user() {
    for text in [
        "127.0.0.1:7000",
        "127.9.9.9:7000",
        "[::1]:7000",
        "[::ffff:127.0.0.1]:7000",
    ] {
        let addr = addr(text);
        for own in [global(), lan()] {
            assert_eq!(acceptable(addr, Public, &own), Err(Loopback), "{text}");
            assert_eq!(acceptable(addr, Local, &own), Err(Loopback), "{text}");
            assert_eq!(acceptable(addr, Manual, &own), Ok(()), "{text}");
        }
        assert_eq!(acceptable(addr, Public, &loopback()), Ok(()), "{text}");
    }
    let believing = OwnAddrs {
        loopback: true,
        ..global()
    };
    assert_eq!(
        acceptable(addr("127.0.0.1:7000"), Public, &believing),
        Ok(())
    );
}

#[test]
fn a_peer_reaches_addresses_of_its_own_kind_and_global_ones() {
    let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let kinds = ["127.0.0.1", "10.1.2.3", "8.8.8.8"];
    let table = [
        [true, true, true],
        [false, true, true],
        [false, false, true],
    ];
    for (of, row) in kinds.iter().zip(table) {
        for (addr, reached) in kinds.iter().zip(row) {
            assert_eq!(is_within_reach(ip(addr), ip(of)), reached, "{addr} of {of}");
        }
    }
    assert!(is_within_reach(ip("fd00::1"), ip("192.168.1.1")));
    assert!(!is_within_reach(ip("fd00::1"), ip("2606::1")));
    assert!(!is_within_reach(
        ip("::ffff:127.0.0.1"),
        ip("::ffff:10.0.0.1")
    ));
}

#[test]
fn our_own_address_is_refused_from_everyone() {
    for (own, text) in [
        (loopback(), "127.0.0.1:6881"),
        (loopback(), "[::ffff:127.0.0.1]:6881"),
        (global(), "8.8.4.4:6881"),
        (global(), "127.0.0.1:6881"),
        (global(), "127.0.0.2:6881"), // ends at a listener on 0.0.0.0 too
        (lan(), "192.168.1.5:6881"),
        (lan(), "[::1]:6881"),
        (lan(), "[fe80::1]:6881"),
    ] {
        for source in [Public, Local, Manual] {
            assert_eq!(acceptable(addr(text), source, &own), Err(Own), "{text}");
        }
    }
    // Another port, or another host of a demo that gives each peer its own loopback address, is someone else.
    assert_eq!(
        acceptable(addr("127.0.0.1:6882"), Public, &loopback()),
        Ok(())
    );
    assert_eq!(
        acceptable(addr("127.0.0.2:6881"), Public, &loopback()),
        Ok(())
    );
    assert_eq!(acceptable(addr("8.8.4.4:6882"), Public, &global()), Ok(()));
    // A listener on IPv4 alone is not reached over IPv6.
    assert_eq!(acceptable(addr("[::1]:6881"), Manual, &global()), Ok(()));
}

#[test]
fn our_own_addresses_are_judged_from_the_listener_and_the_interfaces() {
    assert!(loopback().loopback && !loopback().private);
    assert!(!global().loopback && !global().private);
    assert!(!lan().loopback && lan().private);
    assert!(own("10.0.0.5:1", &[]).private);
    assert!(own("[::1]:1", &[]).loopback);
    // The link-local address that every host with IPv6 has says nothing.
    assert!(!own("[::]:1", &["::1", "fe80::1", "2606:4700::1"]).private);
    // Bound to a global address of a machine that has private ones as well: those do not count.
    assert!(!own("8.8.4.4:1", &["10.0.0.1"]).private);
    // Interfaces that a listener on 0.0.0.0 does not reach are not ours to filter.
    assert!(!own("0.0.0.0:1", &["fd00::5"]).private);
    // The real machine: whatever it has, the constructor takes the bound address.
    let real = OwnAddrs::new(addr("0.0.0.0:6881"));
    assert!(real.listen.contains(&addr("0.0.0.0:6881")) && !real.loopback);
}

proptest! {
    #[test]
    fn any_address_is_judged_without_a_panic_and_the_user_may_do_at_least_what_others_may(
        v6 in any::<u128>(),
        v4 in any::<u32>(),
        port in any::<u16>(),
    ) {
        for ip in [IpAddr::from(v6.to_be_bytes()), IpAddr::from(v4.to_be_bytes())] {
            let addr = SocketAddr::new(ip, port);
            for own in [global(), lan(), loopback()] {
                let verdicts = [Public, Local, Manual].map(|source| acceptable(addr, source, &own).is_ok());
                prop_assert!(verdicts[0] <= verdicts[1] && verdicts[1] <= verdicts[2]);
            }
        }
    }
}
