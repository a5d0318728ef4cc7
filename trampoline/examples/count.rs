// SPDX-License-Identifier: GPL-2.0-only
//! Counts its own system calls, by number and by the way that they came: each site at most once by signal,
//! and from then on by its stub.
//!
//! A program with threads or handlers of its own has more to do: see `clone_onto`, `on_fault` and `Child`.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

use trampoline::frame::EntryKind;
use trampoline::gate::gate;
use trampoline::{install, rewrite_sites, Frame, Vectors};

/// Numbers above are counted with the last.
const NUMBERS: usize = 512;
static BY_SIGNAL: [AtomicUsize; NUMBERS] = [const { AtomicUsize::new(0) }; NUMBERS];
static BY_STUB: [AtomicUsize; NUMBERS] = [const { AtomicUsize::new(0) }; NUMBERS];

unsafe extern "C-unwind" fn handler(frame: &mut Frame) {
    let counts = if frame.entry_kind() == EntryKind::Signal { &BY_SIGNAL } else { &BY_STUB };
    counts[frame.nr.min(NUMBERS - 1)].fetch_add(1, Ordering::Relaxed);
    // SAFETY: the call is the program's own.
    frame.rax = unsafe { gate(frame.nr as i64, &frame.args()) } as usize;
}

unsafe extern "C-unwind" fn foreign(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void, _: usize) {}

extern "C" fn child(_: bool) {}

/// Memory that never came from libc: a call may be caught in the middle of its malloc, and rewriting allocates.
struct Bump;

static NEXT: AtomicUsize = AtomicUsize::new(0);
static mut ARENA: [u128; 4 << 20] = [0; 4 << 20];

// SAFETY: hands out parts of the arena that nobody else has, aligned as asked for.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = &raw mut ARENA as usize;
        let room = layout.size() + layout.align();
        let at = (start + NEXT.fetch_add(room, Ordering::Relaxed)).next_multiple_of(layout.align());
        let fits = at + layout.size() <= start + size_of::<[u128; 4 << 20]>();
        if fits {
            at as *mut u8
        } else {
            core::ptr::null_mut()
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

/// Something that makes calls.
fn work() -> std::io::Result<usize> {
    let mut bytes = 0;
    for _ in 0..100 {
        bytes += std::fs::read("/proc/self/status")?.len() + std::fs::read_dir("/")?.count();
    }
    Ok(bytes)
}

fn main() -> std::io::Result<()> {
    if let Err(unsupported) = install(handler, foreign, child, Vectors::All) {
        return Err(std::io::Error::from_raw_os_error(unsupported.0));
    }
    rewrite_sites(false, None);
    let bytes = work()?;
    let count = |counts: &[AtomicUsize; NUMBERS], number: usize| counts[number].load(Ordering::Relaxed);
    let seen: Vec<[usize; 3]> = (0..NUMBERS)
        .map(|number| [number, count(&BY_SIGNAL, number), count(&BY_STUB, number)])
        .filter(|[_, signal, stub]| signal + stub > 0)
        .collect();
    println!("{bytes} bytes read\nnumber  by signal  by stub");
    for [number, signal, stub] in seen {
        println!("{number:6} {signal:10} {stub:8}");
    }
    Ok(())
}
