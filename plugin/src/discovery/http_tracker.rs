//! The HTTP tracker protocol, sans-IO: the announce URL (BEP 3) and the answer (BEP 3, 7, 23).
//!
//! Tolerant where trackers are sloppy (key order, repeated keys, incomplete last entries, text after the end) and
//! strict where it costs: at most [`MAX_BODY`] bytes, [`MAX_PEERS`](super::MAX_PEERS) peers and bounded nesting.
//! Peers named by DNS name, which BEP 3 allows in the dict form, are dropped: one answer could order 2000 lookups.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use super::announce::{AnnounceRequest, AnnounceResponse, Event, TrackerError, one_line};
use crate::bencode::{Malformed, Reader, Token};

/// Longest answer that is read, in bytes. // guess: 2000 dict-form peers are 150 KB
pub const MAX_BODY: u64 = 1 << 20;

/// Longest tracker id that is kept, in bytes.
const MAX_TRACKER_ID: usize = 256;

impl From<Malformed> for TrackerError {
    fn from(_: Malformed) -> Self {
        TrackerError::Malformed("not bencode")
    }
}

/// `base` with the announce added to its query. An existing query (a passkey) is kept byte for byte.
pub fn announce_url(base: &Url, request: &AnnounceRequest, tracker_id: Option<&[u8]>) -> Url {
    let mut query = match base.query() {
        Some(existing) if !existing.is_empty() => format!("{existing}&"),
        _ => String::new(),
    };
    let counts = request.counts;
    query.push_str("info_hash=");
    percent_encode(&mut query, &request.info_hash);
    query.push_str("&peer_id=");
    percent_encode(&mut query, &request.peer_id);
    // Writing to a String cannot fail.
    let _ = write!(
        query,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&numwant={}&key={:08x}",
        request.port, counts.uploaded, counts.downloaded, counts.left, request.numwant, request.key
    );
    query.push_str(match request.event {
        Event::Regular => "",
        Event::Started => "&event=started",
        Event::Completed => "&event=completed",
        Event::Stopped => "&event=stopped",
    });
    if let Some(id) = tracker_id {
        query.push_str("&trackerid=");
        percent_encode(&mut query, id);
    }
    let mut url = base.clone();
    url.set_fragment(None);
    url.set_query(Some(&query));
    url
}

/// Reads the body of an answer.
///
/// # Errors
/// [`TrackerError::Refused`] for a `failure reason`, [`TrackerError::TooLarge`], [`TrackerError::Malformed`].
pub fn parse_http_response(body: &[u8]) -> Result<AnnounceResponse, TrackerError> {
    if body.len() as u64 > MAX_BODY {
        return Err(TrackerError::TooLarge(MAX_BODY));
    }
    let mut r = Reader::new(body);
    if r.next()? != Token::Dict {
        return Err(TrackerError::Malformed("not a dict"));
    }
    let mut answer = AnnounceResponse::default();
    let mut recognised = false;
    while let Some(key) = r.key()? {
        let value = r.next()?;
        recognised |= matches!(key, b"interval" | b"peers" | b"peers6");
        match (key, value) {
            (b"failure reason", Token::Bytes(reason)) => {
                return Err(TrackerError::Refused(one_line(reason)));
            }
            (b"warning message", Token::Bytes(text)) => answer.warning = Some(one_line(text)),
            (b"interval", Token::Int(n)) => answer.interval = seconds(n),
            (b"min interval", Token::Int(n)) => answer.min_interval = seconds(n),
            (b"complete", Token::Int(n)) => answer.seeders = u64::try_from(n).ok(),
            (b"incomplete", Token::Int(n)) => answer.leechers = u64::try_from(n).ok(),
            (b"tracker id", Token::Bytes(id)) if id.len() <= MAX_TRACKER_ID => {
                answer.tracker_id = Some(id.to_vec());
            }
            (b"peers", Token::Bytes(bytes)) => answer.add_compact_v4(bytes),
            (b"peers6", Token::Bytes(bytes)) => answer.add_compact_v6(bytes),
            (b"peers" | b"peers6", Token::List) => peer_dicts(&mut r, &mut answer)?,
            (_, Token::End) => return Err(TrackerError::Malformed("a key without a value")),
            (_, other) => r.skip(other)?,
        }
    }
    if recognised {
        Ok(answer)
    } else {
        Err(TrackerError::Malformed("neither interval nor peers"))
    }
}

/// The dict form of peers (BEP 3); the cursor is in the list.
fn peer_dicts(r: &mut Reader<'_>, answer: &mut AnnounceResponse) -> Result<(), TrackerError> {
    loop {
        match r.next()? {
            Token::End => return Ok(()),
            Token::Dict => {}
            other => {
                r.skip(other)?;
                answer.dropped += 1;
                continue;
            }
        }
        let (mut ip, mut port) = (None, None);
        while let Some(key) = r.key()? {
            match (key, r.next()?) {
                (b"ip", Token::Bytes(text)) => {
                    ip = std::str::from_utf8(text)
                        .ok()
                        .and_then(|t| t.parse::<IpAddr>().ok());
                }
                (b"port", Token::Int(n)) => port = u16::try_from(n).ok(),
                (_, Token::End) => return Err(TrackerError::Malformed("a key without a value")),
                (_, other) => r.skip(other)?,
            }
        }
        match (ip, port) {
            (Some(ip), Some(port)) => answer.add_peer(ip, port),
            _ => answer.dropped += 1,
        }
    }
}

fn seconds(n: i64) -> Option<Duration> {
    u64::try_from(n).ok().map(Duration::from_secs)
}

/// RFC 3986: everything but the unreserved characters becomes `%XX`.
fn percent_encode(out: &mut String, bytes: &[u8]) {
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::announce::{MAX_PEERS, TransferCounts};
    use super::*;
    use proptest::prelude::*;

    fn request(event: Event) -> AnnounceRequest {
        let mut info_hash = [0u8; 20];
        info_hash[..8].copy_from_slice(b"a-._~ &\xff");
        AnnounceRequest {
            info_hash,
            peer_id: *b"-CC0100-abcdefghijkl",
            port: 6881,
            key: 0xab,
            numwant: 80,
            counts: TransferCounts {
                uploaded: 1,
                downloaded: 2,
                left: 3,
            },
            event,
        }
    }

    #[test]
    fn announce_url_keeps_the_passkey_and_encodes_the_hash() {
        let base = Url::parse("http://t.example/announce?passkey=a%2Fb&x=#frag").unwrap();
        let url = announce_url(&base, &request(Event::Started), Some(b"\x01z"));
        assert_eq!(
            url.as_str(),
            "http://t.example/announce?passkey=a%2Fb&x=&info_hash=a-._~%20%26%FF\
             %00%00%00%00%00%00%00%00%00%00%00%00&peer_id=-CC0100-abcdefghijkl&port=6881\
             &uploaded=1&downloaded=2&left=3&compact=1&no_peer_id=1&numwant=80&key=000000ab\
             &event=started&trackerid=%01z"
        );
    }

    #[test]
    fn a_regular_announce_has_no_event_and_never_an_ip() {
        let base = Url::parse("http://[::1]:6969/announce").unwrap();
        let url = announce_url(&base, &request(Event::Regular), None);
        assert!(
            url.as_str()
                .starts_with("http://[::1]:6969/announce?info_hash=")
        );
        assert!(!url.as_str().contains("event="));
        assert!(
            url.query_pairs()
                .all(|(k, _)| k != "ip" && k != "ipv6" && k != "ipv4")
        );
    }

    #[test]
    fn reads_compact_peers_of_both_families() {
        let mut body =
            b"d8:completei3e10:incompletei4e8:intervali900e12:min intervali60e5:peers12:".to_vec();
        body.extend([10, 0, 0, 1, 0x1a, 0xe1, 10, 0, 0, 2, 0, 0]);
        body.extend(b"6:peers618:");
        body.extend([
            0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 80,
        ]);
        body.extend(b"15:warning message3:old10:tracker id2:id");
        body.extend(b"e\n");
        let answer = parse_http_response(&body).unwrap();
        assert_eq!(answer.interval, Some(Duration::from_secs(900)));
        assert_eq!(answer.min_interval, Some(Duration::from_secs(60)));
        assert_eq!((answer.seeders, answer.leechers), (Some(3), Some(4)));
        assert_eq!(answer.warning.as_deref(), Some("old"));
        assert_eq!(answer.tracker_id.as_deref(), Some(&b"id"[..]));
        assert_eq!(
            answer.peers,
            [
                "10.0.0.1:6881".parse().unwrap(),
                "[2001:db8::9]:80".parse().unwrap()
            ]
        );
        assert_eq!(answer.dropped, 1, "port 0");
    }

    #[test]
    fn reads_dict_peers_in_any_key_order_and_drops_names() {
        let answer = parse_http_response(
            b"d5:peersld4:porti1e2:ip7:1.2.3.47:peer id3:abced2:ip3:::14:porti2eed2:ip9:localhost4:porti3ee\
              d2:ip7:1.2.3.44:porti70000eei5ee8:intervali1ee",
        )
        .unwrap();
        assert_eq!(
            answer.peers,
            ["1.2.3.4:1".parse().unwrap(), "[::1]:2".parse().unwrap()]
        );
        assert_eq!(answer.dropped, 3);
    }

    #[test]
    fn a_failure_reason_is_surfaced_as_one_line() {
        let error = parse_http_response(b"d14:failure reason13:not\nallowed \x07e").unwrap_err();
        assert_eq!(error, TrackerError::Refused("not allowed".into()));
        assert_eq!(error.to_string(), "the tracker refused: not allowed");
    }

    #[test]
    fn hostile_answers_are_refused_and_bounded() {
        for bad in [
            &b""[..],
            b"<html>",
            b"i1e",
            b"de",
            b"d5:peerse",
            b"d8:intervali5e",
            b"d8:intervali5ei3ee",
            b"d5:peersl",
            b"d5:peersld2:ipee",
            b"d5:peers99999999999:e",
        ] {
            assert!(
                matches!(parse_http_response(bad), Err(TrackerError::Malformed(_))),
                "{bad:?}"
            );
        }
        let mut deep = b"d1:x".to_vec();
        deep.extend(vec![b'l'; 1 << 19]);
        assert!(parse_http_response(&deep).is_err());
        assert_eq!(
            parse_http_response(&vec![b'd'; (1 << 20) + 1]),
            Err(TrackerError::TooLarge(MAX_BODY))
        );

        let mut many = format!("d8:intervali-1e5:peers{}:", 6 * 5000).into_bytes();
        many.extend([1, 2, 3, 4, 5, 6].repeat(5000));
        many.push(b'e');
        let answer = parse_http_response(&many).unwrap();
        assert_eq!((answer.peers.len(), answer.dropped), (MAX_PEERS, 3000));
        assert_eq!(answer.interval, None, "a negative interval is no interval");
    }

    #[test]
    fn wrong_types_of_known_keys_are_skipped() {
        let answer =
            parse_http_response(b"d8:intervalli1ee5:peersd1:ai1ee8:completede12:min interval1:xe")
                .unwrap();
        assert_eq!(answer, AnnounceResponse::default());
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_http_response(&bytes);
            let mut dict = b"d5:peers".to_vec();
            dict.extend(&bytes);
            if let Ok(answer) = parse_http_response(&dict) {
                prop_assert!(answer.peers.iter().all(|p| p.port() != 0));
            }
        }

        #[test]
        fn encoding_survives_a_decoder(hash in any::<[u8; 20]>(), id in any::<[u8; 20]>()) {
            let base = Url::parse("http://h/announce").unwrap();
            let url = announce_url(
                &base,
                &AnnounceRequest { info_hash: hash, peer_id: id, ..request(Event::Regular) },
                None,
            );
            let query = url.query().unwrap();
            let decode = |key: &str| -> Vec<u8> {
                let raw = query.split('&').find_map(|p| p.strip_prefix(key)).unwrap().as_bytes();
                let (mut out, mut i) = (Vec::new(), 0);
                while i < raw.len() {
                    if raw[i] == b'%' {
                        let hex = std::str::from_utf8(&raw[i + 1..i + 3]).unwrap();
                        out.push(u8::from_str_radix(hex, 16).unwrap());
                        i += 3;
                    } else {
                        out.push(raw[i]);
                        i += 1;
                    }
                }
                out
            };
            prop_assert_eq!(decode("info_hash="), hash.to_vec());
            prop_assert_eq!(decode("peer_id="), id.to_vec());
        }
    }
}
