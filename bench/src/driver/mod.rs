// SPDX-License-Identifier: GPL-2.0-only
//! Makes the sides of each row take turns, and turns their samples into a report.
//!
//! Floors, from the lowest: options, runner, client, repeat, memory, program, sites.

use std::path::Path;
use std::rc::Rc;

use anyhow::{bail, Context, Result};

mod client;
mod memory;
mod options;
mod program;
mod repeat;
mod runner;
mod sites;

use memory::MemoryRunner;
pub use options::RunOptions;
use program::ProgramRunner;
use repeat::{BootRunner, LoopRunner};
use runner::Runner;
use sites::{FirstHitsRunner, SitesRunner};

use crate::machine::environment::Environment;
use crate::machine::workdir::{self, WorkDir};
use crate::machine::{interrupt, pin};
use crate::report::{Outcome, Report, RowReport, SideReport, SCHEMA};
use crate::rows::{self, Kind, Row, Side};
use crate::sides::fixture::{Fixtures, Scale};
use crate::sides::libraries::{find_shim, Libraries};
use crate::sides::place::Place;
use crate::stats::METHOD;

struct Bench<'a> {
    options: &'a RunOptions,
    work: &'a Path,
    libraries: Libraries,
    fixtures: Rc<Fixtures>,
}

/// A side that takes part in the row, until it fails.
struct Player {
    runner: Option<Box<dyn Runner>>,
    report: SideReport,
}

/// All the rows asked for.
pub fn run(options: &RunOptions) -> Result<Report> {
    let rows = rows::matching(&options.rows);
    if rows.is_empty() {
        bail!("--rows {}: no such row; `bench list` names them", options.rows.join(","));
    }
    let libraries = libraries(options)?;
    workdir::own_mount_table();
    let work = WorkDir::create(options.dir.as_deref())?;
    let scale = if options.smoke { Scale::SMOKE } else { Scale::FULL };
    let mut environment = Environment::observe(work.path(), libraries.shim.as_deref());
    let fixtures = Rc::new(Fixtures::new(work.path(), scale));
    let bench = Bench { options, work: work.path(), libraries, fixtures };
    let mut reports = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        eprintln!("bench: [{}/{}] {}: {}", i + 1, rows.len(), row.id, row.what);
        reports.push(bench.row(row)?);
    }
    environment.close();
    Ok(Report { schema: SCHEMA, intervals: METHOD.into(), smoke: options.smoke, environment, rows: reports })
}

impl Bench<'_> {
    fn row(&self, row: &'static Row) -> Result<RowReport> {
        let rounds = self.options.reps.unwrap_or(row.rounds);
        let chosen = |side: &Side| self.options.sides.is_empty() || self.options.sides.contains(side);
        let mut players = Vec::new();
        for side in row.sides().iter().copied().filter(chosen) {
            players.push(self.player(side, row)?);
        }
        for round in 0..rounds as usize {
            // Each round begins with another side, so that none always follows the same one.
            for turn in 0..players.len() {
                let at = (round + turn) % players.len();
                players[at].play()?;
            }
        }
        let mut sides = Vec::new();
        for player in players {
            sides.push(player.leave()?);
        }
        Ok(RowReport::new(row, rounds, sides))
    }

    fn player(&self, side: Side, row: &'static Row) -> Result<Player> {
        let mut report = SideReport::new(side, row);
        let reason = row.excludes(side).map(str::to_string).or_else(|| too_few_cpus(row));
        if let Some(reason) = reason.or_else(|| self.libraries.missing(side)) {
            report.outcome = Outcome::NotRun { why: reason };
            return Ok(Player { runner: None, report });
        }
        let started = self.start(side, row);
        interrupt::check()?;
        let runner = started.map_err(|error| report.fail(&error)).ok();
        Ok(Player { runner, report })
    }

    fn start(&self, side: Side, row: &'static Row) -> Result<Box<dyn Runner>> {
        let native = self.fixtures.directory(row.template)?;
        let image = if side.has_image() || (row.needs_image() && side == Side::Kernel) {
            Some(self.fixtures.image(row.template, side, row.writes())?)
        } else {
            None
        };
        let place = Place::new(side, row, self.work, &native, image, &self.libraries)?;
        Ok(match row.kind {
            Kind::Program { .. } => Box::new(ProgramRunner::start(place, row, self.fixtures.clone())?),
            Kind::Loop { .. } | Kind::Core(_) => {
                Box::new(LoopRunner::start(place, row, self.options.batch_ms)?)
            }
            Kind::Boot | Kind::BootMemory => Box::new(BootRunner::start(place, row)?),
            Kind::Memory => Box::new(MemoryRunner::start(place)?),
            Kind::FirstHits => Box::new(FirstHitsRunner::start(place)?),
            Kind::Sites => Box::new(SitesRunner::start(place, self.libraries.shim.as_deref())?),
        })
    }
}

impl Player {
    fn play(&mut self) -> Result<()> {
        let Some(runner) = &mut self.runner else { return Ok(()) };
        let sample = runner.sample();
        interrupt::check()?;
        match sample {
            Ok(sample) => {
                self.report.samples.push(sample.value);
                self.report.tails.extend(sample.tail);
            }
            Err(error) => {
                self.report.fail(&error);
                self.runner = None;
            }
        }
        Ok(())
    }

    fn leave(mut self) -> Result<SideReport> {
        let finished = self.runner.take().map(Runner::finish);
        interrupt::check()?;
        if let Some(Err(error)) = finished {
            self.report.fail(&error);
        }
        Ok(self.report)
    }
}

fn too_few_cpus(row: &Row) -> Option<String> {
    let (needs, here) = (row.cpus(), pin::cpus());
    (needs > here).then(|| format!("it takes {needs} CPUs, here is {here}"))
}

fn libraries(options: &RunOptions) -> Result<Libraries> {
    let named = [
        (Side::Zpoline, &options.zpoline),
        (Side::Lazypoline, &options.lazypoline),
        (Side::SyscallIntercept, &options.syscall_intercept),
    ];
    let mut peers = Vec::new();
    for (side, path) in named {
        if let Some(path) = path {
            peers.push((side, path.canonicalize().with_context(|| format!("{}", path.display()))?));
        }
    }
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.into(), value.into())),
        None => bail!("--peer-env {text}: not NAME=VALUE"),
    };
    let peer_environment = options.peer_env.iter().map(pair).collect::<Result<_>>()?;
    Ok(Libraries { shim: find_shim(options.shim.as_deref())?, peers, peer_environment })
}
