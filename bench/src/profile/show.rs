// SPDX-License-Identifier: GPL-2.0-only
//! The profile as a table, a histogram, and folded stacks.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::parts::{call, Frame, Part, Room};
use super::trace::Stay;

/// Calls that the table names; the rest are few.
const CALLS: usize = 12;
/// Characters of the longest bar.
const BAR: usize = 40;

#[derive(Debug, Default, Clone)]
struct Sum {
    running_ns: u64,
    waiting_ns: u64,
    waits: Vec<u64>,
}

impl Sum {
    fn add(&mut self, stay: &Stay) {
        if stay.waits {
            self.waiting_ns += stay.ns;
            self.waits.push(stay.ns);
        } else {
            self.running_ns += stay.ns;
        }
    }

    fn total(&self) -> u64 {
        self.running_ns + self.waiting_ns
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Where the time went, part by part.
pub fn table(stays: &[Stay]) -> String {
    let mut sums: BTreeMap<Part, Sum> = BTreeMap::new();
    stays.iter().for_each(|stay| sums.entry(stay.part).or_default().add(stay));
    let all: u64 = sums.values().map(Sum::total).sum();
    let mut out = String::new();
    let _ = writeln!(out, "{:21} {:>9} {:>9} {:>7}  {:>8}", "", "on a CPU", "waiting", "share", "waits");
    for part in Part::ALL {
        let Some(sum) = sums.get(&part) else { continue };
        let _ = writeln!(
            out,
            "{:21} {:>6.1} ms {:>6.1} ms {:>5.1} %  {:>8}  {}",
            part.name(),
            ms(sum.running_ns),
            ms(sum.waiting_ns),
            sum.total() as f64 * 100.0 / all.max(1) as f64,
            sum.waits.len(),
            part.means()
        );
    }
    out
}

/// The parts of the time of each kernel call.
pub fn calls(stays: &[Stay]) -> String {
    let mut sums: HashMap<&str, (u64, BTreeMap<Part, u64>)> = HashMap::new();
    for stay in stays {
        if let Some(name) = call(&stay.stack) {
            let (total, parts) = sums.entry(name).or_default();
            *total += stay.ns;
            *parts.entry(stay.part).or_default() += stay.ns;
        }
    }
    let mut lines: Vec<_> = sums.into_iter().collect();
    lines.sort_by(|(a, x), (b, y)| y.0.cmp(&x.0).then(a.cmp(b)));
    let mut out = String::new();
    for (name, (total, parts)) in lines.into_iter().take(CALLS) {
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        let share = |ns: u64| ns as f64 * 100.0 / total.max(1) as f64;
        let words: Vec<String> =
            parts.iter().map(|(part, ns)| format!("{} {:.0} %", part.name(), share(*ns))).collect();
        let _ = writeln!(out, "{name:21} {:>6.1} ms  {}", ms(total), words.join(", "));
    }
    out
}

/// How long waits are: a bar for each doubling, part by part.
pub fn histogram(stays: &[Stay]) -> String {
    let mut waits: BTreeMap<Part, BTreeMap<u32, usize>> = BTreeMap::new();
    for stay in stays.iter().filter(|stay| stay.waits) {
        let doubling = (stay.ns / 1000).max(1).ilog2();
        *waits.entry(stay.part).or_default().entry(doubling).or_default() += 1;
    }
    let mut out = String::new();
    for (part, counts) in &waits {
        let _ = writeln!(out, "{}:", part.name());
        let most = counts.values().copied().max().unwrap_or(1);
        let (first, last) =
            (counts.keys().min().copied().unwrap_or(0), counts.keys().max().copied().unwrap_or(0));
        for doubling in first..=last {
            let count = counts.get(&doubling).copied().unwrap_or(0);
            let bar = "#".repeat((count * BAR).div_ceil(most));
            let _ = writeln!(out, "  {:>8} us {count:>8} {bar}", format!("< {}", 2u64 << doubling));
        }
    }
    out
}

/// A line for each stack, outermost first, with its weight in microseconds. Endings tell the rooms apart.
pub fn folded(stays: &[Stay], with_waits: bool) -> String {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for stay in stays.iter().filter(|stay| with_waits || !stay.waits) {
        let frames = stay.stack.iter().rev().map(label);
        let mut names: Vec<String> = std::iter::once(stay.thread.clone()).chain(frames).collect();
        if stay.waits {
            names.push("(off the CPU)".into());
        }
        *sums.entry(names.join(";")).or_default() += stay.ns;
    }
    let mut out = String::new();
    for (stack, ns) in sums {
        let _ = writeln!(out, "{stack} {}", ns.div_ceil(1000));
    }
    out
}

fn label(frame: &Frame) -> String {
    let ending = match frame.room {
        Room::Kernel => "_[k]",
        Room::Host => "_[i]",
        Room::Program | Room::Shim => "",
    };
    // What separates frames must not be in a name.
    format!("{}{ending}", frame.name.replace(';', ":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(ns: u64, waits: bool, part: Part, frames: &[(Room, &str)]) -> Stay {
        let stack = frames.iter().map(|(room, name)| Frame { room: *room, name: (*name).into() }).collect();
        Stay { ns, waits, part, stack, thread: "prog".into() }
    }

    #[test]
    fn stacks_fold_outermost_first() {
        let frames = [(Room::Kernel, "ext4_read"), (Room::Shim, "stowaway::read"), (Room::Program, "main")];
        let stays = [
            stay(1500, false, Part::Kernel, &frames),
            stay(600, false, Part::Kernel, &frames),
            stay(9000, true, Part::Cpu, &frames[1..]),
        ];
        assert_eq!(folded(&stays, false), "prog;main;stowaway::read;ext4_read_[k] 3\n");
        assert!(folded(&stays, true).contains("prog;main;stowaway::read;(off the CPU) 9\n"));
    }

    #[test]
    fn tables_add_up() {
        let sys = [(Room::Kernel, "vfs_read"), (Room::Kernel, "__x64_sys_read")];
        let stays = [
            stay(3_000_000, false, Part::Kernel, &sys),
            stay(1_000_000, true, Part::HostIo, &sys),
            stay(40_000, true, Part::Cpu, &[]),
        ];
        let text = table(&stays);
        assert!(text.contains("74.3 %") && text.contains("24.8 %"), "{text}");
        assert!(calls(&stays).contains("read                     4.0 ms  kernel 75 %, host I/O 25 %"));
        let bars = histogram(&stays);
        assert!(bars.contains("< 64 us        1 #") && bars.contains("< 1024 us        1 #"), "{bars}");
    }
}
