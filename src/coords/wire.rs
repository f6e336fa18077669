//! A coordinate's 14 bytes: integers only, so that neither NaN nor infinity can be said.
//!
//! | bytes | field | unit |
//! | --- | --- | --- |
//! | 3 x 3 | position, signed, big-endian | 10 us: -83.88608 ..= 83.88607 s |
//! | 3 | height, unsigned | 10 us: 0 ..= 167.77215 s |
//! | 2 | error, unsigned | 1/65535: 0 ..= 1 |

use super::Coord;

/// Steps of 10 us in a second.
const PER_SECOND: f64 = 1e5;
/// Largest signed 24-bit integer.
const I24_MAX: i32 = (1 << 23) - 1;
/// Largest unsigned 24-bit integer.
const U24_MAX: i32 = (1 << 24) - 1;

impl Coord {
    /// Bytes of a coordinate on the wire.
    pub const WIRE_LEN: usize = 14;

    /// The wire form: rounded to 10 us; what does not fit saturates, what is not a number becomes the origin (an error
    /// that is not a number: 1.0).
    pub fn to_bytes(&self) -> [u8; Self::WIRE_LEN] {
        let mut out = [0; Self::WIRE_LEN];
        for (i, p) in self.position.iter().enumerate() {
            out[3 * i..3 * i + 3].copy_from_slice(&low24(steps(*p, -I24_MAX - 1, I24_MAX)));
        }
        out[9..12].copy_from_slice(&low24(steps(self.height, 0, U24_MAX)));
        let error = if self.error.is_nan() {
            1.0
        } else {
            self.error.clamp(0.0, 1.0)
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in 0..=65535"
        )]
        let error = (error * f64::from(u16::MAX)).round() as u16;
        out[12..].copy_from_slice(&error.to_be_bytes());
        out
    }

    /// Reads the wire form; `None` unless there are exactly [`Coord::WIRE_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Coord> {
        let b: &[u8; Self::WIRE_LEN] = bytes.try_into().ok()?;
        let signed = |i: usize| {
            let high = i32::from_be_bytes([b[i], b[i + 1], b[i + 2], 0]);
            f64::from(high >> 8) / PER_SECOND
        };
        let height = u32::from_be_bytes([0, b[9], b[10], b[11]]);
        Some(Coord {
            position: [signed(0), signed(3), signed(6)],
            height: f64::from(height) / PER_SECOND,
            error: f64::from(u16::from_be_bytes([b[12], b[13]])) / f64::from(u16::MAX),
        })
    }

    /// The coordinate as its reader will see it: [`Coord::to_bytes`] and back.
    pub fn quantised(&self) -> Coord {
        Coord::from_bytes(&self.to_bytes()).expect("the wire form has the wire length")
    }
}

/// `seconds` in steps of 10 us, clamped to `min..=max`; 0 for NaN.
#[allow(
    clippy::cast_possible_truncation,
    reason = "float casts saturate; clamped before"
)]
fn steps(seconds: f64, min: i32, max: i32) -> i32 {
    (seconds * PER_SECOND)
        .round()
        .clamp(f64::from(min), f64::from(max)) as i32
}

fn low24(n: i32) -> [u8; 3] {
    let [_, a, b, c] = n.to_be_bytes();
    [a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_float_becomes_a_finite_point_in_range(
            position in prop::array::uniform3(prop::num::f64::ANY),
            height in prop::num::f64::ANY,
            error in prop::num::f64::ANY,
        ) {
            let c = Coord { position, height, error }.quantised();
            prop_assert!(c.position.iter().all(|p| p.is_finite() && p.abs() <= 83.88608));
            prop_assert!((0.0..=167.77215).contains(&c.height));
            prop_assert!((0.0..=1.0).contains(&c.error));
        }

        #[test]
        fn any_fourteen_bytes_are_one_coordinate(bytes in prop::array::uniform14(any::<u8>())) {
            let c = Coord::from_bytes(&bytes).unwrap();
            prop_assert_eq!(c.to_bytes(), bytes);
            prop_assert!(c.rtt(&Coord::default()) < std::time::Duration::from_secs(400));
        }

        #[test]
        fn rounding_is_at_most_half_a_step(
            position in prop::array::uniform3(-80.0f64..80.0),
            height in 0.0f64..160.0,
            error in 0.0f64..=1.0,
        ) {
            let c = Coord { position, height, error };
            let q = c.quantised();
            for (a, b) in c.position.iter().zip(&q.position) {
                prop_assert!((a - b).abs() <= 5.1e-6);
            }
            prop_assert!((c.height - q.height).abs() <= 5.1e-6);
            prop_assert!((c.error - q.error).abs() <= 0.51 / 65535.0);
        }
    }

    #[test]
    fn units_and_byte_order_are_fixed() {
        let c = Coord {
            position: [0.00001, -0.00001, 2.56],
            height: 0.00258,
            error: 1.0,
        };
        let bytes = [
            0, 0, 1, 0xff, 0xff, 0xff, 0x03, 0xe8, 0, 0, 1, 2, 0xff, 0xff,
        ];
        assert_eq!(c.to_bytes(), bytes);
        assert_eq!(Coord::from_bytes(&bytes), Some(c));
    }

    #[test]
    fn other_lengths_are_refused() {
        assert_eq!(Coord::from_bytes(&[0; 13]), None);
        assert_eq!(Coord::from_bytes(&[0; 15]), None);
        assert_eq!(Coord::from_bytes(&[]), None);
    }
}
