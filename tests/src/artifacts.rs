// SPDX-License-Identifier: GPL-2.0-only
//! Where the built products are. The tests use what a user would use: the release build.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The library and the command.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// libstowaway.so
    pub library: PathBuf,
    /// The `stowaway` command.
    pub command: PathBuf,
}

impl Artifacts {
    /// What is preloaded for user interrupts that are emulated: the library, and the emulator beside it.
    pub fn with_emulator(&self) -> OsString {
        let mut both = self.library.clone().into_os_string();
        both.push(":");
        both.push(self.library.with_file_name("libsoftuintr.so"));
        both
    }
}

/// The release build beside this test program: target/PROFILE/deps/TEST and target/release share the target directory,
/// wherever that is.
fn beside_us() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own.ancestors().nth(3).unwrap_or(Path::new(""));
    target.join("release")
}

/// Finds the products in `STOWAWAY_BIN_DIR`, or in the target directory's release build.
pub fn find() -> Result<Artifacts, String> {
    let directory = std::env::var_os("STOWAWAY_BIN_DIR").map_or_else(beside_us, PathBuf::from);
    let found = Artifacts { library: directory.join("libstowaway.so"), command: directory.join("stowaway") };
    for file in [&found.library, &found.command] {
        if !file.is_file() {
            return Err(format!(
                "{} is missing: run `cargo build --release` first, or set STOWAWAY_BIN_DIR to where the build is",
                file.display()
            ));
        }
    }
    let canonical = |path: &Path| path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
    Ok(Artifacts { library: canonical(&found.library)?, command: canonical(&found.command)? })
}

/// The products, or a test failure that says what to do.
pub fn get() -> Artifacts {
    find().unwrap_or_else(|why| panic!("{why}"))
}
