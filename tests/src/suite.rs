// SPDX-License-Identifier: GPL-2.0-only
//! Runs cases on both sides and compares.

use crate::artifacts::{self, Artifacts};
use crate::case::{self, Case, FullStep, Users};
use crate::fixture::{self, Fixture, Side, Stock};
use crate::process::{Outcome, Run};
use crate::tree::{self, Rules};
use crate::{normal, user, words};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What serves the image side.
enum Runner {
    /// The product.
    Shim(Artifacts),
    /// The host kernel's loop mount (`STOWAWAY_TEST_RUNNER=loop`, root): checks the suite, not the product.
    Loop,
}

fn runner() -> Runner {
    match std::env::var("STOWAWAY_TEST_RUNNER").as_deref() {
        Ok("loop") => Runner::Loop,
        Ok(other) => panic!("STOWAWAY_TEST_RUNNER={other}: only `loop` is known"),
        Err(_) => Runner::Shim(artifacts::get()),
    }
}

/// Runs a group of cases as the user we are, and panics with all that differs.
pub fn run_group(name: &str, text: &str) {
    let runner = runner();
    let stock = Stock::default();
    let only = std::env::var("STOWAWAY_TEST_CASE").ok();
    let mut failures = Vec::new();
    let mut ran = 0;
    let group = case::parse(name, text);
    for case in &group.case {
        let wanted = only.as_ref().is_none_or(|only| case.name.contains(only.as_str()));
        if !wanted {
            continue;
        }
        if !for_us(case.users) {
            user::note(&format!(
                "cases/{name}: {}: not run as uid {}: for {:?} alone",
                case.name,
                user::id(),
                case.users
            ));
            continue;
        }
        if let Some(missing) = case.needs.iter().find(|program| !installed(program)) {
            user::note(&format!("cases/{name}: {}: not run: {missing} is not installed", case.name));
            continue;
        }
        ran += 1;
        let problems = run_case(&runner, &stock, case);
        if !problems.is_empty() {
            failures.push(format!("=== {name}: {}\n{}", case.name, problems.join("\n")));
        }
    }
    user::note(&format!("cases/{name}: {ran} cases as uid {}, {} failed", user::id(), failures.len()));
    assert!(failures.is_empty(), "{} of {ran} cases failed\n{}", failures.len(), failures.join("\n"));
}

fn installed(program: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(program).exists())
}

fn for_us(users: Users) -> bool {
    match users {
        Users::All => true,
        Users::Root => user::is_root(),
        Users::User => !user::is_root(),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64)
}

fn run_case(runner: &Runner, stock: &Stock, case: &Case) -> Vec<String> {
    let fixture = stock.fixture(case.fixture);
    fixture.settle_rooms(case.mountpoint || matches!(runner, Runner::Loop));
    let ground = fixture.ground();
    let same_blocks = host_has_our_blocks(&fixture);
    let before = case.ro.then(|| fs::read(&fixture.image).expect("the image"));
    let mut starts = (now() - 1, 0);
    let native = if native_twin(case) { side(runner, &fixture, case, Side::Native) } else { Vec::new() };
    starts.1 = now() - 1;
    let image = side(runner, &fixture, case, Side::Image);
    let mut problems = Vec::new();
    if native_twin(case) {
        compare_outcomes(&fixture, case, same_blocks, [&native, &image], &mut problems);
        if !case.ignore_tree {
            compare_trees(&fixture, starts, same_blocks && !case.ignore_holes, &mut problems);
        }
    }
    for (step, outcome) in case.run.iter().zip(&image) {
        expectations(&fixture, &step.full(), outcome, &mut problems);
    }
    if let Some(before) = before {
        if fs::read(&fixture.image).expect("the image") != before {
            problems.push("a read-only mount changed the image".into());
        }
    }
    if matches!(runner, Runner::Shim(_)) && fixture.ground() != ground {
        problems.push("something was made on the host in the mount's place".into());
    }
    problems.extend(fixture::check_image(&fixture.image).err());
    problems
}

fn native_twin(case: &Case) -> bool {
    case.native && !case.ro
}

/// Runs the steps of a case on one side.
fn side(runner: &Runner, fixture: &Fixture, case: &Case, side: Side) -> Vec<Outcome> {
    let mounted = matches!((runner, side), (Runner::Loop, Side::Image)).then(|| {
        let options = if case.ro { "loop,ro" } else { "loop" };
        let dir = fixture.dir(side);
        fixture::tool(
            "mount",
            &["-o".as_ref(), options.as_ref(), fixture.image.as_os_str(), dir.as_os_str()],
        );
    });
    let outcomes =
        case.run.iter().map(|step| command(runner, fixture, case, side, &step.full()).output()).collect();
    if mounted.is_some() {
        fixture::tool("umount", &[fixture.dir(side).as_os_str()]);
    }
    outcomes
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the suite's own paths are UTF-8")
}

fn command(runner: &Runner, fixture: &Fixture, case: &Case, side: Side, step: &FullStep) -> Run {
    let (dir, host) = (fixture.dir(side), fixture.host(side));
    let place = |line: &str| case::substitute(line, text(&dir), text(&host));
    let mut run = Run::new(words::split(&place(&step.cmd)));
    run.stdin = step.stdin.as_deref().map(|text| place(text).into_bytes());
    run.umask = step.umask.as_deref().map(|mask| u32::from_str_radix(mask, 8).expect("an octal umask"));
    run.cwd = Some(fixture.host(side));
    for (name, value) in &step.env {
        run = run.env(name, place(value));
    }
    match runner {
        Runner::Shim(artifacts) if side == Side::Image => {
            run.served(artifacts).env("STOWAWAY_MOUNT", fixture.mount(if case.ro { ":ro" } else { "" }))
        }
        _ => run,
    }
}

/// Makes the output of a side comparable.
fn plain(fixture: &Fixture, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for side in [Side::Native, Side::Image] {
        out = normal::replace(&out, fixture.room(side).as_os_str().as_bytes(), b"{B}");
    }
    out
}

fn compare_outcomes(
    fixture: &Fixture,
    case: &Case,
    same_blocks: bool,
    [native, image]: [&[Outcome]; 2],
    problems: &mut Vec<String>,
) {
    let normal = |bytes: &[u8]| {
        let mut out = plain(fixture, bytes);
        if case.no_numbers || (case.blocks && !same_blocks) {
            out = normal::no_numbers(&out);
        }
        if case.unsorted {
            out = normal::sorted(&out);
        }
        out
    };
    for ((step, a), b) in case.run.iter().zip(native).zip(image) {
        let line = step.full().cmd;
        let mut differ = |what: &str, a: &[u8], b: &[u8]| {
            if a != b {
                problems.push(format!(
                    "{line}\n  {what} native: {}\n  {what} shim:   {}",
                    show(a, b),
                    show(b, a)
                ));
            }
        };
        differ("status", a.status.as_bytes(), b.status.as_bytes());
        differ("stdout", &normal(&a.stdout), &normal(&b.stdout));
        differ("stderr", &normal(&a.stderr), &normal(&b.stderr));
    }
}

/// The part of an output around the first difference.
fn show(this: &[u8], other: &[u8]) -> String {
    let same = this.iter().zip(other).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(120);
    let to = this.len().min(same + 240);
    let dots = if from > 0 { "…" } else { "" };
    format!("{dots}{:?}", String::from_utf8_lossy(&this[from..to]))
}

/// Whether the host's file system counts blocks and directory sizes as the image does.
fn host_has_our_blocks(fixture: &Fixture) -> bool {
    let meta = fixture.base.path().join("n").symlink_metadata().expect("stat");
    let file = fixture.host(Side::Native).join("host.txt").symlink_metadata().expect("stat");
    (meta.size(), meta.blocks(), file.blocks(), meta.blksize()) == (4096, 8, 8, 4096)
}

fn compare_trees(fixture: &Fixture, starts: (i64, i64), holes: bool, problems: &mut Vec<String>) {
    let normal = |bytes: &[u8]| plain(fixture, bytes);
    let rules = Rules { now: starts, holes, atime: true };
    let native = tree::from_host(&fixture.dir(Side::Native), false);
    let image = tree::from_image(&fixture.image);
    match (native, image) {
        (Ok(native), Ok(image)) if tree::differences(&native, &image, rules, &normal).is_empty() => {}
        (Ok(_), Ok(image)) => {
            let native = tree::from_host(&fixture.dir(Side::Native), true).expect("the native tree");
            problems.extend(tree::differences(&native, &image, rules, &normal));
        }
        (native, image) => {
            problems.extend(native.err().map(|error| format!("native tree: {error}")));
            problems.extend(image.err().map(|error| format!("image tree: {error}")));
        }
    }
    let host = |side| tree::from_host(&fixture.host(side), false).expect("the host side");
    let rules = Rules { holes: false, ..rules };
    for line in tree::differences(&host(Side::Native), &host(Side::Image), rules, &normal) {
        problems.push(format!("host side: {line}"));
    }
}

fn expectations(fixture: &Fixture, step: &FullStep, outcome: &Outcome, problems: &mut Vec<String>) {
    let (dir, host) = (fixture.dir(Side::Image), fixture.host(Side::Image));
    let place = |line: &str| case::substitute(line, text(&dir), text(&host));
    let Some(status) = step.status else { return };
    if outcome.status != format!("exit {status}") {
        problems.push(format!(
            "{}\n  expected exit {status}, got {}: {}",
            step.cmd,
            outcome.status,
            outcome.err()
        ));
    }
    if let Some(expected) = &step.stdout {
        if place(expected).as_bytes() != outcome.stdout {
            problems.push(format!("{}\n  expected stdout {expected:?}, got {:?}", step.cmd, outcome.out()));
        }
    }
    if step.stderr_has.is_empty() && !outcome.stderr.is_empty() {
        problems.push(format!("{}\n  expected no stderr, got {:?}", step.cmd, outcome.err()));
    }
    for expected in &step.stderr_has {
        if !outcome.err().contains(&place(expected)) {
            problems.push(format!("{}\n  stderr lacks {expected:?}: {:?}", step.cmd, outcome.err()));
        }
    }
}
