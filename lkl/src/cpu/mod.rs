// SPDX-License-Identifier: GPL-2.0-only
//! The virtual CPU as host threads see it: calls, waits, the clock.
//!
//! `protocol` has the rules, `slots` the words that are shared with the kernel, `switch` the way to a kernel stack;
//! `members` has the processes that share them, `watch` how these look after each other; `spin` and `backoff` say how threads wait for the CPU; `entry` is what other rooms call; `timer` is the thread of
//! the kernel's clock; `hide` takes memory of other processes away from them; `layout` compares the shared words with the kernel's.

mod backoff;
mod entry;
pub(crate) mod hide;
#[cfg(test)]
pub(crate) mod layout;
pub(crate) mod members;
mod protocol;
mod slots;
mod spin;
mod switch;
mod sync;
pub(crate) mod timer;
pub(crate) mod watch;

pub(crate) use entry::{
    arm, attach_after_exec, begin, boot, call, complete, go_on, hide_away, hold_off, interrupt,
    leave_for_good, member_exit, member_is, net_links, raise_irq, reset_in_child, thread_exit, thread_new,
    wake_clock, with_nobody_inside,
};
pub(crate) use slots::{CallSlot, MemberRow, Shared, HAS_LEFT};
pub use slots::{Count, Interruption};
