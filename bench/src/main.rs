// SPDX-License-Identifier: GPL-2.0-only
//! Measures what a program pays for a disk image: on the host's own file system, on a loop mount, through the shim, and
//! through fuse2fs; and what its calls to the host pay for being caught. All sides of a row take turns in one run, so
//! that a noisy machine is noisy for all of them, and ratios are taken pair by pair.
//!
//! Floors, from the lowest: stats, machine, rows, worker, sides, report, revisions, driver, profile.

mod driver;
mod machine;
mod profile;
mod report;
mod revisions;
mod rows;
mod sides;
mod stats;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::driver::RunOptions;
use crate::machine::interrupt;
use crate::profile::ProfileOptions;
use crate::report::compare::{self, Pairing};
use crate::report::page;
use crate::report::results::Results;
use crate::revisions::{Plan, Revision};

/// Exit status of a comparison that found a row worse than it may be.
const REGRESSED: u8 = 2;

#[derive(Parser)]
#[command(version, about = "Bench rows: native, loop mount, stowaway and fuse2fs, interleaved")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name the rows, their goals, and what each side does
    List,
    /// Measure
    Run(Box<RunOptions>),
    /// Say what became better or worse between two result files, or two git revisions
    Compare(CompareOptions),
    /// Show where a program's time goes: a table, a histogram, a flame graph
    Profile(Box<ProfileOptions>),
    /// Make one HTML page of result files; the last one is shown in full
    Report {
        /// Files of `run --json`, oldest first
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The page
        #[arg(short, long)]
        output: PathBuf,
    },
}

/// What is compared, and when that is an error.
#[derive(Args)]
struct CompareOptions {
    /// A file of `run --json`, or a git revision: it is built below target/bench/
    a: String,
    /// The other one, of the same kind
    b: String,
    /// End with status 2 if a row became worse by more than so many percent
    #[arg(long, default_value_t = 5.0, value_name = "PERCENT")]
    threshold: f64,
    /// Of two files: compare what was measured, not that by native's
    #[arg(long)]
    absolute: bool,
    /// Of two revisions: only rows whose id contains one of these (comma separated)
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Of two revisions: how often each has its turn
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Of two revisions: rounds per turn; their median is what counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// Write the comparison to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Of two revisions: tiny files and counts
    #[arg(long)]
    smoke: bool,
}

fn main() -> ExitCode {
    // The worker half comes before clap: it runs under the shim and should do little before its loop.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == worker::protocol::VERB) {
        return worker::main(args);
    }
    let outcome = match Cli::parse().command {
        Command::List => {
            print!("{}", report::text::list());
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(options) => run(&options),
        Command::Compare(options) => compare(&options),
        Command::Profile(options) => profile::profile(&options).map(|()| ExitCode::SUCCESS),
        Command::Report { files, output } => show(&files, &output),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(options: &RunOptions) -> Result<ExitCode> {
    interrupt::catch();
    let report = driver::run(options)?;
    if let Some(path) = &options.json {
        write_json(path, &report)?;
    }
    if options.markdown {
        print!("{}", report::text::markdown(&report));
    } else {
        print!("{}", report::text::text(&report));
    }
    Ok(if report.any_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn compare(options: &CompareOptions) -> Result<ExitCode> {
    interrupt::catch();
    let (a, b) = (Path::new(&options.a), Path::new(&options.b));
    let (results, pairing) = if a.is_file() && b.is_file() {
        ([Results::read(a)?, Results::read(b)?], Pairing::Apart { by_native: !options.absolute })
    } else {
        (revisions(options)?, Pairing::Interleaved)
    };
    if results.iter().any(|results| results.smoke) {
        eprintln!("bench: a smoke run: the numbers mean nothing");
    }
    let found = compare::compare(&results[0], &results[1], pairing);
    if let Some(path) = &options.json {
        write_json(path, &found)?;
    }
    print!("{}", found.text(options.threshold));
    let regressed = !found.regressions(options.threshold).is_empty();
    Ok(if regressed { ExitCode::from(REGRESSED) } else { ExitCode::SUCCESS })
}

fn revisions(options: &CompareOptions) -> Result<[Results; 2]> {
    let built = [Revision::build(&options.a)?, Revision::build(&options.b)?];
    let reps = options.reps.to_string();
    let mut more = vec!["--reps", &reps];
    if options.smoke {
        more.extend(["--smoke", "--batch-ms", "1"]);
    }
    revisions::measure(&built, &Plan { rows: &options.rows, turns: options.turns, more: &more })
}

fn write_json(path: &Path, what: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(what)? + "\n";
    std::fs::write(path, text).with_context(|| format!("{}", path.display()))
}

fn show(files: &[PathBuf], output: &Path) -> Result<ExitCode> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut reports = Vec::new();
    for path in files {
        reports.push((name(path), report::Report::read(path)?));
    }
    let page = page::page(&reports)?;
    std::fs::write(output, page).with_context(|| output.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
