//! Medians and percentiles of times, of which some never came.

/// Median, ninth decile and slowest of some times in seconds; `None`: those peers did not finish.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: Option<f64>,
    /// The smallest that is no less than nine tenths of them.
    pub(crate) p90: Option<f64>,
    /// The last one.
    pub(crate) slowest: Option<f64>,
}

impl Summary {
    /// That of `times`, in any order.
    pub(crate) fn of(times: &[Option<f64>]) -> Self {
        let mut sorted: Vec<f64> = times.iter().map(|t| t.unwrap_or(f64::INFINITY)).collect();
        sorted.sort_by(f64::total_cmp);
        let finite = |x: f64| x.is_finite().then_some(x);
        Self {
            median: median(&sorted).and_then(finite),
            p90: nearest_rank(&sorted, 90).and_then(finite),
            slowest: sorted.last().copied().and_then(finite),
        }
    }
}

/// The middle of sorted values, or the mean of the two in the middle; `None` without any.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0)
}

/// The smallest of sorted values that is no less than `percent` of them.
pub(crate) fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_peers_have_a_middle_one() {
        let times: Vec<Option<f64>> = (1..=15).rev().map(|i| Some(f64::from(i))).collect();
        let summary = Summary::of(&times);
        assert_eq!(summary.median, Some(8.0));
        assert_eq!(summary.p90, Some(14.0));
        assert_eq!(summary.slowest, Some(15.0));
    }

    #[test]
    fn an_even_number_has_the_mean_of_two() {
        let summary = Summary::of(&[Some(4.0), Some(1.0), Some(3.0), Some(2.0)]);
        assert_eq!(summary.median, Some(2.5));
        assert_eq!(summary.p90, Some(4.0));
    }

    #[test]
    fn who_never_finishes_is_the_slowest_and_not_forgotten() {
        let mut times = vec![Some(1.0); 9];
        times.push(None);
        let summary = Summary::of(&times);
        assert_eq!(summary.median, Some(1.0));
        assert_eq!(summary.p90, Some(1.0));
        assert_eq!(summary.slowest, None);
        assert_eq!(Summary::of(&[None, None, Some(1.0)]).median, None);
        assert_eq!(Summary::of(&[None, Some(1.0)]).median, None);
    }

    #[test]
    fn nobody_has_no_figures() {
        assert_eq!(Summary::of(&[]), Summary::default());
    }
}
