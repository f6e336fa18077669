//! Limits that many share, in simulated time.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::*;

const BATCH: usize = 128 << 10;

fn rate(bytes: u64) -> Option<Rate> {
    Some(Rate::new(bytes))
}

fn up(rate: Option<Rate>) -> Limiters {
    Limiters::new(Rates {
        down: None,
        up: rate,
    })
}

/// What each of the pacers passes in `seconds` when it always has something.
async fn passed(pacers: Vec<Pacer>, seconds: u64) -> Vec<usize> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for (i, pacer) in pacers.into_iter().enumerate() {
        tasks.spawn(async move {
            let mut sum = 0;
            loop {
                let bytes = pacer.portion(BATCH);
                if timeout_at(end, pacer.take(bytes)).await.is_err() {
                    return (i, sum);
                }
                sum += bytes;
            }
        });
    }
    let mut sums = tasks.join_all().await;
    sums.sort_unstable();
    sums.into_iter().map(|(_, sum)| sum).collect()
}

#[track_caller]
fn assert_near(bytes: usize, expected: u64) {
    let off = bytes as f64 / expected as f64 - 1.0;
    assert!(off.abs() < 0.05, "{bytes} instead of {expected}: {off:+.3}");
}

#[tokio::test(start_paused = true)]
async fn one_and_twenty_connections_get_the_rate_from_16_kib_to_1_gb_a_second() {
    for bytes in [16 << 10, 1 << 20, 100 << 20, 1_000_000_000] {
        for count in [1, 20] {
            let limits = up(rate(bytes));
            let pacers = vec![Pace::new(&limits, &Limiters::default()).up; count];
            let seconds = if bytes < 1 << 20 { 20 } else { 2 };
            let sums = passed(pacers, seconds).await;
            assert_near(sums.iter().sum(), seconds * bytes);
            let (least, most) = (sums.iter().min(), sums.iter().max());
            let (least, most) = (*least.expect("some"), *most.expect("some"));
            assert!(most - least <= 128 << 10, "{least} and {most} of {bytes}/s");
            assert!(
                most as f64 <= 1.3 * least as f64,
                "{least} and {most} of {bytes}/s"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_torrent_has_its_own_limit_under_that_of_the_process() {
    let process = up(rate(100 << 10));
    let slow = Pace::new(&up(rate(20 << 10)), &process).up;
    let fast = Pace::new(&up(None), &process).up;
    let sums = passed(vec![slow.clone(), slow, fast], 20).await;
    assert_near(sums[0] + sums[1], 20 * (20 << 10));
    assert_near(sums[2], 20 * (80 << 10));
}

#[tokio::test(start_paused = true)]
async fn another_rate_holds_for_those_who_wait() {
    let limits = up(rate(1 << 10));
    let pacer = Pace::new(&limits, &Limiters::default()).up;
    let begin = Instant::now();
    let waiting = tokio::spawn(async move {
        pacer.take(16 << 10).await; // 16 s at this rate
        let first = Instant::now();
        pacer.take(usize::MAX >> 1).await; // for ever
        first
    });
    sleep(Duration::from_secs(1)).await;
    limits.set(Rates {
        down: None,
        up: rate(15 << 10),
    });
    sleep(Duration::from_secs(5)).await;
    limits.set(Rates::default());
    let first = waiting.await.expect("both were taken") - begin;
    assert!(
        (Duration::from_millis(1_990)..Duration::from_millis(2_020)).contains(&first),
        "{first:?}"
    );
    assert_eq!(begin.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn who_is_exempt_does_not_wait_and_does_not_make_others_wait() {
    let process = up(rate(16 << 10));
    let near = Pace::new(&Limiters::default(), &process);
    let far = Pace::new(&Limiters::default(), &process).up;
    near.set_exempt(true);
    let begin = Instant::now();
    for _ in 0..100 {
        near.up.take(near.up.portion(BATCH)).await;
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(near.up.is_free() && near.down.is_free() && !far.is_free());
    assert_near(passed(vec![far], 10).await[0], 10 * (16 << 10));
    near.set_exempt(false);
    assert!(!near.up.is_free());
}

#[tokio::test(start_paused = true)]
async fn a_torrent_alone_waits_for_its_own_limit_only() {
    let process = up(rate(1 << 10));
    let alone = Arc::default();
    let free = Pace::new(&Limiters::default(), &process).unless(&alone).up;
    let own = Pace::new(&up(rate(16 << 10)), &process).unless(&alone).up;
    assert!(!free.is_free());
    alone.store(true, Ordering::Relaxed);
    assert!(free.is_free() && !own.is_free());
    assert_near(passed(vec![own], 10).await[0], 10 * (16 << 10));
    alone.store(false, Ordering::Relaxed);
    assert!(!free.is_free());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_holds_nobody_up() {
    let pacer = Pace::new(&up(rate(16 << 10)), &Limiters::default()).up;
    let begin = Instant::now();
    let mut leaves = Box::pin(pacer.take(16 << 10));
    let mut stays = Box::pin(pacer.take(8 << 10));
    assert!(futures::poll!(&mut leaves).is_pending());
    assert!(futures::poll!(&mut stays).is_pending());
    sleep(Duration::from_millis(100)).await;
    drop(leaves);
    stays.await;
    let waited = begin.elapsed();
    assert!((500..=510).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn events_are_counted_one_by_one() {
    let limiter = Limiter::of_events(NonZeroU32::new(50).expect("not zero"));
    let begin = Instant::now();
    for _ in 0..50 {
        limiter.event().await;
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    for _ in 0..500 {
        limiter.event().await;
    }
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_wait_counts_all_the_same() {
    let pacer = Pace::new(&up(rate(16 << 10)), &Limiters::default()).up;
    let end = Instant::now() + Duration::from_secs(20);
    let (mut urgent, mut waited) = (0, 0);
    while Instant::now() < end {
        pacer.charge(1000);
        urgent += 1000;
        pacer.take(4000).await;
        waited += 4000;
        pacer.take(2000).await;
        pacer.put_back(1500);
        waited += 500;
    }
    assert_near(urgent + waited, 20 * (16 << 10));
}
