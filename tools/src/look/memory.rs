// SPDX-License-Identifier: GPL-2.0-only
//! The memory file of an instance: all that the kernel writes lies in it, at the offset from the image's begin that it has in
//! every process. A read changes nothing, and makes no page.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::fail::reason;

/// What the library calls the memory file of an instance, as /proc shows it.
pub const MEMORY_FILE: &str = "/memfd:stowaway (deleted)";

/// The memory of a kernel. Addresses are those that the kernel itself uses.
pub struct Memory {
    file: File,
    base: u64,
}

impl Memory {
    /// Opens the memory file with the inode number `instance`, which one of the processes has open. `base`: where the image begins
    /// in them.
    pub fn open(instance: u64, pids: &[u32], base: u64) -> Result<Memory, String> {
        let mut why = String::from("no process has its memory file open");
        for pid in pids {
            match find(instance, *pid) {
                Ok(Some(file)) => return Ok(Memory { file, base }),
                Ok(None) => {}
                Err(error) => why = format!("/proc/{pid}/fd: {}", reason(&error)),
            }
        }
        Err(why)
    }

    /// Where the image begins.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of the kernel's memory.
    pub fn bytes(&self, address: u64, count: usize) -> Result<Vec<u8>, String> {
        let wrong = || format!("the kernel's memory has nothing at {address:#x}");
        let offset = address.checked_sub(self.base).ok_or_else(wrong)?;
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, offset).map_err(|_| wrong())?;
        Ok(bytes)
    }

    /// A word of 8 bytes.
    pub fn word(&self, address: u64) -> Result<u64, String> {
        let bytes = self.bytes(address, 8)?;
        Ok(u64_at(&bytes, 0))
    }

    /// A word of 4 bytes.
    pub fn half(&self, address: u64) -> Result<u32, String> {
        let bytes = self.bytes(address, 4)?;
        Ok(u32_at(&bytes, 0))
    }
}

/// The number at `at` in bytes of the kernel's; 0 beyond their end.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// As [`u64_at`].
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// As [`u64_at`].
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|word| word.try_into().ok()).map_or(0, u16::from_le_bytes)
}

/// The memory file among the descriptors of a process.
fn find(instance: u64, pid: u32) -> std::io::Result<Option<File>> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        if !fs::read_link(&path).is_ok_and(|target| target.as_os_str() == MEMORY_FILE) {
            continue;
        }
        // The descriptor may have been closed meanwhile, and its number be another file's.
        let Ok(file) = File::open(&path) else { continue };
        if file.metadata()?.ino() == instance {
            return Ok(Some(file));
        }
    }
    Ok(None)
}
