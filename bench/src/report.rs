// SPDX-License-Identifier: GPL-2.0-only
//! What a run found, for a person, for the README, and for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::environment::Environment;
use crate::rows::{Better, Family, Goal, Row, ROWS};
use crate::side::Side;
use crate::stats::{median_of_pairs, Summary};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Tiny counts: the numbers mean nothing.
    pub smoke: bool,
    pub environment: Environment,
    pub rows: Vec<RowReport>,
}

/// One row.
#[derive(Debug, Serialize)]
pub struct RowReport {
    pub id: &'static str,
    pub what: &'static str,
    pub unit: &'static str,
    pub family: Family,
    pub better: Better,
    pub rounds: u32,
    pub sides: Vec<SideReport>,
    pub goals: Vec<GoalReport>,
}

/// What became of a side.
#[derive(Debug, Serialize, PartialEq, Eq)]
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
#[derive(Debug, Serialize)]
pub struct SideReport {
    pub side: Side,
    pub does: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// Median over the rounds of this side's cost by native's; below 1 is better than native.
    pub ratio_to_native: Option<f64>,
    /// The same, by the loop mount's.
    pub ratio_to_loop: Option<f64>,
    /// Median over the rounds of the difference to native, in the row's unit.
    pub over_native: Option<f64>,
    pub samples: Vec<f64>,
}

/// One goal of one row.
#[derive(Debug, Serialize)]
pub struct GoalReport {
    pub goal: String,
    pub measured: Option<String>,
    pub met: Option<bool>,
}

impl Report {
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
            id: row.id,
            what: row.what,
            unit: row.unit,
            family: row.family,
            better: row.better,
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
            (side.summary, side.over_native) = (summary, over);
            (side.ratio_to_native, side.ratio_to_loop) = (to_native, to_loop);
        }
        report.goals = row.goals.iter().map(|goal| report.judge(*goal)).collect();
        report
    }

    fn side(&self, wanted: Side) -> Option<&SideReport> {
        self.sides.iter().find(|side| side.side == wanted)
    }

    fn ratio(&self, of: &SideReport, to: Side) -> Option<f64> {
        let base = self.side(to).filter(|_| of.side != to)?.good_samples();
        let better = self.better;
        median_of_pairs(of.good_samples(), base, |a, b| if better == Better::Lower { a / b } else { b / a })
    }

    fn over(&self, of: &SideReport, to: Side) -> Option<f64> {
        let base = self.side(to).filter(|_| of.side != to)?.good_samples();
        median_of_pairs(of.good_samples(), base, |a, b| a - b)
    }

    fn judge(&self, goal: Goal) -> GoalReport {
        let ours = self.side(Side::Stowaway);
        let (text, measured, met) = match goal {
            Goal::Ratio(limit) => {
                let ratio = ours.and_then(|side| side.ratio_to_native);
                (
                    format!("at most {limit} times native"),
                    ratio.map(|r| format!("{r:.2}")),
                    ratio.map(|r| r <= limit),
                )
            }
            Goal::Over(limit) => {
                let over = ours.and_then(|side| side.over_native);
                let shown = over.map(|o| format!("{o:+.2} {}", self.unit));
                (format!("at most {limit} {} over native", self.unit), shown, over.map(|o| o <= limit))
            }
            Goal::LessThan(other) => {
                let ratio = ours.and_then(|side| self.ratio(side, other));
                let shown = ratio.map(|r| format!("{r:.2} times {}", other.name()));
                (format!("less than {}", other.name()), shown, ratio.map(|r| r < 1.0))
            }
            Goal::AtMost(limit) | Goal::AtLeast(limit) => {
                let median = ours.and_then(|side| side.summary.as_ref()).map(|summary| summary.median);
                let most = matches!(goal, Goal::AtMost(_));
                let word = if most { "most" } else { "least" };
                let met = median.map(|m| if most { m <= limit } else { m >= limit });
                let shown = median.map(|m| format!("{} {}", number(m), self.unit));
                (format!("at {word} {limit} {}", self.unit), shown, met)
            }
        };
        GoalReport { goal: text, measured, met }
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
    for row in ROWS {
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
        "median {:>9}  min {:>9}  p90 {:>9}",
        number(summary.median),
        number(summary.min),
        number(summary.p90)
    );
    for (ratio, base) in [(side.ratio_to_native, "native"), (side.ratio_to_loop, "loop")] {
        if let Some(ratio) = ratio {
            let _ = write!(line, "  {ratio:>6.2} x {base}");
        }
    }
    line
}

/// For the README.
pub fn markdown(report: &Report) -> String {
    let mut out = heading(report);
    for (family, sides) in [(Family::Image, &Side::IMAGE[..]), (Family::Calls, &Side::CALLS)] {
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
    let ratios = if on_loop { " stowaway / native | stowaway / loop |" } else { " stowaway / native |" };
    let _ = writeln!(out, "\n| | unit | {} |{ratios} goal |", names.join(" | "));
    let columns = sides.len() + if on_loop { 2 } else { 1 };
    let _ = writeln!(out, "|---|---|{}---|", "---:|".repeat(columns));
    for row in rows {
        let _ = write!(out, "| {} | {} |", row.what, row.unit);
        for side in sides {
            let _ = write!(out, " {} |", row.side(*side).map_or("-".into(), cell));
        }
        let ours = row.side(Side::Stowaway);
        let ratio = |r: Option<f64>| r.map_or("-".into(), |r| format!("{r:.2}"));
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

/// Three digits that matter.
fn number(value: f64) -> String {
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
