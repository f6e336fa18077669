//! What gateways may say, and what nobody may have us do.

use std::net::SocketAddr;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const WANIP: &str = SERVICES[0];

fn answer(location: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {GATEWAY_DEVICE}\r\nLOCATION: {location}\r\nEXT:\r\n\r\n"
    )
}

fn from(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("an address"), 1900)
}

fn base() -> Url {
    "http://192.168.1.1:5000/root.xml".parse().expect("a URL")
}

fn device(kind: &str, inner: &str) -> String {
    format!("<device><deviceType>{kind}</deviceType>{inner}</device>")
}

fn service(kind: &str, control: &str) -> String {
    format!(
        "<serviceList><service><serviceType>{kind}</serviceType><serviceId>x</serviceId>\
         <controlURL>{control}</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s</SCPDURL></service></serviceList>"
    )
}

fn description(kind: &str, control: &str) -> String {
    let connection = device("c", &service(kind, control));
    let wan = device("w", &format!("<deviceList>{connection}</deviceList>"));
    let root = device(
        "r",
        &format!("<friendlyName>R</friendlyName><deviceList>{wan}</deviceList>"),
    );
    format!(
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><specVersion/>{root}</root>"
    )
}

#[test]
fn an_answer_of_the_local_network_is_believed() {
    for ip in [
        "192.168.1.1",
        "10.0.0.1",
        "172.16.0.1",
        "169.254.3.4",
        "100.64.0.1",
    ] {
        let url = format!("http://{ip}:5000/root.xml");
        let found = location(answer(&url).as_bytes(), from(ip)).map(String::from);
        assert_eq!(found, Some(url));
    }
}

#[test]
fn nobody_can_point_us_to_another_machine() {
    for (sender, url) in [
        ("192.168.1.66", "http://192.168.1.1/admin"),
        ("192.168.1.66", "http://127.0.0.1:4240/"),
        ("192.168.1.66", "http://router.example/root.xml"),
        ("192.168.1.66", "https://192.168.1.66/root.xml"),
        ("192.168.1.66", "http://user@192.168.1.66/root.xml"),
        ("192.168.1.66", "file:///etc/passwd"),
        ("192.168.1.66", "http://[::1]/root.xml"),
        ("203.0.113.9", "http://203.0.113.9/root.xml"),
        ("127.0.0.1", "http://127.0.0.1/root.xml"),
    ] {
        assert_eq!(
            location(answer(url).as_bytes(), from(sender)),
            None,
            "{sender} {url}"
        );
    }
}

#[test]
fn the_services_of_a_description_are_found_in_its_depth() {
    for kind in SERVICES {
        let found = services(description(kind, " /ctl/IPConn ").as_bytes(), &base());
        let control: Url = "http://192.168.1.1:5000/ctl/IPConn".parse().expect("a URL");
        assert_eq!(found, [(kind, control)]);
    }
    let other = description("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/x");
    assert!(services(other.as_bytes(), &base()).is_empty());
}

#[test]
fn a_control_url_on_another_machine_is_not_used() {
    for control in [
        "http://192.168.1.2/ctl",
        "//203.0.113.9/ctl",
        "https://192.168.1.1/ctl",
        "http://a@192.168.1.1/",
    ] {
        let found = services(description(WANIP, control).as_bytes(), &base());
        assert!(found.is_empty(), "{control}: {found:?}");
    }
}

#[test]
fn deep_and_long_descriptions_are_refused_before_they_are_parsed() {
    let mut deep = String::new();
    for _ in 0..2500 {
        deep.push_str("<device><deviceList>");
    }
    assert!(services(format!("<root>{deep}").as_bytes(), &base()).is_empty());
    let long = description(WANIP, "/c").replace(
        "<friendlyName>R",
        &format!("<friendlyName>{}", "R".repeat(70_000)),
    );
    assert!(services(long.as_bytes(), &base()).is_empty());
    let many = (0..40)
        .map(|n| device("c", &service(WANIP, &format!("/{n}"))))
        .collect::<String>();
    let found = services(format!("<root>{many}</root>").as_bytes(), &base());
    assert_eq!(found.len(), MOST_GATEWAYS);
}

/// A host that answers every request with `head` and then bytes for ever.
async fn endless(head: &'static str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            });
        }
    });
    format!("http://{addr}/").parse().expect("a URL")
}

#[tokio::test]
async fn a_body_without_end_is_cut_and_a_redirect_is_not_followed() {
    let url = endless("HTTP/1.1 200 OK\r\n\r\n").await;
    let request = Request::new(Method::GET, url);
    let page = http::send_once(request, ANSWER_WITHIN, MOST_BYTES).await;
    assert!(
        matches!(page, Err(http::HttpError::TooLarge(_))),
        "{page:?}"
    );

    let url =
        endless("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 3\r\n\r\n")
            .await;
    let request = Request::new(Method::GET, url);
    let page = http::send_once(request, ANSWER_WITHIN, MOST_BYTES).await;
    assert!(matches!(page, Ok(page) if page.status == 302));
}

proptest! {
    #[test]
    fn whatever_is_answered_only_the_answering_host_is_asked(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        url in "(http|https|ftp)://([0-9]{1,3}\\.){3}[0-9]{1,3}(:[0-9]{1,5})?/[a-z./@:#?]{0,12}",
        sender: [u8; 4],
        cut in 0usize..200,
    ) {
        let sender = SocketAddr::from((sender, 1900));
        let whole = answer(&url);
        for bytes in [&garbage[..], whole.as_bytes(), &whole.as_bytes()[..cut.min(whole.len())]] {
            if let Some(url) = location(bytes, sender) {
                let host = sender.ip().to_string();
                prop_assert_eq!(url.host_str(), Some(host.as_str()));
            }
        }
    }

    #[test]
    fn whatever_is_described_only_that_host_is_controlled(
        control in "[a-z/:@.0-9 &;#?<]{0,40}",
        kind in 0..SERVICES.len(),
        cut in 0usize..600,
    ) {
        let mut text = description(SERVICES[kind], &control);
        for _ in 0..2 {
            for (_, url) in services(text.as_bytes(), &base()) {
                prop_assert!(is_on(&url, Ipv4Addr::new(192, 168, 1, 1)));
            }
            text.truncate(cut);
        }
    }
}
