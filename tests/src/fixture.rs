// SPDX-License-Identifier: GPL-2.0-only
//! The same content twice: a host directory and an ext4 image. A template of each kind is made once per group of
//! cases (by `mkfs.ext4 -d` from the very tree that the host side is copied from) and copied for each case.
#![allow(unsafe_code)]

mod content;

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// Access time of everything in a fixture. It lies ahead, so that under relatime reading does not change it and
/// both sides agree however often the harness itself reads.
const ATIME: i64 = 2_145_830_400;
const FIRST_MTIME: i64 = 1_600_000_000;

/// What a fixture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something of everything; see `content`.
    Basic,
    /// An empty file system.
    Empty,
    /// A directory of 10,000 entries.
    Many,
    /// An empty file system with about 3 MiB of room.
    Small,
}

/// Templates made so far; each lives as long as this.
pub struct Stock {
    directory: TempDir,
    made: Mutex<HashMap<Kind, Template>>,
}

#[derive(Clone)]
struct Template {
    tree: PathBuf,
    image: PathBuf,
}

/// One case's own pair of directory and image.
pub struct Fixture {
    /// Holds everything of the case.
    pub base: TempDir,
    /// The image.
    pub image: PathBuf,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        make_removable(self.base.path());
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        make_removable(self.directory.path());
    }
}

/// Gives directories back to their owner: an ordinary user cannot empty one that he may not write.
fn make_removable(root: &Path) {
    for entry in walkdir::WalkDir::new(root).into_iter().flatten() {
        if entry.file_type().is_dir() {
            let _ = set_mode(entry.path(), 0o700);
        }
    }
}

/// A side of a comparison: the directory on the host, or the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The host's directory.
    Native,
    /// The image, mounted.
    Image,
}

impl Fixture {
    /// The directory that holds `d` and `h` of a side. Both have names of the same length.
    pub fn room(&self, side: Side) -> PathBuf {
        self.base.path().join(match side {
            Side::Native => "n",
            Side::Image => "m",
        })
    }

    /// The directory under test; on the image side it is the mount path.
    pub fn dir(&self, side: Side) -> PathBuf {
        self.room(side).join("d")
    }

    /// A directory of the host beside it.
    pub fn host(&self, side: Side) -> PathBuf {
        self.room(side).join("h")
    }

    /// Makes the two rooms look alike from inside: the mount point on the host where one is wanted, else another
    /// directory in its place (`..` shows the link count), and the same times.
    pub fn settle_rooms(&self, mountpoint: bool) {
        let image = self.room(Side::Image);
        let ground = std::env::var("STOWAWAY_TEST_GROUND").unwrap_or_default();
        let exists = mountpoint || !ground.is_empty();
        let made = image.join(if exists { "d" } else { "elsewhere" });
        fs::create_dir(&made).expect("a new directory");
        if ground == "full" {
            fs::write(made.join("under"), "the mount").expect("a file under the mount");
        }
        for side in [Side::Native, Side::Image] {
            set_times(&self.room(side), ATIME, FIRST_MTIME).expect("times of a directory of ours");
        }
    }

    /// What the host has where the image is mounted: None is nothing; else its own mode, and the names in it.
    pub fn ground(&self) -> Option<(u32, Vec<OsString>)> {
        let dir = self.dir(Side::Image);
        let mode = dir.symlink_metadata().ok()?.mode();
        let entries = fs::read_dir(dir).into_iter().flatten();
        let mut names: Vec<OsString> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.sort();
        Some((mode, names))
    }

    /// The setting that mounts the image of this fixture.
    pub fn mount(&self, options: &str) -> String {
        format!("{}:{}{options}", self.image.display(), self.dir(Side::Image).display())
    }
}

/// Where fixtures are made: `STOWAWAY_TEST_TMP`, or the system's directory for temporary files.
pub fn temporary() -> TempDir {
    let root = std::env::var_os("STOWAWAY_TEST_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
    let made = tempfile::Builder::new().prefix("stow-").tempdir_in(root).expect("a temporary directory");
    set_mode(made.path(), 0o755).expect("chmod of a new directory");
    made
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Runs a tool of the harness itself; its failure is the harness's failure.
pub fn tool(program: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let done = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {}\n{said}", done.status);
    said
}

impl Default for Stock {
    fn default() -> Stock {
        Stock { directory: temporary(), made: Mutex::default() }
    }
}

impl Stock {
    /// A fixture of this kind, ready for one case.
    pub fn fixture(&self, kind: Kind) -> Fixture {
        let template = self.template(kind);
        let base = temporary();
        let fixture = Fixture { image: base.path().join("disk.img"), base };
        copy_sparse(&template.image, &fixture.image).expect("copy of the image");
        for side in [Side::Native, Side::Image] {
            content::host_side(&fixture.host(side), &fixture.dir(side)).expect("host side of a fixture");
        }
        let native = fixture.dir(Side::Native);
        tool("cp", &["-a".as_ref(), "--sparse=auto".as_ref(), template.tree.as_os_str(), native.as_os_str()]);
        if kind == Kind::Basic {
            content::hide(&native).expect("chmod in a fixture");
        }
        fixture
    }

    fn template(&self, kind: Kind) -> Template {
        let mut made = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        made.entry(kind).or_insert_with(|| make_template(self.directory.path(), kind)).clone()
    }
}

fn make_template(directory: &Path, kind: Kind) -> Template {
    let tree = directory.join(format!("{kind:?}.tree"));
    let image = directory.join(format!("{kind:?}.img"));
    fs::create_dir(&tree).expect("a new directory");
    let (mebibytes, inodes) = match kind {
        Kind::Basic => (32, 2048),
        Kind::Empty => (32, 12_288),
        Kind::Many => (64, 12_288),
        Kind::Small => (10, 256),
    };
    match kind {
        Kind::Basic => content::basic(&tree),
        Kind::Many => content::many(&tree),
        Kind::Empty | Kind::Small => Ok(()),
    }
    .expect("the tree of a fixture");
    settle_times(&tree).expect("times of a fixture");
    make_image(&image, &tree, mebibytes, inodes);
    if kind == Kind::Basic {
        let hide = format!("set_inode_field {} mode 0100000", content::HIDDEN);
        tool("debugfs", &["-w".as_ref(), "-R".as_ref(), hide.as_ref(), image.as_os_str()]);
    }
    Template { tree, image }
}

/// Makes an ext4 image with the content of a tree, its root directory like the tree's.
pub fn make_image(image: &Path, tree: &Path, mebibytes: u64, inodes: u32) {
    File::create(image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image file");
    let inodes = inodes.to_string();
    let words = ["-q", "-F", "-b", "4096", "-I", "256", "-m", "0", "-J", "size=4", "-N", &inodes, "-d"];
    let mut words: Vec<&std::ffi::OsStr> = words.iter().map(|word| word.as_ref()).collect();
    words.extend([tree.as_os_str(), image.as_os_str()]);
    tool("mkfs.ext4", &words);
    let root = tree.symlink_metadata().expect("stat of a fixture");
    let mut script = "rmdir lost+found\n".to_string();
    let (atime, mtime) = (format!("@{}", root.atime()), format!("@{}", root.mtime()));
    for (field, value) in [
        ("mode", format!("0{:o}", root.mode())),
        ("uid", root.uid().to_string()),
        ("gid", root.gid().to_string()),
        ("atime", atime),
        ("mtime", mtime),
        ("atime_extra", "0".into()),
        ("mtime_extra", "0".into()),
    ] {
        script += &format!("set_inode_field / {field} {value}\n");
    }
    let commands = image.with_extension("debugfs");
    fs::write(&commands, script).expect("a command file");
    tool("debugfs", &["-w".as_ref(), "-f".as_ref(), commands.as_os_str(), image.as_os_str()]);
}

/// Gives every entry its own fixed modification time, directories after what they hold.
fn settle_times(tree: &Path) -> io::Result<()> {
    for (i, entry) in
        walkdir::WalkDir::new(tree).contents_first(true).sort_by_file_name().into_iter().enumerate()
    {
        let entry = entry.map_err(io::Error::other)?;
        set_times(entry.path(), ATIME, FIRST_MTIME + 977 * i as i64)?;
    }
    Ok(())
}

fn set_times(path: &Path, atime: i64, mtime: i64) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let time = |seconds| libc::timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = [time(atime), time(mtime)];
    // SAFETY: a NUL-terminated path and two timespecs, valid for the call.
    let done =
        unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Copies an image without its runs of zeros.
pub fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    const CHUNK: usize = 64 * 1024;
    let (from, to) = (File::open(from)?, File::create(to)?);
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut bytes = vec![0; CHUNK];
    let mut at = 0;
    while at < size {
        let length = CHUNK.min((size - at) as usize);
        from.read_exact_at(&mut bytes[..length], at)?;
        if bytes[..length].iter().any(|byte| *byte != 0) {
            to.write_all_at(&bytes[..length], at)?;
        }
        at += length as u64;
    }
    Ok(())
}

/// The bytes that helper programs write (`fill` in `killed.c`, `storm.c`).
pub fn noise(length: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Whether somebody has a lock of the image that a writer could not bear.
pub fn is_in_use(image: &File) -> bool {
    let mut lock = libc::flock { l_type: libc::F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    // SAFETY: a live descriptor and a live structure.
    let asked = unsafe { libc::fcntl(image.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    assert_eq!(asked, 0, "F_OFD_GETLK: {}", io::Error::last_os_error());
    i32::from(lock.l_type) != libc::F_UNLCK
}

/// Checks an image the way its owner would: `e2fsck -fn`, and that it was unmounted cleanly.
pub fn check_image(image: &Path) -> Result<(), String> {
    let done = Command::new("e2fsck")
        .args(["-fn".as_ref(), image.as_os_str()])
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .output()
        .map_err(|error| format!("cannot run e2fsck: {error}"))?;
    if !done.status.success() {
        return Err(format!("e2fsck -fn: {}: {}", done.status, String::from_utf8_lossy(&done.stdout)));
    }
    match crate::ext4::Image::is_clean(image) {
        Ok(true) => Ok(()),
        Ok(false) => Err("the image was not unmounted cleanly (journal needs recovery)".to_string()),
        Err(error) => Err(format!("superblock: {error}")),
    }
}
