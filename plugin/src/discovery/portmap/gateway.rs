//! Finding gateways: a search by multicast (SSDP), and the description that an answer points to.
//!
//! An answer is believed when it comes from an address of the local network (RFC 1918, link-local, or a provider's shared
//! range) and points to a description on that very host; the description may name a control URL on that host only. So nobody
//! can have us ask a third machine for anything. At most `MOST_GATEWAYS` are taken and `MOST_ANSWERS` read; a
//! description is at most `MOST_BYTES` long and nested as deep as real ones are.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use librqbit_upnp::{
    RootDesc, SSDP_SEARCH_WAN_IPCONNECTION_ST, make_ssdp_search_request,
    parse_upnp_discover_response,
};
use reqwest::{Method, Request};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use super::super::http;

/// Gateways that are asked for ports. // guess: two routers, and room for a liar or two
const MOST_GATEWAYS: usize = 4;

/// Answers that are read of one search. // guess: each gateway answers each request a few times
const MOST_ANSWERS: usize = 64;

/// Bytes of an answer, and of a description. // measured: descriptions of common routers are 2 to 8 KB
const MOST_ANSWER_BYTES: usize = 2048;
pub(super) const MOST_BYTES: u64 = 64 * 1024;

/// Device lists in a description: an InternetGatewayDevice has two, within each other. The parser is recursive.
const MOST_LISTS: usize = 16;

/// A second request goes out after this long, as datagrams get lost; the search ends after the longer one.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const SEARCH: Duration = Duration::from_millis(3500); // the request allows answers to take 3 s

/// For one request to a gateway and its answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5); // guess: small routers take a second

/// Where all devices listen (UPnP Device Architecture).
const SSDP: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)),
    1900,
);

/// The device that has what we look for; one of version 2 answers too.
const GATEWAY_DEVICE: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";

/// Services that map ports, all in the same words.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// A service on the local network that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where it takes requests.
    pub control: Url,
    /// Which of the services it is.
    pub service: &'static str,
    /// Our address on the way to it.
    local: Ipv4Addr,
}

impl Gateway {
    /// Our address on the way to it.
    pub(super) fn faces(&self) -> Ipv4Addr {
        self.local
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the gateway at {}", self.control)
    }
}

/// Whether an address belongs to a network behind a router.
pub(super) fn is_local_network(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64) // RFC 6598
}

/// Looks for gateways from the address `from`, or any.
pub(super) async fn search(from: Ipv4Addr) -> Vec<Gateway> {
    let locations = match listen(from).await {
        Ok(locations) => locations,
        Err(e) => {
            tracing::debug!("no search for gateways: {e}");
            return Vec::new();
        }
    };
    let described = join_all(locations.into_iter().map(describe)).await;
    described.into_iter().flatten().collect()
}

/// Asks twice and gathers the answers; at most one of each host.
async fn listen(from: Ipv4Addr) -> std::io::Result<Vec<Url>> {
    let socket = UdpSocket::bind((from, 0)).await?;
    let requests = [GATEWAY_DEVICE, SSDP_SEARCH_WAN_IPCONNECTION_ST].map(make_ssdp_search_request);
    let (mut found, mut answers) = (Vec::<Url>::new(), 0);
    let mut buffer = [0; MOST_ANSWER_BYTES];
    let start = Instant::now();
    for end in [ASK_AGAIN, SEARCH] {
        for request in &requests {
            socket.send_to(request.as_bytes(), SSDP).await?;
        }
        while let Ok(received) = timeout_at(start + end, socket.recv_from(&mut buffer)).await {
            let Ok((len, sender)) = received else {
                continue; // an error of an earlier send
            };
            answers += 1;
            if let Some(url) = location(&buffer[..len], sender)
                && found.iter().all(|known| known.host() != url.host())
            {
                found.push(url);
            }
            if found.len() == MOST_GATEWAYS || answers == MOST_ANSWERS {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The description that an answer to the search points to, if the answer may be believed.
pub fn location(answer: &[u8], sender: SocketAddr) -> Option<Url> {
    let SocketAddr::V4(v4) = sender else {
        return None;
    };
    let url = parse_upnp_discover_response(answer, sender).ok()?.location;
    (is_local_network(*v4.ip()) && is_on(&url, *v4.ip())).then_some(url)
}

/// Whether `url` is fetched by HTTP from `ip`, with nothing else to it.
fn is_on(url: &Url, ip: Ipv4Addr) -> bool {
    url.scheme() == "http"
        && url.host() == Some(Host::Ipv4(ip))
        && url.username().is_empty()
        && url.password().is_none()
}

/// Fetches a description; the services in it that map ports.
async fn describe(location: Url) -> Vec<Gateway> {
    let request = Request::new(Method::GET, location.clone());
    let page = match http::send_once(request, ANSWER_WITHIN, MOST_BYTES).await {
        Ok(page) if page.status == 200 => page,
        other => {
            let status = other.map(|page| page.status);
            tracing::debug!("no description at {location}: {status:?}");
            return Vec::new();
        }
    };
    let Some(local) = local_towards(&location).await else {
        return Vec::new();
    };
    let services = services(&page.body, &location);
    if services.is_empty() {
        tracing::debug!("{location} describes nothing that maps ports");
    }
    let gateway = |(service, control)| Gateway {
        control,
        service,
        local,
    };
    services.into_iter().map(gateway).collect()
}

/// The services that map ports in the description fetched from `location`: which, and their control URLs on the same host.
/// At most `MOST_GATEWAYS`.
pub fn services(description: &[u8], location: &Url) -> Vec<(&'static str, Url)> {
    let Some(Host::Ipv4(ip)) = location.host() else {
        return Vec::new();
    };
    let Ok(text) = str::from_utf8(description) else {
        return Vec::new();
    };
    if text.len() as u64 > MOST_BYTES || text.matches("deviceList").count() > 2 * MOST_LISTS {
        return Vec::new();
    }
    let Ok(root) = quick_xml::de::from_str::<RootDesc>(text) else {
        return Vec::new();
    };
    let mut found: Vec<(&'static str, Url)> = Vec::new();
    let all = root.devices.iter();
    for (_, service) in all.flat_map(|device| device.iter_services(tracing::Span::none())) {
        let kind = SERVICES
            .iter()
            .find(|kind| **kind == service.service_type.trim());
        let control = location.join(service.control_url.trim()).ok();
        if let (Some(kind), Some(control)) = (kind, control)
            && is_on(&control, ip)
            && found.iter().all(|(_, known)| *known != control)
        {
            found.push((kind, control));
        }
        if found.len() == MOST_GATEWAYS {
            break;
        }
    }
    found
}

/// Our address on the way to a gateway; nothing is sent.
async fn local_towards(location: &Url) -> Option<Ipv4Addr> {
    let Some(Host::Ipv4(ip)) = location.host() else {
        return None;
    };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((ip, SSDP.port())).await.ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(local) => Some(*local.ip()).filter(|ip| is_local_network(*ip)),
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
