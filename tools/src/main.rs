// SPDX-License-Identifier: GPL-2.0-only
//! The `stowaway` command: its entry. What it does is in the library of this package.
#![deny(unsafe_code)]
// The runtime's own `main` would set SIGPIPE to be ignored, and the program that `run` starts would inherit it.
#![cfg_attr(not(test), no_main)]

/// The C entry. libc has kept the arguments for `std::env` before this is called.
// Not unsafe in effect: the name is libc's, and nothing else in this program has it.
#[allow(unsafe_code)]
#[cfg(not(test))]
#[no_mangle]
extern "C" fn main() -> libc::c_int {
    stowaway_tools::command()
}
