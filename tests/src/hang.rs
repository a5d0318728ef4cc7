// SPDX-License-Identifier: GPL-2.0-only
//! What a command that hangs was doing: asked of the host, and of gdb where there is one, before it is killed.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};

/// Seconds that gdb gets.
const PATIENCE: &str = "20";

/// Every thread of every process of the group, as text: where it waits, how long it ran, and its stack.
pub fn report(group: u32) -> String {
    let mut text = String::new();
    for pid in numbers("/proc").filter(|&pid| group_of(pid) == Some(group)) {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let _ = writeln!(text, "process {pid} hangs: {}", command.replace('\0', " "));
        for tid in numbers(&format!("/proc/{pid}/task")) {
            thread(&mut text, &format!("/proc/{pid}/task/{tid}"), tid);
        }
        text.push_str(&stacks(pid));
    }
    text
}

fn numbers(directory: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// proc(5), stat: what follows the name is state, parent, group.
fn group_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(2)?.parse().ok()
}

fn thread(text: &mut String, directory: &str, tid: u32) {
    let read = |name: &str| fs::read_to_string(format!("{directory}/{name}")).unwrap_or_default();
    let status = read("status");
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_string()
    };
    let stat = read("stat");
    let ran: Vec<&str> =
        stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11).take(2).collect();
    let _ = writeln!(
        text,
        "  thread {tid} ({}): {}, waits in {}, call {}, ran {ran:?} ticks, blocks {}, pending {} {}",
        read("comm").trim(),
        field("State:"),
        read("wchan"),
        read("syscall").trim(),
        field("SigBlk:"),
        field("SigPnd:"),
        field("ShdPnd:"),
    );
}

fn stacks(pid: u32) -> String {
    let mut gdb = Command::new("timeout");
    gdb.args(["-k", "1", PATIENCE, "gdb", "-nx", "-batch", "-ex", "set pagination off", "-ex"]);
    gdb.args(["thread apply all bt 40", "-p", &pid.to_string()]).stdin(Stdio::null());
    match gdb.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => format!("  no stacks: {error}\n"),
    }
}
