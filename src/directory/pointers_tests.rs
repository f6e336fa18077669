use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn pointers() -> impl Strategy<Value = Pointer> {
    let head = (0u8..12, any::<u64>(), 0u32..300, 0u8..4, any::<u8>());
    let addrs = (
        any::<Option<[u8; 4]>>(),
        any::<Option<[u8; 16]>>(),
        any::<u16>(),
    );
    let place = prop::array::uniform4(-100.0f64..200.0);
    let flags = any::<[bool; 6]>();
    (head, addrs, place, flags, any::<u64>()).prop_map(|(head, addrs, place, flags, noise)| {
        let (publisher, sequence, chunks, form, load) = head;
        let [reachable, withdrawn, own, changed, signed, summarised] = flags;
        let chunks = if withdrawn { 0 } else { chunks };
        let held = match form {
            _ if withdrawn => ChunkSet::default(),
            0 => ChunkSet::empty(chunks),
            1 => ChunkSet::full(chunks),
            _ => ChunkSet::from_indices(chunks, (0..chunks).filter(|i| noise >> (i % 64) & 1 == 1)),
        };
        let port = addrs.2;
        let coord = Coord {
            position: [place[0], place[1], place[2]],
            height: place[3].abs(),
            error: place[0].abs() / 200.0,
        };
        Pointer {
            entry: Entry {
                object: ObjectId(Id([9; 20])),
                publisher: Id([publisher; 20]),
                sequence,
                addrs: PeerAddrs {
                    v4: addrs
                        .0
                        .map(|ip| std::net::SocketAddrV4::new(ip.into(), port)),
                    v6: addrs
                        .1
                        .map(|ip| std::net::SocketAddrV6::new(ip.into(), port, 0, 0)),
                },
                coord: coord.quantised(),
                chunks,
                summary: summarised.then(|| Box::new(Summary::of(&held))),
                held,
                delta_of: None,
                load,
                reachable,
                lifetime: if withdrawn {
                    Duration::ZERO
                } else {
                    Duration::MAX
                },
                proof: signed.then(|| {
                    Box::new(Proof {
                        key: [publisher; 32],
                        signature: [load; 64],
                        expires: noise,
                    })
                }),
            },
            expires: Instant::from_micros(noise >> 8),
            withdrawn,
            own,
            changed,
            from_above: false,
        }
    })
}

fn told(p: Pointer) -> impl PartialEq + std::fmt::Debug {
    (p.entry, p.expires, p.withdrawn, p.own, p.changed)
}

proptest! {
    #[test]
    fn packed_pointers_are_a_map_of_pointers(
        steps in prop::collection::vec((pointers(), 0u8..5), 1..80),
    ) {
        let mut packed = Pointers::default();
        let mut naive: BTreeMap<Id, Pointer> = BTreeMap::new();
        for (pointer, what) in steps {
            let id = pointer.entry.publisher;
            match what {
                0 => {
                    packed.forget(&id);
                    naive.remove(&id);
                }
                1 => {
                    let known = naive.get_mut(&id);
                    let new = known.is_some_and(|p| !std::mem::replace(&mut p.changed, true));
                    prop_assert_eq!(packed.set_changed(&id, true), new);
                }
                _ => {
                    packed.put(&pointer);
                    naive.insert(id, pointer.clone());
                }
            }
            prop_assert_eq!(packed.len(), naive.len());
            for (view, pointer) in packed.iter().zip(naive.values()) {
                prop_assert_eq!(told(view.unpack(pointer.entry.object)), told(pointer.clone()));
                let held = &pointer.entry.held;
                let wanted = Wanted::Chunks(ChunkSet::full(200).window(7, 150));
                let Wanted::Chunks(set) = &wanted else { unreachable!() };
                prop_assert_eq!(view.matched(&wanted), held.overlap(set));
                prop_assert_eq!(view.matched(&Wanted::Any), held.count());
                prop_assert_eq!(view.holds_any(), !held.is_none());
            }
            prop_assert_eq!(
                packed.above(id).map(|p| p.publisher()).collect::<Vec<_>>(),
                naive.keys().copied().filter(|k| *k > id).collect::<Vec<_>>()
            );
            prop_assert!(packed.holes * 8 <= packed.heap.len(), "the heap is moved together");
            let live: usize = packed.iter().map(|p| p.tail.len()).sum();
            prop_assert_eq!(packed.heap.len(), live + packed.holes);
        }
    }

    #[test]
    fn distances_are_those_of_the_coordinates(a in pointers(), b in pointers()) {
        let (a, b) = (a.entry.coord, b.entry.coord);
        let steps = f64::from(distance(&place(&a), &place(&b)));
        let exact = a.apart(&b).as_secs_f64() * 1e5;
        prop_assert!((steps - exact).abs() <= 1.0 + exact * 1e-6, "{} {}", steps, exact);
    }
}

#[test]
fn an_entry_takes_no_more_than_96_bytes_beside_its_bits() {
    // and a sixteenth to spare in each array, and the allocator's share
    const { assert!(POINTER_BYTES + POINTER_BYTES / 8 <= 96) };
}
