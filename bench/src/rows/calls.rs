// SPDX-License-Identifier: GPL-2.0-only
//! The rows about system calls that go to the host, and what catching them costs.

use super::image::{calls, program};
use super::{Better, Expect, Family, Goal, Kind, Op, Row, Template};

const fn sites(id: &'static str, what: &'static str, op: Op, goals: &'static [Goal]) -> Row {
    Row { family: Family::Calls, goals, rounds: 21, ..calls(id, what, op) }
}

/// A program that the host serves alone, while a mount is configured.
const fn on_the_host(
    id: &'static str,
    what: &'static str,
    argv: &'static [&'static str],
    goals: &'static [Goal],
) -> Row {
    let kind =
        Kind::Program { argv, expect: Expect::Nothing, uses_mount: false, writes: false, forgets: false };
    let row = program(id, what, Template::Small, argv, Expect::Nothing);
    Row { family: Family::Calls, kind, goals, ..row }
}

/// All of them.
pub const ROWS: &[Row] = &[
    sites("call-null", "getppid, forwarded", Op::NullSite, &[Goal::Ratio(1.12)]),
    sites("call-allowed", "getppid, dispatch armed and the call allowed", Op::AllowedSite, &[]),
    sites(
        "call-pread-4k",
        "4 KiB pread of a host file, cached, forwarded",
        Op::PreadSite,
        &[Goal::Ratio(1.04)],
    ),
    sites(
        "call-handler",
        "getppid answered by a handler that does nothing else",
        Op::HandlerSite,
        &[Goal::AtMost(6.0)],
    ),
    sites(
        "call-refused",
        "read answered by the descriptor's class alone",
        Op::RefusedSite,
        &[Goal::AtMost(10.0)],
    ),
    Row {
        kind: Kind::FirstHits,
        ..sites("call-first", "first call from a site, mean of 2,048", Op::NullSite, &[Goal::Ratio(12.0)])
    },
    Row {
        unit: "%",
        better: Better::Higher,
        kind: Kind::Sites,
        rounds: 1,
        ..sites(
            "call-sites",
            "sites of libc and ld.so that are rewritten",
            Op::NullSite,
            &[Goal::AtLeast(100.0)],
        )
    },
    Row {
        kind: Kind::Program {
            argv: &["/bin/true"],
            expect: Expect::Nothing,
            uses_mount: false,
            writes: false,
            forgets: true,
        },
        rounds: 101,
        ..on_the_host(
            "start-preload-cold",
            "/bin/true, a mount configured, nothing in the cache of sites",
            &["/bin/true"],
            &[Goal::Over(0.3)],
        )
    },
    Row {
        rounds: 101,
        ..on_the_host("start-preload", "/bin/true, a mount configured", &["/bin/true"], &[Goal::Over(0.15)])
    },
    Row {
        rounds: 15,
        ..on_the_host(
            "dd-bs1",
            "dd bs=1 count=200000 on host files",
            &["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=200000", "status=none"],
            &[Goal::Ratio(1.05)],
        )
    },
];
