// SPDX-License-Identifier: GPL-2.0-only
//! Whether the host is short of memory: what anybody may read.
//!
//! The kernel asks now and then while it has a cache worth giving up, on the thread that happens to drive it. A trigger on
//! the same files (poll) would say so at once. It would take a thread in every process, and only newer hosts allow it to
//! ordinary users.
//!
//! # Safety
//! A pointer to a static string is stored and read back.
#![allow(unsafe_code)]

use crate::sys::file;
use crate::sys::text::leading_number;
use std::ffi::{c_char, CStr};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Threads that have to wait for memory: this much of the last ten seconds (in percent) is short.
const STALLED_PERCENT: usize = 5;
/// Memory that is to be had without swapping: less than this part of all is short.
const AVAILABLE_PART: usize = 20;

/// Pressure of the whole host, and of what we are confined to (a container sees its own there).
const PRESSURE: [&CStr; 2] = [c"/proc/pressure/memory", c"/sys/fs/cgroup/memory.pressure"];

/// See [`watch_pressure_in`].
static OTHER: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Names one more file to look into, of the form of /proc/pressure/memory: a control group's memory.pressure.
pub fn watch_pressure_in(file: &'static CStr) {
    OTHER.store(file.as_ptr().cast_mut(), Ordering::Release);
}

fn other() -> Option<&'static CStr> {
    let file = OTHER.load(Ordering::Acquire);
    // SAFETY: not null, so it is what was stored above.
    (!file.is_null()).then(|| unsafe { CStr::from_ptr(file) })
}

/// `ops.short_of_memory`
pub(crate) unsafe extern "C" fn short_of_memory() -> i32 {
    let mut room = [0u8; 512];
    let mut files = PRESSURE.into_iter().chain(other());
    let stalled = files.any(|file| read(file, &mut room).is_some_and(is_stalled));
    i32::from(stalled || read(c"/proc/meminfo", &mut room).is_some_and(is_scarce))
}

fn read<'a>(file: &CStr, room: &'a mut [u8]) -> Option<&'a [u8]> {
    let fd = file::open(file, libc::O_RDONLY).ok()?;
    let n = file::read(fd.raw(), room).ok()?;
    room.get(..n)
}

/// `some avg10=12.34 avg60=...`
fn is_stalled(text: &[u8]) -> bool {
    number_behind(text, b"some avg10=").is_some_and(|percent| percent >= STALLED_PERCENT)
}

/// `MemTotal: N kB`, `MemAvailable: N kB`
fn is_scarce(text: &[u8]) -> bool {
    let total = number_behind(text, b"MemTotal:");
    let available = number_behind(text, b"MemAvailable:");
    matches!((total, available), (Some(total), Some(available)) if available < total / AVAILABLE_PART)
}

fn number_behind(text: &[u8], word: &[u8]) -> Option<usize> {
    let at = text.windows(word.len()).position(|w| w == word)? + word.len();
    leading_number(text[at..].trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read() {
        let with =
            |avg10| format!("some avg10={avg10} avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00 avg60=0\n");
        assert!(!is_stalled(with("0.00").as_bytes()) && !is_stalled(with("4.99").as_bytes()));
        assert!(is_stalled(with("5.00").as_bytes()) && is_stalled(with("73.12").as_bytes()));
        assert!(!is_stalled(b""));
        let with =
            |available| format!("MemTotal:       100000 kB\nMemFree: 1 kB\nMemAvailable:   {available} kB\n");
        assert!(is_scarce(with(4999).as_bytes()) && !is_scarce(with(5000).as_bytes()));
        assert!(!is_scarce(b"MemTotal: 5 kB\n"));
    }
}
