//! What is said on the local network (BEP 14): an HTTP request in a datagram that names a port and infohashes.

use std::net::SocketAddr;

/// Longest datagram that is sent or read, in bytes.
pub const MAX_ANNOUNCEMENT: usize = 1400; // BEP 14

/// Most infohashes in one announcement of ours: as many as fit.
pub const MAX_HASHES: usize = 25;

/// Longest cookie that is read, in bytes.
const MAX_COOKIE: usize = 64; // guess: clients send 8

const REQUEST: &str = "BT-SEARCH * HTTP/1.1";

/// One announcement. Its sender's IP address is that of the datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LsdAnnouncement {
    /// TCP port where the sender accepts connections, not 0.
    pub port: u16,
    /// The torrents, at least one.
    pub info_hashes: Vec<[u8; 20]>,
    /// By which a sender knows its own announcements; empty: none. At most 64 visible ASCII characters.
    pub cookie: String,
}

impl LsdAnnouncement {
    /// The datagram for the group and port `host`.
    pub fn encode(&self, host: SocketAddr) -> Vec<u8> {
        let mut text = format!("{REQUEST}\r\nHost: {host}\r\nPort: {}\r\n", self.port);
        for hash in &self.info_hashes {
            text += "Infohash: ";
            text.extend(hash.iter().map(|b| format!("{b:02x}")));
            text += "\r\n";
        }
        if !self.cookie.is_empty() {
            text += &format!("cookie: {}\r\n", self.cookie);
        }
        text += "\r\n\r\n";
        text.into_bytes()
    }

    /// Reads a datagram. Names of headers may be in any case; those that BEP 14 does not name, and `Host`, are skipped.
    /// `None` for what is no announcement: too long, no or two ports, an infohash that is not 40 hexadecimal digits.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let (head, _) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        if payload.len() > MAX_ANNOUNCEMENT || lines.next() != Some(REQUEST) {
            return None;
        }
        let (mut port, mut info_hashes, mut cookie) = (None, Vec::new(), String::new());
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("port") {
                let number = decimal(value)?;
                if number == 0 || port.replace(number).is_some() {
                    return None;
                }
            } else if name.eq_ignore_ascii_case("infohash") {
                info_hashes.push(hash(value)?);
            } else if name.eq_ignore_ascii_case("cookie") {
                let usable =
                    value.len() <= MAX_COOKIE && value.bytes().all(|b| b.is_ascii_graphic());
                cookie = if usable {
                    value.to_owned()
                } else {
                    return None;
                };
            }
        }
        (!info_hashes.is_empty()).then_some(())?;
        Some(Self {
            port: port?,
            info_hashes,
            cookie,
        })
    }
}

fn decimal(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn hash(text: &str) -> Option<[u8; 20]> {
    let mut hash = [0; 20];
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if digits.len() != 20 || !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    for (byte, [high, low]) in hash.iter_mut().zip(digits) {
        *byte = u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn host() -> SocketAddr {
        "[ff15::efc0:988f]:6771".parse().unwrap()
    }

    fn announcement() -> impl Strategy<Value = LsdAnnouncement> {
        let hashes = vec(any::<[u8; 20]>(), 1..=MAX_HASHES);
        (1..=u16::MAX, hashes, "[!-~]{0,8}").prop_map(|(port, info_hashes, cookie)| {
            LsdAnnouncement {
                port,
                info_hashes,
                cookie,
            }
        })
    }

    proptest! {
        #[test]
        fn announcements_survive_the_wire_and_fit(said in announcement()) {
            let datagram = said.encode(host());
            prop_assert!(datagram.len() <= MAX_ANNOUNCEMENT, "{}", datagram.len());
            prop_assert_eq!(LsdAnnouncement::decode(&datagram), Some(said));
        }

        #[test]
        fn what_is_read_of_any_bytes_is_written_and_reads_the_same(
            said in announcement(),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            end in any::<prop::sample::Index>(),
        ) {
            let mut datagram = said.encode(host());
            for (at, byte) in changes {
                let at = at.index(datagram.len());
                datagram[at] = byte;
            }
            for bytes in [&datagram[..], &datagram[..end.index(datagram.len())]] {
                if let Some(read) = LsdAnnouncement::decode(bytes) {
                    prop_assert_eq!(LsdAnnouncement::decode(&read.encode(host())), Some(read));
                }
            }
        }
    }

    /// As libtorrent and Transmission write it.
    #[test]
    fn stock_announcements_are_read() {
        let hash = "0123456789ABCDEF0123456789abcdef01234567";
        let libtorrent = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: {hash}\r\ncookie: 7f01\r\n\r\n\r\n"
        );
        let read = LsdAnnouncement::decode(libtorrent.as_bytes()).unwrap();
        assert_eq!((read.port, &*read.cookie), (6881, "7f01"));
        assert_eq!(read.info_hashes[0][..3], [0x01, 0x23, 0x45]);
        let transmission = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 51413\r\nInfohash: {hash}\r\n\r\n\r\n"
        );
        let read = LsdAnnouncement::decode(transmission.as_bytes()).unwrap();
        assert_eq!((read.port, &*read.cookie), (51413, ""));
    }

    #[test]
    fn what_is_no_announcement_is_refused() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let with = |headers: &str| {
            let text = format!("BT-SEARCH * HTTP/1.1\r\n{headers}\r\n\r\n");
            LsdAnnouncement::decode(text.as_bytes())
        };
        let good = format!("Port: 1\r\nInfohash: {hash}");
        assert!(with(&good).is_some());
        for bad in [
            format!("Infohash: {hash}"),
            "Port: 1".to_owned(),
            format!("Port: 0\r\nInfohash: {hash}"),
            format!("Port: 65536\r\nInfohash: {hash}"),
            format!("Port: +1\r\nInfohash: {hash}"),
            format!("Port: 1\r\nPort: 2\r\nInfohash: {hash}"),
            format!("Port: 1\r\nInfohash: {hash}0"),
            format!("Port: 1\r\nInfohash: {}", &hash[1..]),
            format!("Port: 1\r\nInfohash: +{}", &hash[1..]),
            format!("Port: 1\r\nInfohash: {}", &hash.replace('0', "g")),
            format!("{good}\r\ncookie: {}", "c".repeat(65)),
            format!("{good}\r\ncookie: a b"),
            format!("{good}\r\nno header"),
            format!("{good}\r\nX: {}", "x".repeat(MAX_ANNOUNCEMENT)),
        ] {
            assert_eq!(with(&bad), None, "{bad}");
        }
        let unended = format!("BT-SEARCH * HTTP/1.1\r\n{good}\r\n");
        assert_eq!(LsdAnnouncement::decode(unended.as_bytes()), None);
        let other = format!("M-SEARCH * HTTP/1.1\r\n{good}\r\n\r\n");
        assert_eq!(LsdAnnouncement::decode(other.as_bytes()), None);
    }
}
