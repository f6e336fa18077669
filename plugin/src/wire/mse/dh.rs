//! Diffie-Hellman with the 768-bit prime of MSE (that of RFC 2409, 6.1, but for its end) and generator 2.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};
use rand::CryptoRng;

use super::MseError;

/// Bytes of a public key, and of a secret.
pub(super) const KEY_LEN: usize = 96;

/// Bits of a private exponent. // MSE: "at least 128", recommended 160
const EXPONENT_BITS: u32 = 160;

#[allow(unreachable_pub, reason = "the macro's")]
mod group {
    use super::{U768, const_monty_params};
    const_monty_params!(
        Prime,
        U768,
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563",
        "The modulus."
    );
}

type Element = ConstMontyForm<group::Prime, { U768::LIMBS }>;

/// A private exponent and the public key of it.
pub(super) struct KeyPair {
    exponent: U192,
    pub(super) public: [u8; KEY_LEN],
}

impl KeyPair {
    pub(super) fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut exponent = [0; EXPONENT_BITS as usize / 8];
        rng.fill_bytes(&mut exponent);
        Self::of(exponent)
    }

    /// With this private exponent, big-endian.
    pub(super) fn of(exponent: [u8; EXPONENT_BITS as usize / 8]) -> Self {
        let mut bytes = [0; U192::BYTES];
        bytes[U192::BYTES - exponent.len()..].copy_from_slice(&exponent);
        let exponent = U192::from_be_slice(&bytes);
        let public = power(&U768::from(2_u8), &exponent);
        Self { exponent, public }
    }

    /// The secret that both ends know.
    ///
    /// # Errors
    /// A key with which it would not depend on our exponent, or that is not below the prime.
    pub(super) fn secret(&self, theirs: &[u8; KEY_LEN]) -> Result<[u8; KEY_LEN], MseError> {
        let theirs = U768::from_be_slice(theirs);
        let last = group::Prime::PARAMS.modulus().wrapping_sub(&U768::ONE);
        if theirs <= U768::ONE || theirs >= last {
            return Err(MseError::BadKey);
        }
        Ok(power(&theirs, &self.exponent))
    }
}

fn power(base: &U768, exponent: &U192) -> [u8; KEY_LEN] {
    let power = Element::new(base).pow_bounded_exp(exponent, EXPONENT_BITS);
    power.retrieve().to_be_bytes().into()
}
