//! Who is kept out, and what they learn.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunkcast_bittorrent::api::{ApiConfig, Listen, ServeError, serve};
use chunkcast_bittorrent::daemon::channel;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::common::{Answer, DEADLINE, HERE, Script, Scripted, poll, read_until};

fn basic(user: &str, password: &str) -> String {
    let text = STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {text}\r\n")
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_password() {
    let script = Script::start();
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let config = ApiConfig {
            listen: Listen::Tcp(open.parse().expect("an address")),
            ..ApiConfig::default()
        };
        let refused = serve(config, script.daemon.clone()).await;
        let why = refused.expect_err("no password");
        assert!(matches!(why, ServeError::Open(_)), "{why}");
        assert!(why.to_string().contains("password"), "{why}");
    }
    let config = ApiConfig {
        listen: Listen::Tcp(([0, 0, 0, 0], 0).into()),
        password: Some("secret".to_owned()),
        ..ApiConfig::default()
    };
    let served = serve(config, script.daemon.clone()).await;
    served.expect("with one").shutdown().await;
}

#[tokio::test]
async fn who_does_not_know_the_password_gets_nothing_from_any_route() {
    let api = Scripted::with_password().await;
    let paths = [
        "/",
        "/metrics",
        "/api/v1/torrents",
        "/api/v1/events",
        "/api/v1/openapi.json",
        "/transmission/rpc",
        "/nothing/here",
    ];
    for path in paths {
        let bare = api.get(path).await;
        bare.is_refused(401);
        assert!(bare.head.contains("www-authenticate: basic realm="));
    }
    for wrong in [
        basic("me", "Secret"),
        basic("me", ""),
        basic("you", "secret"),
        basic("me:secret", ""),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic !!\r\n".to_owned(),
        "Authorization: Bearer secret\r\n".to_owned(),
    ] {
        let answer = api.ask("GET /api/v1/torrents", &wrong, "").await;
        answer.is_refused(401);
    }
    let post = format!("X-Chunkcast: 1\r\n{}", basic("me", "wrong"));
    let line = format!("POST /api/v1/torrents/{HERE}/pause");
    api.ask(&line, &post, "").await.is_refused(401);
    assert!(api.script.asked().is_empty());
    let right = basic("me", "secret");
    let right = api.ask("GET /api/v1/torrents", &right, "").await;
    assert_eq!(right.status, 200);
}

#[tokio::test]
async fn guesses_are_counted_and_the_right_one_does_not_stand_out_among_too_many() {
    let api = Scripted::with_password().await;
    let mut statuses = Vec::new();
    for guess in 0..12 {
        let guess = basic("me", &guess.to_string());
        statuses.push(api.ask("GET /api/v1/torrents", &guess, "").await.status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[11], 429);
    let right = basic("me", "secret");
    let late = api.ask("GET /api/v1/torrents", &right, "").await;
    late.is_refused(429);
    assert!(late.head.contains("retry-after: "));
    // who sends none is asked for one, as a browser that has just come
    api.get("/api/v1/torrents").await.is_refused(401);
}

#[tokio::test]
async fn names_that_others_can_point_here_are_misdirected() {
    let api = Scripted::with(ApiConfig {
        hosts: vec!["box.lan".to_owned(), "*.seed.example".to_owned()],
        ..ApiConfig::default()
    })
    .await;
    let port = api.addr.port();
    let with_host = |host: String| {
        let request =
            format!("GET /api/v1/torrents HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        api.raw(request)
    };
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "seed.example",
    ] {
        with_host(format!("{host}:{port}")).await.is_refused(421);
        with_host(host.to_owned()).await.is_refused(421);
    }
    for host in [
        "",
        "a b",
        "[::1",
        "me@127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:80:80",
    ] {
        let answer = with_host(host.to_owned()).await;
        assert!([400, 421].contains(&answer.status), "{host}: {answer:?}");
        answer.gives_nothing_away();
    }
    for host in [
        "127.0.0.1",
        "localhost",
        "LocalHost.",
        "[::1]",
        "box.lan",
        "a.seed.example",
        "192.168.1.7",
    ] {
        assert_eq!(
            with_host(format!("{host}:{port}")).await.status,
            200,
            "{host}"
        );
    }
    let absolute = "GET http://evil.example/api/v1/torrents HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    api.raw(absolute).await.is_refused(421);
    let two = "GET /api/v1/torrents HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    api.raw(two).await.is_refused(400);
    let none = "GET /api/v1/torrents HTTP/1.0\r\n\r\n";
    api.raw(none).await.is_refused(400);
}

#[tokio::test]
async fn pages_of_other_sites_neither_read_nor_change_anything() {
    let api = Scripted::start().await;
    let port = api.addr.port();
    for page in [
        "http://evil.example",
        "null",
        "file://",
        "http://127.0.0.1:1",
        "https://127.0.0.1.evil.example",
        "x",
    ] {
        let origin = format!("Origin: {page}\r\nX-Chunkcast: 1\r\n");
        let line = format!("POST /api/v1/torrents/{HERE}/pause");
        api.ask(&line, &origin, "").await.is_refused(403);
        api.ask("GET /api/v1/torrents", &origin, "")
            .await
            .is_refused(403);
        // nothing is told to the question whether they may
        let preflight = format!("{origin}Access-Control-Request-Method: POST\r\n");
        let answer = api.ask("OPTIONS /api/v1/torrents", &preflight, "").await;
        assert!(!answer.head.contains("access-control"), "{answer:?}");
        answer.is_refused(403);
    }
    let embedded = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
    api.ask("GET /api/v1/torrents", embedded, "")
        .await
        .is_refused(403);
    let neighbour = "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n";
    api.ask("GET /api/v1/torrents", neighbour, "")
        .await
        .is_refused(403);
    assert!(api.script.asked().is_empty());

    let own = format!("Origin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(api.ask("GET /api/v1/torrents", &own, "").await.status, 200);
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    assert_eq!(api.ask("GET /api/v1/torrents", link, "").await.status, 200);
}

#[tokio::test]
async fn a_change_needs_the_header_that_no_form_can_send() {
    let api = Scripted::start().await;
    let torrent = format!("/api/v1/torrents/{HERE}");
    for line in [
        "POST /api/v1/torrents".to_owned(),
        format!("PATCH {torrent}"),
        format!("DELETE {torrent}"),
        format!("POST {torrent}/start"),
        "PATCH /api/v1/session".to_owned(),
        "POST /api/v1/shutdown".to_owned(),
    ] {
        for headers in ["", "X-Chunkcast: 0\r\n", "Content-Type: text/plain\r\n"] {
            api.ask(&line, headers, "{}").await.is_refused(403);
        }
    }
    assert!(api.script.asked().is_empty());
    let done = api.call(&format!("POST {torrent}/start"), "").await;
    assert_eq!(done.status, 204);
    assert_eq!(api.script.asked(), [format!("start {HERE} false")]);
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_trust_nothing_else() {
    let api = Scripted::with_password().await;
    let right = basic("me", "secret");
    for answer in [
        api.get("/api/v1/torrents").await,
        api.ask("GET /api/v1/torrents", &right, "").await,
        api.ask("GET /nothing", &right, "").await,
        api.ask(
            "PUT /api/v1/torrents",
            &format!("X-Chunkcast: 1\r\n{right}"),
            "",
        )
        .await,
    ] {
        for header in [
            "content-security-policy: default-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{header}: {answer:?}");
        }
        assert!(!answer.head.contains("unsafe-inline"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_its_owners_alone_and_replaces_that_of_a_dead_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("api.sock");
    // what a process leaves that was killed
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let script = Script::start();
    let config = || ApiConfig {
        listen: Listen::Unix(path.clone()),
        ..ApiConfig::default()
    };
    let server = serve(config(), script.daemon.clone()).await;
    let server = server.expect("the dead one is replaced");
    let mode = std::fs::metadata(&path).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let taken = serve(config(), script.daemon.clone()).await;
    assert!(matches!(taken, Err(ServeError::InUse(_))), "{taken:?}");

    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    let request = "GET /healthz HTTP/1.1\r\nHost: chunkcast\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 200);
    server.shutdown().await;
    assert!(!path.exists());

    std::fs::write(&path, "a file").expect("written");
    let in_the_way = serve(config(), script.daemon.clone()).await;
    assert!(matches!(in_the_way, Err(ServeError::InTheWay(_))));
    assert_eq!(std::fs::read(&path).expect("still there"), b"a file");
}

#[tokio::test]
async fn the_end_of_one_server_leaves_the_socket_of_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("api.sock");
    let config = || ApiConfig {
        listen: Listen::Unix(path.clone()),
        ..ApiConfig::default()
    };
    let (daemon, mut inbox) = channel();
    let first = serve(config(), daemon).await.expect("a free path");
    let mut asking = UnixStream::connect(&path).await.expect("a connection");
    let request = "GET /api/v1/history HTTP/1.1\r\nHost: localhost\r\n\r\n";
    asking.write_all(request.as_bytes()).await.expect("sent");
    let asked = timeout(DEADLINE, inbox.commands.recv()).await;
    let ending = tokio::spawn(first.shutdown());
    let script = Script::start();
    let second = poll("the path is free", async || {
        serve(config(), script.daemon.clone()).await.ok()
    });
    let second = second.await;
    drop(asked); // only now the first one ends
    ending.await.expect("no panic");
    let mut stream = UnixStream::connect(&path).await.expect("the second");
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 200);
    second.shutdown().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn an_end_lets_answers_out_and_takes_nothing_new() {
    let Scripted { api, script } = Scripted::start().await;
    let mut idle = api.connect().await;
    let mut listening = api.listen().await;
    read_until(&mut listening, "event: listing").await;
    let stopped = timeout(DEADLINE, api.server.shutdown());
    stopped.await.expect("an end, whoever listens");
    let rest = Answer::read(&mut listening).await;
    assert!(rest.head.ends_with("\r\n0"), "its end is said: {rest:?}");
    assert_eq!(Answer::read(&mut idle).await.status, 0);
    let refused = timeout(DEADLINE, tokio::net::TcpStream::connect(api.addr)).await;
    refused
        .expect("in time")
        .expect_err("nobody listens any more");
    drop(script);
}
