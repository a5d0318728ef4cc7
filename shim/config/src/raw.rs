// SPDX-License-Identifier: GPL-2.0-only
//! What was written, and where: the settings before they are checked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::ConfigError;
use crate::instance;
use crate::mount::{split_list, Mount};
use crate::names::{Key, Origin};
use crate::network;
use crate::personality;
use crate::text::show;
use crate::values::{self, MEM_DEFAULT};

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawValue {
    /// The bytes, as the user gave them.
    pub text: Vec<u8>,
    /// Where they stood.
    pub origin: Origin,
}

/// The settings as written, each from the source that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawConfig {
    mounts: Option<Vec<RawValue>>,
    mem: Option<RawValue>,
    net: Option<RawValue>,
    dns: Option<RawValue>,
    publish: Option<RawValue>,
    sysctl: Option<RawValue>,
    net_host: Option<RawValue>,
    wg: Option<RawValue>,
    netem: Option<RawValue>,
    qdisc: Option<RawValue>,
    rate: Option<RawValue>,
    mptcp: Option<RawValue>,
    nft: Option<RawValue>,
    run_as: Option<RawValue>,
    log: Option<RawValue>,
    kernel_log: Option<RawValue>,
    follow: Option<RawValue>,
    stats: Option<RawValue>,
    trace: Option<RawValue>,
    block_engine: Option<RawValue>,
    perf_map: Option<RawValue>,
    doorbell: Option<RawValue>,
    share: Option<RawValue>,
    keeper: Option<RawValue>,
    instance: Option<RawValue>,
    config: Option<RawValue>,
    cwd: Option<RawValue>,
    run: Option<RawValue>,
    lib: Option<RawValue>,
}

impl RawConfig {
    /// What an environment says. Only `STOWAWAY_*` is looked at; of a doubled name the first counts, as for
    /// getenv(3).
    pub fn from_env<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<RawConfig, ConfigError>
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut raw = RawConfig::default();
        for (name, value) in vars {
            let Some(key) = Key::from_env(name.as_ref().as_bytes())? else { continue };
            let text = value.as_ref().as_bytes();
            if !raw.has(key) {
                raw.set_list(key, text, &Origin::Env);
            }
        }
        Ok(raw)
    }

    /// Sets one value. A mount is added to those already set.
    pub fn set(&mut self, key: Key, text: &[u8], origin: Origin) {
        let value = RawValue { text: text.to_vec(), origin };
        match self.slot(key) {
            Some(slot) => *slot = Some(value),
            None => self.mounts.get_or_insert_with(Vec::new).push(value),
        }
    }

    /// Says that there are no mounts, whatever a lower source says (an empty list is a value too).
    pub fn set_no_mounts(&mut self) {
        self.mounts = Some(Vec::new());
    }

    /// The settings file that is named, with the key's name for messages.
    pub fn file(&self) -> Option<(PathBuf, String)> {
        let value = self.config.as_ref()?;
        Some((PathBuf::from(OsStr::from_bytes(&value.text)), Key::Config.spelled(&value.origin)))
    }

    /// The library that is named (`STOWAWAY_LIB`).
    pub fn lib(&self) -> Option<&Path> {
        self.lib.as_ref().map(|value| Path::new(OsStr::from_bytes(&value.text)))
    }

    /// These settings, and `lower` where they say nothing. The mounts count as one setting: a list replaces a
    /// list.
    #[must_use]
    pub fn over(self, lower: RawConfig) -> RawConfig {
        RawConfig {
            mounts: self.mounts.or(lower.mounts),
            mem: self.mem.or(lower.mem),
            net: self.net.or(lower.net),
            dns: self.dns.or(lower.dns),
            publish: self.publish.or(lower.publish),
            sysctl: self.sysctl.or(lower.sysctl),
            net_host: self.net_host.or(lower.net_host),
            wg: self.wg.or(lower.wg),
            netem: self.netem.or(lower.netem),
            qdisc: self.qdisc.or(lower.qdisc),
            rate: self.rate.or(lower.rate),
            mptcp: self.mptcp.or(lower.mptcp),
            nft: self.nft.or(lower.nft),
            run_as: self.run_as.or(lower.run_as),
            log: self.log.or(lower.log),
            kernel_log: self.kernel_log.or(lower.kernel_log),
            follow: self.follow.or(lower.follow),
            stats: self.stats.or(lower.stats),
            trace: self.trace.or(lower.trace),
            block_engine: self.block_engine.or(lower.block_engine),
            perf_map: self.perf_map.or(lower.perf_map),
            doorbell: self.doorbell.or(lower.doorbell),
            share: self.share.or(lower.share),
            keeper: self.keeper.or(lower.keeper),
            instance: self.instance.or(lower.instance),
            config: self.config.or(lower.config),
            cwd: self.cwd.or(lower.cwd),
            run: self.run.or(lower.run),
            lib: self.lib.or(lower.lib),
        }
    }

    /// Reads and checks every value.
    pub fn validate(&self) -> Result<Config, ConfigError> {
        let mut mounts = Vec::new();
        for value in self.mounts.iter().flatten() {
            mounts.push((Mount::parse_as(&value.text, &Key::Mount.spelled(&value.origin))?, &value.origin));
        }
        let config = Config {
            mem: read(&self.mem, Key::Mem, values::mem)?.unwrap_or(MEM_DEFAULT),
            net: read(&self.net, Key::Net, network::net)?.unwrap_or_default(),
            dns: read(&self.dns, Key::Dns, network::dns)?.unwrap_or_default(),
            publish: read(&self.publish, Key::Publish, network::publish)?.unwrap_or_default(),
            sysctl: read(&self.sysctl, Key::Sysctl, network::sysctl)?.unwrap_or_default(),
            net_host: read(&self.net_host, Key::NetHost, network::on_host)?.unwrap_or_default(),
            wg: read(&self.wg, Key::Wg, personality::file)?,
            netem: read(&self.netem, Key::Netem, personality::netem)?,
            qdisc: read(&self.qdisc, Key::Qdisc, personality::qdisc)?,
            rate: read(&self.rate, Key::Rate, personality::rate)?,
            mptcp: read(&self.mptcp, Key::Mptcp, values::yes_or_no)?.unwrap_or(false),
            nft: read(&self.nft, Key::Nft, personality::file)?,
            run_as: read(&self.run_as, Key::As, values::somebody)?,
            log: read(&self.log, Key::Log, values::level)?.unwrap_or_default(),
            kernel_log: read(&self.kernel_log, Key::KernelLog, values::sink)?.unwrap_or_default(),
            follow: read(&self.follow, Key::Follow, values::follow)?.unwrap_or(true),
            stats: read(&self.stats, Key::Stats, values::sink)?.unwrap_or_default(),
            trace: read(&self.trace, Key::Trace, values::trace)?.unwrap_or_default(),
            block_engine: read(&self.block_engine, Key::BlockEngine, values::block_engine)?
                .unwrap_or_default(),
            perf_map: read(&self.perf_map, Key::PerfMap, values::yes_or_no)?.unwrap_or(false),
            doorbell: read(&self.doorbell, Key::Doorbell, values::doorbell)?.unwrap_or_default(),
            share: read(&self.share, Key::Share, values::yes_or_no)?.unwrap_or(true),
            keeper: read(&self.keeper, Key::Keeper, values::yes_or_no)?.unwrap_or(true),
            instance: read(&self.instance, Key::Instance, instance::name)?,
            cwd: read(&self.cwd, Key::Cwd, directory)?,
            under_run: read(&self.run, Key::Run, flag)?.unwrap_or(false),
            mounts: mounts.iter().map(|(mount, _)| mount.clone()).collect(),
        };
        let origin = mounts.last().map_or(Origin::Env, |(_, origin)| (*origin).clone());
        config.check_mounts(&Key::Mount.spelled(&origin))?;
        config.check_instance()?;
        config.check_network()?;
        config.check_personality()?;
        Ok(config)
    }

    fn has(&mut self, key: Key) -> bool {
        match self.slot(key) {
            Some(slot) => slot.is_some(),
            None => self.mounts.is_some(),
        }
    }

    /// As [`RawConfig::set`]; the mounts are a list in one text.
    fn set_list(&mut self, key: Key, text: &[u8], origin: &Origin) {
        if key != Key::Mount {
            return self.set(key, text, origin.clone());
        }
        self.set_no_mounts();
        for piece in split_list(text) {
            self.set(key, piece, origin.clone());
        }
    }

    /// The place of a single value; `None` for the mounts.
    fn slot(&mut self, key: Key) -> Option<&mut Option<RawValue>> {
        match key {
            Key::Mount => None,
            Key::Mem => Some(&mut self.mem),
            Key::Net => Some(&mut self.net),
            Key::Dns => Some(&mut self.dns),
            Key::Publish => Some(&mut self.publish),
            Key::Sysctl => Some(&mut self.sysctl),
            Key::NetHost => Some(&mut self.net_host),
            Key::Wg => Some(&mut self.wg),
            Key::Netem => Some(&mut self.netem),
            Key::Qdisc => Some(&mut self.qdisc),
            Key::Rate => Some(&mut self.rate),
            Key::Mptcp => Some(&mut self.mptcp),
            Key::Nft => Some(&mut self.nft),
            Key::As => Some(&mut self.run_as),
            Key::Log => Some(&mut self.log),
            Key::KernelLog => Some(&mut self.kernel_log),
            Key::Follow => Some(&mut self.follow),
            Key::Stats => Some(&mut self.stats),
            Key::Trace => Some(&mut self.trace),
            Key::BlockEngine => Some(&mut self.block_engine),
            Key::PerfMap => Some(&mut self.perf_map),
            Key::Doorbell => Some(&mut self.doorbell),
            Key::Share => Some(&mut self.share),
            Key::Keeper => Some(&mut self.keeper),
            Key::Instance => Some(&mut self.instance),
            Key::Config => Some(&mut self.config),
            Key::Cwd => Some(&mut self.cwd),
            Key::Run => Some(&mut self.run),
            Key::Lib => Some(&mut self.lib),
        }
    }
}

fn read<T>(
    value: &Option<RawValue>,
    key: Key,
    parse: fn(&str, &[u8]) -> Result<T, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    value.as_ref().map(|value| parse(&key.spelled(&value.origin), &value.text)).transpose()
}

fn directory(key: &str, value: &[u8]) -> Result<PathBuf, ConfigError> {
    if value.first() == Some(&b'/') {
        return Ok(PathBuf::from(OsStr::from_bytes(value)));
    }
    Err(ConfigError::new(key, format!("{} is not an absolute path", show(value)))
        .advise("it is set by the library itself: unset it"))
}

fn flag(key: &str, value: &[u8]) -> Result<bool, ConfigError> {
    match value {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(ConfigError::new(key, format!("{} is not 0 or 1", show(value)))
            .advise("it is set by stowaway run itself: unset it")),
    }
}
