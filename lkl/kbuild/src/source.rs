// SPDX-License-Identifier: GPL-2.0-only
//! Finding the kernel sources and giving them the overlay.

use crate::hash::{files, Hash};
use crate::{Error, Progress, SOURCE_ENV};
use std::env;
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "/usr/src/linux-source-6.1.tar.xz";

pub(crate) struct Source {
    /// A tarball or a tree.
    pub(crate) path: PathBuf,
    pub(crate) is_tree: bool,
    /// Names this very state of it.
    pub(crate) id: String,
}

pub(crate) fn find() -> Result<Source, Error> {
    let path = match env::var_os(SOURCE_ENV) {
        Some(p) => PathBuf::from(p),
        None => PathBuf::from(PACKAGE),
    };
    let meta = match fs::metadata(&path) {
        Ok(m) => m,
        Err(_) if path == Path::new(PACKAGE) => {
            return Err(Error::Missing {
                what: format!("the kernel sources ({PACKAGE})"),
                packages: "linux-source-6.1".into(),
            })
        }
        Err(e) => return Err(Error::Source(format!("{SOURCE_ENV}={}: {e}", path.display()))),
    };
    let path = path.canonicalize().map_err(|e| Error::io("find", &path, e))?;
    if meta.is_dir() {
        check_version(&path)?;
    }
    let mut h = Hash::new();
    h.add(path.as_os_str().as_encoded_bytes());
    h.add(&meta.mtime().to_le_bytes());
    h.add(&meta.size().to_le_bytes());
    Ok(Source { path, is_tree: meta.is_dir(), id: h.hex() })
}

/// 6.1.y: the overlay follows its internal interfaces.
fn check_version(tree: &Path) -> Result<(), Error> {
    let makefile = tree.join("Makefile");
    let text = fs::read_to_string(&makefile).map_err(|e| Error::io("read", &makefile, e))?;
    let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix("= "));
    if (value("VERSION"), value("PATCHLEVEL")) == (Some("6"), Some("1")) {
        return Ok(());
    }
    Err(Error::Source(format!("{}: not a Linux 6.1.y source tree", tree.display())))
}

/// The tree to build in; made once per state of the source.
pub(crate) fn prepare(source: &Source, base: &Path, progress: Progress) -> Result<PathBuf, Error> {
    let tree = base.join(format!("src-{}", source.id));
    if tree.join("Makefile").exists() {
        return Ok(tree);
    }
    let tmp = base.join(format!("src-{}.tmp", source.id));
    if tmp.exists() {
        fs::remove_dir_all(&tmp).map_err(|e| Error::io("remove", &tmp, e))?;
    }
    fs::create_dir_all(&tmp).map_err(|e| Error::io("create", &tmp, e))?;
    if source.is_tree {
        link_tree(&source.path, &tmp)?;
    } else {
        progress.say(&format!("extracting {}", source.path.display()));
        extract(&source.path, &tmp)?;
    }
    check_version(&tmp)?;
    fs::rename(&tmp, &tree).map_err(|e| Error::io("rename", &tree, e))?;
    Ok(tree)
}

fn extract(tarball: &Path, to: &Path) -> Result<(), Error> {
    let out = Command::new("tar")
        .arg("xf")
        .arg(tarball)
        .args(["--strip-components=1", "-C"])
        .arg(to)
        .output()
        .map_err(|e| Error::io("run", Path::new("tar"), e))?;
    if out.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&out.stderr);
    Err(Error::Source(format!("{}: {}", tarball.display(), why.lines().next().unwrap_or("tar failed"))))
}

/// A tree of the user's is never written to: links to all of it, and an arch/ of our own.
fn link_tree(from: &Path, to: &Path) -> Result<(), Error> {
    link_entries(from, to, "arch")?;
    let arch = to.join("arch");
    fs::create_dir(&arch).map_err(|e| Error::io("create", &arch, e))?;
    link_entries(&from.join("arch"), &arch, "lkl")
}

fn link_entries(from: &Path, to: &Path, except: &str) -> Result<(), Error> {
    for e in fs::read_dir(from).map_err(|e| Error::io("read", from, e))? {
        let e = e.map_err(|e| Error::io("read", from, e))?;
        if e.file_name() != except {
            let link = to.join(e.file_name());
            symlink(e.path(), &link).map_err(|e| Error::io("link", &link, e))?;
        }
    }
    Ok(())
}

/// Copies what differs and removes what is gone, so that make rebuilds only what it must.
pub(crate) fn sync_overlay(from: &Path, to: &Path) -> Result<(), Error> {
    let wanted = files(from)?;
    if to.exists() {
        for f in files(to)? {
            if wanted.binary_search(&f).is_err() {
                let gone = to.join(f);
                fs::remove_file(&gone).map_err(|e| Error::io("remove", &gone, e))?;
            }
        }
    }
    for f in &wanted {
        copy_if_different(&from.join(f), &to.join(f))?;
    }
    Ok(())
}

fn copy_if_different(from: &Path, to: &Path) -> Result<(), Error> {
    let new = fs::read(from).map_err(|e| Error::io("read", from, e))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    }
    fs::write(to, new).map_err(|e| Error::io("write", to, e))
}
