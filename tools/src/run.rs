// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway run`: checks everything that can be checked before, then becomes the program.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use stowaway_config::{Config, ConfigError, Key, Mount, Origin, RawConfig, ENV_PREFIX, RESERVED_PREFIXES};

use crate::cli::RunOptions;
use crate::fail::{reason, Failure, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_RUN};
use crate::{host, library, program};

/// Runs the program in our place; returns only to say why it could not be started.
pub fn run(options: RunOptions) -> Result<i32, Failure> {
    let name = &options.program[0];
    if name.as_bytes().starts_with(b"-") {
        // The parser takes an unknown option for the program's name.
        let why = format!("{}: no such option; see stowaway run --help", name.to_string_lossy());
        return Err(Failure::new(EXIT_RUN, why));
    }
    let raw = RawConfig::from_env(std::env::vars_os()).map_err(bad_setting)?;
    let library = library::find(raw.lib());
    let config = settings(&options, raw)?;
    let library = library.map_err(|why| Failure::new(EXIT_RUN, why))?;
    for mount in &config.mounts {
        check_image(mount)?;
    }
    refuse_inside_mount(&config, name)?;
    let program = program::resolve(name, std::env::var_os("PATH").as_deref())?;
    program::require_preloadable(&program)?;
    let error = host::execve(&program, &options.program, &environment(&config, &library));
    let status = match error.kind() {
        std::io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_NOT_EXECUTABLE,
    };
    Err(Failure::new(status, format!("{}: {}", program.display(), reason(&error))))
}

/// The settings of options, environment and file, checked, with absolute paths.
fn settings(options: &RunOptions, env: RawConfig) -> Result<Config, Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| reason(&error));
    let raw = from_options(options).over(env);
    let mut config = raw.with_file(read).and_then(|raw| raw.validate()).map_err(bad_setting)?;
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::new(EXIT_RUN, format!("the current directory: {}", reason(&error))))?;
    config.absolutize(&cwd).map_err(bad_setting)?;
    config.under_run = true;
    // A directory inside an outer run's mount means nothing here.
    config.cwd = None;
    Ok(config)
}

fn from_options(options: &RunOptions) -> RawConfig {
    let mut raw = RawConfig::default();
    let no_follow = options.no_follow.then(|| OsString::from("no"));
    let single = [
        (Key::Mem, &options.mem),
        (Key::Net, &options.net),
        (Key::Log, &options.log),
        (Key::KernelLog, &options.kernel_log),
        (Key::Follow, &no_follow),
        (Key::Stats, &options.stats),
        (Key::Trace, &options.trace),
        (Key::Config, &options.config),
    ];
    let mounts = options.mount.iter().map(|value| (Key::Mount, value));
    let single = single.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    for (key, value) in mounts.chain(single) {
        raw.set(key, value.as_bytes(), Origin::Option);
    }
    raw
}

fn bad_setting(error: ConfigError) -> Failure {
    Failure::new(EXIT_RUN, error.to_string())
}

/// Says early what the first call under the mount would say later.
fn check_image(mount: &Mount) -> Result<(), Failure> {
    let Some(image) = &mount.image else { return Ok(()) };
    let fail = |why: &str| Err(Failure::new(EXIT_RUN, format!("{}: {why}", image.display())));
    let meta = match std::fs::metadata(image) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return fail("no such image; stowaway mkimage makes one")
        }
        Err(error) => return fail(&reason(&error)),
    };
    if meta.is_dir() {
        return fail("is a directory, not an image; stowaway mkimage makes an image of one");
    }
    if !meta.is_file() && !meta.file_type().is_block_device() {
        return fail("is neither a file nor a block device");
    }
    if meta.is_file() && meta.len() == 0 {
        return fail("is empty: no file system on it; stowaway mkimage makes one");
    }
    if let Err(error) = OpenOptions::new().read(true).open(image) {
        return fail(&reason(&error));
    }
    if mount.read_only {
        return Ok(());
    }
    match OpenOptions::new().read(true).write(true).open(image) {
        Ok(_) => Ok(()),
        Err(error) => fail(&format!("cannot be written: {}; mount it read-only (:ro)", reason(&error))),
    }
}

/// The host starts the program, and the host does not see what is on an image.
fn refuse_inside_mount(config: &Config, name: &OsStr) -> Result<(), Failure> {
    let inside = |mount: &&Mount| mount.contains(name.as_bytes());
    match config.mounts.iter().find(inside) {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            EXIT_NOT_EXECUTABLE,
            format!("{}: is on an image: programs are started from the host only", name.to_string_lossy()),
        )),
    }
}

/// The program's environment: ours replaced by what was found, the library first in LD_PRELOAD.
fn environment(config: &Config, library: &Path) -> Vec<(OsString, OsString)> {
    let foreign = |name: &OsStr| {
        let name = name.as_bytes();
        !name.starts_with(ENV_PREFIX)
            || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
    };
    let mut env: Vec<_> =
        std::env::vars_os().filter(|(name, _)| foreign(name) && name != "LD_PRELOAD").collect();
    let before = std::env::var_os("LD_PRELOAD");
    env.push(("LD_PRELOAD".into(), library::preload(library, before.as_deref())));
    env.extend(config.to_env().into_iter().map(|(name, value)| (OsString::from(name), value)));
    env
}
