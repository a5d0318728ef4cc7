// SPDX-License-Identifier: GPL-2.0-only
//! The floors of each crate: imports point downwards, and no more than two files import each other in a circle.

use std::collections::BTreeMap;
use std::path::Path;
use stowaway_tests::floors::{house, read, House};

/// The crates that have floors.
const CRATES: [&str; 7] =
    ["shim/src", "shim/kinds/src", "lkl/src", "trampoline/src", "bench/src", "tools/src", "tests/fuzz/src"];

fn house_of(sources: &str) -> House {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(sources))
}

#[test]
fn every_crate_says_its_floors() {
    for sources in CRATES {
        assert!(house_of(sources).orders.contains_key(""), "{sources}: no line `Floors, from the lowest:`");
    }
}

#[test]
fn imports_point_downwards() {
    let up: Vec<String> = CRATES
        .iter()
        .flat_map(|sources| {
            house_of(sources).arrows_up().into_iter().map(move |arrow| format!("{sources}: {arrow}"))
        })
        .collect();
    assert!(up.is_empty(), "{}", up.join("\n"));
}

#[test]
fn no_circle_has_more_than_two_files() {
    let circles: Vec<String> = CRATES
        .iter()
        .flat_map(|sources| {
            house_of(sources).circles().into_iter().map(move |c| format!("{sources}: {}", c.join(", ")))
        })
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

fn planted(files: &[(&str, &str)]) -> House {
    let files: BTreeMap<String, String> = files.iter().map(|(m, t)| (m.to_string(), t.to_string())).collect();
    house(&files)
}

const ROOT: (&str, &str) =
    ("", "//! Text.\n//! Floors, from the lowest: ground,\n//! roof.\nmod ground;\nmod roof;\n");

#[test]
fn a_planted_arrow_is_found() {
    for arrow in
        ["use crate::roof::x::Y;", "use crate::{ground, roof::{self, x}};", "fn f() { crate::roof::x::g() }"]
    {
        let house = planted(&[ROOT, ("ground", arrow), ("roof", ""), ("roof::x", "")]);
        assert!(!house.arrows_up().is_empty(), "{arrow}");
    }
    let fine =
        "//! crate::roof is above.\nuse crate::ground::a;\n#[cfg(test)]\nmod tests { use crate::roof::x; }";
    let house = planted(&[
        ROOT,
        ("ground", fine),
        ("ground::a", ""),
        ("roof", "use crate::ground::a;"),
        ("roof::x", ""),
    ]);
    assert_eq!(house.arrows_up(), [""; 0]);
}

#[test]
fn a_module_without_a_floor_is_found() {
    let house = planted(&[ROOT, ("ground", ""), ("roof", ""), ("shed", "")]);
    assert_eq!(house.arrows_up(), ["shed stands on no floor"]);
}

#[test]
fn a_planted_circle_is_found() {
    let circle = [
        ROOT,
        ("ground", ""),
        ("ground::a", "use super::b::X;"),
        ("ground::b", "use crate::ground::c::X;"),
        ("ground::c", "use super::a;"),
    ];
    assert_eq!(planted(&circle).circles(), [["ground::a", "ground::b", "ground::c"]]);
    let pair = [ROOT, ("ground", ""), ("ground::a", "use super::b::X;"), ("ground::b", "use super::a;")];
    assert!(planted(&pair).circles().is_empty());
}
