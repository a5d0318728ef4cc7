// SPDX-License-Identifier: GPL-2.0-only
//! The worker half of this program: one process that repeats one libc call on one directory. The
//! driver starts it with the environment of a side, and tells it by lines on stdin what to do:
//!   `run N` (repeat N times; answers the nanoseconds, then what else there is of an [`Answer`]),
//!   `calibrate MS` (answers an N),
//!   `forget` (drop the file's cached pages), `length` (answers the file's),
//!   `rss` (answers the high-water mark of the resident set in KiB).
//! It makes the calls through libc's names, where a preloaded library finds them; those of the rows about sites stand
//! in its own code.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::environment::kib;
use crate::files::{Files, Task};
use crate::loops;
use crate::rows::CoreOp;
use crate::tail::Tail;

/// Names a directory in the image to a worker that works on the host.
pub const TOUCH: &str = "STOWAWAY_BENCH_TOUCH";
/// Tells a worker to catch its calls itself.
pub const CATCH: &str = "STOWAWAY_BENCH_CATCH";
/// The task of a worker that boots the kernel library.
pub const BOOT: &str = "boot";
/// First argument of a worker process.
pub const VERB: &str = "worker";

/// `TASK DIR`, see [`Task::parse`].
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a run of a loop found.
pub struct Answer {
    pub took: Duration,
    /// In place of the time of one round.
    pub value: Option<f64>,
    pub tail: Option<Tail>,
}

impl Answer {
    pub fn of(took: Duration) -> Answer {
        Answer { took, value: None, tail: None }
    }

    pub fn with_value(took: Duration, value: f64) -> Answer {
        Answer { took, value: Some(value), tail: None }
    }

    /// As the driver reads it.
    fn line(&self) -> String {
        let tail = self.tail.iter().flat_map(|t| [t.p50, t.p99, t.p999, t.max]);
        let numbers: Vec<String> = self.value.into_iter().chain(tail).map(|n| n.to_string()).collect();
        format!("{} {}", self.took.as_nanos(), numbers.join(" ")).trim_end().to_string()
    }
}

fn serve(args: &[OsString]) -> Result<()> {
    let [task, dir] = args else { bail!("usage: {VERB} TASK DIR") };
    let word = task.to_string_lossy();
    if word == BOOT {
        return serve_core(&mut Boot);
    } else if let Some(op) = CoreOp::parse(&word) {
        return serve_core(loops::open(op, dir.clone())?.as_mut());
    }
    let mut files = Files::open(Task::parse(&task.to_string_lossy())?, dir.clone())?;
    answer("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse()?;
        match word {
            "run" => answer(files.answer(number)?.line())?,
            "calibrate" => answer(files.calibrate(number)?)?,
            "forget" => answer(files.forget()?)?,
            "length" => answer(files.length)?,
            "rss" => answer(kib("/proc/self/status", "VmHWM").context("no VmHWM")?)?,
            _ => bail!("{word}: no such command"),
        }
    }
    Ok(())
}

/// A loop about the kernel library.
fn serve_core(work: &mut dyn loops::Loop) -> Result<()> {
    answer("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse()?;
        match word {
            "run" => answer(work.run(number)?.line())?,
            "calibrate" => answer(calibrated(number, |times| Ok(work.run(times)?.took.as_nanos()))?)?,
            _ => bail!("{word}: no such command"),
        }
    }
    Ok(())
}

/// Boots instead of looping, once.
struct Boot;

impl loops::Loop for Boot {
    fn run(&mut self, _times: u64) -> Result<Answer> {
        loops::boot()
    }
}

/// How many times fill about `ms` milliseconds.
pub fn calibrated(ms: u64, mut timed: impl FnMut(u64) -> Result<u128>) -> Result<u64> {
    let (target, mut times) = (u128::from(ms) * 1_000_000, 1u64);
    loop {
        let took = timed(times)?.max(1);
        if took * 4 >= target || times >= 1 << 40 {
            return Ok((u128::from(times) * target / took).max(1) as u64);
        }
        times *= 4;
    }
}

fn answer(what: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}
