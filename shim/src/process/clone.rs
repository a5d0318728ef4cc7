// SPDX-License-Identifier: GPL-2.0-only
//! fork(2), vfork(2), clone(2), clone3(2).
#![allow(unsafe_code)]

use trampoline::Frame;

use crate::process::fork::{fork_here, prepare_spawn};
use crate::process::share;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{from_raw, Errno, Result};
use crate::sys::host::Args;
use crate::sys::{told, user};

const CLONE_VM: usize = libc::CLONE_VM as usize;
const CLONE_THREAD: usize = libc::CLONE_THREAD as usize;
const CLONE_VFORK: usize = libc::CLONE_VFORK as usize;

/// fork(2)
pub fn fork(_: &Call<'_>) -> Result {
    clone_without_stack(&args([libc::SIGCHLD as usize]))
}

/// vfork(2). The child gets a copy of the memory: it would otherwise change the parent's descriptor table here while it
/// shares that table. The parent waits as it should.
pub fn vfork(_: &Call<'_>) -> Result {
    clone_without_stack(&args([libc::SIGCHLD as usize | CLONE_VFORK]))
}

fn clone_without_stack(args: &Args) -> Result {
    fork_here(|| call::host(libc::SYS_clone, args))
}

/// clone(2)
pub fn clone(c: &Call<'_>) -> Result {
    let mut args = c.args;
    args[0] = private_memory(args[0]);
    let (flags, stack) = (args[0], args[1]);
    if stack == 0 && flags & CLONE_THREAD == 0 {
        return clone_without_stack(&args);
    }
    onto_stack(c.frame, libc::SYS_clone, &args, flags, stack, stack != 0)
}

/// A thread, or a process with a stack of its own, goes on at the end of that stack.
fn onto_stack(
    frame: Option<&Frame>,
    nr: i64,
    args: &Args,
    flags: usize,
    top: usize,
    has_stack: bool,
) -> Result {
    let is_thread = flags & CLONE_THREAD != 0;
    // A thread on its maker's stack is nothing that anybody does.
    let (Some(frame), true) = (frame, has_stack) else { return Err(Errno::EINVAL) };
    match is_thread {
        true => told::lend(),
        false => prepare_spawn(),
    }
    // SAFETY: the application hands the stack to its child; nothing else uses it.
    let r = unsafe { frame.clone_onto(nr, args, top, is_thread) };
    match is_thread {
        true if r < 0 => told::take_back(),
        true => {}
        false => share::end_spawn(r),
    }
    from_raw(r)
}

/// `struct clone_args` (include/uapi/linux/sched.h), up to its current size.
const CLONE_ARGS_WORDS: usize = 11;
const CLONE_ARGS_MIN: usize = 64;
/// Words of the structure.
const FLAGS: usize = 0;
const STACK: usize = 5;
const STACK_SIZE: usize = 6;

/// clone3(2)
pub fn clone3(c: &Call<'_>) -> Result {
    let (address, size) = (c.args[0], c.args[1]);
    let mut words = [0u64; CLONE_ARGS_WORDS];
    if !(CLONE_ARGS_MIN..=size_of_val(&words)).contains(&size) || size % 8 != 0 {
        return c.to_host();
    }
    for (i, word) in words[..size / 8].iter_mut().enumerate() {
        *word = user::read(address + i * 8)?;
    }
    let flags = private_memory(words[FLAGS] as usize);
    words[FLAGS] = flags as u64;
    let mut own = c.args;
    own[0] = words.as_ptr() as usize;
    let (stack, stack_size) = (words[STACK] as usize, words[STACK_SIZE] as usize);
    if stack == 0 && flags & CLONE_THREAD == 0 {
        return fork_here(|| call::host(libc::SYS_clone3, &own));
    }
    onto_stack(c.frame, libc::SYS_clone3, &own, flags, stack + stack_size, stack != 0)
}

/// A process that shares memory without being a thread (posix_spawn, vfork) gets a copy instead: see [`vfork`].
fn private_memory(flags: usize) -> usize {
    if flags & (CLONE_VM | CLONE_THREAD) == CLONE_VM {
        flags & !CLONE_VM
    } else {
        flags
    }
}
