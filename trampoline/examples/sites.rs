// SPDX-License-Identifier: GPL-2.0-only
//! Lists the `syscall` sites of ELF files and how each would be rewritten.
use trampoline::rewrite::decide::scan::scan_file;

fn main() {
    for path in std::env::args().skip(1) {
        let Some(report) = std::fs::read(&path).ok().and_then(|file| scan_file(&file)) else {
            println!("{path}: not an x86-64 ELF file");
            continue;
        };
        for site in &report.sites {
            let name = site.function.as_deref().unwrap_or("?");
            match &site.tactic {
                Ok(tactic) => {
                    println!("{:#x} {name}: {:?}, {} bytes", site.address, tactic.shape, tactic.len)
                }
                Err(refusal) => println!("{:#x} {name}: left alone, {}", site.address, refusal.text()),
            }
        }
        let live = report.sites.iter().filter(|site| site.live_safe()).count();
        let refused = report.sites.iter().filter(|site| site.tactic.is_err()).count();
        println!(
            "{path}: {} sites, {live} at any time, {refused} not; {} in other instructions, {} outside functions",
            report.sites.len(), report.data_occurrences, report.unknown_occurrences.len()
        );
    }
}
