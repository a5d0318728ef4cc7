// SPDX-License-Identifier: GPL-2.0-only
//! The one schema of Stowaway's settings, shared by the preload library and the `stowaway` command.
//!
//! A setting has one meaning and three spellings: an environment variable (`STOWAWAY_MEM`), an option of
//! `stowaway run` (`--mem`) and a key of a settings file (`mem`). [`RawConfig`] holds what was written and
//! where; [`RawConfig::over`] lays one source over another; [`RawConfig::validate`] makes a [`Config`] of it
//! or says which key is wrong, why, and what is allowed.
//!
//! Rules of the place: this runs in the constructor of every process under the preload. No I/O (the text of a
//! settings file is handed in), no global state, no dependency in the default build.
//!
//! ```
//! use stowaway_config::Config;
//! let mut config = Config::from_env([("STOWAWAY_MOUNT", "disk.img:/mnt/data:ro")]).unwrap();
//! config.absolutize(std::path::Path::new("/home/me")).unwrap();
//! assert_eq!(config.mounts[0].format(), "/home/me/disk.img:/mnt/data:ro");
//! let error = Config::from_env([("STOWAWAY_MEM", "1M")]).unwrap_err();
//! assert_eq!(error.to_string(), "STOWAWAY_MEM: \"1M\" is too little; allowed is 16M to 16G, such as 64M");
//! ```

mod config;
mod error;
mod exec;
#[cfg(feature = "file")]
mod file;
mod flags;
pub mod instance;
mod mount;
mod names;
mod network;
pub mod personality;
mod raw;
mod remote;
mod server;
mod size;
mod source;
mod text;
mod values;

pub use config::Config;
pub use error::ConfigError;
pub use exec::{is_ours, EXEC, EXEC_PATH};
pub use flags::{mount_flags, MountFlags};
pub use mount::{split_list, Mount, DISK_TYPES, PSEUDO_TYPES, READ_ONLY_TYPES};
pub use names::{is_setting, Key, Origin, ENV_PREFIX, RESERVED_PREFIXES};
pub use network::{user, BackEnd, Destination, Interface, Net, Publish, MOST_INTERFACES};
pub use raw::{RawConfig, RawValue};
pub use remote::{Protocol, Remote};
pub use size::{format_size, parse_size};
pub use source::Part;
pub use values::{BlockEngine, Doorbell, Level, Sink, Somebody, Trace, MEM_DEFAULT, MEM_MAX, MEM_MIN};
