// SPDX-License-Identifier: GPL-2.0-only
//! What the keeper of an instance with a name says of the instance, before a program joins it: a program on one of its mounts
//! can be found then. The program's own library joins.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use stowaway_config::{instance, Config};

use crate::host;

/// How long the keeper may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The settings as the program will have them: with those of the instance that it joins. The library says what is wrong with an
/// instance.
pub fn with_settings(config: Config) -> Result<Config, stowaway_config::ConfigError> {
    let Some(settings) = config.instance.as_deref().and_then(ask) else { return Ok(config) };
    let mut variables: Vec<(OsString, OsString)> =
        config.to_env().into_iter().map(|(name, value)| (name.into(), value)).collect();
    instance::join(&mut variables, &config, &settings)?;
    Config::from_env(variables)
}

fn ask(name: &str) -> Option<Vec<(OsString, OsString)>> {
    let (user, _) = host::effective_ids();
    let directory = instance::directory(std::env::var_os("XDG_RUNTIME_DIR").as_deref(), user);
    let answer = || -> std::io::Result<Vec<u8>> {
        let mut keeper = UnixStream::connect(instance::socket(&directory, name))?;
        keeper.set_read_timeout(Some(PATIENCE))?;
        keeper.write_all(&[instance::ASK])?;
        let mut text = Vec::new();
        match keeper.read_to_end(&mut text) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => Ok(text),
        }
    };
    let text = answer().ok()?;
    instance::is_refused(&text)
        .is_none()
        .then(|| instance::read(&text))
        .filter(|settings| !settings.is_empty())
}
