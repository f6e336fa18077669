//! What a web server's answer to a range request means (RFC 9110, 14 and 15). Sans-IO.

use std::ops::Range;
use std::time::Duration;

/// Bytes of a whole file that are read in vain to reach the range that was asked for, where a server does no ranges.
pub const MAX_SKIP: u64 = 1 << 20; // guess: a second at 8 Mbit/s

/// Longest wait that a server's `Retry-After` is obeyed for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600); // guess

/// The part of an answer before its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// HTTP status.
    pub status: u16,
    /// `Content-Length`, in bytes.
    pub content_length: Option<u64>,
    /// `Content-Range`.
    pub content_range: Option<&'a str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
}

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read the body.
    Take {
        /// Its first bytes that are not part of the range.
        skip: u64,
        /// Bytes after that: at least 1, at most what was asked for.
        take: u64,
    },
    /// Try again later, as late as the server says.
    Later(Option<Duration>),
    /// Do not ask this server again.
    GiveUp(WebSeedFault),
}

/// Why a web seed is not asked any more. Each message follows the server's name, and ends with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSeedFault {
    /// A status that does not pass.
    #[error(
        "it answered with HTTP status {0}; check the URL in the torrent and what the server has there"
    )]
    Status(u16),
    /// The whole file in place of a range, where that would be too much.
    #[error(
        "it sends whole files in place of ranges, too large ones for that; name a web server that does range requests"
    )]
    NoRanges,
    /// A file of another length.
    #[error("its file has another length than the torrent's; put the torrent's data there")]
    OtherFile,
    /// A range that does not begin where it was asked to, or says nothing of where it does.
    #[error(
        "it answered with another range than was asked for; name a web server that does range requests"
    )]
    OtherRange,
    /// Compressed.
    #[error("it compresses the files on the way; switch that off for them")]
    Encoded,
    /// Bytes whose hash is wrong.
    #[error("it sent bytes that are not the torrent's; put the torrent's data there")]
    WrongData,
    /// A redirect that leads nowhere, in circles or to another scheme.
    #[error(
        "it redirects to where nothing can be fetched ({0}); name the final URL in the torrent"
    )]
    Redirect(String),
    /// An address that a torrent cannot make us ask.
    #[error(
        "it is at an address that a torrent may not make this machine ask ({0}); see docs/operations.md, Web seeds"
    )]
    Forbidden(String),
    /// Its certificate, or ours.
    #[error("{0}; check the host name, the clock and the CA certificates of this system")]
    Certificate(&'static str),
}

/// What a `Content-Range` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub first: u64,
    /// The last byte, not below the first.
    pub last: u64,
    /// Bytes in the whole file, more than `last`; `None`: not told (`*`).
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-499/1234` or `bytes 0-499/*`.
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total)?),
        };
        let possible = first <= last && last < total.unwrap_or(u64::MAX);
        possible.then_some(Self { first, last, total })
    }
}

/// Digits only: Rust's parser takes a sign too.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What an answer to a request for `asked` (not empty, within the file) of a file of `length` bytes means.
pub fn judge(head: &Head<'_>, asked: &Range<u64>, length: u64) -> Verdict {
    let wanted = asked.end - asked.start;
    let plain = |e: &str| e.trim().is_empty() || e.trim().eq_ignore_ascii_case("identity");
    let encoded = !head.content_encoding.is_none_or(plain);
    match head.status {
        200 | 206 if encoded => Verdict::GiveUp(WebSeedFault::Encoded),
        200 if head.content_length.is_some_and(|l| l != length) => {
            Verdict::GiveUp(WebSeedFault::OtherFile)
        }
        200 if asked.start > MAX_SKIP => Verdict::GiveUp(WebSeedFault::NoRanges),
        200 => Verdict::Take {
            skip: asked.start,
            take: wanted,
        },
        206 => match head.content_range.and_then(ContentRange::parse) {
            Some(range) if range.total.is_some_and(|total| total != length) => {
                Verdict::GiveUp(WebSeedFault::OtherFile)
            }
            // fewer bytes than asked for are allowed, and more are not read
            Some(range) if range.first == asked.start => Verdict::Take {
                skip: 0,
                take: wanted.min((range.last - range.first).saturating_add(1)),
            },
            _ => Verdict::GiveUp(WebSeedFault::OtherRange),
        },
        // the file is shorter than the torrent says
        416 => Verdict::GiveUp(WebSeedFault::OtherFile),
        408 | 425 | 429 | 500..=599 => Verdict::Later(head.retry_after.and_then(retry_after)),
        status => Verdict::GiveUp(WebSeedFault::Status(status)),
    }
}

/// Seconds; a date is not read: it would be against the server's clock.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds = number(text).filter(|_| !text.trim().is_empty())?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: Range<u64> = 100..300;
    const LENGTH: u64 = 1000;

    fn partial(content_range: &str) -> Verdict {
        let head = Head {
            status: 206,
            content_range: Some(content_range),
            ..Head::default()
        };
        judge(&head, &ASKED, LENGTH)
    }

    fn status(status: u16) -> Verdict {
        let head = Head {
            status,
            retry_after: Some("7"),
            ..Head::default()
        };
        judge(&head, &ASKED, LENGTH)
    }

    fn take(skip: u64, take: u64) -> Verdict {
        Verdict::Take { skip, take }
    }

    #[test]
    fn the_range_that_was_asked_for_is_taken_and_never_more() {
        assert_eq!(partial("bytes 100-299/1000"), take(0, 200));
        assert_eq!(partial("bytes 100-199/1000"), take(0, 100));
        assert_eq!(partial("Bytes 100-999/*"), take(0, 200));
    }

    #[test]
    fn other_ranges_and_other_files_are_not() {
        let give_up = Verdict::GiveUp;
        for other in [
            "bytes 0-299/1000",
            "bytes 100-99/1000",
            "100-299",
            "",
            "bytes */1000",
        ] {
            assert_eq!(partial(other), give_up(WebSeedFault::OtherRange), "{other}");
        }
        assert_eq!(
            partial("bytes 100-299/999"),
            give_up(WebSeedFault::OtherFile)
        );
        assert_eq!(status(416), give_up(WebSeedFault::OtherFile));
        let none = Head {
            status: 206,
            ..Head::default()
        };
        assert_eq!(
            judge(&none, &ASKED, LENGTH),
            give_up(WebSeedFault::OtherRange)
        );
        let packed = Head {
            status: 206,
            content_range: Some("bytes 100-299/1000"),
            content_encoding: Some("gzip"),
            ..Head::default()
        };
        assert_eq!(
            judge(&packed, &ASKED, LENGTH),
            give_up(WebSeedFault::Encoded)
        );
    }

    #[test]
    fn of_a_whole_file_what_was_asked_for_is_used_if_it_is_not_far_into_it() {
        let whole = |length, asked: Range<u64>| {
            let head = Head {
                status: 200,
                content_length: Some(length),
                ..Head::default()
            };
            judge(&head, &asked, 10 << 20)
        };
        let length = 10 << 20;
        assert_eq!(whole(length, 0..length), take(0, length));
        assert_eq!(whole(length, MAX_SKIP..MAX_SKIP + 5), take(MAX_SKIP, 5));
        let far = MAX_SKIP + 1..length;
        assert_eq!(whole(length, far), Verdict::GiveUp(WebSeedFault::NoRanges));
        assert_eq!(whole(9, 0..5), Verdict::GiveUp(WebSeedFault::OtherFile));
        // a server that does not tell the length may still have the right file
        assert_eq!(status(200), take(100, 200));
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        let seven = Some(Duration::from_secs(7));
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(status(code), Verdict::Later(seven), "{code}");
        }
        for code in [204, 304, 400, 401, 403, 404, 405, 410, 451] {
            let fault = WebSeedFault::Status(code);
            assert_eq!(status(code), Verdict::GiveUp(fault), "{code}");
        }
        let wait = |text: &str| retry_after(text);
        assert_eq!(wait("99999999"), Some(MAX_RETRY_AFTER));
        for none in ["", " ", "-1", "+1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"] {
            assert_eq!(wait(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_lies_within_the_answer_and_within_what_was_asked_for(
            first in 0u64..400, len in 0u64..400, total in prop::option::of(0u64..1200),
            status in prop_oneof![Just(200u16), Just(206), any::<u16>()],
            length in prop::option::of(0u64..1200), text in "\\PC{0,30}",
        ) {
            let total = total.map_or("*".to_owned(), |t| t.to_string());
            let range = format!("bytes {first}-{}/{total}", first + len);
            for content_range in [&range, &text] {
                let head = Head {
                    status,
                    content_length: length,
                    content_range: Some(content_range),
                    content_encoding: None,
                    retry_after: Some(&text),
                };
                if let Verdict::Take { skip, take } = judge(&head, &ASKED, LENGTH) {
                    prop_assert!(take > 0 && take <= ASKED.end - ASKED.start);
                    prop_assert!(skip <= MAX_SKIP);
                    if status == 206 {
                        prop_assert_eq!((skip, first), (0, ASKED.start));
                        prop_assert!(take <= len + 1);
                    } else {
                        prop_assert_eq!(skip, ASKED.start);
                    }
                }
            }
        }

        #[test]
        fn a_content_range_is_read_as_it_was_written(first in any::<u64>(), last in any::<u64>(), total in any::<u64>()) {
            let read = ContentRange::parse(&format!("bytes {first}-{last}/{total}"));
            let good = first <= last && last < total;
            let written = ContentRange { first, last, total: Some(total) };
            prop_assert_eq!(read, good.then_some(written));
        }
    }
}
