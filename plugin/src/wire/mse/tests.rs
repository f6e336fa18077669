use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::cipher::{End, mask, sync_hash};
use super::dh::{KEY_LEN, KeyPair};
use super::*;
use crate::wire::encryption::Encryption;
use crate::wire::handshake::PROTOCOL;

const HASH: [u8; 20] = [7; 20];

/// Most that an end has to read before it is over, and one byte more.
const MOST: usize = KEY_LEN + MAX_PAD + 20 + 20 + 14 + MAX_PAD + 2 + MAX_INITIAL + 1;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn knows(key: &[u8; 20]) -> Option<[u8; 20]> {
    (*key == key_hash(&HASH)).then_some(HASH)
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Both ends and what each has said to the other.
struct Talk {
    a: Initiator,
    b: Responder,
    from_a: Vec<u8>,
    from_b: Vec<u8>,
}

fn talk(seed: u64, provided: Methods, policy: Encryption, initial: &[u8]) -> Talk {
    let mut from_a = Vec::new();
    Talk {
        a: Initiator::new(HASH, provided, initial, &mut rng(seed), &mut from_a),
        b: Responder::new(policy, &mut rng(seed + 1)),
        from_a,
        from_b: Vec::new(),
    }
}

/// All that both say and how it ends, when what comes is read in parts of these lengths.
type Outcome = (
    Result<Option<Secured>, MseError>,
    Result<Option<Secured>, MseError>,
);

fn run(talk: &mut Talk, parts: &[usize]) -> Outcome {
    let (mut at_a, mut at_b) = (0, 0);
    let (mut a, mut b) = (Ok(None), Ok(None));
    let mut parts = parts.iter().cycle();
    let mut part = |left: &[u8]| parts.next().map_or(left.len(), |p| (*p).min(left.len()));
    loop {
        let mut idle = true;
        if matches!(b, Ok(None)) && at_b < talk.from_a.len() {
            let len = part(&talk.from_a[at_b..]);
            b = talk
                .b
                .handle(&talk.from_a[at_b..at_b + len], knows, &mut talk.from_b);
            (at_b, idle) = (at_b + len, false);
        }
        if matches!(a, Ok(None)) && at_a < talk.from_b.len() {
            let len = part(&talk.from_b[at_a..]);
            a = talk
                .a
                .handle(&talk.from_b[at_a..at_a + len], &mut talk.from_a);
            (at_a, idle) = (at_a + len, false);
        }
        if idle {
            return (a, b);
        }
    }
}

/// The other end understands what one says from now on.
fn crosses(from: &mut Secured, to: &mut Secured, text: &[u8]) {
    let mut bytes = text.to_vec();
    if let Some((_, outgoing)) = &mut from.ciphers {
        outgoing.apply(&mut bytes);
        assert_ne!(bytes, text);
    }
    if let Some((incoming, _)) = &mut to.ciphers {
        incoming.apply(&mut bytes);
    }
    assert_eq!(bytes, text);
}

/// Made with an implementation of its own in Python, from the specification.
#[test]
fn keys_and_hashes_are_those_of_the_specification() {
    let exponents = [1, 101].map(|first: u8| {
        let mut bytes = first..;
        [0; 20].map(|_: u8| bytes.next().unwrap())
    });
    let [a, b] = exponents.map(KeyPair::of);
    assert_eq!(
        a.public.to_vec(),
        hex(
            "96e112dab29e8c5272accb9b17b26887ce54a144a4e3b697c7d159b7a817e556b0918db2b4c658e02a87f7e5fb14b18a\
     553e084cbf3dad2d30f16596ccb982d406258c61b30c5c1dae2ddc60bdbd48d79896312aad63238c39e1a633821eb693"
        )
    );
    let secret = a.secret(&b.public).unwrap();
    assert_eq!(secret, b.secret(&a.public).unwrap());
    assert_eq!(
        secret.to_vec(),
        hex(
            "d05ed96a95215a89b44073afe5d0b1626289ac01cff7849392948b2470b346547e944d7562a897ae86976bc389999083\
     ec09572dbdc8ed7f6a0a86a1aa42a3ca04209b72d8239890360435640643b76479ed7836f1857963fcc7cb72084c3ab4"
        )
    );
    assert_eq!(
        sync_hash(&secret).to_vec(),
        hex("78fffb0f23055a793ff7609f359e04e383ec3505")
    );
    let masked = mask(key_hash(&HASH), &secret);
    assert_eq!(
        masked.to_vec(),
        hex("71d78150e85448ce01f25cccacd68f4ff1fe589f")
    );
    assert_eq!(mask(masked, &secret), key_hash(&HASH));
    for (end, stream) in [
        (End::Initiator, "6001a24df82bedd60d89ed941f5de1f9"),
        (End::Responder, "1f1175239bd82cb005687bc45ec41a35"),
    ] {
        let mut zeros = [0; 16];
        Cipher::new(end, &secret, &HASH).apply(&mut zeros);
        assert_eq!(zeros.to_vec(), hex(stream));
    }
}

#[test]
fn a_key_that_gives_the_secret_away_or_is_none_is_refused() {
    let keys = KeyPair::of([5; 20]);
    let prime = hex(
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
         ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563",
    );
    let near = |less: u8| {
        let mut key: [u8; KEY_LEN] = prime.clone().try_into().unwrap();
        key[KEY_LEN - 1] -= less;
        key
    };
    let small = |last| {
        let mut key = [0; KEY_LEN];
        key[KEY_LEN - 1] = last;
        key
    };
    for bad in [small(0), small(1), near(1), near(0), [255; KEY_LEN]] {
        assert_eq!(keys.secret(&bad), Err(MseError::BadKey));
        let mut b = Responder::new(Encryption::Allow, &mut rng(1));
        let mut out = Vec::new();
        let refused = b.handle(&bad, knows, &mut out).map(|_| ());
        assert_eq!(refused, Err(MseError::BadKey));
        assert!(out.is_empty(), "nothing is said to it");
    }
    assert!(keys.secret(&small(2)).is_ok() && keys.secret(&near(2)).is_ok());
}

fn provided() -> impl Strategy<Value = Methods> {
    prop_oneof![
        Just(Methods::PLAINTEXT),
        Just(Methods::RC4),
        Just(Methods::BOTH)
    ]
}

fn policy() -> impl Strategy<Value = Encryption> {
    prop_oneof![
        Just(Encryption::Allow),
        Just(Encryption::Prefer),
        Just(Encryption::Require)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_ends_agree_however_what_they_say_is_cut(
        seed in any::<u32>(),
        provided in provided(),
        policy in policy(),
        initial in prop_oneof![Just(vec![]), prop::collection::vec(any::<u8>(), 68), prop::collection::vec(any::<u8>(), 0..MAX_INITIAL)],
        parts in prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), prop::collection::vec(1_usize..700, 1..8)],
    ) {
        let mut talk = talk(seed.into(), provided, policy, &initial);
        let (a, b) = run(&mut talk, &parts);
        let Some(chosen) = policy.select(provided) else {
            prop_assert_eq!(b.map(|_| ()), Err(MseError::NoMethod(provided.0)));
            prop_assert!(matches!(a, Ok(None)));
            return Ok(());
        };
        let (mut a, mut b) = (a.unwrap().unwrap(), b.unwrap().unwrap());
        prop_assert_eq!(b.info_hash, HASH);
        prop_assert_eq!(&b.ahead[..], &initial[..]);
        prop_assert!(a.ahead.is_empty());
        for end in [&a, &b] {
            prop_assert_eq!(end.ciphers.is_some(), chosen == Methods::RC4);
        }
        for text in [&b"first"[..], &[9; 3000]] {
            crosses(&mut a, &mut b, text);
            crosses(&mut b, &mut a, text);
        }
        prop_assert!(talk.a.handle(b"more", &mut Vec::new()).is_err());
        prop_assert!(talk.b.handle(b"more", knows, &mut Vec::new()).is_err());
    }

    #[test]
    fn what_follows_at_once_is_not_lost(
        seed in any::<u32>(),
        policy in policy(),
        part in prop_oneof![Just(1), Just(usize::MAX), 1_usize..700],
    ) {
        let mut talk = talk(seed.into(), Methods::BOTH, policy, b"first");
        let mut out = Vec::new();
        // all that A says before it hears how it goes on, and the answer with what B says right behind it
        let b = run(&mut talk, &[usize::MAX]).1.unwrap().unwrap();
        let mut again = talk_of_a(seed.into());
        if let Some((_, mut outgoing)) = b.ciphers {
            let mut text = b"right behind".to_vec();
            outgoing.apply(&mut text);
            talk.from_b.extend(text);
        } else {
            talk.from_b.extend(b"right behind");
        }
        let (mut ahead, mut done) = (Vec::new(), None);
        for bytes in talk.from_b.chunks(part.min(talk.from_b.len())) {
            match &mut done {
                None => done = again.handle(bytes, &mut out).unwrap(),
                Some(Secured { ciphers, .. }) => {
                    let mut bytes = bytes.to_vec();
                    if let Some((incoming, _)) = ciphers {
                        incoming.apply(&mut bytes);
                    }
                    ahead.extend(bytes);
                }
            }
        }
        let all = [&done.unwrap().ahead[..], &ahead].concat();
        prop_assert_eq!(&all[..], b"right behind");
    }

    #[test]
    fn a_bent_byte_ends_it_or_changes_nothing(
        seed in any::<u32>(),
        of_a in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bend in 1_u8..,
        part in prop_oneof![Just(1), Just(usize::MAX), 1_usize..700],
    ) {
        let mut whole = talk(seed.into(), Methods::BOTH, Encryption::Prefer, b"first");
        let (a, b) = run(&mut whole, &[usize::MAX]);
        prop_assert!(a.is_ok() && b.is_ok());
        let mut said = if of_a { whole.from_a } else { whole.from_b };
        let at = at.index(said.len());
        said[at] ^= bend;
        said.resize(said.len().max(MOST), 0);
        let mut a = talk_of_a(seed.into());
        let mut b = Responder::new(Encryption::Prefer, &mut rng(u64::from(seed) + 1));
        let mut out = Vec::new();
        let ended = said.chunks(part.min(said.len())).find_map(|bytes| {
            let step = if of_a {
                b.handle(bytes, knows, &mut out)
            } else {
                a.handle(bytes, &mut out)
            };
            match step {
                Ok(None) => None,
                Ok(Some(secured)) => Some(Ok(secured)),
                Err(error) => Some(Err(error)),
            }
        });
        let ended = ended.expect("it is over after so many bytes");
        if let Ok(secured) = ended {
            prop_assert_eq!(secured.info_hash, HASH);
        }
    }

    #[test]
    fn whatever_comes_it_ends_within_its_bounds(
        mut bytes in prop::collection::vec(any::<u8>(), 0..800),
        part in 1_usize..900,
    ) {
        bytes.resize(MOST, 9);
        let mut out = Vec::new();
        let mut a = Initiator::new(HASH, Methods::BOTH, b"first", &mut rng(1), &mut out);
        let mut b = Responder::new(Encryption::Allow, &mut rng(2));
        let by_a = bytes.chunks(part).find_map(|p| a.handle(p, &mut out).err());
        let by_b = bytes.chunks(part).find_map(|p| b.handle(p, knows, &mut out).err());
        prop_assert!(by_a.is_some() && by_b.is_some());
        prop_assert!(out.len() <= 2 * (KEY_LEN + MAX_PAD) + 40 + 16 + MAX_PAD + 5);
    }
}

/// The initiator of [`talk`] with both methods.
fn talk_of_a(seed: u64) -> Initiator {
    Initiator::new(
        HASH,
        Methods::BOTH,
        b"first",
        &mut rng(seed),
        &mut Vec::new(),
    )
}

#[test]
fn nothing_less_than_all_of_it_is_enough() {
    let mut whole = talk(3, Methods::BOTH, Encryption::Allow, b"first");
    let (a, b) = run(&mut whole, &[usize::MAX]);
    assert!(matches!((a, b), (Ok(Some(_)), Ok(Some(_)))));
    for len in 0..whole.from_a.len() {
        let mut b = Responder::new(Encryption::Allow, &mut rng(4));
        let step = b.handle(&whole.from_a[..len], knows, &mut Vec::new());
        assert!(matches!(step, Ok(None)), "{len}: {step:?}");
    }
    for len in 0..whole.from_b.len() {
        let step = talk_of_a(3).handle(&whole.from_b[..len], &mut Vec::new());
        assert!(matches!(step, Ok(None)), "{len}: {step:?}");
    }
}

/// A pad without end is followed no further than the longest.
#[test]
fn a_pad_without_end_is_refused_at_its_longest() {
    let other = KeyPair::of([9; 20]);
    let mut b = Responder::new(Encryption::Allow, &mut rng(1));
    let mut out = Vec::new();
    assert!(matches!(b.handle(&other.public, knows, &mut out), Ok(None)));
    assert!(matches!(
        b.handle(&[0; MAX_PAD + 19], knows, &mut out),
        Ok(None)
    ));
    let refused = b.handle(&[0], knows, &mut out).map(|_| ());
    assert_eq!(refused, Err(MseError::NoSync));
    let mut a = talk_of_a(1);
    assert!(matches!(a.handle(&other.public, &mut out), Ok(None)));
    assert!(matches!(a.handle(&[0; MAX_PAD + 7], &mut out), Ok(None)));
    let refused = a.handle(&[0], &mut out).map(|_| ());
    assert_eq!(refused, Err(MseError::NoSync));
}

/// What a responder makes of `fields` behind an exchange of keys without pads.
fn asked(fields: &[u8], hash: [u8; 20]) -> Result<Option<Secured>, MseError> {
    let keys = KeyPair::of([9; 20]);
    let mut b = Responder::new(Encryption::Require, &mut rng(1));
    let mut out = Vec::new();
    b.handle(&keys.public, knows, &mut out).unwrap();
    let secret = keys.secret(out.first_chunk().unwrap()).unwrap();
    let mut cipher = Cipher::new(End::Initiator, &secret, &hash);
    let mut fields = fields.to_vec();
    cipher.apply(&mut fields);
    let said = [
        &sync_hash(&secret)[..],
        &mask(key_hash(&hash), &secret),
        &fields,
    ];
    b.handle(&said.concat(), knows, &mut out)
}

#[test]
fn a_caller_that_asks_for_what_is_not_there_is_refused() {
    let fields = |provided: u32, pad: u16, first: u16| {
        let constant = [0; 8];
        let (provided, pad_len) = (provided.to_be_bytes(), pad.to_be_bytes());
        let pad = vec![0; usize::from(pad.min(512))];
        [
            &constant[..],
            &provided,
            &pad_len,
            &pad,
            &first.to_be_bytes(),
        ]
        .concat()
    };
    let error = |fields: &[u8]| asked(fields, HASH).map(|_| ()).unwrap_err();
    assert!(asked(&fields(2, 0, 0), HASH).unwrap().is_some());
    assert!(asked(&fields(3, 512, 0), HASH).unwrap().is_some());
    assert!(
        asked(&fields(2, 0, 4096), HASH).unwrap().is_none(),
        "the rest is to come"
    );
    assert_eq!(error(&fields(1, 0, 0)), MseError::NoMethod(1));
    assert_eq!(error(&fields(0, 0, 0)), MseError::NoMethod(0));
    assert_eq!(error(&fields(4, 0, 0)), MseError::NoMethod(4));
    assert_eq!(error(&fields(2, 513, 0)), MseError::PadTooLong(513));
    assert_eq!(error(&fields(2, 0, 4097)), MseError::InitialTooLong(4097));
    let mut wrong = fields(2, 0, 0);
    wrong[7] = 1;
    assert_eq!(error(&wrong), MseError::BadConstant);
    let unknown = asked(&fields(2, 0, 0), [8; 20]).map(|_| ());
    assert_eq!(unknown, Err(MseError::UnknownTorrent));
}

#[test]
fn a_responder_that_chooses_what_was_not_offered_is_refused() {
    let chosen = |provided: Methods, chosen: u32, pad: u16| {
        let mut out = Vec::new();
        let mut a = Initiator::new(HASH, provided, b"first", &mut rng(1), &mut out);
        let keys = KeyPair::of([9; 20]);
        let secret = keys.secret(out.first_chunk().unwrap()).unwrap();
        let mut cipher = Cipher::new(End::Responder, &secret, &HASH);
        let mut fields = [&[0; 8][..], &chosen.to_be_bytes(), &pad.to_be_bytes()].concat();
        cipher.apply(&mut fields);
        let said = [&keys.public[..], &fields].concat();
        a.handle(&said, &mut out).map(|done| done.is_some())
    };
    assert_eq!(chosen(Methods::RC4, 2, 0), Ok(true));
    assert_eq!(chosen(Methods::BOTH, 1, 0), Ok(true));
    assert_eq!(chosen(Methods::BOTH, 1, 512), Ok(false));
    assert_eq!(chosen(Methods::RC4, 1, 0), Err(MseError::NoMethod(1)));
    for none in [0, 3, 4, 0x0200_0000] {
        assert_eq!(
            chosen(Methods::BOTH, none, 0),
            Err(MseError::NoMethod(none))
        );
    }
    assert_eq!(chosen(Methods::RC4, 2, 513), Err(MseError::PadTooLong(513)));
}

#[test]
fn a_peer_that_answers_in_plaintext_is_known_at_once() {
    let mut a = talk_of_a(1);
    assert!(matches!(
        a.handle(&PROTOCOL[..19], &mut Vec::new()),
        Ok(None)
    ));
    let refused = a.handle(&PROTOCOL[19..], &mut Vec::new()).map(|_| ());
    assert_eq!(refused, Err(MseError::Plaintext));
}
