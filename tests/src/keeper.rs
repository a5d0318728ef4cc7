// SPDX-License-Identifier: GPL-2.0-only
//! Finds the keeper of a program's instance.

use crate::process::DEADLINE;
use std::process::Child;
use std::time::{Duration, Instant};

/// The keepers of the instance that a program uses.
pub fn keepers_of(child: &Child) -> Vec<u32> {
    let maps = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    // The memory file is one and the same in all processes of an instance.
    let region = |pid: u32| {
        let maps = maps(pid);
        let inode =
            maps.lines().find(|line| line.contains("/memfd:stowaway"))?.split_whitespace().nth(4)?.to_owned();
        Some(inode)
    };
    let own = region(child.id());
    let numbers = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|&pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "stowaway-keeper\n")
        })
        .filter(|&pid| own.is_some() && region(pid) == own)
        .collect()
}

/// Waits for the keeper of a program.
#[track_caller]
pub fn keeper_of(child: &Child) -> u32 {
    let end = Instant::now() + DEADLINE;
    loop {
        if let [keeper] = keepers_of(child)[..] {
            return keeper;
        }
        assert!(Instant::now() < end, "there is no keeper");
        std::thread::sleep(Duration::from_millis(5));
    }
}
