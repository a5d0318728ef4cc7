// SPDX-License-Identifier: GPL-2.0-only
//! The driver's end of a worker process, and the rows made with one.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::driver::{Runner, Sample};
use crate::fixture::{check_image, evict};
use crate::loops::PIECE;
use crate::rows::{Better, Cache, Kind, Op, Row};
use crate::side::{Held, Place, Side};
use crate::tail::Tail;
use crate::{timed, worker};

const LIMIT: Duration = Duration::from_secs(120);

/// A worker that waits for commands.
pub struct Worker {
    child: Child,
    // None once the worker was told to end.
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Worker {
    pub fn start(place: &Place, task: &str) -> Result<Worker> {
        let mut command = place.worker(task)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no stdout")?);
        let mut worker = Worker { child, input, output };
        let mut greeting = worker.line()?;
        // A guest system may have something to say first.
        while place.side == Side::Uml && greeting != "ready" {
            greeting = worker.line()?;
        }
        if greeting != "ready" {
            bail!("the worker said {greeting:?}");
        }
        Ok(worker)
    }

    /// Send a command, wait for the number it answers.
    pub fn ask(&mut self, command: &str) -> Result<u64> {
        Ok(*self.ask_numbers(command)?.first().context("the worker said nothing")? as u64)
    }

    /// The same, for an answer of several.
    pub fn ask_numbers(&mut self, command: &str) -> Result<Vec<f64>> {
        let input = self.input.as_mut().context("the worker has ended")?;
        input.write_all(format!("{command}\n").as_bytes()).context("worker")?;
        self.line()?.split(' ').map(|number| number.parse().context("worker")).collect()
    }

    /// End it in good order: its exit is where a mount is undone.
    pub fn finish(mut self) -> Result<()> {
        self.input = None;
        timed::wait(&mut self.child, LIMIT).context("worker")
    }

    fn line(&mut self) -> Result<String> {
        let (mut line, mut byte) = (String::new(), [0u8]);
        loop {
            timed::await_readable(&self.output, LIMIT).context("worker")?;
            match self.output.read(&mut byte)? {
                0 => bail!("the worker ended: {}", self.child.wait()?),
                _ if byte[0] == b'\n' => return Ok(line),
                _ => line.push(char::from(byte[0])),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both do nothing to a worker that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
        let mut worker = Worker::start(&self.place, worker::BOOT)?;
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

fn task(op: Op) -> String {
    match op {
        Op::Pread4k => "pread".into(),
        Op::Pwrite4k => "pwrite".into(),
        Op::OpenClose => "open-close".into(),
        Op::Stat => "stat".into(),
        Op::Fstat => "fstat".into(),
        Op::Fsync4k => "fsync".into(),
        Op::Random4k => "random".into(),
        Op::TwoPread => "pread-two".into(),
        Op::ReadPass(block) => format!("pass:{block}"),
        Op::NullSite => "null-site".into(),
        Op::AllowedSite => "allowed-site".into(),
        Op::PreadSite => "pread-site".into(),
        Op::HandlerSite => "handler-site".into(),
        Op::RefusedSite => "refused-site".into(),
    }
}
