// SPDX-License-Identifier: GPL-2.0-only
//! The library that profiles are taken of: the same code, with frame pointers all the way.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::revisions::{share_kernels, target, workspace};

/// Builds it if need be.
pub fn with_frames() -> Result<PathBuf> {
    let built = target().join("profile");
    share_kernels(&built)?;
    let library = built.join("release/libstowaway.so");
    if !library.exists() {
        eprintln!("bench: building the library with frame pointers; the first time takes minutes");
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "--quiet", "-p", "stowaway", "-p", "stowaway-tools"])
        .current_dir(workspace());
    cargo.env("CARGO_TARGET_DIR", &built).env("STOWAWAY_BUILD_FRAMES", "1");
    cargo.env("RUSTFLAGS", "-C force-frame-pointers=yes").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = cargo.stdin(Stdio::null()).status().context("cargo")?;
    if !status.success() {
        bail!("cargo build: {status}; --as-built profiles the ordinary library");
    }
    Ok(library)
}
