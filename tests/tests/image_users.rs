// SPDX-License-Identifier: GPL-2.0-only
//! Who else may use an image: whoever says by a lock or by a mount of the host that the image is in use is believed.

use std::process::Command;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::held::Held;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;

/// Takes a lock of the image, by one of the ways of fcntl(2) and flock(2), until its input ends.
const HOLDER: &str = r#"
import fcntl, os, struct, sys
way, image = sys.argv[1:3]
kind, start, length = (int(word) for word in sys.argv[3:6])
file = os.open(image, os.O_RDWR)
if way == "flock":
    fcntl.flock(file, kind)
else:
    fcntl.fcntl(file, {"posix": fcntl.F_SETLK, "ofd": 37}[way], struct.pack("hhqqi", kind, 0, start, length, 0))
print("held", flush=True)
input()
"#;

const READ: i32 = libc::F_RDLCK;
const WRITE: i32 = libc::F_WRLCK;

/// Whether a writer and a reader of the image are let in.
fn let_in(mounted: &mut Mounted, image: &str) -> [bool; 2] {
    ["", ":ro"].map(|options| {
        let mount = format!("{image}:{}{options}", mounted.dir());
        let run = mounted.run(["cat", &format!("{}/hello.txt", mounted.dir())]).env("STOWAWAY_MOUNT", mount);
        let outcome = run.output();
        let lines = our_lines(&outcome);
        match outcome.status.as_str() {
            "exit 0" => {
                assert_eq!((outcome.out().as_str(), lines.len()), ("Hello, world!\n", 0), "{lines:?}")
            }
            _ => {
                assert!(outcome.err().contains("Device or resource busy"), "{}", outcome.err());
                assert!(lines.len() == 1 && lines[0].contains(image), "{lines:?}");
            }
        }
        outcome.status == "exit 0"
    })
}

#[track_caller]
fn beside(way: &str, kind: i32, [start, len]: [i32; 2], expected: [bool; 2]) {
    let mut mounted = Mounted::new(Kind::Basic);
    let image = mounted.fixture.image.display().to_string();
    let numbers = [kind, start, len].map(|number| number.to_string());
    let words = ["python3", "-c", HOLDER, way, &image, &numbers[0], &numbers[1], &numbers[2]];
    let held = Held::start(&Run::new(words));
    assert_eq!(let_in(&mut mounted, &image), expected, "{way} {kind} {start} {len}");
    held.finish();
    assert_eq!(let_in(&mut mounted, &image), [true, true], "after {way}");
    mounted.check();
}

/// A loop device of the host, until it is dropped.
struct Loop(String);

impl Loop {
    fn of(image: &str, options: &[&str]) -> Option<Loop> {
        let made = Command::new("losetup").args(["--find", "--show"]).args(options).arg(image).output();
        let made = made.expect("losetup");
        if !made.status.success() {
            user::note("no loop device can be made here");
            return None;
        }
        Some(Loop(String::from_utf8_lossy(&made.stdout).trim().to_string()))
    }

    fn mount(&self, dir: &str, options: &str) -> bool {
        std::fs::create_dir_all(dir).expect("a directory");
        let done = Command::new("mount").args(["-o", options, &self.0, dir]).status();
        done.is_ok_and(|status| status.success())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--quiet").arg(&self.0).status();
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// Writer and reader of the device, then of the file behind it.
fn around_a_mount(options: &str) -> Option<[[bool; 2]; 2]> {
    let mut mounted = Mounted::new(Kind::Basic);
    let image = mounted.fixture.image.display().to_string();
    let device = Loop::of(&image, if options == "ro" { &["--read-only"] } else { &[] })?;
    let dir = format!("{}/native", mounted.host());
    if !device.mount(&dir, options) {
        user::note("nothing can be mounted here");
        return None;
    }
    Some([device.0.clone(), image].map(|what| let_in(&mut mounted, &what)))
}

everyone! {
    fn a_lock_of_another_program_is_respected() {
        for way in ["flock", "posix", "ofd"] {
            let kinds = if way == "flock" { [libc::LOCK_SH, libc::LOCK_EX] } else { [READ, WRITE] };
            beside(way, kinds[0], [0, 0], [false, true]);
            beside(way, kinds[1], [0, 0], [false, false]);
        }
        beside("posix", WRITE, [1 << 20, 1], [false, false]);
    }

    fn the_bytes_that_qemu_locks_are_respected() {
        // QEMU reads: it says so, and that nobody may write.
        beside("ofd", READ, [100, 1], [false, true]);
        beside("ofd", READ, [201, 1], [false, true]);
        // QEMU writes.
        beside("ofd", READ, [100, 2], [false, false]);
        beside("ofd", READ, [103, 1], [false, false]);
    }

    fn what_the_host_has_mounted_is_not_written() {
        if !user::is_root() {
            return user::note("what_the_host_has_mounted_is_not_written: mounting needs root");
        }
        if let Some(found) = around_a_mount("rw") {
            assert_eq!(found, [[false, false], [false, false]]);
        }
        if let Some(found) = around_a_mount("ro") {
            assert_eq!(found, [[false, true], [false, true]]);
        }
    }

    fn a_loop_device_and_its_file_are_one_image() {
        if !user::is_root() {
            return user::note("a_loop_device_and_its_file_are_one_image: a loop device needs root");
        }
        let mut mounted = Mounted::new(Kind::Basic);
        let image = mounted.fixture.image.display().to_string();
        let Some(device) = Loop::of(&image, &[]) else { return };
        assert_eq!(let_in(&mut mounted, &image), [false, false]);
        assert_eq!(let_in(&mut mounted, &device.0), [true, true]);
        let numbers = [WRITE, 0, 0].map(|number| number.to_string());
        let held = Held::start(&Run::new(["python3", "-c", HOLDER, "ofd", &image, &numbers[0], &numbers[1], &numbers[2]]));
        assert_eq!(let_in(&mut mounted, &device.0), [false, false]);
        held.finish();
        drop(device);
        mounted.check();
    }

    fn a_loop_device_is_known_by_its_file_whatever_became_of_its_name() {
        if !user::is_root() {
            return user::note("a_loop_device_is_known_by_its_file_whatever_became_of_its_name: a loop device needs root");
        }
        for what in ["removed", "taken", "hidden", "newline"] {
            let mut mounted = Mounted::new(Kind::Basic);
            let image = mounted.fixture.image.display().to_string();
            // Only the size tells an ordinary user of a device whose name is gone: no other test's image has this one.
            let file = std::fs::OpenOptions::new().write(true).open(&image).expect("the image");
            file.set_len(file.metadata().expect("its size").len() + 7 * 512).expect("a larger image");
            let hidden = format!("{}/hidden", mounted.host());
            std::fs::create_dir_all(&hidden).expect("a directory");
            let name = format!("{hidden}/{}", if what == "newline" { "a\nb \\040c" } else { "name" });
            std::fs::hard_link(&image, &name).expect("a hard link");
            let Some(device) = Loop::of(&name, &[]) else { return };
            let host = |words: &[&str]| Command::new(words[0]).args(&words[1..]).status().is_ok_and(|status| status.success());
            match what {
                "removed" => std::fs::remove_file(&name).expect("no name"),
                "taken" => {
                    std::fs::remove_file(&name).expect("no name");
                    std::fs::copy(&image, &name).expect("another file");
                }
                "hidden" if !host(&["mount", "-t", "tmpfs", "none", &hidden]) => return user::note("nothing can be mounted here"),
                _ => {}
            }
            let found = let_in(&mut mounted, &image);
            if what == "hidden" {
                host(&["umount", &hidden]);
            }
            assert_eq!(found, [false, false], "{what}");
            if what == "taken" {
                assert_eq!(let_in(&mut mounted, &name), [true, true], "the file that has the name now");
            }
            drop(device);
            assert_eq!(let_in(&mut mounted, &image), [true, true], "after {what}");
            mounted.check();
        }
    }
}
