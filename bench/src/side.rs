// SPDX-License-Identifier: GPL-2.0-only
//! The sides of a row: ways in which a program comes to a directory.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::rows::{Bell, Family, Kind, Row};
use crate::workdir::detach;
use crate::{door, guests, interrupt, timed, worker};

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A directory on the host's file system: what ratios are taken to.
    Native,
    /// The image on a loop device, mounted by the host's kernel: the fair baseline of an image.
    Loop,
    /// The image through the shim.
    Stowaway,
    /// The kernel library alone, called by the program itself.
    Kernel,
    /// The image through FUSE.
    Fuse2fs,
    /// No image: the worker in gVisor's sandbox, by its `runsc`.
    Gvisor,
    /// No image: the worker in User Mode Linux, on the host's files.
    Uml,
    /// No image: zpoline catches the calls and forwards them.
    Zpoline,
    /// The same with lazypoline.
    Lazypoline,
    /// The same with syscall_intercept.
    SyscallIntercept,
}

/// What a side needs that is not a command.
#[derive(Debug, Default, Clone)]
pub struct Libraries {
    /// libstowaway.so
    pub shim: Option<PathBuf>,
    /// Other catchers of calls, where somebody has them.
    pub peers: Vec<(Side, PathBuf)>,
    /// What they want in the environment.
    pub peer_environment: Vec<(OsString, OsString)>,
}

impl Side {
    /// In the order of the report.
    pub const IMAGE: [Side; 4] = [Side::Native, Side::Loop, Side::Stowaway, Side::Fuse2fs];
    pub const CALLS: [Side; 5] =
        [Side::Native, Side::Stowaway, Side::Zpoline, Side::Lazypoline, Side::SyscallIntercept];

    pub const CORE: [Side; 5] = [Side::Native, Side::Kernel, Side::Stowaway, Side::Gvisor, Side::Uml];

    pub fn name(self) -> &'static str {
        match self {
            Side::Native => "native",
            Side::Loop => "loop",
            Side::Stowaway => "stowaway",
            Side::Kernel => "kernel",
            Side::Fuse2fs => "fuse2fs",
            Side::Gvisor => "gvisor",
            Side::Uml => "uml",
            Side::Zpoline => "zpoline",
            Side::Lazypoline => "lazypoline",
            Side::SyscallIntercept => "syscall_intercept",
        }
    }

    pub fn has_image(self) -> bool {
        matches!(self, Side::Loop | Side::Stowaway | Side::Fuse2fs)
    }

    /// Another catcher of calls.
    pub fn is_peer(self) -> bool {
        matches!(self, Side::Zpoline | Side::Lazypoline | Side::SyscallIntercept)
    }

    /// Whether the host has to mount something before a program can use the side.
    pub fn mounts_on_host(self) -> bool {
        matches!(self, Side::Loop | Side::Fuse2fs)
    }

    /// What this side does in a row, in words.
    pub fn does(self, row: &Row) -> String {
        let work = match row.kind {
            Kind::Program { argv, .. } => argv.join(" "),
            Kind::Loop { .. } | Kind::Core(_) => "the loop".into(),
            Kind::Boot | Kind::BootMemory => "the boot of a process's kernel".into(),
            Kind::Memory => match self {
                Side::Fuse2fs => "the program's resident set and the daemon's".into(),
                _ => "the program's resident set".into(),
            },
            Kind::FirstHits => "a process that has not run the sites yet".into(),
            Kind::Sites => "stowaway doctor".into(),
        };
        if row.family == Family::Core {
            return match self {
                Side::Native => format!("{work}, served by the host's kernel"),
                Side::Kernel => {
                    format!("{work}, served by the kernel library, which the program calls itself")
                }
                Side::Gvisor | Side::Uml => format!("{work} inside of {}", self.name()),
                _ => format!("{work}, served by the kernel library through the shim"),
            };
        }
        if row.family == Family::Calls {
            return match self {
                Side::Native => work,
                Side::Stowaway if row.catches_itself() => {
                    format!("{work} in a program with the trampoline in it")
                }
                Side::Stowaway => format!("{work} with the library preloaded and a mount configured"),
                _ => format!("{work} with {} preloaded", self.name()),
            };
        }
        let timed = matches!(row.kind, Kind::Program { uses_mount: true, .. });
        match (self, timed) {
            (Side::Native, _) => format!("{work} on a host directory"),
            (Side::Stowaway, true) => format!("{work} with the library preloaded: boot, mount, use, unmount"),
            (Side::Stowaway, false) => format!("{work} with the library preloaded"),
            (Side::Loop, true) => format!("mount -o loop; {work}; umount"),
            (Side::Fuse2fs, true) => format!("fuse2fs; {work}; umount, until its daemon has ended"),
            (Side::Loop, false) => format!("{work} on a loop mount that stands"),
            (Side::Fuse2fs, false) => format!("{work} on a fuse2fs mount that stands"),
            _ => "nothing: it serves no image".into(),
        }
    }

    /// Why this machine cannot run the side, if so.
    pub fn missing(self, libraries: &Libraries) -> Option<String> {
        let tools: &[&str] = match self {
            Side::Native | Side::Kernel => return None,
            peer if peer.is_peer() => &[],
            Side::Gvisor => &["runsc"],
            Side::Uml => &["linux.uml"],
            Side::Loop => &["mkfs.ext4", "mount", "umount"],
            Side::Stowaway => &["mkfs.ext4", "e2fsck"],
            _ => &["mkfs.ext4", "fuse2fs", "umount"],
        };
        if let Some(tool) = tools.iter().find(|tool| !timed::is_installed(tool)) {
            return Some(format!("{tool} is not installed"));
        }
        match self {
            peer if peer.is_peer() && libraries.peer(peer).is_none() => {
                Some(format!("name its library with --{}", self.name().replace('_', "-")))
            }
            Side::Stowaway if libraries.shim.is_none() => {
                Some("libstowaway.so is not built (or name it with --shim)".into())
            }
            Side::Loop => cannot_open("/dev/loop-control"),
            Side::Fuse2fs => cannot_open("/dev/fuse"),
            _ => None,
        }
    }
}

impl Libraries {
    fn peer(&self, side: Side) -> Option<&Path> {
        self.peers.iter().find(|(other, _)| *other == side).map(|(_, path)| path.as_path())
    }
}

fn cannot_open(device: &str) -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.err().map(|error| format!("{device}: {error}"))
}

/// Where a side's programs find the directory, and what they need in their environment.
pub struct Place {
    pub side: Side,
    /// As the program names it. On the stowaway side it does not exist on the host.
    pub dir: PathBuf,
    pub image: Option<PathBuf>,
    /// The user's cache directory.
    pub cache: PathBuf,
    environment: Vec<(OsString, OsString)>,
    complaints: PathBuf,
}

impl Place {
    /// `native` is the directory of the native side, `image` the image of the others.
    pub fn new(
        side: Side,
        row: &Row,
        work: &Path,
        native: &Path,
        image: Option<PathBuf>,
        libraries: &Libraries,
    ) -> Result<Place> {
        let mount_point = work.join(format!("mnt-{}", side.name()));
        if side.mounts_on_host() {
            fs::create_dir_all(&mount_point)?;
        }
        let mut environment = Vec::new();
        if let Some(peer) = libraries.peer(side) {
            environment.push(("LD_PRELOAD".into(), peer.into()));
            environment.extend(libraries.peer_environment.iter().cloned());
        }
        let mut set = |name: &str, value: OsString| environment.push((name.into(), value));
        if side == Side::Stowaway && row.catches_itself() {
            set(worker::CATCH, "1".into());
        } else if let (Side::Stowaway, Some(shim), Some(image)) = (side, &libraries.shim, &image) {
            set("LD_PRELOAD", row.bell().map_or_else(|| shim.into(), |bell| with_bell(shim, bell)));
            if let Some(bell) = row.bell() {
                set("STOWAWAY_DOORBELL", bell.name().into());
            }
            set("STOWAWAY_MOUNT", mount_setting(image, &mount_point));
            set(worker::TOUCH, mount_point.clone().into());
            if let Some(size) = row.kernel_ram() {
                set("STOWAWAY_MEM", size.into());
            }
        }
        if side == Side::Kernel {
            set(door::DIRECT, "1".into());
            if let Some(image) = &image {
                set(door::IMAGE, image.into());
            }
        } else if row.family == Family::Core && side == Side::Stowaway {
            set("STOWAWAY_NET", "lo".into());
        }
        let on_host = !side.has_image() || row.family == Family::Calls;
        let dir = if on_host { native.to_path_buf() } else { mount_point };
        let (cache, complaints) = (work.join("cache"), work.join(format!("stderr-{}", side.name())));
        environment.push(("XDG_CACHE_HOME".into(), cache.clone().into()));
        Ok(Place { side, dir, image, cache, environment, complaints })
    }

    /// A program of this side: same small environment everywhere, stderr kept for the report.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = self.host_command(program)?;
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        Ok(command)
    }

    /// A worker of this side, told to do `task`. Its stdin and stdout are still to be set.
    pub fn worker(&self, task: &str) -> Result<Command> {
        match self.side {
            Side::Gvisor => guests::gvisor(self, task),
            Side::Uml => guests::uml(self, task),
            _ => {
                // Not current_exe(): in a mount namespace of our own /proc may name it by a path that leads nowhere here.
                let mut command = self.command("/proc/self/exe")?;
                command.arg(worker::VERB).arg(task).arg(&self.dir);
                Ok(command)
            }
        }
    }

    /// A program that serves the side but is not measured through the shim.
    pub fn host_command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", timed::SEARCH_PATH).env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&self.complaints)?);
        Ok(command)
    }

    /// The error, with what the side's last program said about it.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let said = fs::read_to_string(&self.complaints).unwrap_or_default();
        match said.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => anyhow::anyhow!("{error:#} ({line})"),
            None => error,
        }
    }

    /// The command by which the host mounts the image.
    pub fn mount_command(&self) -> Result<Command> {
        let image = self.image.as_deref().context("no image")?;
        let mut command = match self.side {
            Side::Loop => self.host_command("mount")?,
            Side::Fuse2fs => self.host_command("fuse2fs")?,
            _ => bail!("{} mounts nothing on the host", self.side.name()),
        };
        if self.side == Side::Loop {
            command.args(["-o", "loop"]);
        }
        command.arg(image).arg(&self.dir);
        Ok(command)
    }

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

/// What to preload for this doorbell: the processor's user interrupts, or their emulator.
fn with_bell(shim: &Path, bell: Bell) -> OsString {
    let mut preload = shim.as_os_str().to_owned();
    let has_uintr = || fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" uintr"));
    if bell == Bell::Uintr && !has_uintr() {
        preload.push(":");
        preload.push(shim.with_file_name("libsoftuintr.so"));
    }
    preload
}

/// `IMAGE:PATH` with the characters that mean something in it escaped.
fn mount_setting(image: &Path, mount_point: &Path) -> OsString {
    let escape = |path: &Path| -> Vec<u8> {
        let bytes = path.as_os_str().as_bytes().iter();
        bytes.flat_map(|&b| [b'\\', b].into_iter().skip(usize::from(!b":,;\\".contains(&b)))).collect()
    };
    OsString::from_vec([escape(image), escape(mount_point)].join(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_escape_their_separators() {
        let setting = mount_setting(Path::new("/a:b,c"), Path::new("/m;\\"));
        assert_eq!(setting, OsString::from("/a\\:b\\,c:/m\\;\\\\"));
    }
}
