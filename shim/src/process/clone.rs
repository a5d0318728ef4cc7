// SPDX-License-Identifier: GPL-2.0-only
//! fork(2), vfork(2), clone(2), clone3(2).
#![allow(unsafe_code)]

use trampoline::{Cloned, Frame};

use crate::process::fork::{begin_spawn, end_spawn, fork_here, prepare_spawn};
use crate::process::stores;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{from_raw, Errno, Result};
use crate::sys::host::Args;
use crate::sys::{told, user};

const CLONE_VM: usize = libc::CLONE_VM as usize;
const CLONE_THREAD: usize = libc::CLONE_THREAD as usize;
const CLONE_VFORK: usize = libc::CLONE_VFORK as usize;
const CLONE_SIGHAND: usize = libc::CLONE_SIGHAND as usize;

/// Who is to be made, by the flags of the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Thread,
    /// A process with memory of its own.
    Child,
    /// A process whose memory is its parent's, and the parent waits: of vfork(2), posix_spawn(3). The child gets a copy of the
    /// memory, and gives back what it stores ([`stores`]).
    Borrower,
    /// A process that shares its parent's memory while both run ([`Cloned::Guest`]).
    Guest,
}

impl Who {
    fn of(flags: usize, has_stack: bool) -> Who {
        match flags & (CLONE_VM | CLONE_THREAD | CLONE_VFORK) {
            bits if bits & CLONE_THREAD != 0 => Who::Thread,
            bits if bits & CLONE_VM == 0 => Who::Child,
            bits if bits & CLONE_VFORK != 0 => Who::Borrower,
            // Two processes on one stack are nothing that anybody makes.
            _ if has_stack => Who::Guest,
            _ => Who::Child,
        }
    }

    /// The flags that the host is given: handlers can be shared only together with the memory.
    fn flags(self, flags: usize) -> usize {
        match self {
            Who::Thread | Who::Guest => flags,
            Who::Child | Who::Borrower => flags & !(CLONE_VM | CLONE_SIGHAND),
        }
    }
}

/// A call of the application that makes somebody.
struct Wish<'a> {
    frame: Option<&'a Frame>,
    who: Who,
    /// The host's call.
    nr: i64,
    args: &'a Args,
    /// The stack pointer that the child begins with; None: its parent's.
    top: Option<usize>,
    /// Where the host leaves the child's number, or 0.
    number_at: usize,
}

impl Wish<'_> {
    fn carry_out(&self) -> Result {
        // A call through a hook leaves frames of ours on the caller's stack, which a child must not give back.
        let loan = match (self.who, self.frame) {
            (Who::Borrower, Some(frame)) => stores::lend(frame.rsp, self.number_at),
            _ => None,
        };
        let r = match self.top {
            Some(top) => self.onto_stack(top),
            None if self.who == Who::Thread => Err(Errno::EINVAL),
            None => fork_here(|| call::host(self.nr, self.args)),
        };
        // A child of fork_here() comes by here as well: it has another use for what was lent.
        if let (Some(loan), true) = (loan, r != Ok(0)) {
            loan.take_back();
        }
        r
    }

    /// A thread, or a process with a stack of its own, goes on at the end of that stack.
    fn onto_stack(&self, top: usize) -> Result {
        let Some(frame) = self.frame else { return Err(Errno::EINVAL) };
        // SAFETY: the application hands the stack to its child; nothing else uses it.
        let clone = |what| unsafe { frame.clone_onto(self.nr, self.args, top, what) };
        from_raw(match self.who {
            Who::Thread => {
                told::lend();
                let r = clone(Cloned::Thread);
                if r < 0 {
                    told::take_back();
                }
                r
            }
            Who::Guest => clone(Cloned::Guest),
            Who::Child | Who::Borrower => {
                prepare_spawn();
                clone(Cloned::Process { before: begin_spawn, in_parent: end_spawn })
            }
        })
    }
}

/// fork(2)
pub fn fork(_: &Call<'_>) -> Result {
    let args = args([libc::SIGCHLD as usize]);
    fork_here(|| call::host(libc::SYS_clone, &args))
}

/// vfork(2)
pub fn vfork(c: &Call<'_>) -> Result {
    let args = args([libc::SIGCHLD as usize | CLONE_VFORK]);
    let nr = libc::SYS_clone;
    Wish { frame: c.frame, who: Who::Borrower, nr, args: &args, top: None, number_at: 0 }.carry_out()
}

/// clone(2)
pub fn clone(c: &Call<'_>) -> Result {
    let (mut args, top) = (c.args, c.args[1]);
    let flags = args[0];
    let who = Who::of(flags, top != 0);
    args[0] = who.flags(flags);
    let number_at = if flags & WRITES_NUMBER != 0 { args[2] } else { 0 };
    let top = (top != 0).then_some(top);
    Wish { frame: c.frame, who, nr: libc::SYS_clone, args: &args, top, number_at }.carry_out()
}

/// Of clone(2), where the two share a pointer.
const WRITES_NUMBER: usize = (libc::CLONE_PARENT_SETTID | libc::CLONE_PIDFD) as usize;

/// `struct clone_args` (include/uapi/linux/sched.h), up to its current size.
const CLONE_ARGS_WORDS: usize = 11;
const CLONE_ARGS_MIN: usize = 64;
/// Words of the structure.
const FLAGS: usize = 0;
const PARENT_TID: usize = 3;
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
    let (stack, stack_size) = (words[STACK] as usize, words[STACK_SIZE] as usize);
    let flags = words[FLAGS] as usize;
    let who = Who::of(flags, stack != 0);
    words[FLAGS] = who.flags(flags) as u64;
    let mut args = c.args;
    args[0] = words.as_ptr() as usize;
    let number_at =
        if flags & libc::CLONE_PARENT_SETTID as usize != 0 { words[PARENT_TID] } else { 0 } as usize;
    let top = (stack != 0).then_some(stack + stack_size);
    Wish { frame: c.frame, who, nr: libc::SYS_clone3, args: &args, top, number_at }.carry_out()
}
