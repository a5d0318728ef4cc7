// SPDX-License-Identifier: GPL-2.0-only
//! Where a side's programs find the directory, and how they are started.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use super::libraries::Libraries;
use crate::machine::timed;
use crate::rows::{Bell, Family, Row, Side};
use crate::worker::protocol::{CATCH, DIRECT, IMAGE, TOUCH};

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
            set(CATCH, "1".into());
        } else if let (Side::Stowaway, Some(shim), Some(image)) = (side, &libraries.shim, &image) {
            set("LD_PRELOAD", row.bell().map_or_else(|| shim.into(), |bell| with_bell(shim, bell)));
            if let Some(bell) = row.bell() {
                set("STOWAWAY_DOORBELL", bell.name().into());
            }
            set("STOWAWAY_MOUNT", mount_setting(image, &mount_point));
            set(TOUCH, mount_point.clone().into());
            if let Some(size) = row.kernel_ram() {
                set("STOWAWAY_MEM", size.into());
            }
        }
        if side == Side::Kernel {
            set(DIRECT, "1".into());
            if let Some(image) = &image {
                set(IMAGE, image.into());
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
