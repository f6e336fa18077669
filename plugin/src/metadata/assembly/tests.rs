use proptest::prelude::*;

use super::*;

const SIZE: u32 = 3 * METADATA_PIECE + 100;

fn dict(size: u32) -> Bytes {
    (0..size)
        .map(|i| i.to_le_bytes()[(i % 3) as usize])
        .collect::<Vec<u8>>()
        .into()
}

fn hash(info: &[u8]) -> [u8; 20] {
    Sha1::digest(info).into()
}

/// Asks `peer` as long as it may be asked, and answers from `info`.
fn pump(assembly: &mut MetadataAssembly, peer: u64, info: &Bytes) -> Outcome {
    let size = u32::try_from(info.len()).unwrap();
    let mut last = Outcome::Ignored;
    while let Some(piece) = assembly.next_request(peer) {
        last = assembly.on_data(peer, piece, size, &metadata_piece(info, piece).unwrap());
    }
    last
}

#[test]
fn one_good_peer_is_enough() {
    let info = dict(SIZE);
    let mut assembly = MetadataAssembly::new(hash(&info));
    assert_eq!(
        assembly.next_request(1),
        None,
        "unknown peers are not asked"
    );
    assert!(assembly.on_size(1, SIZE));
    assert_eq!(
        pump(&mut assembly, 1, &info),
        Outcome::Complete(info.clone())
    );
    assert!(assembly.is_complete());
    assert_eq!(assembly.stored_bytes(), 0);
    assert_eq!(assembly.next_request(1), None);
    assert!(!assembly.on_size(2, SIZE));
}

#[test]
fn pieces_are_shared_out_and_the_last_ones_asked_twice() {
    let info = dict(SIZE);
    let mut assembly = MetadataAssembly::new(hash(&info));
    for peer in 1..=3 {
        assembly.on_size(peer, SIZE);
    }
    assert_eq!(
        (assembly.next_request(1), assembly.next_request(1)),
        (Some(0), Some(1))
    );
    assert_eq!(assembly.next_request(1), None, "two requests a peer");
    assert_eq!(
        (assembly.next_request(2), assembly.next_request(2)),
        (Some(2), Some(3))
    );
    assert_eq!(
        (assembly.next_request(3), assembly.next_request(3)),
        (Some(0), Some(1))
    );
    for (peer, piece) in [(3, 0), (2, 2), (2, 3)] {
        let data = metadata_piece(&info, piece).unwrap();
        assert_eq!(
            assembly.on_data(peer, piece, SIZE, &data),
            Outcome::Progress
        );
    }
    // the second copy is of no use, and costs nothing
    let data = metadata_piece(&info, 0).unwrap();
    assert_eq!(assembly.on_data(1, 0, SIZE, &data), Outcome::Ignored);
    let data = metadata_piece(&info, 1).unwrap();
    assert_eq!(assembly.on_data(1, 1, SIZE, &data), Outcome::Complete(info));
}

#[test]
fn sizes_that_cannot_be_are_not_believed() {
    let mut assembly = MetadataAssembly::new([0; 20]);
    assert!(!assembly.on_size(1, 0));
    assert!(!assembly.on_size(1, (32 << 20) + 1));
    assert!(!assembly.on_size(1, u32::MAX));
    assert!(assembly.on_size(1, 32 << 20));
    assert_eq!(assembly.stored_bytes(), 0, "a claim takes no memory");
}

#[test]
fn data_that_nobody_asked_for_are_dropped() {
    let info = dict(SIZE);
    let mut assembly = MetadataAssembly::new(hash(&info));
    let data = metadata_piece(&info, 0).unwrap();
    assert_eq!(
        assembly.on_data(1, 0, SIZE, &data),
        Outcome::Ignored,
        "before any size"
    );
    assembly.on_size(1, SIZE);
    assert_eq!(
        assembly.on_data(1, 0, SIZE, &data),
        Outcome::Ignored,
        "before a request"
    );
    assert_eq!(assembly.next_request(1), Some(0));
    assert_eq!(assembly.on_data(1, u32::MAX, SIZE, &data), Outcome::Ignored);
    assert_eq!(
        assembly.on_data(2, 0, SIZE, &data),
        Outcome::Ignored,
        "somebody else's"
    );
    assert_eq!(assembly.stored_bytes(), 0);
    assert_eq!(assembly.on_data(1, 0, SIZE, &data), Outcome::Progress);
}

#[test]
fn a_piece_of_the_wrong_length_or_total_bans_its_sender() {
    let info = dict(SIZE);
    let good = metadata_piece(&info, 0).unwrap();
    for (total, data) in [
        (SIZE, good.slice(1..)),
        (SIZE + 1, good.clone()),
        (SIZE, info.clone()),
    ] {
        let mut assembly = MetadataAssembly::new(hash(&info));
        assembly.on_size(1, SIZE);
        assert_eq!(assembly.next_request(1), Some(0));
        assert_eq!(assembly.on_data(1, 0, total, &data), Outcome::BadPeer(1));
        assert!(assembly.is_banned(1));
        assert!(!assembly.on_size(1, SIZE));
        assembly.on_size(2, SIZE);
        assert_eq!(
            pump(&mut assembly, 2, &info),
            Outcome::Complete(info.clone())
        );
    }
}

#[test]
fn a_liar_alone_is_banned_at_once() {
    let info = dict(SIZE);
    let lie: Bytes = vec![7; SIZE as usize].into();
    let mut assembly = MetadataAssembly::new(hash(&info));
    assembly.on_size(1, SIZE);
    assert_eq!(pump(&mut assembly, 1, &lie), Outcome::BadPeer(1));
    assert_eq!(assembly.stored_bytes(), 0);
}

#[test]
fn a_liar_among_others_is_found_by_asking_each_alone() {
    let info = dict(SIZE);
    let lie: Bytes = vec![7; SIZE as usize].into();
    let mut assembly = MetadataAssembly::new(hash(&info));
    for peer in 1..=3 {
        assembly.on_size(peer, SIZE);
    }
    let answer = |assembly: &mut MetadataAssembly, peer, info: &Bytes| {
        let piece = assembly.next_request(peer).unwrap();
        assembly.on_data(peer, piece, SIZE, &metadata_piece(info, piece).unwrap())
    };
    answer(&mut assembly, 1, &info);
    answer(&mut assembly, 2, &lie);
    answer(&mut assembly, 3, &info);
    assert_eq!(
        answer(&mut assembly, 1, &info),
        Outcome::Progress,
        "wrong, but whose fault?"
    );
    assert!(!assembly.is_banned(1) && !assembly.is_banned(2) && !assembly.is_banned(3));
    assert_eq!(pump(&mut assembly, 2, &lie), Outcome::BadPeer(2));
    assert_eq!(
        pump(&mut assembly, 3, &info),
        Outcome::Complete(info.clone())
    );
}

#[test]
fn a_wrong_size_does_not_hold_up_the_right_one() {
    let info = dict(SIZE);
    let config = AssemblyConfig {
        max_size: 1 << 20,
        budget: 2 << 20,
        ..AssemblyConfig::default()
    };
    let mut assembly = MetadataAssembly::with_config(hash(&info), config);
    for peer in 1..=20 {
        assembly.on_size(peer, (1 << 20) - u32::try_from(peer).unwrap());
        // they begin, fill the budget, and never end
        if let Some(piece) = assembly.next_request(peer) {
            let size = (1 << 20) - u32::try_from(peer).unwrap();
            assembly.on_data(peer, piece, size, &vec![0; METADATA_PIECE as usize].into());
        }
    }
    assert!(assembly.stored_bytes() <= 2 << 20);
    assembly.on_size(99, SIZE);
    assert_eq!(pump(&mut assembly, 99, &info), Outcome::Complete(info));
}

#[test]
fn silent_peers_of_the_same_size_give_way() {
    let info = dict(1 << 20);
    let lie: Bytes = vec![7; 1 << 20].into();
    let config = AssemblyConfig {
        max_size: 1 << 20,
        budget: 1 << 20,
        ..Default::default()
    };
    let mut assembly = MetadataAssembly::with_config(hash(&info), config);
    for peer in 1..=3 {
        assembly.on_size(peer, 1 << 20);
    }
    // 1 and 2 spoil the shared attempt
    let mut turn = 0;
    while !assembly.suspect.contains(&(1 << 20)) {
        let peer = 1 + turn % 2;
        turn += 1;
        let piece = assembly.next_request(peer).unwrap();
        assembly.on_data(peer, piece, 1 << 20, &metadata_piece(&lie, piece).unwrap());
    }
    // 1 takes all the budget for its own attempt, and says no more
    assert!(assembly.next_request(1).is_some());
    assert_eq!(assembly.next_request(3), None);
    for _ in 0..3 {
        assembly.on_timeout(1);
        assembly.next_request(1);
    }
    assert_eq!(pump(&mut assembly, 3, &info), Outcome::Complete(info));
}

#[test]
fn timeouts_and_rejects_hand_pieces_to_others() {
    let info = dict(SIZE);
    let mut assembly = MetadataAssembly::new(hash(&info));
    assembly.on_size(1, SIZE);
    assembly.on_size(2, SIZE);
    assert_eq!(
        (assembly.next_request(1), assembly.next_request(1)),
        (Some(0), Some(1))
    );
    assembly.on_timeout(1);
    assert_eq!(assembly.next_request(2), Some(0));
    assembly.on_reject(2, 0);
    assert_eq!(assembly.next_request(2), Some(0));
    // late, but welcome
    let data = metadata_piece(&info, 0).unwrap();
    assert_eq!(assembly.on_data(1, 0, SIZE, &data), Outcome::Progress);
    for _ in 0..2 {
        assert!(assembly.next_request(1).is_some());
        assembly.on_timeout(1);
    }
    assert_eq!(assembly.next_request(1), None, "three strikes");
    assembly.on_timeout(1);
    assembly.on_reject(1, 2);
    assembly.retry(1);
    assert_eq!(pump(&mut assembly, 1, &info), Outcome::Complete(info));
}

#[test]
fn what_only_departed_peers_claimed_is_forgotten() {
    let info = dict(SIZE);
    let mut assembly = MetadataAssembly::new(hash(&info));
    assembly.on_size(1, SIZE);
    assembly.on_size(2, SIZE);
    let piece = assembly.next_request(1).unwrap();
    assembly.on_data(1, piece, SIZE, &metadata_piece(&info, piece).unwrap());
    assembly.on_gone(1);
    assert_eq!(
        assembly.stored_bytes(),
        METADATA_PIECE as usize,
        "2 goes on with it"
    );
    assert_eq!(assembly.next_request(2), Some(1));
    assembly.on_gone(2);
    assert_eq!(assembly.stored_bytes(), 0);
    assembly.on_gone(2);
}

#[test]
fn peers_are_bounded_and_a_changed_claim_starts_afresh() {
    let info = dict(SIZE);
    let config = AssemblyConfig {
        max_peers: 2,
        ..AssemblyConfig::default()
    };
    let mut assembly = MetadataAssembly::with_config(hash(&info), config);
    assert!(assembly.on_size(1, 5) && assembly.on_size(2, 6));
    assert!(!assembly.on_size(3, SIZE));
    assert!(assembly.on_size(2, SIZE));
    assert_eq!(pump(&mut assembly, 2, &info), Outcome::Complete(info));
}

#[test]
fn served_pieces_are_the_dict_and_nothing_behind_it() {
    for size in [
        1,
        METADATA_PIECE - 1,
        METADATA_PIECE,
        METADATA_PIECE + 1,
        SIZE,
    ] {
        let info = dict(size);
        let pieces: Vec<Bytes> = (0..metadata_pieces(size))
            .map(|p| metadata_piece(&info, p).unwrap())
            .collect();
        assert_eq!(pieces.concat(), info);
        assert_eq!(metadata_piece(&info, metadata_pieces(size)), None);
        assert_eq!(metadata_piece(&info, u32::MAX), None);
    }
    assert_eq!(metadata_piece(&Bytes::new(), 0), None);
}

#[test]
fn the_default_config_is_valid() {
    assert_eq!(AssemblyConfig::default().validate(), Ok(()));
    let config = AssemblyConfig {
        budget: 1,
        ..AssemblyConfig::default()
    };
    assert_eq!(config.validate(), Err("budget must be at least max_size"));
}

/// How a peer behaves in the random schedules.
#[derive(Clone, Debug)]
enum Kind {
    Good,
    /// The right size, the wrong bytes in some pieces.
    Liar(u8),
    WrongSize(u32),
    Silent,
    Rejects,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![
        any::<u8>().prop_map(Kind::Liar),
        (1u32..200_000).prop_map(Kind::WrongSize),
        Just(Kind::Silent),
        Just(Kind::Rejects),
        Just(Kind::Good),
    ];
    proptest::collection::vec(kind, 0..12)
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize),
    Answer(usize),
    Timeout(usize),
    Gone(usize),
    Unsolicited(usize, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<usize>().prop_map(Step::Ask),
        6 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::Timeout),
        1 => any::<usize>().prop_map(Step::Gone),
        1 => (any::<usize>(), any::<u32>()).prop_map(|(p, n)| Step::Unsolicited(p, n % 16)),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn with_one_good_peer_any_schedule_completes(
        size in 1u32..100_000,
        mut kinds in kinds(),
        good_at in any::<prop::sample::Index>(),
        steps in steps(),
    ) {
        let info = dict(size);
        let good = good_at.index(kinds.len() + 1);
        kinds.insert(good, Kind::Good);
        let config = AssemblyConfig { max_size: 200_000, budget: 400_000, ..Default::default() };
        let mut run = Run {
            assembly: MetadataAssembly::with_config(hash(&info), config),
            info, kinds, open: BTreeMap::new(), done: None,
        };
        for peer in 0..run.kinds.len() {
            run.arrive(peer);
        }
        let n = run.kinds.len();
        for step in &steps {
            match *step {
                Step::Ask(p) => run.ask(p % n),
                Step::Answer(p) => run.answer(p % n),
                Step::Timeout(p) if p % n != good => run.timeout(p % n),
                Step::Gone(p) if p % n != good => {
                    run.open.remove(&(p % n));
                    run.assembly.on_gone((p % n) as u64);
                }
                Step::Unsolicited(p, piece) => {
                    let data = vec![1; METADATA_PIECE as usize].into();
                    run.data(p % n, piece, &data);
                }
                _ => {}
            }
            prop_assert!(run.assembly.stored_bytes() <= 400_000);
        }
        // from here on a fair schedule: everybody in turn, silence times out
        for _ in 0..200 {
            for peer in 0..n {
                run.ask(peer);
                run.answer(peer);
                if peer != good {
                    run.timeout(peer);
                }
            }
        }
        prop_assert_eq!(run.done.as_ref(), Some(&run.info));
        for (peer, kind) in run.kinds.iter().enumerate() {
            if matches!(kind, Kind::Good) {
                prop_assert!(!run.assembly.is_banned(peer as u64), "{} is innocent", peer);
            }
        }
    }
}

struct Run {
    assembly: MetadataAssembly,
    info: Bytes,
    kinds: Vec<Kind>,
    open: BTreeMap<usize, Vec<u32>>,
    done: Option<Bytes>,
}

impl Run {
    fn size(&self, peer: usize) -> u32 {
        match self.kinds[peer] {
            Kind::WrongSize(size) => size,
            _ => u32::try_from(self.info.len()).unwrap(),
        }
    }

    fn arrive(&mut self, peer: usize) {
        let size = self.size(peer);
        self.assembly.on_size(peer as u64, size);
    }

    fn ask(&mut self, peer: usize) {
        if let Some(piece) = self.assembly.next_request(peer as u64) {
            self.open.entry(peer).or_default().push(piece);
        }
    }

    fn answer(&mut self, peer: usize) {
        let Some(piece) = self.open.get_mut(&peer).and_then(Vec::pop) else {
            return;
        };
        let right = metadata_piece(&self.info, piece);
        let data = match &self.kinds[peer] {
            Kind::Good => right.unwrap(),
            Kind::Liar(which) if *which == 255 || u32::from(*which % 8) == piece % 8 => {
                vec![*which; right.unwrap().len()].into()
            }
            Kind::Liar(_) => right.unwrap(),
            Kind::WrongSize(size) => {
                vec![3; usize::try_from(piece_len(*size, piece)).unwrap()].into()
            }
            Kind::Silent => return,
            Kind::Rejects => return self.assembly.on_reject(peer as u64, piece),
        };
        self.data(peer, piece, &data);
    }

    fn data(&mut self, peer: usize, piece: u32, data: &Bytes) {
        // unsolicited pieces come from liars only: a good peer would not send them
        if matches!(self.kinds[peer], Kind::Good)
            && metadata_piece(&self.info, piece).as_ref() != Some(data)
        {
            return;
        }
        let size = self.size(peer);
        if let Outcome::Complete(info) = self.assembly.on_data(peer as u64, piece, size, data) {
            assert!(self.done.is_none(), "handed out twice");
            self.done = Some(info);
        }
    }

    fn timeout(&mut self, peer: usize) {
        self.assembly.on_timeout(peer as u64);
    }
}
