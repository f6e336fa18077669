//! What stock clients say to their tracker: the query of an announce over HTTP (BEP 3, 7, 23, 27). Sans-IO.
//!
//! Read as strangers' text: every value has a range, what is missing or of the wrong kind is refused with a line that names
//! it, and unknown parameters are skipped. Where a parameter is repeated the first one counts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::discovery::Event;

/// Longest query that is read, in bytes: stock clients send 250 to 400.
pub const MAX_QUERY: usize = 4096; // guess

/// Most peers that an answer names, whatever is asked for.
pub const MAX_NUMWANT: usize = 50; // guess: BEP 3's default, of which a client dials a part

/// Torrents that one scrape is answered for.
pub const MAX_SCRAPED: usize = 64; // guess: what fits a query of stock clients

/// What a client tells and asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// The client's id in the swarm.
    pub peer_id: [u8; 20],
    /// TCP port that it accepts peers on, 1..=65535.
    pub port: u16,
    /// Bytes that it lacks; 0: it has everything.
    pub left: u64,
    /// Why it announces.
    pub event: Event,
    /// Peers wanted, at most [`MAX_NUMWANT`].
    pub numwant: usize,
    /// Peers as strings of bytes (BEP 23) and not as dictionaries.
    pub compact: bool,
    /// An address that it says is its own.
    pub ip: Option<IpAddr>,
}

/// Why an announce cannot be answered: the client's fault. The text is its failure reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnounce {
    /// More than [`MAX_QUERY`] bytes.
    #[error("the announce has more than {MAX_QUERY} bytes")]
    TooLong,
    /// A parameter that BEP 3 wants is not there.
    #[error("{0} is missing from the announce")]
    Missing(&'static str),
    /// A parameter has a value that it cannot have.
    #[error("{0} of the announce is not valid")]
    Invalid(&'static str),
}

impl Announce {
    /// Reads what follows the `?` of an announce URL.
    ///
    /// # Errors
    /// [`BadAnnounce`] names the parameter.
    pub fn from_query(query: &str) -> Result<Self, BadAnnounce> {
        if query.len() > MAX_QUERY {
            return Err(BadAnnounce::TooLong);
        }
        let find = |name: &str| {
            query.split('&').find_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key == name).then(|| percent_decode_str(value).collect::<Vec<u8>>())
            })
        };
        let id = |name: &'static str| -> Result<[u8; 20], BadAnnounce> {
            let bytes = find(name).ok_or(BadAnnounce::Missing(name))?;
            bytes.try_into().map_err(|_| BadAnnounce::Invalid(name))
        };
        let text = |name: &str| find(name).map(|v| String::from_utf8_lossy(&v).into_owned());
        let number = |name: &'static str| -> Result<Option<u64>, BadAnnounce> {
            let Some(text) = text(name) else {
                return Ok(None);
            };
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.map(Some).ok_or(BadAnnounce::Invalid(name))
        };
        let port = number("port")?.ok_or(BadAnnounce::Missing("port"))?;
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let ip = match text("ip") {
            Some(text) => Some(text.parse().map_err(|_| BadAnnounce::Invalid("ip"))?),
            None => None,
        };
        Ok(Self {
            info_hash: id("info_hash")?,
            peer_id: id("peer_id")?,
            port: port.ok_or(BadAnnounce::Invalid("port"))?,
            // some clients leave it out until they know the metadata
            left: number("left")?.unwrap_or(u64::MAX),
            event: match text("event").as_deref() {
                None | Some("" | "empty" | "paused") => Event::Regular, // BEP 21: paused
                Some("started") => Event::Started,
                Some("completed") => Event::Completed,
                Some("stopped") => Event::Stopped,
                Some(_) => return Err(BadAnnounce::Invalid("event")),
            },
            numwant: match number("numwant")? {
                None => MAX_NUMWANT,
                Some(n) => usize::try_from(n).map_or(MAX_NUMWANT, |n| n.min(MAX_NUMWANT)),
            },
            compact: number("compact")? != Some(0),
            ip,
        })
    }
}

/// The infohashes of a scrape's query, at most [`MAX_SCRAPED`]; what is none is skipped.
pub fn scraped(query: &str) -> BTreeSet<[u8; 20]> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let hashes = pairs.filter(|(key, _)| *key == "info_hash");
    hashes
        .filter_map(|(_, value)| {
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            bytes.try_into().ok()
        })
        .take(MAX_SCRAPED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "%00%01%02abcdefghijklmnop%ff";
    const REST: &str = "peer_id=-TR3000-abcdefghijkl&port=51413&uploaded=0&downloaded=0";

    fn query(more: &str) -> String {
        format!("info_hash={HASH}&{REST}{more}")
    }

    fn read(more: &str) -> Result<Announce, BadAnnounce> {
        Announce::from_query(&query(more))
    }

    #[test]
    fn an_announce_of_a_stock_client_is_read() {
        let announce =
            read("&left=16384&numwant=80&key=5a4b3c2d&compact=1&supportcrypto=1&event=started");
        let announce = announce.expect("valid");
        assert_eq!(&announce.info_hash, b"\x00\x01\x02abcdefghijklmnop\xff");
        assert_eq!(&announce.peer_id, b"-TR3000-abcdefghijkl");
        assert_eq!((announce.port, announce.left), (51413, 16384));
        assert_eq!(announce.event, Event::Started);
        assert_eq!((announce.numwant, announce.compact), (MAX_NUMWANT, true));
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_kind_is_named() {
        use BadAnnounce::{Invalid, Missing};
        let bad = Announce::from_query;
        assert_eq!(bad(""), Err(Missing("port")));
        assert_eq!(bad("port=1"), Err(Missing("info_hash")));
        assert_eq!(bad("port=1&info_hash=short"), Err(Invalid("info_hash")));
        let without_id = format!("info_hash={HASH}&port=1");
        assert_eq!(bad(&without_id), Err(Missing("peer_id")));
        for port in [
            "0",
            "65536",
            "-1",
            "",
            "x",
            "1e3",
            "99999999999999999999999",
        ] {
            let text = format!("info_hash={HASH}&peer_id=-TR3000-abcdefghijkl&port={port}");
            assert_eq!(bad(&text), Err(Invalid("port")), "{port}");
        }
        assert_eq!(read("&left=-1"), Err(Invalid("left")));
        assert_eq!(read("&left=lots"), Err(Invalid("left")));
        assert_eq!(read("&event=ended"), Err(Invalid("event")));
        assert_eq!(read("&ip=nowhere"), Err(Invalid("ip")));
        assert_eq!(read("&numwant=-1"), Err(Invalid("numwant")));
        let long = "&x=".to_owned() + &"y".repeat(MAX_QUERY);
        assert_eq!(read(&long), Err(BadAnnounce::TooLong));
    }

    #[test]
    fn no_more_peers_are_wanted_than_an_answer_has_room_for() {
        for (asked, got) in [
            ("&numwant=1000000000", MAX_NUMWANT),
            ("&numwant=99999999999999999999", 0),
            ("&numwant=7", 7),
            ("&numwant=0", 0),
            ("", MAX_NUMWANT),
        ] {
            match read(asked) {
                Ok(announce) => assert_eq!(announce.numwant, got, "{asked}"),
                // more than a number holds
                Err(e) => assert_eq!(e, BadAnnounce::Invalid("numwant")),
            }
        }
    }

    #[test]
    fn a_scrape_names_torrents() {
        let query = format!("info_hash={HASH}&info_hash=short&x=1&info_hash={HASH}");
        let all: Vec<_> = scraped(&query).into_iter().collect();
        assert_eq!(all, [*b"\x00\x01\x02abcdefghijklmnop\xff"]);
    }

    #[test]
    fn the_first_of_a_repeated_parameter_counts() {
        let announce = read("&port=1&left=5&left=6").expect("valid");
        assert_eq!((announce.port, announce.left), (51413, 5));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,600}") {
            let _ = Announce::from_query(&text);
        }

        #[test]
        fn any_ids_are_read(hash: [u8; 20], id: [u8; 20], port in 1u16.., left: u64) {
            let escape = |bytes: &[u8; 20]| bytes.map(|b| format!("%{b:02X}")).concat();
            let text = format!(
                "info_hash={}&peer_id={}&port={port}&left={left}",
                escape(&hash),
                escape(&id)
            );
            let announce = Announce::from_query(&text).expect("valid");
            prop_assert_eq!(announce.info_hash, hash);
            prop_assert_eq!(announce.peer_id, id);
            prop_assert_eq!((announce.port, announce.left), (port, left));
        }
    }
}
