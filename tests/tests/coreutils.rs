// SPDX-License-Identifier: GPL-2.0-only
//! The distribution's coreutils on a host directory and on an image, group by group.

use stowaway_tests::everyone;
use stowaway_tests::suite::run_group;

macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        everyone! { $(fn $name() { run_group(stringify!($name), include_str!(concat!("../cases/", stringify!($name), ".toml"))); })* }
    };
}

groups!(list);
