// SPDX-License-Identifier: GPL-2.0-only
//! What the file of an exec is: whether the library can be preloaded into the program that comes of it.
//!
//! Rules of the place: those of `environment.rs`. What cannot be read or is not understood is followed: then
//! the host says what is wrong with it.
#![allow(unsafe_code)]

use core::ffi::CStr;

use libc::{Elf64_Ehdr, Elf64_Phdr};

use crate::sys::host;

/// The kernel follows no more interpreters of interpreters (fs/exec.c).
const SCRIPT_DEPTH: usize = 5;
/// What the kernel reads of a script's first line (BINPRM_BUF_SIZE).
const HEAD: usize = 256;
/// More program headers than any linker makes.
const SEGMENTS: usize = 64;
const S_ISUID: u32 = 0o4000;
/// Set-group-ID means something only together with the group's execute bit.
const S_ISGID_X: u32 = 0o2010;
const ST_NOSUID: u64 = 2;
/// Of DT_FLAGS_1: a program. What has none and no interpreter either is a dynamic loader, run by hand.
const DF_1_PIE: u64 = 0x0800_0000;
const DT_SONAME: u64 = 14;
const DT_STRTAB: u64 = 5;
const DT_FLAGS_1: u64 = 0x6fff_fffb;

/// Why the library cannot be in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It becomes somebody else: the loader ignores LD_PRELOAD.
    SetId(&'static str),
    /// It has file capabilities: likewise.
    Capabilities,
    /// It has no dynamic loader.
    Static,
    /// Its dynamic loader is musl's.
    Musl,
    /// It is no 64-bit x86 program.
    Foreign,
}

impl Obstacle {
    /// For a message.
    pub fn text(self) -> &'static str {
        match self {
            Obstacle::SetId(which) => which,
            Obstacle::Capabilities => "it has file capabilities",
            Obstacle::Static => "it is statically linked",
            Obstacle::Musl => "it is linked with musl",
            Obstacle::Foreign => "it is for another machine",
        }
    }
}

/// A host file opened for reading.
struct File(i32);

impl File {
    fn open(dirfd: usize, path: usize) -> Option<File> {
        // A FIFO must not be waited for.
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as usize;
        let fd = host::call(libc::SYS_openat, &[dirfd, path, flags, 0]);
        (fd >= 0).then_some(File(fd as i32))
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> usize {
        let args = [self.0 as usize, into.as_mut_ptr() as usize, into.len(), at as usize];
        host::call(libc::SYS_pread64, &args).max(0) as usize
    }

    fn has_all_at(&self, into: &mut [u8], at: u64) -> bool {
        self.read_at(into, at) == into.len()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        host::close(self.0);
    }
}

/// Looks at the file that execveat would take for these arguments.
pub fn obstacle(dirfd: usize, path: usize, is_descriptor: bool) -> Option<Obstacle> {
    let mut file = if is_descriptor { reopen(dirfd)? } else { File::open(dirfd, path)? };
    for _ in 0..SCRIPT_DEPTH {
        let mut head = [0u8; HEAD + 1];
        let n = file.read_at(&mut head[..HEAD], 0);
        if head.starts_with(b"\x7fELF") {
            return of_privileges(&file).or_else(|| of_binary(&file, &head[..n]));
        }
        let interpreter = interpreter(&mut head[..=n])?;
        file = File::open(libc::AT_FDCWD as usize, interpreter.as_ptr() as usize)?;
    }
    None
}

/// The file of a descriptor, which may itself not be readable (O_PATH).
fn reopen(fd: usize) -> Option<File> {
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    crate::fdtable::put_number(&mut path[14..], fd as u32 as usize);
    File::open(libc::AT_FDCWD as usize, path.as_ptr() as usize)
}

/// The interpreter in a script's first line. The last byte of `head` is room for the NUL.
fn interpreter(head: &mut [u8]) -> Option<&CStr> {
    let line = head.strip_prefix(b"#!")?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = 2 + line.iter().position(|byte| !blank(byte))?;
    let length = head[start..].iter().position(|byte| blank(byte) || matches!(byte, b'\n' | 0))?;
    head[start + length] = 0;
    let path = CStr::from_bytes_with_nul(&head[start..=start + length]).ok()?;
    (length != 0).then_some(path)
}

/// Whether the kernel will tell the dynamic loader to be careful (AT_SECURE; security/commoncap.c,
/// cap_bprm_creds_from_file).
fn of_privileges(file: &File) -> Option<Obstacle> {
    let fd = file.0 as usize;
    // SAFETY: plain data, filled by fstat.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    host::call(libc::SYS_fstat, &[fd, &raw mut status as usize]);
    let ids = |nr: i64| -> [u32; 3] {
        let mut ids = [0u32; 3];
        let at = ids.as_mut_ptr() as usize;
        host::call(nr, &[at, at + 4, at + 8]);
        ids
    };
    let (setuid, setgid) = (status.st_mode & S_ISUID != 0, status.st_mode & S_ISGID_X == S_ISGID_X);
    let name = c"security.capability".as_ptr() as usize;
    let capable = host::call(libc::SYS_fgetxattr, &[fd, name, 0, 0]) > 0;
    let count = setuid || setgid || capable;
    let (uid, gid) = (ids(libc::SYS_getresuid), ids(libc::SYS_getresgid));
    if count && !are_ignored(fd) {
        if setuid && status.st_uid != uid[0] {
            return Some(Obstacle::SetId("it is setuid"));
        }
        if setgid && status.st_gid != gid[0] {
            return Some(Obstacle::SetId("it is setgid"));
        }
        if capable && uid[0] != 0 {
            return Some(Obstacle::Capabilities);
        }
    }
    // A setuid program that did not give up its rights starts others in this state.
    if (uid[0] != uid[1] && !setuid) || (gid[0] != gid[1] && !setgid) {
        return Some(Obstacle::SetId("a setuid program starts it"));
    }
    None
}

/// Whether set-ID bits and file capabilities mean nothing here.
fn are_ignored(fd: usize) -> bool {
    // SAFETY: plain data, filled by fstatfs.
    let mut fs: libc::statfs = unsafe { core::mem::zeroed() };
    let known = host::call(libc::SYS_fstatfs, &[fd, &raw mut fs as usize]) == 0;
    // struct statfs has f_flags where libc keeps its padding (include/uapi/asm-generic/statfs.h).
    const FLAGS_AT: usize = 80;
    // SAFETY: the field lies within the structure, aligned as the structure is.
    let flags = unsafe { (&raw const fs).cast::<u8>().add(FLAGS_AT).cast::<u64>().read() };
    let no_new = host::call(libc::SYS_prctl, &[libc::PR_GET_NO_NEW_PRIVS as usize, 0, 0, 0, 0]) == 1;
    no_new || (known && flags & ST_NOSUID != 0)
}

fn of_binary(file: &File, head: &[u8]) -> Option<Obstacle> {
    if head.len() < size_of::<Elf64_Ehdr>() {
        return None;
    }
    // SAFETY: as many bytes as the structure has; any are valid.
    let header: Elf64_Ehdr = unsafe { head.as_ptr().cast::<Elf64_Ehdr>().read_unaligned() };
    let native = head[libc::EI_CLASS] == libc::ELFCLASS64 && header.e_machine == libc::EM_X86_64;
    if !native {
        return Some(Obstacle::Foreign);
    }
    // SAFETY: plain data.
    let mut segments: [Elf64_Phdr; SEGMENTS] = unsafe { core::mem::zeroed() };
    let count = (header.e_phnum as usize).min(SEGMENTS);
    let segments = &mut segments[..count];
    // SAFETY: the bytes of the array, which may hold any.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut(segments.as_mut_ptr().cast::<u8>(), size_of_val(segments)) };
    if !file.has_all_at(bytes, header.e_phoff) {
        return None;
    }
    match segments.iter().find(|s| s.p_type == libc::PT_INTERP) {
        None => without_interpreter(file, segments),
        Some(segment) => {
            let mut path = [0u8; HEAD];
            let room = path.len().min(segment.p_filesz as usize);
            file.read_at(&mut path[..room], segment.p_offset);
            let path = CStr::from_bytes_until_nul(&path).ok()?.to_bytes();
            let name = path.rsplit(|&byte| byte == b'/').next()?;
            name.starts_with(b"ld-musl").then_some(Obstacle::Musl)
        }
    }
}

/// A static program, or a dynamic loader that is run by hand: that one takes LD_PRELOAD for its program.
fn without_interpreter(file: &File, segments: &[Elf64_Phdr]) -> Option<Obstacle> {
    const ENTRIES: usize = 64;
    let Some(dynamic) = segments.iter().find(|s| s.p_type == libc::PT_DYNAMIC) else {
        return Some(Obstacle::Static);
    };
    let mut table = [[0u64; 2]; ENTRIES];
    let count = (dynamic.p_filesz as usize / 16).min(ENTRIES);
    let table = &mut table[..count];
    // SAFETY: the bytes of the array, which may hold any.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut(table.as_mut_ptr().cast::<u8>(), size_of_val(table)) };
    if !file.has_all_at(bytes, dynamic.p_offset) {
        return None;
    }
    let value = |tag: u64| table.iter().find(|entry| entry[0] == tag).map(|entry| entry[1]);
    let (false, Some(name), Some(strings)) =
        (value(DT_FLAGS_1).unwrap_or(0) & DF_1_PIE != 0, value(DT_SONAME), value(DT_STRTAB))
    else {
        return Some(Obstacle::Static);
    };
    let at = name.wrapping_add(strings);
    let Some(segment) =
        segments.iter().find(|s| s.p_type == libc::PT_LOAD && at >= s.p_vaddr && at - s.p_vaddr < s.p_filesz)
    else {
        return Some(Obstacle::Static);
    };
    let mut text = [0u8; 32];
    file.read_at(&mut text, at - segment.p_vaddr + segment.p_offset);
    match text.starts_with(b"ld-linux") {
        true => None,
        false if text.starts_with(b"libc.musl") || text.starts_with(b"ld-musl") => Some(Obstacle::Musl),
        false => Some(Obstacle::Static),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &CStr) -> Option<Obstacle> {
        obstacle(libc::AT_FDCWD as usize, path.as_ptr() as usize, false)
    }

    #[test]
    fn first_lines() {
        let cases: [(&[u8], Option<&CStr>); 6] = [
            (b"#!/bin/sh\n", Some(c"/bin/sh")),
            (b"#! /usr/bin/env python3\nx", Some(c"/usr/bin/env")),
            (b"#!\t/bin/sh", Some(c"/bin/sh")),
            (b"#!\n/bin/sh", None),
            (b"#!", None),
            (b"echo", None),
        ];
        for (line, path) in cases {
            let mut head = line.to_vec();
            head.push(0);
            assert_eq!(interpreter(&mut head), path, "{line:?}");
        }
    }

    #[test]
    fn this_machine_s_programs() {
        assert_eq!(of(c"/bin/sh"), None);
        assert_eq!(of(c"/lib64/ld-linux-x86-64.so.2"), None);
        assert_eq!(of(c"/no/such/file"), None);
        assert_eq!(of(c"/etc/passwd"), None);
        assert_eq!(of(c"/"), None);
    }

    #[test]
    fn programs_of_our_making() {
        let dir = std::env::temp_dir().join(format!("stowaway-target-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let source = dir.join("m.c");
        std::fs::write(&source, "int main(void) { return 0; }").unwrap();
        let make = |options: &[&str], name: &str| {
            let out = dir.join(name);
            let done =
                std::process::Command::new("cc").args(options).arg("-o").arg(&out).arg(&source).status();
            assert!(done.unwrap().success());
            std::ffi::CString::new(out.into_os_string().into_encoded_bytes()).unwrap()
        };
        assert_eq!(of(&make(&[], "plain")), None);
        assert_eq!(of(&make(&["-static"], "static")), Some(Obstacle::Static));
        assert_eq!(of(&make(&["-static-pie"], "static-pie")), Some(Obstacle::Static));
        assert_eq!(
            of(&make(&["-Wl,-dynamic-linker,/lib/ld-musl-x86_64.so.1"], "musl")),
            Some(Obstacle::Musl)
        );
        let foreign = make(&[], "foreign");
        let path = std::path::Path::new(foreign.to_str().unwrap());
        let mut bytes = std::fs::read(path).unwrap();
        bytes[18] = 0xb7;
        std::fs::write(path, bytes).unwrap();
        assert_eq!(of(&foreign), Some(Obstacle::Foreign));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
