// SPDX-License-Identifier: GPL-2.0-only
//! The worker's loops about the kernel library itself: calls, waiting for another thread, time. Each is written once, over
//! a [`Syscalls`].

use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use super::compute::{both, work};
use super::rings::Rings;
use super::sockets;
use super::syscalls::{checked, fifo, host_calls, Counted, Direct, Libc, Syscalls};
use super::waits::Waits;
use super::Loop;
use crate::machine::environment::kib;
use crate::machine::pin::pin;
use crate::rows::CoreOp;
use crate::stats::tail::Tail;
use crate::worker::protocol::{Answer, DIRECT, PIECE};

const NAP_NS: u64 = 100_000;
/// Rounds of dependent arithmetic that are one piece of fixed work: some 100 us.
const WORK: u64 = 60_000;

/// `dir`: where a FIFO can be made.
pub fn open(op: CoreOp, dir: OsString) -> Result<Box<dyn Loop>> {
    if std::env::var_os(DIRECT).is_none() {
        return match op {
            CoreOp::PipeCalls { cpus } => Ok(Box::new(pipe(Counted, op, cpus)?)),
            CoreOp::Pipe { cpus } => Ok(Box::new(fifos(&dir, op, cpus)?)),
            CoreOp::Late(_) => Ok(Box::new(Waits::open(&dir)?)),
            _ => with(Libc, op),
        };
    }
    let kernel = Direct::boot()?;
    if matches!(op, CoreOp::Tcp { .. } | CoreOp::TcpStream) {
        kernel.loopback()?;
    }
    match op {
        CoreOp::Pipe { cpus } | CoreOp::PipeCalls { cpus } => Ok(Box::new(pipe(kernel, op, cpus)?)),
        CoreOp::RingsElided { uring } => Ok(Box::new(Rings::open(kernel, uring)?)),
        _ => with(kernel, op),
    }
}

fn with<D: Syscalls + 'static>(kernel: D, op: CoreOp) -> Result<Box<dyn Loop>> {
    Ok(match op {
        CoreOp::Tcp { cpus } => {
            let [here, there] = sockets::connected(&kernel)?;
            Box::new(PingPong { kernel, op, here: [here; 2], there: [there; 2], cpus })
        }
        CoreOp::TcpStream => {
            let [from, to] = sockets::connected(&kernel)?;
            Box::new(Stream { kernel, from, to })
        }
        _ => Box::new(Calls { kernel, op }),
    })
}

/// Two pipes of the kernel that is called.
fn pipe<D: Syscalls>(kernel: D, op: CoreOp, cpus: usize) -> Result<PingPong<D>> {
    let (mut ping, mut pong) = ([0i32; 2], [0i32; 2]);
    for ends in [&mut ping, &mut pong] {
        kernel.must("pipe2", libc::SYS_pipe2, [ends.as_mut_ptr() as usize, 0, 0, 0, 0, 0])?;
    }
    let [here, there] = [[pong[0], ping[1]], [ping[0], pong[1]]].map(|ends| ends.map(|fd| fd as usize));
    Ok(PingPong { kernel, op, here, there, cpus })
}

/// Two FIFOs in the directory.
fn fifos(dir: &OsStr, op: CoreOp, cpus: usize) -> Result<PingPong<Libc>> {
    let (ping, pong) = (fifo(dir)?, fifo(dir)?);
    Ok(PingPong { kernel: Libc, op, here: [pong, ping], there: [ping, pong], cpus })
}

/// A byte there and back; `here` and `there` are the ends to read and to write.
struct PingPong<D> {
    kernel: D,
    op: CoreOp,
    here: [usize; 2],
    there: [usize; 2],
    cpus: usize,
}

impl<D: Syscalls> Loop for PingPong<D> {
    fn run(&mut self, times: u64) -> Result<Answer> {
        pin(0)?;
        let (there, cpu) = (self.there, self.cpus - 1);
        std::thread::scope(|scope| {
            let other = scope.spawn(move || -> Result<()> {
                pin(cpu)?;
                let kernel = D::attach()?;
                (0..=times).try_for_each(|_| pull(&kernel, there[0]).and_then(|()| push(&kernel, there[1])))
            });
            // The first finds the other thread starting.
            let round = || push(&self.kernel, self.here[1]).and_then(|()| pull(&self.kernel, self.here[0]));
            round()?;
            let (start, before) = (Instant::now(), host_calls());
            (0..times).try_for_each(|_| round())?;
            let (took, calls) = (start.elapsed(), host_calls() - before);
            other.join().map_err(|_| anyhow::anyhow!("the other thread panicked"))??;
            Ok(match self.op {
                CoreOp::PipeCalls { .. } => Answer::with_value(took, calls as f64 / times as f64),
                _ => Answer::of(took),
            })
        })
    }
}

#[inline]
fn push(kernel: &impl Syscalls, fd: usize) -> Result<()> {
    match kernel.write(fd, b"x") {
        1 => Ok(()),
        other => checked("write", other).and_then(|_| bail!("write: returned {other}")),
    }
}

#[inline]
fn pull(kernel: &impl Syscalls, fd: usize) -> Result<()> {
    match kernel.read(fd, &mut [0]) {
        1 => Ok(()),
        other => checked("read", other).and_then(|_| bail!("read: returned {other}")),
    }
}

/// Pieces of [`PIECE`] bytes from another thread to this one.
struct Stream<D> {
    kernel: D,
    from: usize,
    to: usize,
}

impl<D: Syscalls> Loop for Stream<D> {
    fn run(&mut self, times: u64) -> Result<Answer> {
        let (from, total) = (self.from, times as usize * PIECE);
        let start = Instant::now();
        std::thread::scope(|scope| {
            let other = scope.spawn(move || -> Result<()> {
                let (kernel, piece) = (D::attach()?, vec![7u8; PIECE]);
                let mut sent = 0;
                while sent < total {
                    sent += checked("write", kernel.write(from, &piece[..PIECE.min(total - sent)]))?;
                }
                Ok(())
            });
            let (mut got, mut piece) = (0, vec![0u8; PIECE]);
            while got < total {
                match checked("read", self.kernel.read(self.to, &mut piece))? {
                    0 => bail!("the stream ended"),
                    n => got += n,
                }
            }
            let took = start.elapsed();
            other.join().map_err(|_| anyhow::anyhow!("the other thread panicked"))??;
            Ok(Answer::of(took))
        })
    }
}

/// Loops of one thread, perhaps beside another.
struct Calls<D> {
    kernel: D,
    op: CoreOp,
}

impl<D: Syscalls> Loop for Calls<D> {
    fn run(&mut self, times: u64) -> Result<Answer> {
        match self.op {
            CoreOp::Null => nulls(&self.kernel, times).map(Answer::of),
            CoreOp::TwoNull => both(|| nulls(&self.kernel, times), || nulls(&D::attach()?, times)),
            CoreOp::Sleep { busy: false } => naps(&self.kernel, times),
            CoreOp::Sleep { busy: true } => beside(compute::<D>, || naps(&self.kernel, times)),
            CoreOp::FixedWork { active: false } => fixed_work(&self.kernel, times),
            CoreOp::FixedWork { active: true } => {
                beside(call_on_and_on::<D>, || fixed_work(&self.kernel, times))
            }
            _ => bail!("not a loop of one thread"),
        }
    }
}

fn nulls<D: Syscalls>(kernel: &D, times: u64) -> Result<Duration> {
    let expected = checked("getppid", kernel.null())? as isize;
    let start = Instant::now();
    for _ in 0..times {
        let got = kernel.null();
        if got != expected {
            bail!("getppid: returned {got}");
        }
    }
    Ok(start.elapsed())
}

/// `main` on the first CPU while `aside` goes on, on the second.
fn beside(
    aside: impl Fn(&AtomicBool) -> Result<()> + Send,
    main: impl FnOnce() -> Result<Answer>,
) -> Result<Answer> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let other = scope.spawn(move || pin(1).and_then(|()| aside(stop)));
        let done = main();
        stop.store(true, Ordering::Relaxed);
        other.join().map_err(|_| anyhow::anyhow!("the other thread panicked"))??;
        done
    })
}

/// Out in its own code nearly always; it has called the kernel, and does so now and then.
fn compute<D: Syscalls>(stop: &AtomicBool) -> Result<()> {
    let kernel = D::attach()?;
    while !stop.load(Ordering::Relaxed) {
        checked("getppid", kernel.null())?;
        work(WORK * 10);
    }
    Ok(())
}

/// A byte into a pipe and out of it, all the time.
fn call_on_and_on<D: Syscalls>(stop: &AtomicBool) -> Result<()> {
    let kernel = D::attach()?;
    let mut ends = [0i32; 2];
    kernel.must("pipe2", libc::SYS_pipe2, [ends.as_mut_ptr() as usize, 0, 0, 0, 0, 0])?;
    let [read, write] = ends.map(|fd| fd as usize);
    while !stop.load(Ordering::Relaxed) {
        push(&kernel, write)?;
        pull(&kernel, read)?;
    }
    for fd in [read, write] {
        kernel.must("close", libc::SYS_close, [fd, 0, 0, 0, 0, 0])?;
    }
    Ok(())
}

/// The p99 of how long they take, and the distribution.
fn naps(kernel: &impl Syscalls, times: u64) -> Result<Answer> {
    pin(0)?;
    let nap = libc::timespec { tv_sec: 0, tv_nsec: NAP_NS as i64 };
    let start = Instant::now();
    let mut took = Vec::with_capacity(times as usize);
    for _ in 0..times {
        let before = Instant::now();
        kernel.must("nanosleep", libc::SYS_nanosleep, [&raw const nap as usize, 0, 0, 0, 0, 0])?;
        took.push(before.elapsed().as_nanos() as f64);
    }
    let tail = Tail::of(&mut took).context("no naps")?;
    if tail.p50 < NAP_NS as f64 {
        bail!("it slept for {} ns only", tail.p50);
    }
    Ok(Answer { took: start.elapsed(), value: Some(tail.p99), tail: Some(tail) })
}

/// How much longer than the shortest the longest takes, and the distribution of that.
fn fixed_work(kernel: &impl Syscalls, times: u64) -> Result<Answer> {
    pin(0)?;
    // The kernel's current task is then this thread's.
    checked("getppid", kernel.null())?;
    let start = Instant::now();
    let mut took = Vec::with_capacity(times as usize);
    for _ in 0..times {
        let before = Instant::now();
        work(WORK);
        took.push(before.elapsed().as_nanos() as f64);
    }
    let least = took.iter().copied().fold(f64::INFINITY, f64::min);
    took.iter_mut().for_each(|ns| *ns -= least);
    let tail = Tail::of(&mut took).context("no work")?;
    Ok(Answer { took: start.elapsed(), value: Some(tail.max), tail: Some(tail) })
}

/// Boots the kernel: how long that takes, and what it adds to the resident set, in KiB.
pub fn boot() -> Result<Answer> {
    let resident = || kib("/proc/self/status", "VmRSS").context("no VmRSS");
    let before = resident()?;
    let start = Instant::now();
    let kernel = Direct::boot()?;
    let took = start.elapsed();
    // It works.
    checked("getppid", kernel.null())?;
    let more = resident()?.saturating_sub(before);
    Ok(Answer::with_value(took, more as f64))
}
