// SPDX-License-Identifier: GPL-2.0-only
//! `cargo run --release -p lkl --example boot_time [MIB]`: what one boot costs, in time and memory.
//!
//! # Safety
//! The task is the calling thread's.
#![allow(unsafe_code)]

use lkl::{boot, BootConfig, Task};
use std::time::Instant;

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn faults() -> i64 {
    // SAFETY: a struct of our own to fill; all zeros is a valid one.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage.ru_minflt
    }
}

fn main() {
    let mib = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(64usize);
    let cfg = BootConfig { mem_bytes: mib << 20, kernel_log_fd: None, cmdline: c"" };
    let names = ["VmRSS:", "RssAnon:", "RssFile:", "RssShmem:"];
    let (before, faulted, start) = (names.map(status), faults(), Instant::now());
    let kernel = match boot(&cfg) {
        Ok(kernel) => kernel,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1);
        }
    };
    let booted = start.elapsed();
    let task = Task::new(kernel).expect("memory for a stack").as_ptr();
    // SAFETY: the task is this thread's own; the call takes no pointer.
    unsafe { kernel.call(task, libc::SYS_getppid, &[0; 6], -1) };
    let called = start.elapsed();
    print!("{mib} MiB: boot {booted:?}, first call {:?}, {} faults;", called - booted, faults() - faulted);
    for (name, before) in names.iter().zip(before) {
        print!(" {name} +{} KiB", status(name) - before);
    }
    println!();
}
