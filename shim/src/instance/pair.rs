// SPDX-License-Identifier: GPL-2.0-only
//! Pairs of descriptors: one number in the kernel's table and its placeholder on the host.
//!
//! Order: a number is taken on the host first and given back there last, so that nobody else sees what the kernel's
//! table does at that number.

use crate::fdtable::sets::{self, Set};
use crate::fdtable::{self, watches, HOST, KERNEL, WATCHES};
use crate::instance::enter::KernelContext;
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::settings::settings;
use crate::sys::{fs, host};

/// An open file takes up to half of it: an inode (1.1 KiB with ext4), its name, and what the journal has of both.
const BYTES_OF_MEMORY_FOR_A_FILE: usize = 4096;

/// A placeholder that goes away unless it is kept.
struct Placed(i32);

impl Placed {
    fn new(min: usize, cloexec: bool) -> Result<Placed> {
        fdtable::placeholder(min, cloexec).map(Placed)
    }

    /// What stands for a copy of `old`: what the host has of an epoll set or an inotify descriptor, or a placeholder.
    fn beside(old: usize, min: usize, cloexec: bool) -> Result<Placed> {
        if !is_of_both(old) {
            return Placed::new(min, cloexec);
        }
        let placed = Placed(fs::copy_from(old as i32, min, cloexec)?);
        if placed.0 as usize >= fdtable::LIMIT {
            return Err(Errno::EMFILE);
        }
        Ok(placed)
    }

    /// The pair stands.
    fn keep(self) -> usize {
        let number = self.0 as usize;
        core::mem::forget(self);
        sets::note_set(number, Set::Unknown);
        fdtable::set(number, KERNEL);
        number
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        fs::close(self.0);
    }
}

/// Inside a section: opens something in the kernel with `make` and gives it the same number on both sides.
/// `make` gets the wanted number and returns the one it got.
pub fn open_pair(
    context: &mut KernelContext,
    cloexec: bool,
    make: impl FnOnce(&mut KernelContext, i32) -> Result,
) -> Result {
    // An open file keeps its inode in memory. With most of that taken the kernel would look for more without end.
    if fdtable::count_of_kernel() >= settings().mem as usize / BYTES_OF_MEMORY_FOR_A_FILE {
        return Err(Errno::ENFILE);
    }
    let placed = Placed::new(0, cloexec)?;
    let want = placed.0 as usize;
    let got = make(context, placed.0)?;
    if got != want {
        settle(context, got, want)?;
    }
    Ok(placed.keep())
}

/// As [`open_pair`] at a number at which the host has something already, which becomes the other half.
pub fn install(
    context: &mut KernelContext,
    number: usize,
    make: impl FnOnce(&mut KernelContext, i32) -> Result,
) -> Result<()> {
    let got = make(context, number as i32)?;
    match got == number {
        true => Ok(()),
        false => settle(context, got, number),
    }
}

/// The kernel gave number `got` although `want` was asked for: `want` is held for a moment by another
/// thread's open in the same position. Everybody first clears the number that was not wanted, so nobody waits
/// for a thread that waits.
fn settle(context: &mut KernelContext, got: usize, want: usize) -> Result<()> {
    const PARKING: usize = 1 << 12;
    let dup = libc::F_DUPFD_CLOEXEC as usize;
    let parked = context.call(libc::SYS_fcntl, &args([got, dup, PARKING.max(want + 1)]));
    close_kernels(context, got);
    let parked = parked?;
    loop {
        let now = context.call(libc::SYS_fcntl, &args([parked, dup, want]));
        match now {
            Ok(number) if number != want => close_kernels(context, number),
            done => {
                close_kernels(context, parked);
                return done.map(drop);
            }
        }
        host::yield_processor();
    }
}

/// Closes a number of the kernel's table alone.
pub fn close_kernels(context: &mut KernelContext, number: usize) {
    let _ = context.call(libc::SYS_close, &args([number]));
}

/// Closes a pair. What close(2) says; the pair is gone in any case ("Dealing with error returns").
pub fn close_pair(context: &mut KernelContext, number: usize) -> Result {
    let r = context.call(libc::SYS_close, &args([number]));
    fdtable::set(number, HOST);
    fs::close(number as i32);
    r
}

/// Copies a kernel descriptor to the lowest free number from `min` on.
pub fn copy_pair_from(context: &mut KernelContext, old: usize, min: usize, cloexec: bool) -> Result {
    let placed = Placed::beside(old, min, cloexec)?;
    copy_in_kernel(context, old, placed.0 as usize, cloexec)?;
    Ok(keep_copy(placed, old))
}

/// Copies a kernel descriptor onto number `new`, whatever is there.
pub fn copy_pair_onto(context: &mut KernelContext, old: usize, new: usize, cloexec: bool) -> Result {
    match is_of_both(old) {
        true => fs::copy_onto(old as i32, new, cloexec)?,
        false => fdtable::placeholder_at(new, cloexec)?,
    };
    let placed = Placed(new as i32);
    if new >= fdtable::LIMIT {
        return Err(Errno::EBADF);
    }
    copy_in_kernel(context, old, new, cloexec)?;
    Ok(keep_copy(placed, old))
}

fn keep_copy(placed: Placed, old: usize) -> usize {
    let number = placed.keep();
    sets::note_set(number, sets::set_at(old));
    watches::note_copy(old, number);
    number
}

/// Whether the host has more than a placeholder at the number of a file of the kernel.
pub fn is_of_both(number: usize) -> bool {
    sets::generalise(number) == Set::Both || fdtable::class(number) == WATCHES
}

/// Gives the host's epoll set at `number` its kernel half, which is `half` if there is one already.
pub fn add_kernel_half(context: &mut KernelContext, number: usize, half: Option<usize>) -> Result<()> {
    match half {
        Some(half) => context.call(libc::SYS_dup3, &args([half, number])).map(drop)?,
        None => add_kernel_file(context, number, libc::SYS_epoll_create1, 0)?,
    }
    fdtable::set(number, KERNEL);
    Ok(())
}

/// Makes a file of the kernel at a number at which the host has something. `flags`: the call's only argument.
pub fn add_kernel_file(context: &mut KernelContext, number: usize, nr: i64, flags: usize) -> Result<()> {
    let made = context.call_at(nr, &args([flags]), number as i32)?;
    if made != number {
        let moved = context.call(libc::SYS_dup3, &args([made, number]));
        close_kernels(context, made);
        moved?;
    }
    Ok(())
}

fn copy_in_kernel(context: &mut KernelContext, old: usize, new: usize, cloexec: bool) -> Result {
    let flags = if cloexec { libc::O_CLOEXEC as usize } else { 0 };
    context.call(libc::SYS_dup3, &args([old, new, flags]))
}
