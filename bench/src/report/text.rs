// SPDX-License-Identifier: GPL-2.0-only
//! A report as text: for a terminal, and for the README.

use std::fmt::Write;

use super::{number, GoalReport, Outcome, Report, RowReport, SideReport};
use crate::rows::{self, Better, Family, Side};
use crate::sides::describe;
use crate::stats::Estimate;

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
            let does = row
                .excludes(side)
                .map_or_else(|| describe::does(side, row), |why| format!("no such side: {why}"));
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
