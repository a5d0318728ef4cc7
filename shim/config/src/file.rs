// SPDX-License-Identifier: GPL-2.0-only
//! The settings file: TOML, one key per setting. Its text is handed in; nothing is opened here.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::Spanned;

use crate::error::ConfigError;
use crate::names::{Key, Origin};
use crate::raw::RawConfig;

impl RawConfig {
    /// What a settings file says. `path` is its name, for messages.
    pub fn from_toml(text: &str, path: &Path) -> Result<RawConfig, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            ConfigError::new(format!("{}, line {line}", path.display()), error.message())
                .advise("the file is TOML, such as: mount = [\"disk.img:/mnt/data\"]")
        })?;
        let origin = Origin::File(path.to_path_buf());
        let mut raw = RawConfig::default();
        for (name, value) in table.get_ref() {
            let key = Key::from_file(name.get_ref(), path)?;
            match (key, value.get_ref()) {
                (Key::Mount, DeValue::Array(list)) => {
                    raw.set_no_mounts();
                    for item in list.iter() {
                        let DeValue::String(item) = item.get_ref() else { return Err(kind(key, &origin)) };
                        raw.set(key, item.as_bytes(), origin.clone());
                    }
                }
                (Key::Mount, _) => return Err(kind(key, &origin)),
                (Key::Net, DeValue::Array(list)) => {
                    let item = |item: &Spanned<DeValue>| match item.get_ref() {
                        DeValue::String(item) => Some(item.to_string()),
                        _ => None,
                    };
                    let all: Option<Vec<String>> = list.iter().map(item).collect();
                    let all = all.filter(|all| !all.is_empty()).ok_or_else(|| kind(key, &origin))?;
                    raw.set(key, all.join(";").as_bytes(), origin.clone());
                }
                (_, DeValue::String(value)) => raw.set(key, value.as_bytes(), origin.clone()),
                _ => return Err(kind(key, &origin)),
            }
        }
        Ok(raw)
    }

    /// These settings over those of the file that they name, if any. `read` gives the text of that file, or
    /// says why not.
    pub fn with_file(
        self,
        read: impl FnOnce(&Path) -> Result<Vec<u8>, String>,
    ) -> Result<RawConfig, ConfigError> {
        let Some((path, key)) = self.file() else { return Ok(self) };
        let bytes =
            read(&path).map_err(|why| ConfigError::new(&key, format!("{}: {why}", path.display())))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| ConfigError::new(&key, format!("{}: not in UTF-8", path.display())))?;
        Ok(self.over(RawConfig::from_toml(&text, &path)?))
    }
}

fn kind(key: Key, origin: &Origin) -> ConfigError {
    let form = match key {
        Key::Mount => "a list of texts, such as [\"disk.img:/mnt/data\"]",
        Key::Mem => "a text, such as \"64M\"",
        Key::Net => "a text, such as \"lo\", or a list of interfaces, such as [\"user\", \"tap:tap0\"]",
        _ => "a text",
    };
    ConfigError::new(key.spelled(origin), format!("must be {form}"))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RawConfig, String> {
        RawConfig::from_toml(text, Path::new("s.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key() {
        let text = "mount = ['a.img:/mnt/a', 'none:/mnt/t,type=tmpfs']\nmem = '128M'\nnet = 'lo'\n\
                    log = 'info'\nkernel_log = 'stderr'\n";
        let config = read(text).unwrap().validate().unwrap();
        assert_eq!(config.mounts.len(), 2);
        assert_eq!(config.mem, 128 << 20);
        let several = read("net = ['user', 'tap:t,ip=10.0.0.2/24']").unwrap().validate().unwrap();
        assert_eq!(several.net.format(), "user;tap:t,ip=10.0.0.2/24");
        let one = read("net = ['lo']").unwrap().validate().unwrap();
        assert_eq!(one.net, crate::Net::Lo);
    }

    #[test]
    fn errors_name_the_key() {
        let lines = [
            ("memory = '1G'", "memory in s.toml: no such setting"),
            ("mounts = []", "mounts in s.toml: no such setting, did you mean mount?"),
            ("mem = 64", "mem in s.toml: must be a text"),
            ("mount = 'a:/b'", "mount in s.toml: must be a list"),
            ("mount = [1]", "mount in s.toml: must be a list"),
            ("net = [1]", "net in s.toml: must be a text, such as \"lo\", or a list"),
            ("net = []", "net in s.toml: must be a text"),
            ("\nmem = ", "s.toml, line 2: "),
            ("config = 'x'", "config in s.toml: no such setting"),
        ];
        for (text, start) in lines {
            let line = read(text).unwrap_err();
            assert!(line.starts_with(start) && !line.contains('\n'), "{line}");
        }
        let late = read("mem = '1M'").unwrap().validate().unwrap_err().to_string();
        assert!(late.starts_with("mem in s.toml: \"1M\" is too little"), "{late}");
    }

    #[test]
    fn the_environment_counts_more() {
        let vars = [("STOWAWAY_CONFIG", "s.toml"), ("STOWAWAY_MEM", "32M")];
        let read = |path: &Path| {
            assert_eq!(path, Path::new("s.toml"));
            Ok(b"mem = '128M'\nlog = 'info'".to_vec())
        };
        let config = crate::Config::from_env_and_file(vars, read).unwrap();
        assert_eq!((config.mem, config.log), (32 << 20, crate::Level::Info));
        let missing = crate::Config::from_env_and_file(vars, |_| Err("No such file".into())).unwrap_err();
        assert_eq!(missing.to_string(), "STOWAWAY_CONFIG: s.toml: No such file");
    }
}
