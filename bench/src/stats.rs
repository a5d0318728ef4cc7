// SPDX-License-Identifier: GPL-2.0-only
//! The few statistics we quote. Medians, because other tenants of the machine make long tails.

use serde::Serialize;

/// Of one side of one row.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub p90: f64,
}

impl Summary {
    /// None without samples.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let sorted = sorted(samples);
        let rank = (sorted.len() * 9).div_ceil(10).checked_sub(1)?;
        Some(Summary { median: median(samples)?, min: sorted[0], p90: sorted[rank] })
    }
}

/// The middle, or the mean of the two in the middle.
pub fn median(samples: &[f64]) -> Option<f64> {
    let sorted = sorted(samples);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// Median of `combine(a, b)` over the rounds that both sides took part in.
pub fn median_of_pairs(a: &[f64], b: &[f64], combine: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let pairs: Vec<f64> = a.iter().zip(b).map(|(&a, &b)| combine(a, b)).collect();
    median(&pairs)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn summary_takes_nearest_rank() {
        let samples: Vec<f64> = (1..=10).map(f64::from).collect();
        let summary = Summary::of(&samples).unwrap();
        assert_eq!((summary.min, summary.p90), (1.0, 9.0));
        assert_eq!(Summary::of(&[7.0]).unwrap().p90, 7.0);
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn pairs_cancel_a_slow_spell() {
        // Both sides slow down tenfold in one round: the ratio does not notice.
        let (native, ours) = ([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]);
        assert_eq!(median_of_pairs(&ours, &native, |a, b| a / b), Some(2.0));
    }
}
