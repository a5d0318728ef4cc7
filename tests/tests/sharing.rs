// SPDX-License-Identifier: GPL-2.0-only
//! Who may use an image at the same time, what a program pays that uses none, and what one pays that does.

use std::io::{BufRead, BufReader};
use std::process::Child;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{finish, kill_group, Outcome, Run, DEADLINE};

/// A program that holds the image until it is let go.
struct Holder {
    child: Child,
    pid: String,
}

impl Holder {
    fn start(mounted: &Mounted) -> Holder {
        let program = mounted.program("hold", include_str!("../programs/helpers/hold.c"));
        let mut child = mounted.run([program.into_os_string(), mounted.dir().into()]).stdin("").spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        if line.is_empty() {
            panic!("the holder could not start: {}", finish(child, DEADLINE).err());
        }
        Holder { child, pid: line.trim().to_string() }
    }

    fn let_go(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let outcome = finish(self.child, DEADLINE);
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        outcome
    }
}

fn cat(mounted: &Mounted) -> Outcome {
    mounted.run(["cat", &format!("{}/hello.txt", mounted.dir())]).output()
}

#[track_caller]
fn refused_as_busy(mounted: &Mounted, outcome: &Outcome, pid: &str) {
    let said = format!("cat: {}/hello.txt: Device or resource busy", mounted.dir());
    assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 1", ""), "{}", outcome.err());
    assert!(outcome.err().lines().any(|line| line == said), "{}", outcome.err());
    let lines = our_lines(outcome);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let image = mounted.fixture.image.display().to_string();
    assert!(lines[0].contains(&image) && lines[0].contains(&format!("in use by pid {pid}")), "{lines:?}");
}

/// The two lines of `lazy.c`: resident KiB and threads, before and after the first touch.
fn lazy(mounted: &Mounted, preloaded: bool) -> [(i64, i64); 2] {
    let program = mounted.program("lazy", include_str!("../programs/helpers/lazy.c"));
    let dir = if preloaded {
        mounted.dir()
    } else {
        mounted.fixture.dir(stowaway_tests::fixture::Side::Native).display().to_string()
    };
    let words = [program.into_os_string(), dir.into()];
    let outcome = if preloaded { mounted.run(words).output() } else { Run::new(words).output() };
    outcome.expect_exit(0);
    let numbers: Vec<i64> =
        outcome.out().split_whitespace().map(|word| word.parse().expect("a number")).collect();
    [(numbers[0], numbers[1]), (numbers[2], numbers[3])]
}

everyone! {
    fn a_writer_keeps_others_out() {
        let mut mounted = Mounted::new(Kind::Basic);
        let holder = Holder::start(&mounted);
        refused_as_busy(&mounted, &cat(&mounted), &holder.pid);
        mounted.options = ":ro";
        refused_as_busy(&mounted, &cat(&mounted), &holder.pid);
        mounted.options = "";
        holder.let_go();
        assert_eq!(cat(&mounted).expect_exit(0).out(), "Hello, world!\n");
        mounted.check();
    }

    fn readers_share_and_keep_a_writer_out() {
        let mut mounted = Mounted::new(Kind::Basic);
        mounted.options = ":ro";
        let (one, two) = (Holder::start(&mounted), Holder::start(&mounted));
        assert_eq!(cat(&mounted).expect_exit(0).out(), "Hello, world!\n");
        mounted.options = "";
        let refused = cat(&mounted);
        assert_eq!(refused.status, "exit 1");
        assert!(refused.err().contains("Device or resource busy"), "{}", refused.err());
        one.let_go();
        two.let_go();
        cat(&mounted).expect_exit(0);
        mounted.check();
    }

    fn a_killed_holder_lets_go() {
        let mounted = Mounted::new(Kind::Basic);
        let mut holder = Holder::start(&mounted);
        holder.child.kill().expect("our own child");
        holder.child.wait().expect("our own child");
        cat(&mounted).expect_exit(0);
        mounted.check();
    }

    fn a_child_left_behind_keeps_the_image_as_long_as_it_lives() {
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program("daemon", include_str!("../programs/facts/daemon.c"));
        let mut child = mounted.run([program.as_os_str(), mounted.dir().as_ref(), mounted.host().as_ref()]).spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        child.wait().expect("our own child");
        assert_eq!(line, "ok\n");
        let meanwhile = cat(&mounted);
        assert!(meanwhile.err().contains("in use by pid"), "{}", meanwhile.err());
        kill_group(&child);
        cat(&mounted).expect_exit(0);
        mounted.check();
    }

    fn a_program_that_touches_no_mount_boots_nothing() {
        let mounted = Mounted::new(Kind::Basic);
        let (native, through) = (lazy(&mounted, false), lazy(&mounted, true));
        assert_eq!(through[0].1, 1, "threads before the first touch");
        let before = through[0].0 - native[0].0;
        assert!(before <= 1536, "{before} KiB over native before the first touch");
        let after = through[1].0 - native[1].0;
        assert!(after <= 8 * 1024, "{after} KiB over native with a mount in use");
        // A busy image shows that /bin/true under the same preload never opened it.
        let holder = Holder::start(&mounted);
        let untouched = mounted.run(["true"]).output();
        assert_eq!((untouched.status.as_str(), untouched.err().as_str()), ("exit 0", ""));
        holder.let_go();
        mounted.check();
    }

    fn several_mounts_in_one_program() {
        let (one, two) = (Mounted::new(Kind::Basic), Mounted::new(Kind::Empty));
        let mounts = format!("{}\n{};none:/tmp/stowaway-scratch,type=tmpfs", one.fixture.mount(""), two.fixture.mount(""));
        let run = |words: &[&str]| {
            one.preload(Run::new(words.iter().map(|word| word.to_string()))).env("STOWAWAY_MOUNT", &mounts).output()
        };
        let (a, b) = (one.dir(), two.dir());
        run(&["cp", "-a", &format!("{a}/dir"), &b]).expect_exit(0);
        run(&["mv", &format!("{a}/hello.txt"), &format!("{b}/moved")]).expect_exit(0);
        let script = format!("echo x > /tmp/stowaway-scratch/f; read y < /tmp/stowaway-scratch/f; echo $y; echo > {a}/a; echo > {b}/b");
        assert_eq!(run(&["bash", "-c", &script]).expect_exit(0).out(), "x\n");
        one.check();
        two.check();
        assert_eq!(two.content("moved"), b"Hello, world!\n");
        assert_eq!(two.content("dir/a"), b"file a\n");
        assert!(!one.has("hello.txt") && one.has("a") && two.has("b"));
        assert!(!std::path::Path::new("/tmp/stowaway-scratch").exists());
    }

    fn a_mount_inside_a_mount() {
        let (outer, inner) = (Mounted::new(Kind::Basic), Mounted::new(Kind::Basic));
        let nested = format!("{}/emptydir", outer.dir());
        let mounts = format!("{}\n{}:{nested}", outer.fixture.mount(""), inner.fixture.image.display());
        let outcome = outer.preload(Run::new(["cat", &format!("{nested}/hello.txt")])).env("STOWAWAY_MOUNT", mounts).output();
        // Either both serve, or the setting is refused with a line that says so; never the wrong file silently.
        if outcome.status != "exit 0" {
            assert!(our_lines(&outcome).iter().any(|line| line.contains("overlap")), "{}", outcome.err());
        }
    }

    fn twenty_programs_at_once() {
        let mounted = Mounted::new(Kind::Basic);
        let copy = |number: usize| {
            let (from, to) = (format!("{}/big.dat", mounted.dir()), format!("{}/copy{number}", mounted.dir()));
            mounted.run(["cp", &from, &to]).output()
        };
        let done: Vec<Outcome> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..20).map(|number| scope.spawn(move || copy(number))).collect();
            running.into_iter().map(|run| run.join().expect("a run")).collect()
        });
        mounted.check();
        let whole = mounted.content("big.dat");
        for (number, outcome) in done.iter().enumerate() {
            match outcome.status.as_str() {
                "exit 0" => assert!(mounted.content(&format!("copy{number}")) == whole, "copy {number}"),
                _ => assert!(outcome.err().contains("Device or resource busy") && outcome.err().contains("in use by"), "{}", outcome.err()),
            }
        }
        assert!(done.iter().any(|outcome| outcome.status == "exit 0"), "nobody got the image");
    }

    fn open_files_survive_exec() {
        let mounted = Mounted::new(Kind::Basic);
        // Flags, offsets, and that two descriptors are one open file.
        let script = format!(
            "cd {}; exec 3<dir/a; read -N 2 x <&3; printf '%s\n' 1 2 3 >new; exec 4>>new 5>both 6>&5; \
             exec bash -c 'read y <&3; echo $y; echo 4 >&4; echo one >&5; echo two >&6; echo three >&5; \
             exec 3<&- 4>&- 5>&- 6>&-; exec cat new both'",
            mounted.dir()
        );
        let outcome = mounted.run(["bash", "-c", &script]).output();
        assert_eq!(outcome.err(), "");
        assert_eq!(outcome.out(), "le a\n1\n2\n3\n4\none\ntwo\nthree\n");
        mounted.check();
    }

    fn redirections_of_commands() {
        let mounted = Mounted::new(Kind::Basic);
        let script = format!(
            "cd {}; seq 3 >numbers; sort -r <numbers >sorted; ls missing >>sorted 2>&1; ls -d dir >>sorted; cat sorted",
            mounted.dir()
        );
        let outcome = mounted.run(["bash", "-c", &script]).output();
        assert_eq!(outcome.err(), "");
        let missing = "ls: cannot access 'missing': No such file or directory";
        assert_eq!(outcome.out(), format!("3\n2\n1\n{missing}\ndir\n"));
        mounted.check();
    }

    fn an_open_file_that_is_shared_survives_exec() {
        let mounted = Mounted::new(Kind::Basic);
        let script = format!("exec 3<{}/hello.txt; cat <&3; echo status $?; cat <&3; exec cat <&3", mounted.dir());
        let outcome = mounted.run(["bash", "-c", &script]).output();
        assert_eq!((outcome.out(), outcome.err()), ("Hello, world!\nstatus 0\n".into(), String::new()));
        mounted.check();
    }

    fn exec_in_a_row() {
        let mounted = Mounted::new(Kind::Basic);
        let script = format!("cd {}/dir; read x < a; exec bash -c 'read y < b; pwd; exec cat sub/c'", mounted.dir());
        let outcome = mounted.run(["bash", "-c", &script]).output();
        assert_eq!(outcome.err(), "");
        assert_eq!(outcome.out(), format!("{}/dir\nc\n", mounted.dir()));
        mounted.check();
    }

}
