// SPDX-License-Identifier: GPL-2.0-only
//! The program's seccomp filters: what they forbid this library. A filter is asked before it takes hold, by running it here: a
//! forbidden call may end the process.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::sys::errno::Result;
use crate::sys::user;

/// What this library does beside the calls that the program makes.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Need {
    /// To sleep, and to wake other threads.
    Sleep = 1,
    /// To read and to write images.
    Images = 2,
    /// To look where a path of the host leads.
    Walk = 4,
    /// To end the kernel before the process ends.
    End = 8,
}

impl Need {
    const ALL: [Need; 4] = [Need::Sleep, Need::Images, Need::Walk, Need::End];

    /// The calls that it takes, without those of the needs before.
    fn calls(self) -> &'static [i64] {
        match self {
            Need::Sleep => &[libc::SYS_futex, libc::SYS_sched_yield, libc::SYS_tgkill],
            Need::Images => &[
                libc::SYS_pread64,
                libc::SYS_preadv,
                libc::SYS_preadv2,
                libc::SYS_pwrite64,
                libc::SYS_pwritev,
                libc::SYS_fdatasync,
                libc::SYS_fallocate,
                libc::SYS_clone,
                libc::SYS_mmap,
            ],
            Need::Walk => &[libc::SYS_readlinkat, libc::SYS_getcwd],
            Need::End => &[
                libc::SYS_openat,
                libc::SYS_read,
                libc::SYS_write,
                libc::SYS_close,
                libc::SYS_getdents64,
                libc::SYS_newfstatat,
                libc::SYS_fstat,
                libc::SYS_fsync,
                libc::SYS_fcntl,
                libc::SYS_flock,
                libc::SYS_munmap,
                libc::SYS_mprotect,
                libc::SYS_madvise,
                libc::SYS_nanosleep,
                libc::SYS_getpid,
                libc::SYS_gettid,
                libc::SYS_rt_sigprocmask,
                libc::SYS_rt_sigaction,
                libc::SYS_process_vm_readv,
                libc::SYS_exit,
                libc::SYS_exit_group,
            ],
        }
    }
}

static IS_CONFINED: AtomicBool = AtomicBool::new(false);
static FORBIDDEN: AtomicU32 = AtomicU32::new(0);

/// Whether the program has a filter that may forbid calls.
pub fn is_confined() -> bool {
    IS_CONFINED.load(Ordering::Relaxed)
}

/// Whether no filter of the program forbids what `need` takes.
#[inline]
pub fn may(need: Need) -> bool {
    FORBIDDEN.load(Ordering::Relaxed) & need as u32 == 0
}

/// The program is about to set this filter; None: strict mode, or a filter that cannot be read.
pub fn add(filter: Option<&[Row]>) {
    let is_free = |nr: i64| filter.is_some_and(|rows| allows(rows, nr));
    let mut forbidden = 0;
    for need in Need::ALL {
        if !need.calls().iter().all(|&nr| is_free(nr)) {
            forbidden |= need as u32;
        }
    }
    // The end takes all of it.
    if forbidden & !(Need::Walk as u32) != 0 {
        forbidden |= Need::End as u32;
    }
    FORBIDDEN.fetch_or(forbidden, Ordering::Relaxed);
    IS_CONFINED.store(true, Ordering::Relaxed);
}

/// `struct sock_filter`
#[derive(Clone, Copy)]
pub struct Row {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

/// The rows of the filter at `address`, a `struct sock_fprog`.
pub fn read(address: usize) -> Result<Vec<Row>> {
    let [len, rows]: [usize; 2] = user::read(address)?;
    let row = |i| {
        let word: u64 = user::read(rows + i * size_of::<u64>())?;
        Ok(Row {
            code: word as u16,
            if_true: (word >> 16) as u8,
            if_false: (word >> 24) as u8,
            k: (word >> 32) as u32,
        })
    };
    (0..len & 0xffff).map(row).collect()
}

/// Whether the filter lets call `nr` through. The arguments are taken for zero, for a filter that looks at them seldom does
/// so for what this library needs.
fn allows(rows: &[Row], nr: i64) -> bool {
    const ALLOW: u32 = 0x7fff_0000;
    const LOG: u32 = 0x7ffc_0000;
    run(rows, nr).is_some_and(|action| matches!(action & 0xffff_0000, ALLOW | LOG))
}

/// What the filter answers to call `nr` (Documentation/networking/filter.rst). None: it is no filter that the host takes.
fn run(rows: &[Row], nr: i64) -> Option<u32> {
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    let word = |at: u32| match at {
        0 => nr as u32,
        4 => AUDIT_ARCH_X86_64,
        _ => 0,
    };
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    loop {
        let row = rows.get(at)?;
        at += 1;
        let cell = row.k as usize & 15;
        let operand = if row.code & 8 != 0 { x } else { row.k };
        match row.code {
            // BPF_LD, BPF_LDX: by BPF_ABS, BPF_LEN, BPF_IMM, BPF_MEM. The length is that of struct seccomp_data.
            0x20 => a = word(row.k),
            0x80 => a = 64,
            0x81 => x = 64,
            0x00 => a = row.k,
            0x01 => x = row.k,
            0x60 => a = memory[cell],
            0x61 => x = memory[cell],
            // BPF_ST, BPF_STX
            0x02 => memory[cell] = a,
            0x03 => memory[cell] = x,
            // BPF_RET
            0x06 => return Some(row.k),
            0x16 => return Some(a),
            // BPF_TAX, BPF_TXA
            0x07 => x = a,
            0x87 => a = x,
            // BPF_JMP
            0x05 => at += row.k as usize,
            0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => {
                let holds = match row.code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    _ => a & operand != 0,
                };
                at += usize::from(if holds { row.if_true } else { row.if_false });
            }
            // BPF_ALU
            0x84 => a = a.wrapping_neg(),
            code if code & 7 == 4 => {
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    0x30 => a.checked_div(operand)?,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.checked_shl(operand)?,
                    0x70 => a.checked_shr(operand)?,
                    0xa0 => a ^ operand,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn row(code: u16, if_true: u8, if_false: u8, k: u32) -> Row {
        Row { code, if_true, if_false, k }
    }

    #[test]
    fn a_filter_is_run_as_the_host_runs_it() {
        let only = |nr: i64| {
            [
                row(0x20, 0, 0, 4),
                row(0x15, 1, 0, 0xc000_003e),
                row(0x06, 0, 0, 0),
                row(0x20, 0, 0, 0),
                row(0x15, 0, 1, nr as u32),
                row(0x06, 0, 0, 0x7fff_0000),
                row(0x06, 0, 0, 0x8000_0000),
            ]
        };
        assert!(allows(&only(libc::SYS_futex), libc::SYS_futex));
        assert!(!allows(&only(libc::SYS_futex), libc::SYS_read));
        assert!(!allows(&[row(0x05, 0, 0, 9)], libc::SYS_read), "a jump out of the filter");
        let computed = [row(0x01, 0, 0, 0x7fff_0000), row(0x87, 0, 0, 0), row(0x16, 0, 0, 0)];
        assert!(allows(&computed, libc::SYS_read));
    }
}
