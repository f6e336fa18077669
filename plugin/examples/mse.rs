//! What encrypted connections cost: an exchange of keys for both ends together, and RC4.
//!
//! `cargo run --release -p chunkcast-bittorrent --example mse`

use std::time::Instant;

use chunkcast_bittorrent::wire::encryption::{Encryption, Methods};
use chunkcast_bittorrent::wire::mse::{Initiator, Responder, Secured};

const EXCHANGES: u32 = 500;
const MIB: usize = 256;

fn exchange() -> Secured {
    let (mut rng, mut by_a, mut by_b) = (rand::rng(), Vec::new(), Vec::new());
    let mut a = Initiator::new([7; 20], Methods::RC4, &[1; 68], &mut rng, &mut by_a);
    let mut b = Responder::new(Encryption::Require, &mut rng);
    let torrents = |_: &[u8; 20]| Some([7; 20]);
    let begun = b.handle(&by_a, torrents, &mut by_b);
    assert!(begun.expect("a key").is_none());
    let told = by_a.len();
    assert!(a.handle(&by_b, &mut by_a).expect("a key").is_none());
    let done = b.handle(&by_a[told..], torrents, &mut by_b);
    done.expect("right").expect("it is over")
}

#[allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures time and prints it"
)]
fn main() {
    let began = Instant::now();
    (0..EXCHANGES).for_each(|_| drop(exchange()));
    let micros = began.elapsed().as_micros() / u128::from(EXCHANGES);
    println!("{micros} us for an exchange: four powers, two of each end");

    let (mut cipher, _) = exchange().ciphers.expect("RC4");
    let mut bytes = vec![0; 1 << 20];
    let began = Instant::now();
    (0..MIB).for_each(|_| cipher.apply(&mut bytes));
    let seconds = began.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    let rate = MIB as f64 * 1.048_576 / seconds;
    println!("{rate:.0} MB/s of RC4");
}
