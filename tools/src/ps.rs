// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway ps`: the instances of this machine, and the processes that use them. All is read from /proc: nobody is stopped, and
//! of other users' processes only root sees anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;
use stowaway_config::{instance, Key};

use crate::cli::PsOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};

/// What the library calls the memory file of an instance, as /proc shows it.
const MEMORY_FILE: &str = "/memfd:stowaway (deleted)";
/// What the library calls the process that outlives the program's.
const KEEPERS: [&str; 2] = ["stowaway-keeper", "stowaway-umount"];
/// st_blocks counts these (stat(2)).
const BLOCK_BYTES: u64 = 512;
const MIB: f64 = 1048576.0;

/// A kernel, and who uses it.
#[derive(Serialize)]
struct Instance {
    /// The inode number of its memory file.
    instance: u64,
    /// Bytes of the kernel's memory that are in use on the host.
    memory_bytes: u64,
    /// The name by which programs join it, if it has one.
    name: Option<String>,
    /// As the settings name them: IMAGE:PATH and options.
    mounts: Vec<String>,
    /// "none" or "lo"; missing: not known.
    net: Option<String>,
    processes: Vec<Process>,
}

#[derive(Serialize)]
struct Process {
    pid: u32,
    /// "program" or "keeper".
    role: &'static str,
    /// One letter (proc(5)): R runs, S sleeps, T is stopped.
    state: String,
    /// The command line.
    command: String,
}

/// Prints what runs.
pub fn ps(options: &PsOptions) -> Result<i32, Failure> {
    let instances = instances(Path::new("/proc"))
        .map_err(|error| Failure::new(EXIT_FAILED, format!("/proc: {}", reason(&error))))?;
    let text = match options.json {
        true => serde_json::to_string_pretty(&instances).expect("plain data") + "\n",
        false => table(&instances),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(EXIT_FAILED, format!("standard output: {}", reason(&error))))?;
    Ok(0)
}

/// All instances that this user may see, in the order of their first processes.
fn instances(proc: &Path) -> std::io::Result<Vec<Instance>> {
    let mut pids: Vec<u32> =
        fs::read_dir(proc)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut found: BTreeMap<u64, Instance> = BTreeMap::new();
    for pid in pids {
        let at = proc.join(pid.to_string());
        let Some(number) = memory_file(&at) else { continue };
        let instance = found.entry(number).or_insert_with(|| Instance {
            instance: number,
            memory_bytes: 0,
            name: None,
            mounts: Vec::new(),
            net: None,
            processes: Vec::new(),
        });
        if instance.memory_bytes == 0 {
            instance.memory_bytes = memory_in_use(&at, number).unwrap_or(0);
        }
        instance.is_told(&at);
        instance.processes.extend(process(&at, pid));
    }
    let mut all: Vec<Instance> = found.into_values().collect();
    all.sort_by_key(|instance| instance.processes.first().map(|process| process.pid));
    Ok(all)
}

/// The inode number of the memory file that a process has mapped.
fn memory_file(at: &Path) -> Option<u64> {
    let maps = fs::read_to_string(at.join("maps")).ok()?;
    let line = maps.lines().find(|line| line.ends_with(MEMORY_FILE))?;
    line.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// Bytes of the memory file that are in use: a process of the instance has it open.
fn memory_in_use(at: &Path, number: u64) -> Option<u64> {
    let is_it = |about: &fs::Metadata| about.ino() == number;
    fs::read_dir(at.join("fd"))
        .ok()?
        .filter_map(|entry| entry.ok())
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == MEMORY_FILE))
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .find(is_it)
        .map(|about| about.blocks() * BLOCK_BYTES)
}

impl Instance {
    /// What the environment of a process says: a keeper has all settings, a program that `stowaway run` started has none.
    fn is_told(&mut self, at: &Path) {
        let said = instance::read(&fs::read(at.join("environ")).unwrap_or_default());
        let value = |key: Key| {
            let found = said.iter().find(|(name, _)| name == key.env());
            found.map(|(_, value)| value.to_string_lossy().into_owned())
        };
        if self.mounts.is_empty() {
            let mounts = value(Key::Mount).unwrap_or_default();
            self.mounts =
                mounts.split([';', '\n']).filter(|mount| !mount.is_empty()).map(str::to_owned).collect();
        }
        self.name = self.name.take().or_else(|| value(Key::Instance));
        self.net = self.net.take().or_else(|| value(Key::Net));
    }

    fn heading(&self) -> String {
        let number = self.instance;
        let name = self.name.as_ref().map_or(format!("{number}"), |name| format!("{name} ({number})"));
        let mut parts = match self.mounts.is_empty() {
            true => vec!["no mounts".to_owned()],
            false => vec![self.mounts.join("  ")],
        };
        parts.extend(self.net.iter().filter(|net| *net != "none").map(|net| format!("net {net}")));
        parts.push(format!("{:.1} MiB", self.memory_bytes as f64 / MIB));
        format!("instance {name}: {}", parts.join("; "))
    }
}

fn process(at: &Path, pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(at.join("stat")).ok()?;
    let (name, fields) = stat.rsplit_once(") ")?;
    let name = name.split_once(" (")?.1;
    let words = fs::read(at.join("cmdline")).unwrap_or_default();
    let words: Vec<_> =
        words.split(|&byte| byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    let command = if words.is_empty() { format!("[{name}]") } else { words.join(" ") };
    let role = if KEEPERS.contains(&name) { "keeper" } else { "program" };
    Some(Process { pid, role, state: fields.chars().take(1).collect(), command })
}

fn table(instances: &[Instance]) -> String {
    let mut text = String::from("    PID S  COMMAND\n");
    for instance in instances {
        let _ = writeln!(text, "{}", printable(&instance.heading()));
        for process in &instance.processes {
            let _ = writeln!(text, "{:>7} {}  {}", process.pid, process.state, printable(&process.command));
        }
    }
    text
}

/// A command line on one line of a terminal.
fn printable(command: &str) -> String {
    command.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(proc: &Path, pid: u32, name: &str, inode: u64, cmdline: &[u8], environ: &[u8]) {
        let at = proc.join(pid.to_string());
        fs::create_dir_all(&at).unwrap();
        let maps = format!("7f00-7f01 r--p 00000000 08:01 77 /lib/x.so\n1000-2000 rw-s 00000000 00:01 {inode}   {MEMORY_FILE}\n");
        fs::write(at.join("maps"), maps).unwrap();
        fs::write(at.join("stat"), format!("{pid} ({name}) S 1 1 0")).unwrap();
        fs::write(at.join("cmdline"), cmdline).unwrap();
        fs::write(at.join("environ"), environ).unwrap();
    }

    #[test]
    fn processes_of_one_memory_file_are_one_instance() {
        let proc = tempfile::tempdir().unwrap();
        lay(proc.path(), 30, "sh) odd", 5, b"sh\0-c\0a\nb\0", b"A=b\0STOWAWAY_MOUNT=i.img:/a;j.img:/b\0");
        let kept = b"STOWAWAY_KEPT_BY=1:2\0STOWAWAY_NET=lo\0STOWAWAY_INSTANCE=work\0";
        lay(proc.path(), 31, KEEPERS[0], 5, b"stowaway-keeper\0", kept);
        lay(proc.path(), 9, "cat", 6, b"cat\0", b"");
        fs::create_dir(proc.path().join("12")).unwrap();
        let all = instances(proc.path()).unwrap();
        assert_eq!(all.iter().map(|one| one.instance).collect::<Vec<_>>(), [6, 5]);
        let pids: Vec<_> = all[1].processes.iter().map(|one| (one.pid, one.role)).collect();
        assert_eq!(pids, [(30, "program"), (31, "keeper")]);
        assert_eq!(all[1].mounts, ["i.img:/a", "j.img:/b"]);
        let text = table(&all);
        assert!(text.contains("     30 S  sh -c a?b\n"), "{text}");
        assert!(text.contains("instance work (5): i.img:/a  j.img:/b; net lo; 0.0 MiB\n"), "{text}");
        assert!(text.contains("instance 6: no mounts; 0.0 MiB\n"), "{text}");
    }
}
