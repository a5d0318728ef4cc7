// SPDX-License-Identifier: GPL-2.0-only
//! The worker half of this program: one process that repeats one libc call on one directory. The
//! driver starts it with the environment of a side, and tells it by lines on stdin what to do:
//!   `run N` (repeat N times; answers the nanoseconds, then what else there is of an [`Answer`]),
//!   `calibrate MS` (answers an N),
//!   `forget` (drop the file's cached pages), `length` (answers the file's),
//!   `rss` (answers the high-water mark of the resident set in KiB).
//! It makes the calls through libc's names, where a preloaded library finds them; those of the rows about sites stand
//! in its own code.
//!
//! Floors, from the lowest: protocol, loops.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use anyhow::{bail, Context, Result};

pub mod loops;
pub mod protocol;

use crate::machine::environment::kib;
use crate::rows::CoreOp;
use loops::files::{Files, Task};
use loops::{calibrated, kernel, Loop};
use protocol::{Answer, BOOT, VERB};

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

fn serve(args: &[OsString]) -> Result<()> {
    let [task, dir] = args else { bail!("usage: {VERB} TASK DIR") };
    let word = task.to_string_lossy();
    if word == BOOT {
        return serve_core(&mut Boot);
    } else if let Some(op) = CoreOp::parse(&word) {
        return serve_core(kernel::open(op, dir.clone())?.as_mut());
    }
    let mut files = Files::open(Task::parse(&task.to_string_lossy())?, dir.clone())?;
    each_line(|word, number| match word {
        "run" => answer(files.answer(number)?.line()),
        "calibrate" => answer(files.calibrate(number)?),
        "forget" => answer(files.forget()?),
        "length" => answer(files.length),
        "rss" => answer(kib("/proc/self/status", "VmHWM").context("no VmHWM")?),
        _ => bail!("{word}: no such command"),
    })
}

/// A loop about the kernel library.
fn serve_core(work: &mut dyn Loop) -> Result<()> {
    each_line(|word, number| match word {
        "run" => answer(work.run(number)?.line()),
        "calibrate" => answer(calibrated(number, |times| Ok(work.run(times)?.took.as_nanos()))?),
        _ => bail!("{word}: no such command"),
    })
}

/// Says `ready`, then passes each line `COMMAND [NUMBER]` of standard input to `command`, which answers the line.
fn each_line(mut command: impl FnMut(&str, u64) -> Result<()>) -> Result<()> {
    answer("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        command(word, number.parse()?)?;
    }
    Ok(())
}

/// Boots instead of looping, once.
struct Boot;

impl Loop for Boot {
    fn run(&mut self, _times: u64) -> Result<Answer> {
        kernel::boot()
    }
}

fn answer(what: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}
