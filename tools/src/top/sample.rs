// SPDX-License-Identifier: GPL-2.0-only
//! What a kernel has counted at one moment, and what follows from two of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use syscalls::Sysno;

use crate::look::instances::{Instance, Process};
use crate::ps;

/// A process, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Not used again, unlike the pid.
    pub number: u32,
    pub pid: u32,
    /// Calls so far.
    pub calls: u64,
}

/// Bytes of the kernel's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub free: u64,
    /// Pages of files.
    pub cache: u64,
    /// Those of them that are to be written.
    pub dirty: u64,
}

/// A disk, and its requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub number: u32,
    /// The place of its mount among the settings, if it has one.
    pub place: Option<u32>,
    pub reads: u64,
    pub read_bytes: u64,
    pub writes: u64,
    pub written_bytes: u64,
    /// Flushes, discards, zeroes.
    pub others: u64,
}

/// All that is counted.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub members: Vec<Member>,
    /// Calls by number.
    pub kinds: Vec<u64>,
    pub memory: Memory,
    pub disks: Vec<Disk>,
}

/// What a look at the CPU found: who has it, and who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// A member's number; 0: nobody.
    pub inside: u32,
    /// The member of each call that waits.
    pub waiting: Vec<u32>,
}

/// Many looks.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    count: u32,
    /// By member: found inside, found waiting.
    found: BTreeMap<u32, [u32; 2]>,
}

impl Looks {
    /// One more.
    pub fn add(&mut self, look: &Look) {
        self.count += 1;
        if look.inside != 0 {
            self.found.entry(look.inside).or_default()[0] += 1;
        }
        for member in &look.waiting {
            self.found.entry(*member).or_default()[1] += 1;
        }
    }

    /// The part of the looks that found the member, or any (`None`), inside; and how many calls of it waited at once.
    fn shares(&self, member: Option<u32>) -> [f64; 2] {
        let those = self.found.iter().filter(|(number, _)| member.is_none_or(|one| one == **number));
        let sums = those.fold([0; 2], |sum, (_, found)| [sum[0] + found[0], sum[1] + found[1]]);
        sums.map(|n| f64::from(n) / f64::from(self.count.max(1)))
    }
}

/// A process, as it is shown.
#[derive(Clone, Debug, Default)]
pub struct MemberRow {
    pub pid: u32,
    pub state: String,
    pub command: String,
    /// The part of the time that it had the CPU.
    pub inside: f64,
    /// How many of its calls waited for the CPU.
    pub waiting: f64,
    /// Calls a second, and so far.
    pub rate: f64,
    pub calls: u64,
}

/// A disk, as it is shown: what is counted is a second's.
#[derive(Clone, Debug, Default)]
pub struct DiskRow {
    pub name: String,
    pub reads: f64,
    pub read_bytes: f64,
    pub writes: f64,
    pub written_bytes: f64,
    pub others: f64,
}

/// An instance, as it is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub heading: String,
    pub memory: Memory,
    /// The part of the time that anybody had the CPU, and how many calls waited for it.
    pub inside: f64,
    pub waiting: f64,
    /// Calls a second.
    pub rate: f64,
    pub members: Vec<MemberRow>,
    /// Calls a second by name, most first.
    pub kinds: Vec<(String, f64)>,
    pub disks: Vec<DiskRow>,
}

/// How many in a second.
fn rate(now: u64, before: Option<u64>, time: Duration) -> f64 {
    now.saturating_sub(before.unwrap_or(0)) as f64 / time.as_secs_f64().max(0.001)
}

impl View {
    /// What happened between two samples.
    pub fn new(instance: &Instance, before: &Sample, now: &Sample, looks: &Looks) -> View {
        let time = now.at.saturating_duration_since(before.at);
        let [inside, waiting] = looks.shares(None);
        let members: Vec<MemberRow> =
            instance.processes.iter().map(|process| member_row(process, before, now, looks, time)).collect();
        let old = |nr: usize| before.kinds.get(nr).copied();
        let rates = now.kinds.iter().enumerate().map(|(nr, &n)| (nr, rate(n, old(nr), time)));
        let mut kinds: Vec<(String, f64)> =
            rates.filter(|(_, rate)| *rate > 0.0).map(|(nr, rate)| (call_name(nr), rate)).collect();
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
        let disks = now.disks.iter().map(|disk| disk_row(instance, disk, before, time)).collect();
        View {
            heading: ps::heading(instance),
            memory: now.memory,
            inside,
            waiting,
            // Processes that have ended meanwhile called, too.
            rate: kinds.iter().map(|(_, rate)| rate).sum(),
            members,
            kinds,
            disks,
        }
    }
}

fn member_row(process: &Process, before: &Sample, now: &Sample, looks: &Looks, time: Duration) -> MemberRow {
    let found = now.members.iter().find(|one| one.pid == process.pid).copied().unwrap_or_default();
    let old = before.members.iter().find(|one| one.number == found.number).map(|one| one.calls);
    let [inside, waiting] = if found.number == 0 { [0.0; 2] } else { looks.shares(Some(found.number)) };
    MemberRow {
        pid: process.pid,
        state: process.state.clone(),
        command: ps::printable(&process.command),
        inside,
        waiting,
        rate: rate(found.calls, old, time),
        calls: found.calls,
    }
}

fn disk_row(instance: &Instance, disk: &Disk, before: &Sample, time: Duration) -> DiskRow {
    let old = before.disks.iter().find(|one| one.number == disk.number);
    let of = |count: fn(&Disk) -> u64| rate(count(disk), old.map(count), time);
    let mount = disk.place.and_then(|place| instance.mounts.get(place as usize));
    DiskRow {
        name: mount.map_or_else(|| format!("lkb{}", disk.number), |mount| ps::printable(mount)),
        reads: of(|one| one.reads),
        read_bytes: of(|one| one.read_bytes),
        writes: of(|one| one.writes),
        written_bytes: of(|one| one.written_bytes),
        others: of(|one| one.others),
    }
}

fn call_name(nr: usize) -> String {
    Sysno::new(nr).map_or_else(|| format!("call {nr}"), |call| call.name().to_owned())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn instance() -> Instance {
        let process =
            |pid, role, command: &str| Process { pid, role, state: "S".into(), command: command.into() };
        Instance {
            instance: 1034,
            memory_bytes: 9 << 20,
            name: Some("work".into()),
            mounts: vec!["disk.img:/mnt/d".into()],
            net: Some("lo".into()),
            processes: vec![process(7, "program", "bash\nx"), process(9, "keeper", "stowaway-keeper")],
        }
    }

    /// Two samples, two seconds from each other.
    pub fn view() -> View {
        let at = Instant::now();
        let disk = Disk { place: Some(0), reads: 1, ..Disk::default() };
        let before = Sample {
            at,
            members: vec![Member { number: 1, pid: 7, calls: 10 }],
            kinds: vec![5, 0, 0],
            memory: Memory::default(),
            disks: vec![disk],
        };
        let now = Sample {
            at: at + Duration::from_secs(2),
            members: vec![Member { number: 1, pid: 7, calls: 110 }, Member { number: 2, pid: 9, calls: 4 }],
            kinds: vec![5, 20, 80],
            memory: Memory { total: 64 << 20, free: 40 << 20, cache: 8 << 20, dirty: 1 << 20 },
            disks: vec![Disk { reads: 5, read_bytes: 2 << 20, writes: 2, ..disk }],
        };
        let mut looks = Looks::default();
        looks.add(&Look { inside: 1, waiting: vec![2, 2] });
        looks.add(&Look::default());
        View::new(&instance(), &before, &now, &looks)
    }

    #[test]
    fn rates_are_a_seconds() {
        let view = view();
        let rates: Vec<_> = view.members.iter().map(|one| (one.pid, one.rate, one.calls)).collect();
        assert_eq!(rates, [(7, 50.0, 110), (9, 2.0, 4)]);
        assert_eq!((view.members[0].inside, view.members[1].waiting), (0.5, 1.0));
        assert_eq!((view.inside, view.waiting, view.rate), (0.5, 1.0, 50.0));
        assert_eq!(view.kinds, [("open".to_owned(), 40.0), ("write".to_owned(), 10.0)]);
        assert_eq!((view.disks[0].reads, view.disks[0].writes), (2.0, 1.0));
        assert_eq!(
            (view.disks[0].name.as_str(), view.members[0].command.as_str()),
            ("disk.img:/mnt/d", "bash?x")
        );
    }
}
