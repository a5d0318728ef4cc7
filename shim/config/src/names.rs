// SPDX-License-Identifier: GPL-2.0-only
//! The names of the settings: one row per key, with its spelling in each source.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::text::{nearest, show};

/// Every environment variable of ours starts with this.
pub const ENV_PREFIX: &[u8] = b"STOWAWAY_";

/// Variables for our own build, tests and benches, and what the library tells itself over an exec
/// (`STOWAWAY_FDS`, `exec.rs`): not settings, never an error.
pub const RESERVED_PREFIXES: [&str; 12] = [
    "STOWAWAY_BIN_",
    "STOWAWAY_BUILD_",
    "STOWAWAY_KERNEL_SOURCE",
    "STOWAWAY_TEST_",
    "STOWAWAY_BENCH_",
    "STOWAWAY_FDS",
    "STOWAWAY_MEMBER",
    "STOWAWAY_EXEC",
    "STOWAWAY_ID",
    "STOWAWAY_FAMILY",
    "STOWAWAY_ROOT",
    "STOWAWAY_KEPT_BY",
];

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Images and where they are mounted.
    Mount,
    /// The kernel's memory.
    Mem,
    /// Whether sockets are the kernel's.
    Net,
    /// Where programs find names.
    Dns,
    /// Ports of the host that lead to the program.
    Publish,
    /// Settings of the kernel's network.
    Sysctl,
    /// Destinations that are left to the host's network.
    NetHost,
    /// A WireGuard tunnel.
    Wg,
    /// Delays and losses.
    Netem,
    /// A queueing discipline.
    Qdisc,
    /// How fast is sent.
    Rate,
    /// Whether TCP is MPTCP.
    Mptcp,
    /// Rules of nftables.
    Nft,
    /// With whose rights the program works on mounts.
    As,
    /// Our own messages.
    Log,
    /// The kernel's messages.
    KernelLog,
    /// Whether programs that ours starts are served, too.
    Follow,
    /// Where calls are counted to.
    Stats,
    /// Where calls are printed to, and which.
    Trace,
    /// How image files are read and written.
    BlockEngine,
    /// Whether profilers are told the kernel's functions.
    PerfMap,
    /// How threads in the program's own code learn of events.
    Doorbell,
    /// Whether parent and children share one kernel.
    Share,
    /// Whether a process of our own outlives the program's where they are killed.
    Keeper,
    /// The kernel that this program has together with others that are started with the name.
    Instance,
    /// A settings file.
    Config,
    /// Internal: the current directory inside a mount, handed over at exec.
    Cwd,
    /// Internal: set by `stowaway run`.
    Run,
    /// Where the `stowaway` command finds the library.
    Lib,
}

/// (key, environment, option of `stowaway run`, key in a file); an empty name: not in that source.
const ROWS: [(Key, &str, &str, &str); 29] = [
    (Key::Mount, "STOWAWAY_MOUNT", "--mount", "mount"),
    (Key::Mem, "STOWAWAY_MEM", "--mem", "mem"),
    (Key::Net, "STOWAWAY_NET", "--net", "net"),
    (Key::Dns, "STOWAWAY_DNS", "--dns", "dns"),
    (Key::Publish, "STOWAWAY_PUBLISH", "--publish", "publish"),
    (Key::Sysctl, "STOWAWAY_SYSCTL", "--sysctl", "sysctl"),
    (Key::NetHost, "STOWAWAY_NET_HOST", "--net-host", "net_host"),
    (Key::Wg, "STOWAWAY_WG", "--wg", "wg"),
    (Key::Netem, "STOWAWAY_NETEM", "--netem", "netem"),
    (Key::Qdisc, "STOWAWAY_QDISC", "--qdisc", "qdisc"),
    (Key::Rate, "STOWAWAY_RATE", "--rate", "rate"),
    (Key::Mptcp, "STOWAWAY_MPTCP", "--mptcp", "mptcp"),
    (Key::Nft, "STOWAWAY_NFT", "--nft", "nft"),
    (Key::As, "STOWAWAY_AS", "--as", "as"),
    (Key::Log, "STOWAWAY_LOG", "--log", "log"),
    (Key::KernelLog, "STOWAWAY_KERNEL_LOG", "--kernel-log", "kernel_log"),
    (Key::Follow, "STOWAWAY_FOLLOW", "--no-follow", "follow"),
    (Key::Stats, "STOWAWAY_STATS", "--stats", "stats"),
    (Key::Trace, "STOWAWAY_TRACE", "--trace", "trace"),
    (Key::BlockEngine, "STOWAWAY_BLOCK_ENGINE", "--block-engine", "block_engine"),
    (Key::PerfMap, "STOWAWAY_PERF_MAP", "--perf-map", "perf_map"),
    (Key::Doorbell, "STOWAWAY_DOORBELL", "--doorbell", "doorbell"),
    (Key::Share, "STOWAWAY_SHARE", "--no-share", "share"),
    (Key::Keeper, "STOWAWAY_KEEPER", "--no-keeper", "keeper"),
    (Key::Instance, "STOWAWAY_INSTANCE", "--instance", "instance"),
    (Key::Config, "STOWAWAY_CONFIG", "--config", ""),
    (Key::Cwd, "STOWAWAY_CWD", "", ""),
    (Key::Run, "STOWAWAY_RUN", "", ""),
    (Key::Lib, "STOWAWAY_LIB", "", ""),
];

/// Whether an environment variable is a setting's.
pub fn is_setting(name: &[u8]) -> bool {
    ROWS.iter().any(|row| row.1.as_bytes() == name)
}

/// Where a value was written: decides how its key is called in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Env,
    /// An option of `stowaway run`.
    Option,
    /// A settings file.
    File(PathBuf),
}

impl Key {
    /// Every setting, the internal ones too.
    pub fn all() -> impl Iterator<Item = Key> {
        ROWS.iter().map(|row| row.0)
    }

    /// The option of `stowaway run`; empty: there is none.
    pub fn option(self) -> &'static str {
        self.row().2
    }

    /// The name in a settings file; empty: it cannot stand there.
    pub fn in_file(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static (Key, &'static str, &'static str, &'static str) {
        // The enum and the rows are in the same order; a test holds it.
        &ROWS[self as usize]
    }

    /// The environment variable's name.
    pub fn env(self) -> &'static str {
        self.row().1
    }

    /// The name that the user wrote, for messages.
    pub fn spelled(self, origin: &Origin) -> String {
        let (_, env, option, file) = *self.row();
        match origin {
            Origin::Option if !option.is_empty() => option.to_string(),
            Origin::File(path) if !file.is_empty() => format!("{file} in {}", path.display()),
            _ => env.to_string(),
        }
    }

    /// The key of an environment variable. `None`: not one of ours, or reserved for our build and tests.
    pub fn from_env(name: &[u8]) -> Result<Option<Key>, ConfigError> {
        if !name.starts_with(ENV_PREFIX) || RESERVED_PREFIXES.iter().any(|p| name.starts_with(p.as_bytes())) {
            return Ok(None);
        }
        if let Some(row) = ROWS.iter().find(|row| row.1.as_bytes() == name) {
            return Ok(Some(row.0));
        }
        let name = String::from_utf8_lossy(name);
        Err(unknown(&name, "no such setting", ROWS.iter().map(|row| row.1).take(25)))
    }

    /// The key of a line in a settings file.
    #[cfg(feature = "file")]
    pub(crate) fn from_file(name: &str, path: &std::path::Path) -> Result<Key, ConfigError> {
        let known = || ROWS.iter().filter(|row| !row.3.is_empty());
        if let Some(row) = known().find(|row| row.3 == name) {
            return Ok(row.0);
        }
        let spelled = format!("{name} in {}", path.display());
        let guess = nearest(name, known().map(|row| row.3)).map(|near| format!(", did you mean {near}?"));
        let why = format!("no such setting{}", guess.unwrap_or_default());
        let all: Vec<_> = known().map(|row| row.3).collect();
        Err(ConfigError::new(spelled, why).advise(format!("known are {}", all.join(", "))))
    }
}

fn unknown<'a>(name: &str, why: &str, known: impl Iterator<Item = &'a str> + Clone) -> ConfigError {
    let guess = nearest(name, known.clone()).map(|near| format!(", did you mean {near}?"));
    let all: Vec<_> = known.collect();
    ConfigError::new(show(name.as_bytes()).trim_matches('"'), format!("{why}{}", guess.unwrap_or_default()))
        .advise(format!("known are {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_keys() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(Key::from_env(row.1.as_bytes()), Ok(Some(row.0)));
        }
    }

    #[test]
    fn unknown_name_suggests_the_nearest() {
        let error = Key::from_env(b"STOWAWAY_MOUNTS").unwrap_err().to_string();
        assert!(
            error.starts_with("STOWAWAY_MOUNTS: no such setting, did you mean STOWAWAY_MOUNT?"),
            "{error}"
        );
        assert_eq!(Key::from_env(b"HOME"), Ok(None));
        assert_eq!(Key::from_env(b"STOWAWAY_TEST_ROOT"), Ok(None));
    }
}
