// SPDX-License-Identifier: GPL-2.0-only
//! The keeper: what a killed program had written is on the image, and the keeper itself is in nobody's way.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::keeper::{keeper_of, keepers_of};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{finish, kill, kill_group, Outcome, DEADLINE};

/// A program that has written, and waits to be killed; the line that it said.
fn start(mounted: &Mounted, words: &[&str], keeper: &str) -> (Child, String) {
    let words = words.iter().map(|word| word.replace('@', &mounted.dir()));
    let mut child = mounted.run(words).env("STOWAWAY_KEEPER", keeper).stdin("").spawn();
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    if line.is_empty() {
        panic!("it could not start: {}", finish(child, DEADLINE).err());
    }
    (child, line.trim().into())
}

fn kill_and_wait(child: &mut Child) {
    kill(child.id() as i32);
    assert_eq!(child.wait().expect("our own child").signal(), Some(libc::SIGKILL));
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[track_caller]
fn ends(pid: u32) {
    let end = Instant::now() + DEADLINE;
    while is_there(pid) {
        assert!(Instant::now() < end, "{pid} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn cat(mounted: &Mounted, name: &str) -> Outcome {
    mounted.run(["cat", &format!("{}/{name}", mounted.dir())]).output()
}

const WRITE: &str = "echo data >@/written; echo ready; exec sleep 100";

everyone! {
    fn what_was_written_survives_a_kill() {
        for words in [&["sh", "-c", WRITE][..], &["sh", "-c", "(echo data >@/written); echo ready; sleep 100; true"]] {
            let mounted = Mounted::new(Kind::Basic);
            let (mut child, _) = start(&mounted, words, "yes");
            keeper_of(&child);
            kill_and_wait(&mut child);
            // The shell's own child may be alive.
            let again = cat(&mounted, "written");
            kill_group(&child);
            if again.status == "exit 0" {
                assert_eq!((again.out().as_str(), our_lines(&again)), ("data\n", vec![]));
                mounted.check();
            } else {
                assert!(again.err().contains("in use by pid"), "{}", again.err());
            }
        }
    }

    fn a_whole_family_is_killed() {
        let mounted = Mounted::new(Kind::Basic);
        let (mut child, line) = start(&mounted, &["sh", "-c", "echo data >@/written; sleep 100 <@/written & echo $!; sleep 100; true"], "yes");
        keeper_of(&child);
        let other: u32 = line.parse().expect("a pid");
        kill(other as i32);
        // The shell's second sleep was its child.
        kill_and_wait(&mut child);
        kill_group(&child);
        assert_eq!(cat(&mounted, "written").expect_exit(0).out(), "data\n");
        mounted.check();
    }

    fn the_image_is_unmounted_after_a_kill() {
        let mounted = Mounted::new(Kind::Basic);
        let (mut child, _) = start(&mounted, &["sh", "-c", WRITE], "yes");
        let keeper = keeper_of(&child);
        kill_and_wait(&mut child);
        ends(keeper);
        mounted.wait_until_free();
        mounted.check();
        assert_eq!(mounted.content("/written"), b"data\n");
    }

    fn without_a_keeper_nobody_is_left() {
        let mounted = Mounted::new(Kind::Basic);
        let (mut child, _) = start(&mounted, &["sh", "-c", WRITE], "no");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(keepers_of(&child), [0; 0]);
        kill_and_wait(&mut child);
        mounted.wait_until_free();
        cat(&mounted, "hello.txt").expect_exit(0);
    }

    fn the_keeper_has_nothing_of_the_program() {
        let mounted = Mounted::new(Kind::Basic);
        let (mut child, _) = start(&mounted, &["sh", "-c", "exec 5</etc/passwd; echo x >@/f; echo ready; read x; exit 3"], "yes");
        let keeper = keeper_of(&child);
        let of = |name: &str| std::fs::read_link(format!("/proc/{keeper}/{name}")).expect("a link").display().to_string();
        assert_eq!(of("cwd"), "/");
        for entry in std::fs::read_dir(format!("/proc/{keeper}/fd")).expect("its descriptors") {
            let Ok(target) = std::fs::read_link(entry.expect("an entry").path()) else { continue };
            let target = target.display().to_string();
            let is_ours = ["/dev/null", "/memfd:stowaway", "socket:", "anon_inode:"].iter().any(|ours| target.starts_with(ours))
                || target == mounted.fixture.image.display().to_string();
            assert!(is_ours, "{target}");
        }
        let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).expect("its state");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        assert_ne!(fields[1], child.id().to_string(), "its parent");
        assert_eq!(fields[4], "0", "its terminal");
        // The program ends in order: with its exit the image is free and whole.
        drop(child.stdin.take());
        let outcome = finish(child, DEADLINE);
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 3", ""));
        mounted.check();
        ends(keeper);
    }

    fn the_program_goes_on_without_its_keeper() {
        let mounted = Mounted::new(Kind::Basic);
        let script = "echo x >@/f; echo ready; sleep 1; cat @/f >@/g; sh -c 'cat @/g >@/h'; exit 3";
        let (child, _) = start(&mounted, &["sh", "-c", script], "yes");
        kill(keeper_of(&child) as i32);
        let outcome = finish(child, DEADLINE);
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 3", ""));
        mounted.check();
        assert_eq!(mounted.content("/h"), b"x\n");
    }

    fn a_keeper_that_is_killed_is_replaced() {
        let mounted = Mounted::new(Kind::Basic);
        let (mut child, _) = start(&mounted, &["sh", "-c", WRITE], "yes");
        let first = keeper_of(&child);
        kill(first as i32);
        ends(first);
        assert_ne!(keeper_of(&child), first);
        kill_and_wait(&mut child);
        assert_eq!(cat(&mounted, "written").expect_exit(0).out(), "data\n");
        mounted.check();
    }

    fn another_process_starts_the_keeper_if_the_first_is_killed() {
        // The child mounts, and stops before its thread has started the keeper.
        const SCRIPT: &str = "import os, signal, sys, time
child = os.fork()
if not child:
    os.stat(sys.argv[1] + '/hello.txt')
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
print(child, flush=True)
os.waitpid(child, 0)
open(sys.argv[1] + '/written', 'w').write('data\\n')
time.sleep(100)";
        let mounted = Mounted::new(Kind::Basic);
        let (mut child, line) = start(&mounted, &["python3", "-c", SCRIPT, "@"], "yes");
        kill(line.parse().expect("a pid"));
        keeper_of(&child);
        kill_and_wait(&mut child);
        assert_eq!(cat(&mounted, "written").expect_exit(0).out(), "data\n");
        mounted.check();
    }

    fn programs_that_end_soon_leave_none_behind() {
        let mounted = Mounted::new(Kind::Basic);
        for i in 0..30 {
            // Some of them end while the keeper is being started.
            let script = format!("echo {i} >@/f; sleep 0.0{:02}", i).replace('@', &mounted.dir());
            let outcome = mounted.run(["sh", "-c", &script]).output();
            assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
            mounted.check();
        }
        assert_eq!(mounted.content("/f"), b"29\n");
    }
}
