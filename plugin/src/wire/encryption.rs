//! Which connections are encrypted: the policy of a session.

use std::fmt;

/// Whether connections to peers are encrypted ([`mse`](super::mse)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Plaintext only: encrypted callers are refused.
    Off,
    /// Plaintext where the peer takes it: it is dialled that way first, and callers choose.
    ///
    /// The default. Every stock client takes plaintext unless its user forbade that, and plaintext costs neither a copy of
    /// each block nor RC4; who insists on encryption is reached all the same, by a second attempt.
    #[default]
    Allow,
    /// Encrypted where the peer can do that, plaintext otherwise.
    Prefer,
    /// RC4 only: plaintext callers are refused.
    Require,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// With the BitTorrent handshake.
    Plaintext,
    /// With a key exchange.
    Encrypted,
}

/// Ways to go on after a key exchange, as bits of `crypto_provide` and `crypto_select`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(pub u32);

impl Methods {
    /// In plaintext.
    pub const PLAINTEXT: Self = Self(1);
    /// In RC4.
    pub const RC4: Self = Self(2);
    /// Either.
    pub const BOTH: Self = Self(3);

    /// Whether all of `other` are among these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Encryption {
    /// How a peer is dialled; the second one when it closes the connection on the first.
    pub fn openings(self) -> &'static [Opening] {
        match self {
            Self::Off => &[Opening::Plaintext],
            Self::Allow => &[Opening::Plaintext, Opening::Encrypted],
            Self::Prefer => &[Opening::Encrypted, Opening::Plaintext],
            Self::Require => &[Opening::Encrypted],
        }
    }

    /// Whether a caller may open a connection like this.
    pub fn takes(self, opening: Opening) -> bool {
        match opening {
            Opening::Plaintext => self != Self::Require,
            Opening::Encrypted => self != Self::Off,
        }
    }

    /// What a peer that is dialled with a key exchange may choose from.
    pub fn provides(self) -> Methods {
        match self {
            Self::Off | Self::Allow => Methods::BOTH,
            // plaintext has its own opening, which hides less and costs less
            Self::Prefer | Self::Require => Methods::RC4,
        }
    }

    /// What is chosen of what a caller provides; `None`: nothing of that will do.
    pub fn select(self, provided: Methods) -> Option<Methods> {
        let order: &[Methods] = match self {
            Self::Off => &[],
            Self::Allow => &[Methods::PLAINTEXT, Methods::RC4],
            Self::Prefer => &[Methods::RC4, Methods::PLAINTEXT],
            Self::Require => &[Methods::RC4],
        };
        order.iter().copied().find(|m| provided.contains(*m))
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_among_what_is_offered_and_what_the_policy_takes() {
        let (plain, rc4) = (Some(Methods::PLAINTEXT), Some(Methods::RC4));
        for (policy, chosen) in [
            (Encryption::Off, [None, None, None, None, None]),
            (Encryption::Allow, [None, plain, rc4, plain, None]),
            (Encryption::Prefer, [None, plain, rc4, rc4, None]),
            (Encryption::Require, [None, None, rc4, rc4, None]),
        ] {
            let provided = [0, 1, 2, 3, 4].map(Methods);
            assert_eq!(provided.map(|m| policy.select(m)), chosen, "{policy}");
        }
    }

    #[test]
    fn what_is_offered_would_be_taken() {
        for policy in [Encryption::Allow, Encryption::Prefer, Encryption::Require] {
            assert!(policy.select(policy.provides()).is_some());
            assert!(policy.openings().iter().all(|o| policy.takes(*o)));
        }
        assert_eq!(Encryption::Require.provides(), Methods::RC4);
        assert_eq!(Encryption::Require.openings(), [Opening::Encrypted]);
        assert_eq!(Encryption::Off.openings(), [Opening::Plaintext]);
    }
}
