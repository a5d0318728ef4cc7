// SPDX-License-Identifier: GPL-2.0-only
//! Where a program and its libraries make system calls, and how each place would be caught: rewritten at any time, while
//! there is one thread only, or not at all (then every call is a trap).

use std::path::{Path, PathBuf};

use trampoline::rewrite::{scan_file, Site};

use super::command::clean;
use super::module::{Module, Place};
use super::report::{Report, State};
use crate::elf::Elf;
use crate::program;

const GROUP: &str = "Call sites";

/// Adds what is found in `binary` and its libraries.
pub fn check(report: &mut Report, binary: &Path, elf: &Elf, verbose: bool) {
    let mut modules = Vec::new();
    for path in files(report, binary, elf) {
        match module(&path, verbose) {
            Ok(module) => modules.push(module),
            Err(why) => {
                report.add(GROUP, &name(&path), State::Warn, format!("{}: {why}", path.display()));
            }
        }
    }
    for module in &modules {
        report.add(GROUP, &name(&module.path), State::Ok, module.text());
    }
    let sum = |of: fn(&Module) -> usize| modules.iter().map(of).sum::<usize>();
    let (all, left) = (sum(|m| m.sites), sum(Module::left));
    let percent = if all == 0 { 100.0 } else { (all - left) as f64 * 100.0 / all as f64 };
    let detail = format!("{} of {all} sites are rewritten ({percent:.1} %), {left} stay traps", all - left);
    report.add(GROUP, "all", if left == 0 { State::Ok } else { State::Info }, detail);
    report.modules = modules;
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The program, its dynamic loader, and what that says it would load.
fn files(report: &mut Report, binary: &Path, elf: &Elf) -> Vec<PathBuf> {
    let mut files = vec![binary.to_path_buf()];
    let Elf::X86_64 { interp: Some(loader), .. } = elf else { return files };
    if program::libc_of(loader) != "glibc" {
        return files;
    }
    // The loader is run by hand, so the program is mapped and not started, whatever it is.
    let listed = clean(Path::new(loader)).arg("--list").arg(binary).output();
    let listed = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => {
            report.add(GROUP, "libraries", State::Warn, format!("{loader} does not list them"));
            String::new()
        }
    };
    for (what, file) in listed.lines().filter_map(library) {
        match file {
            Some(file) => files.push(file),
            None => {
                report.add(GROUP, &what, State::Warn, "not found: the program cannot start without it");
            }
        }
    }
    let loader = PathBuf::from(loader);
    if !files.contains(&loader) {
        files.push(loader);
    }
    files
}

/// A line such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f...)`; None: the kernel's own, or no library.
fn library(line: &str) -> Option<(String, Option<PathBuf>)> {
    let line = line.trim();
    let (name, file) = line.split_once(" => ").unwrap_or((line, line));
    let file = file.split(" (0x").next()?.trim();
    if file == "not found" {
        return Some((name.to_string(), None));
    }
    file.starts_with('/').then(|| (name.to_string(), Some(PathBuf::from(file))))
}

fn module(path: &Path, verbose: bool) -> Result<Module, String> {
    let bytes = std::fs::read(path).map_err(|error| crate::fail::reason(&error))?;
    let found = scan_file(&bytes).ok_or("not a file of 64-bit x86 code")?;
    let mut module = Module { path: path.to_path_buf(), sites: found.sites.len(), ..Module::default() };
    (module.data, module.unknown) = (found.data_occurrences, found.unknown_occurrences.len());
    for site in &found.sites {
        match &site.tactic {
            Ok(_) if site.live_safe() => module.at_any_time += 1,
            Ok(_) => module.with_one_thread += 1,
            Err(refusal) => *module.traps.entry(refusal.text().to_string()).or_default() += 1,
        }
        if verbose {
            module.list.push(place(site));
        }
    }
    Ok(module)
}

fn place(site: &Site) -> Place {
    let tactic = match &site.tactic {
        Ok(tactic) => {
            let when = if site.live_safe() { "at any time" } else { "while there is one thread" };
            format!("rewritten {when}: {} bytes at {:#x}", tactic.len, tactic.start)
        }
        Err(refusal) => format!("a trap: {}", refusal.text()),
    };
    Place { address: format!("{:#x}", site.address), function: site.function.clone(), tactic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_loader() {
        let file = |text: &str| Some(PathBuf::from(text));
        let cases = [
            ("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)", Some(("libc.so.6".into(), file("/lib/libc.so.6")))),
            ("\tlibx.so => not found", Some(("libx.so".into(), None))),
            ("\tlinux-vdso.so.1 (0x00007ffe)", None),
            ("\t/lib64/ld.so (0x00007f)", Some(("/lib64/ld.so (0x00007f)".into(), file("/lib64/ld.so")))),
            ("\tstatically linked", None),
        ];
        for (line, meant) in cases {
            assert_eq!(library(line), meant, "{line}");
        }
    }

    #[test]
    fn this_machine_s_libc() {
        let mut report = Report::default();
        let sh = Path::new("/bin/sh");
        let interp = Some("/lib64/ld-linux-x86-64.so.2".to_string());
        check(&mut report, sh, &Elf::X86_64 { interp, dynamic: true, kind: 3 }, true);
        let of =
            |name: &str| report.modules.iter().find(|m| m.path.to_string_lossy().contains(name)).unwrap();
        let libc = of("libc.so");
        assert!(libc.sites > 300 && libc.list.len() == libc.sites, "{}", libc.text());
        assert_eq!(libc.sites, libc.at_any_time + libc.with_one_thread + libc.left());
        assert!(libc.list.iter().any(|place| place.function.as_deref() == Some("read")), "names are there");
        assert!(of("ld-linux").sites > 20);
    }
}
