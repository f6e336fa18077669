//! The tracker over HTTP: one request a connection, bounded in number, size and time.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::announce::{Announce, MAX_QUERY, scraped};
use super::answer::{refusal, scrape};
use super::service::Shared;

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 256; // guess: a client with 1,000 torrents has 50 announces under way

/// Time for a request to arrive.
const REQUEST: Duration = Duration::from_secs(10); // guess

/// Time for the whole connection.
const WHOLE: Duration = Duration::from_secs(60); // guess: a few times what an announce waits

/// Bytes of a request that are read, its query included.
const BUFFER: usize = 8192 + MAX_QUERY;

/// Who asks for something else reads this.
const ABOUT: &str = "ChunkCast answers the announces of BitTorrent clients here: add this address with /announce as a \
                     tracker to a torrent.\n";

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::debug!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| respond(&shared, remote, request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST)
                .max_buf_size(BUFFER)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            if let Ok(Err(e)) = timeout(WHOLE, connection).await {
                tracing::trace!("{remote}: {e}");
            }
            drop(place);
        });
    }
}

async fn respond(
    shared: &Arc<Shared>,
    remote: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.method() {
        _ if is_of_a_page(&request) => {
            let why = "no page may announce";
            (StatusCode::FORBIDDEN, why.into())
        }
        &Method::GET => match request.uri().path() {
            "/announce" => {
                let query = request.uri().query().unwrap_or("");
                (StatusCode::OK, announce(shared, remote.ip(), query).await)
            }
            "/scrape" => {
                let query = request.uri().query().unwrap_or("");
                let all = scraped(query).into_iter();
                let counts = all.map(|hash| (hash, shared.scrape(&hash))).collect();
                (StatusCode::OK, scrape(&counts))
            }
            "/" => (StatusCode::OK, ABOUT.into()),
            _ => (StatusCode::NOT_FOUND, "nothing here\n".into()),
        },
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    Ok(response)
}

async fn announce(shared: &Arc<Shared>, from: IpAddr, query: &str) -> Vec<u8> {
    let announce = match Announce::from_query(query) {
        Ok(announce) => announce,
        Err(e) => return refusal(&e.to_string(), false),
    };
    match shared.announce(from, &announce).await {
        Ok(answer) => answer.to_http(announce.compact),
        Err(refused) => refusal(&refused.reason, refused.retry),
    }
}

/// Whether a browser asks on behalf of a page: no BitTorrent client sends these headers, or a name that somebody has had
/// resolve to this host.
fn is_of_a_page(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-mode") {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    !host.is_none_or(is_plain)
}

/// An address, or a name without a dot.
fn is_plain(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || !name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_can_point_here_are_no_hosts_of_a_tracker() {
        for host in [
            "127.0.0.1:6969",
            "[::1]:6969",
            "::1",
            "localhost",
            "localhost:6969",
            "nas",
        ] {
            assert!(is_plain(host), "{host}");
        }
        for host in ["evil.example", "evil.example:6969", "127.0.0.1.nip.example"] {
            assert!(!is_plain(host), "{host}");
        }
    }
}
