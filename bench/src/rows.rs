// SPDX-License-Identifier: GPL-2.0-only
//! The rows, as data: what is measured, in what unit, and what the project wants of it.

use serde::Serialize;

use crate::side::Side;

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
}

/// What lies in the directory (and so in the image) before a row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// `d1000/` with 1,000 files, `f1m` of 1 MiB.
    Small,
    /// `tree/`: 5,000 files in 50 directories.
    Tree,
    /// `big`: 256 MiB.
    Big,
}

/// What a good run of a program prints.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    Nothing,
    OneLine,
    /// `ls -l` of the directory of many: a line each and a total.
    LongList,
    /// The number of names under `tree`.
    TreeCount,
}

/// What a row is about, and so which sides it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// A directory, and the ways in which a program comes to it.
    Image,
    /// System calls that go to the host, and what catching them costs.
    Calls,
}

/// What an in-process row repeats. The names are the worker's words.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    Pread4k,
    Pwrite4k,
    OpenClose,
    Stat,
    Fstat,
    /// One pass over the big file in blocks of so many bytes.
    ReadPass(usize),
    /// A call that does nothing, from a site in the worker's own code.
    NullSite,
    /// The same with nothing caught: Syscall User Dispatch is armed, and the site is in its allowed range. What is left
    /// to beat of [`Op::NullSite`].
    AllowedSite,
    /// A read of cached pages, from such a site.
    PreadSite,
    /// The same from a site of libc, answered by a handler of the worker's own that does nothing else.
    HandlerSite,
    /// A read of a descriptor that is not there for the program, from such a site.
    RefusedSite,
}

/// What a pass over the big file finds in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// All of it.
    Warm,
    /// Nothing: neither the file's pages nor, on the host, the image's.
    Cold,
    /// The file's pages are gone, the image's are in the host's page cache.
    ImageWarm,
}

/// How a row is measured.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The life of one program, in ms. `{dir}` and `{archive}` stand in its arguments.
    /// `forgets`: what the library keeps in the user's cache directory is not there.
    Program { argv: &'static [&'static str], expect: Expect, uses_mount: bool, writes: bool, forgets: bool },
    /// A loop inside one process that lives through the whole row.
    Loop { op: Op, cache: Cache },
    /// The high-water mark of the resident set of a program that uses the directory, in MiB.
    Memory,
    /// The first execution of each of many call sites, in a new process each time, in ns.
    FirstHits,
    /// How many of the sites of the C library and its loader can be rewritten, in percent.
    Sites,
}

/// What the project asks of the stowaway side.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most so many times native's cost.
    Ratio(f64),
    /// At most so much above native, in the row's unit.
    Over(f64),
    /// Less than this side.
    LessThan(Side),
    /// At most so much, in the row's unit.
    AtMost(f64),
    /// At least so much, in the row's unit.
    AtLeast(f64),
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub id: &'static str,
    pub what: &'static str,
    pub family: Family,
    pub unit: &'static str,
    pub better: Better,
    pub template: Template,
    pub kind: Kind,
    pub goals: &'static [Goal],
    pub rounds: u32,
}

impl Row {
    /// Kernel RAM of the stowaway side, where the default would not hold the row's files.
    pub fn kernel_ram(&self) -> Option<&'static str> {
        (self.template == Template::Big).then_some("512M")
    }

    /// Whether the worker catches its calls itself, by the crate, in place of the library.
    pub fn catches_itself(&self) -> bool {
        matches!(self.kind, Kind::Loop { op: Op::HandlerSite | Op::AllowedSite, .. })
    }

    /// The sides that the row could have, in the order of the report.
    pub fn sides(&self) -> &'static [Side] {
        match self.family {
            Family::Image => &Side::IMAGE,
            Family::Calls => &Side::CALLS,
        }
    }

    /// Whether the side's directory is changed, so that no other row may use it.
    pub fn writes(&self) -> bool {
        match self.kind {
            Kind::Program { writes, .. } => writes,
            Kind::Loop { op, .. } => matches!(op, Op::Pwrite4k),
            Kind::Memory | Kind::FirstHits | Kind::Sites => false,
        }
    }

    /// Why a side has no part in this row, if so.
    pub fn excludes(&self, side: Side) -> Option<&'static str> {
        match (self.kind, side) {
            (Kind::Program { uses_mount: false, .. }, Side::Loop | Side::Fuse2fs) => {
                Some("nothing is mounted in this row: it would be native again")
            }
            (Kind::Loop { cache: Cache::ImageWarm, .. }, Side::Native) => {
                Some("there is no image below a host directory")
            }
            (Kind::Loop { op: Op::RefusedSite | Op::HandlerSite | Op::AllowedSite, .. }, side)
                if side.is_peer() =>
            {
                Some("it forwards everything: that is another row")
            }
            (Kind::Sites, side) if side != Side::Stowaway => {
                Some("what can be rewritten is a matter of ours")
            }
            _ => None,
        }
    }
}

const fn program(
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

const fn calls(id: &'static str, what: &'static str, op: Op) -> Row {
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

/// All of them, in the order of the report; rows that can share a prepared image stand together.
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
    Row { goals: &[Goal::Ratio(1.0)], ..calls("pread-4k", "4 KiB pread, cached", Op::Pread4k) },
    calls("open-close", "open and close", Op::OpenClose),
    calls("stat", "stat of a path", Op::Stat),
    Row { goals: &[Goal::Ratio(1.0)], ..calls("fstat", "fstat", Op::Fstat) },
    calls("pwrite-4k", "4 KiB pwrite into cached pages", Op::Pwrite4k),
    passes("read-4k", "256 MiB in 4 KiB blocks, cached", 4096, Cache::Warm),
    Row {
        goals: &[Goal::Ratio(1.2)],
        ..passes("read-1m", "256 MiB in 1 MiB blocks, cached", 1 << 20, Cache::Warm)
    },
    Row {
        rounds: 5,
        ..passes("read-4k-cold", "256 MiB in 4 KiB blocks, first pass, from the disk", 4096, Cache::Cold)
    },
    Row {
        rounds: 5,
        ..passes("read-1m-cold", "256 MiB in 1 MiB blocks, first pass, from the disk", 1 << 20, Cache::Cold)
    },
    passes(
        "read-1m-first",
        "256 MiB in 1 MiB blocks, first pass, image in the host's cache",
        1 << 20,
        Cache::ImageWarm,
    ),
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

/// The rows whose id contains one of the patterns; all of them without patterns.
pub fn matching(patterns: &[String]) -> Vec<&'static Row> {
    let wanted = |row: &&Row| patterns.is_empty() || patterns.iter().any(|p| row.id.contains(p.as_str()));
    ROWS.iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[i + 1..].iter().all(|other| other.id != row.id), "{} twice", row.id);
        }
    }

    #[test]
    fn patterns_select() {
        assert_eq!(matching(&[]).len(), ROWS.len());
        assert_eq!(matching(&["pwrite".into(), "fstat".into()]).len(), 2);
        assert!(matching(&["nonesuch".into()]).is_empty());
    }
}
