//! One bounded HTTP request: a GET for trackers and .torrent files, or what a router is asked; and what web seeds have in
//! common with that.
//!
//! The client for http has no TLS roots and always builds; the one for https is built at the first https URL and may
//! fail where the system has no CA certificates, which then fails https alone. Redirects are followed here, not in the
//! client, so that each hop picks the right client and `magnet:` or other schemes end the chain. The system's proxy
//! settings are not used: a tracker must see the address that peers can reach.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{COOKIE, LOCATION};
use reqwest::{Client, ClientBuilder, Request, Response, redirect};
use url::Url;

/// Time for a connection, TLS included, within the deadline of the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects followed.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Why a GET brought no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// https, and no CA certificates on this system.
    NoCertificates,
    /// More than so many bytes announced or sent.
    TooLarge(u64),
    /// Not done in time.
    Timeout,
    /// The host's name has no address.
    Dns,
    /// The server's certificate is not valid or not trusted.
    BadCertificate,
    /// Nobody listens, no route, reset while connecting.
    Connect(String),
    /// Broken HTTP, or the connection ended early.
    Broken(String),
    /// More than [`MAX_REDIRECTS`].
    Redirects,
    /// A redirect without a usable http(s) address; its scheme, if any.
    BadRedirect(String),
}

/// Status and body.
#[derive(Debug)]
pub(crate) struct Page {
    /// HTTP status.
    pub(crate) status: u16,
    /// The body, at most `max_bytes`.
    pub(crate) body: Bytes,
}

/// Gets `url`, all within `deadline`. The body of a status other than 200 is read only if `any_body`.
pub(crate) async fn get(
    url: Url,
    deadline: Duration,
    max_bytes: u64,
    any_body: bool,
) -> Result<Page, HttpError> {
    tokio::time::timeout(deadline, follow(url, None, max_bytes, any_body))
        .await
        .unwrap_or(Err(HttpError::Timeout))
}

/// [`get`] with a `Cookie` header, which redirects to another origin do not take along.
pub(crate) async fn get_with_cookies(
    url: Url,
    cookies: Option<&str>,
    deadline: Duration,
    max_bytes: u64,
) -> Result<Page, HttpError> {
    tokio::time::timeout(deadline, follow(url, cookies, max_bytes, false))
        .await
        .unwrap_or(Err(HttpError::Timeout))
}

/// Sends one request, all within `deadline`, and reads what comes back whatever its status; a redirect is not followed.
pub(super) async fn send_once(
    request: Request,
    deadline: Duration,
    max_bytes: u64,
) -> Result<Page, HttpError> {
    let answer = async {
        let client = client_for(request.url()).await?;
        let response = client.execute(request).await.map_err(classify)?;
        read(response, max_bytes, true).await
    };
    tokio::time::timeout(deadline, answer)
        .await
        .unwrap_or(Err(HttpError::Timeout))
}

async fn follow(
    mut url: Url,
    cookies: Option<&str>,
    max_bytes: u64,
    any_body: bool,
) -> Result<Page, HttpError> {
    let origin = url.origin();
    for _ in 0..=MAX_REDIRECTS {
        let client = client_for(&url).await?;
        let mut request = client.get(url.clone());
        if let Some(cookies) = cookies.filter(|_| url.origin() == origin) {
            request = request.header(COOKIE, cookies);
        }
        let response = request.send().await.map_err(classify)?;
        if !redirects(&response) {
            return read(response, max_bytes, any_body).await;
        }
        url = target(&url, &response)?;
    }
    Err(HttpError::Redirects)
}

/// Whether the answer is to be looked for elsewhere.
pub(crate) fn redirects(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads.
pub(crate) fn target(from: &Url, response: &Response) -> Result<Url, HttpError> {
    let bad = |what: &str| HttpError::BadRedirect(what.to_owned());
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| bad("no address"))?;
    let to = from.join(location).map_err(|_| bad("no valid address"))?;
    match to.scheme() {
        "http" | "https" => Ok(to),
        scheme => Err(bad(&format!("a {scheme}: address"))),
    }
}

async fn read(mut response: Response, max_bytes: u64, any_body: bool) -> Result<Page, HttpError> {
    let status = response.status().as_u16();
    if status != 200 && !any_body {
        let body = Bytes::new();
        return Ok(Page { status, body });
    }
    if response.content_length().is_some_and(|n| n > max_bytes) {
        return Err(HttpError::TooLarge(max_bytes));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(classify)? {
        if (body.len() + chunk.len()) as u64 > max_bytes {
            return Err(HttpError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    let body = body.freeze();
    Ok(Page { status, body })
}

/// The client for the URL's scheme. No connections are kept, since announces are minutes apart; that also lets one
/// client serve every runtime of the process.
async fn client_for(url: &Url) -> Result<Client, HttpError> {
    static PLAIN: OnceLock<Option<Client>> = OnceLock::new();
    static TLS: OnceLock<Option<Client>> = OnceLock::new();
    if url.scheme() == "http" {
        let without_roots = || builder().tls_certs_only([]).build().ok();
        return PLAIN
            .get_or_init(without_roots)
            .clone()
            .ok_or_else(|| HttpError::Broken("the HTTP client cannot start".to_owned()));
    }
    // Reading the system's certificates is tens of milliseconds of file reads and parsing.
    let built = match TLS.get() {
        Some(built) => built.clone(),
        None => tokio::task::spawn_blocking(|| TLS.get_or_init(|| builder().build().ok()).clone())
            .await
            .unwrap_or(None),
    };
    built.ok_or(HttpError::NoCertificates)
}

/// What all clients have in common; no connection is kept by default.
pub(crate) fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("ChunkCast/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .referer(false)
        .no_proxy()
}

/// reqwest's error by what the user can do about it. The URL is left out: it may hold a passkey.
pub(crate) fn classify(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    if error.is_timeout() {
        return HttpError::Timeout;
    }
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(cause.to_string());
        source = cause.source();
    }
    let all = chain.join(": ");
    if all.contains("dns error") {
        HttpError::Dns
    } else if all.contains("invalid peer certificate") {
        HttpError::BadCertificate
    } else if error.is_connect() {
        HttpError::Connect(chain.pop().unwrap_or_else(|| "no connection".to_owned()))
    } else {
        HttpError::Broken(chain.pop().unwrap_or_else(|| error.to_string()))
    }
}
