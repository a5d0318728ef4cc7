// SPDX-License-Identifier: GPL-2.0-only
//! The worker's loops about files, by libc's names, and about call sites.
//!
//! # Safety
//! Calls get buffers, paths and descriptors that live during the call.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use super::compute::both;
use super::{calibrated, caught, code, processes};
use crate::worker::protocol::{Answer, CATCH, TOUCH};

const SMALL_BYTES: usize = 1 << 20;

#[derive(Clone, Copy)]
pub enum Task {
    Pread,
    Pwrite,
    OpenClose,
    Stat,
    Fstat,
    Fsync,
    Random,
    TwoPread,
    /// Block size.
    Pass(usize),
    /// List and read once: what the memory row calls use.
    Use,
    /// Children (`processes.rs`).
    Fork,
    ForkTrue,
    ForkCat,
    /// Calls from sites of our own (`code.rs`).
    NullSite,
    AllowedSite,
    PreadSite,
    HandlerSite,
    RefusedSite,
    FirstSites,
}

impl Task {
    pub fn parse(word: &str) -> Result<Task> {
        Ok(match word.split_once(':') {
            Some(("pass", block)) => Task::Pass(block.parse()?),
            _ => match word {
                "pread" => Task::Pread,
                "pwrite" => Task::Pwrite,
                "open-close" => Task::OpenClose,
                "stat" => Task::Stat,
                "fstat" => Task::Fstat,
                "fsync" => Task::Fsync,
                "random" => Task::Random,
                "pread-two" => Task::TwoPread,
                "fork" => Task::Fork,
                "fork-true" => Task::ForkTrue,
                "fork-cat" => Task::ForkCat,
                "use" => Task::Use,
                "null-site" => Task::NullSite,
                "allowed-site" => Task::AllowedSite,
                "pread-site" => Task::PreadSite,
                "handler-site" => Task::HandlerSite,
                "refused-site" => Task::RefusedSite,
                "first-sites" => Task::FirstSites,
                _ => bail!("{word}: no such task"),
            },
        })
    }
}

/// What the loops work on.
pub struct Files {
    task: Task,
    dir: CString,
    path: CString,
    fd: libc::c_int,
    pub length: u64,
    buffer: Vec<u8>,
    /// How many pages were read at random since the last time they were forgotten.
    picked: u64,
}

/// The error of a call that returned something else than it should.
fn failed(call: &str, returned: isize) -> anyhow::Error {
    match returned {
        -1 => anyhow::anyhow!("{call}: {}", std::io::Error::last_os_error()),
        other => anyhow::anyhow!("{call}: returned {other}"),
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this one's alone.
        unsafe { libc::close(self.fd) };
    }
}

impl Files {
    pub fn open(task: Task, dir: OsString) -> Result<Files> {
        code::touch();
        let whole = matches!(task, Task::Pass(_) | Task::Random);
        let file: &[u8] = if whole { b"/big" } else { b"/f1m" };
        let dir = dir.into_vec();
        let path = CString::new([&dir, file].concat())?;
        let flags = if matches!(task, Task::Pwrite | Task::Fsync) { libc::O_RDWR } else { libc::O_RDONLY };
        // SAFETY: `path` is a C string.
        let fd = unsafe { libc::open(path.as_ptr(), flags) };
        if fd < 0 {
            return Err(failed("open", -1)).context(path.to_string_lossy().into_owned());
        }
        let block = if let Task::Pass(block) = task { block } else { 4096 };
        let (dir, buffer) = (CString::new(dir)?, vec![0; block]);
        let mut bench = Files { task, dir, path, fd, length: 0, buffer, picked: 0 };
        bench.length = bench.fstat()?.st_size as u64;
        // Warm: what the loop will find cached is cached now.
        if matches!(task, Task::Random) {
            // SAFETY: no pointers.
            unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_RANDOM) };
        }
        if !whole {
            bench.pread_small(SMALL_BYTES as u64 / 4096)?;
        }
        if matches!(task, Task::HandlerSite) && std::env::var_os(CATCH).is_some() {
            caught::begin()?;
        } else if matches!(task, Task::AllowedSite) && std::env::var_os(CATCH).is_some() {
            caught::allow_all()?;
        }
        if matches!(task, Task::RefusedSite) {
            bench.fd = descriptor_out_of_reach();
        }
        Ok(bench)
    }

    pub fn answer(&mut self, times: u64) -> Result<Answer> {
        if let Task::TwoPread = self.task {
            let again = self.again()?;
            let this = std::cell::RefCell::new(self);
            let mine = || this.borrow_mut().preads(times);
            return both(mine, || again.lock().expect("no panic").preads(times));
        }
        let start = Instant::now();
        self.repeat(times)?;
        Ok(Answer::of(start.elapsed()))
    }

    pub fn calibrate(&mut self, ms: u64) -> Result<u64> {
        calibrated(ms, |times| Ok(self.answer(times)?.took.as_nanos()))
    }

    /// Another one on the same file, for another thread.
    fn again(&self) -> Result<std::sync::Mutex<Files>> {
        Ok(Files::open(self.task, OsString::from_vec(self.dir.as_bytes().to_vec()))?.into())
    }

    fn preads(&mut self, times: u64) -> Result<Duration> {
        let start = Instant::now();
        self.pread_small(times)?;
        Ok(start.elapsed())
    }

    fn repeat(&mut self, times: u64) -> Result<()> {
        match self.task {
            Task::Pread => self.pread_small(times),
            Task::Pwrite => self.pwrite_small(times),
            Task::Fsync => self.write_through(times),
            Task::Random => self.pread_random(times),
            Task::TwoPread => bail!("not a loop of one thread"),
            Task::OpenClose => self.open_close(times),
            Task::Stat => self.stat(times),
            Task::Fstat => (0..times).try_for_each(|_| self.fstat().map(drop)),
            Task::Pass(_) => (0..times).try_for_each(|_| self.pass()),
            Task::Use => (0..times).try_for_each(|_| self.list_and_read()),
            Task::Fork => (0..times).try_for_each(|_| processes::fork_and_exit()),
            Task::ForkTrue => (0..times).try_for_each(|_| processes::fork_and_true()),
            Task::ForkCat => (0..times).try_for_each(|_| processes::fork_and_cat(&self.path)),
            Task::NullSite | Task::AllowedSite => null_calls(times, code::null),
            Task::HandlerSite => null_calls(times, code::null_of_libc),
            Task::PreadSite => self.pread_site(times),
            Task::RefusedSite => self.refused_site(times),
            Task::FirstSites => code::first_calls(times),
        }
    }

    fn pread_small(&mut self, times: u64) -> Result<()> {
        for i in 0..times as usize {
            let offset = (i * 4096) & (SMALL_BYTES - 1);
            // SAFETY: the buffer holds at least 4096 bytes.
            let got = unsafe { libc::pread(self.fd, self.buffer.as_mut_ptr().cast(), 4096, offset as i64) };
            if got != 4096 {
                return Err(failed("pread", got));
            }
        }
        Ok(())
    }

    fn pwrite_small(&mut self, times: u64) -> Result<()> {
        for i in 0..times as usize {
            let offset = (i * 4096) & (SMALL_BYTES - 1);
            // SAFETY: the buffer holds at least 4096 bytes.
            let put = unsafe { libc::pwrite(self.fd, self.buffer.as_ptr().cast(), 4096, offset as i64) };
            if put != 4096 {
                return Err(failed("pwrite", put));
            }
        }
        Ok(())
    }

    fn write_through(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            self.pwrite_small(1)?;
            // SAFETY: no pointers.
            if unsafe { libc::fsync(self.fd) } != 0 {
                return Err(failed("fsync", -1));
            }
        }
        Ok(())
    }

    /// Every page of the file once, in an order that no read-ahead guesses.
    fn pread_random(&mut self, times: u64) -> Result<()> {
        let pages = self.length / 4096;
        if !pages.is_power_of_two() || self.picked + times > pages {
            bail!("{pages} pages are not enough");
        }
        for _ in 0..times {
            // An odd factor is a permutation of the numbers below a power of two.
            let offset = (self.picked.wrapping_mul(40_503) % pages * 4096) as i64;
            self.picked += 1;
            // SAFETY: the buffer holds 4096 bytes.
            let got = unsafe { libc::pread(self.fd, self.buffer.as_mut_ptr().cast(), 4096, offset) };
            if got != 4096 {
                return Err(failed("pread", got));
            }
        }
        Ok(())
    }

    fn open_close(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            // SAFETY: `path` is a C string; the descriptor is ours alone.
            let closed = unsafe {
                let fd = libc::open(self.path.as_ptr(), libc::O_RDONLY);
                if fd < 0 {
                    return Err(failed("open", -1));
                }
                libc::close(fd)
            };
            if closed != 0 {
                return Err(failed("close", closed as isize));
            }
        }
        Ok(())
    }

    fn stat(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            // SAFETY: all-zero is a valid stat buffer, and `path` is a C string.
            let returned = unsafe { libc::stat(self.path.as_ptr(), &mut std::mem::zeroed()) };
            if returned != 0 {
                return Err(failed("stat", returned as isize));
            }
        }
        Ok(())
    }

    fn fstat(&mut self) -> Result<libc::stat> {
        // SAFETY: all-zero is a valid stat buffer; the kernel fills it.
        let mut found: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a valid buffer.
        let returned = unsafe { libc::fstat(self.fd, &mut found) };
        if returned != 0 {
            return Err(failed("fstat", returned as isize));
        }
        Ok(found)
    }

    /// All of the file once, in blocks.
    fn pass(&mut self) -> Result<()> {
        let mut total = 0;
        // SAFETY: no pointers.
        if unsafe { libc::lseek(self.fd, 0, libc::SEEK_SET) } != 0 {
            return Err(failed("lseek", -1));
        }
        while total < self.length {
            // SAFETY: the buffer is as long as we say.
            let got = unsafe { libc::read(self.fd, self.buffer.as_mut_ptr().cast(), self.buffer.len()) };
            if got <= 0 {
                return Err(failed("read", got));
            }
            total += got as u64;
        }
        Ok(())
    }

    /// Drop the file's pages from the page cache.
    pub fn forget(&mut self) -> Result<u64> {
        // SAFETY: no pointers.
        let returned = unsafe { libc::posix_fadvise(self.fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
        if returned != 0 {
            bail!("posix_fadvise: error {returned}");
        }
        self.picked = 0;
        Ok(self.length)
    }

    fn pread_site(&mut self, times: u64) -> Result<()> {
        for i in 0..times as usize {
            let offset = (i * 4096) & (SMALL_BYTES - 1);
            let got = code::pread(self.fd, &mut self.buffer, offset);
            if got != 4096 {
                return Err(failed("pread", got));
            }
        }
        Ok(())
    }

    fn refused_site(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            let got = code::pread(self.fd, &mut self.buffer, 0);
            if got != -(libc::EBADF as isize) {
                return Err(failed("pread", got));
            }
        }
        Ok(())
    }

    fn list_and_read(&mut self) -> Result<()> {
        let path = CString::new([self.dir.as_bytes(), b"/d1000"].concat())?;
        let names = count_names(&path)?;
        if names == 0 {
            bail!("{}: empty", path.to_string_lossy());
        }
        self.pread_small(SMALL_BYTES as u64 / 4096)
    }
}

#[inline]
fn null_calls(times: u64, call: impl Fn() -> isize) -> Result<()> {
    let expected = code::null_of_libc();
    for _ in 0..times {
        let got = call();
        if got != expected {
            return Err(failed("getppid", got));
        }
    }
    Ok(())
}

/// A number that is no descriptor for the program: one that the library keeps to itself, if there is one (its kernel
/// has to run), so that the answer is the library's own; else one that is not open.
fn descriptor_out_of_reach() -> libc::c_int {
    const CLOSED: libc::c_int = 1 << 16;
    let Some(path) = std::env::var_os(TOUCH).and_then(|path| CString::new(path.into_vec()).ok()) else {
        return CLOSED;
    };
    // SAFETY: a C string; what it opens stays open, so that the kernel keeps the image.
    unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
    let Ok(listed) = std::fs::read_dir("/proc/self/fd") else { return CLOSED };
    let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // SAFETY: takes two numbers.
    let is_hidden = |fd: &libc::c_int| *fd > 2 && unsafe { libc::fcntl(*fd, libc::F_GETFD) } < 0;
    // The listing's own is closed by the time it is asked for.
    let hidden: Vec<libc::c_int> = numbers.collect::<Vec<_>>().into_iter().filter(is_hidden).collect();
    hidden.into_iter().max().unwrap_or(CLOSED)
}

fn count_names(path: &CStr) -> Result<usize> {
    // SAFETY: a C string in, a directory stream out that is closed below and used by nobody else.
    unsafe {
        let stream = libc::opendir(path.as_ptr());
        if stream.is_null() {
            return Err(failed("opendir", -1));
        }
        let mut names = 0;
        while !libc::readdir(stream).is_null() {
            names += 1;
        }
        libc::closedir(stream);
        Ok(names)
    }
}
