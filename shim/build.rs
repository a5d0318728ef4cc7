// SPDX-License-Identifier: GPL-2.0-only
//! The library is a program, too: the kernel starts it at the loader's entry (see `src/load/entry.rs`).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-e,stowaway_load");
}
