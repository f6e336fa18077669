//! Tokens: proof that whoever sends from an address also receives there (paper 3.1 lets anyone publish; an address that
//! was never proven must not be published by somebody else).
//!
//! A token is the first 8 bytes of SHA-1(secret ‖ IP ‖ port), all three of fixed length. The plain prefix construction
//! is sound here because nothing can be appended to a fixed-length input and 96 of the 160 bits stay hidden, so the
//! length-extension weakness of SHA-1 as a MAC has nothing to work on, and collisions do not matter for a secret prefix.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::Rng;
use sha1::{Digest, Sha1};

use crate::time::Instant;
use crate::wire::Token;

/// Secrets that are still accepted: the current one and the two before it.
const ACCEPTED: usize = 3;

/// Issues tokens and recognises its own.
#[derive(Debug)]
pub(crate) struct TokenMint {
    /// Newest first.
    secrets: Vec<[u8; 16]>,
    period: Duration,
    rotate_at: Instant,
}

impl TokenMint {
    /// A token is accepted for at least twice and at most three times `period`.
    pub(crate) fn new(period: Duration, rng: &mut impl Rng, now: Instant) -> Self {
        let mut mint = Self {
            secrets: Vec::new(),
            period,
            rotate_at: now + period,
        };
        mint.push(rng);
        mint
    }

    fn push(&mut self, rng: &mut impl Rng) {
        let mut secret = [0; 16];
        rng.fill_bytes(&mut secret);
        self.secrets.insert(0, secret);
        self.secrets.truncate(ACCEPTED);
    }

    /// When to call [`TokenMint::rotate`].
    pub(crate) fn rotate_at(&self) -> Instant {
        self.rotate_at
    }

    /// Draws as many new secrets as periods have passed (a suspended machine may have missed some).
    pub(crate) fn rotate(&mut self, rng: &mut impl Rng, now: Instant) {
        for _ in 0..ACCEPTED {
            if now < self.rotate_at {
                return;
            }
            self.push(rng);
            self.rotate_at += self.period;
        }
        self.rotate_at = self.rotate_at.max(now + self.period);
    }

    /// The token for requests from `addr`.
    pub(crate) fn issue(&self, addr: SocketAddr) -> Token {
        token(&self.secrets[0], addr)
    }

    /// Whether `token` was issued for `addr` in the last periods.
    pub(crate) fn accepts(&self, addr: SocketAddr, presented: Option<Token>) -> bool {
        presented.is_some_and(|t| self.secrets.iter().any(|secret| token(secret, addr) == t))
    }
}

fn token(secret: &[u8; 16], addr: SocketAddr) -> Token {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let digest = Sha1::new()
        .chain_update(secret)
        .chain_update(ip.octets())
        .chain_update(addr.port().to_be_bytes())
        .finalize();
    let mut out = [0; 8];
    out.copy_from_slice(&digest[..8]);
    Token(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const PERIOD: Duration = Duration::from_secs(300);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn a_token_is_bound_to_ip_and_port_and_lives_three_periods() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut now = Instant::ZERO;
        let mut mint = TokenMint::new(PERIOD, &mut rng, now);
        let token = Some(mint.issue(addr(1)));
        for _ in 0..3 {
            assert!(mint.accepts(addr(1), token));
            assert!(!mint.accepts(addr(2), token));
            assert!(!mint.accepts(SocketAddr::from(([10, 0, 0, 2], 1)), token));
            now += PERIOD;
            mint.rotate(&mut rng, now);
        }
        assert!(!mint.accepts(addr(1), token));
        assert!(!mint.accepts(addr(1), None));
    }

    #[test]
    fn after_a_long_sleep_no_old_token_is_accepted() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut mint = TokenMint::new(PERIOD, &mut rng, Instant::ZERO);
        let token = Some(mint.issue(addr(1)));
        let now = Instant::ZERO + PERIOD * 1000;
        mint.rotate(&mut rng, now);
        assert!(!mint.accepts(addr(1), token));
        assert!(mint.rotate_at() > now);
    }
}
