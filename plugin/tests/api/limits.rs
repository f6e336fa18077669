//! Requests that are too long, too slow, too many, or not quite HTTP: each is refused, and others are served meanwhile.

use std::time::Duration;

use chunkcast_bittorrent::api::ApiConfig;
use chunkcast_bittorrent::daemon::{Command, Event, Inbox, channel};
use futures::future::select_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Answer, Api, DEADLINE, HERE, Scripted, poll, read_until};

/// One whose patience a test can wait out.
async fn impatient() -> Scripted {
    Scripted::with(ApiConfig {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        stalled: Duration::from_millis(300),
        ..ApiConfig::default()
    })
    .await
}

/// Sends a byte at a time until the other end has had enough.
async fn drip(mut stream: TcpStream, text: &str) -> Answer {
    let (mut read, mut write) = stream.split();
    let dripping = async {
        for byte in text.as_bytes().iter().cycle() {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut bytes = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut bytes);
    let over = timeout(DEADLINE, async {
        tokio::select! {
            () = dripping => {}
            _ = reading => {}
        }
    });
    over.await.expect("it has enough in time");
    Answer::of(&bytes)
}

#[tokio::test]
async fn a_head_that_drips_in_is_given_up_and_others_are_served_meanwhile() {
    let api = impatient().await;
    let mut slow = api.connect().await;
    slow.write_all(b"GET /api/v1/torrents HTTP/1.1\r\n")
        .await
        .expect("sent");
    let dripping = tokio::spawn(drip(slow, "X: a\r\n"));
    api.is_well().await;
    let answer = dripping.await.expect("no panic");
    assert!([0, 408].contains(&answer.status), "{answer:?}");
    answer.gives_nothing_away();
}

#[tokio::test]
async fn a_body_that_drips_in_is_given_up_whether_or_not_it_has_a_length() {
    let api = impatient().await;
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let mut slow = api.connect().await;
        let head = format!(
            "POST /api/v1/torrents HTTP/1.1\r\nHost: {}\r\nX-Chunkcast: 1\r\n{framing}\r\n\r\n",
            api.addr
        );
        slow.write_all(head.as_bytes()).await.expect("sent");
        let dripping = tokio::spawn(drip(slow, "1\r\nx\r\n"));
        api.is_well().await;
        dripping.await.expect("no panic").is_refused(408);
    }
    assert!(api.script.asked().is_empty());
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_given_up() {
    let api = impatient().await;
    let mut deaf = api.connect().await;
    let request = format!(
        "GET /api/v1/openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n",
        api.addr
    );
    // answers pile up until neither end's buffers take more
    let piled = async {
        loop {
            deaf.write_all(request.as_bytes()).await?;
        }
    };
    let ended: std::io::Result<()> = timeout(DEADLINE, piled).await.expect("in time");
    ended.expect_err("the connection ends");
    api.is_well().await;
}

#[tokio::test]
async fn bodies_and_heads_have_their_size() {
    let api = Scripted::start().await;
    let torrent = format!("/api/v1/torrents/{HERE}");
    let long = " ".repeat((1 << 20) + 1);
    api.call(&format!("PATCH {torrent}"), &long)
        .await
        .is_refused(413);
    assert_eq!(
        api.call(&format!("PATCH {torrent}"), &long[1..])
            .await
            .status,
        204
    );
    api.script.asked();
    let request = format!(
        "POST /api/v1/torrents HTTP/1.1\r\nHost: {}\r\nX-Chunkcast: 1\r\n",
        api.addr
    );
    // refused by what it says, before any of it has come
    let huge = format!("{request}Content-Length: 1000000000000\r\n\r\n");
    api.raw(huge).await.is_refused(413);
    let endless = format!(
        "{request}Transfer-Encoding: chunked\r\n\r\n{}",
        format!("100000\r\n{}\r\n", "x".repeat(1 << 20)).repeat(16)
    );
    api.raw(endless).await.is_refused(413);
    let upload = format!(
        "{request}Content-Type: application/x-bittorrent\r\nContent-Length: 10485761\r\nConnection: close\r\n\r\n"
    );
    api.raw(upload + &"d".repeat((10 << 20) + 1))
        .await
        .is_refused(413);

    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    for head in [
        format!("X: {}\r\n", "y".repeat(1 << 20)),
        many,
        format!("Cookie: {}\r\n", "y".repeat(20_000)),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{head}\r\n", api.addr);
        let answer = api.raw(request).await;
        assert!([0, 431].contains(&answer.status), "{answer:?}");
        answer.gives_nothing_away();
    }
    let target = format!("/{}", "x".repeat(70_000));
    let answer = api.get(&target).await;
    assert!([0, 414, 431].contains(&answer.status), "{answer:?}");
    assert!(api.script.asked().is_empty());
    api.is_well().await;
}

#[tokio::test]
async fn all_bodies_together_have_a_size_and_give_it_back() {
    let api = Scripted::start().await;
    let head = format!(
        "POST /api/v1/torrents HTTP/1.1\r\nHost: {}\r\nX-Chunkcast: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        api.addr,
        12 << 20
    );
    let mut open = Vec::new();
    let mut refused = None;
    // each sends all but its end, so that what was taken in stays
    for _ in 0..4 {
        let mut stream = api.connect().await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        if stream.write_all(&vec![b' '; (12 << 20) - 1]).await.is_err() {
            refused = Some(Answer::read(&mut stream).await);
            break;
        }
        open.push(stream);
    }
    let refused = match refused {
        Some(refused) => refused,
        None => {
            let answered = open.iter().map(|stream| Box::pin(stream.readable()));
            let (_, which, _) = timeout(DEADLINE, select_all(answered))
                .await
                .expect("four of 12 MiB are more than all may have");
            Answer::read(&mut open[which]).await
        }
    };
    assert!([0, 503].contains(&refused.status), "{refused:?}");
    api.is_well().await;
    drop(open);
    let whole = format!("{}{{\"magnet\":\"x\"}}", " ".repeat(12 << 20));
    let answer = poll("room for a body", async || {
        let answer = api.call("POST /api/v1/torrents", &whole).await;
        (![0, 503].contains(&answer.status)).then_some(answer)
    });
    let answer = answer.await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn bodies_that_wait_for_the_daemon_count_too() {
    let (daemon, mut inbox) = channel();
    let api = Api::of(ApiConfig::default(), daemon).await;
    let whole = format!("{}{{\"magnet\":\"x\"}}", " ".repeat(12 << 20));
    let add = || api.call("POST /api/v1/torrents", &whole);
    let mut waiting = Vec::new();
    let [first, second] = [add(), add()];
    let third = async {
        for _ in 0..2 {
            waiting.push(next_command(&mut inbox).await);
        }
        let refused = tokio::select! {
            answer = add() => answer,
            command = next_command(&mut inbox) => panic!("taken: {command:?}"),
        };
        waiting.clear(); // who asks hears that the daemon is ending
        refused
    };
    let (first, second, third) = tokio::join!(first, second, third);
    assert!(third.head.contains("retry-after"), "{third:?}");
    let why = third.is_refused(503);
    assert!(why.contains("too much is being sent"), "{why}");
    for taken in [first, second] {
        assert_eq!(taken.is_refused(503), "the daemon is ending");
    }
}

async fn next_command(inbox: &mut Inbox) -> Command {
    let command = timeout(DEADLINE, inbox.commands.recv()).await;
    command.expect("asked in time").expect("somebody may ask")
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let api = Scripted::with(ApiConfig {
        connections: 4,
        head: DEADLINE * 2, // nobody goes for being silent
        ..ApiConfig::default()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = api.connect().await;
        api.ask_on(&mut stream, "/healthz").await;
        read_until(&mut stream, "\"ok\"").await;
        idle.push(stream);
    }
    api.is_well().await;
    assert_eq!(
        Answer::read(&mut idle[0]).await.status,
        0,
        "the oldest is closed"
    );
    api.ask_on(&mut idle[3], "/healthz").await;
    read_until(&mut idle[3], "\"ok\"").await;
}

#[tokio::test]
async fn a_flood_of_connections_that_say_nothing_keeps_nobody_out() {
    let api = Scripted::with(ApiConfig {
        connections: 8,
        ..ApiConfig::default()
    })
    .await;
    let mut listener = api.listen().await;
    read_until(&mut listener, "event: listing").await;
    let mut flood = Vec::new();
    for n in 0..64 {
        let mut stream = api.connect().await;
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost:").await;
        flood.push(stream);
        if n % 16 == 15 {
            api.is_well().await;
        }
    }
    // nor do those that are in the middle of a body
    for _ in 0..16 {
        let mut stream = api.connect().await;
        let head = format!(
            "POST /api/v1/torrents HTTP/1.1\r\nHost: {}\r\nX-Chunkcast: 1\r\nContent-Length: 9\r\n\r\n{{",
            api.addr
        );
        let _ = stream.write_all(head.as_bytes()).await;
        flood.push(stream);
    }
    api.is_well().await;
    // who is being answered stays
    let complete = Event::Complete(HERE);
    api.script.events.send(complete).expect("a listener");
    read_until(&mut listener, "event: complete").await;
}

#[tokio::test]
async fn what_is_not_quite_http_is_refused_and_nothing_follows_it() {
    let api = impatient().await;
    let host = format!("Host: {}\r\nX-Chunkcast: 1\r\n", api.addr);
    let hidden = format!("DELETE /api/v1/torrents/{HERE} HTTP/1.1\r\n{host}\r\n");
    let post = format!("POST /api/v1/torrents/{HERE}/pause HTTP/1.1\r\n{host}");
    for smuggled in [
        "Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
        "Content-Length: 0, 5\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "X: a\r\n b: c\r\n\r\n",
        "X\0: a\r\n\r\n",
        "X: a\0b\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ] {
        let answer = api.raw(format!("{post}{smuggled}{hidden}")).await;
        assert!(
            [0, 400].contains(&answer.status),
            "{smuggled:?}: {answer:?}"
        );
        answer.gives_nothing_away();
        assert_eq!(api.script.asked(), [""; 0], "{smuggled:?}");
    }
    // one reader may take the length, another the chunks: what comes after chunks is not read
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let both_ways = [
        both,
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for both in both_ways {
        let answer = api.raw(format!("{post}{both}{hidden}")).await;
        assert!([204, 400].contains(&answer.status), "{answer:?}");
        let asked = api.script.asked();
        assert!(!asked.iter().any(|a| a.starts_with("remove")), "{asked:?}");
    }
    for odd in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = api.raw(odd).await;
        assert!(
            [0, 400, 405, 505].contains(&answer.status),
            "{odd:?}: {answer:?}"
        );
        answer.gives_nothing_away();
    }
    api.is_well().await;
}
