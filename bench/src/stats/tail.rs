// SPDX-License-Identifier: GPL-2.0-only
//! Distributions within one sample: what a median hides.

use serde::{Deserialize, Serialize};

/// Quantiles, by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Tail {
    /// None without values.
    pub fn of(values: &mut [f64]) -> Option<Tail> {
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        let at = |share: f64| values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
        Some(Tail { p50: at(0.5), p99: at(0.99), p999: at(0.999), max })
    }

    /// In another unit.
    pub fn scaled(self, by: f64) -> Tail {
        Tail { p50: self.p50 * by, p99: self.p99 * by, p999: self.p999 * by, max: self.max * by }
    }

    /// Each quantile's median over the rounds.
    pub fn median(tails: &[Tail]) -> Option<Tail> {
        let of = |part: fn(&Tail) -> f64| crate::stats::median(&tails.iter().map(part).collect::<Vec<_>>());
        Some(Tail { p50: of(|t| t.p50)?, p99: of(|t| t.p99)?, p999: of(|t| t.p999)?, max: of(|t| t.max)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let mut values: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        let tail = Tail::of(&mut values).unwrap();
        assert_eq!(tail, Tail { p50: 500.0, p99: 990.0, p999: 999.0, max: 1000.0 });
        assert_eq!(tail.scaled(2.0).p99, 1980.0);
        assert!(Tail::of(&mut []).is_none());
        assert_eq!(Tail::of(&mut [7.0]).unwrap().p50, 7.0);
    }
}
