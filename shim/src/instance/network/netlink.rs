// SPDX-License-Identifier: GPL-2.0-only
//! Requests to the kernel's netlink(7): rtnetlink(7), and generic netlink.

use super::attributes::Attributes;
use crate::sys::errno::{Errno, Result};

/// A call of the kernel inside.
pub type Call<'a> = dyn FnMut(i64, &[usize; 6]) -> Result + 'a;

/// A socket of netlink in the kernel.
pub struct Netlink<'a, 'b> {
    call: &'a mut Call<'b>,
    fd: usize,
}

/// A request: a header of its own kind, and attributes.
pub struct Request {
    bytes: Vec<u8>,
}

/// `struct nlmsghdr`
const HEAD: usize = 16;

impl Request {
    /// A request `kind` with these flags; `head` is the structure behind the message's header.
    pub fn new(kind: u16, flags: i32, head: &[u8]) -> Request {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(head);
        Request { bytes }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Request {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend((value.len() as u16 + 4).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn with_all(mut self, all: &Attributes) -> Request {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(all.bytes());
        self
    }

    fn finished(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes
    }
}

impl<'a, 'b> Netlink<'a, 'b> {
    /// A socket of rtnetlink.
    pub fn open(call: &'a mut Call<'b>) -> Result<Netlink<'a, 'b>> {
        Netlink::open_for(call, libc::NETLINK_ROUTE)
    }

    /// A socket of another protocol of netlink.
    pub fn open_for(call: &'a mut Call<'b>, protocol: i32) -> Result<Netlink<'a, 'b>> {
        let kind = (libc::SOCK_RAW | libc::SOCK_CLOEXEC) as usize;
        let args = [libc::AF_NETLINK as usize, kind, protocol as usize, 0, 0, 0];
        let fd = call(libc::SYS_socket, &args)?;
        Ok(Netlink { call, fd })
    }

    /// Makes a request, and waits for its answer.
    pub fn ask(&mut self, request: Request) -> Result<()> {
        self.ask_for(request).map(drop)
    }

    /// The same. What the message before the answer says, behind its header; empty: there is none.
    pub fn ask_for(&mut self, request: Request) -> Result<Vec<u8>> {
        let bytes = request.finished();
        (self.call)(libc::SYS_sendto, &[self.fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])?;
        let mut said = Vec::new();
        loop {
            let mut answer = [0u8; 8192];
            let args = [self.fd, answer.as_mut_ptr() as usize, answer.len(), 0, 0, 0];
            let len = (self.call)(libc::SYS_recvfrom, &args)?;
            let answer = answer.get(..len).filter(|answer| answer.len() >= HEAD + 4).ok_or(Errno::EPROTO)?;
            let (head, body) = answer.split_at(HEAD);
            if head[4..6] != (libc::NLMSG_ERROR as u16).to_ne_bytes() {
                said = body.to_vec();
                continue;
            }
            // `struct nlmsgerr` begins with -errno.
            return match i32::from_ne_bytes(*body.first_chunk().ok_or(Errno::EPROTO)?) {
                0 => Ok(said),
                error => Err(Errno::new(-error)),
            };
        }
    }

    /// The number of an interface.
    pub fn index_of(&mut self, name: &str) -> Result<u32> {
        // `struct ifinfomsg`: the index is its second word.
        let name = [name.as_bytes(), b"\0"].concat();
        let said =
            self.ask_for(Request::new(libc::RTM_GETLINK, 0, &[0; 16]).with(libc::IFLA_IFNAME, &name))?;
        let index = said.get(4..).and_then(|bytes| bytes.first_chunk()).ok_or(Errno::EPROTO)?;
        Ok(u32::from_ne_bytes(*index))
    }
}

impl Drop for Netlink<'_, '_> {
    fn drop(&mut self) {
        let _ = (self.call)(libc::SYS_close, &[self.fd, 0, 0, 0, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_padded_and_knows_its_length() {
        let bytes = Request::new(16, 0, &[1; 8]).with(3, b"abc").with(4, &[9; 4]).finished();
        assert_eq!(bytes.len(), HEAD + 8 + 8 + 8);
        assert_eq!(bytes[..4], 40u32.to_ne_bytes());
        assert_eq!(bytes[HEAD + 8..HEAD + 16], [7, 0, 3, 0, b'a', b'b', b'c', 0]);
    }
}
