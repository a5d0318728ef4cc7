// SPDX-License-Identifier: GPL-2.0-only
//! Builds the kernel (or finds it built) and tells the crate where its image lies.

fn main() {
    let overlay = kbuild::overlay_dir();
    println!("cargo::rerun-if-changed={}", overlay.display());
    println!("cargo::rerun-if-env-changed={}", kbuild::SOURCE_ENV);
    println!("cargo::rerun-if-env-changed={}", kbuild::FRAMES_ENV);
    println!("cargo::rerun-if-changed=/usr/src/linux-source-6.1.tar.xz");
    match kbuild::build(&kbuild::Options::default()) {
        Ok(a) => {
            println!("cargo::rustc-env=LKL_IMAGE={}", a.image.display());
            println!("cargo::rustc-env=LKL_SYMBOLS={}", a.symbols.display());
        }
        Err(e) => {
            for line in e.to_string().lines() {
                println!("cargo::error={line}");
            }
        }
    }
}
