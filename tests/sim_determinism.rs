//! The same seed and the same inputs give the same datagrams, byte for byte.

mod common;

use common::*;

fn run(seed: u64) -> Vec<(u64, std::net::SocketAddr, std::net::SocketAddr, Vec<u8>)> {
    let mut net = Net::new(seed);
    net.trace = Some(Vec::new());
    net.loss = 0.02;
    let all = net.ring(15);
    for (n, at) in (1..).zip(&all) {
        net.command(*at, publish(holds(n, [u32::from(n) % 5])));
    }
    net.run(secs(20));
    for at in &all {
        let _ = net.lookup(*at, |r| (r.p, r.mix) = (4, 2));
    }
    net.run(secs(100));
    net.trace.take().expect("set above")
}

#[test]
fn two_runs_with_one_seed_are_the_same_and_another_seed_differs() {
    let first = run(5);
    assert!(first.len() > 1000);
    assert!(first == run(5), "a run is not repeatable");
    assert!(first != run(6));
}
