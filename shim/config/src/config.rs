// SPDX-License-Identifier: GPL-2.0-only
//! The settings, checked.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::error::ConfigError;
use crate::mount::Mount;
use crate::names::Key;
use crate::network::{format_sysctl, user, Destination, Net, Publish};
use crate::personality::{queue::Discipline, Rate};
use crate::raw::RawConfig;
use crate::size::format_size;
use crate::text::show;
use crate::values::{BlockEngine, Doorbell, Level, Sink, Somebody, Trace, MEM_DEFAULT};

/// Every setting, with a value that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What is mounted where; no two on one path.
    pub mounts: Vec<Mount>,
    /// The kernel's memory in bytes, whole pages.
    pub mem: u64,
    /// Whose sockets are the kernel's.
    pub net: Net,
    /// The resolvers that programs are told of; empty: the host's, or the interface's.
    pub dns: Vec<IpAddr>,
    /// Ports of the host that lead to the program.
    pub publish: Vec<Publish>,
    /// Settings of the kernel's network.
    pub sysctl: Vec<(String, String)>,
    /// Destinations that are left to the host's network.
    pub net_host: Vec<Destination>,
    /// The file of a WireGuard tunnel, as wg-quick(8) has it.
    pub wg: Option<PathBuf>,
    /// Delays and losses of what is sent.
    pub netem: Option<Discipline>,
    /// The queueing discipline.
    pub qdisc: Option<Discipline>,
    /// How fast is sent.
    pub rate: Option<Rate>,
    /// Whether sockets of TCP are ones of MPTCP.
    pub mptcp: bool,
    /// The file of rules that nft(8) reads before the program starts.
    pub nft: Option<PathBuf>,
    /// With whose rights the program works on mounts, and who it is told that it is; `None`: its own.
    pub run_as: Option<Somebody>,
    /// Our own messages.
    pub log: Level,
    /// The kernel's messages.
    pub kernel_log: Sink,
    /// Whether programs that this one starts are served, too.
    pub follow: bool,
    /// Where calls are counted to.
    pub stats: Sink,
    /// Where calls are printed to, and which.
    pub trace: Trace,
    /// Who reads and writes image files.
    pub block_engine: BlockEngine,
    /// Whether profilers are told the kernel's functions (/tmp/perf-PID.map).
    pub perf_map: bool,
    /// How threads in the program's own code learn of events.
    pub doorbell: Doorbell,
    /// Whether parent and children share one kernel.
    pub share: bool,
    /// Whether a process of our own outlives the program's where they are killed.
    pub keeper: bool,
    /// The name of the instance that this program uses together with others; `None`: its own family's.
    pub instance: Option<String>,
    /// The current directory inside a mount that an exec handed over; absolute.
    pub cwd: Option<PathBuf>,
    /// Whether `stowaway run` started the program: an error ends it then.
    pub under_run: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config::unset(MEM_DEFAULT, Doorbell::Auto)
    }
}

impl Config {
    /// Where nothing is asked for.
    pub const fn unset(mem: u64, doorbell: Doorbell) -> Config {
        Config {
            mounts: Vec::new(),
            mem,
            net: Net::None,
            dns: Vec::new(),
            publish: Vec::new(),
            sysctl: Vec::new(),
            net_host: Vec::new(),
            wg: None,
            netem: None,
            qdisc: None,
            rate: None,
            mptcp: false,
            nft: None,
            run_as: None,
            log: Level::Warn,
            kernel_log: Sink::Off,
            follow: true,
            stats: Sink::Off,
            trace: Trace { to: Sink::Off, only: Vec::new() },
            block_engine: BlockEngine::Auto,
            perf_map: false,
            doorbell,
            share: true,
            keeper: true,
            instance: None,
            cwd: None,
            under_run: false,
        }
    }

    /// What an environment says. A settings file that it names (`STOWAWAY_CONFIG`) is not read: see
    /// [`Config::from_env_and_file`].
    pub fn from_env<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Config, ConfigError>
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        RawConfig::from_env(vars)?.validate()
    }

    /// What an environment says, over the settings file that it names, if any. `read` gives the text of that
    /// file, or says why not.
    #[cfg(feature = "file")]
    pub fn from_env_and_file<N, V>(
        vars: impl IntoIterator<Item = (N, V)>,
        read: impl FnOnce(&Path) -> Result<Vec<u8>, String>,
    ) -> Result<Config, ConfigError>
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        RawConfig::from_env(vars)?.with_file(read)?.validate()
    }

    /// Whether calls are counted or printed.
    pub fn is_watched(&self) -> bool {
        self.stats != Sink::Off || self.trace.to != Sink::Off
    }

    /// Makes every relative path absolute against `cwd`, for the program may change its directory before the
    /// path is used. Then two names for one image show as one.
    pub fn absolutize(&mut self, cwd: &Path) -> Result<(), ConfigError> {
        for mount in &mut self.mounts {
            mount.absolutize(cwd);
        }
        self.net.absolutize(cwd);
        self.wg.iter_mut().chain(&mut self.nft).for_each(|file| *file = cwd.join(&file));
        for sink in [&mut self.kernel_log, &mut self.stats, &mut self.trace.to] {
            sink.absolutize(cwd);
        }
        self.check_mounts(Key::Mount.env())
    }

    /// The environment that says the same. Variables of ours that are not in it must be unset.
    pub fn to_env(&self) -> Vec<(String, OsString)> {
        let mut mounts = Vec::new();
        for mount in &self.mounts {
            if !mounts.is_empty() {
                mounts.push(b';');
            }
            mounts.extend_from_slice(mount.format().as_bytes());
        }
        let mut vars = vec![
            (Key::Mount, OsString::from_vec(mounts)),
            (Key::Mem, format_size(self.mem).into()),
            (Key::Net, self.net.format()),
            (Key::Log, self.log.to_string().into()),
            (Key::KernelLog, self.kernel_log.format()),
        ];
        let list = |all: Vec<String>| (!all.is_empty()).then(|| OsString::from(all.join(",")));
        vars.extend(list(self.dns.iter().map(IpAddr::to_string).collect()).map(|all| (Key::Dns, all)));
        vars.extend(
            list(self.publish.iter().map(Publish::to_string).collect()).map(|all| (Key::Publish, all)),
        );
        vars.extend((!self.sysctl.is_empty()).then(|| (Key::Sysctl, format_sysctl(&self.sysctl))));
        vars.extend(
            list(self.net_host.iter().map(Destination::to_string).collect()).map(|all| (Key::NetHost, all)),
        );
        vars.extend(self.wg.iter().map(|file| (Key::Wg, file.clone().into())));
        vars.extend(self.netem.iter().map(|all| (Key::Netem, all.words.clone().into())));
        vars.extend(self.qdisc.iter().map(|all| (Key::Qdisc, all.words.clone().into())));
        vars.extend(self.rate.iter().map(|rate| (Key::Rate, rate.text.clone().into())));
        vars.extend(self.mptcp.then(|| (Key::Mptcp, "yes".into())));
        vars.extend(self.nft.iter().map(|file| (Key::Nft, file.clone().into())));
        vars.extend(self.run_as.map(|who| (Key::As, who.to_string().into())));
        vars.extend((!self.follow).then(|| (Key::Follow, "no".into())));
        vars.extend((self.stats != Sink::Off).then(|| (Key::Stats, self.stats.format())));
        vars.extend((self.trace.to != Sink::Off).then(|| (Key::Trace, self.trace.format())));
        let engine = self.block_engine;
        vars.extend((engine != BlockEngine::Auto).then(|| (Key::BlockEngine, engine.to_string().into())));
        vars.extend(self.perf_map.then(|| (Key::PerfMap, "yes".into())));
        let bell = self.doorbell;
        vars.extend((bell != Doorbell::Auto).then(|| (Key::Doorbell, bell.to_string().into())));
        vars.extend((!self.share).then(|| (Key::Share, "no".into())));
        vars.extend((!self.keeper).then(|| (Key::Keeper, "no".into())));
        vars.extend(self.instance.iter().map(|name| (Key::Instance, name.into())));
        vars.extend(self.cwd.iter().map(|cwd| (Key::Cwd, cwd.clone().into())));
        vars.extend(self.under_run.then(|| (Key::Run, "1".into())));
        vars.into_iter().map(|(key, value)| (key.env().to_string(), value)).collect()
    }

    /// The resolvers that programs are told of; empty: those of the host.
    pub fn resolvers(&self) -> Vec<IpAddr> {
        match self.dns.is_empty() && self.net.has_user() {
            true => vec![user::RESOLVER],
            false => self.dns.clone(),
        }
    }

    /// What goes with interfaces to the outside, and with which.
    pub(crate) fn check_network(&self) -> Result<(), ConfigError> {
        let wrong = |key: Key, why: &str, advice: &str| Err(ConfigError::new(key.env(), why).advise(advice));
        if !self.dns.is_empty() && !self.net.has_outside() {
            return wrong(Key::Dns, "there is no network to the outside", "set net, such as user");
        }
        if !self.publish.is_empty() && !self.net.has_user() {
            return wrong(
                Key::Publish,
                "ports are forwarded by the network user only",
                "let net be user, or have it as one of the interfaces",
            );
        }
        if !self.sysctl.is_empty() && self.net == Net::None {
            return wrong(Key::Sysctl, "the program has no network of its own", "set net, such as lo");
        }
        if !self.net_host.is_empty() && self.net == Net::None {
            return wrong(Key::NetHost, "every socket is the host's", "set net, such as user");
        }
        if !self.interfaces().is_empty() && !self.share {
            return wrong(
                Key::Net,
                "processes share an interface to the outside (share is no)",
                "leave one of the two out",
            );
        }
        if self.net == Net::Lo && self.has_remote() {
            return wrong(
                Key::Net,
                "a server's directory is mounted, and lo leads to no server",
                "set net to user, or leave net out: then the program has the host's network, and the mounts have their own",
            );
        }
        Ok(())
    }

    /// No two mounts on one path, no image that is written twice, and none inside of itself.
    pub(crate) fn check_mounts(&self, key: &str) -> Result<(), ConfigError> {
        for (index, later) in self.mounts.iter().enumerate() {
            for earlier in &self.mounts[..index] {
                if earlier.path == later.path {
                    let path = show(&later.path);
                    return Err(ConfigError::new(key, format!("there are two mounts on {path}"))
                        .advise("mount one beside or below the other"));
                }
                if same_image(earlier, later) && !(earlier.read_only && later.read_only) {
                    let image = later.image.as_deref().unwrap_or(Path::new("none"));
                    let image = show(image.as_os_str().as_bytes());
                    return Err(ConfigError::new(
                        key,
                        format!("the image {image} is mounted twice, and written"),
                    )
                    .advise("an image mounted more than once is :ro everywhere"));
                }
            }
        }
        self.check_holders(key)
    }

    /// The mount that another one's image lies in, by its name.
    pub fn holder(&self, index: usize) -> Option<usize> {
        let mount = &self.mounts[index];
        let image = mount.image.as_ref().filter(|_| !mount.is_a_servers())?;
        self.deepest(image.as_os_str().as_bytes(), None)
    }

    /// The mount below whose path another one's path lies.
    pub fn parent(&self, index: usize) -> Option<usize> {
        self.deepest(&self.mounts[index].path, Some(index))
    }

    /// The mount that `path` lies in, but for one of them.
    fn deepest(&self, path: &[u8], but: Option<usize>) -> Option<usize> {
        let holds = |at: &usize| Some(*at) != but && self.mounts[*at].contains(path);
        (0..self.mounts.len()).filter(holds).max_by_key(|&at| self.mounts[at].path.len())
    }

    /// Nothing has to be mounted before itself.
    fn check_holders(&self, key: &str) -> Result<(), ConfigError> {
        for index in 0..self.mounts.len() {
            if self.needs(index, index, self.mounts.len()) {
                let path = show(&self.mounts[index].path);
                return Err(ConfigError::new(key, format!("the image of {path} lies in itself"))
                    .advise("give the path that the image has on the host"));
            }
        }
        Ok(())
    }

    /// Whether `wanted` has to be mounted before `index` can be, by at most so many steps.
    fn needs(&self, index: usize, wanted: usize, steps: usize) -> bool {
        let before = [self.holder(index), self.parent(index)];
        before.into_iter().flatten().any(|at| at == wanted || steps > 0 && self.needs(at, wanted, steps - 1))
    }
}

/// Whether two mounts name one image. Links are not followed here: the lock on the image finds those.
fn same_image(a: &Mount, b: &Mount) -> bool {
    fn plain(image: &Path) -> Vec<Component<'_>> {
        image.components().filter(|part| *part != Component::CurDir).collect()
    }
    // The whole and a part of it are one, too; the lock says so then.
    match (&a.image, &b.image) {
        (Some(x), Some(y)) => plain(x) == plain(y) && a.part.is_same(&b.part),
        _ => false,
    }
}
