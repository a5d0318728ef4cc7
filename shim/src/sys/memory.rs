// SPDX-License-Identifier: GPL-2.0-only
//! Memory and its copying, of our own.
//!
//! The C library's allocator and its copies are the application's: the one may be what a caught call came out of
//! (malloc maps memory with its lock held) and needs the FS base to be its own; the others use AVX registers, which
//! the entry does not save (see the trampoline's `Vectors::Sse`). So the library has both itself: a well-kept allocator
//! over the gate, and plain copies under C's names, hidden, which the linker takes for whatever the compiler makes of
//! Rust.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

use dlmalloc::{Allocator, Dlmalloc};

use crate::sys::mem::{self, PAGE};
use crate::sys::{host, thread};

/// Where the allocator gets its memory.
struct Host;

// SAFETY: fresh mappings, given back whole; nothing is moved.
unsafe impl Allocator for Host {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        mem::map(size).map_or((core::ptr::null_mut(), 0, 0), |address| (address as *mut u8, size, 0))
    }
    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        core::ptr::null_mut()
    }
    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }
    fn free(&self, ptr: *mut u8, size: usize) -> bool {
        // SAFETY: the allocator gives back what `alloc` made.
        unsafe { mem::unmap(ptr as usize, size) };
        true
    }
    fn can_release_part(&self, _: u32) -> bool {
        false
    }
    fn allocates_zeros(&self) -> bool {
        true
    }
    fn page_size(&self) -> usize {
        PAGE
    }
}

/// The allocator of everything in this library. Most of what is allocated is so by the constructor; a handler of the
/// application may all the same interrupt an allocation and come to another one on the same thread. That one, which
/// cannot wait, gets a spare block.
struct Own {
    /// Who is inside: 0 nobody, else an address that tells threads apart.
    owner: AtomicUsize,
    heap: UnsafeCell<Dlmalloc<Host>>,
}

// SAFETY: `owner` lets one thread at a time reach the heap.
unsafe impl Sync for Own {}

#[global_allocator]
static OWN: Own =
    Own { owner: AtomicUsize::new(0), heap: UnsafeCell::new(Dlmalloc::new_with_allocator(Host)) };

impl Own {
    /// None: the calling thread is inside already.
    fn with<R>(&self, work: impl FnOnce(&mut Dlmalloc<Host>) -> R) -> Option<R> {
        let me = this_thread();
        loop {
            match self.owner.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(owner) if owner == me => return None,
                // Another one is inside for some hundred instructions, or was preempted there.
                Err(_) => host::yield_processor(),
            }
        }
        // SAFETY: inside, alone.
        let result = work(unsafe { &mut *self.heap.get() });
        self.owner.store(0, Ordering::Release);
        Some(result)
    }
}

/// Not 0, and different for each thread that is alive.
fn this_thread() -> usize {
    core::ptr::from_ref(thread::words()) as usize
}

/// In the only thread of a fork's child: whoever was inside is not here. What it was doing is lost to the heap's
/// order, so the heap starts anew; what was allocated stays where it is.
pub fn reset_in_child() {
    let owner = OWN.owner.load(Ordering::Relaxed);
    if owner != 0 && owner != this_thread() {
        // SAFETY: the only thread.
        unsafe { *OWN.heap.get() = Dlmalloc::new_with_allocator(Host) };
        OWN.owner.store(0, Ordering::Relaxed);
    }
}

/// Room for those who cannot wait, taken when first needed; its blocks are not given back.
const SPARE: usize = 16 << 20;
static SPARE_START: AtomicUsize = AtomicUsize::new(0);
static SPARE_USED: AtomicUsize = AtomicUsize::new(0);

fn spare(layout: Layout) -> *mut u8 {
    let mut start = SPARE_START.load(Ordering::Acquire);
    if start == 0 {
        let Ok(fresh) = mem::map(SPARE) else { return core::ptr::null_mut() };
        start = fresh;
        if let Err(other) = SPARE_START.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: fresh, and nobody has seen it.
            unsafe { mem::unmap(start, SPARE) };
            start = other;
        }
    }
    let room = layout.size() + layout.align();
    let at = SPARE_USED.fetch_add(room, Ordering::Relaxed);
    if at + room > SPARE {
        return core::ptr::null_mut();
    }
    (start + at).next_multiple_of(layout.align()) as *mut u8
}

fn is_spare(block: *mut u8) -> bool {
    let start = SPARE_START.load(Ordering::Acquire);
    start != 0 && (start..start + SPARE).contains(&(block as usize))
}

// SAFETY: blocks of the layout asked for.
unsafe impl GlobalAlloc for Own {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout.
        let from_heap = self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) });
        from_heap.unwrap_or_else(|| spare(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_spare(block) {
            // SAFETY: a block of the heap, with its layout. While the heap is in use by this thread it is lost.
            self.with(|heap| unsafe { heap.free(block, layout.size(), layout.align()) });
        }
    }
}

global_asm!(include_str!("asm/memory.S"));

#[cfg(test)]
mod tests {
    use core::alloc::{GlobalAlloc, Layout};

    extern "C" {
        fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8;
        fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8;
        fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32;
        fn strlen(text: *const u8) -> usize;
    }

    fn pattern() -> [u8; 512] {
        core::array::from_fn(|i| (i * 7 + i / 256) as u8)
    }

    #[test]
    fn every_short_copy_at_every_distance() {
        for n in 0..130 {
            for from in [0, 1, 7, 64, 100] {
                for to in (0..200).step_by(3).chain([from]) {
                    let (mut bytes, before) = (pattern(), pattern());
                    // SAFETY: within the array.
                    unsafe { memmove(bytes.as_mut_ptr().add(to), bytes.as_ptr().add(from), n) };
                    for (i, &byte) in bytes.iter().enumerate() {
                        let expected =
                            if (to..to + n).contains(&i) { before[from + i - to] } else { before[i] };
                        assert_eq!(byte, expected, "{n} bytes from {from} to {to}, at {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn filled_compared_measured() {
        for n in 0..70 {
            let (mut a, b) = (pattern(), pattern());
            // SAFETY: within the arrays.
            unsafe {
                assert_eq!(memcmp(a.as_ptr(), b.as_ptr(), n), 0);
                if n > 0 {
                    a[n - 1] = b[n - 1].wrapping_add(1);
                    let signs = (memcmp(a.as_ptr(), b.as_ptr(), n), memcmp(b.as_ptr(), a.as_ptr(), n));
                    let expected = a[n - 1].cmp(&b[n - 1]) as i32;
                    assert_eq!((signs.0.signum(), signs.1.signum()), (expected, -expected), "{n}");
                }
                memset(a.as_mut_ptr().add(3), 0x1ff, n);
                assert!(
                    a[3..3 + n].iter().all(|&byte| byte == 0xff) && a[3 + n] == b[3 + n] && a[1] == b[1]
                        || n < 3
                );
                a[3..3 + n].fill(b'x');
                a[3 + n] = 0;
                assert_eq!(strlen(a.as_ptr().add(3)), n);
            }
        }
    }

    #[test]
    fn whoever_cannot_wait_gets_a_spare_block() {
        let layout = Layout::from_size_align(100, 32).unwrap();
        let own = &super::OWN;
        // SAFETY: a layout of some size; the blocks are given back with it.
        let (inner, outer) = unsafe {
            let inner = own.with(|_| own.alloc(layout)).unwrap();
            own.dealloc(inner, layout);
            (inner, own.alloc(layout))
        };
        assert!(super::is_spare(inner) && !super::is_spare(outer) && inner as usize % 32 == 0);
        // SAFETY: as above.
        unsafe { own.dealloc(outer, layout) };
    }
}
