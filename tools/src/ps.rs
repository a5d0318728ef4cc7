// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway ps`: the instances of this machine, and the processes that use them.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::cli::PsOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::look::instances::{self, Instance};

const MIB: f64 = 1048576.0;

/// Prints what runs.
pub fn ps(options: &PsOptions) -> Result<i32, Failure> {
    let instances = instances::all().map_err(|why| Failure::new(EXIT_FAILED, why))?;
    let text = match options.json {
        true => serde_json::to_string_pretty(&instances).expect("plain data") + "\n",
        false => table(&instances),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(EXIT_FAILED, format!("standard output: {}", reason(&error))))?;
    Ok(0)
}

/// One line for an instance.
pub fn heading(instance: &Instance) -> String {
    let number = instance.instance;
    let name = instance.name.as_ref().map_or(format!("{number}"), |name| format!("{name} ({number})"));
    let mut parts = match instance.mounts.is_empty() {
        true => vec!["no mounts".to_owned()],
        false => vec![instance.mounts.join("  ")],
    };
    parts.extend(instance.net.iter().filter(|net| *net != "none").map(|net| format!("net {net}")));
    parts.push(format!("{:.1} MiB", instance.memory_bytes as f64 / MIB));
    format!("instance {name}: {}", parts.join("; "))
}

fn table(instances: &[Instance]) -> String {
    let mut text = String::from("    PID S  COMMAND\n");
    for instance in instances {
        let _ = writeln!(text, "{}", printable(&heading(instance)));
        for process in &instance.processes {
            let _ = writeln!(text, "{:>7} {}  {}", process.pid, process.state, printable(&process.command));
        }
    }
    text
}

/// A command line on one line of a terminal.
pub fn printable(command: &str) -> String {
    command.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::instances::tests::lay;

    #[test]
    fn a_table_has_a_heading_for_each_instance() {
        let proc = tempfile::tempdir().unwrap();
        lay(proc.path(), 30, "sh) odd", 5, b"sh\0-c\0a\nb\0", b"A=b\0STOWAWAY_MOUNT=i.img:/a;j.img:/b\0");
        let kept = b"STOWAWAY_KEPT_BY=1:2\0STOWAWAY_NET=lo\0STOWAWAY_INSTANCE=work\0";
        lay(proc.path(), 31, "stowaway-keeper", 5, b"stowaway-keeper\0", kept);
        lay(proc.path(), 9, "cat", 6, b"cat\0", b"");
        let text = table(&instances::instances(proc.path()).unwrap());
        assert!(text.contains("     30 S  sh -c a?b\n"), "{text}");
        assert!(text.contains("instance work (5): i.img:/a  j.img:/b; net lo; 0.0 MiB\n"), "{text}");
        assert!(text.contains("instance 6: no mounts; 0.0 MiB\n"), "{text}");
    }
}
