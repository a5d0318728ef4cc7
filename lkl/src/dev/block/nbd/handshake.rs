// SPDX-License-Identifier: GPL-2.0-only
//! The negotiation with a server, and reads before there is a kernel to ask.

use super::patience::Patience;
use super::uri::NAME_MOST;
use super::wire::{receive, reply, request, send, CMD_DISCONNECT, CMD_READ, REPLY_BYTES};
use crate::sys::{socket, Errno};

const NBDMAGIC: u64 = 0x4e42_444d_4147_4943;
const IHAVEOPT: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERROR: u32 = 1 << 31;
const REP_ERR_POLICY: u32 = REP_ERROR | 2;
const REP_ERR_UNKNOWN: u32 = REP_ERROR | 6;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;
/// What a server sends with a reply, at most.
const DATA_MOST: usize = 4096;

/// An export, as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) bytes: u64,
    pub(crate) flags: u16,
    /// Smallest and largest request.
    pub(crate) block: u32,
    pub(crate) most: u32,
}

/// Why there is no connection to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NbdError {
    /// Another has the export; its process, if the server says so.
    Busy { pid: Option<u32> },
    /// What is wrong with the server.
    Server(&'static str),
    /// The host's error.
    Io(Errno),
}

impl From<Errno> for NbdError {
    fn from(e: Errno) -> NbdError {
        NbdError::Io(e)
    }
}

fn lost(e: i64) -> NbdError {
    NbdError::Io(Errno::new(-e as i32))
}

/// Asks for the export; the connection is ready for requests then.
pub(crate) fn negotiate(fd: i32, name: &[u8], patience: Patience) -> Result<Export, NbdError> {
    let mut hello = [0u8; 18];
    receive(fd, &mut hello, Some(patience)).map_err(lost)?;
    let flags = u16::from_be_bytes([hello[16], hello[17]]);
    if long(&hello, 0) != NBDMAGIC || long(&hello, 8) != IHAVEOPT || flags & FIXED_NEWSTYLE == 0 {
        return Err(NbdError::Server("is no NBD server that speaks the fixed newstyle protocol"));
    }
    send(fd, &u32::from(flags & (FIXED_NEWSTYLE | NO_ZEROES)).to_be_bytes(), Some(patience)).map_err(lost)?;
    let mut ask = [0u8; 16 + 4 + NAME_MOST + 4];
    let len = 4 + name.len() + 4;
    ask[..8].copy_from_slice(&IHAVEOPT.to_be_bytes());
    ask[8..12].copy_from_slice(&OPT_GO.to_be_bytes());
    ask[12..16].copy_from_slice(&(len as u32).to_be_bytes());
    ask[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
    ask[20..20 + name.len()].copy_from_slice(name);
    ask[20 + name.len()..][..2].copy_from_slice(&1u16.to_be_bytes());
    ask[22 + name.len()..][..2].copy_from_slice(&INFO_BLOCK_SIZE.to_be_bytes());
    send(fd, &ask[..16 + len], Some(patience)).map_err(lost)?;
    answers(fd, patience)
}

fn answers(fd: i32, patience: Patience) -> Result<Export, NbdError> {
    let mut export = Export { bytes: 0, flags: 0, block: 1, most: 4 << 20 };
    let mut known = false;
    loop {
        let (mut head, mut data) = ([0u8; 20], [0u8; DATA_MOST]);
        receive(fd, &mut head, Some(patience)).map_err(lost)?;
        let (kind, len) = (word(&head, 12), word(&head, 16) as usize);
        if long(&head, 0) != OPTION_REPLY || word(&head, 8) != OPT_GO || len > data.len() {
            return Err(NbdError::Server("does not keep to the NBD protocol"));
        }
        receive(fd, &mut data[..len], Some(patience)).map_err(lost)?;
        match kind {
            REP_ACK if known => return Ok(export),
            REP_INFO if len >= 12 && short(&data, 0) == INFO_EXPORT => {
                (export.bytes, export.flags, known) = (long(&data, 2), short(&data, 10), true);
            }
            REP_INFO if len >= 14 && short(&data, 0) == INFO_BLOCK_SIZE => {
                (export.block, export.most) = (word(&data, 2), word(&data, 10));
            }
            REP_INFO => {}
            REP_ERR_UNKNOWN => return Err(NbdError::Server("has no such export")),
            REP_ERR_POLICY => return Err(refusal(&data[..len])),
            kind if kind & REP_ERROR != 0 => return Err(NbdError::Server("refuses the export")),
            _ => return Err(NbdError::Server("does not keep to the NBD protocol")),
        }
    }
}

/// The error for a server's refusal: another client has the export (in the words of this project's server), or anything else.
fn refusal(text: &[u8]) -> NbdError {
    match text.strip_prefix(b"in use by ") {
        Some(holder) => {
            let pid =
                holder.strip_prefix(b"pid ").and_then(|pid| std::str::from_utf8(pid).ok()?.parse().ok());
            NbdError::Busy { pid }
        }
        None => NbdError::Server("does not give us the export"),
    }
}

/// Tells the server that nothing follows.
pub(crate) fn disconnect(fd: i32) {
    let _ = send(fd, &request(0, CMD_DISCONNECT, 0, 0, 0), Some(Patience::seconds(1)));
    socket::shutdown(fd, libc::SHUT_WR);
}

/// Waits for the end of the stream. The server may let only one in at a time, and has noticed then.
pub(crate) fn drain(fd: i32, patience: Patience) {
    while receive(fd, &mut [0u8; 16], Some(patience)).is_ok() {}
}

/// Reads while no requests of a kernel are under way.
pub(crate) fn read_at(fd: i32, to: &mut [u8], off: u64, end: u64, patience: Patience) -> Result<(), Errno> {
    const BLOCK: u64 = 4096;
    let errno = |e: i64| Errno::new(-e as i32);
    let mut buf = [0u8; 2 * BLOCK as usize];
    let mut done = 0;
    while done < to.len() {
        // servers may want whole blocks
        let from = (off + done as u64) / BLOCK * BLOCK;
        let len = (end - from).min(buf.len() as u64) as usize;
        send(fd, &request(0, CMD_READ, 0, from, len as u32), Some(patience)).map_err(errno)?;
        let mut head = [0u8; REPLY_BYTES];
        receive(fd, &mut head, Some(patience)).map_err(errno)?;
        match reply(&head) {
            Some((0, 0)) => receive(fd, &mut buf[..len], Some(patience)).map_err(errno)?,
            Some((e, 0)) => return Err(errno(e)),
            _ => return Err(Errno::EIO),
        }
        let skip = (off + done as u64 - from) as usize;
        let part = (to.len() - done).min(len - skip);
        to[done..done + part].copy_from_slice(&buf[skip..skip + part]);
        done += part;
    }
    Ok(())
}

fn short(raw: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([raw[at], raw[at + 1]])
}

fn word(raw: &[u8], at: usize) -> u32 {
    u32::from(short(raw, at)) << 16 | u32::from(short(raw, at + 2))
}

fn long(raw: &[u8], at: usize) -> u64 {
    u64::from(word(raw, at)) << 32 | u64::from(word(raw, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_export() {
        assert_eq!(refusal(b"in use by pid 42"), NbdError::Busy { pid: Some(42) });
        assert_eq!(refusal(b"in use by another process"), NbdError::Busy { pid: None });
        assert!(matches!(refusal(b"go away"), NbdError::Server(_)));
        assert!(matches!(refusal(b""), NbdError::Server(_)));
    }
}
