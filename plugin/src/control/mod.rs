//! A running node's control socket: a Unix domain socket that only its owner can use, on which `chunkcast table` asks
//! what the node looks like inside.
//!
//! A request is one line of JSON, `{"ask":"status"}` or `{"ask":"table"}`, an answer one line of JSON with `"ok"`. It
//! changes nothing in the node. A line is at most [`MAX_REQUEST`] bytes; a connection ends after 16 requests or 10 s
//! without one, and at most 8 are served at once.

mod client;
mod server;
pub(crate) mod socket;

use serde_json::Value;

pub use client::{AskError, ask};
pub use server::{Control, ControlError};

/// Bytes of a request, the line feed not counted.
pub const MAX_REQUEST: usize = 1024;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Totals.
    Status,
    /// Totals, the routing table slot by slot, the objects.
    Table,
}

/// Why a line is no request; told to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRequest {
    /// More than [`MAX_REQUEST`] bytes.
    #[error("a request is one line of at most {MAX_REQUEST} bytes")]
    TooLong,
    /// Not a JSON object with `"ask"`.
    #[error("a request is a JSON object with \"ask\"")]
    Malformed,
    /// Something that this version does not know.
    #[error("only \"status\" and \"table\" can be asked")]
    Unknown,
}

impl Request {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Request::Status => "status",
            Request::Table => "table",
        }
    }

    /// Reads a line, without its end. Other members than `"ask"` are skipped, so that later versions can add some.
    ///
    /// # Errors
    /// [`NotRequest`].
    pub fn parse(line: &[u8]) -> Result<Self, NotRequest> {
        if line.len() > MAX_REQUEST {
            return Err(NotRequest::TooLong);
        }
        let value: Value = serde_json::from_slice(line).map_err(|_| NotRequest::Malformed)?;
        match value.get("ask").and_then(Value::as_str) {
            Some("status") => Ok(Request::Status),
            Some("table") => Ok(Request::Table),
            Some(_) => Err(NotRequest::Unknown),
            None => Err(NotRequest::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_known_is_a_request() {
        assert_eq!(Request::parse(br#"{"ask":"table"}"#), Ok(Request::Table));
        let later = br#" {"ask":"status","since":7} "#;
        assert_eq!(Request::parse(later), Ok(Request::Status));
        assert_eq!(
            Request::parse(br#"{"ask":"stop"}"#),
            Err(NotRequest::Unknown)
        );
        for bad in [
            &b""[..],
            b"table",
            b"[]",
            br#"{"ask":1}"#,
            b"{\"ask\":\"table\"",
            b"\xff",
        ] {
            assert_eq!(Request::parse(bad), Err(NotRequest::Malformed), "{bad:?}");
        }
        let long = [b' '; MAX_REQUEST + 1];
        assert_eq!(Request::parse(&long), Err(NotRequest::TooLong));
        // deeper than a stack would like
        assert_eq!(
            Request::parse(&[b'['; MAX_REQUEST]),
            Err(NotRequest::Malformed)
        );
    }

    proptest! {
        #[test]
        fn every_request_is_read_by_its_name_and_nothing_else(name in "[a-z]{0,8}|status|table") {
            let line = serde_json::json!({ "ask": name }).to_string();
            match Request::parse(line.as_bytes()) {
                Ok(request) => prop_assert_eq!(request.name(), name),
                Err(e) => prop_assert_eq!(e, NotRequest::Unknown),
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&bytes);
        }
    }
}
