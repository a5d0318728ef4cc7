// SPDX-License-Identifier: GPL-2.0-only
//! Which function an address is in: of a file, of the host's kernel, of the kernel library.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::sym::{STT_NOTYPE, STT_OBJECT};
use goblin::elf::{Elf, Sym};

/// Functions by address.
#[derive(Debug, Default)]
pub struct Functions {
    /// Start, end, name; sorted.
    all: Vec<(u64, u64, String)>,
}

impl Functions {
    fn new(mut all: Vec<(u64, u64, String)>) -> Functions {
        all.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        // Where a size is not known (assembler), up to the next one.
        for i in 1..all.len() {
            let next = all[i].0;
            if all[i - 1].1 <= all[i - 1].0 {
                all[i - 1].1 = next;
            }
        }
        Functions { all }
    }

    /// `START SIZE NAME` in hexadecimal, a line each, as perf's maps are.
    pub fn of_map(text: &str) -> Functions {
        let line = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let mut number = || u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok();
            let (start, size) = (number()?, number()?);
            Some((start, start + size, words.next()?.trim().to_string()))
        };
        Functions::new(text.lines().filter_map(line).collect())
    }

    /// /proc/kallsyms; None where addresses are hidden.
    fn of_host() -> Option<Functions> {
        let text = fs::read_to_string("/proc/kallsyms").ok()?;
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let start = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?;
            let name = words.next()?;
            matches!(kind, "t" | "T" | "w" | "W").then(|| (start, start, name.to_string()))
        };
        let all: Vec<_> = text.lines().filter_map(line).collect();
        all.iter().any(|(start, _, _)| *start != 0).then(|| Functions::new(all))
    }

    pub fn find(&self, at: u64) -> Option<&str> {
        let after = self.all.partition_point(|(start, _, _)| *start <= at);
        let (_, end, name) = self.all.get(after.checked_sub(1)?)?;
        (at < *end).then_some(name)
    }
}

/// An ELF file's functions, by the offset in the file.
#[derive(Debug, Default)]
pub struct Module {
    functions: Functions,
    /// File offset, length, address: what is loaded from where.
    loads: Vec<(u64, u64, u64)>,
}

impl Module {
    fn read(path: &Path) -> Result<Module> {
        let bytes = fs::read(path)?;
        let elf = Elf::parse(&bytes).context("not ELF")?;
        let loads = elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD);
        let loads = loads.map(|header| (header.p_offset, header.p_filesz, header.p_vaddr)).collect();
        let mut all = Vec::new();
        for (symbols, names) in [(&elf.syms, &elf.strtab), (&elf.dynsyms, &elf.dynstrtab)] {
            let is_code = |symbol: &Sym| symbol.is_function() || symbol.st_type() == STT_NOTYPE;
            for symbol in symbols.iter().filter(|symbol| symbol.st_value != 0 && is_code(symbol)) {
                if let Some(name) = names.get_at(symbol.st_name).filter(|name| !name.is_empty()) {
                    let end = symbol.st_value + symbol.st_size;
                    all.push((symbol.st_value, end, format!("{:#}", rustc_demangle::demangle(name))));
                }
            }
        }
        Ok(Module { functions: Functions::new(all), loads })
    }

    fn find(&self, offset: u64) -> Option<&str> {
        let (from, _, address) =
            self.loads.iter().find(|(from, len, _)| (*from..from + len).contains(&offset))?;
        self.functions.find(offset - from + address)
    }
}

/// The kernel library inside of a library file.
#[derive(Debug)]
pub struct Embedded {
    /// Where its image lies in the file.
    pub from: u64,
    pub len: u64,
    functions: Functions,
}

impl Embedded {
    /// With names where the kernel is among those built and kept: the image that the file has in it, and the `vmlinux`
    /// beside that. Else where the library says that its image is.
    fn find(library: &Path) -> Option<Embedded> {
        let bytes = fs::read(library).ok()?;
        Embedded::built(library, &bytes).or_else(|| Embedded::nameless(&bytes))
    }

    fn nameless(bytes: &[u8]) -> Option<Embedded> {
        const IMAGE: &str = "lkl::instance::image::IMAGE";
        let elf = Elf::parse(bytes).ok()?;
        let objects = elf.syms.iter().filter(|symbol| symbol.st_type() == STT_OBJECT);
        let named = |symbol: &Sym| {
            let name = elf.strtab.get_at(symbol.st_name).unwrap_or_default();
            format!("{:#}", rustc_demangle::demangle(name)).starts_with(IMAGE)
        };
        let image = objects.filter(named).max_by_key(|symbol| symbol.st_size)?;
        let (at, len) = (image.st_value, image.st_size);
        let mut loads = elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD);
        let load = loads.find(|header| header.vm_range().contains(&(at as usize)))?;
        Some(Embedded { from: at - load.p_vaddr + load.p_offset, len, functions: Functions::default() })
    }

    fn built(library: &Path, bytes: &[u8]) -> Option<Embedded> {
        let kernels = library.ancestors().map(|dir| dir.join("kernel")).find(|dir| dir.is_dir())?;
        let mut images: Vec<PathBuf> =
            fs::read_dir(kernels).ok()?.flatten().map(|entry| entry.path().join("liblkl.img")).collect();
        images.sort_by_key(|path| std::cmp::Reverse(path.metadata().and_then(|m| m.modified()).ok()));
        images.into_iter().find_map(|path| {
            let image = fs::read(&path).ok()?;
            let from = position(bytes, &image)?;
            let functions = Module::read(&path.with_file_name("vmlinux")).ok()?.functions;
            Some(Embedded { from, len: image.len() as u64, functions })
        })
    }
}

/// Where `part`, which begins on a page, is in `all`.
fn position(all: &[u8], part: &[u8]) -> Option<u64> {
    let head = part.get(..4096)?;
    let pages = (0..all.len()).step_by(4096);
    let mut fits = pages.filter(|&at| all[at..].starts_with(head) && all[at..].starts_with(part));
    fits.next().map(|at| at as u64)
}

/// All that is asked for during one report.
#[derive(Default)]
pub struct Symbols {
    modules: HashMap<PathBuf, Module>,
    embedded: HashMap<PathBuf, Option<Embedded>>,
    /// By process.
    maps: HashMap<i32, Functions>,
    host: Option<Functions>,
}

impl Symbols {
    pub fn new() -> Symbols {
        Symbols { host: Functions::of_host(), ..Symbols::default() }
    }

    /// A function of the kernel library in the process: by the map that the library wrote of itself
    /// (STOWAWAY_PERF_MAP), which is taken away.
    pub fn library(&mut self, pid: i32, at: u64) -> Option<&str> {
        let map = self.maps.entry(pid).or_insert_with(|| {
            let path = format!("/tmp/perf-{pid}.map");
            let text = fs::read_to_string(&path).unwrap_or_default();
            let _ = fs::remove_file(&path);
            Functions::of_map(&text)
        });
        map.find(at)
    }

    /// Names an address of a kernel that runs where the library's file is mapped: by its offset there.
    pub fn embedded(&mut self, file: &Path, offset: u64) -> Option<&str> {
        let found =
            self.embedded.entry(file.to_path_buf()).or_insert_with(|| Embedded::find(file)).as_ref()?;
        let inside = offset.checked_sub(found.from).filter(|inside| *inside < found.len)?;
        Some(found.functions.find(inside).unwrap_or("[kernel]"))
    }

    pub fn file(&mut self, path: &Path, offset: u64) -> Option<&str> {
        let read = || Module::read(path).unwrap_or_default();
        self.modules.entry(path.to_path_buf()).or_insert_with(read).find(offset)
    }

    pub fn host(&self, at: u64) -> Option<&str> {
        self.host.as_ref()?.find(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        let functions =
            Functions::of_map("1000 10 first\n0x2000 0x20 second one\njunk\n3000 0 label\n3100 8 last\n");
        assert_eq!(functions.find(0x100f), Some("first"));
        assert_eq!(functions.find(0x1010), None);
        assert_eq!(functions.find(0x2010), Some("second one"));
        assert_eq!(functions.find(0x3080), Some("label"), "up to the next");
        assert_eq!(functions.find(0x3108), None);
        assert_eq!(functions.find(0xfff), None);
    }

    #[test]
    fn own_functions_are_found() {
        let own = std::env::current_exe().unwrap();
        let module = Module::read(&own).unwrap();
        assert!(module.functions.all.iter().any(|(_, _, name)| name.contains("own_functions_are_found")));
    }

    #[test]
    fn images_are_found_on_pages() {
        let mut all = vec![1u8; 3 * 4096];
        all[4096..8192 + 100].fill(7);
        assert_eq!(position(&all, &[7; 4196]), Some(4096));
        assert_eq!(position(&all, &[7; 4296]), None);
    }
}
