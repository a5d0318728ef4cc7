// SPDX-License-Identifier: GPL-2.0-only
//! A qcow2 image with a fixture's file system in it, mounted by `stowaway run`, and looked at by QEMU's own tools.

use crate::ext4;
use crate::fixture::{check_image, Kind};
use crate::mounted::Mounted;
use crate::process::{Run, DEADLINE};
use crate::user;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The image, beside the raw one that it was made of.
pub struct Qcow2 {
    /// The fixture and the products.
    pub mounted: Mounted,
    /// The image.
    pub image: PathBuf,
    /// Where its servers make their sockets.
    pub rooms: PathBuf,
}

/// Runs qemu-img; the status and all that it said.
pub fn qemu_img(words: &[&OsStr]) -> (Option<i32>, String) {
    let done = Command::new("qemu-img").args(words).output().expect("qemu-img");
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8_lossy(&said).into_owned())
}

impl Qcow2 {
    /// A fixture's image, converted with these words. `None`, with a note, where there is no qemu-img.
    pub fn new(words: &[&str]) -> Option<Qcow2> {
        if Command::new("qemu-img").arg("--version").output().is_err() {
            user::note("qemu-img is not installed: no qcow2 image");
            return None;
        }
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path();
        let (image, rooms) = (base.join("disk.qcow2"), base.join("rooms"));
        std::fs::create_dir(&rooms).expect("a directory");
        convert(words, &mounted.fixture.image, &image);
        Some(Qcow2 { mounted, image, rooms })
    }

    /// `stowaway run` with the mounts; sockets go to [`Qcow2::rooms`].
    pub fn run_mounts<S: Into<OsString>>(
        &self,
        mounts: &[String],
        words: impl IntoIterator<Item = S>,
    ) -> Run {
        let mut all: Vec<OsString> = vec![self.mounted.artifacts.command.clone().into(), "run".into()];
        all.extend(mounts.iter().flat_map(|mount| ["--mount".into(), mount.into()]));
        all.push("--".into());
        all.extend(words.into_iter().map(Into::into));
        let mut run = Run::new(all).env("TMPDIR", &self.rooms);
        run.cwd = Some(self.mounted.host().into());
        run
    }

    /// The image mounted, with what follows the path.
    pub fn run<S: Into<OsString>>(&self, options: &str, words: impl IntoIterator<Item = S>) -> Run {
        self.run_mounts(&[format!("{}:{}{options}", self.image.display(), self.mounted.dir())], words)
    }

    /// A script whose `$1` is the mount.
    pub fn script(&self, script: &str) -> Run {
        self.run("", ["sh", "-c", script, "sh", &self.mounted.dir()])
    }

    /// QEMU finds the image whole, and nobody's lock on it.
    #[track_caller]
    pub fn check(&self) {
        let (status, said) = qemu_img(&["check".as_ref(), self.image.as_ref()]);
        assert_eq!(status, Some(0), "{said}");
    }

    /// The disk in it, as a file.
    pub fn disk(&self) -> PathBuf {
        let raw = self.image.with_extension("back");
        let _ = std::fs::remove_file(&raw);
        convert(&["-O", "raw"], &self.image, &raw);
        raw
    }

    /// The file system in it is whole; a file of it.
    #[track_caller]
    pub fn content(&self, path: &str) -> Vec<u8> {
        let disk = self.disk();
        check_image(&disk).unwrap_or_else(|why| panic!("{why}"));
        ext4::Image::open(&disk)
            .and_then(|image| image.read_path(path))
            .unwrap_or_else(|error| panic!("{path} in the image: {error}"))
    }

    /// The processes that serve the image.
    pub fn servers(&self) -> Vec<i32> {
        let image = self.image.as_os_str().as_encoded_bytes();
        let is_server = |pid: &i32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = words.split(|&byte| byte == 0);
            words.nth(1) == Some(b"serve") && words.any(|word| word == image)
        };
        let names = std::fs::read_dir("/proc").expect("/proc").flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_server).collect()
    }

    /// Waits until the last server has ended; nothing of it is left.
    #[track_caller]
    pub fn no_servers(&self) {
        let end = Instant::now() + DEADLINE;
        let left = || std::fs::read_dir(&self.rooms).expect("a directory").count();
        while !self.servers().is_empty() || left() != 0 {
            assert!(Instant::now() < end, "servers {:?}, {} directories", self.servers(), left());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// qemu-img convert. The default is qcow2.
pub fn convert(words: &[&str], from: &Path, to: &Path) {
    let mut all: Vec<&OsStr> = vec!["convert".as_ref()];
    if !words.contains(&"-O") {
        all.extend::<[&OsStr; 2]>(["-O".as_ref(), "qcow2".as_ref()]);
    }
    all.extend(words.iter().map(OsStr::new));
    all.extend([from.as_os_str(), to.as_os_str()]);
    let (status, said) = qemu_img(&all);
    assert_eq!(status, Some(0), "{said}");
}
