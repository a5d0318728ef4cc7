// SPDX-License-Identifier: GPL-2.0-only
//! Where the kernel lies in a process.

use std::fs;
use std::path::PathBuf;

use crate::fail::reason;
use crate::library::NAME;

/// The name of an instance's memory in /proc/PID/maps.
const MEMORY: &str = "/memfd:stowaway";

/// A kernel in a process.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its image begins.
    pub base: u64,
    /// The library that it came out of.
    pub library: PathBuf,
    /// Where the library begins, if it is the process's executable (as under `stowaway run`): a debugger does not know
    /// then.
    pub loader: Option<u64>,
}

impl Place {
    /// Looks at /proc. `Err` says why there is none.
    pub fn find(pid: u32) -> Result<Place, String> {
        let file = format!("/proc/{pid}/maps");
        let maps = fs::read_to_string(&file).map_err(|error| format!("{file}: {}", reason(&error)))?;
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let mut place = read(&maps)
            .ok_or(format!("process {pid}: has no kernel yet; the first call that needs one starts it"))?;
        if exe != place.library {
            place.loader = None;
        }
        Ok(place)
    }
}

struct Line<'a> {
    start: u64,
    offset: u64,
    name: &'a str,
}

fn parse(line: &str) -> Option<Line<'_>> {
    let mut words = line.splitn(6, ' ');
    let start = u64::from_str_radix(words.next()?.split_once('-')?.0, 16).ok()?;
    let offset = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    Some(Line { start, offset, name: words.nth(2).unwrap_or("").trim_start() })
}

/// A name that is gone has a mark (proc(5)).
fn is_library(name: &str) -> bool {
    name.strip_suffix(" (deleted)").unwrap_or(name).ends_with(NAME)
}

fn read(maps: &str) -> Option<Place> {
    let lines: Vec<Line<'_>> = maps.lines().filter_map(parse).collect();
    let memory = lines.iter().find(|line| line.name.starts_with(MEMORY))?;
    let library = lines.iter().find(|line| line.offset == 0 && is_library(line.name))?;
    Some(Place {
        base: memory.start - memory.offset,
        library: PathBuf::from(library.name),
        loader: Some(library.start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_found() {
        let maps = "\
200000400000-200000402000 r--p 0000b000 fd:01 12                         /a b/libstowaway.so
200000950000-200000971000 r--s 00550000 00:01 2149                       /memfd:stowaway (deleted)
200000971000-2000009ea000 rw-s 00571000 00:01 2149                       /memfd:stowaway (deleted)
7f0000000000-7f0000001000 r--p 00000000 fd:01 12                         /a b/libstowaway.so
";
        let library = PathBuf::from("/a b/libstowaway.so");
        let place = Place { base: 0x2000_0040_0000, library, loader: Some(0x7f00_0000_0000) };
        assert_eq!(read(maps), Some(place));
        assert_eq!(read("7f0000000000-7f0000001000 r--p 00000000 fd:01 12 /x/libstowaway.so\n"), None);
    }
}
