// SPDX-License-Identifier: GPL-2.0-only
//! How late the end of a timed wait is seen while every CPU computes for threads that have been in the kernel: what the
//! doorbell's backends differ in.
//!
//! # Safety
//! Calls get structures that live during the call.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{bail, Context, Result};

use super::compute::work;
use super::syscalls::fifo;
use super::Loop;
use crate::machine::pin::{cpus, pin};
use crate::stats::tail::Tail;
use crate::worker::protocol::Answer;

const WAIT_NS: u64 = 100_000;
/// Rounds of arithmetic between two looks at whether to stop: some ms.
const STRETCH: u64 = 3_000_000;

/// A pipe of whoever serves the directory, in which nothing ever is.
pub struct Waits {
    pipe: i32,
}

impl Waits {
    pub fn open(dir: &OsStr) -> Result<Waits> {
        Ok(Waits { pipe: fifo(dir)? as i32 })
    }

    /// Looks whether there is something to read, for so long.
    fn wait(&self, ns: u64) -> Result<()> {
        let mut silent = libc::pollfd { fd: self.pipe, events: libc::POLLIN, revents: 0 };
        let time = libc::timespec { tv_sec: 0, tv_nsec: ns as i64 };
        // SAFETY: one pollfd, and a time, valid for the call.
        match unsafe { libc::ppoll(&mut silent, 1, &time, std::ptr::null()) } {
            0 => Ok(()),
            1.. => bail!("ppoll: there is something in the pipe"),
            _ => bail!("ppoll: {}", std::io::Error::last_os_error()),
        }
    }

    fn waits(&self, times: u64) -> Result<Answer> {
        let start = Instant::now();
        let mut late = Vec::with_capacity(times as usize);
        for _ in 0..times {
            let before = Instant::now();
            self.wait(WAIT_NS)?;
            late.push(before.elapsed().as_nanos() as f64 - WAIT_NS as f64);
        }
        let tail = Tail::of(&mut late).context("no waits")?;
        if tail.p50 < 0.0 {
            bail!("it waited for {} ns less than it should", -tail.p50);
        }
        Ok(Answer { took: start.elapsed(), value: Some(tail.p99), tail: Some(tail) })
    }

    /// One call, so that the thread is one of the kernel's; then its own code only.
    fn compute(&self, cpu: usize, stop: &AtomicBool) -> Result<()> {
        pin(cpu)?;
        self.wait(0)?;
        while !stop.load(Ordering::Relaxed) {
            work(STRETCH);
        }
        Ok(())
    }
}

impl Loop for Waits {
    fn run(&mut self, times: u64) -> Result<Answer> {
        let stop = AtomicBool::new(false);
        let (here, stop) = (&*self, &stop);
        std::thread::scope(|scope| {
            let others: Vec<_> =
                (0..cpus()).map(|cpu| scope.spawn(move || here.compute(cpu, stop))).collect();
            let done = here.waits(times);
            stop.store(true, Ordering::Relaxed);
            for other in others {
                other.join().map_err(|_| anyhow::anyhow!("the other thread panicked"))??;
            }
            done
        })
    }
}
