// SPDX-License-Identifier: GPL-2.0-only
//! The fuzzer finds what is planted, keeps its input, and can make that again.

use std::process::Command;
use std::time::Duration;

use stowaway_fuzz::search::Search;
use stowaway_fuzz::targets::{ALL, PLANTED};

#[test]
fn a_planted_panic_is_found_and_made_again() {
    let [target, _] = PLANTED;
    let search = Search::new(target, 1);
    let mut begun = 0;
    let failure = search.run(Duration::from_secs(600), |case| begun = case).expect_err("nothing was found");
    assert_eq!((failure.case, failure.why.as_str()), (begun, "planted"));
    let again = Search::new(target, 1).input(failure.case);
    assert_eq!(search.case(&again), Err("planted".to_string()));
    assert_eq!(search.case(b"nothing of the kind"), Ok(()));
}

#[test]
fn the_command_keeps_what_broke_a_target() {
    for (target, said) in PLANTED.iter().zip(["planted", "signal: 6"]) {
        let keep = tempfile::tempdir().expect("a directory");
        let run = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stowaway-fuzz"));
            command.args(args).arg(target.name).output().expect("the command")
        };
        let keep_at = keep.path().to_str().expect("text");
        let output = run(&["--seconds", "600", "--seed", "1", "--keep", keep_at]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && text.contains("BROKEN") && text.contains(said), "{output:?}");
        let file =
            std::fs::read_dir(keep.path()).expect("kept").next().expect("an input").expect("a file").path();
        let kept = std::fs::read(&file).expect("the input");
        assert!(kept.windows(2).any(|part| part == [0xde, 0xad]), "{kept:x?}");
        assert!(!run(&["--input", file.to_str().expect("text")]).status.success());
    }
}

#[test]
fn every_target_reads_its_seeds() {
    for target in ALL {
        let cases = Search::new(target, 0).run(Duration::ZERO, |_| {});
        assert_eq!(
            cases.map_err(|failure| failure.why),
            Ok((target.seeds)().len() as u64),
            "{}",
            target.name
        );
    }
}
