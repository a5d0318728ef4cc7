// SPDX-License-Identifier: GPL-2.0-only
//! The one mapping that an instance lives in: kernel image and RAM.
//!
//! ```text
//! base (random, 4 MiB-aligned)                                              descriptor
//!   headers, text (r-x), constants (r--)    our own file's pages            -
//!   cold data                               nothing, until it is needed      memory
//!   data, its relocated constants (r--)     copied from the image           memory
//!   host page                               private: this process's own     -
//!   guard
//!   RAM                                     fresh, a page when touched      memory
//!   window                                  as RAM, for large pieces        memory
//! ```
//! What is written is one memory file, mapped shared at the same offsets. So another process can map the instance at
//! the same place. What differs between processes is in the host page. A child of fork has all of it: whether the child goes
//! on with its parent's kernel, or gives the memory back, is for the fork to say (`attach::boot`).
//!
//! # Safety
//! The region is reserved at a free place first. What is mapped, protected and advised afterwards lies inside it, and
//! nothing refers to it before the instance runs.
#![allow(unsafe_code)]

use super::image::{self, Layout, Loaded};
use super::self_file::SelfFile;
use crate::sys::{file, memory, process, Errno, PAGE};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The kernel's physical memory starts at a multiple of this.
pub(crate) const RAM_ALIGN: usize = 4 << 20;
/// Where regions may lie: below what the host gives out by itself and clear of what programs place at fixed
/// addresses (Go's arenas, shadow memory of sanitizers).
const PLACES: Range<usize> = 0x2000_0000_0000..0x5000_0000_0000;
const TRIES: usize = 16;

/// `LKL_WINDOW_BYTES`
pub(crate) const WINDOW_BYTES: usize = 64 << 20;

/// See [`copy_text`].
static COPY_TEXT: AtomicBool = AtomicBool::new(false);

/// The next kernel's text is to be anonymous memory: profilers take the names in /tmp/perf-PID.map only for that, and would
/// look for those of a file's pages in the file.
pub fn copy_text() {
    COPY_TEXT.store(true, Ordering::Relaxed);
}

const READ: i32 = libc::PROT_READ;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// An instance's memory.
pub(crate) struct Region {
    base: usize,
    len: usize,
    /// The memory file.
    fd: AtomicI32,
    /// The kernel's RAM.
    pub(crate) ram: Range<usize>,
}

impl Region {
    /// The whole region.
    pub(crate) fn range(&self) -> Range<usize> {
        self.base..self.base + self.len
    }

    /// Maps an instance with `ram_bytes` of RAM (in whole 4 MiB) and relocates it; `host_page` is what its host page
    /// holds.
    pub(crate) fn new<T>(ram_bytes: usize, host_page: T) -> Result<(Region, Loaded), Errno> {
        let layout = image::layout();
        let (ram, len) = parts(&layout, ram_bytes);
        let base = reserve(len)?;
        let region = Region::at(base, len, ram, -1);
        let loaded = region.make_file().and_then(|()| region.fill(&layout, host_page, true));
        region.made(loaded)
    }

    /// Maps an instance that another process has made, or this process before it executed another program. `fd` is its memory
    /// file, which is closed if that fails. EEXIST: something else is at this place. ENOEXEC: another build made it.
    pub(crate) fn attach<T>(
        fd: i32,
        base: usize,
        ram_bytes: usize,
        host_page: T,
    ) -> Result<(Region, Loaded), Errno> {
        let layout = image::layout();
        let (ram, len) = parts(&layout, ram_bytes);
        // SAFETY: the caller's, and nobody else's from here on.
        let file = unsafe { file::OwnedFd::from_raw(fd) };
        if !is_of_this_build(file.raw(), &layout, len) {
            return Err(Errno::ENOEXEC);
        }
        memory::reserve_at(base, len)?;
        let region = Region::at(base, len, ram, file.into_raw());
        let loaded = region.fill(&layout, host_page, false);
        region.made(loaded)
    }

    fn at(base: usize, len: usize, ram: Range<usize>, fd: i32) -> Region {
        Region { base, len, fd: AtomicI32::new(fd), ram: base + ram.start..base + ram.end }
    }

    fn made(self, loaded: Result<Loaded, Errno>) -> Result<(Region, Loaded), Errno> {
        match loaded {
            Ok(loaded) => Ok((self, loaded)),
            Err(e) => {
                self.unmap();
                Err(e)
            }
        }
    }

    fn make_file(&self) -> Result<(), Errno> {
        // The program's file size limit holds for a memory file, too, and not for shared memory without a descriptor.
        if process::file_size_limit() >= self.len as u64 {
            let file = file::memory_file(c"stowaway", self.len)?;
            self.fd.store(file.into_raw(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Before other processes map the region: says in the memory file which build made it. (Nothing of the file is mapped where
    /// the constants are.)
    pub(crate) fn say_build(&self) -> Result<(), Errno> {
        file::write_at(self.fd(), &image::bytes()[image::layout().head], 0).map(drop)
    }

    /// Where in the memory file a text may lie that one process leaves to others: behind the image's head.
    pub(crate) fn unsaid_at(&self) -> u64 {
        image::layout().head.end.next_multiple_of(PAGE) as u64
    }

    /// Where in the memory file the states of connections to servers may lie: behind that.
    pub(crate) fn states_at(&self) -> u64 {
        self.unsaid_at() + PAGE as u64
    }

    fn fill<T>(&self, layout: &Layout, host_page: T, is_new: bool) -> Result<Loaded, Errno> {
        let page = layout.data.end.next_multiple_of(PAGE);
        self.map_constants(layout)?;
        self.map_shared(layout.cold.start..page)?;
        self.map_shared(self.ram.start - self.base..self.len)?;
        if is_new {
            // SAFETY: just mapped, writable.
            unsafe { image::copy(self.base, layout.data.start..layout.filled) };
        }
        // SAFETY: the image is there. If it is new, its data has just been copied; the relocated constants are not written
        // again.
        let loaded = unsafe {
            let loaded = image::link(self.base, layout, is_new)?;
            memory::protect(loaded.relro.start, loaded.relro.len(), READ)?;
            loaded
        };
        self.write_host_page(page, host_page)?;
        // Pages of 2 MiB would take memory that is never used.
        // SAFETY: the advice empties nothing.
        let _ = unsafe { memory::advise(self.base, self.len, libc::MADV_NOHUGEPAGE) };
        Ok(loaded)
    }

    /// Headers, text and constants: our own file's, or copies of them.
    fn map_constants(&self, layout: &Layout) -> Result<(), Errno> {
        let len = layout.cold.start;
        if !self.map_own_file(layout) {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            map(self.base, len, READ_WRITE, flags, -1, 0)?;
            // SAFETY: just mapped; from here on constant.
            unsafe {
                image::copy(self.base, 0..len);
                memory::protect(self.base, len, READ)?;
            }
        }
        let text = layout.text.len().next_multiple_of(PAGE);
        // SAFETY: the image's code, which is constant.
        unsafe { memory::protect(self.base + layout.text.start, text, READ | libc::PROT_EXEC) }
    }

    /// Maps this library's own file. False: the file is gone, or is not the one that this library was loaded from.
    fn map_own_file(&self, layout: &Layout) -> bool {
        if COPY_TEXT.load(Ordering::Relaxed) {
            return false;
        }
        let ours = image::bytes();
        let Some(file) = SelfFile::find(ours.as_ptr() as usize, ours.len()) else { return false };
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        if map(self.base, layout.cold.start, READ, flags, file.fd.raw(), file.offset).is_err() {
            return false;
        }
        // SAFETY: just mapped, and the file is long enough.
        let head = unsafe { std::slice::from_raw_parts(self.base as *const u8, layout.head.len()) };
        head == &ours[layout.head.clone()]
    }

    /// Maps a part of the memory file, or memory in its place.
    fn map_shared(&self, part: Range<usize>) -> Result<(), Errno> {
        let fd = self.fd();
        let anonymous = if fd < 0 { libc::MAP_ANONYMOUS } else { 0 };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | anonymous;
        map(self.base + part.start, part.len(), READ_WRITE, flags, fd, part.start)
    }

    fn write_host_page<T>(&self, offset: usize, contents: T) -> Result<(), Errno> {
        const { assert!(size_of::<T>() <= PAGE) };
        let at = self.base + offset;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        map(at, PAGE, READ_WRITE, flags, -1, 0)?;
        // SAFETY: a fresh page of ours, constant once it is written.
        unsafe {
            (at as *mut T).write(contents);
            memory::protect(at, PAGE, READ)
        }
    }

    /// Where the image begins.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Where the host page is, which is this process's own.
    pub(crate) fn host_page(&self) -> usize {
        self.base + image::layout().data.end.next_multiple_of(PAGE)
    }

    /// The memory file's descriptor; -1: there is no such file.
    pub(crate) fn fd(&self) -> i32 {
        self.fd.load(Ordering::Relaxed)
    }

    /// Gives the memory file's descriptor another number, and closes the old one.
    pub(crate) fn move_fd(&self, to: i32) {
        close(self.fd.swap(to, Ordering::Relaxed));
    }

    /// Unmaps the region, and closes the memory file.
    pub(crate) fn unmap(&self) {
        // SAFETY: the instance has ended: nothing refers to its memory.
        unsafe { memory::unmap(self.base, self.len) };
        close(self.fd.swap(-1, Ordering::Relaxed));
    }
}

/// Where the RAM lies, from the base on, and how long the region is.
fn parts(layout: &Layout, ram_bytes: usize) -> (Range<usize>, usize) {
    let page = layout.data.end.next_multiple_of(PAGE);
    // at least one page of nothing behind the host page
    let ram = (page + 2 * PAGE).next_multiple_of(RAM_ALIGN);
    let ram_end = ram + (ram_bytes & !(RAM_ALIGN - 1));
    (ram..ram_end, ram_end + WINDOW_BYTES)
}

/// Whether the memory file was made by the same build of this library, for a region of `len` bytes.
fn is_of_this_build(fd: i32, layout: &Layout, len: usize) -> bool {
    let ours = &image::bytes()[layout.head.clone()];
    let mut theirs = vec![0; ours.len()];
    file::stat_fd(fd).is_ok_and(|st| st.st_size as usize == len)
        && file::read_at(fd, &mut theirs, 0) == Ok(ours.len())
        && theirs == ours
}

fn close(fd: i32) {
    if fd >= 0 {
        file::close(fd);
    }
}

/// Address space at a place that nobody can guess, or (where something has all such places: ThreadSanitizer) at one that the
/// host chooses.
fn reserve(len: usize) -> Result<usize, Errno> {
    let places = (PLACES.end - PLACES.start) / RAM_ALIGN;
    for _ in 0..TRIES {
        let at = PLACES.start + process::random_u64()? as usize % places * RAM_ALIGN;
        match memory::reserve_at(at, len) {
            Ok(()) => return Ok(at),
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(e),
        }
    }
    memory::reserve_anywhere(len, RAM_ALIGN)
}

/// Maps a part of a region.
fn map(at: usize, len: usize, prot: i32, flags: i32, fd: i32, offset: usize) -> Result<(), Errno> {
    // SAFETY: callers in this file replace what they have reserved, which nothing refers to yet.
    unsafe { memory::map(at, len, prot, flags, fd, offset) }.map(drop)
}
