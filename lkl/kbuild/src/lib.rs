// SPDX-License-Identifier: GPL-2.0-only
//! Builds the kernel library: Linux 6.1 sources + `lkl/overlay`, out of tree, under
//! `target/kernel/`.
//!
//! ```text
//! target/kernel/src-<id>/     extracted sources with the overlay in arch/lkl   (id: the source)
//!               obj-<id>/     object files, kept: make is incremental
//!               <key>/        liblkl.img  liblkl.sym  liblkl.so  vmlinux  (key: everything that goes in)
//!               lock          one build at a time
//! ```
//! A key that exists is finished: it is made beside and renamed into place.

mod error;
mod flat;
mod hash;
mod make;
mod place;
mod source;
mod symbols;

pub use error::Error;
pub use make::Progress;

use std::fs;
use std::path::{Path, PathBuf};

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where progress goes.
    pub progress: Progress,
}

/// What a build leaves.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// The memory image the `lkl` crate embeds: the stripped library, file offset = address.
    pub image: PathBuf,
    /// The stripped library.
    pub library: PathBuf,
    /// The library with symbols, for debuggers.
    pub vmlinux: PathBuf,
    /// The names of its functions, in a form of our own.
    pub symbols: PathBuf,
}

impl Artifacts {
    fn of(dir: &Path) -> Artifacts {
        Artifacts {
            image: dir.join("liblkl.img"),
            library: dir.join("liblkl.so"),
            vmlinux: dir.join("vmlinux"),
            symbols: dir.join("liblkl.sym"),
        }
    }
}

/// The overlay's directory, for `rerun-if-changed`.
pub fn overlay_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlay")
}

/// Names the environment variable that selects other kernel sources.
pub const SOURCE_ENV: &str = "STOWAWAY_KERNEL_SOURCE";

/// Set in the environment: functions keep frame pointers, for profilers. Costs some percent of every call.
pub const FRAMES_ENV: &str = "STOWAWAY_BUILD_FRAMES";

fn with_frames() -> bool {
    std::env::var_os(FRAMES_ENV).is_some()
}

/// Builds the kernel if it is not there yet.
pub fn build(opts: &Options) -> Result<Artifacts, Error> {
    let overlay = overlay_dir().join("arch/lkl");
    let source = source::find()?;
    make::check_tools(&source)?;
    let base = place::kernel_dir()?;
    let key = make::key(&overlay, &source)?;
    let done = base.join(&key);
    if done.join("liblkl.img").exists() {
        return Ok(Artifacts::of(&done));
    }
    let _lock = place::lock(&base)?;
    if done.join("liblkl.img").exists() {
        return Ok(Artifacts::of(&done));
    }
    let tree = source::prepare(&source, &base, opts.progress)?;
    source::sync_overlay(&overlay, &tree.join("arch/lkl"))?;
    let kind = if with_frames() { "-frames" } else { "" };
    let obj = base.join(format!("obj-{}{kind}", source.id));
    make::run(&tree, &obj, opts.progress)?;
    install(&obj, &base, &done)?;
    Ok(Artifacts::of(&done))
}

fn install(obj: &Path, base: &Path, done: &Path) -> Result<(), Error> {
    let tmp = base.join(format!("tmp-{}", std::process::id()));
    let _ = fs::remove_dir_all(&tmp);
    fs::create_dir_all(&tmp).map_err(|e| Error::io("create", &tmp, e))?;
    let to = Artifacts::of(&tmp);
    fs::copy(obj.join("vmlinux"), &to.vmlinux).map_err(|e| Error::io("copy", &to.vmlinux, e))?;
    make::strip(&to.vmlinux, &to.library)?;
    symbols::write(&to.vmlinux, &to.symbols)?;
    flat::write(&to.vmlinux, &to.library, &to.image)?;
    let _ = fs::remove_dir_all(done);
    fs::rename(&tmp, done).map_err(|e| Error::io("rename", done, e))
}
