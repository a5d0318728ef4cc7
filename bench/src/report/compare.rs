// SPDX-License-Identifier: GPL-2.0-only
//! Two sets of results, row by row: what became better, what worse, and how sure that is.

use std::fmt::Write;

use serde::Serialize;

use crate::report::number;
use crate::report::results::{Results, Row};
use crate::rows::Better;
use crate::rows::Side;
use crate::stats::{bootstrap_ratio, median, Estimate};

/// The sides that are ours, and so differ between two revisions.
pub const OURS: [Side; 2] = [Side::Stowaway, Side::Kernel];

/// How the two sets were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// In turns, round by round: ratios are taken pair by pair.
    Interleaved,
    /// Each for itself, at its own time. `by_native`: each sample is first taken by native's of its round, which
    /// cancels what the machine was like then.
    Apart { by_native: bool },
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Better,
    Worse,
    /// The interval holds 1.
    Same,
}

/// One side of one row that both have.
#[derive(Debug, Serialize)]
pub struct Change {
    pub id: String,
    pub side: Side,
    /// Of `a` and `b`: the row's own, or "x native".
    pub unit: String,
    pub a: f64,
    pub b: f64,
    /// B's cost by A's: below 1 is better.
    pub ratio: Estimate,
    pub verdict: Verdict,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub changes: Vec<Change>,
    /// Rows and sides that only one of them measured.
    pub only_one: Vec<String>,
}

pub fn compare(a: &Results, b: &Results, pairing: Pairing) -> Comparison {
    let (mut changes, mut only_one) = (Vec::new(), Vec::new());
    for row in &a.rows {
        let other = b.rows.iter().find(|other| other.id == row.id);
        for side in OURS {
            let there = other.and_then(|other| Some((other, other.samples(side)?)));
            match (row.samples(side), there) {
                (None, None) => {}
                (Some(_), Some((other, _))) => changes.extend(change(row, other, side, pairing)),
                _ => only_one.push(format!("{} ({})", row.id, side.name())),
            }
        }
    }
    let new = b.rows.iter().filter(|row| a.rows.iter().all(|old| old.id != row.id));
    only_one.extend(new.map(|row| row.id.clone()));
    Comparison { changes, only_one }
}

fn change(row: &Row, other: &Row, side: Side, pairing: Pairing) -> Option<Change> {
    let natives = |row: &Row| Some(by_native(row.samples(side)?, row.samples(Side::Native)?));
    let (a, b, unit) = match (pairing, natives(row), natives(other)) {
        (Pairing::Apart { by_native: true }, Some(a), Some(b)) => (a, b, "x native"),
        _ => (row.samples(side)?.to_vec(), other.samples(side)?.to_vec(), row.unit.as_str()),
    };
    // Costs: what is better when it is higher is turned over.
    let cost = |a: f64, b: f64| if row.better == Better::Lower { b / a } else { a / b };
    let ratio = match pairing {
        Pairing::Interleaved => Estimate::of_pairs(&a, &b, cost)?,
        Pairing::Apart { .. } => bootstrap_ratio(&a, &b, cost)?,
    };
    let (low, high) = (ratio.interval.low, ratio.interval.high);
    let verdict = match () {
        () if high < 1.0 => Verdict::Better,
        () if low > 1.0 => Verdict::Worse,
        () => Verdict::Same,
    };
    let (id, unit) = (row.id.clone(), unit.to_string());
    Some(Change { id, side, unit, a: median(&a)?, b: median(&b)?, ratio, verdict })
}

fn by_native(ours: &[f64], native: &[f64]) -> Vec<f64> {
    ours.iter().zip(native).map(|(ours, native)| ours / native).collect()
}

impl Comparison {
    /// What became worse by more than so many percent.
    pub fn regressions(&self, percent: f64) -> Vec<&Change> {
        let worse = |change: &&Change| {
            change.verdict == Verdict::Worse && change.ratio.median > 1.0 + percent / 100.0
        };
        self.changes.iter().filter(worse).collect()
    }

    /// For a terminal.
    pub fn text(&self, percent: f64) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:20} {:9} {:>10} {:>10} {:9} {:>6}  {:17} verdict",
            "row", "side", "A", "B", "unit", "B / A", "95 % interval"
        );
        for change in &self.changes {
            let Estimate { median, interval } = change.ratio;
            let _ = writeln!(
                out,
                "{:20} {:9} {:>10} {:>10} {:9} {median:>6.3}  {:>7.3} .. {:<6.3} {}",
                change.id,
                change.side.name(),
                number(change.a),
                number(change.b),
                change.unit,
                interval.low,
                interval.high,
                change.verdict.word()
            );
        }
        if !self.only_one.is_empty() {
            let _ = writeln!(out, "Measured on one side only: {}.", self.only_one.join(", "));
        }
        let worse = self.regressions(percent).len();
        let _ =
            writeln!(out, "Ratios of cost: below 1, B is better. {worse} worse by more than {percent} %.");
        out
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "WORSE",
            Verdict::Same => "same",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(unit: &str, better: &str, native: &[f64], ours: &[f64]) -> Results {
        let side = |name: &str, samples: &[f64]| serde_json::json!({ "side": name, "status": "ran", "samples": samples });
        let row = serde_json::json!({
            "id": "row", "what": "", "unit": unit, "better": better,
            "sides": [side("native", native), side("stowaway", ours)],
        });
        Results::parse(&serde_json::json!({ "smoke": false, "rows": [row] }).to_string()).unwrap()
    }

    fn only(a: &Results, b: &Results, pairing: Pairing) -> Change {
        let mut comparison = compare(a, b, pairing);
        assert!(comparison.only_one.is_empty() && comparison.changes.len() == 1);
        comparison.changes.remove(0)
    }

    fn around(middle: f64) -> Vec<f64> {
        (0..11).map(|i| middle * (1.0 + f64::from(i - 5) / 200.0)).collect()
    }

    #[test]
    fn slower_is_worse_and_noise_is_not() {
        let a = results("ns", "lower", &around(10.0), &around(100.0));
        let b = results("ns", "lower", &around(10.0), &around(130.0));
        for pairing in [Pairing::Interleaved, Pairing::Apart { by_native: false }] {
            let change = only(&a, &b, pairing);
            assert_eq!(change.verdict, Verdict::Worse);
            assert!((change.ratio.median - 1.3).abs() < 0.02, "{change:?}");
            assert_eq!(only(&b, &a, pairing).verdict, Verdict::Better);
            assert_eq!(only(&a, &a, pairing).verdict, Verdict::Same);
        }
        let comparison = compare(&a, &b, Pairing::Interleaved);
        assert_eq!((comparison.regressions(5.0).len(), comparison.regressions(50.0).len()), (1, 0));
    }

    #[test]
    fn a_slow_machine_is_no_regression() {
        // Everything took twice as long in the second run.
        let a = results("ns", "lower", &around(10.0), &around(100.0));
        let b = results("ns", "lower", &around(20.0), &around(200.0));
        assert_eq!(only(&a, &b, Pairing::Apart { by_native: true }).verdict, Verdict::Same);
        assert_eq!(only(&a, &b, Pairing::Apart { by_native: false }).verdict, Verdict::Worse);
    }

    #[test]
    fn more_throughput_is_better() {
        let a = results("MB/s", "higher", &around(10.0), &around(100.0));
        let b = results("MB/s", "higher", &around(10.0), &around(200.0));
        let change = only(&a, &b, Pairing::Interleaved);
        assert_eq!(change.verdict, Verdict::Better);
        assert!((change.ratio.median - 0.5).abs() < 0.02);
    }

    #[test]
    fn what_only_one_has_is_named() {
        let a = results("ns", "lower", &around(10.0), &around(100.0));
        let mut b = results("ns", "lower", &around(10.0), &around(100.0));
        b.rows[0].id = "other".into();
        let comparison = compare(&a, &b, Pairing::Interleaved);
        assert!(comparison.changes.is_empty());
        assert_eq!(comparison.only_one, ["row (stowaway)", "other"]);
    }
}
