// SPDX-License-Identifier: GPL-2.0-only
//! Mounts of the host that stand while a side is measured.
//!
//! # Safety
//! Between fork and exec a daemon calls prctl alone. statfs fills a buffer of its own type.
#![allow(unsafe_code)]

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use super::place::Place;
use crate::machine::workdir::detach;
use crate::machine::{interrupt, timed};
use crate::rows::Side;

impl Place {
    /// Mount, for as long as the guard lives.
    pub fn hold(&self) -> Result<Held> {
        let mut held = Held { mount_point: None, daemon: None };
        if !self.side.mounts_on_host() {
            return Ok(held);
        }
        held.mount_point = Some(self.dir.clone());
        let mut command = self.mount_command()?;
        if self.side == Side::Loop {
            timed::run(&mut command).map_err(|error| self.explain(error))?;
        } else {
            held.daemon = Some(start_daemon(&mut command)?);
            held.await_mount(&self.dir).map_err(|error| self.explain(error))?;
        }
        Ok(held)
    }
}

/// A mount that stands until dropped.
pub struct Held {
    mount_point: Option<PathBuf>,
    daemon: Option<Child>,
}

impl Held {
    /// Process id of the FUSE daemon, if the mount has one.
    pub fn daemon(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    fn await_mount(&mut self, dir: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_fuse(dir) {
            interrupt::check()?;
            if let Some(status) = self.daemon.as_mut().and_then(|d| d.try_wait().transpose()) {
                bail!("fuse2fs ended: {}", status?);
            }
            if Instant::now() > deadline {
                bail!("fuse2fs did not mount within 10 s");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mount_point) = self.mount_point.take() {
            detach(&mount_point);
        }
        if let Some(mut daemon) = self.daemon.take() {
            // It ends by itself once it has written the image; one that hangs is not waited for.
            if timed::wait(&mut daemon, Duration::from_secs(30)).is_err() {
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
        }
    }
}

fn start_daemon(command: &mut Command) -> Result<Child> {
    command.arg("-f");
    // SAFETY: prctl is async-signal-safe; it ends the daemon, with its mount, if we are killed.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    command.spawn().context("fuse2fs")
}

fn is_fuse(dir: &Path) -> bool {
    const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
    let Ok(path) = std::ffi::CString::new(dir.as_os_str().as_bytes()) else { return false };
    // SAFETY: all-zero is a valid statfs buffer, and `path` is a C string.
    unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        libc::statfs(path.as_ptr(), &mut found) == 0 && found.f_type as i64 == FUSE_SUPER_MAGIC
    }
}
