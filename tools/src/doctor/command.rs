// SPDX-License-Identifier: GPL-2.0-only
//! How the programs that are asked something are started.

use std::path::Path;
use std::process::Command;

/// A command without settings of ours in its environment.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STOWAWAY_") {
            command.env_remove(name);
        }
    }
    command.env_remove("LD_PRELOAD");
    command
}
