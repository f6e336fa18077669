//! Many runs on a few threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs every plan on up to `jobs` threads (0 counts as 1). Results come in the order of the plans, whatever the number of
/// threads. `progress` is told (runs done, runs in all, the one just done), one call at a time; which run is done first
/// depends on the machine.
///
/// # Panics
/// If a run panics.
pub fn execute<P: Sync, R: Send>(
    plans: &[P],
    jobs: usize,
    run: impl Fn(&P) -> R + Sync,
    progress: impl Fn(usize, usize, &R) + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(0);
    let work = || {
        let mut mine = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(i) else {
                return mine;
            };
            let result = run(plan);
            if let Ok(mut done) = done.lock() {
                *done += 1;
                progress(*done, plans.len(), &result);
            }
            mine.push((i, result));
        }
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.clamp(1, plans.len().max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        let joined = threads.into_iter().map(|thread| {
            let joined = thread.join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.flatten().collect()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_come_in_the_order_of_the_plans_whatever_finishes_first() {
        let plans: Vec<u64> = (0..40).collect();
        let expected: Vec<u64> = plans.iter().map(|n| n * n).collect();
        for jobs in [0, 1, 3, 100] {
            // the first plans take longest
            let run = |n: &u64| {
                let spin = (0..(40 - n) * 2_000).fold(*n, |a, b| a ^ std::hint::black_box(b));
                std::hint::black_box(spin);
                n * n
            };
            assert_eq!(execute(&plans, jobs, run, |_, _, _| {}), expected);
        }
    }

    #[test]
    fn two_threads_run_two_plans_at_the_same_time() {
        // each waits for the other
        let both = Barrier::new(2);
        let run = |n: &u8| {
            both.wait();
            *n
        };
        assert_eq!(execute(&[1, 2], 2, run, |_, _, _| {}), [1, 2]);
    }

    #[test]
    fn progress_counts_every_run_once() {
        let seen = Mutex::new(Vec::new());
        let progress = |done, all, _: &u8| seen.lock().unwrap().push((done, all));
        execute(&[0; 5], 3, |n| *n, progress);
        let expected: Vec<_> = (1..=5).map(|n| (n, 5)).collect();
        assert_eq!(*seen.lock().unwrap(), expected);
        assert!(execute(&[], 3, |n: &u8| *n, |_, _, _| {}).is_empty());
    }

    #[test]
    #[should_panic(expected = "plan 3")]
    fn a_panic_in_a_run_is_passed_on() {
        execute(&[1, 2, 3], 2, |n| assert_ne!(*n, 3, "plan 3"), |_, _, _| {});
    }
}
