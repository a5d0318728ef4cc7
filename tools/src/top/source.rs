// SPDX-License-Identifier: GPL-2.0-only
//! Where a kernel counts: the words that it shares with the processes (`struct lkl_shared`), its table of calls, what its memory
//! management knows, its disks.

use std::time::Instant;

use super::sample::{Disk, Look, Member, Memory, Sample};
use crate::look::instances::Instance;
use crate::look::memory::{u32_at, u64_at};
use crate::look::rows::Rows;
use crate::look::Kernel;

/// `ENTERED` (`lkl/src/cpu/slots.rs`): the holder of the CPU is in the kernel.
const ENTERED: u32 = 1 << 31;
/// `NOT_BEGUN` there: the member's process has not begun, and the rest is the process that makes it.
const NOT_BEGUN: u32 = 1 << 31;
const PAGE: u64 = 4096;
/// A list of more calls that wait, or of more disks, is not believed: it changes while it is read.
const MOST: usize = 512;

/// One kernel.
pub struct Source {
    kernel: Kernel,
    at: Addresses,
    member: MemberAt,
    slot: SlotAt,
    disk: DiskAt,
}

struct Addresses {
    cpu: u64,
    inbox: u64,
    members: u64,
    member_calls: u64,
    count: usize,
    kinds: u64,
    numbers: usize,
    pages: u64,
    zone: u64,
    node: u64,
    free: u64,
    files: u64,
    dirty: u64,
    disks: u64,
}

struct MemberAt {
    bytes: usize,
    number: usize,
    pid: usize,
}

struct SlotAt {
    bytes: usize,
    next: usize,
    home: usize,
}

struct DiskAt {
    bytes: usize,
    next: usize,
    number: usize,
    minor: usize,
    requests: usize,
    moved: usize,
    no_place: u32,
}

impl Addresses {
    fn of(kernel: &Kernel) -> Result<Addresses, String> {
        let row = |name: &str| kernel.rows.get(name);
        let shared = kernel.object("lkl_shared")?;
        let word = size_of::<u64>() as u64;
        Ok(Addresses {
            cpu: shared + row("lkl_shared.cpu")?,
            inbox: shared + row("lkl_shared.inbox")?,
            members: shared + row("lkl_shared.members")?,
            member_calls: kernel.object("lkl_member_calls")?,
            count: row("LKL_MEMBERS")? as usize,
            kinds: kernel.object("lkl_calls")?,
            numbers: row("__NR_syscalls")? as usize,
            pages: kernel.object("_totalram_pages")?,
            zone: kernel.object("vm_zone_stat")?,
            node: kernel.object("vm_node_stat")?,
            free: row("NR_FREE_PAGES")? * word,
            files: row("NR_FILE_PAGES")? * word,
            dirty: row("NR_FILE_DIRTY")? * word,
            disks: kernel.object("lkb_disks")?,
        })
    }
}

/// A row as an offset in a structure.
fn offset(rows: &Rows, name: &str) -> Result<usize, String> {
    rows.get(name).map(|n| n as usize)
}

impl Source {
    /// The kernel of an instance.
    pub fn open(instance: &Instance) -> Result<Source, String> {
        let pids: Vec<u32> = instance.processes.iter().map(|process| process.pid).collect();
        let kernel = Kernel::open(instance.instance, &pids)?;
        let at = Addresses::of(&kernel)?;
        let row = |name: &str| offset(&kernel.rows, name);
        let member = MemberAt {
            bytes: row("sizeof lkl_member_row")?,
            number: row("lkl_member_row.number")?,
            pid: row("lkl_member_row.pid")?,
        };
        let slot = SlotAt {
            bytes: row("sizeof lkl_call_slot")?,
            next: row("lkl_call_slot.next")?,
            home: row("lkl_call_slot.home")?,
        };
        let disk = DiskAt {
            bytes: row("sizeof lkb")?,
            next: row("lkb.next")?,
            number: row("lkb.number")?,
            minor: row("lkb.minor")?,
            requests: row("lkb.requests")?,
            moved: row("lkb.moved")?,
            no_place: row("LKL_NO_PLACE")? as u32,
        };
        Ok(Source { kernel, at, member, slot, disk })
    }

    /// What is counted now.
    pub fn sample(&self) -> Result<Sample, String> {
        let memory = &self.kernel.memory;
        let pages = |at: u64| Ok::<u64, String>((memory.word(at)? as i64).max(0) as u64 * PAGE);
        let kinds = memory.bytes(self.at.kinds, self.at.numbers * 8)?;
        Ok(Sample {
            at: Instant::now(),
            members: self.members()?,
            kinds: (0..self.at.numbers).map(|nr| u64_at(&kinds, nr * 8)).collect(),
            memory: Memory {
                total: pages(self.at.pages)?,
                free: pages(self.at.zone + self.at.free)?,
                cache: pages(self.at.node + self.at.files)?,
                dirty: pages(self.at.node + self.at.dirty)?,
            },
            disks: self.disks()?,
        })
    }

    fn members(&self) -> Result<Vec<Member>, String> {
        let at = &self.member;
        let (memory, count) = (&self.kernel.memory, self.at.count);
        let rows = memory.bytes(self.at.members, count * at.bytes)?;
        let calls = memory.bytes(self.at.member_calls, count * 8)?;
        let member = |(index, row): (usize, &[u8])| Member {
            number: u32_at(row, at.number),
            pid: u32_at(row, at.pid) & !NOT_BEGUN,
            calls: u64_at(&calls, index * 8),
        };
        let members = rows.chunks_exact(at.bytes).enumerate().map(member);
        Ok(members.filter(|one| one.number != 0 && one.pid != 0).collect())
    }

    /// Who has the CPU, and who waits for it. The list of those who wait is taken to pieces while it is read: what is no slot ends it.
    pub fn look(&self) -> Result<Look, String> {
        let memory = &self.kernel.memory;
        let cpu = memory.half(self.at.cpu)?;
        let inside = if cpu & ENTERED != 0 { cpu & !ENTERED } else { 0 };
        let mut look = Look { inside, waiting: Vec::new() };
        let mut next = memory.word(self.at.inbox)?;
        while next != 0 && look.waiting.len() < MOST {
            let Ok(slot) = memory.bytes(next, self.slot.bytes) else { break };
            look.waiting.push(u32_at(&slot, self.slot.home));
            next = u64_at(&slot, self.slot.next);
        }
        Ok(look)
    }

    /// Disks come and go, too.
    fn disks(&self) -> Result<Vec<Disk>, String> {
        let (memory, at) = (&self.kernel.memory, &self.disk);
        let mut disks = Vec::new();
        let mut next = memory.word(self.at.disks)?;
        while next != 0 && disks.len() < MOST {
            let Ok(disk) = memory.bytes(next, at.bytes) else { break };
            let count = |at: usize, op: usize| u64_at(&disk, at + 8 * op);
            let minor = u32_at(&disk, at.minor);
            disks.push(Disk {
                number: u32_at(&disk, at.number),
                place: (minor < at.no_place).then_some(minor),
                reads: count(at.requests, 0),
                read_bytes: count(at.moved, 0),
                writes: count(at.requests, 1),
                written_bytes: count(at.moved, 1),
                others: (2..5).map(|op| count(at.requests, op)).sum(),
            });
            next = u64_at(&disk, at.next);
        }
        disks.sort_by_key(|disk| disk.number);
        Ok(disks)
    }
}
