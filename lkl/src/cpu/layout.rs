// SPDX-License-Identifier: GPL-2.0-only
//! The layout of the shared words, and the numbers in them, for the comparison with the kernel's (`kernel/layout_rows.h`).

use super::entry::{
    how_to, MEMBER_EXIT, RUN_AWAY, RUN_CALL, RUN_DONE, RUN_DONE_AWAY, RUN_IDLE, THREAD_EXIT, THREAD_NEW,
};
use super::hide;
use super::members::ASKERS;
use super::protocol::Begin;
use super::slots::{
    CallSlot, Interruption, MemberRow, Request, Shared, PEND_INBOX, PEND_INTERRUPT, PEND_RESCHED, PEND_TIMER,
};
use super::sync::MEMBERS;
use crate::sys::layout::{layout_rows, Row};
use std::mem::offset_of;

/// `struct lkl_shared`
pub(crate) const SHARED: &[Row] = layout_rows!(
    "lkl_shared" = Shared {
        cpu,
        pollers,
        pending,
        inbox,
        current_in_user,
        host_sp,
        call,
        entry_seq,
        deadline,
        timer_until,
        waiter_until,
        timer_word,
        wake_cost_ns,
        last_contended_ns,
        backoff_ns,
        backoff_skips,
        counters,
        clock_home,
        nr_members,
        home,
        away,
        members_seen_ns,
        disks,
        disks_lock,
        was_shared,
        net_links,
        members,
    }
);

/// `struct lkl_member_row`
pub(crate) const MEMBER_ROW: &[Row] = layout_rows!(
    "lkl_member_row" = MemberRow { number, pid, tgid, pollers, hide, has_helper, hide_addr, hide_len }
);

const REQUEST: usize = offset_of!(CallSlot, request);

/// `struct lkl_call_slot`
pub(crate) const CALL_SLOT: &[Row] = layout_rows!("lkl_call_slot" = CallSlot {
    state, interrupted, next, stack_top,
    "nr" => REQUEST + offset_of!(Request, nr),
    "args" => REQUEST + offset_of!(Request, args),
    "want_fd" => REQUEST + offset_of!(Request, want_fd),
    completed_on_cpu, spin_budget, ret, woken_at_ns, home, owner,
});

/// Numbers in the shared words, and of entries.
pub(crate) const VALUES: &[Row] = &[
    ("PEND_TIMER", PEND_TIMER as usize),
    ("PEND_RESCHED", PEND_RESCHED as usize),
    ("PEND_INTERRUPT", PEND_INTERRUPT as usize),
    ("BY_DEADLY_SIGNAL", Interruption::ByDeadlySignal as usize),
    ("PEND_INBOX", PEND_INBOX as usize),
    ("LKL_RUN_IDLE", RUN_IDLE as usize),
    ("LKL_RUN_CALL", RUN_CALL as usize),
    ("LKL_RUN_DONE", RUN_DONE as usize),
    ("LKL_RUN_AWAY", RUN_AWAY as usize),
    ("LKL_RUN_DONE_AWAY", RUN_DONE_AWAY as usize),
    ("LKL_LOOK", how_to(Begin::Look) as usize),
    ("LKL_POST", how_to(Begin::Post) as usize),
    ("LKL_RESUME", how_to(Begin::Resume) as usize),
    ("LKL_ADOPT", how_to(Begin::Adopt) as usize),
    ("LKL_DIED", how_to(Begin::Died) as usize),
    ("LKL_MEMBERS", MEMBERS),
    ("LKL_ASKERS", ASKERS),
    ("LKL_HIDE_NOTHING", hide::NOTHING as usize),
    ("LKL_HIDE_ASKED", hide::ASKED as usize),
    ("LKL_HIDE_TAKEN", hide::TAKEN as usize),
    ("LKL_HIDE_FAILED", hide::FAILED as usize),
    ("LKL_NR_member_exit", MEMBER_EXIT as usize),
    ("LKL_NR_thread_new", THREAD_NEW as usize),
    ("LKL_NR_thread_exit", THREAD_EXIT as usize),
];
