// SPDX-License-Identifier: GPL-2.0-only
//! Instances with a name: programs that nobody of the family started use the same kernel.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{finish, kill_group, Outcome, Run, DEADLINE};

/// A fixture, and the directory of its user's instances.
struct Place {
    mounted: Mounted,
    runtime: PathBuf,
}

impl Place {
    fn new() -> Place {
        let mounted = Mounted::new(Kind::Basic);
        let runtime = mounted.fixture.base.path().join("runtime");
        fs::create_dir(&runtime).expect("a directory");
        Place { mounted, runtime }
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.replace('@', &self.mounted.dir())).collect()
    }

    fn named(&self, run: Run) -> Run {
        run.env("STOWAWAY_INSTANCE", "work").env("XDG_RUNTIME_DIR", &self.runtime)
    }

    /// A program that may start the instance.
    fn first(&self, words: &[&str]) -> Run {
        self.named(self.mounted.run(self.words(words)))
    }

    /// A program that only joins.
    fn later(&self, words: &[&str]) -> Run {
        self.named(self.mounted.preload(Run::new(self.words(words))))
    }

    /// A shell that starts the instance, and is told what to do.
    fn shell(&self) -> Shell {
        Shell::new(&self.first(&["sh", "-c", SERVE]))
    }
}

/// Does each line of its input, and says `done`.
const SERVE: &str = "echo done; while read -r line; do eval \"$line\"; echo done; done";

struct Shell {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Shell {
    #[track_caller]
    fn new(run: &Run) -> Shell {
        let mut child = run.clone().stdin("").spawn();
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut shell = Shell { child, lines };
        shell.answer();
        shell
    }

    #[track_caller]
    fn answer(&mut self) -> String {
        let mut said = String::new();
        while !said.ends_with("done\n") {
            if self.lines.read_line(&mut said).expect("a line") == 0 {
                self.child.stdin.take();
                let mut err = String::new();
                let _ = self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut err));
                panic!("the shell has ended: {said}{err}");
            }
        }
        said.strip_suffix("done\n").unwrap_or_default().into()
    }

    #[track_caller]
    fn does(&mut self, line: &str) -> String {
        writeln!(self.child.stdin.as_ref().expect("a pipe"), "{line}").expect("a shell that reads");
        self.answer()
    }

    /// The end of its input.
    fn ends(mut self) -> Outcome {
        self.child.stdin.take();
        finish(self.child, DEADLINE)
    }
}

#[track_caller]
fn says(run: Run, text: &str) {
    let outcome = run.output();
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (text, ""));
    outcome.expect_exit(0);
}

everyone! {
    fn a_later_program_sees_what_the_first_one_does() {
        let place = Place::new();
        let dir = place.mounted.dir();
        let mut shell = place.shell();
        shell.does(&format!("echo one >{dir}/file; exec 3>>{dir}/file; cd {dir}"));
        says(place.later(&["cat", "@/file"]), "one\n");
        says(place.later(&["sh", "-c", "echo two >>@/file; mkdir @/new; ls @/new"]), "");
        shell.does("echo three >&3; touch new/x");
        says(place.later(&["cat", "@/file"]), "one\ntwo\nthree\n");
        // A program that asks for the same as the instance has.
        says(place.first(&["ls", "@/new"]), "x\n");
        assert_eq!(shell.does("cat file; ls new"), "one\ntwo\nthree\nx\n");
        assert!(our_lines(&shell.ends()).is_empty());
        place.mounted.wait_until_free();
        place.mounted.check();
        assert_eq!(place.mounted.content("/file"), b"one\ntwo\nthree\n");
    }

    fn the_command_joins() {
        let place = Place::new();
        let dir = place.mounted.dir();
        let mut shell = place.shell();
        shell.does(&format!("cp /bin/cat {dir}/program; echo text >{dir}/file; chmod 755 {dir}"));
        // The program lies on a mount that only the instance names.
        let words = ["run", "--instance", "work", "--", "@/program", "@/file"];
        let mut all = vec![place.mounted.artifacts.command.display().to_string()];
        all.extend(place.words(&words));
        says(Run::new(all).env("XDG_RUNTIME_DIR", &place.runtime), "text\n");
        shell.ends();
        place.mounted.wait_until_free();
        place.mounted.check();
    }

    fn the_first_program_ends_before_the_others() {
        let place = Place::new();
        let shell = place.shell();
        let mut later = Shell::new(&place.later(&["sh", "-c", SERVE]));
        shell.ends();
        let dir = place.mounted.dir();
        assert_eq!(later.does(&format!("echo late >{dir}/late; cat {dir}/hello.txt {dir}/late")), "Hello, world!\nlate\n");
        says(place.later(&["cat", "@/late"]), "late\n");
        later.ends();
        place.mounted.wait_until_free();
        place.mounted.check();
        assert_eq!(place.mounted.content("/late"), b"late\n");
        // The name is free again.
        let outcome = place.later(&["cat", "@/late"]).output();
        assert!(outcome.err().contains("no instance work is running"), "{}", outcome.err());
        says(place.first(&["cat", "@/late"]), "late\n");
    }

    fn programs_that_start_at_the_same_moment() {
        let place = Place::new();
        for round in 0..6 {
            let script = format!("echo $$ >>@/all{round}; sleep 0.05");
            let started: Vec<Child> = (0..8).map(|_| place.first(&["sh", "-c", &script]).spawn()).collect();
            for child in started {
                assert_eq!(finish(child, DEADLINE).expect_exit(0).err(), "");
            }
            place.mounted.wait_until_free();
            let all = place.mounted.content(&format!("/all{round}"));
            assert_eq!(all.iter().filter(|&&byte| byte == b'\n').count(), 8);
        }
        place.mounted.check();
    }

    fn what_an_instance_is_not() {
        let place = Place::new();
        let complains = |run: Run, why: &str| {
            let err = run.output().err();
            assert!(err.contains(why), "no `{why}` in: {err}");
        };
        complains(place.later(&["true"]), "no instance work is running");
        let shell = place.shell();
        let other = Run::new(["true"]).env("STOWAWAY_MOUNT", "/tmp/other.img:/mnt/other");
        complains(place.named(place.mounted.preload(other)), "has other settings");
        complains(place.later(&["true"]).env("STOWAWAY_NET", "lo"), "has other settings");
        complains(place.later(&["true"]).env("STOWAWAY_KEEPER", "no"), "has a keeper");
        complains(place.later(&["true"]).env("STOWAWAY_INSTANCE_", "x"), "STOWAWAY_INSTANCE_");
        shell.ends();
        // A directory that others can write.
        let mode = |mode| fs::set_permissions(place.runtime.join("stowaway"), Permissions::from_mode(mode)).expect("our own");
        mode(0o777);
        complains(place.first(&["true"]), "is no directory of this user's alone");
        mode(0o700);
        says(place.first(&["true"]), "");
        place.mounted.wait_until_free();
        place.mounted.check();
    }

    fn an_instance_whose_processes_were_killed() {
        let place = Place::new();
        let dir = place.mounted.dir();
        for round in 0..5 {
            let mut shell = place.shell();
            shell.does(&format!("echo {round} >{dir}/round; exec 9<{dir}/hello.txt; flock 9"));
            let mut later = Shell::new(&place.later(&["sh", "-c", SERVE]));
            assert_eq!(later.does(&format!("flock -n {dir}/hello.txt true || echo locked")), "locked\n");
            kill_group(&shell.child);
            // What the killed program had locked is free.
            later.does(&format!("flock {dir}/hello.txt true; cat {dir}/round"));
            kill_group(&later.child);
            for mut shell in [shell, later] {
                shell.child.wait().expect("our own child");
            }
            place.mounted.wait_until_free();
            place.mounted.check();
            assert_eq!(place.mounted.content("/round"), format!("{round}\n").as_bytes());
        }
    }

    fn one_network() {
        let place = Place::new();
        let server = "import socket\ns = socket.create_server(('127.0.0.1', 8080))\nprint('done', flush=True)\n\
            while True:\n c, _ = s.accept()\n d = c.recv(100)\n c.sendall(d.upper())\n c.close()\n if d == b'end': break\n";
        let client = "import socket, sys\nc = socket.create_connection(('127.0.0.1', 8080))\nc.sendall(sys.argv[1].encode())\nprint(c.recv(100).decode())\n";
        let run = place.named(place.mounted.preload(Run::new(["python3", "-c", server])));
        let server = Shell::new(&run.env("STOWAWAY_NET", "lo"));
        says(place.later(&["python3", "-c", client, "hello"]), "HELLO\n");
        says(place.later(&["python3", "-c", client, "end"]), "END\n");
        finish(server.child, DEADLINE).expect_exit(0);
    }
}
