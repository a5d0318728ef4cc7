// SPDX-License-Identifier: GPL-2.0-only
//! The distribution's coreutils on a host directory and on an image, group by group.

use std::collections::BTreeMap;
use stowaway_tests::case;
use stowaway_tests::everyone;
use stowaway_tests::fixture::tool;
use stowaway_tests::suite::run_group;

macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        everyone! { $(fn $name() { run_group(stringify!($name), include_str!(concat!("../cases/", stringify!($name), ".toml"))); })* }
    };
}

groups!(list, read, text, copy, change, space, odd, process);

const CASES: [(&str, &str); 8] = [
    ("list", include_str!("../cases/list.toml")),
    ("read", include_str!("../cases/read.toml")),
    ("text", include_str!("../cases/text.toml")),
    ("copy", include_str!("../cases/copy.toml")),
    ("change", include_str!("../cases/change.toml")),
    ("space", include_str!("../cases/space.toml")),
    ("odd", include_str!("../cases/odd.toml")),
    ("process", include_str!("../cases/process.toml")),
];

/// How often each program is run, and how often with the mount in its command line.
fn invocations() -> BTreeMap<String, (u32, u32)> {
    let mut found: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (name, text) in CASES {
        for step in case::parse(name, text).case.iter().flat_map(|case| &case.run) {
            let line = step.full().cmd;
            for program in case::programs(&line) {
                let count = found.entry(program).or_default();
                count.0 += 1;
                count.1 += u32::from(line.contains("{D}"));
            }
        }
    }
    found
}

fn programs_of_the_package() -> Vec<String> {
    let listed = tool("dpkg", &["-L".as_ref(), "coreutils".as_ref()]);
    let programs = listed.lines().filter(|line| line.contains("/bin/") || line.contains("/sbin/"));
    programs.filter_map(|line| line.rsplit('/').next()).map(str::to_string).collect()
}

#[test]
fn every_program_of_the_package_is_covered_or_explained() {
    let skipped: BTreeMap<String, String> = toml::from_str(include_str!("../cases/skipped.toml"))
        .expect("cases/skipped.toml: program = \"reason\"");
    let (found, programs) = (invocations(), programs_of_the_package());
    let covered = |program: &&String| found.get(*program).is_some_and(|count| count.0 > 0);
    let bare: Vec<_> = programs.iter().filter(|p| !covered(p) && !skipped.contains_key(*p)).collect();
    assert!(bare.is_empty(), "neither in a case nor in cases/skipped.toml: {bare:?}");
    let stale: Vec<_> = skipped.keys().filter(|p| covered(p) || !programs.contains(p)).collect();
    assert!(stale.is_empty(), "no longer need a line in cases/skipped.toml: {stale:?}");
}

#[test]
fn at_least_seventy_programs_work_on_the_mount_several_times() {
    let found = invocations();
    let programs = programs_of_the_package();
    let on_mount = |program: &&String| found.get(*program).is_some_and(|count| count.1 >= 2);
    let working: Vec<_> = programs.iter().filter(on_mount).collect();
    assert!(working.len() >= 70, "only {} programs work on the mount: {working:?}", working.len());
}
