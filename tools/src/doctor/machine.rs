// SPDX-License-Identifier: GPL-2.0-only
//! The host kernel and the processor.

use std::fs::read_to_string;

use super::report::{Report, State};
use crate::{fail, host};

const GROUP: &str = "Machine";
/// CPUID.(7,0):EDX bit 5.
const UINTR_BIT: u32 = 1 << 5;

pub fn check(report: &mut Report) {
    report.add(GROUP, "host kernel", State::Ok, host::kernel_release());
    user_dispatch(report);
    io_uring(report);
    mmap_min_addr(report);
    processor(report);
    uintr(report);
}

fn user_dispatch(report: &mut Report) {
    let name = "syscall user dispatch";
    match host::has_user_dispatch() {
        Ok(true) => {
            report.add(GROUP, name, State::Ok, "available: every system call of the program is caught");
        }
        Ok(false) => report
            .add(
                GROUP,
                name,
                State::Warn,
                "not available: only calls made through libc's functions are served",
            )
            .advise(
                "needs Linux 5.11 on x86, and a sandbox that permits prctl(PR_SET_SYSCALL_USER_DISPATCH)",
            ),
        Err(error) => {
            report.add(GROUP, name, State::Warn, format!("cannot be tried: {}", fail::reason(&error)));
        }
    }
}

/// Only `--block-engine io_uring` needs it.
fn io_uring(report: &mut Report) {
    let (state, detail) = match host::try_io_uring() {
        Ok(()) => (State::Ok, "available for --block-engine io_uring".to_string()),
        Err(error) => {
            let why = fail::reason(&error);
            (State::Info, format!("refused: {why}; --block-engine io_uring uses threads instead"))
        }
    };
    report.add(GROUP, "io_uring", state, detail);
}

fn mmap_min_addr(report: &mut Report) {
    let name = "vm.mmap_min_addr";
    let value = read_to_string("/proc/sys/vm/mmap_min_addr").unwrap_or_default();
    match value.trim().parse::<u64>() {
        Ok(0) => report.add(GROUP, name, State::Warn, "0: a program can map page 0").advise(
            "nothing here needs page 0; with a higher value, calls through null pointers fault: sysctl vm.mmap_min_addr=65536",
        ),
        Ok(value) => {
            report.add(GROUP, name, State::Ok, format!("{value}: page 0 stays unmapped"));
        }
        Err(_) => {
            report.add(GROUP, name, State::Info, "cannot be read");
        }
    }
}

/// Which parts of the processor's state a signal frame holds: stacks of ours are made for that size.
fn processor(report: &mut Report) {
    let flags = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let found: Vec<_> = ["fsgsbase", "xsave", "avx", "avx2", "avx512f", "amx_tile"]
        .into_iter()
        .filter(|flag| has(flag))
        .collect();
    report.add(GROUP, "processor", State::Ok, format!("x86-64 {}", found.join(" ")));
    let frame = match host::signal_frame_bytes() {
        0 => "the host kernel does not say".to_string(),
        bytes => format!("at least {bytes} bytes"),
    };
    report.add(GROUP, "signal frame", State::Info, frame);
}

/// The bit says that the processor could. Mainline kernels do not switch it on, so it is never promised.
fn uintr(report: &mut Report) {
    let detail = match host::cpuid_7_edx() & UINTR_BIT {
        0 => "absent: --doorbell auto means futex",
        _ => "the processor has them; used if the host kernel has Intel's calls for it (mainline has not)",
    };
    report.add(GROUP, "user interrupts", State::Info, detail);
}
