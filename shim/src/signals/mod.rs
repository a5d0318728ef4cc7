// SPDX-License-Identifier: GPL-2.0-only
//! Signals, as a kernel delivers them: never on top of kernel code.
//!
//! Every handler of the application is installed on the host as ours (`deliver.rs`), with the application's action kept
//! in a table (`actions.rs`). Outside the kernel library our handler runs the application's at once. Inside, our handler
//! notes the signal, blocks everything in the context that it returns to (so that further signals stay queued in the
//! host), interrupts the kernel call and returns. The way out of the kernel section (`instance::enter`) sends the signal
//! again and restores the mask, and the host delivers the signal as ever.
//!
//! Once a kernel runs, signals whose default action ends the process come here too, so that the images are unmounted
//! before the process dies (`end.rs`). SIGSEGV and SIGBUS are ours from the start: faults in copies from alleged
//! pointers. SIGSYS belongs to the trampoline; no mask of the application may block it (`mask.rs`).

pub mod actions;
pub mod app_sud;
pub mod cancel;
pub mod claimed;
pub mod deliver;
pub mod end;
pub mod mask;
pub mod sigaction;
