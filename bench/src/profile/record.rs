// SPDX-License-Identifier: GPL-2.0-only
//! The program under perf, with the library preloaded.
//!
//! # Safety
//! geteuid takes nothing.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use super::trace::SWITCHES;
use super::ProfileOptions;
use crate::machine::timed;

/// Has the library write where its kernel's functions are.
const PERF_MAP: &str = "STOWAWAY_PERF_MAP";

/// What may be recorded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// The host's kernel, and with it what a thread was at when it was switched away from.
    pub kernel: bool,
}

impl Allowed {
    /// By kernel.perf_event_paranoid and who we are.
    pub fn here() -> Result<Allowed> {
        if !timed::is_installed("perf") {
            bail!("perf is not installed (Debian: linux-perf)");
        }
        // SAFETY: no arguments, cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let text = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
        let paranoid: i32 = text.trim().parse().unwrap_or(2);
        if !root && paranoid > 2 {
            bail!("kernel.perf_event_paranoid is {paranoid}: an ordinary user may record nothing");
        }
        Ok(Allowed { kernel: root || paranoid < 2 })
    }
}

/// Runs the program to its end. Its exit status is its own business, and is told.
pub fn record(options: &ProfileOptions, library: &Path, allowed: Allowed, data: &Path) -> Result<()> {
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--call-graph", "fp", "--output"]).arg(data);
    let suffix = if allowed.kernel { "" } else { "u" };
    perf.arg("-e").arg(format!("cpu-clock/freq={}/{suffix}", options.frequency));
    if allowed.kernel {
        perf.arg("-e").arg(format!("{SWITCHES}/period=1/")).arg("--switch-events");
    }
    // Only the program gets the library.
    perf.args(["--", "env"]).args(environment(options, library)).args(&options.program);
    let status = perf.status().context("perf")?;
    if !data.exists() {
        bail!("perf record: {status}");
    }
    if !status.success() {
        eprintln!("bench: the program ended: {status}");
    }
    Ok(())
}

fn environment(options: &ProfileOptions, library: &Path) -> Vec<OsString> {
    let assign = |name: &str, value: &std::ffi::OsStr| {
        let mut word = OsString::from(name);
        word.push("=");
        word.push(value);
        word
    };
    let mut all = Vec::new();
    if writes_map(library) {
        all.push(assign(PERF_MAP, "1".as_ref()));
    }
    let program = options.program.first().map(Path::new).and_then(Path::file_name);
    // The command loads the library itself.
    if program != Some("stowaway".as_ref()) {
        all.push(assign("LD_PRELOAD", library.as_os_str()));
    }
    if !options.mount.is_empty() {
        all.push(assign("STOWAWAY_MOUNT", options.mount.join(";").as_ref()));
    }
    if let Some(net) = &options.net {
        all.push(assign("STOWAWAY_NET", net.as_ref()));
    }
    all
}

/// Whether the library knows the setting by which it writes /tmp/perf-PID.map; others refuse it.
fn writes_map(library: &Path) -> bool {
    let bytes = std::fs::read(library).unwrap_or_default();
    bytes.windows(PERF_MAP.len()).any(|window| window == PERF_MAP.as_bytes())
}

/// perf's own files are large.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(std::env::temp_dir().join(format!("stowaway-bench.{}.perf", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The library's helper that draws, built if need be.
pub fn flame_command() -> Result<Command> {
    let beside = std::env::current_exe()?.with_file_name("flame");
    if !beside.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "flame"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if beside.parent().and_then(Path::file_name) == Some("release".as_ref()) {
            cargo.arg("--release");
        }
        let built = cargo.stdin(Stdio::null()).status().context("cargo")?;
        if !built.success() || !beside.exists() {
            bail!("{}: not there, and cargo does not build it: {built}", beside.display());
        }
    }
    Ok(Command::new(beside))
}
