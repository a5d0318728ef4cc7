/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The layout of every structure that the kernel and the host's Rust code share (asm/shared.h, asm/host.h).  layout.c
 * evaluates the rows with the kernel's compiler; lkl/src/api/layout.rs has the same rows of the Rust structures, and a test
 * compares both lists.  A field that one side lacks is a difference, too.
 *   SIZE(type)          size of struct type
 *   FIELD(type, field)  offset of a field
 */
#define SHARED(f) FIELD(lkl_shared, f)
SIZE(lkl_shared)
SHARED(cpu) SHARED(pollers) SHARED(pending) SHARED(inbox) SHARED(current_in_user) SHARED(host_sp)
SHARED(call) SHARED(entry_seq) SHARED(deadline) SHARED(timer_until) SHARED(waiter_until)
SHARED(timer_word) SHARED(wake_cost_ns) SHARED(last_contended_ns) SHARED(backoff_ns)
SHARED(backoff_skips) SHARED(counters)

#define SLOT(f) FIELD(lkl_call_slot, f)
SIZE(lkl_call_slot)
SLOT(state) SLOT(interrupted) SLOT(next) SLOT(stack_top) SLOT(nr) SLOT(args) SLOT(want_fd)
SLOT(completed_on_cpu) SLOT(spin_budget) SLOT(ret) SLOT(woken_at_ns)

SIZE(lkl_iov)
FIELD(lkl_iov, base) FIELD(lkl_iov, len)

#define REQUEST(f) FIELD(lkl_blk_request, f)
SIZE(lkl_blk_request)
REQUEST(next) REQUEST(done) REQUEST(dev) REQUEST(op) REQUEST(flags) REQUEST(iov) REQUEST(n)
REQUEST(status) REQUEST(off) REQUEST(len) REQUEST(host)

#define DISK(f) FIELD(lkl_disk, f)
SIZE(lkl_disk)
DISK(dev) DISK(bytes) DISK(block) DISK(max_bytes) DISK(features) DISK(discard_block)

#define OP(f) FIELD(lkl_host_ops, f)
SIZE(lkl_host_ops)
OP(print) OP(alert) OP(panic) OP(time_ns) OP(realtime_ns) OP(random) OP(timer_arm) OP(complete)
OP(blk_submit) OP(blk_gone) OP(name) OP(protect) OP(release_pages) OP(short_of_memory)

#define CRED(f) FIELD(lkl_creds, f)
SIZE(lkl_creds)
CRED(ruid) CRED(euid) CRED(suid) CRED(fsuid) CRED(rgid) CRED(egid) CRED(sgid) CRED(fsgid)
CRED(ngroups) CRED(groups)

SIZE(lkl_abi_row)
FIELD(lkl_abi_row, name) FIELD(lkl_abi_row, value)
