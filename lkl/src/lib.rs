// SPDX-License-Identifier: GPL-2.0-only
//! A Linux kernel inside this process, and the one door to it.
//!
//! # The place this code runs in
//! It lives inside programs it does not know, under hooks, possibly where every `syscall`
//! instruction outside one gate traps.  So:
//! - every host call goes through the [`RawSyscall`] given at boot; of libc only `clock_gettime`
//!   is used (the vDSO's, for time);
//! - on the call path and in the kernel's callbacks nothing allocates, locks, panics or touches
//!   thread-local storage;
//! - a signal handler may call [`Kernel::interrupt`], [`Kernel::fault_fixup`],
//!   [`Kernel::contains`] and [`Kernel::dump_log`], and nothing else.
//!
//! # Rooms
//! `image` is the embedded library, `region` the memory in which it runs, `origin` the file that it is mapped
//! from; `host` is what the kernel asks of us; `timer` is its clock; `door` the switch to a kernel-sized stack;
//! `task` what a thread needs to call; `symbols` has names for addresses; `disk`, `partition` and `probe` look after
//! image files; `block` does the I/O; `bell` raises the kernel's interrupts;
//! `bare` makes our threads; `boot` starts the kernel; `kernel` is the API.

mod bare;
mod bell;
mod block;
mod boot;
mod cpu;
mod disk;
mod door;
pub mod doorbell;
mod errno;
mod holder;
mod host;
mod image;
mod kernel;
mod nr;
mod origin;
mod partition;
mod pressure;
mod probe;
mod region;

mod symbols;
mod sys;
mod task;
mod timer;
pub mod uintr;

pub use bare::{helper_threads, is_helper_thread};
pub use block::Engine;
pub use boot::{after_fork, boot, BootConfig, BootError};
pub use cpu::Count;
pub use disk::{Disk, DiskError};
pub use errno::Errno;
pub use kernel::{AbiRow, Kernel, Source};
pub use nr::Private;
pub use partition::{partitions, Partition, Table};
pub use pressure::watch_pressure_in;
pub use probe::{is_qcow2, probe_fs};
pub use region::copy_text;
pub use symbols::Symbol;
pub use sys::{file_size_limit_by, plain_syscall, RawSyscall};
pub use task::Task;
