// SPDX-License-Identifier: GPL-2.0-only
//! Where a run took place. Without this a number means nothing.
//!
//! # Safety
//! geteuid takes nothing.
#![allow(unsafe_code)]

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The machine and its state.
#[derive(Debug, Serialize, Deserialize)]
pub struct Environment {
    pub unix_time: u64,
    pub cpu: String,
    pub cpus: usize,
    pub memory_mib: u64,
    pub kernel: String,
    pub system: String,
    /// Type of the file system that holds the native directory and the images.
    pub work_file_system: String,
    pub load_before: String,
    pub load_after: String,
    /// Share of CPU time that the hypervisor gave to others during the run.
    pub steal_percent: f64,
    /// Size in bytes of the library measured.
    pub shim_bytes: Option<u64>,
    pub root: bool,
    #[serde(skip)]
    cpu_times: CpuTimes,
}

#[derive(Debug, Clone, Copy, Default)]
struct CpuTimes {
    total: u64,
    stolen: u64,
}

impl Environment {
    /// As of now, for a run that works in `work`.
    pub fn observe(work: &Path, shim: Option<&Path>) -> Environment {
        Environment {
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib("/proc/meminfo", "MemTotal").unwrap_or(0) / 1024,
            kernel: line("/proc/sys/kernel/osrelease"),
            system: system_name(),
            work_file_system: file_system_of(work),
            load_before: line("/proc/loadavg"),
            load_after: String::new(),
            steal_percent: 0.0,
            shim_bytes: shim.and_then(|path| fs::metadata(path).ok()).map(|meta| meta.len()),
            // SAFETY: no arguments, cannot fail.
            root: unsafe { libc::geteuid() } == 0,
            cpu_times: cpu_times(),
        }
    }

    /// The run is over.
    pub fn close(&mut self) {
        let now = cpu_times();
        let total = now.total.saturating_sub(self.cpu_times.total).max(1);
        let stolen = now.stolen.saturating_sub(self.cpu_times.stolen);
        self.steal_percent = stolen as f64 * 100.0 / total as f64;
        self.load_after = line("/proc/loadavg");
    }
}

/// Type name of the file system that holds `path`, by the longest mount point above it.
pub fn file_system_of(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best = (0, "unknown");
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(point), Some(kind)) = (words.next(), words.next()) {
            // The later of two on one point is the one seen.
            if path.starts_with(point) && point.len() >= best.0 {
                best = (point.len(), kind);
            }
        }
    }
    best.1.to_string()
}

/// Value in KiB of a `Name:  123 kB` line.
pub fn kib(file: &str, name: &str) -> Option<u64> {
    field(file, name)?.split(' ').next()?.parse().ok()
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim_end() == name).then(|| value.trim().to_string())
    });
    value
}

fn line(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim_end().to_string()
}

fn system_name() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_string()
}

fn cpu_times() -> CpuTimes {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; the guest columns are counted in user already.
    let times: Vec<u64> = first.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    CpuTimes { total: times.iter().sum(), stolen: times.get(7).copied().unwrap_or(0) }
}
