// SPDX-License-Identifier: GPL-2.0-only
//! An instance as plain text, for a pipe or a file.

use std::fmt::Write;

use super::sample::{DiskRow, MemberRow, Memory, View};

const MIB: f64 = 1048576.0;

/// Bytes in MiB.
pub fn mib(bytes: f64) -> String {
    format!("{:.1}", bytes / MIB)
}

/// A part as per cent.
pub fn percent(part: f64) -> String {
    format!("{:.0}%", part * 100.0)
}

/// One line about memory.
pub fn memory(memory: &Memory) -> String {
    let [total, used, free, cache, dirty] =
        [memory.total, memory.total.saturating_sub(memory.free), memory.free, memory.cache, memory.dirty]
            .map(|bytes| mib(bytes as f64));
    format!("{total} MiB: {used} used, {free} free; {cache} cache, {dirty} dirty")
}

/// One line about the CPU.
pub fn cpu(view: &View) -> String {
    format!("{} busy; {:.1} calls wait; {:.0} calls/s", percent(view.inside), view.waiting, view.rate)
}

/// The columns of the processes.
pub const MEMBERS: [&str; 7] = ["PID", "S", "CPU", "WAIT", "CALLS/S", "CALLS", "COMMAND"];

/// A process in these columns.
pub fn member(row: &MemberRow) -> [String; 7] {
    [
        row.pid.to_string(),
        row.state.clone(),
        percent(row.inside),
        format!("{:.1}", row.waiting),
        format!("{:.0}", row.rate),
        row.calls.to_string(),
        row.command.clone(),
    ]
}

/// The columns of the disks.
pub const DISKS: [&str; 6] = ["READ/S", "MIB/S", "WRITE/S", "MIB/S", "OTHER/S", "DISK"];

/// A disk in these columns.
pub fn disk(row: &DiskRow) -> [String; 6] {
    let whole = |n: f64| format!("{n:.0}");
    [
        whole(row.reads),
        mib(row.read_bytes),
        whole(row.writes),
        mib(row.written_bytes),
        whole(row.others),
        row.name.clone(),
    ]
}

/// All of an instance.
pub fn snapshot(view: &View) -> String {
    let mut text = format!("{}\n", view.heading);
    let _ = writeln!(text, "cpu:    {}", cpu(view));
    let _ = writeln!(text, "memory: {}", memory(&view.memory));
    if !view.kinds.is_empty() {
        let kinds: Vec<String> = view.kinds.iter().map(|(name, rate)| format!("{name} {rate:.0}")).collect();
        let _ = writeln!(text, "calls/s: {}", kinds.join(", "));
    }
    if !view.disks.is_empty() {
        let rows: Vec<_> = view.disks.iter().map(disk).collect();
        table(&mut text, DISKS, &rows);
    }
    let rows: Vec<_> = view.members.iter().map(member).collect();
    table(&mut text, MEMBERS, &rows);
    text
}

/// Numbers to the right, the last column as long as it is.
fn table<const N: usize>(text: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let head = head.map(str::to_owned);
    for row in [&head].into_iter().chain(rows) {
        let cells: Vec<String> =
            row[..N - 1].iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        let _ = writeln!(text, "  {}  {}", cells.join("  "), row[N - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::view;
    use super::*;

    #[test]
    fn a_snapshot_is_a_table() {
        assert_eq!(
            snapshot(&view()),
            "\
instance work (1034): disk.img:/mnt/d; net lo; 9.0 MiB
cpu:    50% busy; 1.0 calls wait; 50 calls/s
memory: 64.0 MiB: 24.0 used, 40.0 free; 8.0 cache, 1.0 dirty
calls/s: open 40, write 10
  READ/S  MIB/S  WRITE/S  MIB/S  OTHER/S  DISK
       2    1.0        1    0.0        0  disk.img:/mnt/d
  PID  S  CPU  WAIT  CALLS/S  CALLS  COMMAND
    7  S  50%   0.0       50    110  bash?x
    9  S   0%   1.0        2      4  stowaway-keeper
"
        );
    }
}
