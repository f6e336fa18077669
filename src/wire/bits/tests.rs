//! Against a naive codec: lists of booleans, strings of digits, every form written out.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the naive codec is short, and a wrong cast fails its tests"
)]

use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The codec again, from the description in docs/protocol.md.
mod naive {
    pub(super) fn pack(digits: &str, fill: char) -> Vec<u8> {
        let mut digits = digits.to_owned();
        while !digits.len().is_multiple_of(8) {
            digits.push(fill);
        }
        let byte = |i: usize| u8::from_str_radix(&digits[8 * i..8 * i + 8], 2).unwrap();
        (0..digits.len() / 8).map(byte).collect()
    }

    fn unpack(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:08b}")).collect()
    }

    fn digits(bits: &[bool]) -> String {
        bits.iter().map(|&b| if b { '1' } else { '0' }).collect()
    }

    pub(super) fn raw(bits: &[bool]) -> Vec<u8> {
        [vec![2], pack(&digits(bits), '0')].concat()
    }

    pub(super) fn runs(bits: &[bool]) -> Vec<u8> {
        let mut lengths = vec![];
        let mut kind = false;
        let mut run = 0usize;
        for &bit in bits {
            if bit != kind {
                lengths.push(run);
                (kind, run) = (bit, 0);
            }
            run += 1;
        }
        let mut out = vec![3];
        for mut n in lengths {
            while n >= 128 {
                out.push((n % 128) as u8 + 128);
                n /= 128;
            }
            out.push(n as u8);
        }
        out
    }

    pub(super) fn rice(bits: &[bool], absent: bool, k: u32) -> Vec<u8> {
        let mut string = String::new();
        let mut gap = 0u64;
        for &bit in bits {
            if bit == absent {
                gap += 1;
                continue;
            }
            string.push_str(&"1".repeat((gap >> k) as usize));
            string.push('0');
            for i in (0..k).rev() {
                string.push(if gap >> i & 1 == 1 { '1' } else { '0' });
            }
            gap = 0;
        }
        let head = k as u8 + if absent { 128 } else { 0 };
        [vec![4, head], pack(&string, '1')].concat()
    }

    /// Every form of the bits that needs no base.
    pub(super) fn forms(bits: &[bool]) -> Vec<Vec<u8>> {
        let mut all = vec![raw(bits)];
        if bits.iter().all(|b| !b) {
            all.push(vec![0]);
        }
        if bits.iter().all(|b| *b) {
            all.push(vec![1]);
        }
        if !bits.is_empty() {
            all.push(runs(bits));
        }
        // with a larger k no gap of these tests has a quotient: the string only grows
        for k in (0..14).chain([31]) {
            all.extend([rice(bits, false, k), rice(bits, true, k)]);
        }
        all
    }

    /// The shortest, then the first in byte order.
    pub(super) fn encode(bits: &[bool]) -> Vec<u8> {
        forms(bits)
            .into_iter()
            .min_by_key(|form| (form.len(), form.clone()))
            .unwrap()
    }

    pub(super) fn decode(len: usize, bytes: &[u8]) -> Option<Vec<bool>> {
        match bytes {
            [0] => Some(vec![false; len]),
            [1] => Some(vec![true; len]),
            [2, bitfield @ ..] => {
                let all: Vec<bool> = unpack(bitfield).chars().map(|c| c == '1').collect();
                let fits = bitfield.len() == len.div_ceil(8) && !all[len..].contains(&true);
                fits.then(|| all[..len].to_vec())
            }
            [3, varints @ ..] => decode_runs(len, varints),
            [4, head, string @ ..] => decode_rice(len, *head, &unpack(string)),
            _ => None,
        }
    }

    fn decode_runs(len: usize, varints: &[u8]) -> Option<Vec<bool>> {
        let mut bits = vec![];
        let mut kind = false;
        let mut runs = 0;
        for varint in varints.split_inclusive(|b| b & 0x80 == 0) {
            let (last, more) = varint.split_last()?;
            if last & 0x80 != 0 || (!more.is_empty() && *last == 0) || more.len() > 4 {
                return None;
            }
            let run = varint
                .iter()
                .rev()
                .fold(0u64, |n, b| n * 128 + u64::from(b & 0x7f));
            if (runs > 0 && run == 0) || bits.len() as u64 + run >= len as u64 {
                return None;
            }
            bits.extend(std::iter::repeat_n(kind, run as usize));
            (kind, runs) = (!kind, runs + 1);
        }
        bits.resize(len, kind);
        Some(bits)
    }

    fn decode_rice(len: usize, head: u8, string: &str) -> Option<Vec<bool>> {
        let (absent, k) = (head >= 128, head as usize % 32);
        if head & 0x60 != 0 {
            return None;
        }
        let mut bits = vec![];
        let mut rest = string;
        while let Some(quotient) = rest.find('0') {
            let low = rest.get(quotient + 1..quotient + 1 + k)?;
            let low = if k == 0 {
                0
            } else {
                u64::from_str_radix(low, 2).unwrap()
            };
            let gap = ((quotient as u64) << k) + low;
            if bits.len() as u64 + gap >= len as u64 {
                return None;
            }
            bits.extend(std::iter::repeat_n(absent, gap as usize));
            bits.push(!absent);
            rest = &rest[quotient + 1 + k..];
        }
        if rest.len() > 7 {
            return None;
        }
        bits.resize(len, absent);
        Some(bits)
    }
}

fn set_of(start: u32, bits: &[bool]) -> ChunkSet {
    let mut set = ChunkSet::empty_window(start, u32::try_from(bits.len()).unwrap());
    for (chunk, _) in (start..).zip(bits).filter(|(_, bit)| **bit) {
        set.insert(chunk);
    }
    set
}

fn bits_of(set: &ChunkSet) -> Vec<bool> {
    (set.start()..set.end()).map(|c| set.contains(c)).collect()
}

/// Bits of every texture: noise of any density, long runs, both behind one another.
fn any_bits() -> impl Strategy<Value = Vec<bool>> {
    let noise = (0u32..=100, 0usize..500, any::<u64>()).prop_map(|(percent, len, seed)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let density = f64::from(percent) / 100.0;
        (0..len).map(|_| rng.random_bool(density)).collect()
    });
    let runs = prop::collection::vec((any::<bool>(), 1usize..300), 0..9).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(bit, n)| std::iter::repeat_n(bit, n))
            .collect::<Vec<bool>>()
    });
    let rare = (
        any::<bool>(),
        1usize..2500,
        prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    )
        .prop_map(|(bit, len, at)| {
            let mut bits = vec![bit; len];
            at.iter().for_each(|i| bits[i.index(len)] = !bit);
            bits
        });
    let one = prop_oneof![noise, runs, rare].boxed();
    prop_oneof![3 => one.clone(), 1 => (one.clone(), one).prop_map(|(a, b)| [a, b].concat())]
}

proptest! {
    #[test]
    fn a_set_takes_the_shortest_form_of_the_naive_codec(start in 0u32..1000, bits in any_bits()) {
        let set = set_of(start, &bits);
        let bytes = encode_bits(&set);
        prop_assert_eq!(&bytes, &naive::encode(&bits));
        prop_assert!(bytes.len() <= set.as_bytes().len() + 1);
        prop_assert_eq!(decode_bits(start, set.len(), &bytes, set.len()), Ok(set.clone()));
        for limit in [0, (bytes.len() - 1).saturating_sub(1), bytes.len() - 1, bytes.len()] {
            prop_assert_eq!(fits(&set, limit), bytes.len() - 1 <= limit);
        }
    }

    #[test]
    fn every_form_is_read(bits in any_bits()) {
        let set = set_of(7, &bits);
        for form in naive::forms(&bits) {
            prop_assert_eq!(decode_bits(7, set.len(), &form, u32::MAX), Ok(set.clone()), "{:?}", form);
        }
    }

    #[test]
    fn hostile_bytes_are_read_as_the_naive_codec_reads_them(
        start in any::<u32>(), len in 0u32..5000, tag in 0u8..7, head in any::<u8>(),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], 0..64),
    ) {
        for bytes in [[vec![tag], bytes.clone()].concat(), [vec![4, head & 0x9f], bytes].concat()] {
            let read = decode_bits(start, len, &bytes, 4096);
            if len > 4096 || start.checked_add(len).is_none() {
                prop_assert_eq!(read, Err(BitsError::TooLong));
                continue;
            }
            let want = naive::decode(len as usize, &bytes);
            prop_assert_eq!(read.as_ref().ok().map(bits_of), want, "{:?}", bytes);
            if let Ok(set) = read {
                prop_assert!(set.start() == start && set.len() == len);
                prop_assert!(encode_bits(&set).len() <= bytes.len());
            }
        }
    }

    #[test]
    fn changed_bytes_are_read_as_the_naive_codec_reads_them(
        bits in any_bits(), at in any::<prop::sample::Index>(), byte in any::<u8>(), absent: bool, k in 0u32..8,
    ) {
        for mut bytes in [naive::encode(&bits), naive::rice(&bits, absent, k), naive::runs(&bits)] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let read = decode_bits(0, u32::try_from(bits.len()).unwrap(), &bytes, u32::MAX);
            prop_assert_eq!(read.ok().map(|set| bits_of(&set)), naive::decode(bits.len(), &bytes), "{:?}", bytes);
        }
    }

    #[test]
    fn a_delta_gives_back_the_set_in_the_shortest_form(
        start in 0u32..1000, base in any_bits(), other in any_bits(), same: bool, flips in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        // either much the same or something else altogether
        let mut now = if same { base.clone() } else { other };
        now.resize(base.len(), false);
        for flip in flips.iter().filter(|_| !base.is_empty()) {
            let i = flip.index(base.len());
            now[i] = !now[i];
        }
        let difference: Vec<bool> = base.iter().zip(&now).map(|(a, b)| a != b).collect();
        let delta = [vec![5], naive::encode(&difference)].concat();
        let whole = naive::encode(&now);
        let shortest = if whole.len() <= delta.len() { &whole } else { &delta };

        let (base, now) = (set_of(start, &base), set_of(start, &now));
        prop_assert_eq!(&encode_delta(&base, &now), shortest);
        for form in [delta, whole] {
            prop_assert_eq!(decode_delta(&base, &form, base.len()), Ok(now.clone()));
        }
        let difference = symmetric_difference(&base, &now);
        prop_assert_eq!(symmetric_difference(&base, &difference), now);
    }

    #[test]
    fn a_delta_between_windows_counts_within_that_of_the_base(
        (from, base) in (0u32..300, any_bits()), (at, now) in (0u32..300, any_bits()),
    ) {
        let (base, now) = (set_of(from, &base), set_of(at, &now));
        let read = decode_delta(&base, &encode_delta(&base, &now), u32::MAX).unwrap();
        prop_assert_eq!((read.start(), read.len()), (base.start(), base.len()));
        for chunk in base.start()..base.end() {
            prop_assert_eq!(read.contains(chunk), now.contains(chunk));
        }
    }

    #[test]
    fn hostile_deltas_give_a_set_of_the_window_or_an_error(
        base in any_bits(), bytes in prop::collection::vec(any::<u8>(), 0..64), tag in 0u8..7,
    ) {
        let base = set_of(3, &base);
        let bytes = [vec![5, tag], bytes].concat();
        if let Ok(set) = decode_delta(&base, &bytes, 4096) {
            prop_assert!(set.len() <= 4096 && set.start() == 3 && set.len() == base.len());
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_summary_never_misses_an_overlap(
        len in prop_oneof![4 => 1u32..5000, 4 => 8_192u32..20_000, 1 => Just(MAX_CHUNKS)], a in any::<u64>(), b in any::<u64>(), from in 0u32..9000,
    ) {
        let pick = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let count = rng.random_range(0..40);
            ChunkSet::from_indices(len, (0..count).map(|_| rng.random_range(0..len)).collect::<Vec<_>>())
        };
        // one of them only a window up to the end of the object
        let (a, b) = (pick(a), pick(b).window(from.min(len - 1), len));
        let (sa, sb) = (Summary::of(&a), Summary::of(&b));
        prop_assert!(a.overlap(&b) <= sa.may_overlap(&sb));
        prop_assert!(a.overlap(&b) == 0 || sa.overlaps(&sb));
        prop_assert!(len < SUMMARY_BUCKETS || sa.overlaps(&sb) == (sa.may_overlap(&sb) > 0));
        let whole = ChunkSet::from_indices(len, b.iter());
        prop_assert_eq!(sa.may_include(&whole), sa.may_overlap(&Summary::of(&whole)) > 0);
        prop_assert!(!sa.may_include(&whole.window(1, len)), "it does not cover the object");
        prop_assert_eq!(sa.may_overlap(&sb), sb.may_overlap(&sa));
        if len <= SUMMARY_BUCKETS {
            prop_assert_eq!(a.overlap(&b), sa.may_overlap(&sb), "a bit a chunk is exact");
        }
        let bytes = sa.encode();
        prop_assert!(bytes.len() <= 257);
        prop_assert_eq!(Summary::decode(len, &bytes), Ok(sa));

        // the definition
        let stretch = |c: u32| u64::from(c) * 2048 / u64::from(len);
        let want: std::collections::BTreeSet<u64> = b.iter().map(stretch).collect();
        let bits = decode_bits(0, 2048, &sb.encode(), 2048).unwrap();
        prop_assert_eq!(bits.iter().map(u64::from).collect::<std::collections::BTreeSet<_>>(), want);
    }
}

fn random_set(rng: &mut ChaCha8Rng, len: u32, count: u32) -> ChunkSet {
    let mut set = ChunkSet::empty(len);
    while set.count() < count {
        set.insert(rng.random_range(0..len));
    }
    set
}

#[test]
fn a_sequential_download_takes_five_bytes_at_most() {
    let set = ChunkSet::from_indices(10_000, 0..4_000);
    assert_eq!(encode_bits(&set), [RUNS, 0, 0xa0, 0x1f]);
    for upto in [1, 127, 128, 16_384, 900_000, MAX_CHUNKS - 1] {
        assert!(encode_bits(&ChunkSet::from_indices(MAX_CHUNKS, 0..upto)).len() <= 5);
    }
    assert_eq!(encode_bits(&ChunkSet::full(10_000)), [FULL]);
    assert_eq!(encode_bits(&ChunkSet::empty(10_000)), [EMPTY]);
}

#[test]
fn a_half_full_random_map_stays_raw() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..50 {
        let set = random_set(&mut rng, 10_000, 5_000);
        let bytes = encode_bits(&set);
        assert_eq!((bytes[0], bytes.len() - 1), (RAW, 1250));
    }
}

#[test]
fn a_delta_of_fifty_chunks_in_ten_thousand_takes_seventy_bytes_at_most() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        let base = random_set(&mut rng, 10_000, 5_000);
        let mut now = base.clone();
        let mut left = 50;
        while left > 0 {
            left -= u32::from(now.insert(rng.random_range(0..10_000)));
        }
        let bytes = encode_delta(&base, &now);
        assert!(bytes.len() <= 63, "{} bytes", bytes.len());
        assert_eq!(bytes[..2], [DELTA, RICE]);
        assert_eq!(decode_delta(&base, &bytes, 10_000), Ok(now));
    }
    // the next fifty in order
    let (base, now) = (
        ChunkSet::from_indices(10_000, 0..300),
        ChunkSet::from_indices(10_000, 0..350),
    );
    assert!(encode_delta(&base, &now).len() <= 5);
}

#[test]
fn sparse_and_nearly_full_sets_cost_the_same() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let few = random_set(&mut rng, 4096, 40);
    let most = few.complement();
    let (few, most) = (encode_bits(&few), encode_bits(&most));
    assert_eq!((few[0], most[0]), (RICE, RICE));
    assert_eq!((few[1] | 0x80, &few[2..]), (most[1], &most[2..]));
    assert!(few.len() <= 45, "{} bytes, raw 513", few.len());
}

#[test]
fn an_object_of_a_mebichunk_takes_little_when_little_is_said() {
    let few = ChunkSet::from_indices(MAX_CHUNKS, (0..100).map(|i| i * 10_007));
    let bytes = encode_bits(&few);
    assert!(bytes.len() <= 200, "{} bytes", bytes.len());
    assert_eq!(decode_bits(0, MAX_CHUNKS, &bytes, MAX_CHUNKS), Ok(few));
}

#[test]
fn a_summary_tells_halves_apart() {
    let (low, high) = (
        ChunkSet::from_indices(100_000, 0..50_000),
        ChunkSet::from_indices(100_000, 50_000..100_000),
    );
    let (a, b) = (Summary::of(&low), Summary::of(&high));
    assert!(a.may_overlap(&b) <= 49, "one stretch at the boundary");
    assert_eq!(
        a.may_overlap(&Summary::of(&ChunkSet::full(100_000))),
        50_000
    );
    assert_eq!(a.may_overlap(&Summary::of(&ChunkSet::full(100_001))), 0);
    assert_eq!(
        Summary::of(&ChunkSet::empty(0)).may_overlap(&Summary::of(&ChunkSet::empty(0))),
        0
    );
    assert_eq!(
        Summary::decode(MAX_CHUNKS + 1, &[FULL]),
        Err(BitsError::TooLong)
    );
    let whole = Summary::decode(MAX_CHUNKS, &[FULL]).unwrap();
    assert_eq!(whole.may_overlap(&whole), MAX_CHUNKS);
}

#[test]
fn misfits_are_refused_and_the_documented_example_is_read() {
    use BitsError::{Delta, Missing, Payload, Tag, TooLong};
    let refused = |len, bytes: &[u8]| decode_bits(0, len, bytes, 64).unwrap_err();
    assert_eq!(refused(8, &[]), Missing);
    for tag in [6, 7, 255] {
        assert_eq!(refused(8, &[tag]), Tag(tag));
    }
    assert_eq!(refused(65, &[FULL]), TooLong);
    assert_eq!(decode_bits(u32::MAX, 8, &[FULL], 64), Err(TooLong));
    assert_eq!(refused(8, &[FULL, 0]), Payload, "nothing follows full");
    assert_eq!(refused(8, &[EMPTY, 0]), Payload, "nothing follows empty");
    assert_eq!(refused(8, &[RAW, 1, 2]), Payload, "a byte too many");
    assert_eq!(refused(7, &[RAW, 1]), Payload, "a spare bit");
    assert_eq!(refused(8, &[RUNS, 8]), Payload, "the last run is implied");
    assert_eq!(refused(8, &[RUNS, 3, 0]), Payload, "an empty run");
    assert_eq!(refused(8, &[RUNS, 0, 0]), Payload, "two empty runs");
    assert_eq!(refused(8, &[RUNS, 0x80]), Payload, "half a varint");
    assert_eq!(refused(8, &[RUNS, 0x81, 0x00]), Payload, "a padded varint");
    let mut endless = [0xff; 11];
    (endless[0], endless[10]) = (RUNS, 0x01);
    assert_eq!(refused(8, &endless), Payload);
    let example = ChunkSet::from_indices(64, [3, 4, 20]);
    assert_eq!(
        decode_bits(0, 64, &[RICE, 2, 0x63, 0xbf], 64),
        Ok(example),
        "docs/protocol.md's example"
    );
    assert_eq!(refused(8, &[RICE]), Payload, "no parameter");
    assert_eq!(refused(8, &[RICE, 0x20]), Payload, "a spare bit is set");
    assert_eq!(refused(8, &[RICE, 0, 0xff]), Payload, "a byte of filling");
    assert_eq!(refused(8, &[RICE, 4, 0b0111_0111]), Payload, "half a gap");
    assert_eq!(refused(8, &[RICE, 3, 0b0100_0111]), Payload, "outside");
    assert_eq!(refused(8, &[RICE, 0, 0, 0]), Payload, "sixteen of eight");
    assert_eq!(
        refused(64, &[&[RICE, 31][..], &[0xff; 1000]].concat()),
        Payload
    );

    let base = ChunkSet::from_indices(8, [1]);
    assert_eq!(refused(8, &[DELTA, FULL]), Delta, "no base");
    let refused = |bytes: &[u8]| decode_delta(&base, bytes, 64).unwrap_err();
    assert_eq!(refused(&[]), Missing);
    assert_eq!(refused(&[DELTA]), Missing);
    assert_eq!(refused(&[DELTA, DELTA, FULL]), Delta, "a delta of a delta");
    assert_eq!(decode_delta(&base, &[DELTA, FULL], 7), Err(TooLong));
    assert_eq!(
        decode_delta(&base, &[DELTA, FULL], 8),
        Ok(base.complement())
    );
}
