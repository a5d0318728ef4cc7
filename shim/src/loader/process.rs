// SPDX-License-Identifier: GPL-2.0-only
//! Makes the process look as if the host had executed the program, as far as it lets anybody.

#![allow(unsafe_code)]

use core::ffi::CStr;

use crate::loader::map::Mapped;
use crate::loader::stack::Initial;
use crate::sys::mem::PAGE;
use crate::sys::scratch::PATH_MAX;
use crate::sys::{fs, host};

/// arch_prctl(2), asm/prctl.h.
pub const ARCH_SET_FS: usize = 0x1002;

/// Everything that is left to be done. Thread-local data must not be used any more.
pub fn make_like_new(stack: &Initial, image: &Mapped, environment: (usize, usize), executable_stack: bool) {
    if executable_stack {
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC | libc::PROT_GROWSDOWN;
        let start = stack.address() & !(PAGE - 1);
        let len = (environment.1 - start).next_multiple_of(PAGE);
        // SAFETY: the stack, whose protection the program asks for.
        let _ = unsafe { host::call(libc::SYS_mprotect, &[start, len, all as usize]) };
    }
    tell_host(stack, image, environment);
    // SAFETY: our thread-local data are not used any more.
    let _ = unsafe { host::call(libc::SYS_arch_prctl, &[ARCH_SET_FS, 0]) };
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
