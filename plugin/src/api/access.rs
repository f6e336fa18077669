//! Who may ask: by which name, from which page, with which password.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{ApiConfig, ApiError, Listen, transmission};

/// The header of requests that change something.
const OURS: HeaderName = HeaderName::from_static("x-chunkcast");

/// What a browser says of the page that asks.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Wrong passwords of a source at once.
const FAILURES: f64 = 10.0; // guess: a person who has forgotten which it was
/// After those, one in this time.
const FAILURE_PERIOD: Duration = Duration::from_secs(5); // guess: 6 million a year
/// Sources that are remembered.
const SOURCES: usize = 1024; // guess

pub(super) struct Access {
    user: Option<[u8; 32]>,
    password: Option<[u8; 32]>,
    hosts: Vec<String>,
    /// Browsers cannot be brought to use a Unix socket.
    by_name: bool,
    failures: Mutex<Failures>,
}

impl Access {
    pub(super) fn new(config: &ApiConfig) -> Self {
        let digest = |text: &String| Sha256::digest(text).into();
        let hosts = config.hosts.iter();
        Self {
            user: config.user.as_ref().map(digest),
            password: config.password.as_ref().map(digest),
            hosts: hosts.map(|name| canonical(name)).collect(),
            by_name: matches!(config.listen, Listen::Tcp(_)),
            failures: Mutex::default(),
        }
    }

    /// Whether a request with this head may pass.
    pub(super) fn check(&self, head: &Parts, source: Option<IpAddr>) -> Result<(), ApiError> {
        let host = only(&head.headers, &HOST, "more than one Host")?;
        let host = host.ok_or(ApiError::Head("no Host"))?;
        if self.by_name {
            // a target that names a host overrides the header (RFC 9112, 3.2.2)
            let named = head.uri.authority().map(|a| a.as_str());
            for text in named.into_iter().chain([host]) {
                let host = Authority::parse(text).ok_or(ApiError::Head("bad Host"))?;
                if !self.is_ours(&host) {
                    return Err(ApiError::Host);
                }
            }
        }
        self.check_page(head, host)?;
        self.check_password(head, source)?;
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method);
        // the RPC has a header of its own for the same
        let rpc = transmission::is_rpc(head.uri.path());
        if !reads && !rpc && head.headers.get(OURS).is_none_or(|v| v != "1") {
            return Err(ApiError::Csrf);
        }
        Ok(())
    }

    /// No name that somebody else can have had resolve to this machine. An address is none: a page that was loaded from
    /// there is ours.
    fn is_ours(&self, host: &Authority) -> bool {
        match host.ip() {
            Some(ip) => !ip.is_unspecified() && !ip.is_multicast(),
            None => host.name == "localhost" || self.is_configured(&host.name),
        }
    }

    fn is_configured(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| match host.strip_prefix('*') {
            Some(end) if end.starts_with('.') => name.ends_with(end),
            _ => name == host,
        })
    }

    /// Whether it is a page of ours that asks, or none, or a link on another one that somebody follows.
    fn check_page(&self, head: &Parts, host: &str) -> Result<(), ApiError> {
        let text = |name, several| only(&head.headers, &name, several);
        if let Some(origin) = text(ORIGIN, "more than one Origin")? {
            let (scheme, page) = origin.split_once("://").ok_or(ApiError::Foreign)?;
            let page = Authority::parse(page).ok_or(ApiError::Foreign)?;
            let usual = match scheme {
                "http" => 80,
                "https" => 443,
                _ => return Err(ApiError::Foreign),
            };
            let port = page.port.unwrap_or(usual);
            let host = Authority::parse(host).ok_or(ApiError::Head("bad Host"))?;
            // a proxy in front of us may speak TLS, and may call us by another name than itself
            let same = page.name == host.name
                && host.port.map_or([80, 443].contains(&port), |p| p == port);
            let known = port == usual && self.is_configured(&page.name);
            if !same && !known {
                return Err(ApiError::Foreign);
            }
        }
        let site = text(SITE, "more than one Sec-Fetch-Site")?;
        let foreign = matches!(site, Some("cross-site" | "same-site"));
        let mode = text(MODE, "more than one Sec-Fetch-Mode")?;
        let followed = head.method == Method::GET && mode == Some("navigate");
        match foreign && !followed {
            true => Err(ApiError::Foreign),
            false => Ok(()),
        }
    }

    fn check_password(&self, head: &Parts, source: Option<IpAddr>) -> Result<(), ApiError> {
        let Some(password) = &self.password else {
            return Ok(());
        };
        // probes have none, and learn nothing but yes or no
        if head.uri.path() == "/healthz" {
            return Ok(());
        }
        let given = only(&head.headers, &AUTHORIZATION, "more than one Authorization")?;
        let given = given.ok_or(ApiError::Unauthorized)?;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // before it is looked at: the answer to a guess tells nothing then
        if source.is_some_and(|source| failures.left(source, now) < 1.0) {
            return Err(ApiError::TooManyFailures);
        }
        let right = credentials(given).is_some_and(|(name, word)| {
            let user = self.user.as_ref();
            let user = user.map_or(Choice::from(1), |user| is_digest_of(user, &name));
            (user & is_digest_of(password, &word)).into()
        });
        if right {
            return Ok(());
        }
        if let Some(source) = source
            && failures.count(source, now) < 1.0
        {
            tracing::warn!("too many wrong passwords for the API");
            tracing::debug!("the last from {source}");
        }
        Err(ApiError::Unauthorized)
    }
}

fn is_digest_of(digest: &[u8; 32], text: &[u8]) -> Choice {
    Sha256::digest(text).as_slice().ct_eq(digest)
}

/// Name and password of Basic authentication (RFC 7617).
fn credentials(header: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, coded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut name = STANDARD.decode(coded.trim()).ok()?;
    let colon = name.iter().position(|c| *c == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((name, password))
}

/// The value of a header that may be there once.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    several: &'static str,
) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::Head(several));
    }
    let text = first.map(|value| {
        value
            .to_str()
            .map_err(|_| ApiError::Head("a header is no text"))
    });
    text.transpose()
}

/// The name or address and the port of a `Host` header or an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    /// In lower case, without brackets and the dot of the root.
    name: String,
    port: Option<u16>,
    bracketed: bool,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest, bracketed) = match text.strip_prefix('[') {
            Some(text) => {
                let (ip, rest) = text.split_once(']')?;
                ip.parse::<Ipv6Addr>().ok()?;
                (ip, rest, true)
            }
            None => {
                let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                (name, rest, false)
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if rest.is_empty() => None,
            _ => return None,
        };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if name.is_empty() || !bracketed && !name.bytes().all(is_name) {
            return None;
        }
        Some(Self {
            name: canonical(name),
            port,
            bracketed,
        })
    }

    fn ip(&self) -> Option<IpAddr> {
        match self.bracketed {
            true => self.name.parse().ok().map(IpAddr::V6),
            false => self.name.parse().ok().map(IpAddr::V4),
        }
    }
}

/// A name as it is compared.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Wrong passwords by source.
#[derive(Default)]
struct Failures {
    /// How many a source may still send, as of when.
    by_source: BTreeMap<IpAddr, (f64, Instant)>,
}

impl Failures {
    /// How many `source` may still send.
    fn left(&self, source: IpAddr, now: Instant) -> f64 {
        let counted = self.by_source.get(&network(source));
        counted.map_or(FAILURES, |counted| refilled(*counted, now))
    }

    /// Counts one; returns how many it may still send.
    fn count(&mut self, source: IpAddr, now: Instant) -> f64 {
        let left = self.left(source, now) - 1.0;
        let source = network(source);
        if self.by_source.len() >= SOURCES && !self.by_source.contains_key(&source) {
            self.by_source
                .retain(|_, counted| refilled(*counted, now) < FAILURES);
            let oldest = self.by_source.iter().min_by_key(|(_, (_, at))| *at);
            let oldest = oldest.map(|(source, _)| *source);
            if let Some(oldest) = oldest
                && self.by_source.len() >= SOURCES
            {
                self.by_source.remove(&oldest);
            }
        }
        self.by_source.insert(source, (left, now));
        left
    }
}

fn refilled((left, at): (f64, Instant), now: Instant) -> f64 {
    let again = now.duration_since(at).div_duration_f64(FAILURE_PERIOD);
    (left + again).min(FAILURES)
}

/// What one person has many addresses of.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
