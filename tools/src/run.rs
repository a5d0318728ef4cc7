// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway run`: checks everything that can be checked before, then becomes the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use stowaway_config::{is_ours, personality, EXEC};
use stowaway_config::{Config, ConfigError, Key, Mount, Origin, RawConfig};

use crate::cli::RunOptions;
use crate::fail::{reason, Failure, EXIT_NOT_EXECUTABLE, EXIT_RUN};
use crate::library::Use;
use crate::serve::{self, owner};
use crate::{host, instance, library, program, rules};

/// Runs the program in our place; returns only to say why it could not be started.
pub fn run(mut options: RunOptions) -> Result<i32, Failure> {
    let name = &options.program[0];
    if name.as_bytes().starts_with(b"-") {
        // The parser takes an unknown option for the program's name.
        let why = format!("{}: no such option; see stowaway run --help", name.to_string_lossy());
        return Err(Failure::new(EXIT_RUN, why));
    }
    let raw = RawConfig::from_env(std::env::vars_os()).map_err(bad_setting)?;
    // Without the dispatch no call would reach us but those through libc's names, which only a preload has.
    let how = if options.preload || !host::knows_user_dispatch() { Use::Preload } else { Use::Load };
    let library = library::find(raw.lib(), how);
    let mut config = settings(&options, raw)?;
    let library = library.map_err(|why| Failure::new(EXIT_RUN, why))?;
    for index in 0..config.mounts.len() {
        // What lies in a mount is found by the kernel, or it says why not.
        if config.holder(index).is_none() {
            let mount = &config.mounts[index];
            std::iter::once(mount).chain(&mount.more).try_for_each(serve::check)?;
        }
    }
    owner::serve_images(&mut config)?;
    if let Some(file) = config.nft.take() {
        options.program = rules::before(&file, options.program)?;
    }
    let name = &options.program[0];
    let (file, env) = match how {
        Use::Preload => preloaded(&config, &library, name)?,
        Use::Load => loaded(&config, &library, name)?,
    };
    Err(program::execute(&file, &options.program, &env))
}

type Environment = Vec<(OsString, OsString)>;

/// What to execute, and with which environment, so that the library's loader starts the program.
fn loaded(config: &Config, library: &Path, name: &OsStr) -> Result<(PathBuf, Environment), Failure> {
    let program = match mount_of(config, name) {
        // The loader finds it there, or says why not.
        Some(_) => name.into(),
        None => {
            let program = program::resolve(name, std::env::var_os("PATH").as_deref())?;
            program::examine(&program)?;
            program
        }
    };
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let order = [b":", program.as_os_str().as_bytes()].concat();
    let mut env = vec![(bytes(EXEC.strip_suffix(b"=").unwrap_or(EXEC)), bytes(&order))];
    env.extend(settings_of(config));
    env.extend(std::env::vars_os().filter(|(name, _)| is_foreign(name)));
    Ok((library.to_path_buf(), env))
}

/// The program, and the environment in which the dynamic loader preloads the library.
fn preloaded(config: &Config, library: &Path, name: &OsStr) -> Result<(PathBuf, Environment), Failure> {
    if mount_of(config, name).is_some() {
        let why = format!("{}: is on an image: it is not started with --preload", name.to_string_lossy());
        return Err(Failure::new(EXIT_NOT_EXECUTABLE, why));
    }
    let program = program::resolve(name, std::env::var_os("PATH").as_deref())?;
    program::require_preloadable(&program)?;
    let mut env: Environment =
        std::env::vars_os().filter(|(name, _)| is_foreign(name) && name != "LD_PRELOAD").collect();
    let before = std::env::var_os("LD_PRELOAD");
    env.push(("LD_PRELOAD".into(), library::preload(library, before.as_deref())));
    env.extend(settings_of(config));
    Ok((program, env))
}

/// The settings of options, environment and file, checked, with absolute paths.
fn settings(options: &RunOptions, env: RawConfig) -> Result<Config, Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| reason(&error));
    let raw = from_options(options).over(env);
    let mut config = raw.with_file(read).and_then(|raw| raw.validate()).map_err(bad_setting)?;
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::new(EXIT_RUN, format!("the current directory: {}", reason(&error))))?;
    config.absolutize(&cwd).map_err(bad_setting)?;
    config.wg.as_deref().map_or(Ok(()), check_tunnel)?;
    let mut config = instance::with_settings(config).map_err(bad_setting)?;
    config.under_run = true;
    // A directory inside an outer run's mount means nothing here.
    config.cwd = None;
    Ok(config)
}

fn from_options(options: &RunOptions) -> RawConfig {
    let mut raw = RawConfig::default();
    let no_follow = options.no_follow.then(|| OsString::from("no"));
    let perf_map = options.perf_map.then(|| OsString::from("yes"));
    let no_share = options.no_share.then(|| OsString::from("no"));
    let mptcp = options.mptcp.then(|| OsString::from("yes"));
    let no_keeper = options.no_keeper.then(|| OsString::from("no"));
    let (publish, sysctl) = (joined(&options.publish, ","), joined(&options.sysctl, ","));
    let (net, net_host) = (joined(&options.net, ";"), joined(&options.net_host, ","));
    let single = [
        (Key::Mem, &options.mem),
        (Key::Net, &net),
        (Key::Dns, &options.dns),
        (Key::Publish, &publish),
        (Key::Sysctl, &sysctl),
        (Key::NetHost, &net_host),
        (Key::Wg, &options.wg),
        (Key::Netem, &options.netem),
        (Key::Qdisc, &options.qdisc),
        (Key::Rate, &options.rate),
        (Key::Mptcp, &mptcp),
        (Key::Nft, &options.nft),
        (Key::As, &options.run_as),
        (Key::Log, &options.log),
        (Key::KernelLog, &options.kernel_log),
        (Key::Follow, &no_follow),
        (Key::Stats, &options.stats),
        (Key::Trace, &options.trace),
        (Key::BlockEngine, &options.block_engine),
        (Key::PerfMap, &perf_map),
        (Key::Doorbell, &options.doorbell),
        (Key::Share, &no_share),
        (Key::Keeper, &no_keeper),
        (Key::Instance, &options.instance),
        (Key::Config, &options.config),
    ];
    let mounts = options.mount.iter().map(|value| (Key::Mount, value));
    let single = single.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    for (key, value) in mounts.chain(single) {
        raw.set(key, value.as_bytes(), Origin::Option);
    }
    raw
}

/// An option that can be repeated, as one value.
fn joined(values: &[OsString], between: &str) -> Option<OsString> {
    (!values.is_empty()).then(|| values.join(OsStr::new(between)))
}

fn bad_setting(error: ConfigError) -> Failure {
    Failure::new(EXIT_RUN, error.to_string())
}

/// Says early what is wrong with the file of a tunnel.
fn check_tunnel(path: &Path) -> Result<(), Failure> {
    let fail = |why: String| Failure::new(EXIT_RUN, format!("wg={}: {why}", path.display()));
    let meta = std::fs::metadata(path).map_err(|error| fail(reason(&error)))?;
    if !meta.is_file() {
        return Err(fail("is no file".into()));
    }
    let text = std::fs::read(path).map_err(|error| fail(reason(&error)))?;
    personality::wg::read(&text).map(drop).map_err(|wrong| fail(wrong.to_string()))
}

/// The mount that a program's name leads into.
fn mount_of<'a>(config: &'a Config, name: &OsStr) -> Option<&'a Mount> {
    config.mounts.iter().find(|mount| mount.contains(name.as_bytes()))
}

fn settings_of(config: &Config) -> impl Iterator<Item = (OsString, OsString)> {
    config.to_env().into_iter().map(|(name, value)| (OsString::from(name), value))
}

/// Whether a variable is none of our settings.
fn is_foreign(name: &OsStr) -> bool {
    !is_ours(&[name.as_bytes(), b"="].concat())
}
