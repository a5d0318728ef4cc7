// SPDX-License-Identifier: GPL-2.0-only
//! The settings of this process, read once by the constructor. Reading changes nothing: `start.rs` takes the result to
//! the rooms that need a part of it.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use once_cell::sync::OnceCell;
use stowaway_config::{Config, ConfigError, Doorbell, Net};

use crate::sys::fs;

/// The settings, and what follows from them and the host.
pub struct Settings {
    config: Config,
    /// A mount's path exists on the host as well: ENOENT does not tell a path that changes between host and mount.
    pub host_paths_covered: bool,
    active: bool,
}

impl Deref for Settings {
    type Target = Config;
    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Settings {
    /// Whether there is anything for a kernel to serve.
    pub fn is_active(&self) -> bool {
        self.active
    }
}

static SETTINGS: OnceCell<Settings> = OnceCell::new();
/// Before the constructor ran, and where there are no settings.
static INACTIVE: Settings =
    Settings { config: Config::unset(0, Doorbell::Futex), host_paths_covered: false, active: false };

/// The settings in force.
#[inline]
pub fn settings() -> &'static Settings {
    SETTINGS.get().unwrap_or(&INACTIVE)
}

/// What the environment asks for.
pub struct Asked {
    /// Our variables, as found.
    pub variables: Variables,
    /// The settings, with relative paths made absolute.
    pub config: Config,
    /// The directory that relative paths are meant from; None: there are no settings that need it.
    pub cwd: Option<PathBuf>,
    /// Whether there is anything for a kernel to serve.
    pub active: bool,
}

impl Asked {
    /// Whether anything at all is asked for: mounts, sockets, another user, or that calls are watched.
    pub fn wants_anything(&self) -> bool {
        self.active
            || self.config.is_watched()
            || self.config.run_as.is_some()
            || self.config.instance.is_some()
    }

    /// Puts the settings in force. `covered`: see [`Settings::host_paths_covered`].
    pub fn put_in_force(self, covered: bool) {
        let _ =
            SETTINGS.set(Settings { config: self.config, host_paths_covered: covered, active: self.active });
    }
}

/// Our variables.
type Variables = Vec<(OsString, OsString)>;

/// Reads the environment and the settings file. None: there are no variables of ours. `join` adds what an instance with a name
/// says to the variables of a program that does not have a kernel from the program before.
pub fn read(
    join: impl FnOnce(&Config, &mut Variables) -> Result<(), ConfigError>,
) -> Result<Option<Asked>, ConfigError> {
    let variables = environment();
    if variables.is_empty() {
        return Ok(None);
    }
    let mut asked = parse(variables)?;
    let has_kernel = asked.variables.iter().any(|(name, _)| name == "STOWAWAY_MEMBER");
    if asked.config.instance.is_some() && !has_kernel {
        join(&asked.config, &mut asked.variables)?;
        asked = parse(asked.variables)?;
    }
    Ok(Some(asked))
}

fn parse(variables: Variables) -> Result<Asked, ConfigError> {
    let config = Config::from_env_and_file(variables.clone(), read_file)?;
    let active = !config.mounts.is_empty() || config.net != Net::None;
    let mut asked = Asked { variables, config, cwd: None, active };
    if asked.wants_anything() {
        asked.cwd = current_directory();
        if let Some(cwd) = &asked.cwd {
            asked.config.absolutize(cwd)?;
        }
    }
    Ok(asked)
}

/// Whether there are variables of ours.
pub fn is_any_set() -> bool {
    !environment().is_empty()
}

/// The program was started by our loader.
static IS_LOADER: AtomicBool = AtomicBool::new(false);

/// Whether our loader started the program: every call of the program is seen, and nothing of it knows us.
pub fn is_loader() -> bool {
    IS_LOADER.load(Ordering::Relaxed)
}

/// The library was executed as a loader.
pub fn set_is_loader() {
    IS_LOADER.store(true, Ordering::Relaxed);
}

/// Our variables, straight from `environ`: std's accessors lock and copy everything.
pub fn environment() -> Vec<(OsString, OsString)> {
    extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut found = Vec::new();
    // SAFETY: the constructor runs alone; environ is a NULL-terminated array of strings.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let bytes = CStr::from_ptr(*entry).to_bytes();
            entry = entry.add(1);
            if !bytes.starts_with(b"STOWAWAY_") {
                continue;
            }
            if let Some(at) = bytes.iter().position(|&b| b == b'=') {
                let (name, value) = (&bytes[..at], &bytes[at + 1..]);
                found.push((OsStr::from_bytes(name).to_owned(), OsString::from_vec(value.to_vec())));
            }
        }
    }
    found
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    let mut text = vec![0; 1 << 16];
    let n = fs::read_start(&name, &mut text).map_err(|_| "cannot be read")?;
    if n == text.len() {
        return Err("longer than 64 KiB".to_string());
    }
    text.truncate(n);
    Ok(text)
}

fn current_directory() -> Option<PathBuf> {
    let mut path = vec![0u8; 4096];
    let n = fs::current_directory(&mut path).ok().filter(|&n| n > 1)?;
    path.truncate(n - 1);
    Some(PathBuf::from(OsString::from_vec(path)))
}
