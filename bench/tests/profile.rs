// SPDX-License-Identifier: GPL-2.0-only
//! `bench profile` on a program that reads an image, where perf may be used.

use std::path::Path;
use std::process::Command;

/// Why a profile cannot be taken here; said, not passed over.
const EXCUSES: [&str; 4] =
    ["perf is not installed", "libstowaway.so is not built", "perf_event_paranoid", "No permission"];

#[test]
fn a_profile_has_all_rooms_in_it() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("profile");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(dir.join("tree")).unwrap();
    std::fs::write(dir.join("tree/f"), vec![7u8; 32 << 20]).unwrap();
    let image = dir.join("image");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-q").arg("-d").arg(dir.join("tree")).arg(&image);
    assert!(mkfs.status().unwrap().success());
    let (svg, folded) = (dir.join("flame.svg"), dir.join("folded"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.arg("profile").arg("-o").arg(&svg).arg("--folded").arg(&folded);
    // Building another kernel would take minutes.
    bench.arg("--as-built");
    bench.arg("--mount").arg(format!("{}:/mnt/profiled", image.display()));
    bench.args(["dd", "if=/mnt/profiled/f", "of=/dev/null", "bs=4k", "status=none"]);
    let output = bench.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() && EXCUSES.iter().any(|excuse| said.contains(excuse)) {
        eprintln!("skipped: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\nkernel ") && table.contains("share"), "{table}");
    let folded = std::fs::read_to_string(&folded).unwrap();
    assert!(folded.lines().any(|line| line.starts_with("dd;")), "the program's thread:\n{folded}");
    assert!(folded.contains("_[k]"), "the kernel library's functions have names:\n{folded}");
    let svg = std::fs::read_to_string(&svg).unwrap();
    assert!(svg.contains("<svg") && svg.contains("</svg>"));
    // A function with half a percent is wide enough to be drawn; the ending is for its colour.
    let weight = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let heaviest =
        folded.lines().filter(|line| line.contains("_[k]")).max_by_key(|line| weight(line)).unwrap();
    let name = heaviest.split(';').find_map(|frame| frame.split_once("_[k]")).unwrap().0;
    assert!(svg.contains(name), "{name}");
    let _ = std::fs::remove_dir_all(&dir);
}
