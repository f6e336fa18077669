use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn list(text: &str) -> Blocklist {
    Blocklist::read(text.as_bytes()).unwrap()
}

#[test]
fn every_form_is_read() {
    let text = "# a comment\n\
        ; another\n\
        // and another\r\n\
        \r\n\
        001.002.003.000 - 001.002.003.255 , 000 , An eMule line, with commas: and colons\r\n\
        9.9.9.0 - 9.9.9.255 , 200 , allowed\n\
        Some corp: a division:10.0.0.0-10.0.0.7\n\
        six:2001:db8:1::-2001:db8:1::ff\n\
        172.16.0.0/12\n\
        2001:db8:2::/48\n\
        ::ffff:192.0.2.0-::ffff:192.0.2.9\n\
        198.51.100.7\n";
    let list = list(text);
    assert_eq!(list.bad_lines(), 0);
    for (inside, outside) in [
        ("1.2.3.255", "1.2.4.0"),
        ("10.0.0.7", "10.0.0.8"),
        ("2001:db8:1::ff", "2001:db8:1::100"),
        ("172.31.255.255", "172.32.0.0"),
        ("2001:db8:2:ffff::1", "2001:db8:3::"),
        ("192.0.2.9", "192.0.2.10"),
        ("::ffff:198.51.100.7", "198.51.100.8"),
    ] {
        assert!(list.contains(ip(inside)), "{inside}");
        assert!(!list.contains(ip(outside)), "{outside}");
    }
    assert!(!list.contains(ip("9.9.9.9")), "its level allows it");
}

#[test]
fn bad_lines_are_counted_and_do_not_spoil_the_rest() {
    let list = list("1.2.3.4\n1.2.3.256\n5.6.7.9-5.6.7.8\n1.2.3.4/33\n1.2.3.4-::1\nx\n1.2.3\n");
    assert_eq!((list.len(), list.bad_lines()), (1, 6));
    let long = format!("{}:1.2.3.0-1.2.3.9\n5.5.5.5\n", "x".repeat(2000));
    let list = Blocklist::read(long.as_bytes()).unwrap();
    assert!(!list.contains(ip("1.2.3.1")) && list.contains(ip("5.5.5.5")));
    let page = b"<html>\n<body>not here</body>\n</html>\n";
    assert_eq!(Blocklist::read(page), Err(BlocklistError::NoRanges(3)));
    assert!(Blocklist::read(b"# nothing\n").unwrap().is_empty());
}

#[test]
fn what_is_packed_is_unpacked_and_what_is_damaged_is_refused() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(b"1.2.3.0/24\n5.5.5.5\n").unwrap();
    let mut packed = packer.finish().unwrap();
    let list = Blocklist::read(&packed).unwrap();
    assert!(list.contains(ip("1.2.3.9")) && list.contains(ip("5.5.5.5")));
    packed.truncate(packed.len() - 9);
    assert!(matches!(
        Blocklist::read(&packed),
        Err(BlocklistError::Gzip(_))
    ));
}

/// A range as bits, and the form that it is written in.
fn range() -> impl Strategy<Value = (IpAddr, IpAddr, u8)> {
    let v4 = (any::<u32>(), 0u32..1 << 10).prop_map(|(at, len)| {
        let (first, last) = (at % 5000, (at % 5000).saturating_add(len));
        (Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into())
    });
    let v6 = (any::<u32>(), 0u32..1 << 10).prop_map(|(at, len)| {
        let base = 0x2001_0db8_u128 << 96;
        let first = base + u128::from(at % 5000);
        let last = first + u128::from(len);
        (Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into())
    });
    (prop_oneof![v4, v6], 0..3u8).prop_map(|((a, b), form)| (a, b, form))
}

proptest! {
    #[test]
    fn exactly_what_some_range_covers_is_blocked(ranges in prop::collection::vec(range(), 0..20)) {
        let lines = ranges.iter().map(|(first, last, form)| match form {
            0 => format!("{first} - {last} , 001 , x\n"),
            1 => format!("x:y:{first}-{last}\n"),
            _ => format!("{first}-{last}\n"),
        });
        let list = list(&lines.collect::<String>());
        prop_assert_eq!(list.bad_lines(), 0);
        let naive = |ip: IpAddr| ranges.iter().any(|(a, b, _)| {
            a.is_ipv4() == ip.is_ipv4() && *a <= ip && ip <= *b
        });
        let base = 0x2001_0db8_u128 << 96;
        for at in 0..6100u32 {
            let (four, six) = (Ipv4Addr::from(at), Ipv6Addr::from(base + u128::from(at)));
            prop_assert_eq!(list.contains(four.into()), naive(four.into()), "{}", four);
            prop_assert_eq!(list.contains(six.into()), naive(six.into()), "{}", six);
        }
        let again: String = list.ranges().map(|(a, b)| format!("{a}-{b}\n")).collect();
        prop_assert_eq!(Blocklist::read(again.as_bytes()).unwrap(), list);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Blocklist::read(&bytes);
    }
}
