// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel library's doorbell does while threads read from a disk whose requests are done beside the kernel.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::time::Instant;

use anyhow::{bail, Context, Result};
use lkl::{Count, Engine};

use super::syscalls::{checked, Direct, Syscalls};
use super::Loop;
use crate::worker::protocol::{Answer, IMAGE};

/// The mount's root, where no other descriptor is.
const ROOT: i32 = 500;
const PAGE: u64 = 4096;

/// The big file of an image, open.
pub struct Rings {
    kernel: Direct,
    file: usize,
    pages: u64,
    /// Pages read since the last time they were forgotten.
    picked: u64,
}

impl Rings {
    pub fn open(kernel: Direct, uring: bool) -> Result<Rings> {
        let image = std::env::var_os(IMAGE).context("no image")?;
        let engine = if uring { Engine::IoUring } else { Engine::Threads };
        kernel.mount(&CString::new(image.into_vec())?, engine, ROOT)?;
        let name = c"big".as_ptr() as usize;
        let file = kernel.must("openat", libc::SYS_openat, [ROOT as usize, name, 0, 0, 0, 0])?;
        let length = kernel.must("lseek", libc::SYS_lseek, [file, 0, libc::SEEK_END as usize, 0, 0, 0])?;
        let mut rings = Rings { kernel, file, pages: length as u64 / PAGE, picked: 0 };
        rings.advise(libc::POSIX_FADV_RANDOM)?;
        rings.forget()?;
        Ok(rings)
    }

    fn advise(&self, advice: i32) -> Result<()> {
        let args = [self.file, 0, 0, advice as usize, 0, 0];
        self.kernel.must("fadvise64", libc::SYS_fadvise64, args).map(drop)
    }

    fn forget(&mut self) -> Result<()> {
        self.picked = 0;
        self.advise(libc::POSIX_FADV_DONTNEED)
    }
}

impl Loop for Rings {
    /// So many pages, half of them by another thread.
    fn run(&mut self, times: u64) -> Result<Answer> {
        let times = times.clamp(2, self.pages / 2);
        if self.picked + times > self.pages {
            self.forget()?;
        }
        let (first, half, file, pages) = (self.picked, times / 2, self.file, self.pages);
        self.picked += times;
        let count = |what| self.kernel.counted(what);
        let (start, rung, elided) = (Instant::now(), count(Count::Rung), count(Count::Elided));
        std::thread::scope(|scope| {
            let other =
                scope.spawn(move || read(&Direct::attach()?, file, first + half..first + times, pages));
            read(&self.kernel, file, first..first + half, pages)?;
            other.join().map_err(|_| anyhow::anyhow!("the other thread panicked"))?
        })?;
        let (took, rung) = (start.elapsed(), count(Count::Rung) - rung);
        if rung == 0 {
            bail!("nobody rang: everything was cached");
        }
        Ok(Answer::with_value(took, (count(Count::Elided) - elided) as f64 * 100.0 / rung as f64))
    }
}

/// Pages in an order that no read-ahead guesses: an odd factor is a permutation below a power of two.
fn read(kernel: &Direct, file: usize, which: std::ops::Range<u64>, pages: u64) -> Result<()> {
    let mut page = [0u8; PAGE as usize];
    for n in which {
        let offset = n.wrapping_mul(40_503) % pages * PAGE;
        let args = [file, page.as_mut_ptr() as usize, page.len(), offset as usize, 0, 0];
        match checked("pread64", kernel.call(libc::SYS_pread64, args))? {
            n if n == page.len() => {}
            n => bail!("pread64: returned {n}"),
        }
    }
    Ok(())
}
