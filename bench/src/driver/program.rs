// SPDX-License-Identifier: GPL-2.0-only
//! Rows that time the life of a program, with the mounting and unmounting that it takes.
//!
//! # Safety
//! Calls take descriptors that are open, and room for the two that pipe2 makes.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use super::runner::{Runner, Sample};
use crate::machine::timed;
use crate::machine::workdir::detach;
use crate::rows::Side;
use crate::rows::{Expect, Kind, Row};
use crate::sides::fixture::{check_image, Fixtures};
use crate::sides::place::Place;

/// One side of such a row.
pub struct ProgramRunner {
    place: Place,
    row: &'static Row,
    argv: Vec<PathBuf>,
    expect: Expect,
    /// The host mounts and unmounts inside the clock.
    mounts: bool,
    fixtures: std::rc::Rc<Fixtures>,
    printed: PathBuf,
}

impl ProgramRunner {
    /// Runs the program once, unmeasured, and compares what it prints with what it should.
    pub fn start(place: Place, row: &'static Row, fixtures: std::rc::Rc<Fixtures>) -> Result<ProgramRunner> {
        let Kind::Program { argv, expect, uses_mount, .. } = row.kind else {
            bail!("{}: not a program's row", row.id);
        };
        let archive = if row.writes() { fixtures.archive()? } else { PathBuf::new() };
        let fill = |arg: &&str| {
            let arg = arg.replace("{archive}", &archive.to_string_lossy());
            PathBuf::from(arg.replace("{dir}", &place.dir.to_string_lossy()))
        };
        let argv = argv.iter().map(fill).collect();
        let printed = place.dir.with_file_name(format!("stdout-{}", place.side.name()));
        let mounts = uses_mount && place.side.mounts_on_host();
        let runner = ProgramRunner { place, row, argv, expect, mounts, fixtures, printed };
        runner.reset()?;
        runner.live(File::create(&runner.printed)?.into())?;
        runner.verify()?;
        Ok(runner)
    }

    /// The whole of what is timed.
    fn live(&self, stdout: Stdio) -> Result<Duration> {
        let [program, args @ ..] = self.argv.as_slice() else { bail!("no program") };
        let mut command = self.place.command(program)?;
        command.args(args).stdout(stdout);
        let start = Instant::now();
        let mounted = if self.mounts { Some(Mounted::new(&self.place)?) } else { None };
        timed::run(&mut command).map_err(|error| self.place.explain(error))?;
        match mounted {
            Some(mounted) => mounted.undo(start),
            None => Ok(start.elapsed()),
        }
    }

    /// Undo what the program did before. Not timed.
    fn reset(&self) -> Result<()> {
        if matches!(self.row.kind, Kind::Program { forgets: true, .. }) && self.place.cache.exists() {
            fs::remove_dir_all(&self.place.cache)?;
        }
        if !self.row.writes() {
            return Ok(());
        }
        match self.place.image {
            Some(_) => drop(self.fixtures.image(self.row.template, self.place.side, true)?),
            None => {
                let left = self.place.dir.join("tree");
                if left.exists() {
                    fs::remove_dir_all(left)?;
                }
            }
        }
        // What was written before, by any side, should not be written out during the next sample.
        let work = File::open(self.place.dir.parent().context("no parent")?)?;
        // SAFETY: an open descriptor.
        unsafe { libc::syncfs(work.as_raw_fd()) };
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        let text = fs::read_to_string(&self.printed)?;
        let scale = &self.fixtures.scale;
        let good = match self.expect {
            Expect::Nothing => text.is_empty(),
            Expect::OneLine => text.lines().count() == 1,
            Expect::LongList => text.lines().count() == scale.listed + 1,
            Expect::TreeCount => text.trim() == scale.tree_names().to_string(),
        };
        if !good {
            let start: String = text.chars().take(80).collect();
            bail!("it printed something else than it should: {start:?}");
        }
        Ok(())
    }
}

impl Runner for ProgramRunner {
    fn sample(&mut self) -> Result<Sample> {
        self.reset()?;
        Ok((self.live(Stdio::null())?.as_secs_f64() * 1e3).into())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let native_tree = self.place.dir.join("tree");
        if self.row.writes() && self.place.side == Side::Native && native_tree.exists() {
            fs::remove_dir_all(native_tree)?;
        }
        match &self.place.image {
            Some(image) if self.place.side == Side::Stowaway => check_image(image),
            _ => Ok(()),
        }
    }
}

/// A mount made by the ordinary commands, as a user would.
struct Mounted<'a> {
    place: &'a Place,
    /// Whatever the mount command leaves running in the background holds the other end.
    background: OwnedFd,
}

impl<'a> Mounted<'a> {
    fn new(place: &'a Place) -> Result<Mounted<'a>> {
        let (background, _held) = inherited_pipe()?;
        let mounted = Mounted { place, background };
        let mut mount: Command = place.mount_command()?;
        timed::run(&mut mount).map_err(|error| place.explain(error))?;
        Ok(mounted)
    }

    /// Unmount; the time since `start` when the image is complete and free again. A FUSE daemon
    /// still writes it when umount has returned, so its end counts, as the kernel's work does
    /// inside the umount of a loop mount.
    fn undo(self, start: Instant) -> Result<Duration> {
        let mut umount = self.place.host_command("umount")?;
        timed::run(umount.arg(&self.place.dir)).map_err(|error| self.place.explain(error))?;
        timed::await_readable(&self.background, Duration::from_secs(60)).context("the daemon did not end")?;
        let took = start.elapsed();
        std::mem::forget(self);
        Ok(took)
    }
}

impl Drop for Mounted<'_> {
    /// Only when something failed between mount and unmount.
    fn drop(&mut self) {
        detach(&self.place.dir);
    }
}

/// A pipe whose second end children started from now on get too, until it is closed here. (No
/// other thread of ours starts any.)
fn inherited_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are new and ours; then calls without pointers.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(std::io::Error::last_os_error()).context("pipe");
        }
        libc::fcntl(ends[1], libc::F_SETFD, 0);
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
