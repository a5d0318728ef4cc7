// SPDX-License-Identifier: GPL-2.0-only
//! /proc/locks (proc(5), fs/locks.c): the host's locks, and behind them those on files of mounts.

use super::text::Text;
use crate::instance::enter::enter_kernel;
use crate::sys::call::args;
use crate::sys::decimal::{self, Decimal};
use crate::sys::errno::Result;
use crate::sys::kernel::running;
use crate::sys::mem::{Pages, PAGE};

/// Whether this is the path of the table, as the host's /proc names it.
pub fn is_its_path(path: &[u8]) -> bool {
    path.ends_with(b"/proc/locks")
}

/// The host's lines, read from `fd`, and the kernel library's.
pub fn text(fd: i32) -> Result<Text> {
    let mut text = Text::of_file(fd)?;
    if running().is_none() {
        return Ok(text);
    }
    let last = text.bytes().split(|&b| b == b'\n').filter_map(|line| Some(split_id(line)?.0)).max();
    let ours = of_kernel()?;
    let lines = ours.bytes().split_inclusive(|&b| b == b'\n');
    lines.filter_map(split_id).try_for_each(|(id, rest)| {
        text.put(Decimal::new(last.unwrap_or(0) + id).as_bytes())?;
        put_line(&mut text, rest)
    })?;
    Ok(text)
}

/// The kernel library's text, with that kernel's ids of processes.
fn of_kernel() -> Result<Text> {
    let (mut text, mut pages) = (Text::new()?, Pages::new(PAGE)?);
    let (to, room) = (pages.bytes().as_mut_ptr() as usize, PAGE);
    loop {
        let offset = text.bytes().len();
        let ask = args([offset, to, room]);
        match enter_kernel(|context| context.call(lkl::Private::ProcLocks as i64, &ask))? {
            0 => return Ok(text),
            len => text.put(&pages.bytes()[..len])?,
        }
    }
}

/// The number that a line begins with, and what follows it.
fn split_id(line: &[u8]) -> Option<(usize, &[u8])> {
    let colon = line.iter().position(|&b| b == b':')?;
    Some((decimal::parse(&line[..colon])?, &line[colon..]))
}

/// A line with the host's id of the process that holds the lock, or waits for it.
fn put_line(text: &mut Text, rest: &[u8]) -> Result<()> {
    let pid = pid_in(rest);
    let own = decimal::parse(&rest[pid.clone()]).and_then(|id| running()?.pid_of(id as u32));
    text.put(&rest[..pid.start])?;
    match own {
        Some(own) => text.put(Decimal::new(own as usize).as_bytes())?,
        None => text.put(&rest[pid.clone()])?,
    }
    text.put(&rest[pid.end..])
}

/// Where the process stands: behind the kind of access.
fn pid_in(line: &[u8]) -> core::ops::Range<usize> {
    let of =
        |access: &[u8]| line.windows(access.len()).position(|at| at == access).map(|at| at + access.len());
    let start =
        [&b" READ "[..], b" WRITE ", b" UNLCK "].into_iter().filter_map(of).min().unwrap_or(line.len());
    let len = line[start..].iter().position(|&b| b == b' ').unwrap_or(line.len() - start);
    start..start + len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_line() {
        let line = b"3: -> POSIX  ADVISORY  WRITE 1234 f00:00:12 0 EOF\n";
        let (id, rest) = split_id(line).unwrap();
        assert_eq!((id, &rest[pid_in(rest)]), (3, &b"1234"[..]));
        assert_eq!(split_id(b""), None);
        let lease = b": LEASE  ACTIVE    READ 7 fe:00:9 0 EOF\n";
        assert_eq!(&lease[pid_in(lease)], b"7");
        assert_eq!(pid_in(b": ?\n"), 4..4);
    }
}
