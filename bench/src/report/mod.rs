// SPDX-License-Identifier: GPL-2.0-only
//! What a run found, as data; and in the rooms below for a person, for the README, for a browser, and for comparisons.
//!
//! Floors, from the lowest: text, plots, page, results, compare.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::environment::Environment;
use crate::rows::{Better, Family, Goal, Row, Side};
use crate::sides::describe;
use crate::stats::tail::Tail;
use crate::stats::{Estimate, Summary};

pub mod compare;
pub mod page;
mod plots;
pub mod results;
pub mod text;

/// Of the JSON below; a change that a reader would trip over makes it another.
pub const SCHEMA: u32 = 2;

/// All of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    /// How confidence intervals were found.
    pub intervals: String,
    /// Tiny counts: the numbers mean nothing.
    pub smoke: bool,
    pub environment: Environment,
    pub rows: Vec<RowReport>,
}

/// One row.
#[derive(Debug, Serialize, Deserialize)]
pub struct RowReport {
    pub id: String,
    pub what: String,
    pub unit: String,
    pub family: Family,
    pub better: Better,
    /// The side that the goals are about.
    pub judged: Side,
    pub rounds: u32,
    pub sides: Vec<SideReport>,
    pub goals: Vec<GoalReport>,
}

/// What became of a side.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Outcome {
    Ran,
    /// This machine cannot run it, or the row has no such side.
    NotRun {
        why: String,
    },
    /// It should have run.
    Failed {
        why: String,
    },
}

/// One side of one row.
#[derive(Debug, Serialize, Deserialize)]
pub struct SideReport {
    pub side: Side,
    pub does: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// Over the rounds, this side's cost by native's; below 1 is better than native.
    pub ratio_to_native: Option<Estimate>,
    /// This side's cost by the loop mount's.
    pub ratio_to_loop: Option<Estimate>,
    /// Over the rounds, the difference to native, in the row's unit.
    pub over_native: Option<Estimate>,
    pub samples: Vec<f64>,
    /// Of rows whose samples are taken from distributions: their quantiles, the median over the rounds.
    pub tail: Option<Tail>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tails: Vec<Tail>,
}

/// One goal of one row.
#[derive(Debug, Serialize, Deserialize)]
pub struct GoalReport {
    pub goal: String,
    /// The limit, where it is a ratio of cost to native's.
    pub ratio: Option<f64>,
    pub measured: Option<String>,
    pub met: Option<bool>,
}

impl Report {
    /// What `run --json` wrote.
    pub fn read(path: &Path) -> Result<Report> {
        #[derive(Deserialize)]
        struct Head {
            schema: Option<u32>,
        }
        let read = || {
            let text = std::fs::read_to_string(path)?;
            let head: Head = serde_json::from_str(&text)?;
            anyhow::ensure!(head.schema == Some(SCHEMA), "not of schema {SCHEMA}");
            Ok(serde_json::from_str(&text)?)
        };
        read().with_context(|| path.display().to_string())
    }

    /// Whether a side that should have run did not.
    pub fn any_failed(&self) -> bool {
        let mut sides = self.rows.iter().flat_map(|row| &row.sides);
        sides.any(|side| matches!(side.outcome, Outcome::Failed { .. }))
    }
}

impl SideReport {
    pub fn new(side: Side, row: &Row) -> SideReport {
        SideReport {
            side,
            does: describe::does(side, row),
            outcome: Outcome::Ran,
            summary: None,
            ratio_to_native: None,
            ratio_to_loop: None,
            over_native: None,
            samples: Vec::new(),
            tail: None,
            tails: Vec::new(),
        }
    }

    pub fn fail(&mut self, error: &anyhow::Error) {
        self.outcome = Outcome::Failed { why: format!("{error:#}") };
    }

    /// A failed side's samples stop early, and would pair wrongly.
    fn good_samples(&self) -> &[f64] {
        if self.outcome == Outcome::Ran {
            &self.samples
        } else {
            &[]
        }
    }
}

impl RowReport {
    pub fn new(row: &Row, rounds: u32, sides: Vec<SideReport>) -> RowReport {
        let mut report = RowReport {
            id: row.id.into(),
            what: row.what.into(),
            unit: row.unit.into(),
            family: row.family,
            better: row.better,
            judged: row.judged(),
            rounds,
            sides,
            goals: Vec::new(),
        };
        for i in 0..report.sides.len() {
            let side = &report.sides[i];
            let (summary, over) = (Summary::of(side.good_samples()), report.over(side, Side::Native));
            let to_native = report.ratio(side, Side::Native);
            let to_loop = report.ratio(side, Side::Loop).filter(|_| side.side != Side::Native);
            let side = &mut report.sides[i];
            side.tail = Tail::median(&side.tails);
            (side.summary, side.over_native) = (summary, over);
            (side.ratio_to_native, side.ratio_to_loop) = (to_native, to_loop);
        }
        report.goals = row.goals.iter().map(|goal| report.judge(*goal)).collect();
        report
    }

    pub fn side(&self, wanted: Side) -> Option<&SideReport> {
        self.sides.iter().find(|side| side.side == wanted)
    }

    fn ratio(&self, of: &SideReport, to: Side) -> Option<Estimate> {
        let base = self.side(to).filter(|_| of.side != to)?.good_samples();
        let better = self.better;
        Estimate::of_pairs(
            of.good_samples(),
            base,
            |a, b| if better == Better::Lower { a / b } else { b / a },
        )
    }

    fn over(&self, of: &SideReport, to: Side) -> Option<Estimate> {
        let base = self.side(to).filter(|_| of.side != to)?.good_samples();
        Estimate::of_pairs(of.good_samples(), base, |a, b| a - b)
    }

    fn judge(&self, goal: Goal) -> GoalReport {
        let (text, measured, met) = self.verdict(goal);
        let ratio = match goal {
            Goal::Ratio(limit) => Some(limit),
            Goal::Times(limit) => Some(1.0 / limit),
            _ => None,
        };
        GoalReport { goal: text, ratio, measured, met }
    }

    /// The goal in words, what was measured of it, and whether it is met.
    fn verdict(&self, goal: Goal) -> (String, Option<String>, Option<bool>) {
        let ours = self.side(self.judged);
        let middle = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.median);
        match goal {
            Goal::Ratio(limit) => {
                let ratio = middle(ours.and_then(|side| side.ratio_to_native));
                (
                    format!("at most {limit} times native"),
                    ratio.map(|r| format!("{r:.2}")),
                    ratio.map(|r| as_shown(r) <= limit),
                )
            }
            Goal::Times(limit) => {
                let times = middle(ours.and_then(|side| side.ratio_to_native)).map(|ratio| 1.0 / ratio);
                (
                    format!("at least {limit} times native"),
                    times.map(|t| format!("{t:.2}")),
                    times.map(|t| as_shown(t) >= limit),
                )
            }
            Goal::Over(limit) => {
                let over = middle(ours.and_then(|side| side.over_native));
                let shown = over.map(|o| format!("{o:+.2} {}", self.unit));
                (
                    format!("at most {limit} {} over native", self.unit),
                    shown,
                    over.map(|o| as_shown(o) <= limit),
                )
            }
            Goal::LessThan(other) => {
                let ratio = middle(ours.and_then(|side| self.ratio(side, other)));
                let shown = ratio.map(|r| format!("{r:.2} times {}", other.name()));
                (format!("less than {}", other.name()), shown, ratio.map(|r| r < 1.0))
            }
            Goal::AtMost(limit) | Goal::AtLeast(limit) => {
                let median = ours.and_then(|side| side.summary.as_ref()).map(|summary| summary.median);
                let most = matches!(goal, Goal::AtMost(_));
                let word = if most { "most" } else { "least" };
                let met = median.map(as_shown).map(|m| if most { m <= limit } else { m >= limit });
                let shown = median.map(|m| format!("{} {}", number(m), self.unit));
                (format!("at {word} {limit} {}", self.unit), shown, met)
            }
        }
    }
}

/// A figure is judged as it is printed: 2.0004 is 2.
fn as_shown(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Three digits that matter.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
