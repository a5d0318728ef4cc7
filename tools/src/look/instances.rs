// SPDX-License-Identifier: GPL-2.0-only
//! The instances of this machine, and the processes that use them. All is read from /proc: nobody is stopped, and of other
//! users' processes only root sees anything.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;
use stowaway_config::{instance, Key};

use super::memory::MEMORY_FILE;
use crate::fail::reason;

/// What the library calls the process that outlives the program's.
const KEEPERS: [&str; 2] = ["stowaway-keeper", "stowaway-umount"];
/// st_blocks counts these (stat(2)).
const BLOCK_BYTES: u64 = 512;
/// Of a link in /proc/PID/fd: the file is open to be written (proc(5)).
const CAN_WRITE: u32 = 0o200;

/// A kernel, and who uses it.
#[derive(Serialize)]
pub struct Instance {
    /// The inode number of its memory file.
    pub instance: u64,
    /// Bytes of the kernel's memory that are in use on the host.
    pub memory_bytes: u64,
    /// The name by which programs join it, if it has one.
    pub name: Option<String>,
    /// As the settings name them: IMAGE:PATH and options.
    pub mounts: Vec<String>,
    /// "none" or "lo"; missing: not known.
    pub net: Option<String>,
    pub processes: Vec<Process>,
}

#[derive(Serialize)]
pub struct Process {
    pub pid: u32,
    /// "program" or "keeper".
    pub role: &'static str,
    /// One letter (proc(5)): R runs, S sleeps, T is stopped.
    pub state: String,
    /// The command line.
    pub command: String,
}

/// All instances that this user may see.
pub fn all() -> Result<Vec<Instance>, String> {
    instances(Path::new("/proc")).map_err(|error| format!("/proc: {}", reason(&error)))
}

/// The instance that a process uses, or that has a name.
pub fn find(who: &str) -> Result<Instance, String> {
    let mut all = all()?;
    let has_pid = |one: &Instance| {
        who.parse().is_ok_and(|pid: u32| one.processes.iter().any(|process| process.pid == pid))
    };
    if let Some(at) = all.iter().position(has_pid) {
        return Ok(all.swap_remove(at));
    }
    let mut named = all.into_iter().filter(|one| one.name.as_deref() == Some(who));
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(format!("{who}: several users have an instance of this name; give a PID (stowaway ps)"))
        }
        (None, _) => Err(why_none(who)),
    }
}

fn why_none(who: &str) -> String {
    let Ok(pid) = who.parse::<u32>() else {
        return format!("{who}: no instance of this name runs, or it is another user's (stowaway ps)");
    };
    match fs::read(format!("/proc/{pid}/maps")) {
        Ok(_) => format!("process {pid}: has no kernel yet; the first call that needs one starts it"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("{pid}: no such process, and no instance of this name")
        }
        Err(error) => format!("process {pid}: {}", reason(&error)),
    }
}

/// The processes that use an instance now.
pub fn users(instance: u64) -> Vec<u32> {
    let proc = Path::new("/proc");
    let uses = |pid: &u32| is_user(proc, *pid, instance);
    pids(proc).unwrap_or_default().into_iter().filter(uses).collect()
}

/// Whether a process uses an instance. Amid an exec it has the memory file open, and not mapped.
pub fn is_user(proc: &Path, pid: u32, instance: u64) -> bool {
    let at = proc.join(pid.to_string());
    memory_file(&at) == Some(instance) || memory_in_use(&at, instance).is_some()
}

fn pids(proc: &Path) -> std::io::Result<Vec<u32>> {
    let number = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut pids: Vec<u32> = fs::read_dir(proc)?.filter_map(number).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// All instances that this user may see, in the order of their first processes.
pub fn instances(proc: &Path) -> std::io::Result<Vec<Instance>> {
    let mut found: BTreeMap<u64, Instance> = BTreeMap::new();
    for pid in pids(proc)? {
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

/// Bytes of the memory file that are in use: a process of the instance has it open. One that only looks has it open to read.
fn memory_in_use(at: &Path, number: u64) -> Option<u64> {
    let is_it = |about: &fs::Metadata| about.ino() == number;
    fs::read_dir(at.join("fd"))
        .ok()?
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.metadata().is_ok_and(|link| link.mode() & CAN_WRITE != 0))
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

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A process as /proc shows it.
    pub fn lay(proc: &Path, pid: u32, name: &str, inode: u64, cmdline: &[u8], environ: &[u8]) {
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
        assert!(is_user(proc.path(), 30, 5) && !is_user(proc.path(), 30, 6) && !is_user(proc.path(), 12, 5));
    }
}
