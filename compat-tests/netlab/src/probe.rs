//! Round-trip time and throughput between two namespaces, with nothing but this program.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

/// Payload of a full TCP segment with timestamps, and what it is on the wire.
const SEGMENT: (f64, f64) = (1448.0, 1514.0);

/// Answers datagrams with themselves, and one stream after the other with how fast it came, until it is killed.
///
/// # Errors
/// When the address is not free.
pub(crate) fn serve(at: SocketAddr) -> Result<()> {
    let udp = UdpSocket::bind(at).with_context(|| format!("UDP {at}"))?;
    let tcp = TcpListener::bind(at).with_context(|| format!("TCP {at}"))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((n, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&buffer[..n], from);
        }
    });
    for stream in tcp.incoming() {
        // one that fails is the sender's loss, which it reports
        let _ = stream.map_err(Into::into).and_then(measure);
    }
    Ok(())
}

/// Reads a stream, which begins with how many milliseconds do not count, and answers with what it measured.
fn measure(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let (begun, skip) = (
        Instant::now(),
        Duration::from_millis(u32::from_be_bytes(head).into()),
    );
    let mut buffer = vec![0; 1 << 18];
    let (mut bytes, mut since, mut last) = (0u64, None, begun);
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        let now = Instant::now();
        match since {
            None if now - begun >= skip => since = Some(now),
            None => {}
            Some(_) => {
                bytes += n as u64;
                last = now;
            }
        }
    }
    let seconds = since.map_or(0.0, |s| (last - s).as_secs_f64());
    writeln!(stream, "{}", json!({ "bytes": bytes, "seconds": seconds }))?;
    Ok(())
}

/// Waits until something accepts connections there.
///
/// # Errors
/// When nothing does in time.
pub(crate) fn reach(at: SocketAddr, deadline: Duration) -> Result<()> {
    let end = Instant::now() + deadline;
    loop {
        match TcpStream::connect_timeout(&at, Duration::from_secs(1)) {
            Ok(_) => return Ok(()),
            Err(e) if Instant::now() >= end => return Err(e).with_context(|| format!("{at}")),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Waits until a tracker knows a peer that has everything.
///
/// # Errors
/// When it knows none in time.
pub(crate) fn seeds(tracker: SocketAddr, infohash: &str, deadline: Duration) -> Result<()> {
    let hash: String = (0..infohash.len() / 2)
        .filter_map(|i| infohash.get(2 * i..2 * i + 2))
        .map(|byte| format!("%{byte}"))
        .collect();
    let end = Instant::now() + deadline;
    loop {
        let answer = scrape(tracker, &hash).unwrap_or_default();
        if complete(&answer).is_some_and(|n| n > 0) {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("the tracker knows no seed after {deadline:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn scrape(tracker: SocketAddr, hash: &str) -> std::io::Result<Vec<u8>> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&tracker, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(
        stream,
        "GET /scrape?info_hash={hash} HTTP/1.0\r\nHost: {tracker}\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(1 << 16).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The number of complete peers in a tracker's answer.
fn complete(answer: &[u8]) -> Option<u32> {
    let key = b"8:completei";
    let at = answer.windows(key.len()).position(|w| w == key)? + key.len();
    let digits = answer[at..].split(|b| *b == b'e').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The median of some round trips.
///
/// # Errors
/// When less than half of the datagrams come back.
pub(crate) fn round_trip(to: SocketAddr, count: u32) -> Result<Duration> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut times = Vec::new();
    // the first one waits for ARP
    for number in 0..=count {
        let (sent, mut buffer) = (Instant::now(), [0; 64]);
        socket.send(&number.to_be_bytes())?;
        while let Ok(n) = socket.recv(&mut buffer) {
            if buffer[..n] == number.to_be_bytes() {
                if number > 0 {
                    times.push(sent.elapsed());
                }
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    times.sort_unstable();
    if times.len() * 2 < count as usize {
        bail!("{} of {count} datagrams came back from {to}", times.len());
    }
    Ok(times[times.len() / 2])
}

/// What one TCP flow reached.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Bits a second on the wire.
    pub(crate) rate: f64,
    /// The congestion control that it had.
    pub(crate) algorithm: String,
}

/// Sends for `time`, of which the first `skip` does not count.
///
/// # Errors
/// When the connection fails.
pub(crate) fn flow(to: SocketAddr, time: Duration, skip: Duration) -> Result<Flow> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let algorithm = rustix::net::sockopt::tcp_congestion(&stream)?;
    let head = u32::try_from(skip.as_millis()).context("the time that does not count")?;
    stream.write_all(&head.to_be_bytes())?;
    let (begun, block) = (Instant::now(), vec![0x5a; 1 << 16]);
    while begun.elapsed() < time {
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let value: serde_json::Value = serde_json::from_str(&answer).context("the receiver's line")?;
    let (bytes, seconds) = (value["bytes"].as_f64(), value["seconds"].as_f64());
    match (bytes, seconds) {
        (Some(bytes), Some(seconds)) if seconds > 0.0 => Ok(Flow {
            rate: bytes * 8.0 / seconds * (SEGMENT.1 / SEGMENT.0),
            algorithm,
        }),
        _ => bail!("nothing of the flow came after {skip:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_fast_and_near() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a port");
        std::thread::spawn(move || serve(port));
        reach(port, Duration::from_secs(10)).expect("it listens");
        let rtt = round_trip(port, 5).expect("answers");
        assert!(rtt < Duration::from_millis(500), "{rtt:?}");
        let (time, skip) = (Duration::from_millis(300), Duration::from_millis(100));
        let flow = flow(port, time, skip).expect("flows");
        assert!(flow.rate > 1e6, "{flow:?}");
        assert!(!flow.algorithm.is_empty());
    }

    #[test]
    fn complete_peers_are_counted_in_a_scrape() {
        let answer = b"HTTP/1.0 200 OK\r\n\r\nd5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei12e10:downloadedi3eeee";
        assert_eq!(complete(answer), Some(12));
        for none in [
            &b""[..],
            b"8:completei",
            b"8:completei-1e",
            b"8:completeixe",
            b"d5:filesdee",
        ] {
            assert_eq!(complete(none), None);
        }
    }

    #[test]
    fn nobody_is_an_error() {
        let port = std::net::UdpSocket::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a port");
        assert!(reach(port, Duration::ZERO).is_err());
        assert!(flow(port, Duration::from_millis(1), Duration::ZERO).is_err());
    }
}
