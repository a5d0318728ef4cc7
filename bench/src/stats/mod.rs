// SPDX-License-Identifier: GPL-2.0-only
//! The few statistics we quote. Medians, because other tenants of the machine make long tails.
//!
//! Floors, from the lowest: tail.

pub mod tail;

use serde::{Deserialize, Serialize};

/// How the intervals are found.
pub const METHOD: &str =
    "binomial order statistics: the k-th smallest and k-th largest sample, k as large as 95 % allow";

/// How sure an interval should be, where there are samples enough.
const LEVEL: f64 = 0.95;

/// Of one side of one row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    /// Where the median lies.
    pub interval: Interval,
}

/// A confidence interval of a median.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// The probability that it covers the median; less than 0.95 where there are fewer than six samples.
    pub level: f64,
}

/// A median, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub median: f64,
    pub interval: Interval,
}

impl Interval {
    /// Distribution-free: the number of samples below the median is binomial. None without samples.
    pub fn of(samples: &[f64]) -> Option<Interval> {
        let sorted = sorted(samples);
        let n = sorted.len();
        // The probability that fewer than k of n samples lie below the median, and the largest k that is allowed.
        let (mut below, mut term, mut k) = (0.0, 0.5f64.powi(n as i32), 1);
        let mut level = 1.0 - 2.0 * term;
        for i in 0..n / 2 {
            below += term;
            if 1.0 - 2.0 * below < LEVEL {
                break;
            }
            (k, level) = (i + 1, 1.0 - 2.0 * below);
            term *= (n - i) as f64 / (i + 1) as f64;
        }
        let (low, high) = (*sorted.get(k - 1)?, *sorted.get(n.checked_sub(k)?)?);
        Some(Interval { low, high, level: level.max(0.0) })
    }
}

impl Estimate {
    /// None without samples.
    pub fn of(samples: &[f64]) -> Option<Estimate> {
        Some(Estimate { median: median(samples)?, interval: Interval::of(samples)? })
    }

    /// Of `combine(a, b)` over the rounds that both sides took part in.
    pub fn of_pairs(a: &[f64], b: &[f64], combine: impl Fn(f64, f64) -> f64) -> Option<Estimate> {
        let pairs: Vec<f64> = a.iter().zip(b).map(|(&a, &b)| combine(a, b)).collect();
        Estimate::of(&pairs)
    }
}

impl Summary {
    /// None without samples.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let sorted = sorted(samples);
        // Nearest ranks.
        let at =
            |percent: usize| (sorted.len() * percent).div_ceil(100).checked_sub(1).map(|rank| sorted[rank]);
        Some(Summary {
            median: median(samples)?,
            min: *sorted.first()?,
            p90: at(90)?,
            p99: at(99)?,
            max: *sorted.last()?,
            interval: Interval::of(samples)?,
        })
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

/// `combine` of the medians of two sets that have nothing to do with each other, with a percentile bootstrap's interval
/// (2,000 resamples of each, always the same ones).
pub fn bootstrap_ratio(a: &[f64], b: &[f64], combine: impl Fn(f64, f64) -> f64) -> Option<Estimate> {
    const RESAMPLES: usize = 2000;
    let middle = combine(median(a)?, median(b)?);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut resampled = |from: &[f64]| {
        let drawn: Vec<f64> = from.iter().map(|_| from[random(&mut state) as usize % from.len()]).collect();
        median(&drawn)
    };
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        ratios.push(combine(resampled(a)?, resampled(b)?));
    }
    let ratios = sorted(&ratios);
    let out = ((1.0 - LEVEL) / 2.0 * RESAMPLES as f64) as usize;
    let interval = Interval { low: ratios[out], high: ratios[RESAMPLES - 1 - out], level: LEVEL };
    Some(Estimate { median: middle, interval })
}

/// xorshift64*
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
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
        assert_eq!(Estimate::of_pairs(&ours, &native, |a, b| a / b).unwrap().median, 2.0);
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Ranks for 95 %: n = 6: 1 and 6 (0.969), 11: 2 and 10 (0.988), 25: 8 and 18 (0.957).
        for (n, k, level) in [(5, 1, 0.9375), (6, 1, 0.96875), (11, 2, 0.98828), (25, 8, 0.95671)] {
            let samples: Vec<f64> = (1..=n).map(f64::from).collect();
            let found = Interval::of(&samples).unwrap();
            assert_eq!((found.low, found.high), (f64::from(k), f64::from(n + 1 - k)), "{n}");
            assert!((found.level - level).abs() < 1e-4, "{n}: {}", found.level);
        }
        assert_eq!(Interval::of(&[3.0]), Some(Interval { low: 3.0, high: 3.0, level: 0.0 }));
        assert_eq!(Interval::of(&[]), None);
    }
}
