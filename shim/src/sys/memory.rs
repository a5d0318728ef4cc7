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

use crate::sys::{host, thread};

const PAGE: usize = 4096;

/// Where the allocator gets its memory.
struct Host;

// SAFETY: fresh mappings, given back whole; nothing is moved.
unsafe impl Allocator for Host {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        match host::map(size) {
            r if r < 0 => (core::ptr::null_mut(), 0, 0),
            r => (r as *mut u8, size, 0),
        }
    }
    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        core::ptr::null_mut()
    }
    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }
    fn free(&self, ptr: *mut u8, size: usize) -> bool {
        host::unmap(ptr as usize, size);
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
                Err(_) => {
                    host::call(libc::SYS_sched_yield, &[]);
                }
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
    thread::words() as usize
}

/// In the only thread of a fork's child: whoever was inside is not here. What it was doing is lost to the heap's
/// order, so the heap starts anew; what was allocated stays where it is.
pub fn after_fork() {
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
        let fresh = host::map(SPARE);
        if fresh < 0 {
            return core::ptr::null_mut();
        }
        start = fresh as usize;
        if let Err(other) = SPARE_START.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire) {
            host::unmap(start, SPARE);
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

global_asm!(
    ".pushsection .text.stowaway_memory,\"ax\",@progbits",
    // void *memcpy(void *to /*rdi*/, const void *from /*rsi*/, size_t n /*rdx*/), and memmove.
    ".hidden memcpy",
    ".globl memcpy",
    ".type memcpy,@function",
    ".hidden memmove",
    ".globl memmove",
    ".type memmove,@function",
    "memcpy:",
    "memmove:",
    ".cfi_startproc",
    "mov rax, rdi",
    "cmp rdx, 16",
    "jb 5f",
    "cmp rdx, 32",
    "ja 2f",
    // Both ends are read before anything is written.
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    "2:",
    "mov rcx, rdi",
    "sub rcx, rsi",
    "cmp rcx, rdx",
    "jb 3f", // the target begins inside the source: backwards
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    "3:",
    "movups xmm1, [rsi]", // the head, before it is overwritten
    "4:",
    "movups xmm0, [rsi + rdx - 16]",
    "movups [rdi + rdx - 16], xmm0",
    "sub rdx, 16",
    "cmp rdx, 16",
    "ja 4b",
    "movups [rdi], xmm1",
    "ret",
    "5:",
    "cmp edx, 8",
    "jb 6f",
    "mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "ret",
    "6:",
    "cmp edx, 4",
    "jb 7f",
    "mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "ret",
    "7:",
    "test edx, edx",
    "jz 8f",
    // Up to three bytes: first, middle and last, which may be the same.
    "movzx ecx, byte ptr [rsi]",
    "movzx r8d, byte ptr [rsi + rdx - 1]",
    "mov r10d, edx",
    "shr r10d, 1",
    "movzx r9d, byte ptr [rsi + r10]",
    "mov [rdi], cl",
    "mov [rdi + r10], r9b",
    "mov [rdi + rdx - 1], r8b",
    "8:",
    "ret",
    ".cfi_endproc",
    // void *memset(void *to /*rdi*/, int byte /*esi*/, size_t n /*rdx*/)
    ".hidden memset",
    ".globl memset",
    ".type memset,@function",
    "memset:",
    ".cfi_startproc",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    ".cfi_endproc",
    // int memcmp(const void * /*rdi*/, const void * /*rsi*/, size_t n /*rdx*/), and bcmp.
    ".hidden memcmp",
    ".globl memcmp",
    ".type memcmp,@function",
    ".hidden bcmp",
    ".globl bcmp",
    ".type bcmp,@function",
    "memcmp:",
    "bcmp:",
    ".cfi_startproc",
    "xor ecx, ecx",
    "2:",
    "lea r8, [rcx + 8]",
    "cmp r8, rdx",
    "ja 3f",
    "mov rax, [rdi + rcx]",
    "cmp rax, [rsi + rcx]",
    "jne 3f",
    "mov rcx, r8",
    "jmp 2b",
    "3:",
    "cmp rcx, rdx",
    "jae 4f",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]",
    "inc rcx",
    "sub eax, r8d",
    "jz 3b",
    "ret",
    "4:",
    "xor eax, eax",
    "ret",
    ".cfi_endproc",
    // size_t strlen(const char * /*rdi*/)
    ".hidden strlen",
    ".globl strlen",
    ".type strlen,@function",
    "strlen:",
    ".cfi_startproc",
    "xor eax, eax",
    "2:",
    "cmp byte ptr [rdi + rax], 0",
    "je 3f",
    "inc rax",
    "jmp 2b",
    "3:",
    "ret",
    ".cfi_endproc",
    ".popsection",
);

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
