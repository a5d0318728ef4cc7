// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/fdinfo/N of a file of the kernel library (fs/proc/fd.c): on the host stands its placeholder.

use super::text::Text;
use crate::instance::enter::enter_kernel;
use crate::sys::call::args;
use crate::sys::decimal::Decimal;
use crate::sys::errno::Result;
use crate::sys::fs;

/// Words of `struct statx`, and the places of two of them.
const WORDS: usize = 32;
const INODE: usize = 4;
const MOUNT_ID: usize = 18;
const STATX_MNT_ID: usize = 0x1000;

/// What tells an open file's place.
pub struct About {
    pub inode: usize,
    pub mount_id: usize,
}

/// Asks for an open file of the kernel.
pub fn about(number: usize) -> Result<About> {
    let mut words = [0usize; WORDS];
    let (empty, to) = (c"".as_ptr() as usize, words.as_mut_ptr() as usize);
    let wanted = libc::STATX_INO as usize | STATX_MNT_ID;
    let call = args([number, empty, libc::AT_EMPTY_PATH as usize, wanted, to]);
    enter_kernel(|context| context.call(libc::SYS_statx, &call))?;
    Ok(About { inode: words[INODE], mount_id: words[MOUNT_ID] })
}

/// The text for an open descriptor.
pub fn text(number: usize) -> Result<Text> {
    let About { inode, mount_id } = about(number)?;
    let (mut offset, mut flags) = (0, 0);
    enter_kernel(|context| {
        flags = context.call(libc::SYS_fcntl, &args([number, libc::F_GETFL as usize]))?;
        offset = context.call(libc::SYS_lseek, &args([number, 0, libc::SEEK_CUR as usize])).unwrap_or(0);
        Ok(0)
    })?;
    if fs::is_cloexec(number as i32)? {
        flags |= libc::O_CLOEXEC as usize;
    }
    let mut text = Text::new()?;
    text.put(b"pos:\t")?;
    text.put(Decimal::new(offset).as_bytes())?;
    text.put(b"\nflags:\t0")?;
    put_octal(&mut text, flags)?;
    for (name, value) in [(&b"\nmnt_id:\t"[..], mount_id), (b"\nino:\t", inode)] {
        text.put(name)?;
        text.put(Decimal::new(value).as_bytes())?;
    }
    text.put(b"\n")?;
    Ok(text)
}

fn put_octal(text: &mut Text, n: usize) -> Result<()> {
    if n >= 8 {
        put_octal(text, n / 8)?;
    }
    text.put(&[b'0' + (n % 8) as u8])
}
