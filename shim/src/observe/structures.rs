// SPDX-License-Identifier: GPL-2.0-only
//! The few structures that are worth more than their address.

use crate::observe::text::Text;
use crate::sys::host::Ret;
use crate::sys::user;

const SHOWN: usize = 8;
const TEXT: usize = 64;
/// No program has more arguments or variables than this and is of interest here.
const COUNTED: usize = 4096;

/// `["ls", "-l"]`
pub fn argv(text: &mut Text, address: usize) {
    if address == 0 {
        return text.pointer(0);
    }
    text.put(b"[");
    for i in 0..=SHOWN {
        match user::read::<usize>(address + i * 8) {
            Ok(0) => break,
            Ok(_) if i == SHOWN => text.put(b", ..."),
            Ok(word) => {
                text.put(if i > 0 { b", " } else { b"" });
                text.string(word, TEXT);
            }
            Err(_) => return text.fmt(format_args!("{address:#x}]")),
        }
    }
    text.put(b"]");
}

/// `0x7ffe... /* 23 vars */`
pub fn envp(text: &mut Text, address: usize) {
    text.pointer(address);
    if address == 0 {
        return;
    }
    let count = (0..COUNTED).find(|i| !matches!(user::read::<usize>(address + i * 8), Ok(1..)));
    if let Some(count) = count {
        text.fmt(format_args!(" /* {count} vars */"));
    }
}

/// What stat(2) and its like say: kind, mode and size.
pub fn stat(text: &mut Text, address: usize, result: Option<Ret>) {
    let known = if result == Some(0) && address != 0 { user::read::<libc::stat>(address).ok() } else { None };
    let Some(status) = known else { return text.pointer(address) };
    let kind = match status.st_mode & libc::S_IFMT {
        libc::S_IFREG => "S_IFREG",
        libc::S_IFDIR => "S_IFDIR",
        libc::S_IFLNK => "S_IFLNK",
        libc::S_IFCHR => "S_IFCHR",
        libc::S_IFBLK => "S_IFBLK",
        libc::S_IFIFO => "S_IFIFO",
        libc::S_IFSOCK => "S_IFSOCK",
        _ => "0",
    };
    let mode = status.st_mode & !libc::S_IFMT;
    text.fmt(format_args!("{{st_mode={kind}|0{mode:03o}, st_size={}, ...}}", status.st_size));
}

/// `struct timespec`, and timeval as far as one sees.
pub fn time(text: &mut Text, address: usize) {
    if address == 0 {
        return text.pointer(0);
    }
    match user::read::<[i64; 2]>(address) {
        Ok([seconds, rest]) => text.fmt(format_args!("{{{seconds}, {rest}}}")),
        _ => text.pointer(address),
    }
}

/// A socket's address.
pub fn address(text: &mut Text, address: usize, length: usize) {
    if address == 0 || length as u32 > 128 {
        return text.pointer(address);
    }
    let Ok(family) = user::read::<u16>(address) else { return text.pointer(address) };
    match i32::from(family) {
        libc::AF_INET => match user::read::<[u8; 8]>(address) {
            Ok([_, _, high, low, a, b, c, d]) => {
                let port = u16::from_be_bytes([high, low]);
                text.fmt(format_args!("{{AF_INET, {a}.{b}.{c}.{d}:{port}}}"));
            }
            Err(_) => text.pointer(address),
        },
        libc::AF_INET6 => match user::read::<[u8; 24]>(address) {
            Ok(bytes) => {
                let port = u16::from_be_bytes([bytes[2], bytes[3]]);
                let mut ip = [0; 16];
                ip.copy_from_slice(&bytes[8..]);
                text.fmt(format_args!("{{AF_INET6, [{}]:{port}}}", std::net::Ipv6Addr::from(ip)));
            }
            Err(_) => text.pointer(address),
        },
        libc::AF_UNIX => {
            text.put(b"{AF_UNIX, ");
            text.string(address + 2, 108);
            text.put(b"}");
        }
        _ => text.pointer(address),
    }
}
