//! The HTTP of web seeds: connections that are kept, redirects, and which addresses may be asked.
//!
//! A torrent comes from anyone and can name any URL, so it must not become a way to make this machine ask others of its
//! network on a stranger's behalf. An address may be asked if a tracker could have named it as a peer's
//! ([`limits::address`](crate::limits::address)): loopback only if we are bound to loopback, private ones only if we have
//! such an address. And only a global address is asked for a URL with a query (with which one could say something to a
//! service) or after a redirect that came from a global one. Names are checked as they are resolved for the connection,
//! so that no other answer can come between.

use std::error::Error;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, RANGE};
use reqwest::{Client, Response};
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::answer::WebSeedFault;
use super::serve::PARALLEL;
use crate::discovery::http::{HttpError, MAX_REDIRECTS, builder, classify, redirects, target};
use crate::limits::address::{AddrFault, AddrSource, OwnAddrs, acceptable, is_private};

/// How long a connection without a request is kept.
const KEPT: Duration = Duration::from_secs(30); // guess: servers close theirs after 5 to 75 s

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It may pass.
    Later(HttpError),
    /// It will not.
    GiveUp(WebSeedFault),
}

/// The web seeds' HTTP of a session. Clients are built when they are needed: one each for http and https, and for who
/// may ask private addresses and who may not.
#[derive(Debug)]
pub(crate) struct WebClient {
    own: OwnAddrs,
    clients: [OnceCell<Option<Client>>; 4],
}

impl WebClient {
    /// For a session with these addresses of its own.
    pub(crate) fn new(own: OwnAddrs) -> Self {
        Self {
            own,
            clients: Default::default(),
        }
    }

    /// Asks for these bytes of what is at `url`, and follows redirects. The body is not read yet.
    pub(super) async fn get(&self, mut url: Url, range: &Range<u64>) -> Result<Response, NoAnswer> {
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let mut from_global = false;
        for _ in 0..=MAX_REDIRECTS {
            let global_only = from_global || url.query().is_some();
            self.check(&url, global_only).map_err(forbidden)?;
            let client = self.client(&url, global_only).await;
            let client = client.map_err(refusal)?;
            let request = client
                .get(url.clone())
                .header(RANGE, &bytes)
                .header(ACCEPT_ENCODING, "identity");
            let response = request.send().await.map_err(|error| match cause(&error) {
                Some(fault) => forbidden(fault),
                None => refusal(classify(error)),
            })?;
            if !redirects(&response) {
                return Ok(response);
            }
            // where that is not known, nothing private is believed
            from_global |= response
                .remote_addr()
                .is_none_or(|a| !is_private(a.ip()) && !a.ip().to_canonical().is_loopback());
            url = target(&url, &response).map_err(refusal)?;
        }
        Err(refusal(HttpError::Redirects))
    }

    /// Whether an address that stands in the URL may be asked; a name is looked at when it is resolved.
    fn check(&self, url: &Url, global_only: bool) -> Result<(), AddrFault> {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let port = url.port_or_known_default().unwrap_or(0);
        permit(SocketAddr::new(ip, port), &self.own, global_only)
    }

    async fn client(&self, url: &Url, global_only: bool) -> Result<&Client, HttpError> {
        let plain = url.scheme() == "http";
        let resolver = Arc::new(Resolver {
            own: self.own.clone(),
            global_only,
        });
        let builder = move || {
            builder()
                .pool_max_idle_per_host(PARALLEL)
                .pool_idle_timeout(KEPT)
                .dns_resolver(resolver)
        };
        let cell = &self.clients[usize::from(plain) + 2 * usize::from(global_only)];
        let build = async {
            if plain {
                return builder().tls_certs_only([]).build().ok();
            }
            // reading the system's certificates is tens of milliseconds of file reads and parsing
            tokio::task::spawn_blocking(move || builder().build().ok())
                .await
                .ok()
                .flatten()
        };
        let client = cell.get_or_init(|| build).await;
        client.as_ref().ok_or(HttpError::NoCertificates)
    }
}

/// Resolves names to what may be asked.
struct Resolver {
    own: OwnAddrs,
    global_only: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (own, global_only) = (self.own.clone(), self.global_only);
        Box::pin(async move {
            let (mut good, mut refused) = (Vec::new(), None);
            for addr in tokio::net::lookup_host((name.as_str(), 0)).await? {
                // the port is the URL's, and any will do
                match permit(SocketAddr::new(addr.ip(), 80), &own, global_only) {
                    Ok(()) => good.push(addr),
                    Err(fault) => refused = Some(fault),
                }
            }
            match refused.filter(|_| good.is_empty()) {
                Some(fault) => Err(fault.into()),
                None => Ok(Box::new(good.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether a torrent may make us ask this address.
fn permit(addr: SocketAddr, own: &OwnAddrs, global_only: bool) -> Result<(), AddrFault> {
    acceptable(addr, AddrSource::Public, own)?;
    let ip = addr.ip().to_canonical();
    match global_only {
        true if ip.is_loopback() => Err(AddrFault::Loopback),
        true if is_private(ip) => Err(AddrFault::Private),
        _ => Ok(()),
    }
}

/// The address fault behind an error.
fn cause(error: &reqwest::Error) -> Option<AddrFault> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(fault) = error.downcast_ref::<AddrFault>() {
            return Some(*fault);
        }
        source = error.source();
    }
    None
}

fn forbidden(fault: AddrFault) -> NoAnswer {
    NoAnswer::GiveUp(WebSeedFault::Forbidden(fault.to_string()))
}

/// Whether an error may pass.
fn refusal(error: HttpError) -> NoAnswer {
    let fault = match error {
        HttpError::NoCertificates => {
            WebSeedFault::Certificate("https needs CA certificates and this system has none")
        }
        HttpError::BadCertificate => {
            WebSeedFault::Certificate("the server's certificate is not trusted")
        }
        HttpError::Redirects => {
            WebSeedFault::Redirect(format!("more than {MAX_REDIRECTS} redirects"))
        }
        HttpError::BadRedirect(to) => WebSeedFault::Redirect(to),
        error => return NoAnswer::Later(error),
    };
    NoAnswer::GiveUp(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(addr: &str) -> OwnAddrs {
        OwnAddrs::with_interfaces(addr.parse().expect("an address"), &[])
    }

    /// Whether the URL may be asked by somebody who listens at `own`.
    fn asked(own: &str, url: &str, global_only: bool) -> bool {
        let url = Url::parse(url).expect("a URL");
        WebClient::new(bound(own)).check(&url, global_only).is_ok()
    }

    #[test]
    fn a_torrent_cannot_make_us_ask_our_own_machine_or_network_for_just_anything() {
        let (global, lan, loopback) = ("192.9.9.9:6881", "10.0.0.2:6881", "127.0.0.1:6881");
        for global_only in [false, true] {
            for own in [global, lan, loopback] {
                assert!(asked(own, "http://93.184.216.34/x?y=z", global_only));
                assert!(!asked(own, "http://0.0.0.0/", global_only));
            }
        }
        for (url, from) in [
            ("http://10.9.9.9/x", lan),
            ("http://[fd00::1]:8080/x", lan),
            ("http://169.254.169.254/latest/meta-data", lan),
            ("http://127.0.0.1:8080/x", loopback),
            ("http://[::ffff:127.0.0.1]/x", loopback),
            ("http://2130706433/x", loopback),
        ] {
            assert!(asked(from, url, false), "{url}");
            assert!(!asked(global, url, false), "{url}");
            assert!(!asked(from, url, true), "{url}");
        }
        assert!(!asked(lan, "http://127.0.0.1/x", false));
        assert!(
            !asked(loopback, "http://127.0.0.1:6881/", false),
            "ourselves"
        );
    }

    #[tokio::test]
    async fn names_are_held_to_the_same() {
        for (own, url) in [
            ("10.0.0.2:6881", "http://localhost:1/x"),
            ("127.0.0.1:6881", "http://localhost:1/x?a=b"),
        ] {
            let client = WebClient::new(bound(own));
            let answer = client.get(Url::parse(url).expect("a URL"), &(0..1)).await;
            let refused = matches!(answer, Err(NoAnswer::GiveUp(WebSeedFault::Forbidden(_))));
            assert!(refused, "{url}");
        }
        let client = WebClient::new(bound("127.0.0.1:6881"));
        let url = Url::parse("http://localhost:1/x").expect("a URL");
        let answer = client.get(url, &(0..1)).await;
        assert!(matches!(
            answer,
            Err(NoAnswer::Later(HttpError::Connect(_)))
        ));
    }
}
