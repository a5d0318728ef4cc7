// SPDX-License-Identifier: GPL-2.0-only
//! Makes the process look as if the host had executed the program, as far as it lets anybody.

#![allow(unsafe_code)]

use core::ffi::CStr;

use crate::loader::map::Mapped;
use crate::loader::stack::Initial;
use crate::sys::errno::Errno;
use crate::sys::mem::PAGE;
use crate::sys::scratch::PATH_MAX;
use crate::sys::{fs, host};

/// arch_prctl(2), asm/prctl.h.
const ARCH_SET_FS: usize = 0x1002;
/// RSEQ_SIG of x86-64, which glibc registers with, and the flag to take it back (linux/rseq.h).
const RSEQ_SIGNATURE: usize = 0x5305_3053;
const RSEQ_FLAG_UNREGISTER: usize = 1;

/// Everything that is left to be done. Our libc must not be used any more.
pub fn make_like_new(stack: &Initial, image: &Mapped, environment: (usize, usize), executable_stack: bool) {
    if executable_stack {
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC | libc::PROT_GROWSDOWN;
        let start = stack.address() & !(PAGE - 1);
        let len = (environment.1 - start).next_multiple_of(PAGE);
        // SAFETY: the stack, whose protection the program asks for.
        let _ = unsafe { host::call(libc::SYS_mprotect, &[start, len, all as usize]) };
    }
    tell_host(stack, image, environment);
    forget_libc();
}

/// `struct prctl_mm_map` (linux/prctl.h).
#[repr(C)]
#[derive(Default)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// What /proc/self/{cmdline,environ,auxv,stat} and debuggers are told. Hosts without CONFIG_CHECKPOINT_RESTORE
/// refuse; then they see the environment and the auxiliary vector that the library was executed with.
fn tell_host(stack: &Initial, image: &Mapped, environment: (usize, usize)) {
    // SAFETY: asks for the end.
    let end_of_heap = unsafe { host::call(libc::SYS_brk, &[0]) }.unwrap_or(0) as u64;
    let (arg_start, arg_end) = stack.argument_strings();
    let (auxv, words) = stack.auxiliary_vector();
    // A program without data, or without code, has no such range.
    let ordered = |(start, end): (usize, usize)| match start < end {
        true => (start as u64, end as u64),
        false => (image.entry as u64, image.entry as u64 + 1),
    };
    let ((start_code, end_code), (start_data, end_data)) = (ordered(image.code), ordered(image.data));
    let map = MemoryMap {
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk: end_of_heap,
        brk: end_of_heap,
        start_stack: stack.address() as u64,
        arg_start: arg_start as u64,
        arg_end: arg_end as u64,
        env_start: environment.0 as u64,
        env_end: environment.1 as u64,
        auxv: auxv as u64,
        auxv_size: (words * size_of::<usize>()) as u32,
        exe_fd: u32::MAX,
    };
    let option = libc::PR_SET_MM as usize;
    let what = libc::PR_SET_MM_MAP as usize;
    // SAFETY: says where things are; the host uses that for /proc and for brk(2).
    let _ = unsafe {
        host::call(libc::SYS_prctl, &[option, what, &raw const map as usize, size_of::<MemoryMap>(), 0])
    };
}

/// Takes back what our libc left with the host for this thread: the program's will do the same anew.
fn forget_libc() {
    if let Some((address, size)) = registered_rseq() {
        // The size is the one it was registered with, which only newer versions tell: the least is 32.
        for size in [size, 32] {
            let args = [address, size, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE];
            // SAFETY: takes back what our libc registered, which is not used any more.
            if unsafe { host::call(libc::SYS_rseq, &args) } != Err(Errno::EINVAL) {
                break;
            }
        }
    }
    // SAFETY: our libc is not used any more.
    unsafe {
        // struct robust_list_head: three words.
        let _ = host::call(libc::SYS_set_robust_list, &[0, 3 * size_of::<usize>()]);
        let _ = host::call(libc::SYS_set_tid_address, &[0]);
        let _ = host::call(libc::SYS_arch_prctl, &[ARCH_SET_FS, 0]);
    }
}

/// Where glibc registered its restartable sequences, and how long (2.35 and later).
fn registered_rseq() -> Option<(usize, usize)> {
    // SAFETY: dlsym takes strings; glibc's symbols are a ptrdiff_t and an unsigned int.
    unsafe {
        let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()) as *const isize;
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()) as *const u32;
        if offset.is_null() || size.is_null() || *size == 0 {
            return None;
        }
        let thread: usize;
        core::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) thread, options(pure, readonly, nostack));
        Some((thread.wrapping_add_signed(*offset), *size as usize))
    }
}

/// The name that `ps` shows (fs/exec.c, begin_new_exec): that of the path, or of the file where a descriptor was
/// executed.
pub fn set_name(execfn: &CStr, fd: i32) {
    let mut text = [0u8; PATH_MAX];
    let by_descriptor = execfn.to_bytes().strip_prefix(b"/dev/fd/").filter(|rest| !rest.contains(&b'/'));
    let path: &[u8] = match by_descriptor {
        None => execfn.to_bytes(),
        Some(_) => {
            let n = fs::read_fd_link(fd, &mut text).unwrap_or(0);
            text[..n].strip_suffix(b" (deleted)").unwrap_or(&text[..n])
        }
    };
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    let mut short = [0u8; 16];
    let len = name.len().min(15);
    short[..len].copy_from_slice(&name[..len]);
    host::set_thread_name(&short);
}
