// SPDX-License-Identifier: GPL-2.0-only
//! The settings of this process, read once by the constructor.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use once_cell::sync::OnceCell;
use stowaway_config::{BlockEngine, Config, ConfigError, Doorbell, Level, Net, Sink, Trace};

use crate::exec::kept;
use crate::lookup::covered_dirs;
use crate::observe;
use crate::process::handoff;
use crate::sys::{host, proc_self};

/// The settings, and what follows from them and the host.
pub struct Settings {
    config: Config,
    /// A mount's path exists on the host as well: ENOENT does not tell a path that changes worlds.
    pub host_paths_shadowed: bool,
    active: AtomicBool,
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
        self.active.load(Ordering::Relaxed)
    }
}

static SETTINGS: OnceCell<Settings> = OnceCell::new();
/// Before the constructor ran, and where there are no settings.
static INACTIVE: Settings = Settings {
    config: Config {
        mounts: Vec::new(),
        mem: 0,
        net: Net::None,
        log: Level::Warn,
        kernel_log: Sink::Off,
        follow: true,
        stats: Sink::Off,
        trace: Trace { to: Sink::Off, only: Vec::new() },
        block_engine: BlockEngine::Auto,
        perf_map: false,
        doorbell: Doorbell::Futex,
        cwd: None,
        under_run: false,
    },
    host_paths_shadowed: false,
    active: AtomicBool::new(false),
};

/// The settings in force.
#[inline]
pub fn settings() -> &'static Settings {
    SETTINGS.get().unwrap_or(&INACTIVE)
}

/// Reads the environment; false: it asks for nothing, neither mounts or sockets nor to be watched.
pub fn read() -> Result<bool, ConfigError> {
    let vars = environment();
    if vars.is_empty() {
        return Ok(false);
    }
    if let Some((_, text)) = vars.iter().find(|(name, _)| name.as_bytes() == b"STOWAWAY_FDS") {
        handoff::accept(text.as_bytes());
    }
    let mut config = Config::from_env_and_file(vars.clone(), read_file)?;
    let active = !config.mounts.is_empty() || config.net != Net::None;
    let wanted = active || config.is_watched();
    if wanted {
        let cwd = current_directory();
        if let Some(cwd) = &cwd {
            config.absolutize(cwd)?;
        }
        kept::remember(&vars, &config, cwd.as_deref());
    }
    let shadowed = covered_dirs::find(config.mounts.iter().map(|m| &m.path[..]));
    let read = Settings { config, host_paths_shadowed: shadowed, active: AtomicBool::new(active) };
    observe::start(&read)?;
    let _ = SETTINGS.set(read);
    Ok(wanted)
}

/// Our variables, straight from `environ`: std's accessors lock and copy everything.
fn environment() -> Vec<(OsString, OsString)> {
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
    let n = proc_self::read_file(&name, &mut text).ok_or("cannot be read")?;
    if n == text.len() {
        return Err("longer than 64 KiB".to_string());
    }
    text.truncate(n);
    Ok(text)
}

fn current_directory() -> Option<PathBuf> {
    let mut path = vec![0u8; 4096];
    let n = host::call(libc::SYS_getcwd, &[path.as_mut_ptr() as usize, path.len()]);
    if n <= 1 {
        return None;
    }
    path.truncate(n as usize - 1);
    Some(PathBuf::from(OsString::from_vec(path)))
}
