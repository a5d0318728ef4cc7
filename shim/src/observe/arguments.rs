// SPDX-License-Identifier: GPL-2.0-only
//! A call's arguments as the table's kinds say. Pointers are only alleged: what cannot be read is printed as an
//! address.

use crate::observe::kinds::{self, Arg};
use crate::observe::names::{self, Set};
use crate::observe::structures;
use crate::observe::text::{Text, EXCERPT, NAME};
use crate::sys::host::{Args, Ret};
use crate::sys::user;

/// The arguments of one call, and what they mean together.
struct View<'a> {
    kinds: &'a [Arg],
    args: &'a Args,
    result: Option<Ret>,
}

/// Prints the arguments; without a row in the tables, six numbers.
pub fn put(text: &mut Text, nr: usize, args: &Args, result: Option<Ret>) {
    let Some(kinds) = kinds::arguments(nr) else {
        for (at, arg) in args.iter().enumerate() {
            text.fmt(format_args!("{}{arg:#x}", if at > 0 { ", " } else { "" }));
        }
        return;
    };
    let view = View { kinds, args, result };
    let count = view.count(nr);
    for at in 0..count {
        if at > 0 {
            text.put(b", ");
        }
        view.one(text, at);
    }
}

/// Whether the result is an address.
pub fn gives_address(nr: usize) -> bool {
    matches!(nr as i64, libc::SYS_mmap | libc::SYS_brk | libc::SYS_mremap | libc::SYS_shmat)
}

impl View<'_> {
    /// An open that makes nothing has no mode.
    fn count(&self, nr: usize) -> usize {
        let flags = match nr as i64 {
            libc::SYS_open => self.args[1],
            libc::SYS_openat => self.args[2],
            _ => return self.kinds.len(),
        };
        let makes = flags & (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as usize != 0;
        self.kinds.len() - usize::from(!makes)
    }

    fn one(&self, text: &mut Text, at: usize) {
        let value = self.args[at];
        let int = value as u32 as i32;
        match self.kinds[at] {
            Arg::DirFd if int == libc::AT_FDCWD => text.put(b"AT_FDCWD"),
            Arg::Fd | Arg::DirFd | Arg::Int => text.fmt(format_args!("{int}")),
            Arg::Mode => text.fmt(format_args!("0{:03o}", value as u32)),
            Arg::Size => text.fmt(format_args!("{value}")),
            Arg::Offset => text.fmt(format_args!("{}", value as i64)),
            Arg::Flags | Arg::Hex => text.fmt(format_args!("{value:#x}")),
            Arg::Path => text.string(value, NAME),
            Arg::Text => text.string(value, EXCERPT),
            Arg::Ptr => text.pointer(value),
            Arg::Buf => text.excerpt(value, self.length_after(at)),
            Arg::Fill => self.filled(text, value, self.length_after(at)),
            Arg::Iov => self.vector(text, at, self.length_after(at) as u32 as usize, None),
            Arg::FillIov => {
                let filled = self.result.filter(|&r| r >= 0).map_or(0, |r| r as usize);
                self.vector(text, at, self.length_after(at) as u32 as usize, Some(filled));
            }
            Arg::Argv => structures::argv(text, value),
            Arg::Envp => structures::envp(text, value),
            Arg::Stat => structures::stat(text, value, self.result),
            Arg::Time => structures::time(text, value),
            Arg::Address => structures::address(text, value, self.length_after(at)),
            kind => set(text, kind, value),
        }
    }

    /// The argument behind: a buffer's length.
    fn length_after(&self, at: usize) -> usize {
        self.args.get(at + 1).copied().unwrap_or(0)
    }

    /// What a call has put there: as much as it says.
    fn filled(&self, text: &mut Text, address: usize, room: usize) {
        match self.result {
            Some(r) if r >= 0 => text.excerpt(address, (r as usize).min(room)),
            _ => text.pointer(address),
        }
    }

    /// An array of iovec; `filled`: how many bytes a call has put there.
    fn vector(&self, text: &mut Text, at: usize, count: usize, mut filled: Option<usize>) {
        const SHOWN: usize = 4;
        let address = self.args[at];
        text.put(b"[");
        for i in 0..count.min(SHOWN) {
            let Ok([base, len]) = user::read::<[usize; 2]>(address.wrapping_add(i * 16)) else {
                return text.fmt(format_args!("{address:#x}]"));
            };
            text.put(if i > 0 { b", {iov_base=" } else { b"{iov_base=" });
            let there = filled.map_or(len, |left| left.min(len));
            filled = filled.map(|left| left - there);
            text.excerpt(base, there);
            text.fmt(format_args!(", iov_len={len}}}"));
        }
        text.put(if count > SHOWN { b", ...]" } else { b"]" });
    }
}

fn set(text: &mut Text, kind: Arg, value: usize) {
    let set = names::of(kind);
    match set {
        Some(set) => put_set(text, set, value as u32 as usize),
        None => text.fmt(format_args!("{value:#x}")),
    }
}

/// Names joined by `|`, and what has none as a number.
pub fn put_set(text: &mut Text, set: &Set, value: usize) {
    let mut first = true;
    let mut name = |text: &mut Text, name: &str| {
        text.put(if core::mem::take(&mut first) { b"" } else { b"|" });
        text.put(name.as_bytes());
    };
    let mut rest = value;
    if let Some((_, one)) = set.one.iter().find(|(bits, _)| *bits == value & set.mask) {
        if set.mask != 0 {
            name(text, one);
            rest &= !set.mask;
        }
    }
    for (bits, flag) in set.flags {
        if rest & bits == *bits {
            name(text, flag);
            rest &= !bits;
        }
    }
    if rest != 0 || value == 0 && set.mask == 0 {
        let text_of_rest = format_args!("{rest:#x}");
        if value != 0 && rest != value {
            text.put(b"|");
        }
        match value {
            0 => text.put(b"0"),
            _ => text.fmt(text_of_rest),
        }
    } else if value == 0 && !set.one.iter().any(|(bits, _)| *bits == 0) {
        text.put(b"0");
    }
}
