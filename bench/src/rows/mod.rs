// SPDX-License-Identifier: GPL-2.0-only
//! The rows, as data: what is measured, in what unit, and what the project wants of it.
//!
//! Floors, from the lowest: side, image, calls, kernel.

mod calls;
mod image;
mod kernel;
mod side;

pub use side::Side;

use serde::{Deserialize, Serialize};

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// A directory, and the ways in which a program comes to it.
    Image,
    /// System calls that go to the host, and what catching them costs.
    Calls,
    /// The kernel library itself: calls, waiting, waking, time.
    Core,
}

/// What an in-process row repeats. The names are the worker's words.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    Pread4k,
    Pwrite4k,
    OpenClose,
    Stat,
    Fstat,
    /// Write 4 KiB and have it on the disk.
    Fsync4k,
    /// 4 KiB each from places of the big file that were not read before.
    Random4k,
    /// Two threads with a file each: their throughput by one thread's.
    TwoPread,
    /// One pass over the big file in blocks of so many bytes.
    ReadPass(usize),
    /// A child that ends at once; the directory's file is open.
    Fork,
    /// A child that executes `/bin/true`.
    ForkTrue,
    /// A child that executes `/bin/cat` with a file of 1 MiB.
    ForkCat,
    /// A call that does nothing, from a site in the worker's own code.
    NullSite,
    /// A call that does nothing, with nothing caught: Syscall User Dispatch is armed, and the site is in its allowed range. What is left
    /// to beat of [`Op::NullSite`].
    AllowedSite,
    /// A read of cached pages, from such a site.
    PreadSite,
    /// A call that does nothing, from a site of libc, answered by a handler of the worker's own that does nothing else.
    HandlerSite,
    /// A read of a descriptor that is not there for the program, from such a site.
    RefusedSite,
}

/// What a row about the kernel library repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreOp {
    /// getppid, served by the kernel.
    Null,
    /// A byte to another thread and one back, through two pipes; on one CPU or on two.
    Pipe { cpus: usize },
    /// System calls made of the host for that.
    PipeCalls { cpus: usize },
    /// A byte to another thread and one back, over TCP on lo.
    Tcp { cpus: usize },
    /// Two threads read what the kernel has not cached, by engines beside it: of the rings, those that nobody had to do
    /// anything for, in percent.
    RingsElided { uring: bool },
    /// 64 KiB pieces from one thread to another over TCP on lo.
    TcpStream,
    /// nanosleep of 100 us: how long it takes. `busy`: while another thread computes on the other CPU.
    Sleep { busy: bool },
    /// The end of a timed wait for a file of the kernel's, while threads of the kernel's compute on all CPUs: how late it is
    /// seen, with this backend of the doorbell.
    Late(Bell),
    /// Two threads make null calls at once: their throughput by one thread's.
    TwoNull,
    /// A fixed piece of work again and again: how much longer than the shortest the longest takes. `active`: while
    /// another thread, on another CPU, makes calls all the time.
    FixedWork { active: bool },
}

/// A backend of the doorbell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bell {
    Futex,
    Signal,
    /// Emulated where the processor has none.
    Uintr,
}

impl CoreOp {
    /// As the worker is told.
    pub fn word(self) -> String {
        format!("core-{self:?}")
    }

    /// What [`CoreOp::word`] said.
    pub fn parse(word: &str) -> Option<CoreOp> {
        let ops = all().filter_map(|row| match row.kind {
            Kind::Core(op) => Some(op),
            _ => None,
        });
        ops.into_iter().find(|op| op.word() == word)
    }

    /// CPUs that it cannot do without.
    fn cpus(self) -> usize {
        match self {
            CoreOp::Null | CoreOp::Sleep { busy: false } | CoreOp::FixedWork { active: false } => 1,
            CoreOp::Pipe { cpus } | CoreOp::PipeCalls { cpus } | CoreOp::Tcp { cpus } => cpus,
            _ => 2,
        }
    }
}

impl Bell {
    /// As the setting says it.
    pub fn name(self) -> &'static str {
        match self {
            Bell::Futex => "futex",
            Bell::Signal => "signal",
            Bell::Uintr => "uintr",
        }
    }

    /// Native has none either, but is what the others are compared with.
    fn excludes(self, side: Side) -> bool {
        !matches!(side, Side::Native | Side::Stowaway)
    }
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
    /// A loop inside one process that calls the kernel library, by the shim or without it.
    Core(CoreOp),
    /// The boot of the kernel library in a new process, in ms.
    Boot,
    /// What that adds to the resident set, in MiB.
    BootMemory,
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
    /// At least so many times native's throughput.
    Times(f64),
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
    /// Whether even those who call the library themselves need the image.
    pub fn needs_image(&self) -> bool {
        matches!(self.kind, Kind::Core(CoreOp::RingsElided { .. }))
    }

    /// The side that the goals are about.
    pub fn judged(&self) -> Side {
        match self.family {
            Family::Image | Family::Calls => Side::Stowaway,
            Family::Core if matches!(self.kind, Kind::Core(CoreOp::Late(_))) => Side::Stowaway,
            Family::Core => Side::Kernel,
        }
    }

    /// CPUs that it cannot do without.
    pub fn cpus(&self) -> usize {
        match self.kind {
            Kind::Core(op) => op.cpus(),
            Kind::Loop { op: Op::TwoPread, .. } => 2,
            _ => 1,
        }
    }

    /// One nanosecond in the row's unit.
    pub fn nanosecond(&self) -> f64 {
        match self.unit {
            "us" => 1e-3,
            "ms" => 1e-6,
            _ => 1.0,
        }
    }

    /// Kernel RAM of the stowaway side, where the default would not hold what the row is to find there.
    pub fn kernel_ram(&self) -> Option<&'static str> {
        let cached = matches!(self.kind, Kind::Loop { cache: Cache::Warm, .. });
        (cached && self.template == Template::Big).then_some("512M")
    }

    /// The doorbell that the stowaway side is to have.
    pub fn bell(&self) -> Option<Bell> {
        match self.kind {
            Kind::Core(CoreOp::Late(bell)) => Some(bell),
            _ => None,
        }
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
            Family::Core => &Side::CORE,
        }
    }

    /// Whether the side's directory is changed, so that no other row may use it.
    pub fn writes(&self) -> bool {
        match self.kind {
            Kind::Program { writes, .. } => writes,
            Kind::Loop { op, .. } => matches!(op, Op::Pwrite4k | Op::Fsync4k),
            // Their FIFOs are gone again at once.
            Kind::Core(_) => false,
            Kind::Boot | Kind::BootMemory | Kind::Memory | Kind::FirstHits | Kind::Sites => false,
        }
    }

    /// Why a side has no part in this row, if so.
    pub fn excludes(&self, side: Side) -> Option<&'static str> {
        match (self.kind, side) {
            (Kind::Program { uses_mount: false, .. }, Side::Loop | Side::Fuse2fs) => {
                Some("nothing is mounted in this row: it would be native again")
            }
            (Kind::Loop { op: Op::ReadPass(_), cache: Cache::ImageWarm }, Side::Native) => {
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
            (Kind::Boot | Kind::BootMemory, Side::Native | Side::Stowaway) => {
                Some("a program's start is another row: start-touched")
            }
            (Kind::Core(CoreOp::Null | CoreOp::TwoNull | CoreOp::Sleep { .. }), Side::Stowaway) => {
                Some("the shim leaves this call to the host")
            }
            (Kind::Core(CoreOp::Late(bell)), side) if bell.excludes(side) => {
                Some("it has no doorbell to choose")
            }
            (Kind::Core(CoreOp::PipeCalls { .. }), Side::Stowaway) => {
                Some("counted at the gate, which is the shim's own there")
            }
            (Kind::Core(CoreOp::RingsElided { .. }), side) if side != Side::Kernel => {
                Some("only the library has a doorbell that can be asked")
            }
            (Kind::Boot | Kind::BootMemory, Side::Gvisor | Side::Uml) => {
                Some("a guest system's start is another thing than a library's")
            }
            (Kind::Core(CoreOp::PipeCalls { .. }), Side::Gvisor | Side::Uml) => {
                Some("what it asks of the host is not counted")
            }
            (Kind::Core(op), Side::Uml) if op.cpus() > 1 => Some("it has one CPU"),
            (Kind::Core(CoreOp::FixedWork { .. }), Side::Stowaway) => {
                Some("the kernel is the same without the shim")
            }
            _ => None,
        }
    }
}

/// All rows, in the order of the report.
pub fn all() -> impl Iterator<Item = &'static Row> {
    [image::ROWS, calls::ROWS, kernel::ROWS].into_iter().flatten()
}

/// The rows whose id contains one of the patterns; all of them without patterns.
pub fn matching(patterns: &[String]) -> Vec<&'static Row> {
    let wanted = |row: &&Row| patterns.is_empty() || patterns.iter().any(|p| row.id.contains(p.as_str()));
    all().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        for (i, row) in all().enumerate() {
            assert!(all().skip(i + 1).all(|other| other.id != row.id), "{} twice", row.id);
        }
    }

    #[test]
    fn patterns_select() {
        assert_eq!(matching(&[]).len(), all().count());
        assert_eq!(matching(&["pwrite".into(), "start-untouched".into()]).len(), 2);
        assert!(matching(&["nonesuch".into()]).is_empty());
    }
}
