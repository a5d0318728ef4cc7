// SPDX-License-Identifier: GPL-2.0-only
//! One self-contained HTML page of one run, or of several: no scripts, nothing fetched.

use std::fmt::Write;

use anyhow::Result;

use crate::machine::environment::Environment;
use crate::report::plots::{self, Ratio};
use crate::report::{number, GoalReport, Outcome, Report, RowReport, SideReport};
use crate::rows::{Better, Family};
use crate::stats::Estimate;

const STYLE: &str = "
body{font:15px/1.45 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;margin:.6em 0}
td,th{border-bottom:1px solid #ddd;padding:.2em .7em;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.met{color:#1b7837}.not{color:#b2182b;font-weight:bold}.none{color:#888}
details{margin:.4em 0}summary{cursor:pointer}
svg{max-width:100%;height:auto}
i.s{display:inline-block;width:.8em;height:.8em;margin-right:.4em}";

/// A file and what it holds; the last one is the one that is shown in full.
pub fn page(files: &[(String, Report)]) -> Result<String> {
    let mut out = String::from("<!DOCTYPE html>\n<html lang=en><meta charset=utf-8>\n");
    let _ = writeln!(out, "<title>Stowaway: measurements</title>\n<style>{STYLE}</style>");
    let _ = writeln!(out, "<h1>Measurements</h1>");
    let Some((name, report)) = files.last() else { return Ok(out) };
    if report.smoke {
        out.push_str("<p class=not>A smoke run: tiny files and counts, the numbers mean nothing.</p>\n");
    }
    environment(&mut out, name, &report.environment);
    goals(&mut out, report);
    for (family, title) in [
        (Family::Core, "The kernel library itself"),
        (Family::Image, "A directory on an image"),
        (Family::Calls, "Calls that go to the host"),
    ] {
        let rows: Vec<&RowReport> = report.rows.iter().filter(|row| row.family == family).collect();
        if !rows.is_empty() {
            chapter(&mut out, title, &rows, files)?;
        }
    }
    let _ = writeln!(
        out,
        "<p>Medians. Ratios are taken round by round, and are of cost: below 1 is better. Confidence intervals: {}.</p>",
        escape(&report.intervals)
    );
    Ok(out + "</html>\n")
}

fn environment(out: &mut String, name: &str, e: &Environment) {
    let _ = writeln!(out, "<h2>Where</h2>\n<table>");
    let mut line = |what: &str, value: String| {
        let _ = writeln!(out, "<tr><th>{what}<td>{}", escape(&value));
    };
    line("file", name.to_string());
    line("measured", format!("{} (seconds since 1970)", e.unix_time));
    line("machine", format!("{}, {} CPUs, {} MiB", e.cpu, e.cpus, e.memory_mib));
    line("system", format!("{}, Linux {}", e.system, e.kernel));
    line("user", if e.root { "root".into() } else { "an ordinary one".into() });
    line("work directory", format!("on {}", e.work_file_system));
    line("load", format!("{} before, {} after", e.load_before, e.load_after));
    line("stolen by the hypervisor", format!("{:.1} %", e.steal_percent));
    if let Some(bytes) = e.shim_bytes {
        line("library", format!("{bytes} bytes"));
    }
    out.push_str("</table>\n");
}

fn goals(out: &mut String, report: &Report) {
    let all = || report.rows.iter().flat_map(|row| row.goals.iter().map(move |goal| (row, goal)));
    let count = |wanted: Option<bool>| all().filter(|(_, goal)| goal.met == wanted).count();
    let [met, missed, unknown] = [Some(true), Some(false), None].map(count);
    let _ = writeln!(
        out,
        "<h2>Goals</h2>\n<p>{met} met, {missed} not met, {unknown} not measured.</p>\n\
         <table><tr><th>row<th>what<th>goal<th class=n>measured<th>"
    );
    for (row, goal) in all() {
        let measured = goal.measured.as_deref().unwrap_or("-");
        let _ = writeln!(
            out,
            "<tr><td><a href=\"#{0}\">{0}</a><td>{1}<td>{2}<td class=n>{3}<td>{4}",
            escape(&row.id),
            escape(&row.what),
            escape(&goal.goal),
            escape(measured),
            verdict(goal)
        );
    }
    out.push_str("</table>\n");
}

fn verdict(goal: &GoalReport) -> &'static str {
    match goal.met {
        Some(true) => "<span class=met>met</span>",
        Some(false) => "<span class=not>not met</span>",
        None => "<span class=none>not measured</span>",
    }
}

fn chapter(out: &mut String, title: &str, rows: &[&RowReport], files: &[(String, Report)]) -> Result<()> {
    let _ = writeln!(out, "<h2>{title}</h2>");
    let lines: Vec<Ratio> = rows.iter().filter_map(|row| ratio_line(row)).collect();
    if !lines.is_empty() {
        out.push_str(&plots::ratios(&lines)?);
        out.push_str("<p>Bars are confidence intervals, black ticks are goals.</p>\n");
    }
    for row in rows {
        let way = if row.better == Better::Lower { "less" } else { "more" };
        let _ = writeln!(
            out,
            "<details id=\"{0}\"><summary><b>{0}</b>: {1} ({2}, {way} is better, {3} rounds)</summary>",
            escape(&row.id),
            escape(&row.what),
            escape(&row.unit),
            row.rounds
        );
        sides(out, row);
        if row.sides.iter().any(|side| !side.samples.is_empty()) {
            out.push_str(&plots::samples(row)?);
        }
        if files.len() > 1 {
            past(out, row, files)?;
        }
        out.push_str("</details>\n");
    }
    Ok(())
}

fn ratio_line(row: &RowReport) -> Option<Ratio> {
    let of = row.side(row.judged)?.ratio_to_native?;
    let goal = row.goals.iter().find_map(|goal| Some((goal.ratio?, goal.met?)));
    Some(Ratio { name: row.id.clone(), of, goal })
}

fn sides(out: &mut String, row: &RowReport) {
    out.push_str("<table><tr><th>side<th class=n>median<th class=n>interval<th class=n>min<th class=n>p99");
    out.push_str("<th class=n>x native<th>\n");
    for side in &row.sides {
        let paint = plots::colour(side.side);
        let _ = write!(
            out,
            "<tr><td><i class=s style=\"background:rgb({},{},{})\"></i>{}",
            paint.0,
            paint.1,
            paint.2,
            side.side.name()
        );
        let _ = writeln!(out, "{}<td>{}", cells(side), escape(&side.does));
    }
    out.push_str("</table>\n");
}

fn cells(side: &SideReport) -> String {
    let why = match (&side.outcome, &side.summary) {
        (Outcome::Ran, Some(summary)) => {
            let [median, min, p99] = [summary.median, summary.min, summary.p99].map(number);
            let ratio = side.ratio_to_native.map_or("-".into(), |ratio| {
                let Estimate { median, interval } = ratio;
                format!("{median:.2} ({:.2} to {:.2})", interval.low, interval.high)
            });
            let (low, high) = (number(summary.interval.low), number(summary.interval.high));
            let mut cells = format!(
                "<td class=n>{median}<td class=n>{low} to {high}<td class=n>{min}<td class=n>{p99}<td class=n>{ratio}"
            );
            if let Some(tail) = &side.tail {
                let [p50, p99, p999, max] = [tail.p50, tail.p99, tail.p999, tail.max].map(number);
                cells.push_str(&format!(
                    "<td>within a round: p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}<br>"
                ));
            }
            return cells;
        }
        (Outcome::Ran, None) => "no samples".into(),
        (Outcome::NotRun { why }, _) => format!("not run: {why}"),
        (Outcome::Failed { why }, _) => format!("failed: {why}"),
    };
    format!("<td colspan=5 class=none>{}", escape(&why))
}

/// The judged side's ratio in all files.
fn past(out: &mut String, row: &RowReport, files: &[(String, Report)]) -> Result<()> {
    let ratio = |report: &Report| {
        let then = report.rows.iter().find(|then| then.id == row.id)?;
        then.side(then.judged)?.ratio_to_native
    };
    let values: Vec<Option<Estimate>> = files.iter().map(|(_, report)| ratio(report)).collect();
    if values.iter().flatten().count() > 1 {
        out.push_str(&plots::history(&values)?);
        let names: Vec<String> =
            files.iter().enumerate().map(|(i, (name, _))| format!("{}: {name}", i + 1)).collect();
        let _ = writeln!(out, "<p class=none>{}</p>", escape(&names.join(", ")));
    }
    Ok(())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
