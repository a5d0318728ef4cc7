// SPDX-License-Identifier: GPL-2.0-only
//! A Linux kernel inside this process, and the API to call it.
//!
//! Floors, from the lowest: sys, kick, cpu, instance, dev, disk, attach, api.
//!
//! A module uses modules of its own floor and of the floors before it.
//!
//! # Rooms
//! - `sys`: the host: one raw call through a gate, and typed functions above it.
//! - `kick`: how a thread that runs the program's code is asked to come in: doorbell backends, user interrupts.
//! - `cpu`: the virtual CPU: its protocol, the words shared with the kernel, the switch to a kernel stack, the clock.
//! - `instance`: one kernel's memory, and the embedded image that runs in it.
//! - `dev`: interrupts, block devices, network interfaces and bells, on the host's side.
//! - `disk`: image files: opened, locked, measured, partitioned, told apart.
//! - `attach`: what is one process's own of an instance: host operations, start, end, fork.
//! - `api`: what a process does with its kernel.
//!
//! # The place this code runs in
//! The library lives inside programs that it does not know, under hooks, possibly where every `syscall` instruction
//! outside one gate traps. So:
//! - every host call goes through the function that [`sys::set_gate`] stored; of libc only `clock_gettime` is used (the
//!   vDSO's, for time);
//! - on the call path and in the kernel's callbacks nothing allocates, locks, panics or touches thread-local storage;
//! - a signal handler may call [`Kernel::interrupt`], [`Kernel::fault_fixup`], [`Kernel::contains`] and
//!   [`Kernel::dump_log`], and nothing else.

mod api;
mod attach;
mod cpu;
mod dev;
mod disk;
mod instance;
mod kick;
pub mod sys;

pub use api::{confine, Forbidden};
pub use api::{
    watch_keeper_by, AbiRow, Access, AreaOp, BackEndKind, Credentials, Duties, InnerFile, Interface,
    NewMember, PassHalf, Private, Source, Task, WatchOp, AREA_NOT_OURS, AREA_NO_HELPER,
};
pub use attach::{attach, boot, reset_in_child, watch_pressure_in, BootConfig, BootError, Handover, Kernel};
pub use cpu::{Count, Interruption};
pub use dev::block::nbd::set_interrupted;
pub use dev::block::{keep_descriptors_by, Engine, Store};
pub use dev::net::{
    renew_by as renew_network_by, report_by as report_network_by, Frames, LinkEvent, Renewal, Renewed,
};
pub use disk::{is_qcow2, partitions, probe_fs, Disk, DiskError, Partition, PartitionKind, Sectors, Table};
pub use instance::region::copy_text;
pub use instance::symbols::Symbol;
pub use kick::{doorbell, uintr};
pub use sys::helper_thread::{helper_threads, is_helper_thread};
pub use sys::{Errno, RawSyscall};
