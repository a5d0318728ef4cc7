// SPDX-License-Identifier: GPL-2.0-only
//! What a worker repeats: loops about the kernel library, about files, and about call sites.
//!
//! Floors, from the lowest: syscalls, sockets, code, caught, compute, processes, rings, waits, kernel, files.

use anyhow::Result;

use super::protocol::Answer;

mod caught;
pub mod code;
mod compute;
pub mod files;
pub mod kernel;
mod processes;
mod rings;
mod sockets;
mod syscalls;
mod waits;

/// One of the loops, set up.
pub trait Loop {
    fn run(&mut self, times: u64) -> Result<Answer>;
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
