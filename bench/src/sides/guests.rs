// SPDX-License-Identifier: GPL-2.0-only
//! The commands by which workers start: on the host, and inside of other kernels that run without privilege, where
//! somebody has them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::place::Place;
use crate::machine::timed;
use crate::rows::Side;
use crate::worker::protocol::VERB;

impl Place {
    /// A worker of this side, told to do `task`. Its stdin and stdout are still to be set.
    pub fn worker(&self, task: &str) -> Result<Command> {
        match self.side {
            Side::Gvisor => gvisor(self, task),
            Side::Uml => uml(self, task),
            _ => {
                // Not current_exe(): in a mount namespace of our own /proc may name it by a path that leads nowhere here.
                let mut command = self.command("/proc/self/exe")?;
                command.arg(VERB).arg(task).arg(&self.dir);
                Ok(command)
            }
        }
    }
}

/// gVisor: `runsc do` runs a command on a copy-on-write view of the host's files, with lo and nothing else.
fn gvisor(place: &Place, task: &str) -> Result<Command> {
    let mut command = place.command("runsc")?;
    command.args(["--rootless", "--network=none", "do"]).arg(std::env::current_exe()?);
    command.arg(VERB).arg(task).arg(&place.dir);
    Ok(command)
}

/// User Mode Linux on the host's files, with the worker on its console.
fn uml(place: &Place, task: &str) -> Result<Command> {
    let work = place.dir.parent().context("no work directory")?;
    let init = work.join("uml-init");
    fs::write(&init, init_script(&std::env::current_exe()?, task, &place.dir))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let mut command = place.command("linux.uml")?;
    // It keeps a directory of its own there.
    command.env("HOME", work);
    command.args(["mem=256M", "rootfstype=hostfs", "rootflags=/", "rw", "quiet", "loglevel=0"]);
    command.args(["con=null", "con0=fd:0,fd:1"]).arg(format!("init={}", init.display()));
    Ok(command)
}

/// The console must neither echo nor change what goes over it.
fn init_script(program: &Path, task: &str, dir: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"));
    let (program, dir) = (quoted(program), quoted(dir));
    format!(
        "#!/bin/sh\nexport PATH={}\nmount -t proc proc /proc\nip link set lo up || ifconfig lo up\n\
         stty raw -echo </dev/tty0\n{program} {} '{task}' {dir} </dev/tty0 >/dev/tty0\nhalt -f\n",
        timed::SEARCH_PATH,
        VERB
    )
}
