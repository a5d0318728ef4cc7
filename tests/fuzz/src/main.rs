// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway-fuzz [--seconds N] [--seed N] [TARGET...]`: runs targets, one after the other, all without a name.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;

use stowaway_fuzz::limit::Limited;
use stowaway_fuzz::search::Search;
use stowaway_fuzz::supervise::{self, Outcome};
use stowaway_fuzz::target::Target;
use stowaway_fuzz::targets;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Hands mutated input to everything that reads what others wrote.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// How long each target runs
    #[arg(long, env = "STOWAWAY_FUZZ_SECONDS", default_value_t = 10)]
    seconds: u64,
    /// The seed of the run; without it one of the clock's
    #[arg(long)]
    seed: Option<u64>,
    /// Where inputs that break a target are kept
    #[arg(long, default_value = "fuzz-failures", value_name = "DIRECTORY")]
    keep: PathBuf,
    /// Run this input alone, in this process
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Name the targets
    #[arg(long)]
    list: bool,
    /// The targets; all, if none is named
    targets: Vec<String>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.as_slice() {
        [verb, name, seed, time] if verb == supervise::VERB => work(name, seed, time),
        _ => run(&Options::parse()),
    };
    done.unwrap_or_else(|why| {
        eprintln!("stowaway-fuzz: {why}");
        ExitCode::FAILURE
    })
}

fn work(name: &str, seed: &str, time: &str) -> Result<ExitCode, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let time = Duration::from_millis(number(time)?);
    let status = supervise::work(find(name)?, number(seed)?, time).map_err(|error| error.to_string())?;
    Ok(ExitCode::from(status))
}

fn find(name: &str) -> Result<&'static Target, String> {
    let found = targets::ALL.iter().chain(&targets::PLANTED).find(|target| target.name == name);
    found.copied().ok_or_else(|| format!("{name}: no such target; --list names them"))
}

fn run(options: &Options) -> Result<ExitCode, String> {
    if options.list {
        targets::ALL.iter().for_each(|target| println!("{}", target.name));
        return Ok(ExitCode::SUCCESS);
    }
    let mut chosen: Vec<&Target> = targets::ALL.to_vec();
    if !options.targets.is_empty() {
        chosen = options.targets.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
    }
    if let Some(file) = &options.input {
        let [target] = chosen[..] else { return Err("--input takes one target".into()) };
        let input = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Search::new(target, 0).case(&input)?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (seed, time) = (options.seed.unwrap_or(clock), Duration::from_secs(options.seconds));
    let mut status = ExitCode::SUCCESS;
    for target in chosen {
        let name = target.name;
        match supervise::run(target, seed, time, &options.keep).map_err(|error| format!("{name}: {error}"))? {
            Outcome::Passed(cases) => println!("{name}: {cases} cases, seed {seed}, nothing broke"),
            Outcome::Broken { case, why, input } => {
                println!("{name}: BROKEN by case {case} of seed {seed}: {why}");
                println!("  run it again: stowaway-fuzz --input {} {name}", input.display());
                status = ExitCode::FAILURE;
            }
        }
    }
    Ok(status)
}
