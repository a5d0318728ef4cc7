// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway gdb PID`: what gdb has to be told to name the functions of the kernel in a process, and to get from
//! the kernel's stacks to the program's.

mod file;

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::GdbOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::look::place::Place;
use crate::look::symbols::Library;

/// Runs the command.
pub fn gdb(options: &GdbOptions) -> Result<i32, Failure> {
    let failed = |why: String| Failure::new(EXIT_FAILED, why);
    let place = Place::find(options.pid).map_err(failed)?;
    let table = Library::read(&place.library).map_err(failed)?.table;
    let prefix = options.output.clone().unwrap_or_else(|| PathBuf::from(format!("stowaway-{}", options.pid)));
    let with = |suffix: &str| {
        let mut name = prefix.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (script, symbols) = (with(".gdb"), with(".elf"));
    write(&symbols, &table.to_elf())?;
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| failed(format!("{}: {}", path.display(), reason(&error))))
    };
    let vmlinux = options.vmlinux.as_deref().map(&absolute).transpose()?;
    write(&script, lines(options.pid, &place, &absolute(&symbols)?, vmlinux.as_deref()).as_bytes())?;
    println!("{}", command(options.pid, &place, &script));
    Ok(0)
}

/// What to type. gdb takes the library for the executable of a program that it loaded, and leaves such a process stopped at
/// the end, unless gdb is told the program before it attaches.
fn command(pid: u32, place: &Place, script: &Path) -> String {
    let program = if place.loader.is_some() { "-iex 'set exec-file-mismatch off' PROGRAM " } else { "" };
    format!("gdb {program}-p {pid} -x {}", script.display())
}

fn lines(pid: u32, place: &Place, symbols: &Path, vmlinux: Option<&Path>) -> String {
    let mut text = format!("# For gdb -x, as long as process {pid} runs this kernel.\nset confirm off\n");
    let mut add = |file: &Path, at: u64| {
        text.push_str(&format!("add-symbol-file {} -o {at:#x}\n", quoted(file)));
    };
    add(symbols, place.base);
    if let Some(vmlinux) = vmlinux {
        add(vmlinux, place.base);
    }
    if let Some(start) = place.loader {
        add(&place.library, start);
    }
    text.push_str("set confirm on\n");
    text
}

/// As gdb's command lines are split.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.contains([' ', '"', '\'', '\\']) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text.into_owned()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes)
        .map_err(|error| Failure::new(EXIT_FAILED, format!("{}: {}", path.display(), reason(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_every_file() {
        let mut place = Place { base: 0x2000_0040_0000, library: "/x/libstowaway.so".into(), loader: None };
        let text = lines(7, &place, Path::new("/t/a.elf"), Some(Path::new("/b c/vmlinux")));
        assert!(text.contains("\nadd-symbol-file /t/a.elf -o 0x200000400000\n"), "{text}");
        assert!(text.contains("\nadd-symbol-file \"/b c/vmlinux\" -o 0x200000400000\n"), "{text}");
        assert!(!text.contains("libstowaway"), "the debugger finds a preloaded library by itself: {text}");
        place.loader = Some(0x5000);
        let text = lines(7, &place, Path::new("/t/a.elf"), None);
        assert!(text.contains("\nadd-symbol-file /x/libstowaway.so -o 0x5000\n"), "{text}");
    }
}
