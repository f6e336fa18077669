//! Fetching a .torrent file from an http(s) URL, within a deadline and a size.
//!
//! What arrives is bytes, nothing more: whoever parses them checks them.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::http::{self, HttpError, MAX_REDIRECTS};

/// Limits of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Time for all of it: names, redirects, body.
    pub deadline: Duration,
    /// Longest body in bytes.
    pub max_bytes: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30), // guess: what a person waits for
            max_bytes: 64 << 20,               // guess: 3 million piece hashes
        }
    }
}

/// Why a .torrent could not be fetched. Every message names the URL and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not an http(s) URL.
    #[error("{url}: not an http or https URL; give one, a magnet link or a .torrent file")]
    Url {
        /// As given.
        url: String,
    },
    /// Any status but 200.
    #[error("{url}: the server answered with HTTP status {status}; check the URL in a browser")]
    Status {
        /// As given.
        url: String,
        /// The status.
        status: u16,
    },
    /// More bytes than [`FetchLimits::max_bytes`].
    #[error("{url}: more than {limit} bytes, which no .torrent file needs; check the URL")]
    TooLarge {
        /// As given.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not done before [`FetchLimits::deadline`].
    #[error("{url}: not fetched within {seconds} s; try again or download the file by other means")]
    Timeout {
        /// As given.
        url: String,
        /// The deadline in seconds.
        seconds: u64,
    },
    /// No address for the host.
    #[error("{url}: the host name cannot be resolved; check the name and the network")]
    Dns {
        /// As given.
        url: String,
    },
    /// https without CA certificates.
    #[error(
        "{url}: https needs CA certificates and this system has none; install ca-certificates or use an http URL"
    )]
    NoCertificates {
        /// As given.
        url: String,
    },
    /// The server's certificate is not accepted.
    #[error("{url}: the server's certificate is not trusted; check the host name and the clock")]
    BadCertificate {
        /// As given.
        url: String,
    },
    /// No connection.
    #[error("{url}: cannot connect ({reason}); check the address, the port and the network")]
    Connect {
        /// As given.
        url: String,
        /// The system's words.
        reason: String,
    },
    /// The answer is broken or ends early.
    #[error("{url}: the transfer broke off ({reason}); try again")]
    Broken {
        /// As given.
        url: String,
        /// What broke.
        reason: String,
    },
    /// A redirect that leads nowhere, in circles or to another scheme.
    #[error("{url}: {reason}; open it in a browser and give the final URL")]
    Redirect {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Fetches `url`.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch_torrent(url: &str, limits: FetchLimits) -> Result<Bytes, FetchError> {
    fetch_with_cookies(url, None, limits).await
}

/// Whether text is meant as an http(s) URL, good or not.
pub(crate) fn is_http(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|s| s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https"))
}

/// [`fetch_torrent`] with a `Cookie` header, which only the server that the URL names gets to see.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch_with_cookies(
    url: &str,
    cookies: Option<&str>,
    limits: FetchLimits,
) -> Result<Bytes, FetchError> {
    let name = || url.to_owned();
    let parsed = Url::parse(url)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https"))
        .ok_or_else(|| FetchError::Url { url: name() })?;
    let url = name();
    match http::get_with_cookies(parsed, cookies, limits.deadline, limits.max_bytes).await {
        Ok(page) if page.status == 200 => Ok(page.body),
        Ok(page) => Err(FetchError::Status {
            url,
            status: page.status,
        }),
        Err(error) => Err(match error {
            HttpError::NoCertificates => FetchError::NoCertificates { url },
            HttpError::TooLarge(limit) => FetchError::TooLarge { url, limit },
            HttpError::Timeout => FetchError::Timeout {
                url,
                seconds: limits.deadline.as_secs(),
            },
            HttpError::Dns => FetchError::Dns { url },
            HttpError::BadCertificate => FetchError::BadCertificate { url },
            HttpError::Connect(reason) => FetchError::Connect { url, reason },
            HttpError::Broken(reason) => FetchError::Broken { url, reason },
            HttpError::Redirects => FetchError::Redirect {
                url,
                reason: format!("more than {MAX_REDIRECTS} redirects"),
            },
            HttpError::BadRedirect(to) => FetchError::Redirect {
                url,
                reason: format!("the server redirects to {to}"),
            },
        }),
    }
}
