use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const NONE: f64 = f64::INFINITY;

fn spec(links: &[u32], bytes: u64) -> FlowSpec {
    FlowSpec {
        links: links.iter().copied().map(LinkId).collect(),
        bytes,
        ceiling: NONE,
        weight: 1.0,
    }
}

fn stepped(flows: &mut Flows, dt: f64) -> Vec<FlowId> {
    let mut done = Vec::new();
    flows.step(dt, &mut done);
    done
}

/// Equal but for rounding.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

/// Max-min rates the slow way: all rise by the least that fills a link or reaches a ceiling, again and again.
fn reference(capacities: &[f64], specs: &[FlowSpec]) -> Vec<f64> {
    let mut rates = vec![0.0; specs.len()];
    let mut risen = vec![true; specs.len()];
    while risen.contains(&true) {
        let crosses =
            |flow: &FlowSpec, link: usize| flow.links.iter().any(|l| l.0 as usize == link);
        let mut free = Vec::new();
        let mut growth = f64::INFINITY;
        for (link, &capacity) in capacities.iter().enumerate() {
            let on = |flow: &usize| crosses(&specs[*flow], link);
            let used: f64 = (0..specs.len()).filter(on).map(|flow| rates[flow]).sum();
            let rising = (0..specs.len()).filter(on).filter(|&flow| risen[flow]);
            let weight: f64 = rising.map(|flow| specs[flow].weight).sum();
            free.push((capacity - used).max(0.0));
            if weight > 0.0 {
                growth = growth.min(free[link] / weight);
            }
        }
        for flow in (0..specs.len()).filter(|&flow| risen[flow]) {
            growth = growth.min((specs[flow].ceiling - rates[flow]) / specs[flow].weight);
        }
        let mut full = vec![false; capacities.len()];
        for (link, full) in full.iter_mut().enumerate() {
            let on = (0..specs.len()).filter(|&flow| risen[flow] && crosses(&specs[flow], link));
            let weight: f64 = on.map(|flow| specs[flow].weight).sum();
            *full = free[link] - weight * growth <= 1e-9 * (1.0 + capacities[link]);
        }
        for flow in 0..specs.len() {
            if risen[flow] {
                rates[flow] += growth * specs[flow].weight;
                let stopped = rates[flow] >= specs[flow].ceiling * (1.0 - 1e-12)
                    || specs[flow].links.iter().any(|link| full[link.0 as usize]);
                risen[flow] = !stopped;
            }
        }
    }
    rates
}

/// No link above its capacity; each flow at its ceiling, or on a full link where none has more for its weight.
fn assert_max_min(flows: &Flows, capacities: &[f64], living: &[(FlowId, FlowSpec)]) {
    let on = |link: LinkId| {
        living
            .iter()
            .filter(move |(_, spec)| spec.links.contains(&link))
    };
    let used = |link: LinkId| on(link).map(|(id, _)| flows.rate(*id)).sum::<f64>();
    for (link, &capacity) in (0..).map(LinkId).zip(capacities) {
        let used = used(link);
        assert!(
            used <= capacity || near(used, capacity),
            "{link:?} carries {used} of {capacity}"
        );
    }
    for (id, spec) in living {
        let rate = flows.rate(*id);
        assert!(rate <= spec.ceiling, "{id:?} has {rate} of {spec:?}");
        let held = rate == spec.ceiling
            || spec.links.iter().any(|&link| {
                let share = rate / spec.weight;
                let most = on(link).map(|(id, spec)| flows.rate(*id) / spec.weight);
                let most = most.fold(0.0, f64::max);
                near(used(link), capacities[link.0 as usize])
                    && (most <= share || near(most, share))
            });
        assert!(held, "{id:?} has {rate} and could have more: {spec:?}");
    }
}

fn any_capacity() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => Just(0.0),
        4 => Just(1_250_000.0),
        4 => Just(5_600_000.0),
        8 => 0.5..10_000_000.0,
    ]
}

fn any_spec(links: u32) -> impl Strategy<Value = FlowSpec> {
    let crossed = proptest::collection::btree_set(0..links, 1..=(links.min(8) as usize));
    let crossed = crossed.prop_map(|links| links.into_iter().map(LinkId).collect::<Vec<_>>());
    let ceiling = prop_oneof![
        4 => Just(NONE),
        1 => Just(0.0),
        2 => Just(250_000.0),
        4 => 0.5..3_000_000.0,
    ];
    let weight =
        prop_oneof![3 => Just(1.0), 1 => (1_u32..1_000_000).prop_map(|n| f64::from(n) / 65_536.0)];
    let bytes = prop_oneof![1 => Just(0), 9 => 1_u64..4_000_000];
    (crossed, bytes, ceiling, weight).prop_map(|(links, bytes, ceiling, weight)| FlowSpec {
        links,
        bytes,
        ceiling,
        weight,
    })
}

fn any_net() -> impl Strategy<Value = (Vec<f64>, Vec<FlowSpec>)> {
    proptest::collection::vec(any_capacity(), 1..12).prop_flat_map(|capacities| {
        let links = u32::try_from(capacities.len()).unwrap();
        (
            Just(capacities),
            proptest::collection::vec(any_spec(links), 1..40),
        )
    })
}

#[derive(Clone, Debug)]
enum Call {
    Start(FlowSpec),
    /// One of all that were started.
    Cancel(Index),
    Step(f64),
    SetCapacity(u32, f64),
}

fn any_calls() -> impl Strategy<Value = (Vec<f64>, Vec<Call>)> {
    proptest::collection::vec(any_capacity(), 1..8).prop_flat_map(|capacities| {
        let links = u32::try_from(capacities.len()).unwrap();
        let call = prop_oneof![
            6 => any_spec(links).prop_map(Call::Start),
            2 => any::<Index>().prop_map(Call::Cancel),
            3 => (0.0..0.7).prop_map(Call::Step),
            1 => (0..links, any_capacity()).prop_map(|(link, to)| Call::SetCapacity(link, to)),
        ];
        (Just(capacities), proptest::collection::vec(call, 1..80))
    })
}

/// Bits of all that a run of calls shows.
fn trace((capacities, calls): &(Vec<f64>, Vec<Call>)) -> Vec<u64> {
    let mut flows = Flows::new(capacities.clone());
    let (mut seen, mut started) = (Vec::new(), Vec::new());
    for call in calls {
        match call {
            Call::Start(spec) => started.push(flows.start(spec.clone())),
            Call::Cancel(_) if started.is_empty() => {}
            Call::Cancel(which) => {
                let carried = flows.cancel(*which.get(&started));
                seen.push(carried.unwrap_or(u64::MAX));
            }
            Call::Step(dt) => seen.extend(stepped(&mut flows, *dt).iter().map(|id| id.0)),
            Call::SetCapacity(link, to) => flows.set_capacity(LinkId(*link), *to),
        }
        seen.push(flows.carried().to_bits());
        seen.extend(started.iter().map(|&id| flows.rate(id).to_bits()));
    }
    seen
}

proptest! {
    #[test]
    fn rates_are_those_of_slow_progressive_filling((capacities, specs) in any_net()) {
        let mut flows = Flows::new(capacities.clone());
        let ids: Vec<_> = specs.iter().map(|spec| flows.start(spec.clone())).collect();
        flows.solve();
        for (id, rate) in ids.iter().zip(reference(&capacities, &specs)) {
            prop_assert!(near(flows.rate(*id), rate) || (flows.rate(*id) - rate).abs() < 1e-2,
                "{:?} has {}, not {}", id, flows.rate(*id), rate);
        }
    }

    #[test]
    fn rates_are_max_min_fair((capacities, specs) in any_net()) {
        let mut flows = Flows::new(capacities.clone());
        let living: Vec<_> = specs.into_iter().map(|spec| (flows.start(spec.clone()), spec)).collect();
        flows.solve();
        assert_max_min(&flows, &capacities, &living);
    }

    #[test]
    fn rates_stay_max_min_fair_and_no_byte_is_lost_while_flows_come_and_go((capacities, calls) in any_calls()) {
        let mut capacities = capacities;
        let mut flows = Flows::new(capacities.clone());
        let (mut living, mut started) = (Vec::new(), Vec::new());
        let (mut ended_bytes, mut cancels) = (0, 0.0);
        for call in calls {
            match call {
                Call::Start(spec) => {
                    let id = flows.start(spec.clone());
                    prop_assert!(started.last() < Some(&id));
                    started.push(id);
                    living.push((id, spec));
                }
                Call::Cancel(_) if started.is_empty() => {}
                Call::Cancel(which) => {
                    let id = *which.get(&started);
                    let before = flows.carried();
                    let lived = living.iter().position(|(other, _)| *other == id);
                    let carried = flows.cancel(id);
                    prop_assert_eq!(carried.is_some(), lived.is_some());
                    prop_assert_eq!(flows.cancel(id), None);
                    prop_assert!(near(flows.carried(), before));
                    if let Some(lived) = lived {
                        prop_assert!(carried.unwrap() <= living.remove(lived).1.bytes);
                        ended_bytes += carried.unwrap();
                        cancels += 1.0;
                    }
                }
                Call::Step(dt) => {
                    let before = flows.carried();
                    flows.solve();
                    assert_max_min(&flows, &capacities, &living);
                    let rates: f64 = living.iter().map(|(id, _)| flows.rate(*id)).sum();
                    let done = stepped(&mut flows, dt);
                    let grown = flows.carried() - before;
                    prop_assert!(grown >= -1e-3 && grown <= rates * dt + 1e-3);
                    prop_assert!(!done.is_empty() || (grown - rates * dt).abs() < 1e-3);
                    for id in done {
                        let place = living.iter().position(|(other, _)| *other == id);
                        ended_bytes += living.remove(place.unwrap()).1.bytes;
                    }
                }
                Call::SetCapacity(link, to) => {
                    capacities[link as usize] = to;
                    flows.set_capacity(LinkId(link), to);
                }
            }
            prop_assert_eq!((flows.len(), flows.is_empty()), (living.len(), living.is_empty()));
        }
        for (id, _) in living {
            ended_bytes += flows.cancel(id).unwrap();
            cancels += 1.0;
        }
        let lost = flows.carried() - ended_bytes as f64;
        prop_assert!((-1e-3..=cancels + 1e-3).contains(&lost), "{} bytes in {} cancels", lost, cancels);
    }

    #[test]
    fn the_same_calls_give_the_same_bits(calls in any_calls()) {
        prop_assert_eq!(trace(&calls), trace(&calls));
    }

    #[test]
    fn half_the_capacity_takes_exactly_twice_the_time((capacities, specs) in any_net()) {
        let run = |scale: f64| {
            let mut flows = Flows::new(capacities.iter().map(|capacity| capacity / scale).collect());
            for spec in &specs {
                flows.start(FlowSpec { ceiling: spec.ceiling / scale, ..spec.clone() });
            }
            let steps = (0..200).map(|_| (stepped(&mut flows, 0.05 * scale), flows.carried().to_bits()));
            steps.collect::<Vec<_>>()
        };
        prop_assert_eq!(run(1.0), run(2.0));
    }
}

#[test]
fn two_flows_share_a_link_equally() {
    let mut flows = Flows::new(vec![1_000.0]);
    let (a, b) = (flows.start(spec(&[0], 500)), flows.start(spec(&[0], 600)));
    assert_eq!(flows.rate(a), 0.0, "not solved yet");
    assert_eq!(stepped(&mut flows, 0.5), []);
    assert_eq!((flows.rate(a), flows.rate(b)), (500.0, 500.0));
    assert_eq!(flows.carried(), 500.0);
    assert_eq!(stepped(&mut flows, 0.5), [a]);
    assert_eq!(stepped(&mut flows, 0.1), [b], "alone, it has all");
    assert_eq!((flows.carried(), flows.len()), (1_100.0, 0));
}

#[test]
fn weights_divide_a_link() {
    let mut flows = Flows::new(vec![1_000.0]);
    let one = flows.start(spec(&[0], 9_000));
    let three = flows.start(FlowSpec {
        weight: 3.0,
        ..spec(&[0], 9_000)
    });
    flows.solve();
    assert_eq!((flows.rate(one), flows.rate(three)), (250.0, 750.0));
}

#[test]
fn a_ceiling_leaves_the_rest_to_others() {
    let mut flows = Flows::new(vec![1_000.0]);
    let held = flows.start(FlowSpec {
        ceiling: 100.0,
        ..spec(&[0], 9_000)
    });
    let (b, c) = (
        flows.start(spec(&[0], 9_000)),
        flows.start(spec(&[0], 9_000)),
    );
    flows.solve();
    assert_eq!([held, b, c].map(|id| flows.rate(id)), [100.0, 450.0, 450.0]);
    flows.cancel(b);
    flows.solve();
    assert_eq!([held, b, c].map(|id| flows.rate(id)), [100.0, 0.0, 900.0]);
}

#[test]
fn what_a_flow_cannot_use_elsewhere_is_left_to_others() {
    let mut flows = Flows::new(vec![1_000.0, 300.0, 2_000.0]);
    let narrow = [0; 3].map(|_| flows.start(spec(&[0, 1], 9_000)));
    let wide = flows.start(spec(&[0, 2], 9_000));
    let apart = flows.start(spec(&[2], 9_000));
    flows.solve();
    assert_eq!(narrow.map(|id| flows.rate(id)), [100.0; 3]);
    assert_eq!((flows.rate(wide), flows.rate(apart)), (700.0, 1_300.0));
}

#[test]
fn both_directions_share_a_half_duplex_link() {
    let mut flows = Flows::new(vec![1_000.0, 1_000.0]);
    let there = flows.start(spec(&[0, 1], 9_000));
    let back = flows.start(spec(&[1, 0], 9_000));
    flows.solve();
    assert_eq!((flows.rate(there), flows.rate(back)), (500.0, 500.0));
}

#[test]
fn a_flow_that_nothing_holds_ends_at_once() {
    let mut flows = Flows::new(vec![1_000.0, NONE]);
    let slow = flows.start(spec(&[0], 9_000));
    let local = flows.start(spec(&[], 1 << 40));
    let unlimited = flows.start(spec(&[1], 9_000));
    let empty = flows.start(spec(&[0], 0));
    assert_eq!(stepped(&mut flows, 0.0), [local, unlimited, empty]);
    let held = flows.start(FlowSpec {
        ceiling: 10.0,
        ..spec(&[], 10)
    });
    assert_eq!(stepped(&mut flows, 0.5), []);
    assert_eq!((flows.rate(held), flows.rate(slow)), (10.0, 1_000.0));
    assert_eq!(stepped(&mut flows, 0.5), [held]);
}

#[test]
fn a_dead_link_holds_its_flows_until_it_lives_again() {
    let mut flows = Flows::new(vec![0.0]);
    let flow = flows.start(spec(&[0], 100));
    assert_eq!(stepped(&mut flows, 1e9), []);
    flows.set_capacity(LinkId(0), 100.0);
    assert_eq!(stepped(&mut flows, 0.25), []);
    flows.set_capacity(LinkId(0), 0.0);
    assert_eq!(stepped(&mut flows, 10.0), []);
    assert_eq!(flows.cancel(flow), Some(25));
}

#[test]
fn rounding_costs_a_cancelled_flow_no_byte() {
    let mut flows = Flows::new(vec![300.0]);
    let flow = flows.start(spec(&[0], 10_000));
    for _ in 0..1_000 {
        flows.step(0.001, &mut Vec::new()); // no binary fraction: 9,700.0000000007 are left
    }
    assert_eq!(flows.cancel(flow), Some(300));
}

#[test]
fn flows_end_in_the_order_of_their_moments_and_then_of_their_starts() {
    let mut flows = Flows::new(vec![100.0, 100.0, 100.0, 100.0]);
    let late = flows.start(spec(&[0], 90));
    let tied = flows.start(spec(&[1], 50));
    let also = flows.start(spec(&[2], 50));
    let early = flows.start(spec(&[3], 10));
    let mut done = vec![FlowId(77)];
    flows.step(1.0, &mut done);
    assert_eq!(done, [FlowId(77), early, tied, also, late]);
}

#[test]
fn what_a_flow_leaves_within_a_step_is_free_from_the_next_on() {
    let mut flows = Flows::new(vec![100.0]);
    let (short, long) = (flows.start(spec(&[0], 10)), flows.start(spec(&[0], 200)));
    assert_eq!(stepped(&mut flows, 1.0), [short]);
    assert_eq!((flows.rate(long), flows.carried()), (50.0, 60.0));
    assert_eq!(stepped(&mut flows, 1.5), [long]);
}

#[test]
fn a_place_that_is_used_again_keeps_nothing_of_the_flow_before() {
    let mut flows = Flows::new(vec![1_000.0]);
    let held = FlowSpec {
        ceiling: 10.0,
        ..spec(&[0], 5_000)
    };
    let old = flows.start(held);
    flows.step(1.0, &mut Vec::new());
    assert_eq!(flows.cancel(old), Some(10));
    let new = flows.start(spec(&[0], 5_000));
    flows.step(1.0, &mut Vec::new());
    assert_eq!((flows.rate(old), flows.rate(new)), (0.0, 1_000.0));
    assert_eq!((flows.cancel(old), flows.cancel(new)), (None, Some(1_000)));
}

#[test]
#[should_panic(expected = "crosses link 1 twice")]
fn a_link_is_named_once() {
    Flows::new(vec![1.0; 3]).start(spec(&[1, 2, 1], 1));
}

#[test]
#[should_panic(expected = "crosses 8 links at most, not 9")]
fn a_flow_crosses_eight_links_at_most() {
    Flows::new(vec![1.0; 9]).start(spec(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 1));
}

#[test]
#[should_panic(expected = "the weight of a flow is")]
fn a_flow_without_weight_is_refused() {
    Flows::new(vec![1.0]).start(FlowSpec {
        weight: 0.0,
        ..spec(&[0], 1)
    });
}

#[test]
#[should_panic(expected = "time goes forwards")]
fn time_does_not_go_backwards() {
    stepped(&mut Flows::new(vec![]), -0.5);
}
