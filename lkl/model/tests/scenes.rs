// SPDX-License-Identifier: GPL-2.0-only
//! The protocol holds, and does not without the steps that are said to be needed.

use lkl_model::{check, SCENES};
use std::process::Command;

/// Which scene, and the how manyeth of the steps it needs is left out.
const BROKEN: &str = "LKL_MODEL_BROKEN";

#[test]
fn the_protocol_holds() {
    for scene in SCENES {
        println!("{}", scene.name);
        check(scene, None);
    }
}

/// A model that breaks in the middle cannot be cleared away: each one in a process of its own.
#[test]
fn it_does_not_without_its_steps() {
    for (at, scene) in SCENES.iter().enumerate() {
        for (which, step) in scene.needs.iter().enumerate() {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "broken", "--ignored", "--nocapture"]).env("RUST_BACKTRACE", "0");
            let output = child.env(BROKEN, format!("{at} {which}")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{} without {step:?}: nothing was noticed", scene.name);
            let noticed = ["deadlock", "concurrent", "Causality", "number of branches", "is_alive"]
                .iter()
                .any(|word| said.contains(word));
            assert!(noticed, "{} without {step:?}: {said}", scene.name);
        }
    }
}

#[test]
#[ignore = "the test above runs it"]
fn broken() {
    let Ok(which) = std::env::var(BROKEN) else { return };
    let (at, step) = which.split_once(' ').unwrap();
    let scene = &SCENES[at.parse::<usize>().unwrap()];
    check(scene, Some(scene.needs[step.parse::<usize>().unwrap()]));
}
