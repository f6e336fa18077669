//! Fetching .torrent files: what a user sees when it goes wrong, and that nothing is unbounded.

#![allow(clippy::disallowed_types, clippy::unwrap_used)] // the other side of the network is here, and a test may panic

use std::process::Command;
use std::time::Duration;

use super::common::{Http, Reply, response, within};
use chunkcast_bittorrent::discovery::{FetchError, FetchLimits, fetch_torrent};

fn limits(deadline_ms: u64, max_bytes: u64) -> FetchLimits {
    FetchLimits {
        deadline: Duration::from_millis(deadline_ms),
        max_bytes,
    }
}

async fn fetch(url: &str) -> Result<Vec<u8>, FetchError> {
    within(fetch_torrent(url, limits(10_000, 1000)))
        .await
        .map(|b| b.to_vec())
}

async fn serve(reply: impl FnMut(&str) -> Reply + Send + 'static) -> Http {
    Http::start("127.0.0.1:0", reply).await.unwrap()
}

/// One line, begins with the URL.
fn message(error: &FetchError, url: &str) -> String {
    let text = error.to_string();
    assert!(text.starts_with(url), "{text}");
    assert!(!text.contains('\n'), "{text}");
    text
}

#[tokio::test]
async fn a_body_within_the_limit_arrives_whole() {
    let mut server = serve(|_| Reply::Body(vec![7; 1000])).await;
    assert_eq!(
        fetch(&server.url("/a.torrent?k=%20")).await.unwrap(),
        vec![7; 1000]
    );
    let (path, head) = server.seen.recv().await.unwrap();
    assert_eq!(path, "/a.torrent?k=%20");
    let agent = format!("user-agent: ChunkCast/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(head.contains(&agent), "{head}");
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let server = serve(|_| {
        Reply::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec())
    })
    .await;
    assert_eq!(fetch(&server.url("/")).await.unwrap(), b"abcde");
}

#[tokio::test]
async fn another_status_is_named() {
    let server = serve(|_| response("404 Not Found", "", b"gone")).await;
    let url = server.url("/x");
    let error = fetch(&url).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }));
    assert!(message(&error, &url).contains("HTTP status 404"));
}

#[tokio::test]
async fn too_large_by_header_or_by_stream_is_refused() {
    let header = serve(|_| Reply::Body(vec![0; 1001])).await;
    let stream = serve(|_| {
        Reply::Endless(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            b"100\r\n"
                .iter()
                .copied()
                .chain([b'x'; 256])
                .chain(*b"\r\n")
                .collect(),
        )
    })
    .await;
    let until_close =
        serve(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 4096])).await;
    for server in [header, stream, until_close] {
        let url = server.url("/big");
        let error = fetch(&url).await.unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge { limit: 1000, .. }),
            "{error}"
        );
        message(&error, &url);
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_a_loop_ends() {
    let mut hops = 0;
    let server = serve(move |path| {
        if path == "/loop" {
            return response("302 Found", "Location: /loop\r\n", b"");
        }
        hops += 1;
        if hops <= 5 {
            response("302 Found", "Location: ../next\r\n", b"")
        } else {
            Reply::Body(b"end".to_vec())
        }
    })
    .await;
    assert_eq!(fetch(&server.url("/start")).await.unwrap(), b"end");
    let url = server.url("/loop");
    let error = fetch(&url).await.unwrap_err();
    assert!(message(&error, &url).contains("more than 5 redirects"));
}

#[tokio::test]
async fn redirects_to_magnets_files_or_nowhere_are_not_followed() {
    for (location, says) in [
        (
            "Location: magnet:?xt=urn:btih:00\r\n",
            "redirects to a magnet: address",
        ),
        (
            "Location: file:///etc/passwd\r\n",
            "redirects to a file: address",
        ),
        ("Location: http://[bad\r\n", "no valid address"),
        ("", "no address"),
    ] {
        let server = serve(move |_| response("301 Moved", location, b"")).await;
        let url = server.url("/m");
        let error = fetch(&url).await.unwrap_err();
        assert!(message(&error, &url).contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_dawdles_is_left_at_the_deadline() {
    let never = serve(|_| Reply::Hang).await;
    let halfway = serve(|_| {
        // The head promises more than comes.
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec())
    })
    .await;
    let url = never.url("/slow");
    let error = within(fetch_torrent(&url, limits(150, 1000)))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    message(&error, &url);

    let url = halfway.url("/short");
    let error = fetch(&url).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken { .. }), "{error}");
    message(&error, &url);
}

#[tokio::test]
async fn garbage_for_http_is_one_line() {
    for raw in [
        &b"\xff\xfe\x00garbage\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
        b"",
    ] {
        let raw = raw.to_vec();
        let server = serve(move |_| Reply::Raw(raw.clone())).await;
        let url = server.url("/g");
        let error = fetch(&url).await.unwrap_err();
        assert!(matches!(error, FetchError::Broken { .. }), "{error:?}");
        message(&error, &url);
    }
    let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 10_000]].concat();
    let server = serve(move |_| Reply::Endless(long.clone(), vec![b'a'; 4096])).await;
    let error = fetch(&server.url("/h")).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_and_unknown_names_are_told_apart() {
    let url = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/x", socket.local_addr().unwrap())
    };
    let error = fetch(&url).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    assert!(message(&error, &url).contains("refused"), "{error}");

    let url = "http://nobody.invalid/x.torrent";
    let error = fetch(url).await.unwrap_err();
    assert!(matches!(error, FetchError::Dns { .. }), "{error}");
    message(&error, url);

    for url in ["nonsense", "ftp://h/x", "magnet:?xt=urn:btih:00", ""] {
        let error = fetch(url).await.unwrap_err();
        assert!(matches!(error, FetchError::Url { .. }), "{error}");
        message(&error, url);
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_a_connection_error() {
    let server = serve(|_| Reply::Body(vec![])).await;
    let url = format!("https://{}/x", server.address);
    let error = fetch(&url).await.unwrap_err();
    // Where the machine has no certificates, the connection is not even tried.
    let expected = matches!(
        error,
        FetchError::Connect { .. } | FetchError::NoCertificates { .. }
    );
    assert!(expected, "{error}");
    message(&error, &url);
}

/// Runs the test below in a process of its own, because certificates are looked for once a process.
#[test]
fn without_ca_certificates_http_works_and_https_says_why_not() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "fetch::child_without_ca_certificates",
            "--ignored",
        ])
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by without_ca_certificates_http_works_and_https_says_why_not"]
async fn child_without_ca_certificates() {
    if std::env::var_os("SSL_CERT_DIR").is_none_or(|dir| dir != "/nonexistent") {
        return;
    }
    let server = serve(|path| match path {
        "/to-https" => response("302 Found", "Location: https://127.0.0.1:1/x\r\n", b""),
        _ => Reply::Body(b"fine".to_vec()),
    })
    .await;
    assert_eq!(fetch(&server.url("/")).await.unwrap(), b"fine");
    for url in ["https://127.0.0.1:1/x".to_owned(), server.url("/to-https")] {
        let error = fetch(&url).await.unwrap_err();
        assert!(
            matches!(error, FetchError::NoCertificates { .. }),
            "{error}"
        );
        assert!(message(&error, &url).contains("install ca-certificates"));
    }
    assert_eq!(fetch(&server.url("/")).await.unwrap(), b"fine");
}
