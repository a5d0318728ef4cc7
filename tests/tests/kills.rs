// SPDX-License-Identifier: GPL-2.0-only
//! SIGKILL at random moments of a write load: the journal replays clean, and what was fsync'ed is whole. With a keeper, too,
//! which goes on with what the program had written, or finds that the program was killed inside the kernel.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stowaway_tests::everyone;
use stowaway_tests::ext4::Image;
use stowaway_tests::fixture::{check_image, copy_sparse, noise, Kind};
use stowaway_tests::mounted::Mounted;
use stowaway_tests::user;

/// Starts the load, kills it after this time, and returns what it reported until then.
fn load_and_kill(mounted: &Mounted, program: &Path, after: Duration, keeper: &str) -> String {
    let run = mounted.run([program.as_os_str(), mounted.dir().as_ref()]).env("STOWAWAY_KEEPER", keeper);
    let mut child = run.spawn();
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut said = String::new();
    out.read_line(&mut said).expect("the first line");
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut rest = String::new();
            let _ = out.read_to_string(&mut rest);
            rest
        });
        std::thread::sleep(after);
        let ended = child.try_wait().expect("the child's state");
        // SAFETY: kill takes two numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGKILL) };
        let _ = child.wait();
        let mut errors = String::new();
        let _ = child.stderr.take().expect("a pipe").read_to_string(&mut errors);
        assert!(ended.is_none() && errors.is_empty(), "the load ended by itself: {ended:?} {errors}");
        said + &reader.join().expect("the reader")
    })
}

/// Replays the journal as a user would, and accepts nothing but the replay. The superblock's own totals of free blocks
/// and inodes are written at unmount only (the host's ext4 leaves them behind in the same way); those of the groups
/// are in the journal and must be right.
fn replay(image: &Path) {
    let done = Command::new("e2fsck").args(["-fy".as_ref(), image.as_os_str()]).output().expect("e2fsck");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(matches!(done.status.code(), Some(0 | 1)), "e2fsck -fy: {}: {said}", done.status);
    let repairs = said.matches("? yes").count();
    let totals = said.matches("\nFree blocks count wrong (").count()
        + said.matches("\nFree inodes count wrong (").count();
    assert!(repairs == totals, "e2fsck had to repair more than the journal: {said}");
    check_image(image).unwrap_or_else(|why| panic!("{why}"));
}

/// Files named safe and not given up since.
fn safe_files(said: &str, safe: &mut HashMap<String, (usize, u32)>) {
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["gone", name] => drop(safe.remove(name)),
            ["safe", name, length, seed] => {
                let number = |text: &str| text.parse::<u32>().expect("a number");
                safe.insert(name.to_string(), (number(length) as usize, number(seed)));
            }
            _ => {}
        }
    }
}

fn kills(times: u32) {
    let mounted = Mounted::new(Kind::Empty);
    let program = mounted.program("killed", include_str!("../programs/helpers/killed.c"));
    // Else e2fsck -y makes one, which is a repair.
    mounted.run(["mkdir", &format!("{}/lost+found", mounted.dir())]).output().expect_exit(0);
    let copy = mounted.fixture.base.path().join("after.img");
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos()) | 1;
    user::note(&format!("kills: seed {random}"));
    let (mut safe, mut checked) = (HashMap::new(), 0);
    for round in 0..times {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let after = Duration::from_micros(u64::from(random >> 16) % 50_000);
        let said = load_and_kill(&mounted, &program, after, if round % 2 == 0 { "no" } else { "yes" });
        mounted.wait_until_free();
        safe_files(&said, &mut safe);
        // Checked on a copy: the next round's kernel replays the journal of the original itself.
        copy_sparse(&mounted.fixture.image, &copy).expect("a copy of the image");
        replay(&copy);
        let image = Image::open(&copy).expect("the image");
        for (name, (length, seed)) in &safe {
            let content =
                image.read_path(name).unwrap_or_else(|error| panic!("round {round}: {name}: {error}"));
            assert!(content == noise(*length, *seed), "round {round}: {name} is not what was fsync'ed");
            checked += 1;
        }
    }
    assert!(checked > times, "the load hardly ran: {checked} files in {times} rounds");
    user::note(&format!("kills: {times} kills as uid {}, {checked} fsync'ed files whole", user::id()));
}

everyone! {
    fn two_hundred_kills() { kills(if user::is_again() { 25 } else { 200 }); }
}
