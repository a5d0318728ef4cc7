// SPDX-License-Identifier: GPL-2.0-only
//! Which program the loader starts: what the program before us says in STOWAWAY_EXEC.
#![allow(unsafe_code)]

use std::ffi::CString;

use crate::exec::elf::Elf;
use crate::exec::launch::{exec_observed, warn};
use crate::exec::plan::{decide_followed, Plan};
use crate::exec::request::{Names, Request};
use crate::exec::resolve::{find, Content, Found, Program};
use crate::loader::stack::Initial;
use crate::lookup::self_exe;
use crate::sys::decimal;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd, AT_FDCWD};
use crate::sys::host;

/// What STOWAWAY_EXEC says.
pub struct Order {
    /// The program, open.
    fd: Option<i32>,
    /// What the program is called.
    pub name: CString,
    /// Where the program lies in a mount.
    exe: Option<&'static [u8]>,
}

impl Order {
    /// Reads the environment; None: it says nothing.
    pub fn find(stack: &Initial) -> Option<Order> {
        let value = |name: &'static [u8]| stack.environment().find_map(|v| v.to_bytes().strip_prefix(name));
        let text = value(stowaway_config::EXEC)?;
        let colon = text.iter().position(|&b| b == b':')?;
        let fd = decimal::parse(&text[..colon]).and_then(|fd| i32::try_from(fd).ok());
        let name = CString::new(&text[colon + 1..]).ok()?;
        Some(Order { fd, name, exe: value(stowaway_config::EXEC_PATH) })
    }

    /// Opens the program, or executes something else in its place.
    pub fn program(&self, stack: &mut Initial) -> Result<(OwnedFd, Elf)> {
        let Some(fd) = self.fd else { return self.look_up(stack) };
        self_exe::set(fd, self.exe.unwrap_or_default());
        Elf::read(fd).map(|elf| (fs::owned(fd), elf))
    }

    /// `stowaway run` gives a name only. A script needs more arguments than our stack holds, and a tracer wants the program
    /// to be executed by the host: those are executed anew.
    fn look_up(&self, stack: &mut Initial) -> Result<(OwnedFd, Elf)> {
        let path = fs::address(&self.name);
        let request = Request { dirfd: AT_FDCWD, path, argv: stack.argv(), envp: stack.envp(), flags: 0 };
        let mut names = Names::new(&request)?;
        let found = find(&request, &mut names)?;
        let decision = decide_followed(&found)?;
        match (decision.plan, found) {
            (
                Plan::Load(_),
                Found::Program(Program { file, content: Content::Elf(elf), arguments: None, .. }),
            ) => {
                self_exe::set(file.raw(), names.exe());
                Ok((file, elf))
            }
            (Plan::Load(_) | Plan::Preload, _) => {
                Err(exec_observed(&request, || ()).err().unwrap_or(Errno::ENOEXEC))
            }
            _ => {
                if let Some(why) = decision.why_not {
                    warn(names.execfn(), why);
                }
                Err(execute_on_host(stack, &self.name, path))
            }
        }
    }
}

/// Executes a program that is not for us.
fn execute_on_host(stack: &mut Initial, name: &CString, path: usize) -> Errno {
    // SAFETY: the settings were copied; the variables that go away hold the name. The host replaces this process, or says
    // why not.
    unsafe {
        stack.restore(stowaway_config::is_ours, name);
        host::call(libc::SYS_execve, &[path, stack.argv(), stack.envp()]).err().unwrap_or(Errno::ENOEXEC)
    }
}
