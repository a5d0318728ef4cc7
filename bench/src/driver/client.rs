// SPDX-License-Identifier: GPL-2.0-only
//! The driver's end of a worker process.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::machine::timed;
use crate::rows::Side;
use crate::sides::place::Place;

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

    /// Send a command, wait for the numbers it answers.
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
