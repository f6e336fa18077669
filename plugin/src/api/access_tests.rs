use axum::http::Request;
use proptest::prelude::*;

use super::*;

fn access(hosts: &[&str]) -> Access {
    Access::new(&ApiConfig {
        password: Some("secret".to_owned()),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        ..ApiConfig::default()
    })
}

fn head(headers: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::builder().uri("/api/v1/torrents");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    request.into_parts().0
}

#[test]
fn sources_are_counted_apart_and_forgotten_when_there_are_many() {
    let (mut failures, now) = (Failures::default(), Instant::now());
    let ours: IpAddr = [192, 0, 2, 1].into();
    for n in (0..10).rev() {
        let left = failures.count(ours, now);
        assert!((left - f64::from(n)).abs() < 1e-9, "{left}");
    }
    assert!(failures.left(ours, now) < 1.0);
    assert!(failures.left([192, 0, 2, 2].into(), now) >= 10.0);
    assert!(failures.left("::ffff:192.0.2.1".parse().expect("v6"), now) < 1.0);
    // one in five seconds
    assert!(failures.left(ours, now + Duration::from_millis(4900)) < 1.0);
    assert!(failures.left(ours, now + Duration::from_millis(5100)) >= 1.0);
    // a /64 is one source
    let v6 = |net: u16, host| IpAddr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, host]);
    for host in 0..10 {
        failures.count(v6(1, host), now);
    }
    assert!(failures.left(v6(1, 99), now) < 1.0);
    assert!(failures.left(v6(2, 0), now) >= 10.0);
    for n in 0..5000 {
        failures.count(v6(n, 0), now + Duration::from_millis(n.into()));
    }
    assert!(failures.by_source.len() <= SOURCES);
}

#[test]
fn a_header_that_is_there_twice_or_is_no_text_is_refused() {
    let access = access(&[]);
    let right = format!("Basic {}", STANDARD.encode("x:secret"));
    let host: (&str, &[u8]) = ("host", b"127.0.0.1");
    let authorized: (&str, &[u8]) = ("authorization", right.as_bytes());
    assert_eq!(access.check(&head(&[host, authorized]), None), Ok(()));
    for bad in [
        &[host, authorized, authorized][..],
        &[host, host, authorized],
        &[host, authorized, ("origin", b"null"), ("origin", b"null")],
        &[("host", b"\xff"), authorized],
        &[host, ("authorization", b"Basic \xff")],
        &[host, authorized, ("origin", b"\xfe")],
    ] {
        let refused = access.check(&head(bad), None);
        assert!(matches!(refused, Err(ApiError::Head(_))), "{refused:?}");
    }
}

proptest! {
    /// What a browser takes for a name is no name of ours unless it is one.
    #[test]
    fn no_name_of_others_passes(text in "[a-z0-9.:\\[\\]%@_-]{0,24}|([a-z0-9]{1,4}\\.){1,3}(localhost|box\\.lan)(:[0-9]{1,5})?") {
        let access = access(&["box.lan", "*.seed.example"]);
        let ours = Authority::parse(&text).is_some_and(|host| access.is_ours(&host));
        let url = url::Url::parse(&format!("http://{text}/")).ok();
        if let Some(url::Host::Domain(name)) = url.as_ref().and_then(|u| u.host()) {
            let name = name.strip_suffix('.').unwrap_or(name);
            let known = ["localhost", "box.lan"].contains(&name) || name.ends_with(".seed.example");
            prop_assert!(!ours || known, "{text}: {name}");
        }
    }

    #[test]
    fn an_authority_is_read_as_it_is_written(name in "[a-z][a-z0-9-]{0,9}(\\.[a-z]{1,5}){0,2}", port in any::<Option<u16>>()) {
        let end = port.map_or_else(String::new, |p| format!(":{p}"));
        let read = Authority::parse(&format!("{name}{end}")).expect("a name");
        prop_assert_eq!((read.name, read.port), (name, port));
    }

    #[test]
    fn an_address_is_ours_unless_it_is_of_nobody(ip in any::<IpAddr>(), port in any::<u16>()) {
        let host = Authority::parse(&std::net::SocketAddr::new(ip, port).to_string()).expect("an address");
        prop_assert_eq!(host.ip(), Some(ip));
        prop_assert_eq!(access(&[]).is_ours(&host), !ip.is_unspecified() && !ip.is_multicast());
    }

    #[test]
    fn credentials_are_read_as_they_are_written(name in "[^:]{0,20}", word in ".{0,20}") {
        let header = format!("bAsIc {}", STANDARD.encode(format!("{name}:{word}")));
        prop_assert_eq!(credentials(&header), Some((name.into_bytes(), word.into_bytes())));
    }

    #[test]
    fn any_header_is_survived(host in any::<Vec<u8>>(), origin in any::<Vec<u8>>(), word in any::<Vec<u8>>(), coded in any::<Vec<u8>>()) {
        let mut head = head(&[]);
        let coded = format!("Basic {}", STANDARD.encode(coded));
        for (name, value) in [("host", host), ("origin", origin), ("authorization", word), ("authorization", coded.into_bytes())] {
            if let Ok(value) = axum::http::HeaderValue::from_bytes(&value) {
                head.headers.insert(name, value);
            }
        }
        prop_assert!(access(&[]).check(&head, None).is_err(), "nobody guesses it");
    }
}
