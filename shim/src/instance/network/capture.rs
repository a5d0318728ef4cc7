// SPDX-License-Identifier: GPL-2.0-only
//! The files that frames are written to, in pcapng (draft-ietf-opsawg-pcapng): the head of a file, and of each interface. What follows is
//! written by `lkl::dev::net`, from all processes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lkl::sys::{file, process, OwnedFd};
use stowaway_config::Interface;

use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs;
use crate::sys::settings::settings;

/// Blocks and options.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const RESOLUTION: u16 = 9;
/// Time in ns.
const NANOSECONDS: u8 = 9;
/// LINKTYPE_ETHERNET, and frames of any length.
const ETHERNET: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

/// The file of each interface, and which interface of its file it is.
pub struct Captures(Vec<Option<(OwnedFd, u32)>>);

impl Captures {
    /// Begins the files that the settings name.
    pub fn open() -> core::result::Result<Captures, String> {
        let all = settings().net.interfaces();
        let mut made: Vec<Option<(OwnedFd, u32)>> = Vec::new();
        for (number, interface) in all.iter().enumerate() {
            let Some(path) = &interface.pcap else {
                made.push(None);
                continue;
            };
            let wrong = |e: Errno| match e {
                Errno::EAGAIN => format!("pcap={}: is written by another instance", path.display()),
                e => format!("pcap={}: {}", path.display(), Explained(e)),
            };
            let before = all[..number].iter().filter(|other| other.pcap.as_ref() == Some(path)).count();
            let first = all.iter().position(|other| other.pcap.as_ref() == Some(path));
            let file = match first.and_then(|first| made.get(first)?.as_ref()) {
                Some((file, _)) => file::dup(file.raw(), 0).map_err(wrong)?,
                None => begin(path).map_err(wrong)?,
            };
            write(&file, &description(number, interface)).map_err(wrong)?;
            made.push(Some((file, before as u32)));
        }
        Ok(Captures(made))
    }

    /// That of an interface.
    pub fn take(&mut self, number: usize) -> Option<(OwnedFd, u32)> {
        self.0.get_mut(number)?.take()
    }
}

/// An empty file, but for its head. Who writes to it holds a lock of it as long as any of its processes lives.
fn begin(path: &Path) -> Result<OwnedFd> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = fs::open(&name, flags, 0o666)?;
    if file::stat_fd(file.raw())?.st_mode & libc::S_IFMT != libc::S_IFREG {
        // Blocks of several processes would mix in a pipe.
        return Err(Errno::EINVAL);
    }
    file::flock(file.raw(), libc::LOCK_EX | libc::LOCK_NB)?;
    file::truncate(file.raw(), 0)?;
    let name = settings().instance.as_deref().unwrap_or("without a name");
    let comment = format!("Stowaway instance {name}, begun by process {}", process::pid());
    let mut body = BYTE_ORDER.to_ne_bytes().to_vec();
    // Version 1.0, and a section of unknown length.
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    add(&mut body, COMMENT, comment.as_bytes());
    add(&mut body, APPLICATION, concat!("stowaway ", env!("CARGO_PKG_VERSION")).as_bytes());
    write(&file, &block(SECTION, body))?;
    Ok(file)
}

/// The block of an interface.
fn description(number: usize, interface: &Interface) -> Vec<u8> {
    let mut body = ETHERNET.to_vec();
    add(&mut body, NAME, format!("eth{number}").as_bytes());
    add(&mut body, DESCRIPTION, interface.to_string().as_bytes());
    add(&mut body, RESOLUTION, &[NANOSECONDS]);
    block(INTERFACE, body)
}

/// Adds an option.
fn add(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_ne_bytes());
    body.extend((value.len() as u16).to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A block, behind whose body the end of the options is put.
fn block(kind: u32, mut body: Vec<u8>) -> Vec<u8> {
    body.extend([0; 4]);
    let len = (body.len() as u32 + 12).to_ne_bytes();
    [&kind.to_ne_bytes()[..], &len, &body, &len].concat()
}

fn write(file: &OwnedFd, bytes: &[u8]) -> Result<()> {
    match file::write(file.raw(), bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(Errno::ENOSPC),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_padded_and_blocks_know_their_length() {
        let mut body = Vec::new();
        add(&mut body, 2, b"eth0!");
        assert_eq!(body, [2, 0, 5, 0, b'e', b't', b'h', b'0', b'!', 0, 0, 0]);
        let made = block(1, body);
        assert_eq!(made.len(), 28);
        assert_eq!((&made[4..8], &made[24..]), (&[28, 0, 0, 0][..], &[28, 0, 0, 0][..]));
    }
}
