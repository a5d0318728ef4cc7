/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The layout of every structure that the kernel and the host's Rust code share (asm/shared.h, asm/host.h).  layout.c
 * evaluates the rows with the kernel's compiler; lkl/src/api/layout.rs has the same rows of the Rust structures, and a test
 * compares both lists.  A field that one side lacks is a difference, too.
 *   SIZE(type)          size of struct type
 *   FIELD(type, field)  offset of a field
 *   VALUE(name)         a number that both sides know
 */
#define SHARED(f) FIELD(lkl_shared, f)
SIZE(lkl_shared)
SHARED(cpu) SHARED(pollers) SHARED(pending) SHARED(inbox) SHARED(current_in_user) SHARED(host_sp)
SHARED(call) SHARED(entry_seq) SHARED(deadline) SHARED(timer_until) SHARED(waiter_until)
SHARED(timer_word) SHARED(wake_cost_ns) SHARED(last_contended_ns) SHARED(backoff_ns)
SHARED(backoff_skips) SHARED(counters) SHARED(clock_home) SHARED(nr_members) SHARED(home) SHARED(away)
SHARED(members_seen_ns) SHARED(disks) SHARED(disks_lock) SHARED(was_shared) SHARED(net_links) SHARED(members)

SIZE(lkl_member_row)
FIELD(lkl_member_row, number) FIELD(lkl_member_row, pid) FIELD(lkl_member_row, tgid) FIELD(lkl_member_row, pollers)
FIELD(lkl_member_row, hide) FIELD(lkl_member_row, has_helper) FIELD(lkl_member_row, hide_addr)
FIELD(lkl_member_row, hide_len)
VALUE(LKL_MEMBERS) VALUE(LKL_ASKERS)

#define SLOT(f) FIELD(lkl_call_slot, f)
SIZE(lkl_call_slot)
SLOT(state) SLOT(interrupted) SLOT(next) SLOT(stack_top) SLOT(nr) SLOT(args) SLOT(want_fd)
SLOT(completed_on_cpu) SLOT(spin_budget) SLOT(ret) SLOT(woken_at_ns) SLOT(home) SLOT(owner)

SIZE(lkl_iov)
FIELD(lkl_iov, base) FIELD(lkl_iov, len)

#define REQUEST(f) FIELD(lkl_blk_request, f)
SIZE(lkl_blk_request)
REQUEST(next) REQUEST(done) REQUEST(dev) REQUEST(op) REQUEST(flags) REQUEST(iov) REQUEST(n)
REQUEST(status) REQUEST(off) REQUEST(len) REQUEST(host_device) REQUEST(host) REQUEST(taker)

#define DISK(f) FIELD(lkl_disk, f)
SIZE(lkl_disk)
DISK(dev) DISK(start) DISK(bytes) DISK(block) DISK(max_bytes) DISK(features) DISK(discard_block)
DISK(place)

#define OP(f) FIELD(lkl_host_ops, f)
SIZE(lkl_host_ops)
OP(print) OP(alert) OP(panic) OP(time_ns) OP(realtime_ns) OP(realtime_coarse_ns) OP(random) OP(timer_arm)
OP(complete) OP(blk_submit) OP(blk_read_around) OP(blk_gone) OP(name) OP(protect) OP(release_pages)
OP(load_data) OP(short_of_memory) OP(memory_call) OP(hide_away) OP(ring) OP(tickets) OP(ticket_gone)
OP(send_signal) OP(net_send) OP(net_receive) OP(net_arm)

#define NET(f) FIELD(lkl_net, f)
SIZE(lkl_net)
NET(number) NET(kind) NET(features) NET(mtu) NET(mac)

#define LINK(f) FIELD(lkl_net_link, f)
SIZE(lkl_net_link)
LINK(next) LINK(number) LINK(kind) LINK(features) LINK(armed) LINK(wants_room) LINK(home) LINK(state)
LINK(sent) LINK(got) LINK(len) LINK(head_got) LINK(head) LINK(generation)
VALUE(LKL_NET_TAP) VALUE(LKL_NET_STREAM) VALUE(LKL_NET_DATAGRAM)
VALUE(LKL_NET_TSO) VALUE(LKL_NET_TRUSTED) VALUE(LKL_NET_BARE_RESETS) VALUE(LKL_NET_RETURNS) VALUE(LKL_NET_STARTS_LISTENING)
VALUE(LKL_NET_CAPTURED) VALUE(LKL_NET_UP) VALUE(LKL_NET_OVER) VALUE(LKL_NET_DOWN) VALUE(LKL_NET_LISTENING)
VALUE(LKL_NET_ARMED) VALUE(LKL_NET_OFF) VALUE(LKL_NET_ASLEEP)

#define CRED(f) FIELD(lkl_creds, f)
SIZE(lkl_creds)
CRED(ruid) CRED(euid) CRED(suid) CRED(fsuid) CRED(rgid) CRED(egid) CRED(sgid) CRED(fsgid)
CRED(ngroups) CRED(groups) CRED(permitted) CRED(effective) CRED(securebits)

SIZE(lkl_abi_row)
FIELD(lkl_abi_row, name) FIELD(lkl_abi_row, value)

VALUE(PEND_TIMER) VALUE(PEND_RESCHED) VALUE(PEND_INTERRUPT) VALUE(BY_DEADLY_SIGNAL) VALUE(PEND_INBOX)
VALUE(LKL_RUN_IDLE) VALUE(LKL_RUN_CALL) VALUE(LKL_RUN_DONE) VALUE(LKL_RUN_AWAY) VALUE(LKL_RUN_DONE_AWAY)
VALUE(LKL_LOOK) VALUE(LKL_POST) VALUE(LKL_RESUME) VALUE(LKL_ADOPT) VALUE(LKL_DIED)
VALUE(LKL_NR_thread_new) VALUE(LKL_NR_thread_exit) VALUE(LKL_NR_member_exit)
VALUE(LKL_IRQ_BLOCK) VALUE(LKL_IRQ_NET) VALUE(LKL_BOOT_LOG) VALUE(LKL_WINDOW_BYTES)
VALUE(LKL_BLK_QUEUED) VALUE(LKL_BLK_READ) VALUE(LKL_BLK_WRITE) VALUE(LKL_BLK_FLUSH)
VALUE(LKL_BLK_DISCARD) VALUE(LKL_BLK_ZERO) VALUE(LKL_BLK_FUA) VALUE(LKL_BLK_ALONE) VALUE(LKL_BLK_NOW)
VALUE(LKL_DISK_READ_ONLY) VALUE(LKL_DISK_FLUSH) VALUE(LKL_DISK_FUA) VALUE(LKL_DISK_DISCARD)
VALUE(LKL_DISK_ZERO) VALUE(LKL_DISK_FILE) VALUE(LKL_NO_PLACE)
VALUE(LKL_NR_disk_add) VALUE(LKL_NR_anchor_mount) VALUE(LKL_NR_shutdown) VALUE(LKL_NR_set_creds)
VALUE(LKL_NR_loopback_up) VALUE(LKL_NR_getxattrat) VALUE(LKL_NR_setxattrat) VALUE(LKL_NR_listxattrat)
VALUE(LKL_NR_removexattrat) VALUE(LKL_NR_statfsat) VALUE(LKL_NR_chdirat) VALUE(LKL_NR_truncateat)
VALUE(LKL_NR_fd_path) VALUE(LKL_NR_anchor_release) VALUE(LKL_NR_release_memory)
VALUE(LKL_NR_leave_cwd) VALUE(LKL_NR_link_fd) VALUE(LKL_NR_crash) VALUE(LKL_NR_reopen)
VALUE(LKL_NR_disk_node) VALUE(LKL_NR_disk_remove)
VALUE(LKL_NR_member_new) VALUE(LKL_NR_open_fds) VALUE(LKL_NR_open_root)
VALUE(LKL_NR_only_thread) VALUE(LKL_NR_area_new) VALUE(LKL_NR_area_fault) VALUE(LKL_NR_area_op)
VALUE(LKL_NR_areas_end) VALUE(LKL_NR_wait_arm) VALUE(LKL_NR_wait_disarm) VALUE(LKL_BELLS) VALUE(LKL_NR_PRIVATE_END)
VALUE(LKL_NR_watch_begin) VALUE(LKL_NR_watch_op) VALUE(LKL_NR_watch_read) VALUE(LKL_NR_watch_add)
VALUE(LKL_WATCH_TELL) VALUE(LKL_WATCH_CHIME) VALUE(LKL_WATCH_RESERVE) VALUE(LKL_WATCH_USED) VALUE(LKL_WATCH_RUNG)
VALUE(LKL_CHIME) VALUE(LKL_CHIMES)
SIZE(lkl_ticket)
FIELD(lkl_ticket, events) FIELD(lkl_ticket, ticket)
VALUE(LKL_NR_pass_park) VALUE(LKL_NR_pass_take) VALUE(LKL_NR_pass_look) VALUE(LKL_NR_pass_from)
VALUE(LKL_PASS_NOTHING) VALUE(LKL_PASS_EPOLL) VALUE(LKL_PASS_INOTIFY)
VALUE(LKL_NR_mount_about) VALUE(LKL_NR_root_anchor) VALUE(LKL_NR_root_at) VALUE(LKL_NR_net_add) VALUE(LKL_NR_sysctl) VALUE(LKL_NR_owner) VALUE(LKL_NR_file_limit)
VALUE(LKL_NR_proc_locks) VALUE(LKL_NR_pipe_look)
VALUE(LKL_ACCESS_READ) VALUE(LKL_ACCESS_WRITE) VALUE(LKL_ACCESS_EXEC)
VALUE(LKL_AREA_UNMAP) VALUE(LKL_AREA_REPLACE) VALUE(LKL_AREA_PROTECT) VALUE(LKL_AREA_ADVISE)
VALUE(LKL_AREA_CORE) VALUE(LKL_AREA_SYNC) VALUE(LKL_AREA_MOVE) VALUE(LKL_AREA_LOCK)
VALUE(LKL_HIDE_NOTHING) VALUE(LKL_HIDE_ASKED) VALUE(LKL_HIDE_TAKEN) VALUE(LKL_HIDE_FAILED)
VALUE(LKL_MEMORY_FILE)
