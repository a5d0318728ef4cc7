// SPDX-License-Identifier: GPL-2.0-only
//! The rows about the kernel library itself, beside the host's kernel doing the same.

use super::{Bell, Better, CoreOp, Family, Goal, Kind, Row, Template};

const fn core(
    id: &'static str,
    what: &'static str,
    unit: &'static str,
    op: CoreOp,
    goals: &'static [Goal],
) -> Row {
    let (family, better, template) = (Family::Core, Better::Lower, Template::Small);
    Row { id, what, family, unit, better, template, kind: Kind::Core(op), goals, rounds: 15 }
}

const fn higher(row: Row) -> Row {
    Row { better: Better::Higher, ..row }
}

const fn boot(
    id: &'static str,
    what: &'static str,
    unit: &'static str,
    kind: Kind,
    goals: &'static [Goal],
) -> Row {
    Row { kind, rounds: 21, ..core(id, what, unit, CoreOp::Null, goals) }
}

pub const ROWS: &[Row] = &[
    core("null", "getppid, served by the kernel library", "ns", CoreOp::Null, &[Goal::Ratio(0.25)]),
    higher(core(
        "null-two",
        "getppid by two threads at once, throughput by that of one",
        "x",
        CoreOp::TwoNull,
        &[Goal::AtLeast(1.0)],
    )),
    core(
        "pipe-1cpu",
        "a byte to another thread and back by pipes, one CPU",
        "us",
        CoreOp::Pipe { cpus: 1 },
        &[Goal::Ratio(0.8)],
    ),
    core(
        "pipe-2cpu",
        "a byte to another thread and back by pipes, two CPUs",
        "us",
        CoreOp::Pipe { cpus: 2 },
        &[Goal::Ratio(1.1)],
    ),
    core(
        "pipe-calls-1cpu",
        "host system calls for a byte to another thread and back, one CPU",
        "calls",
        CoreOp::PipeCalls { cpus: 1 },
        &[Goal::AtMost(2.0)],
    ),
    core(
        "pipe-calls-2cpu",
        "host system calls for a byte to another thread and back, two CPUs",
        "calls",
        CoreOp::PipeCalls { cpus: 2 },
        &[Goal::AtMost(4.0)],
    ),
    core(
        "tcp-1cpu",
        "a byte to another thread and back by TCP on lo, one CPU",
        "us",
        CoreOp::Tcp { cpus: 1 },
        &[Goal::Ratio(1.1)],
    ),
    core(
        "tcp-2cpu",
        "a byte to another thread and back by TCP on lo, two CPUs",
        "us",
        CoreOp::Tcp { cpus: 2 },
        &[Goal::Ratio(1.1)],
    ),
    higher(core(
        "tcp-stream",
        "TCP stream on lo in 64 KiB pieces, two threads",
        "Gb/s",
        CoreOp::TcpStream,
        &[Goal::Times(2.5)],
    )),
    Row {
        template: Template::Big,
        ..higher(core(
            "rings-elided-threads",
            "completions of reads by threads that needed no wake-up and no work of the ringer",
            "%",
            CoreOp::RingsElided { uring: false },
            &[],
        ))
    },
    Row {
        template: Template::Big,
        ..higher(core(
            "rings-elided-uring",
            "the same by io_uring",
            "%",
            CoreOp::RingsElided { uring: true },
            &[],
        ))
    },
    core("sleep-100us", "nanosleep of 100 us, p99", "us", CoreOp::Sleep { busy: false }, &[Goal::Ratio(1.0)]),
    core(
        "sleep-100us-busy",
        "nanosleep of 100 us, p99, while another thread computes",
        "us",
        CoreOp::Sleep { busy: true },
        &[Goal::Ratio(1.0)],
    ),
    core(
        "late-futex",
        "a timed wait's end while threads compute on all CPUs, how late, p99; doorbell futex",
        "us",
        CoreOp::Late(Bell::Futex),
        &[],
    ),
    core("late-signal", "the same, doorbell signal", "us", CoreOp::Late(Bell::Signal), &[]),
    core(
        "late-uintr",
        "the same, doorbell uintr (emulated where the processor has none)",
        "us",
        CoreOp::Late(Bell::Uintr),
        &[],
    ),
    core(
        "fixed-work",
        "fixed work of 100 us, worst of a batch over the best, kernel booted and idle",
        "us",
        CoreOp::FixedWork { active: false },
        &[],
    ),
    core(
        "fixed-work-active",
        "fixed work of 100 us, worst of a batch over the best, another thread making calls",
        "us",
        CoreOp::FixedWork { active: true },
        &[],
    ),
    boot("boot", "boot of the kernel library", "ms", Kind::Boot, &[Goal::AtMost(3.0)]),
    boot("boot-memory", "resident set that a boot adds", "MiB", Kind::BootMemory, &[Goal::AtMost(6.0)]),
];
