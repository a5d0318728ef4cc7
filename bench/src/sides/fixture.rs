// SPDX-License-Identifier: GPL-2.0-only
//! The directories and images that rows work on. A directory is made once and is the native side;
//! images are made from it, so that every side sees the same names and bytes.
//!
//! # Safety
//! A file is mapped only to be asked which of its pages are cached; the mapping is not read.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::machine::timed;
use crate::rows::Side;
use crate::rows::Template;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub listed: usize,
    pub tree_dirs: usize,
    pub per_dir: usize,
    pub big_bytes: u64,
    image_bytes: u64,
}

impl Scale {
    /// What the rows' names promise.
    pub const FULL: Scale =
        Scale { listed: 1000, tree_dirs: 50, per_dir: 100, big_bytes: 256 << 20, image_bytes: 1 << 30 };
    /// For the smoke test.
    pub const SMOKE: Scale =
        Scale { listed: 10, tree_dirs: 2, per_dir: 3, big_bytes: 2 << 20, image_bytes: 64 << 20 };

    /// Names that `find tree` prints: the top, the directories, the files.
    pub fn tree_names(&self) -> usize {
        1 + self.tree_dirs + self.tree_dirs * self.per_dir
    }
}

/// The stock of one run.
pub struct Fixtures {
    work: PathBuf,
    pub scale: Scale,
}

impl Fixtures {
    pub fn new(work: &Path, scale: Scale) -> Fixtures {
        Fixtures { work: work.to_path_buf(), scale }
    }

    /// The native side's directory.
    pub fn directory(&self, template: Template) -> Result<PathBuf> {
        let dir = self.work.join(format!("{template:?}").to_lowercase());
        if dir.exists() {
            return Ok(dir);
        }
        fs::create_dir(&dir)?;
        match template {
            Template::Small => {
                fill_dir(&dir.join("d1000"), self.scale.listed, 1)?;
                fill_file(&dir.join("f1m"), 1 << 20)?;
            }
            Template::Tree => fill_tree(&dir.join("tree"), &self.scale)?,
            Template::Big => fill_file(&dir.join("big"), self.scale.big_bytes)?,
        }
        Ok(dir)
    }

    /// The side's own image of a template; a `fresh` one in place of one that was written to.
    pub fn image(&self, template: Template, side: Side, fresh: bool) -> Result<PathBuf> {
        let name = format!("{template:?}-{}.img", side.name()).to_lowercase();
        let image = self.work.join(name);
        if fresh || !image.exists() {
            let made = self.make_image(&self.directory(template)?, &image);
            // Half an image must not look like one to the next row.
            made.inspect_err(|_| drop(fs::remove_file(&image)))?;
        }
        Ok(image)
    }

    fn make_image(&self, from: &Path, image: &Path) -> Result<()> {
        let _ = fs::remove_file(image);
        let file = File::create(image)?;
        file.set_len(self.scale.image_bytes)?;
        // No lazy initialisation: its thread would work beside some sides and not beside others.
        // An ordinary user's is the user's own.
        let extended = "lazy_itable_init=0,lazy_journal_init=0,root_owner";
        let complaints = self.work.join("stderr-mkfs");
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.env("PATH", timed::SEARCH_PATH).args(["-q", "-F", "-E", extended, "-d"]);
        mkfs.arg(from).arg(image).stdin(Stdio::null()).stderr(File::create(&complaints)?);
        timed::run(&mut mkfs).with_context(|| fs::read_to_string(&complaints).unwrap_or_default())?;
        file.sync_all()?;
        Ok(())
    }

    /// The archive of the untar row; it holds one directory, `tree`.
    pub fn archive(&self) -> Result<PathBuf> {
        let archive = self.work.join("tree.tar");
        if !archive.exists() {
            let mut tar = Command::new("tar");
            tar.arg("-cf").arg(&archive).arg("-C").arg(self.directory(Template::Tree)?).arg("tree");
            timed::run(&mut tar)?;
        }
        Ok(archive)
    }
}

/// The image is still a clean file system.
pub fn check_image(image: &Path) -> Result<()> {
    let mut e2fsck = Command::new("e2fsck");
    e2fsck.env("PATH", timed::SEARCH_PATH).args(["-f", "-n"]).arg(image);
    e2fsck.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    timed::run(&mut e2fsck).context("the image is damaged")
}

/// Drop the host's cached pages of a file, and make sure that they are gone.
pub fn evict(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    // SAFETY: an open descriptor and no pointers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let (cached, all) = resident_pages(&file)?;
    if cached > all / 50 {
        bail!("{}: {cached} of its {all} pages stay in the host's cache", path.display());
    }
    Ok(())
}

/// How many pages of a file the host has cached, and how many there are. (Reading it with
/// RWF_NOWAIT to see would start reading ahead.)
fn resident_pages(file: &File) -> Result<(usize, usize)> {
    let length = file.metadata()?.len() as usize;
    let mut pages = vec![0u8; length.div_ceil(4096)];
    // SAFETY: a new mapping that nobody else knows, unmapped below, never read; `pages` has a byte
    // for each of its pages.
    let asked = unsafe {
        let at =
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error()).context("mmap");
        }
        let asked = libc::mincore(at, length, pages.as_mut_ptr());
        libc::munmap(at, length);
        asked
    };
    if asked != 0 {
        return Err(std::io::Error::last_os_error()).context("mincore");
    }
    Ok((pages.iter().filter(|&&page| page & 1 != 0).count(), pages.len()))
}

fn fill_tree(top: &Path, scale: &Scale) -> Result<()> {
    fs::create_dir(top)?;
    for dir in 0..scale.tree_dirs {
        fill_dir(&top.join(format!("directory-{dir:03}")), scale.per_dir, dir)?;
    }
    Ok(())
}

/// Files of 0.5 to 4.5 KiB, as in a source tree.
fn fill_dir(dir: &Path, files: usize, seed: usize) -> Result<()> {
    fs::create_dir(dir)?;
    for file in 0..files {
        let bytes = 512 + (file * 37 + seed * 101) % 4096;
        fill_file(&dir.join(format!("file-{file:04}.txt")), bytes as u64)?;
    }
    Ok(())
}

/// Bytes that do not compress and are not zero: no layer can take a short cut.
fn fill_file(path: &Path, length: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("{}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ length;
    for at in (0..length).step_by(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        out.write_all(&bytes[..(length - at).min(8) as usize])?;
    }
    out.flush()?;
    Ok(())
}
