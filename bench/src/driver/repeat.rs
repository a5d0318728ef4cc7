// SPDX-License-Identifier: GPL-2.0-only
//! Rows in which a worker process repeats one thing, and those in which it boots the kernel library.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{bail, Context, Result};

use super::client::Worker;
use super::runner::{Runner, Sample};
use crate::rows::{Better, Cache, Kind, Op, Row, Side};
use crate::sides::fixture::{check_image, evict};
use crate::sides::held::Held;
use crate::sides::place::Place;
use crate::stats::tail::Tail;
use crate::worker::protocol::{task, BOOT, PIECE};

/// A row in which one process repeats one thing.
pub struct LoopRunner {
    // The worker goes before the mount it stands on.
    worker: Option<Worker>,
    held: Option<Held>,
    place: Place,
    row: &'static Row,
    cache: Cache,
    native: PathBuf,
    length: u64,
    times: u64,
}

impl LoopRunner {
    pub fn start(place: Place, row: &'static Row, batch_ms: u32) -> Result<LoopRunner> {
        let (task, cache) = match row.kind {
            Kind::Loop { op, cache } => (task(op), cache),
            Kind::Core(op) => (op.word(), Cache::Warm),
            _ => bail!("{}: not a loop's row", row.id),
        };
        let held = Some(place.hold()?);
        let worker = Worker::start(&place, &task).map_err(|error| place.explain(error))?;
        let native = place.dir.join("big");
        let mut runner =
            LoopRunner { worker: Some(worker), held, place, row, cache, native, length: 0, times: 1 };
        if let Kind::Loop { .. } = row.kind {
            runner.length = runner.ask("length")?;
        }
        if cache == Cache::Warm {
            // The second calibration finds everything warm.
            runner.ask("calibrate 1")?;
            runner.times = runner.ask(&format!("calibrate {batch_ms}"))?;
        } else if let Kind::Loop { op: Op::Random4k, .. } = row.kind {
            runner.times = (runner.length / 4096 / 2).clamp(1, 4096);
        }
        Ok(runner)
    }

    fn ask(&mut self, command: &str) -> Result<u64> {
        let worker = self.worker.as_mut().context("the worker has ended")?;
        worker.ask(command).map_err(|error| self.place.explain(error))
    }

    fn cool(&mut self) -> Result<()> {
        self.ask("forget")?;
        match (&self.place.image, self.cache) {
            (_, Cache::Warm) => Ok(()),
            (Some(image), Cache::Cold) => evict(image),
            (Some(image), Cache::ImageWarm) => warm(image),
            // The host's file is what the image is on the other sides.
            (None, Cache::ImageWarm) => warm(&self.native),
            (None, Cache::Cold) => evict(&self.native),
        }
    }

    /// The worker's answer in the row's unit.
    fn value(&self, numbers: &[f64]) -> Result<Sample> {
        let [took, rest @ ..] = numbers else { bail!("the worker said nothing") };
        let ns = took / self.times as f64;
        let scale = self.row.nanosecond();
        if self.row.better == Better::Higher && rest.is_empty() {
            // Bytes per ns, times 1000, are MB/s; bits per ns are Gb/s.
            return Ok(match self.row.kind {
                Kind::Core(_) => (PIECE as f64 * 8.0 / ns).into(),
                _ => (self.length as f64 * 1e3 / ns).into(),
            });
        }
        Ok(match *rest {
            [] => (ns * scale).into(),
            [value] => (value * scale).into(),
            [value, p50, p99, p999, max] => {
                let tail = Tail { p50, p99, p999, max }.scaled(scale);
                Sample { value: value * scale, tail: Some(tail) }
            }
            _ => bail!("the worker said {numbers:?}"),
        })
    }
}

impl Runner for LoopRunner {
    fn sample(&mut self) -> Result<Sample> {
        if self.cache != Cache::Warm {
            self.cool()?;
        }
        let worker = self.worker.as_mut().context("the worker has ended")?;
        let answered = worker.ask_numbers(&format!("run {}", self.times));
        let numbers = answered.map_err(|error| self.place.explain(error))?;
        self.value(&numbers)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if let Some(worker) = self.worker.take() {
            worker.finish().map_err(|error| self.place.explain(error))?;
        }
        self.held = None;
        match (&self.place.image, self.place.side) {
            (Some(image), Side::Stowaway) => check_image(image),
            _ => Ok(()),
        }
    }
}

/// The boot of the kernel library, in a new process for each sample.
pub struct BootRunner {
    place: Place,
    row: &'static Row,
}

impl BootRunner {
    pub fn start(place: Place, row: &'static Row) -> Result<BootRunner> {
        Ok(BootRunner { place, row })
    }

    fn measure(&self) -> Result<f64> {
        let mut worker = Worker::start(&self.place, BOOT)?;
        let numbers = worker.ask_numbers("run 1")?;
        worker.finish()?;
        let [ns, kib] = *numbers else { bail!("the worker said {numbers:?}") };
        Ok(if matches!(self.row.kind, Kind::Boot) { ns * self.row.nanosecond() } else { kib / 1024.0 })
    }
}

impl Runner for BootRunner {
    fn sample(&mut self) -> Result<Sample> {
        self.measure().map(Sample::from).map_err(|error| self.place.explain(error))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Read all of a file, so that the host has it cached.
fn warm(path: &std::path::Path) -> Result<()> {
    std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    Ok(())
}
