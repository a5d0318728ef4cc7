// SPDX-License-Identifier: GPL-2.0-only
//! Writing into code that is being executed.
//!
//! Through /proc/self/mem, which writes to private memory whatever its protection (the kernel's FOLL_FORCE: a page of
//! a file becomes a copy of ours): no protection is ever changed, so none has to be restored, and no page is writable
//! and executable for a moment. Where a hardened kernel refuses, protections are changed, but only while no other thread
//! exists.
//!
//! # Safety
//! Whoever writes answers for the place: private code, and nobody inside the bytes that change (see [`replace`]).
#![allow(unsafe_code)]

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::abi::PAGE;
use crate::host::{self, File};
use crate::rewrite::address_set::Addresses;

/// `hlt`: one byte, and a fault in user mode (SIGSEGV) that nothing else on the way of a call gives.
pub const TRAP: u8 = 0xf4;

const MEMBARRIER_SYNC_CORE: usize = libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as usize;
const MEMBARRIER_REGISTER: usize = libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as usize;

/// The process's memory as a file. Opened for each batch of writes and closed after it: a number that is ours would be
/// in the application's way.
#[derive(Debug)]
pub struct Memory {
    file: Option<File>,
    alone: bool,
}

impl Memory {
    /// Opens it. `alone`: no other thread exists, so that protections may be changed where there is no other way.
    pub fn open(alone: bool) -> Self {
        Memory { file: File::open(c"/proc/self/mem", libc::O_RDWR, 0), alone }
    }

    /// Writes `bytes` into code at `address`. One byte is written as one store. Whether all of them were.
    ///
    /// # Safety
    /// The bytes at `address` are in private memory, readable and executable, and the caller's to change: whoever runs
    /// them meanwhile bears every state that they pass through.
    pub unsafe fn write(&self, address: u64, bytes: &[u8]) -> bool {
        // SAFETY: the caller's word; `alone` means that nobody executes the page.
        unsafe { self.force(address, bytes) || (self.alone && write_unprotected(address, bytes)) }
    }

    /// Writes `bytes` into code at `address`, but never changes a protection. Whether all of them were written.
    ///
    /// # Safety
    /// As [`Memory::write`].
    unsafe fn force(&self, address: u64, bytes: &[u8]) -> bool {
        // SAFETY: the caller's word.
        self.file.as_ref().is_some_and(|file| unsafe { file.write_at(bytes, address) })
    }
}

/// When all cores of the process have dropped what they fetched before: a thread that runs our code or the
/// application's from here on executes what stands in memory (membarrier(2), SYNC_CORE). False where the kernel cannot.
pub fn barrier() -> bool {
    let call = host::membarrier;
    // The registration is the address space's: a child of fork may have to do it again.
    call(MEMBARRIER_SYNC_CORE) || (call(MEMBARRIER_REGISTER) && call(MEMBARRIER_SYNC_CORE))
}

/// How a site is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Other threads may run the site meanwhile: only for one instruction, which nobody can stand inside of.
    Live,
    /// Nobody else runs the site.
    Exclusive,
}

/// Turns the five bytes at `address` from `old` into `new`, each of which is one instruction, or the start of one.
/// False if nothing was changed.
///
/// # Safety
/// As [`Memory::write`]. Nothing jumps between the five bytes, and with [`WriteMode::Exclusive`] nobody runs them.
pub unsafe fn replace(memory: &Memory, address: u64, old: [u8; 5], new: [u8; 5], mode: WriteMode) -> bool {
    // SAFETY: the caller's word.
    unsafe {
        match mode {
            WriteMode::Live => replace_live(memory, address, old, new, &Protocol::default()),
            WriteMode::Exclusive => {
                memory.write(address, &new) || {
                    // A part of it may be there: of two pages, the second one could not be had.
                    memory.write(address, &old);
                    false
                }
            }
        }
    }
}

/// To be called after writes with [`WriteMode::Exclusive`], before what was written may run. One thread has to keep the
/// rule, too: what it fetched before must not be what it runs (Intel SDM vol. 3, "Handling Self- and Cross-Modifying Code").
pub fn settle() {
    if !barrier() {
        // cpuid serialises, and does nothing else.
        core::arch::x86_64::__cpuid(0);
    }
}

/// Parts of the protocol that a test leaves out, to see that it notices.
#[derive(Debug, Clone, Copy)]
#[doc(hidden)]
pub struct Protocol {
    pub trap: bool,
    pub barriers: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Protocol { trap: true, barriers: true }
    }
}

/// Does what [`replace`] does with [`WriteMode::Live`]. The instruction at `address` may straddle a word, a cache line or a page: only the store of its
/// first byte has to be atomic, which that of any byte is.
///
/// # Safety
/// As [`replace`] with [`WriteMode::Live`].
#[doc(hidden)]
pub unsafe fn replace_live(
    memory: &Memory,
    address: u64,
    old: [u8; 5],
    new: [u8; 5],
    protocol: &Protocol,
) -> bool {
    // SAFETY: the caller's word.
    let force = |address: u64, bytes: &[u8]| unsafe { memory.force(address, bytes) };
    if !protocol.trap {
        return force(address, &new);
    }
    let synchronise = || !protocol.barriers || barrier();
    // Nothing is begun that could not be finished. And from here on all cores see the stub, which was written before.
    if !synchronise() || !TRAPS.insert(address as usize) {
        return false;
    }
    // 1. [TRAP old old old old]. A core fetches the first byte as it was, and then all of the old instruction, for no
    //    other byte has changed; or it fetches the trap, faults, and the fault's handler sends it back here (`is_trap`).
    if !force(address, &[TRAP]) {
        return false;
    }
    // Until here a core may still run an old first byte that it fetched earlier, and would take the new rest for its
    // operand. Afterwards none does: whoever comes here runs into the trap.
    synchronise();
    // 2. [TRAP new new new new], in any order and in as many stores as it takes: these bytes are behind a trap, and
    //    nothing leads between them.
    let rest = force(address + 1, &new[1..]);
    if !rest {
        // Of two pages, the second could not be had: what was written to the first is taken back.
        force(address + 1, &old[1..]);
    }
    // Afterwards no core holds an old rest that it could put behind the new first byte.
    synchronise();
    // 3. [new new new new new]. A core fetches the trap, and comes back, or the first byte of the new instruction and
    //    then all of it. Had step 2 failed, the old first byte goes back in front of the old rest.
    force(address, &[if rest { new[0] } else { old[0] }]);
    // A core that held on to the trap would only come back once more, but the caller may want to change it again.
    synchronise();
    rest
}

/// Whether the thread that got SIGSEGV at `ip` met a site while it was being written: then it has to do nothing but
/// go on where it is. To be asked in the handler of SIGSEGV; the fault is not the application's.
///
/// Still true when the site is complete: the signal may have been on its way for long.
pub fn is_trap(ip: usize) -> bool {
    let known = TRAPS.contains(ip);
    if known {
        MET.fetch_add(1, Ordering::Relaxed);
    }
    known
}

/// How often [`is_trap`] was.
pub fn traps_met() -> usize {
    MET.load(Ordering::Relaxed)
}

static MET: AtomicUsize = AtomicUsize::new(0);
static TRAPS: Addresses<{ 1 << 15 }> = Addresses::new();

/// Forgets traps at addresses that are something else now.
pub fn forget(range: Range<u64>) {
    TRAPS.remove(range);
}

/// For kernels that do not let /proc/self/mem write: the page becomes writable (and, for that moment, not executable),
/// while no other thread exists. Only for pages that are readable and executable, which is what they become again.
///
/// # Safety
/// As [`Memory::write`], and nobody executes the page now.
unsafe fn write_unprotected(address: u64, bytes: &[u8]) -> bool {
    let start = address as usize & !(PAGE - 1);
    let len = (address as usize + bytes.len()).next_multiple_of(PAGE) - start;
    // SAFETY: pages of a mapping that the caller found to be private, readable and executable.
    if !unsafe { host::protect(start, len, libc::PROT_READ | libc::PROT_WRITE) } {
        return false;
    }
    for (offset, &byte) in bytes.iter().enumerate() {
        // SAFETY: just made writable. Volatile: a call of memcpy might be to the very page.
        unsafe { (address as *mut u8).add(offset).write_volatile(byte) };
    }
    // SAFETY: the same pages as above.
    unsafe { host::protect(start, len, libc::PROT_READ | libc::PROT_EXEC) }
}
