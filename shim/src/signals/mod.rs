// SPDX-License-Identifier: GPL-2.0-only
//! Signals of the application: actions, masks, cancellation, Syscall User Dispatch that the application uses itself.

pub mod actions;
pub mod app_sud;
pub mod cancel;
pub mod mask;
