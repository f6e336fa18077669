//! `HOST:PORT` to socket addresses, within a deadline.

use std::net::SocketAddr;
use std::time::Duration;

/// Time for a lookup. // guess: two tries of a slow resolver
const DEADLINE: Duration = Duration::from_secs(8);

/// Addresses kept of one name. // guess: round-robin pools have 4 to 8
const MAX_ADDRESSES: usize = 16;

/// Why a name gave no address. Every message names it and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not `HOST:PORT` with a port from 1 to 65535.
    #[error("{0:?} is not HOST:PORT; write 192.0.2.1:6881, example.org:6881 or [2001:db8::1]:6881")]
    Syntax(String),
    /// The name has no address.
    #[error("{name}: the host name cannot be resolved ({reason}); check the name and the network")]
    Unknown {
        /// As given.
        name: String,
        /// The resolver's words.
        reason: String,
    },
    /// The resolver did not answer in time.
    #[error("{0}: the host name was not resolved in time; check the network or give an IP address")]
    Timeout(String),
}

/// Resolves `HOST:PORT`; IPv6 addresses stand in brackets. At most 16 addresses, without repeats, in the resolver's
/// order.
///
/// # Errors
/// See [`ResolveError`].
pub async fn resolve(host_port: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    let syntax = || ResolveError::Syntax(host_port.to_owned());
    if let Ok(address) = host_port.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err(syntax())
        } else {
            Ok(vec![address])
        };
    }
    let (host, port) = host_port.rsplit_once(':').ok_or_else(syntax)?;
    let port: u16 = port.parse().ok().filter(|&p| p != 0).ok_or_else(syntax)?;
    let valid = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(valid) {
        return Err(syntax());
    }
    let unknown = |reason: String| ResolveError::Unknown {
        name: host_port.to_owned(),
        reason,
    };
    let found = tokio::time::timeout(DEADLINE, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| ResolveError::Timeout(host_port.to_owned()))?
        .map_err(|error| unknown(error.to_string().replace(['\n', '\r'], " ")))?;
    let mut addresses = Vec::new();
    for address in found {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unknown("no address".to_owned()));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_localhost() {
        assert_eq!(
            resolve("192.0.2.1:5").await.unwrap(),
            ["192.0.2.1:5".parse().unwrap()]
        );
        assert_eq!(
            resolve("[::1]:5").await.unwrap(),
            ["[::1]:5".parse().unwrap()]
        );
        let local = resolve("localhost:5").await.unwrap();
        assert!(local.iter().all(|a| a.ip().is_loopback() && a.port() == 5));
    }

    #[tokio::test]
    async fn what_is_no_host_and_port_is_named() {
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "1.2.3.4:0",
            "host:65536",
            "::1:80x",
            "2001:db8::1",
            ":80",
            "a b:1",
            "[::1]",
            "[::1]:0",
        ] {
            let error = resolve(bad).await.unwrap_err();
            assert_eq!(error, ResolveError::Syntax(bad.to_owned()));
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{bad:?} is not HOST:PORT"))
            );
        }
    }

    #[tokio::test]
    async fn an_unknown_name_is_named() {
        // RFC 6761: .invalid never resolves.
        let error = resolve("nobody.invalid:6881")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("nobody.invalid:6881: "), "{error}");
        assert!(!error.contains('\n'));
    }
}
