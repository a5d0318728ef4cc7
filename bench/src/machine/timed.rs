// SPDX-License-Identifier: GPL-2.0-only
//! Running programs: with a limit, so that a hang of one side is a failed row and not a hung run.
//!
//! # Safety
//! pidfd_open takes a child that is not reaped yet; poll takes one pollfd.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::machine::interrupt;

/// mkfs and its kin live in sbin, which an ordinary user's PATH may lack.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const LIMIT: Duration = Duration::from_secs(180);

/// Whether `program` is found on [`SEARCH_PATH`].
pub fn is_installed(program: &str) -> bool {
    SEARCH_PATH.split(':').any(|dir| Path::new(dir).join(program).exists())
}

/// Run to the end; anything but success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let name =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| name.clone())?;
    wait(&mut child, LIMIT).with_context(|| name)
}

/// Wait for success; kill what outlives the limit.
pub fn wait(child: &mut Child, limit: Duration) -> Result<()> {
    let ended = await_end(child, limit);
    if ended.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    ended?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

fn await_end(child: &Child, limit: Duration) -> Result<()> {
    // SAFETY: pidfd_open takes no pointers; the child is not reaped yet, so its pid is its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id() as libc::pid_t, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error()).context("pidfd_open");
    }
    // SAFETY: just opened, and owned by nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    await_readable(&fd, limit)
}

/// Wait until `fd` has something to read, or its end.
pub fn await_readable(fd: &impl AsRawFd, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        interrupt::check()?;
        let left = deadline.saturating_duration_since(Instant::now());
        let mut wanted = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        match unsafe { libc::poll(&mut wanted, 1, left.as_millis() as i32) } {
            0 => bail!("no answer within {} s", limit.as_secs()),
            1 => return Ok(()),
            _ => {} // interrupted: look why
        }
    }
}
