// SPDX-License-Identifier: GPL-2.0-only
//! The server's side of the negotiation: the fixed newstyle one of the NetworkBlockDevice project's proto.md. An export
//! has no name, or the number of the partition that the client is going to use of the disk.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::exports::{Claim, Exports};
use super::numbers::{
    IHAVEOPT, INFO_EXPORT, NBDMAGIC, OPTION_REPLY, OPT_GO, REP_ACK, REP_INFO, SEND_FLUSH, SEND_TRIM,
    SEND_WRITE_ZEROES,
};
use crate::sys;

const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
const ZEROES: usize = 124;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_LIST: u32 = 3;
const OPT_INFO: u32 = 6;

const REP_SERVER: u32 = 2;
const REP_ERR_UNSUPPORTED: u32 = 1 << 31 | 1;
const REP_ERR_POLICY: u32 = 1 << 31 | 2;
const REP_ERR_INVALID: u32 = 1 << 31 | 3;
const REP_ERR_UNKNOWN: u32 = 1 << 31 | 6;
const INFO_BLOCK_SIZE: u16 = 3;

/// What an export can do.
const HAS_FLAGS: u16 = 1 << 0;
const READ_ONLY: u16 = 1 << 1;
const SEND_FUA: u16 = 1 << 3;
const CAN_MULTI_CONN: u16 = 1 << 8;

/// Smallest, best and largest request.
const BLOCK: [u32; 3] = [1, 64 << 10, super::requests::LEN_MOST];
/// An option with its data, at most: a name has 4096 bytes.
const OPTION_MOST: u32 = 8192;

/// Talks until the client has chosen; `None`: it went without.
pub fn negotiate(stream: &mut UnixStream, exports: &Arc<Exports>) -> io::Result<Option<Claim>> {
    let mut hello = Vec::new();
    hello.extend(NBDMAGIC.to_be_bytes());
    hello.extend(IHAVEOPT.to_be_bytes());
    hello.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    let mut flags = [0; 4];
    stream.read_exact(&mut flags)?;
    let zeroes = if u32::from_be_bytes(flags) & u32::from(NO_ZEROES) == 0 { ZEROES } else { 0 };
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let (magic, rest) = head.split_at(8);
        let (option, len) = (word(rest, 0), word(rest, 4));
        if magic != IHAVEOPT.to_be_bytes() || len > OPTION_MOST {
            return Ok(None);
        }
        let mut data = vec![0; len as usize];
        stream.read_exact(&mut data)?;
        let mut talk = Talk { stream, exports, option };
        match option {
            OPT_EXPORT_NAME => return talk.old_way(&data, zeroes),
            OPT_ABORT => {
                talk.reply(REP_ACK, &[])?;
                return Ok(None);
            }
            OPT_LIST => talk.list(&data)?,
            OPT_INFO | OPT_GO => {
                if let Some(claim) = talk.go(&data)? {
                    return Ok(Some(claim));
                }
            }
            _ => talk.reply(REP_ERR_UNSUPPORTED, &[])?,
        }
    }
}

/// One option of a client.
struct Talk<'a> {
    stream: &'a mut UnixStream,
    exports: &'a Arc<Exports>,
    option: u32,
}

impl Talk<'_> {
    fn reply(&mut self, kind: u32, data: &[u8]) -> io::Result<()> {
        let mut reply = Vec::with_capacity(20 + data.len());
        reply.extend(OPTION_REPLY.to_be_bytes());
        for number in [self.option, kind, data.len() as u32] {
            reply.extend(number.to_be_bytes());
        }
        reply.extend(data);
        self.stream.write_all(&reply)
    }

    fn list(&mut self, data: &[u8]) -> io::Result<()> {
        if !data.is_empty() {
            return self.reply(REP_ERR_INVALID, b"has data");
        }
        self.reply(REP_SERVER, &0u32.to_be_bytes())?;
        self.reply(REP_ACK, &[])
    }

    /// NBD_OPT_EXPORT_NAME: has no errors but the end of the connection.
    fn old_way(&mut self, name: &[u8], zeroes: usize) -> io::Result<Option<Claim>> {
        let Some(claim) = part(name).and_then(|part| self.exports.claim(part, sys::peer(self.stream)).ok())
        else {
            return Ok(None);
        };
        let mut answer = claim.image().bytes.to_be_bytes().to_vec();
        answer.extend(self.flags().to_be_bytes());
        answer.resize(answer.len() + zeroes, 0);
        self.stream.write_all(&answer)?;
        Ok(Some(claim))
    }

    /// NBD_OPT_GO and NBD_OPT_INFO, which only asks.
    fn go(&mut self, data: &[u8]) -> io::Result<Option<Claim>> {
        let Some(name) = wanted(data) else {
            self.reply(REP_ERR_INVALID, b"is cut off")?;
            return Ok(None);
        };
        let Some(part) = part(name) else {
            self.reply(REP_ERR_UNKNOWN, b"no such export")?;
            return Ok(None);
        };
        let claim = match self.exports.claim(part, sys::peer(self.stream)) {
            Ok(claim) => claim,
            Err(error) => {
                self.reply(REP_ERR_POLICY, error.to_string().as_bytes())?;
                return Ok(None);
            }
        };
        let mut export = INFO_EXPORT.to_be_bytes().to_vec();
        export.extend(claim.image().bytes.to_be_bytes());
        export.extend(self.flags().to_be_bytes());
        self.reply(REP_INFO, &export)?;
        let mut block = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
        BLOCK.iter().for_each(|number| block.extend(number.to_be_bytes()));
        self.reply(REP_INFO, &block)?;
        self.reply(REP_ACK, &[])?;
        Ok((self.option == OPT_GO).then_some(claim))
    }

    fn flags(&self) -> u16 {
        match self.exports.read_only() {
            true => HAS_FLAGS | READ_ONLY | SEND_FLUSH | CAN_MULTI_CONN,
            false => HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES,
        }
    }
}

fn word(raw: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
}

/// The export's name in the data of NBD_OPT_GO: a length, the name, and a list of requests, all of which are answered anyway.
fn wanted(data: &[u8]) -> Option<&[u8]> {
    let len = word(data.get(..4)?, 0) as usize;
    let end = 4usize.checked_add(len)?;
    data.get(end..end.checked_add(2)?)?;
    data.get(4..end)
}

/// Which part of the disk a name means.
fn part(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    name.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(wanted(b"\0\0\0\x021 \0\0"), Some(&b"1 "[..]));
        assert_eq!(wanted(b"\0\0\0\0\0\0"), Some(&b""[..]));
        for cut in [&b""[..], b"\0\0\0", b"\0\0\0\x01a", b"\0\0\0\x01a\0", b"\xff\xff\xff\xff\0\0"] {
            assert_eq!(wanted(cut), None);
        }
        assert_eq!((part(b""), part(b"12"), part(b"a"), part(b"\xff")), (Some(""), Some("12"), None, None));
    }
}
