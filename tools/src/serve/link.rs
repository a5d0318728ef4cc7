// SPDX-License-Identifier: GPL-2.0-only
//! A client of another NBD server on a socket of this machine (the NetworkBlockDevice project's proto.md): requests one after
//! the other, with simple replies.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use super::numbers::{
    DISCONNECT, FLAG_NO_HOLE, FLUSH, IHAVEOPT, INFO_EXPORT, NBDMAGIC, OPTION_REPLY, OPT_GO, READ,
    REPLY_MAGIC, REP_ACK, REP_INFO, REQUEST_MAGIC, SEND_FLUSH, SEND_TRIM, SEND_WRITE_ZEROES, TRIM, WRITE,
    WRITE_ZEROES,
};

/// Fixed newstyle, and no zeroes.
const CLIENT_FLAGS: u32 = 3;
/// More than any reply to an option has.
const REPLY_MOST: u32 = 64 << 10;

/// A connection that has chosen the server's export.
pub struct Link {
    stream: UnixStream,
    pub bytes: u64,
    flags: u16,
    cookie: u64,
}

fn broken(why: &str) -> io::Error {
    io::Error::other(format!("the other server {why}"))
}

impl Link {
    /// Talks until the export is chosen: the one without a name.
    pub fn negotiate(mut stream: UnixStream) -> io::Result<Link> {
        let mut hello = [0; 18];
        stream.read_exact(&mut hello)?;
        if hello[..8] != NBDMAGIC.to_be_bytes() || hello[8..16] != IHAVEOPT.to_be_bytes() {
            return Err(broken("does not speak the protocol"));
        }
        let mut choice = CLIENT_FLAGS.to_be_bytes().to_vec();
        choice.extend(IHAVEOPT.to_be_bytes());
        choice.extend(OPT_GO.to_be_bytes());
        // No name, no requests for information: two lengths, a word and a half.
        choice.extend(6u32.to_be_bytes());
        choice.extend([0; 6]);
        stream.write_all(&choice)?;
        let mut export = None;
        loop {
            let mut head = [0; 20];
            stream.read_exact(&mut head)?;
            let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let (kind, len) = (word(12), word(16));
            if head[..8] != OPTION_REPLY.to_be_bytes() || len > REPLY_MOST {
                return Err(broken("breaks the protocol"));
            }
            let mut data = vec![0; len as usize];
            stream.read_exact(&mut data)?;
            match (kind, &data[..]) {
                (REP_INFO, [a, b, rest @ ..])
                    if u16::from_be_bytes([*a, *b]) == INFO_EXPORT && rest.len() == 10 =>
                {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(&rest[..8]);
                    export = Some((u64::from_be_bytes(bytes), u16::from_be_bytes([rest[8], rest[9]])));
                }
                (REP_INFO, _) => {}
                (REP_ACK, _) => break,
                _ => return Err(broken(&format!("refuses: {}", String::from_utf8_lossy(&data)))),
            }
        }
        let (bytes, flags) = export.ok_or_else(|| broken("breaks the protocol"))?;
        Ok(Link { stream, bytes, flags, cookie: 0 })
    }

    fn request(&mut self, command: u16, flags: u16, at: u64, len: u32, data: &[u8]) -> io::Result<()> {
        self.cookie += 1;
        let mut head = REQUEST_MAGIC.to_be_bytes().to_vec();
        head.extend(flags.to_be_bytes());
        head.extend(command.to_be_bytes());
        head.extend(self.cookie.to_be_bytes());
        head.extend(at.to_be_bytes());
        head.extend(len.to_be_bytes());
        self.stream.write_all(&head)?;
        self.stream.write_all(data)
    }

    /// The head of the reply: Err is the server's error, whose data does not follow.
    fn reply(&mut self) -> io::Result<()> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let error = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        if head[..4] != REPLY_MAGIC.to_be_bytes() || head[8..] != self.cookie.to_be_bytes() {
            return Err(broken("breaks the protocol"));
        }
        match error {
            0 => Ok(()),
            // The protocol's numbers are those of Linux.
            error => Err(io::Error::from_raw_os_error(error as i32)),
        }
    }

    pub fn read(&mut self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.request(READ, 0, at, to.len() as u32, &[])?;
        self.reply()?;
        self.stream.read_exact(to)
    }

    pub fn write(&mut self, from: &[u8], at: u64) -> io::Result<()> {
        self.request(WRITE, 0, at, from.len() as u32, from)?;
        self.reply()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if self.flags & SEND_FLUSH == 0 {
            return Ok(());
        }
        self.request(FLUSH, 0, 0, 0, &[])?;
        self.reply()
    }

    /// False: the server has no such thing.
    pub fn trim(&mut self, at: u64, len: u64) -> io::Result<bool> {
        self.range(TRIM, SEND_TRIM, 0, at, len)
    }

    /// Makes a range zero; false: the server has no such thing.
    pub fn zero(&mut self, at: u64, len: u64, holes: bool) -> io::Result<bool> {
        self.range(WRITE_ZEROES, SEND_WRITE_ZEROES, if holes { 0 } else { FLAG_NO_HOLE }, at, len)
    }

    fn range(&mut self, command: u16, needs: u16, flags: u16, at: u64, len: u64) -> io::Result<bool> {
        /// In a request, and whole sectors.
        const MOST: u64 = 1 << 30;
        if self.flags & needs == 0 {
            return Ok(false);
        }
        let (mut at, end) = (at, at + len);
        while at < end {
            let part = (end - at).min(MOST);
            self.request(command, flags, at, part as u32, &[])?;
            self.reply()?;
            at += part;
        }
        Ok(true)
    }

    /// Says that nothing more comes.
    pub fn disconnect(&mut self) {
        let _ = self.request(DISCONNECT, 0, 0, 0, &[]);
    }
}
