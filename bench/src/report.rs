// SPDX-License-Identifier: GPL-2.0-only
//! What a run found, for a person, for the README, and for programs.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::rows::{self, Better, Family, Goal, Row};
use crate::side::Side;
use crate::stats::{Estimate, Summary};
use crate::tail::Tail;

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
    /// The same, by the loop mount's.
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
            does: side.does(row),
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
        let ours = self.side(self.judged);
        let middle = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.median);
        let (text, measured, met) = match goal {
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
        };
        let ratio = match goal {
            Goal::Ratio(limit) => Some(limit),
            Goal::Times(limit) => Some(1.0 / limit),
            _ => None,
        };
        GoalReport { goal: text, ratio, measured, met }
    }
}

impl GoalReport {
    fn line(&self) -> String {
        let verdict = match self.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        };
        match &self.measured {
            Some(measured) => format!("{}: {measured}, {verdict}", self.goal),
            None => format!("{}: {verdict}", self.goal),
        }
    }
}

/// The rows, without measuring any.
pub fn list() -> String {
    let mut out = String::new();
    for row in rows::all() {
        let report = RowReport::new(row, row.rounds, Vec::new());
        let _ = writeln!(out, "{}: {} ({}, {})", row.id, row.what, row.unit, way(row.better));
        for side in row.sides().iter().copied() {
            let does =
                row.excludes(side).map_or_else(|| side.does(row), |why| format!("no such side: {why}"));
            let _ = writeln!(out, "  {:9} {does}", side.name());
        }
        for goal in &report.goals {
            let _ = writeln!(out, "  goal      {}", goal.goal);
        }
    }
    out
}

fn way(better: Better) -> &'static str {
    match better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
    }
}

/// For a terminal.
pub fn text(report: &Report) -> String {
    let mut out = heading(report);
    for row in &report.rows {
        let _ = writeln!(
            out,
            "\n{}: {} ({}, {}, {} rounds)",
            row.id,
            row.what,
            row.unit,
            way(row.better),
            row.rounds
        );
        for side in &row.sides {
            let _ = writeln!(out, "  {:9} {}", side.side.name(), side_line(side));
        }
        for goal in &row.goals {
            let _ = writeln!(out, "  goal      {}", goal.line());
        }
    }
    out
}

fn side_line(side: &SideReport) -> String {
    let summary = match (&side.outcome, &side.summary) {
        (Outcome::NotRun { why }, _) => return format!("not run: {why}"),
        (Outcome::Failed { why }, _) => return format!("FAILED: {why}"),
        (Outcome::Ran, None) => return "no samples".into(),
        (Outcome::Ran, Some(summary)) => summary,
    };
    let mut line = format!(
        "median {:>9} [{} .. {}]  min {:>9}  p99 {:>9}",
        number(summary.median),
        number(summary.interval.low),
        number(summary.interval.high),
        number(summary.min),
        number(summary.p99)
    );
    for (ratio, base) in [(side.ratio_to_native, "native"), (side.ratio_to_loop, "loop")] {
        if let Some(ratio) = ratio {
            let Estimate { median, interval } = ratio;
            let _ = write!(line, "  {median:>6.2} x {base} [{:.2} .. {:.2}]", interval.low, interval.high);
        }
    }
    if let Some(tail) = &side.tail {
        let [p50, p99, p999, max] = [tail.p50, tail.p99, tail.p999, tail.max].map(number);
        let _ = write!(line, "  within a round: p50 {p50} p99 {p99} p99.9 {p999} max {max}");
    }
    line
}

/// For the README.
pub fn markdown(report: &Report) -> String {
    let mut out = heading(report);
    let families =
        [(Family::Image, &Side::IMAGE[..]), (Family::Calls, &Side::CALLS), (Family::Core, &Side::CORE)];
    for (family, sides) in families {
        let rows: Vec<&RowReport> = report.rows.iter().filter(|row| row.family == family).collect();
        // A side that nobody has here is named below, not in a column of its own.
        let ran = |side: &Side| {
            let here = rows.iter().filter_map(|row| row.side(*side));
            !side.is_peer() || here.into_iter().any(|side| side.outcome == Outcome::Ran)
        };
        let sides: Vec<Side> = sides.iter().copied().filter(ran).collect();
        if !rows.is_empty() {
            table(&mut out, &rows, &sides, family);
        }
    }
    out.push_str("\nMedians. A ratio is the median of the rounds' ratios of cost: below 1 is better.\n");
    for row in &report.rows {
        for side in &row.sides {
            if let Outcome::Failed { why } = &side.outcome {
                let _ = writeln!(out, "Failed: {}, {}: {why}.", row.id, side.side.name());
            }
        }
    }
    let mut reasons: Vec<(&str, Side)> = Vec::new();
    for side in report.rows.iter().flat_map(|row| &row.sides) {
        if let Outcome::NotRun { why } = &side.outcome {
            if !reasons.contains(&(why, side.side)) {
                reasons.push((why, side.side));
                let _ = writeln!(out, "Not run, {}: {why}.", side.side.name());
            }
        }
    }
    out
}

fn table(out: &mut String, rows: &[&RowReport], sides: &[Side], family: Family) {
    let names: Vec<&str> = sides.iter().map(|side| side.name()).collect();
    let on_loop = family == Family::Image;
    let judged = rows.first().map_or(Side::Stowaway, |row| row.judged).name();
    let ratios =
        if on_loop { " stowaway / native | stowaway / loop |" } else { &format!(" {judged} / native |") };
    let _ = writeln!(out, "\n| | unit | {} |{ratios} goal |", names.join(" | "));
    let columns = sides.len() + if on_loop { 2 } else { 1 };
    let _ = writeln!(out, "|---|---|{}---|", "---:|".repeat(columns));
    for row in rows {
        let _ = write!(out, "| {} | {} |", row.what, row.unit);
        for side in sides {
            let _ = write!(out, " {} |", row.side(*side).map_or("-".into(), cell));
        }
        let ours = row.side(row.judged);
        let ratio = |r: Option<Estimate>| r.map_or("-".into(), |r| format!("{:.2}", r.median));
        let _ = write!(out, " {} |", ratio(ours.and_then(|side| side.ratio_to_native)));
        if on_loop {
            let _ = write!(out, " {} |", ratio(ours.and_then(|side| side.ratio_to_loop)));
        }
        let goals: Vec<String> = row.goals.iter().map(GoalReport::line).collect();
        let _ = writeln!(out, " {} |", goals.join("; "));
    }
}

fn cell(side: &SideReport) -> String {
    match (&side.outcome, &side.summary) {
        (Outcome::Ran, Some(summary)) => number(summary.median),
        (Outcome::Failed { .. }, _) => "failed".into(),
        _ => "not run".into(),
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

fn heading(report: &Report) -> String {
    let e = &report.environment;
    let mut out =
        format!(
        "{}, {} CPUs, {} MiB; {}, Linux {}; work directory on {}; load {} before, {} after; {:.1} % stolen\n",
        e.cpu, e.cpus, e.memory_mib, e.system, e.kernel, e.work_file_system,
        first_word(&e.load_before), first_word(&e.load_after), e.steal_percent,
    );
    if report.smoke {
        out.push_str("A smoke run: tiny files and counts, the numbers mean nothing.\n");
    }
    if e.work_file_system != "ext4" {
        out.push_str("The native side is not on ext4: compare with the loop mount.\n");
    }
    out
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}
