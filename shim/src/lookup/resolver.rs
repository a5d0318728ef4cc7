// SPDX-License-Identifier: GPL-2.0-only
//! /etc/resolv.conf, where the program has a network of its own: a file in memory that names this network's resolvers. The
//! host's file names resolvers of the host's network, which may be out of reach.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::OnceLock;

use crate::fdtable::{self, Keep, RESERVED};
use crate::instance::network::resolv_conf;
use crate::lookup::target::{ResolvedPath, Target};
use crate::sys::fs::AT_FDCWD;
use crate::sys::kernel::running;
use crate::sys::settings::settings;

const PATH: &[u8] = b"/etc/resolv.conf";

/// The file, in this process.
static FILE: AtomicI32 = AtomicI32::new(-1);
static HAS_FAILED: AtomicBool = AtomicBool::new(false);
/// "/proc/self/fd/N" of the file.
static NAME: OnceLock<String> = OnceLock::new();

/// Where the absolute `path` leads if it is that of the file.
#[inline]
pub fn stands_for(path: &[u8]) -> Option<ResolvedPath> {
    if path != PATH || !settings().net.has_outside() {
        return None;
    }
    name().map(|name| ResolvedPath { target: Target::Host, dirfd: AT_FDCWD, path: name.as_ptr() as usize })
}

#[cold]
fn name() -> Option<&'static str> {
    // A child of fork may lack the file that its parent made; one that shares the kernel has it.
    if let Some(name) = NAME.get() {
        return (fdtable::class(FILE.load(Ordering::Relaxed) as usize) == RESERVED).then_some(name.as_str());
    }
    if HAS_FAILED.load(Ordering::Relaxed) {
        return None;
    }
    make();
    NAME.get().map(String::as_str)
}

fn make() {
    let left = || running().and_then(lkl::Kernel::network_file);
    let file = match settings().resolvers() {
        // What the user says; then what the network left; then what the network always has.
        all if all.is_empty() => left(),
        all if settings().dns.is_empty() => left().or_else(|| resolv_conf(&all).ok()),
        all => resolv_conf(&all).ok(),
    };
    match file.map(|file| fdtable::reserve(file.raw(), Keep::OverFork)) {
        Some(Ok(fd)) => {
            FILE.store(fd, Ordering::Relaxed);
            let _ = NAME.set(format!("/proc/self/fd/{fd}\0"));
        }
        _ => HAS_FAILED.store(true, Ordering::Relaxed),
    }
}
