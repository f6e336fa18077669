use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const WALL: Duration = Duration::from_secs(1_700_000_000);
const MS: Duration = Duration::from_millis(1);

fn key(n: u8) -> NetworkKey {
    NetworkKey([n; 32])
}

fn seal(session: u8) -> Seal {
    Seal::new(&key(1), [session; 8], SealConfig::default())
}

#[test]
fn the_layout_is_as_documented() {
    let mut a = seal(2);
    let sealed = a.seal(b"d1:vi1ee", WALL);
    assert_eq!(sealed.len(), 8 + SEAL_OVERHEAD);
    assert_eq!(sealed[0], 0xcc);
    assert_eq!(sealed[1..9], [2; 8]);
    assert_eq!(sealed[9..17], 1_700_000_000_000_000u64.to_be_bytes());
    assert_eq!(&sealed[17..25], b"d1:vi1ee");
    let mac = Hmac::<Sha256>::new_from_slice(&[1; 32])
        .expect("any length")
        .chain_update(&sealed[..25])
        .finalize()
        .into_bytes();
    assert_eq!(sealed[25..], mac[..16]);
}

#[test]
fn counters_grow_even_when_the_clock_stands_still_or_runs_back() {
    let (mut a, mut b) = (seal(2), seal(3));
    let walls = [WALL, WALL, WALL - Duration::from_secs(5), WALL + MS];
    let sealed: Vec<_> = walls.iter().map(|w| a.seal(b"x", *w)).collect();
    let counter = |s: &Vec<u8>| u64::from_be_bytes(s[9..17].try_into().expect("8 bytes"));
    assert!(sealed.windows(2).all(|w| counter(&w[0]) < counter(&w[1])));
    for s in &sealed {
        assert_eq!(b.open(s, WALL), Ok(&b"x"[..]));
        assert_eq!(b.open(s, WALL), Err(OpenError::Replayed));
    }
}

#[test]
fn what_is_not_of_this_network_is_refused_before_anything_is_remembered() {
    let (mut a, mut b) = (seal(2), seal(3));
    let sealed = a.seal(b"payload", WALL);
    let mut stranger = Seal::new(&key(9), [4; 8], SealConfig::default());
    assert_eq!(stranger.open(&sealed, WALL), Err(OpenError::Forged));
    for n in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[n] ^= 1;
        let expected = match n {
            0 => OpenError::NotSealed,
            _ => OpenError::Forged,
        };
        assert_eq!(b.open(&bent, WALL), Err(expected), "byte {n}");
        assert!(b.open(&sealed[..n], WALL).is_err(), "cut at {n}");
    }
    let mut longer = sealed.clone();
    longer.push(0);
    assert_eq!(b.open(&longer, WALL), Err(OpenError::Forged));
    assert_eq!(b.open(b"d1:vi1ee", WALL), Err(OpenError::NotSealed));
    assert_eq!(b.sessions(), 0);
    assert_eq!(b.open(&sealed, WALL), Ok(&b"payload"[..]));
    assert_eq!(a.open(&sealed, WALL), Err(OpenError::Own));
}

#[test]
fn a_clock_may_be_off_by_the_tolerance_and_no_more() {
    for (off, good) in [(0, true), (600, true), (601, false)] {
        let off = Duration::from_secs(off);
        let opens = |at| seal(3).open(&seal(2).seal(b"x", WALL), at).is_ok();
        assert_eq!(opens(WALL - off), good);
        assert_eq!(opens(WALL + off), good);
    }
}

#[test]
fn a_new_session_lets_a_clock_go_back() {
    let (mut a, mut b) = (seal(2), seal(3));
    a.seal(b"x", WALL + Duration::from_secs(86_400));
    assert_eq!(b.open(&a.seal(b"x", WALL), WALL), Err(OpenError::Clock));
    a.restart([9; 8]);
    assert!(b.open(&a.seal(b"x", WALL), WALL).is_ok());
}

#[test]
fn a_second_of_reordering_at_a_thousand_datagrams_loses_nothing() {
    let (mut a, mut b) = (seal(2), seal(3));
    let sealed: Vec<_> = (0..1_000).map(|n| a.seal(b"x", WALL + MS * n)).collect();
    let now = WALL + Duration::from_secs(1);
    for s in sealed.iter().rev() {
        assert!(b.open(s, now).is_ok());
    }
    assert!(
        sealed
            .iter()
            .all(|s| b.open(s, now) == Err(OpenError::Replayed))
    );
}

#[test]
fn an_old_datagram_stays_refused_when_its_counter_has_left_the_window() {
    let (mut a, mut b) = (seal(2), seal(3));
    let first = a.seal(b"first", WALL);
    assert!(b.open(&first, WALL).is_ok());
    for n in 1..5_000 {
        let wall = WALL + MS * n / 10;
        assert!(b.open(&a.seal(b"x", wall), wall).is_ok());
    }
    assert_eq!(b.open(&first, WALL), Err(OpenError::Replayed));
    let quiet = WALL + Duration::from_secs(60);
    assert!(b.open(&a.seal(b"x", quiet), quiet).is_ok());
    assert_eq!(b.open(&first, quiet), Err(OpenError::Replayed));
}

#[test]
fn sessions_are_bounded_and_only_stale_ones_are_forgotten() {
    let config = SealConfig {
        sessions: 100,
        ..SealConfig::default()
    };
    let mut b = Seal::new(&key(1), [255; 8], config);
    let first: Vec<_> = (0..100).map(|n| seal(n).seal(b"x", WALL)).collect();
    assert!(first.iter().all(|s| b.open(s, WALL).is_ok()));
    assert_eq!(
        b.open(&seal(200).seal(b"x", WALL), WALL),
        Err(OpenError::Sessions)
    );
    assert_eq!(b.sessions(), 100);
    let later = WALL + Duration::from_secs(601);
    assert!(b.open(&seal(200).seal(b"x", later), later).is_ok());
    assert_eq!(b.sessions(), 1);
    // The clock is set back: what was forgotten is still refused.
    assert!(
        first
            .iter()
            .all(|s| b.open(s, WALL) == Err(OpenError::Replayed))
    );
}

#[test]
fn a_key_is_64_hexadecimal_digits_and_never_shown() {
    let text = "0123456789abcdefABCDEF00".repeat(3)[..64].to_string();
    let key: NetworkKey = text.parse().expect("64 digits");
    assert_eq!(key.0[..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!(format!("{key:?}"), "NetworkKey(secret)");
    for bad in [
        "",
        "0",
        &"g".repeat(64),
        &"0".repeat(63),
        &"0".repeat(65),
        &"é".repeat(32),
    ] {
        assert_eq!(bad.parse::<NetworkKey>(), Err(ParseKeyError), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut b = seal(3);
        prop_assert!(b.open(&bytes, WALL).is_err());
        let mut marked = bytes;
        marked.insert(0, MARKER);
        prop_assert!(b.open(&marked, WALL).is_err());
        prop_assert_eq!(b.sessions(), 0);
    }

    /// Against a reference that remembers everything: nothing is accepted twice, and in order everything once.
    #[test]
    fn nothing_is_accepted_twice(
        steps in proptest::collection::vec((0u64..3_000_000, any::<bool>()), 1..300),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..600),
    ) {
        let (mut a, mut b) = (seal(2), seal(3));
        let mut wall = WALL;
        let mut sealed = Vec::new();
        for (step, still) in steps {
            wall += Duration::from_micros(if still { 0 } else { step });
            sealed.push((a.seal(b"x", wall), wall));
        }
        let mut accepted = BTreeSet::new();
        for pick in picks {
            let n = pick.index(sealed.len());
            let (datagram, at) = &sealed[n];
            if b.open(datagram, *at).is_ok() {
                prop_assert!(accepted.insert(n), "twice");
            }
        }
        let mut c = seal(4);
        prop_assert!(sealed.iter().all(|(s, at)| c.open(s, *at).is_ok()));
    }
}
