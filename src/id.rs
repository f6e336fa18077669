//! 160-bit identifiers on the ring: index nodes and objects share one space (paper section 3).
//!
//! Digits are base 16 as in Pastry, most significant first, so an id has [`Id::DIGITS`] = 40 of them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

/// A point on the 160-bit ring.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; Id::LEN]);

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        number(&self.0).cmp(&number(&other.0))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The length of a distance or an id in bytes is wrong, or the text is not hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 40 hexadecimal digits")]
pub struct ParseIdError;

impl Id {
    /// Bytes in an id.
    pub const LEN: usize = 20;
    /// Base-16 digits in an id.
    pub const DIGITS: usize = 40;

    /// The id in these bytes, if there are exactly [`Id::LEN`].
    pub fn from_slice(bytes: &[u8]) -> Option<Id> {
        bytes.try_into().ok().map(Id)
    }

    /// Digit `i` (0 = most significant), 0..=15.
    ///
    /// # Panics
    /// If `i >= Id::DIGITS`.
    pub const fn digit(&self, i: usize) -> u8 {
        let byte = self.0[i / 2];
        if i.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 0x0f
        }
    }

    /// Number of leading digits shared with `other`, 0..=40.
    pub fn common_prefix(&self, other: &Id) -> usize {
        for (i, (a, b)) in self.0.iter().zip(&other.0).enumerate() {
            if a != b {
                return 2 * i + usize::from((a ^ b) & 0xf0 == 0);
            }
        }
        Id::DIGITS
    }

    /// Clockwise distance from `self` to `to`: `(to - self) mod 2^160`, big-endian.
    pub fn clockwise(&self, to: &Id) -> Distance {
        let ((high, low), (to_high, to_low)) = (number(&self.0), number(&to.0));
        let (low, borrow) = to_low.overflowing_sub(low);
        let high = to_high.wrapping_sub(high).wrapping_sub(borrow.into());
        let mut out = [0u8; Id::LEN];
        out[..16].copy_from_slice(&high.to_be_bytes());
        out[16..].copy_from_slice(&low.to_be_bytes());
        Distance(out)
    }

    /// Distance along the shorter arc between two ids; symmetric.
    pub fn distance(&self, other: &Id) -> Distance {
        self.clockwise(other).min(other.clockwise(self))
    }

    /// Whether `a` is the better root for `self` than `b`: strictly nearer on the ring, ties to the smaller id.
    pub fn prefers(&self, a: &Id, b: &Id) -> bool {
        (self.distance(a), a) < (self.distance(b), b)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("..")
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        if s.len() != 2 * Id::LEN || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseIdError);
        }
        let mut out = [0u8; Id::LEN];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&s[2 * i..2 * i + 2], 16).map_err(|_| ParseIdError)?;
        }
        Ok(Id(out))
    }
}

/// A length on the ring, 0 ..= 2^160 - 1, big-endian so that ordering is numeric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distance(pub [u8; Id::LEN]);

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        number(&self.0).cmp(&number(&other.0))
    }
}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The bytes as a number in two parts. Maps by id are searched for every datagram, several times; comparing two words
/// takes a fraction of the call that compares bytes.
fn number(bytes: &[u8; Id::LEN]) -> (u128, u32) {
    let (high, rest) = bytes.split_first_chunk().expect("20 bytes");
    let low = rest.first_chunk().expect("4 bytes are left");
    (u128::from_be_bytes(*high), u32::from_be_bytes(*low))
}

/// An object (paper section 3): SHA-1 of a name, or a BitTorrent v1 infohash. Its ring position is the id itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub Id);

impl ObjectId {
    /// The object called `name`: SHA-1 of its bytes (paper section 3).
    pub fn from_name(name: &[u8]) -> Self {
        ObjectId(Id(Sha1::digest(name).into()))
    }

    /// The ring position whose root is the root of the object's index tree.
    pub fn key(&self) -> &Id {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({:?})", self.0)
    }
}

impl FromStr for ObjectId {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        s.parse().map(ObjectId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(last: u8) -> Id {
        let mut b = [0u8; 20];
        b[19] = last;
        Id(b)
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_at_most_half_the_ring(a: [u8; 20], b: [u8; 20]) {
            let (a, b) = (Id(a), Id(b));
            prop_assert_eq!(a.distance(&b), b.distance(&a));
            prop_assert!(a.distance(&b).0[0] <= 0x80);
            prop_assert_eq!(a.distance(&b) == Distance::default(), a == b);
        }

        #[test]
        fn ids_are_in_the_order_of_their_bytes(a: [u8; 20], b: [u8; 20], shared in 0usize..=20) {
            let mut b = b;
            b[..shared].copy_from_slice(&a[..shared]);
            prop_assert_eq!(Id(a).cmp(&Id(b)), a.cmp(&b));
            prop_assert_eq!(Distance(a).cmp(&Distance(b)), a.cmp(&b));
        }

        #[test]
        fn clockwise_is_what_has_to_be_added(a: [u8; 20], b: [u8; 20]) {
            let mut sum = a;
            let mut carry = 0;
            for (s, d) in sum.iter_mut().zip(Id(a).clockwise(&Id(b)).0).rev() {
                let total = u16::from(*s) + u16::from(d) + carry;
                *s = total.to_le_bytes()[0];
                carry = total >> 8;
            }
            prop_assert_eq!(sum, b);
        }

        #[test]
        fn common_prefix_equals_a_digit_by_digit_count(a: [u8; 20], cut in 0usize..40, flip in 1u8..16) {
            let a = Id(a);
            let mut b = a;
            b.0[cut / 2] ^= if cut % 2 == 0 { flip << 4 } else { flip };
            let naive = (0..Id::DIGITS).take_while(|&i| a.digit(i) == b.digit(i)).count();
            prop_assert_eq!(a.common_prefix(&b), naive);
            prop_assert_eq!(naive, cut);
        }

        #[test]
        fn text_round_trips(a: [u8; 20]) {
            prop_assert_eq!(Id(a).to_string().parse::<Id>(), Ok(Id(a)));
        }

        #[test]
        fn exactly_one_of_two_ids_is_preferred(key: [u8; 20], a: [u8; 20], b: [u8; 20]) {
            let (key, a, b) = (Id(key), Id(a), Id(b));
            prop_assume!(a != b);
            prop_assert!(key.prefers(&a, &b) != key.prefers(&b, &a));
        }
    }

    #[test]
    fn distance_wraps_around_zero() {
        let top = Id([0xff; 20]);
        assert_eq!(top.distance(&id(1)), id(0).distance(&id(2)));
        assert_eq!(top.clockwise(&id(0)).0[19], 1);
    }

    #[test]
    fn hexadecimal_of_the_wrong_shape_is_refused() {
        for bad in ["", "00", &"g".repeat(40), &"0".repeat(41), &"é".repeat(20)] {
            assert_eq!(bad.parse::<Id>(), Err(ParseIdError), "{bad}");
        }
    }

    #[test]
    fn an_object_is_the_sha1_of_its_name() {
        assert_eq!(
            ObjectId::from_name(b"abc").to_string(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
    }
}
