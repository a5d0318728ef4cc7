// SPDX-License-Identifier: GPL-2.0-only
//! What stands for libc where the library was executed, and there is none: each function that the library, or Rust's library in it,
//! has of libc. A function without a row ends each program at its start, so no test passes then.
//!
//! What only a panic's backtrace wants, and the names of other objects, are not there: such a function says so by its result.
//!
//! Rules of the place: no thread-local data (FS is the program's soon), no allocation but where libc's function allocates.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_long, c_void, CStr};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use trampoline::gate::RAW;

use crate::loader::process::ARCH_SET_FS;
use crate::loader::relocate::thread_pointer;
use crate::loader::stack::Initial;
use crate::loader::vdso;

/// libc's variable.
static ENVIRON: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());
/// Bytes of thread-local data below the thread pointer.
static TLS_LEN: AtomicUsize = AtomicUsize::new(0);
/// The vDSO's clock_gettime(); 0: there is none.
static CLOCK: AtomicUsize = AtomicUsize::new(0);

struct Errno(UnsafeCell<c_int>);
// SAFETY: as libc's errno, but for all threads: nobody here looks at one that another call than the last has set.
unsafe impl Sync for Errno {}
static ERRNO: Errno = Errno(UnsafeCell::new(0));

/// Where a function or variable of libc is; 0: whoever wants it does without. None: this file does not know the name.
pub fn find(name: &[u8]) -> Option<usize> {
    macro_rules! rows {
        ($($name:ident)*) => {
            match name {
                $(n if n == stringify!($name).as_bytes() => $name as *const () as usize,)*
                b"environ" => ENVIRON.as_ptr() as usize,
                b"mmap64" => no_memory as *const () as usize,
                b"getcwd" | b"realpath" | b"dlopen" | b"dlsym" => no_pointer as *const () as usize,
                b"dl_iterate_phdr" | b"dladdr" => zero as *const () as usize,
                b"__cxa_finalize" | b"__cxa_thread_atexit_impl" => zero as *const () as usize,
                b"munmap" | b"pthread_key_delete" | b"pthread_setspecific" => zero as *const () as usize,
                b"pthread_setcancelstate" | b"pthread_testcancel" => zero as *const () as usize,
                b"pthread_getcpuclockid" | b"__xpg_strerror_r" => not_here as *const () as usize,
                b"__rseq_offset" => 0,
                _ => return None,
            }
        };
    }
    Some(rows! {
        __errno_location __libc_current_sigrtmax __tls_get_addr abort clock_gettime free getenv gettid malloc posix_memalign
        pthread_key_create pthread_self realloc syscall
    })
}

/// Takes up what the kernel left on the stack, and gives the first thread its data.
///
/// # Safety
/// `sp` is the initial stack pointer, and the stack is as the kernel left it. Called once.
pub unsafe fn begin(sp: *mut usize, tls_len: usize) {
    TLS_LEN.store(tls_len, Ordering::Relaxed);
    // SAFETY: the caller's promise; and the kernel says where the vDSO lies.
    unsafe {
        let stack = Initial::read(sp);
        ENVIRON.store(stack.envp() as *mut _, Ordering::Relaxed);
        if let base @ 1.. = stack.get(libc::AT_SYSINFO_EHDR) {
            CLOCK.store(vdso::find(base, c"__vdso_clock_gettime").unwrap_or(0), Ordering::Relaxed);
        }
        // The x86-64 ABI has the address of the thread's control block in its first word.
        (thread_pointer() as *mut usize).write(thread_pointer());
        RAW(libc::SYS_arch_prctl, ARCH_SET_FS, thread_pointer(), 0, 0, 0, 0);
    }
}

/// What was relocated is constant from here on. Whole pages, as a dynamic loader has it.
///
/// # Safety
/// Nobody writes there any more.
pub unsafe fn make_constant(start: usize, len: usize) {
    const PAGE: usize = crate::sys::mem::PAGE;
    let (start, end) = (start & !(PAGE - 1), (start + len) & !(PAGE - 1));
    // SAFETY: the caller's promise.
    unsafe { RAW(libc::SYS_mprotect, start, end - start, libc::PROT_READ as usize, 0, 0, 0) };
}

/// The library was built with something that this file does not know: ends the process.
pub fn give_up(what: &[u8], name: &[u8]) -> ! {
    for part in [b"stowaway: ", what, name, b"\n"] {
        // SAFETY: bytes of ours.
        unsafe { RAW(libc::SYS_write, 2, part.as_ptr() as usize, part.len(), 0, 0, 0) };
    }
    abort()
}

extern "C" fn zero() -> usize {
    0
}

extern "C" fn no_pointer() -> *mut c_void {
    core::ptr::null_mut()
}

extern "C" fn no_memory() -> *mut c_void {
    libc::MAP_FAILED
}

extern "C" fn not_here() -> c_int {
    libc::ENOSYS
}

extern "C" fn __errno_location() -> *mut c_int {
    ERRNO.0.get()
}

extern "C" fn __libc_current_sigrtmax() -> c_int {
    64
}

/// Thread-local data of the library, by module and offset: always the first thread's. FS is the program's, and no thread but the
/// first one runs anything that has such data.
extern "C" fn __tls_get_addr(place: *const [usize; 2]) -> usize {
    // SAFETY: two words of the caller's.
    let [_, offset] = unsafe { *place };
    thread_pointer() - TLS_LEN.load(Ordering::Relaxed) + offset
}

extern "C" fn abort() -> ! {
    // SAFETY: ends the process: by the signal, or if that is blocked or ignored, without.
    unsafe {
        let (pid, tid) = (RAW(libc::SYS_getpid, 0, 0, 0, 0, 0, 0), RAW(libc::SYS_gettid, 0, 0, 0, 0, 0, 0));
        RAW(libc::SYS_tgkill, pid as usize, tid as usize, libc::SIGABRT as usize, 0, 0, 0);
        loop {
            RAW(libc::SYS_exit_group, 128 + libc::SIGABRT as usize, 0, 0, 0, 0, 0);
        }
    }
}

/// -1 and errno, as functions of libc have it.
fn result(r: isize) -> c_long {
    if (-4095..0).contains(&r) {
        // SAFETY: a word that nobody refers to.
        unsafe { ERRNO.0.get().write(-r as c_int) };
        return -1;
    }
    r as c_long
}

extern "C" fn syscall(nr: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    // SAFETY: what the caller asks for.
    result(unsafe { RAW(nr, a, b, c, d, e, f) })
}

extern "C" fn clock_gettime(clock: c_int, to: *mut libc::timespec) -> c_int {
    let function = CLOCK.load(Ordering::Relaxed);
    // SAFETY: the vDSO's function, or the call; both fill what the caller gives.
    let r = unsafe {
        match function {
            0 => RAW(libc::SYS_clock_gettime, clock as usize, to as usize, 0, 0, 0, 0) as c_int,
            address => {
                let ask: extern "C" fn(c_int, *mut libc::timespec) -> c_int = core::mem::transmute(address);
                ask(clock, to)
            }
        }
    };
    result(r as isize) as c_int
}

extern "C" fn gettid() -> c_int {
    // SAFETY: asks for a number.
    unsafe { RAW(libc::SYS_gettid, 0, 0, 0, 0, 0, 0) as c_int }
}

/// # Safety
/// A C string; nobody changes the environment meanwhile.
unsafe extern "C" fn getenv(name: *const c_char) -> *const c_char {
    // SAFETY: the caller's promise; a null ends the row of variables.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes();
        let mut variable = ENVIRON.load(Ordering::Relaxed).cast_const();
        while !variable.is_null() && !(*variable).is_null() {
            let rest = CStr::from_ptr(*variable).to_bytes().strip_prefix(name);
            if rest.is_some_and(|rest| rest.first() == Some(&b'=')) {
                return (*variable).add(name.len() + 1);
            }
            variable = variable.add(1);
        }
    }
    core::ptr::null()
}

extern "C" fn pthread_self() -> usize {
    thread_pointer()
}

/// Values by key are for the ends of threads, of which none ends by libc.
unsafe extern "C" fn pthread_key_create(key: *mut u32) -> c_int {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    // SAFETY: the caller's word.
    unsafe { key.write(NEXT.fetch_add(1, Ordering::Relaxed) as u32) };
    0
}

/// Before each block of malloc() and its kin stand its address as the allocator has it, and its size there.
#[derive(Clone, Copy)]
struct Block {
    start: usize,
    size: usize,
}

const HEADER: usize = size_of::<Block>();

fn layout(size: usize) -> Layout {
    // SAFETY: a power of two; whoever asks for too much gets nothing, see `allocate`.
    unsafe { Layout::from_size_align_unchecked(size, HEADER) }
}

fn allocate(align: usize, size: usize) -> *mut c_void {
    let Some(whole) = size.checked_add(HEADER + align).filter(|&whole| whole <= isize::MAX as usize / 2)
    else {
        return core::ptr::null_mut();
    };
    // SAFETY: of some size; the header lies within, before an aligned address.
    unsafe {
        let start = std::alloc::alloc(layout(whole)) as usize;
        if start == 0 {
            return core::ptr::null_mut();
        }
        let block = (start + HEADER).next_multiple_of(align);
        ((block - HEADER) as *mut Block).write(Block { start, size: whole });
        block as *mut c_void
    }
}

extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(HEADER, size)
}

unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> c_int {
    let block = allocate(align.max(HEADER), size);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's word.
    unsafe { to.write(block) };
    0
}

/// # Safety
/// A block of ours, or null.
unsafe extern "C" fn free(block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: the header before the block.
        unsafe {
            let Block { start, size } = *((block as usize - HEADER) as *const Block);
            std::alloc::dealloc(start as *mut u8, layout(size));
        }
    }
}

/// # Safety
/// As [`free`].
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let new = malloc(size);
    if !block.is_null() && !new.is_null() {
        // SAFETY: two blocks, of which the smaller size is copied.
        unsafe {
            let Block { start, size: whole } = *((block as usize - HEADER) as *const Block);
            let len = (start + whole - block as usize).min(size);
            core::ptr::copy_nonoverlapping(block.cast::<u8>(), new.cast::<u8>(), len);
            free(block);
        }
    }
    new
}
