//! The two requests to a gateway: AddPortMapping and DeletePortMapping (UPnP WANIPConnection), as SOAP over HTTP.
//!
//! Of an answer only the status counts, and the error code of a refusal. Everything in a request is a number, an address or
//! a constant, so nothing needs escaping.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};

use super::super::http::{self, HttpError};
use super::Protocol;
use super::gateway::{ANSWER_WITHIN, Gateway, MOST_BYTES};

/// The gateway knows no leases that end: ask for one of length 0.
pub(super) const ONLY_PERMANENT_LEASES: u16 = 725;

/// Why a port was not mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The gateway said no: 718 the port is another host's, 725 see [`ONLY_PERMANENT_LEASES`], 606 and others. 0: without
    /// a code.
    #[error("it refuses (UPnP error {0})")]
    Code(u16),
    /// There was no answer of the gateway.
    #[error("no answer: {0:?}")]
    Http(HttpError),
}

/// Asks for `port` to be forwarded to the same port of `client`; a lease of zero lasts for ever.
pub(super) async fn add(
    gateway: &Gateway,
    protocol: Protocol,
    port: u16,
    client: Ipv4Addr,
    lease: Duration,
) -> Result<(), Refusal> {
    let arguments = format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
         <NewProtocol>{}</NewProtocol><NewInternalPort>{port}</NewInternalPort>\
         <NewInternalClient>{client}</NewInternalClient><NewEnabled>1</NewEnabled>\
         <NewPortMappingDescription>ChunkCast</NewPortMappingDescription>\
         <NewLeaseDuration>{}</NewLeaseDuration>",
        protocol.name(),
        lease.as_secs()
    );
    call(gateway, "AddPortMapping", &arguments).await
}

/// Takes a port back.
pub(super) async fn delete(
    gateway: &Gateway,
    protocol: Protocol,
    port: u16,
) -> Result<(), Refusal> {
    let arguments = format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
         <NewProtocol>{}</NewProtocol>",
        protocol.name()
    );
    call(gateway, "DeletePortMapping", &arguments).await
}

async fn call(gateway: &Gateway, action: &str, arguments: &str) -> Result<(), Refusal> {
    let service = gateway.service;
    let body = format!(
        "<?xml version=\"1.0\"?>\r\n\
         <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
         <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
    );
    let mut request = Request::new(Method::POST, gateway.control.clone());
    let soap_action = HeaderValue::try_from(format!("\"{service}#{action}\""))
        .expect("constants of visible characters");
    let headers = request.headers_mut();
    headers.insert("SOAPAction", soap_action);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/xml; charset=\"utf-8\""),
    );
    *request.body_mut() = Some(body.into());
    match http::send_once(request, ANSWER_WITHIN, MOST_BYTES).await {
        Ok(page) if page.status == 200 => Ok(()),
        Ok(page) => Err(Refusal::Code(error_code(&page.body))),
        Err(e) => Err(Refusal::Http(e)),
    }
}

/// The code in a SOAP fault; 0 where there is none.
fn error_code(fault: &[u8]) -> u16 {
    const OPEN: &[u8] = b"<errorCode>";
    let at = fault.windows(OPEN.len()).position(|w| w == OPEN);
    let digits = at.and_then(|at| fault[at + OPEN.len()..].split(|b| *b == b'<').next());
    let text = digits.and_then(|d| str::from_utf8(d).ok());
    text.and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_code_of_a_fault_is_read() {
        let fault = "<s:Fault><detail><UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\">\
                     <errorCode> 725</errorCode><errorDescription>…</errorDescription>";
        assert_eq!(error_code(fault.as_bytes()), ONLY_PERMANENT_LEASES);
        for none in [
            "",
            "<errorCode>",
            "<errorCode>70000</errorCode>",
            "<errorCode>-1<",
            "502 Bad Gateway",
        ] {
            assert_eq!(error_code(none.as_bytes()), 0, "{none}");
        }
    }

    proptest! {
        #[test]
        fn every_code_is_found_wherever_it_is(
            before in proptest::collection::vec(any::<u8>(), 0..64),
            code: u16,
            after in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            prop_assume!(!before.contains(&b'<'));
            let tag = format!("<errorCode>{code}</errorCode>");
            prop_assert_eq!(error_code(&[&before, tag.as_bytes(), &after].concat()), code);
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            error_code(&bytes);
        }
    }
}
