//! Both ways, with the calls for many datagrams and without, do the same.

use std::time::Duration;

use super::*;

const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// Both ways over both families; a machine without IPv6 leaves that out.
async fn each(test: impl AsyncFn(Batch, UdpSocket, std::net::UdpSocket)) {
    for at in LOOPBACK {
        for single in [false, true] {
            let Ok(socket) = UdpSocket::bind(at).await else {
                continue;
            };
            let other = std::net::UdpSocket::bind(at).unwrap();
            other
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let batch = Batch {
                single,
                ..Batch::new()
            };
            test(batch, socket, other).await;
        }
    }
}

/// Everything that comes until `n` datagrams are there.
async fn receive(batch: &mut Batch, socket: &UdpSocket, n: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    while all.len() < n {
        let ready = tokio::time::timeout(Duration::from_secs(10), socket.readable());
        ready.await.expect("datagrams are missing").unwrap();
        let more = batch.receive(socket).unwrap();
        assert!(batch.datagrams().len() <= SLOTS);
        assert!(
            !more || batch.datagrams().len() > 0,
            "more than nothing waits"
        );
        all.extend(batch.datagrams().map(|(from, d)| (from, d.to_vec())));
    }
    all
}

fn transmits(n: u8, to: SocketAddr) -> Vec<Transmit> {
    let payload = |i: u8| vec![i; 1 + 13 * usize::from(i)];
    (0..n)
        .map(|i| Transmit {
            to,
            payload: payload(i),
        })
        .collect()
}

/// Sends all of them; the places of those that did not go.
async fn send(batch: &mut Batch, socket: &UdpSocket, out: &[Transmit]) -> Vec<usize> {
    let (mut at, mut failed) = (0, Vec::new());
    while at < out.len() {
        match batch.send(socket, &out[at..]) {
            Ok(n) => {
                assert!((1..=SLOTS).contains(&n));
                at += n;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => socket.writable().await.unwrap(),
            Err(_) => {
                failed.push(at);
                at += 1;
            }
        }
    }
    failed
}

#[tokio::test]
async fn datagrams_arrive_whole_in_order_and_from_their_senders() {
    each(async |mut batch, socket, other| {
        let third = std::net::UdpSocket::bind(other.local_addr().map(|a| (a.ip(), 0)).unwrap());
        let third = third.unwrap();
        let mut sent = Vec::new();
        for t in transmits(80, socket.local_addr().unwrap()) {
            let from = if t.payload[0] % 3 == 0 {
                &third
            } else {
                &other
            };
            from.send_to(&t.payload, t.to).unwrap();
            sent.push((from.local_addr().unwrap(), t.payload));
        }
        assert_eq!(receive(&mut batch, &socket, 80).await, sent);
        assert!(!batch.receive(&socket).unwrap(), "nothing waits any more");
        assert_eq!(batch.datagrams().len(), 0, "and nothing comes twice");
    })
    .await;
}

#[tokio::test]
async fn a_datagram_that_is_too_long_is_seen_to_be() {
    each(async |mut batch, socket, other| {
        let to = socket.local_addr().unwrap();
        for n in [MAX_DATAGRAM, MAX_DATAGRAM + 1, 9000, 0, 1] {
            other.send_to(&vec![7; n], to).unwrap();
        }
        let lengths: Vec<usize> = receive(&mut batch, &socket, 5)
            .await
            .iter()
            .map(|(_, d)| d.len())
            .collect();
        let long = MAX_DATAGRAM + 1;
        assert_eq!(lengths, [MAX_DATAGRAM, long, long, 0, 1]);
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_arrives_in_order() {
    each(async |mut batch, socket, other| {
        let out = transmits(80, other.local_addr().unwrap());
        assert_eq!(send(&mut batch, &socket, &out).await, [0; 0]);
        let mut buffer = [0; 2048];
        for t in &out {
            let (n, from) = other.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..n], t.payload);
            assert_eq!(from, socket.local_addr().unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_cannot_be_sent_keeps_no_other_back() {
    each(async |mut batch, socket, other| {
        let mut out = transmits(40, other.local_addr().unwrap());
        let bad = [0, 1, 17, 39];
        for i in bad {
            out[i].to.set_port(0);
        }
        assert_eq!(send(&mut batch, &socket, &out).await, bad);
        let mut buffer = [0; 2048];
        for (_, t) in out.iter().enumerate().filter(|(i, _)| !bad.contains(i)) {
            let (n, _) = other.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..n], t.payload);
        }
    })
    .await;
}
