// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/maps (proc_pid_maps(5)), read by host calls.

use core::ops::Range;

use crate::host::File;

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<u64>,
    /// PROT_* bits.
    pub protection: u32,
    /// Whether writes stay in this process.
    pub private: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// Device and inode; the inode is 0 without a file.
    pub file: (u64, u64),
    /// The path, as the kernel shows it: of files a guess that has to be checked.
    pub path: Vec<u8>,
}

impl Mapping {
    /// Whether it is code that can be rewritten: of a file, ours alone, readable, and that the program itself does not
    /// write to.
    pub fn is_rewritable(&self) -> bool {
        let code = (libc::PROT_READ | libc::PROT_EXEC) as u32;
        self.private && self.file.1 != 0 && self.protection == code
    }

    /// Whether it is code at all.
    pub fn is_executable(&self) -> bool {
        self.protection & libc::PROT_EXEC as u32 != 0
    }

    /// Whether it can be read and is not being written to.
    pub fn is_constant(&self) -> bool {
        self.protection & (libc::PROT_READ | libc::PROT_WRITE) as u32 == libc::PROT_READ as u32
    }
}

/// All mappings of the process, ascending. Empty if /proc is not there.
pub fn read() -> Vec<Mapping> {
    let file = File::open(c"/proc/self/maps", libc::O_RDONLY, 0);
    let text = file.and_then(|file| file.read_all()).unwrap_or_default();
    text.split(|&byte| byte == b'\n').filter_map(parse).collect()
}

/// `start-end perms offset major:minor inode path`.
fn parse(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let start = number(&mut rest, 16, b'-')?;
    let end = number(&mut rest, 16, b' ')?;
    let flags: [u8; 4] = rest.get(..4)?.try_into().ok()?;
    rest = rest.get(5..)?;
    let offset = number(&mut rest, 16, b' ')?;
    let major = number(&mut rest, 16, b':')?;
    let minor = number(&mut rest, 16, b' ')?;
    let inode = number(&mut rest, 10, b' ')?;
    let bit = |at: usize, set: u8, value: i32| if flags[at] == set { value as u32 } else { 0 };
    Some(Mapping {
        range: start..end,
        protection: bit(0, b'r', libc::PROT_READ)
            | bit(1, b'w', libc::PROT_WRITE)
            | bit(2, b'x', libc::PROT_EXEC),
        private: flags[3] == b'p',
        offset,
        file: (major << 32 | minor, inode),
        path: rest.trim_ascii().to_vec(),
    })
}

/// Takes a number and the byte behind it (or the end of the line).
fn number(rest: &mut &[u8], base: u32, behind: u8) -> Option<u64> {
    let len = rest.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(rest.len());
    let digits = core::str::from_utf8(rest.get(..len)?).ok()?;
    let value = u64::from_str_radix(digits, base).ok()?;
    let ends = rest.get(len).is_none_or(|&byte| byte == behind);
    *rest = rest.get(len + 1..).unwrap_or_default();
    ends.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let line = b"7f00-7f10 r-xp 00001000 fe:01 1234                 /usr/lib/a b.so";
        let mapping = parse(line).expect("a mapping");
        assert_eq!(mapping.range, 0x7f00..0x7f10);
        assert!(mapping.is_rewritable());
        assert_eq!((mapping.offset, mapping.file), (0x1000, (0xfe << 32 | 1, 1234)));
        assert_eq!(mapping.path, b"/usr/lib/a b.so");
        assert!(!parse(b"7f00-7f10 rwxp 00001000 fe:01 1234 /a").expect("a mapping").is_rewritable());
        assert!(!parse(b"7f00-7f10 r-xs 00001000 fe:01 1234 /a").expect("a mapping").is_rewritable());
        assert!(!parse(b"7f00-7f10 r-xp 00000000 00:00 0 [vdso]").expect("a mapping").is_rewritable());
        let bare = parse(b"7f00-7f10 r-xp 00000000 00:00 0 ").expect("a mapping");
        assert_eq!(bare.path, b"");
        assert_eq!(parse(b"7f00-7f10 r-xp 0000"), None);
    }

    #[test]
    fn this_program_is_mapped() {
        let here = this_program_is_mapped as *const () as u64;
        let maps = read();
        let own = maps.iter().find(|mapping| mapping.range.contains(&here)).expect("our own code");
        assert!(own.is_rewritable());
        assert!(maps.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
    }
}
