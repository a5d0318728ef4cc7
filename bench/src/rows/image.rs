// SPDX-License-Identifier: GPL-2.0-only
//! The rows about a directory, and the ways in which a program comes to it.

use super::{Better, Cache, Expect, Family, Goal, Kind, Op, Row, Side, Template};

pub(super) const fn program(
    id: &'static str,
    what: &'static str,
    template: Template,
    argv: &'static [&'static str],
    expect: Expect,
) -> Row {
    let kind = Kind::Program { argv, expect, uses_mount: true, writes: false, forgets: false };
    let (family, better) = (Family::Image, Better::Lower);
    Row { id, what, family, unit: "ms", better, template, kind, goals: &[], rounds: 25 }
}

pub(super) const fn calls(id: &'static str, what: &'static str, op: Op) -> Row {
    let kind = Kind::Loop { op, cache: Cache::Warm };
    let (unit, better) = ("ns", Better::Lower);
    let (family, template) = (Family::Image, Template::Small);
    Row { id, what, family, unit, better, template, kind, goals: &[], rounds: 11 }
}

const fn passes(id: &'static str, what: &'static str, block: usize, cache: Cache) -> Row {
    let kind = Kind::Loop { op: Op::ReadPass(block), cache };
    let (unit, better) = ("MB/s", Better::Higher);
    let (family, template) = (Family::Image, Template::Big);
    Row { id, what, family, unit, better, template, kind, goals: &[], rounds: 7 }
}

/// Single pages of the big file, none twice.
const fn random(id: &'static str, what: &'static str, cache: Cache) -> Row {
    let kind = Kind::Loop { op: Op::Random4k, cache };
    let (unit, better) = ("us", Better::Lower);
    let (family, template) = (Family::Image, Template::Big);
    Row { id, what, family, unit, better, template, kind, goals: &[], rounds: 11 }
}

/// Those that can share a prepared image stand together.
pub const ROWS: &[Row] = &[
    Row {
        kind: Kind::Program {
            argv: &["/bin/true"],
            expect: Expect::Nothing,
            uses_mount: false,
            writes: false,
            forgets: false,
        },
        goals: &[Goal::Over(2.0)],
        rounds: 51,
        ..program(
            "start-untouched",
            "/bin/true, a mount configured and not touched",
            Template::Small,
            &[],
            Expect::Nothing,
        )
    },
    Row {
        goals: &[Goal::Over(15.0), Goal::LessThan(Side::Fuse2fs)],
        ..program(
            "start-touched",
            "mount, ls -d of the mount, unmount",
            Template::Small,
            &["/bin/ls", "-d", "{dir}"],
            Expect::OneLine,
        )
    },
    program(
        "ls-1000",
        "mount, ls -l of 1,000 files, unmount",
        Template::Small,
        &["/bin/ls", "-l", "{dir}/d1000"],
        Expect::LongList,
    ),
    Row {
        unit: "MiB",
        kind: Kind::Memory,
        goals: &[Goal::Over(16.0)],
        rounds: 7,
        ..program(
            "rss",
            "resident set at its highest: 1,000 names listed, 1 MiB read",
            Template::Small,
            &[],
            Expect::Nothing,
        )
    },
    Row { goals: &[Goal::Ratio(0.65)], ..calls("pread-4k", "4 KiB pread, cached", Op::Pread4k) },
    Row { goals: &[Goal::Ratio(0.7)], ..calls("open-close", "open and close", Op::OpenClose) },
    calls("stat", "stat of a path", Op::Stat),
    Row { goals: &[Goal::Ratio(1.0)], ..calls("fstat", "fstat", Op::Fstat) },
    Row { goals: &[Goal::Ratio(0.35)], ..calls("pwrite-4k", "4 KiB pwrite into cached pages", Op::Pwrite4k) },
    Row {
        unit: "us",
        goals: &[Goal::Ratio(1.2)],
        ..calls("fsync-4k", "4 KiB pwrite and fsync", Op::Fsync4k)
    },
    Row {
        unit: "x",
        better: Better::Higher,
        goals: &[Goal::AtLeast(1.0)],
        ..calls("pread-two", "4 KiB pread by two threads at once, throughput by that of one", Op::TwoPread)
    },
    Row {
        unit: "us",
        goals: &[Goal::Ratio(1.5)],
        ..calls("fork-exit", "fork and exit, a file open", Op::Fork)
    },
    Row {
        unit: "us",
        goals: &[Goal::Over(400.0)],
        ..calls("fork-true", "fork and exec of /bin/true, a file open", Op::ForkTrue)
    },
    Row {
        unit: "us",
        goals: &[Goal::Over(500.0)],
        ..calls("fork-cat", "fork and exec of cat of 1 MiB, cached", Op::ForkCat)
    },
    passes("read-4k", "256 MiB in 4 KiB blocks, cached", 4096, Cache::Warm),
    Row {
        goals: &[Goal::Ratio(1.2)],
        ..passes("read-1m", "256 MiB in 1 MiB blocks, cached", 1 << 20, Cache::Warm)
    },
    Row {
        rounds: 11,
        ..passes("read-4k-cold", "256 MiB in 4 KiB blocks, first pass, from the disk", 4096, Cache::Cold)
    },
    Row {
        rounds: 11,
        goals: &[Goal::Times(0.9)],
        ..passes("read-1m-cold", "256 MiB in 1 MiB blocks, first pass, from the disk", 1 << 20, Cache::Cold)
    },
    passes(
        "read-1m-first",
        "256 MiB in 1 MiB blocks, first pass, image in the host's cache",
        1 << 20,
        Cache::ImageWarm,
    ),
    Row {
        goals: &[Goal::Ratio(1.3)],
        ..random("random-4k-first", "4 KiB at random, once each, image in the host's cache", Cache::ImageWarm)
    },
    Row {
        goals: &[Goal::Ratio(1.3)],
        ..random("random-4k-cold", "4 KiB at random, once each, from the disk", Cache::Cold)
    },
    Row {
        goals: &[Goal::Ratio(1.5)],
        ..program(
            "pipeline",
            "mount, ls | sort | uniq | wc of 1,000 names, unmount",
            Template::Small,
            &["/bin/sh", "-c", "ls \"$0\"/d1000 | sort | uniq | wc -l", "{dir}"],
            Expect::OneLine,
        )
    },
    program(
        "find-wc",
        "mount, find | wc over 5,000 files, unmount",
        Template::Tree,
        &["/bin/sh", "-c", "find \"$0\"/tree | wc -l", "{dir}"],
        Expect::TreeCount,
    ),
    Row {
        kind: Kind::Program {
            argv: &["/bin/tar", "-xf", "{archive}", "-C", "{dir}"],
            expect: Expect::Nothing,
            uses_mount: true,
            writes: true,
            forgets: false,
        },
        rounds: 7,
        ..program(
            "untar-5000",
            "mount, untar of 5,000 small files, unmount",
            Template::Small,
            &[],
            Expect::Nothing,
        )
    },
];
