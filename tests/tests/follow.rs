// SPDX-License-Identifier: GPL-2.0-only
//! Programs that a served program starts are served too, whatever environment they are given, unless that is not
//! wanted or not possible; then a line says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::{program, user};

const HELLO: &str = "Hello, world!\n";

/// Every way of starting a program with an environment that says nothing of us.
const WAYS: [&str; 12] = [
    "execve",
    "null",
    "replaced",
    "unset",
    "clearenv",
    "fexecve",
    "path-descriptor",
    "execveat",
    "vfork",
    "clone",
    "spawn",
    "thread",
];

fn started(mounted: &Mounted, way: &str, words: &[&str]) -> Run {
    let program =
        mounted.program("started", include_str!("../programs/helpers/started.c")).display().to_string();
    mounted.run([&[program.as_str(), way], words].concat())
}

/// The command, through `stowaway run`.
fn by_command(mounted: &Mounted, options: &[&str], words: &[&str]) -> Run {
    let command = mounted.artifacts.command.display().to_string();
    let mount = mounted.fixture.mount(mounted.options);
    let mut run = Run::new([&[&command, "run", "--mount", &mount], options, &["--"], words].concat());
    run.cwd = Some(mounted.fixture.host(Side::Image));
    run
}

#[track_caller]
fn says_hello(what: &str, outcome: &Outcome) {
    let got = (outcome.status.as_str(), outcome.out(), outcome.err());
    assert_eq!(got, ("exit 0", HELLO.to_string(), String::new()), "{what}");
}

/// One line that names the program and the reason, and the program ran on the host.
#[track_caller]
fn one_warning(outcome: &Outcome, name: &str, why: &str) {
    let lines = our_lines(outcome);
    assert_eq!(lines.len(), 1, "{}", outcome.err());
    assert!(lines[0].contains(name) && lines[0].contains(why), "no {name}, {why} in: {}", lines[0]);
}

everyone! {
    fn every_way_of_starting_a_program() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        for way in WAYS {
            says_hello(way, &started(&mounted, way, &["/bin/cat", &file]).output());
        }
        mounted.check();
    }

    fn children_of_children() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        let words = ["/usr/bin/env", "-i", "/bin/sh", "-c", "exec env -i cat \"$0\"", &file];
        says_hello("env -i in sh in env -i", &started(&mounted, "spawn", &words).output());
        let script = "exec -c cat \"$0\"";
        says_hello("bash's exec -c", &mounted.run(["bash", "-c", script, &file]).output());
        let python = "import subprocess, sys; subprocess.run(['/bin/cat', sys.argv[1]], env={}, check=True)";
        says_hello("python's subprocess", &mounted.run(["python3", "-c", python, &file]).output());
        mounted.check();
    }

    fn scripts_and_a_loader_run_by_hand() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        let script = mounted.fixture.base.path().join("script");
        fs::write(&script, "#!/bin/sh\nexec cat \"$1\"\n").expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("an executable script");
        let script = script.display().to_string();
        let loader = ["/lib64/ld-linux-x86-64.so.2", "/bin/cat", &file];
        for way in ["execve", "vfork", "spawn", "path-descriptor"] {
            if way != "path-descriptor" {
                says_hello(way, &started(&mounted, way, &[&script, &file]).output());
            }
            says_hello(way, &started(&mounted, way, &loader).output());
        }
        mounted.check();
    }

    fn the_environment_is_the_applications_otherwise() {
        let mounted = Mounted::new(Kind::Basic);
        let library = mounted.artifacts.library.display().to_string();
        let outcome = started(&mounted, "replaced", &["/usr/bin/env"]).output();
        let native = Run::new(["/usr/bin/env"]).output().out();
        if Run::is_by_run() {
            // Nothing of ours is to be seen at all.
            assert_eq!(outcome.out(), "LD_PRELOAD=libm.so.6 libdl.so.2\nA=1\n");
            return assert_eq!(mounted.run(["/usr/bin/env", "env"]).output().out(), native);
        }
        let preload = format!("LD_PRELOAD={library}:libm.so.6:libdl.so.2\n");
        let start = format!("{preload}STOWAWAY_LOG=error\nA=1\nSTOWAWAY_MOUNT=");
        assert!(outcome.out().starts_with(&start), "{}", outcome.out());
        assert_eq!(outcome.out().lines().count(), 4, "{}", outcome.out());
        // What it was given already is not there twice.
        let outcome = mounted.run(["/usr/bin/env", "env"]).output();
        let mut rest: Vec<_> = outcome.out().lines().filter(|l| !l.starts_with("STOWAWAY_")).map(String::from).collect();
        rest.retain(|line| *line != format!("LD_PRELOAD={library}"));
        assert_eq!(rest.join("\n") + "\n", native);
        assert_eq!(outcome.out().matches("STOWAWAY_MOUNT=").count(), 1);
    }

    fn relative_names_are_meant_from_the_first_directory() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        let mount = mounted.fixture.mount(mounted.options);
        let (image, path) = mount.split_once(':').expect("a mount");
        let image = std::path::Path::new(image);
        let name = image.file_name().expect("a name").to_string_lossy();
        let script = "cd / && cat \"$0\" && exec env -i cat \"$0\"";
        let mut run = Run::new(["sh", "-c", script, &file]).env("LD_PRELOAD", &mounted.artifacts.library);
        run = run.env("STOWAWAY_MOUNT", format!("{name}:{path}"));
        run.cwd = image.parent().map(Into::into);
        let outcome = run.output();
        let got = (outcome.status.as_str(), outcome.out(), outcome.err());
        assert_eq!(got, ("exit 0", HELLO.repeat(2), String::new()));
        // The library's own name likewise.
        let library = &mounted.artifacts.library;
        let name = format!("./{}", library.file_name().expect("a name").to_string_lossy());
        let mut run = Run::new(["sh", "-c", script, &file]).env("LD_PRELOAD", name).env("STOWAWAY_MOUNT", &mount);
        run.cwd = library.parent().map(Into::into);
        let outcome = run.output();
        let got = (outcome.status.as_str(), outcome.out(), outcome.err());
        assert_eq!(got, ("exit 0", HELLO.repeat(2), String::new()));
    }

    fn the_application_may_choose_for_its_children() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        let outcome = mounted.run(["sh", "-c", "STOWAWAY_MOUNT= cat \"$0\"", &file]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 1", ""), "{}", outcome.err());
    }

    fn not_followed_on_request() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        let script = "read line <\"$0\"; echo \"$line\"; env | grep -E '^(STOWAWAY|LD_PRELOAD)'; cat \"$0\"";
        let by_variable = mounted.run(["sh", "-c", script, &file]).env("STOWAWAY_FOLLOW", "no");
        for run in [by_variable, by_command(&mounted, &["--no-follow"], &["sh", "-c", script, &file])] {
            let outcome = run.output();
            assert_eq!(outcome.out(), HELLO, "the shell itself is served: {}", outcome.err());
            assert!(outcome.err().contains("No such file"), "{}", outcome.err());
            assert!(our_lines(&outcome).is_empty(), "{}", outcome.err());
        }
        mounted.check();
    }

    fn a_setuid_child_is_left_alone() {
        let mounted = Mounted::new(Kind::Basic);
        let path = if user::is_root() {
            let path = mounted.fixture.base.path().join("setuid");
            fs::copy("/bin/true", &path).expect("a copy");
            std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("another owner");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("the bit");
            path.display().to_string()
        } else {
            "/usr/bin/passwd".to_string()
        };
        let outcome = started(&mounted, "spawn", &[&path, "--help"]).output();
        assert_eq!(outcome.status, "exit 0", "{}", outcome.err());
        one_warning(&outcome, &path, "setuid");
        // Nothing to lose: nothing to say.
        let quiet = mounted.preload(Run::new(["sh", "-c", "\"$0\" --help >/dev/null; :", &path]));
        let log = mounted.fixture.base.path().join("stats");
        assert_eq!(quiet.env("STOWAWAY_STATS", &log).output().err(), "");
        assert!(fs::read_to_string(log).expect("what was counted").contains("execve"));
    }

    fn a_setuid_file_of_a_mount_says_that_it_gives_nothing() {
        let mounted = Mounted::new(Kind::Basic);
        if !user::is_root() {
            return user::note("a_setuid_file_of_a_mount: only root can give a file away");
        }
        let script = "cp /usr/bin/id $0/id && chown 65534 $0/id && chmod 4755 $0/id && $0/id -u; exec $0/id -u";
        let outcome = mounted.run(["sh", "-c", script, &mounted.dir()]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "0\n0\n"));
        let lines = our_lines(&outcome);
        assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("setuid")), "{lines:?}");
    }

    fn capabilities_of_files() {
        let mounted = Mounted::new(Kind::Basic);
        if !user::is_root() {
            return user::note("capabilities_of_files: only root can give some to a file");
        }
        let path = mounted.fixture.base.path().join("capable");
        fs::copy("/bin/cat", &path).expect("a copy");
        // struct vfs_cap_data, revision 2: CAP_NET_BIND_SERVICE permitted and effective.
        let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        xattr::set(&path, "security.capability", &value).expect("capabilities");
        let path = path.display().to_string();
        // Root has them all anyway.
        let file = format!("{}/hello.txt", mounted.dir());
        says_hello("root", &started(&mounted, "spawn", &[&path, &file]).output());
        let become_nobody = ["/usr/bin/setpriv", "--reuid=65534", "--clear-groups", &path, "/dev/null"];
        let outcome = started(&mounted, "spawn", &become_nobody).output();
        assert_eq!(outcome.status, "exit 0", "{}", outcome.err());
        one_warning(&outcome, &path, "capabilities");
    }

    fn children_for_another_machine() {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path();
        let foreign = program::compile(base, "foreign", "int main(void) { return 0; }\n");
        let mut bytes = fs::read(&foreign).expect("a program");
        let foreign = foreign.display().to_string();
        let mut started_as = |machine: u8| {
            bytes[18] = machine;
            fs::write(&foreign, &bytes).expect("a program for another machine");
            started(&mounted, "spawn", &[&foreign]).output()
        };
        const EM_386: u8 = 3;
        const EM_AARCH64: u8 = 0xb7;
        // The host may have a 32-bit half. (It does not start this file: what counts is what is said before.)
        let lines = our_lines(&started_as(EM_386));
        assert!(lines[0].contains(&foreign) && lines[0].contains("another machine"), "{lines:?}");
        // A program for a machine that is not emulated fails, as without us, and there is nothing to warn of.
        let outcome = started_as(EM_AARCH64);
        match std::path::Path::new("/proc/sys/fs/binfmt_misc/status").exists() {
            true => one_warning(&outcome, &foreign, "another machine"),
            false => assert!(our_lines(&outcome).is_empty(), "{}", outcome.err()),
        }
    }

    fn static_children() {
        let mounted = Mounted::new(Kind::Basic);
        let source = include_str!("../programs/helpers/started.c");
        let fixed = program::compile_static(mounted.fixture.base.path(), "fixed", source).display().to_string();
        let file = format!("{}/hello.txt", mounted.dir());
        for way in WAYS.into_iter().filter(|way| !["unset", "clearenv"].contains(way)) {
            says_hello(way, &started(&mounted, way, &[&fixed, way, "/bin/cat", &file]).output());
            says_hello(way, &started(&mounted, "execve", &[&fixed, "execve", &fixed, way, "/bin/cat", &file]).output());
        }
        let reader = "#include <fcntl.h>\n#include <unistd.h>\nint main(int c, char **v) {\n\
                      char text[64]; long n = read(open(v[1], O_RDONLY), text, sizeof(text)); return write(1, text, n) != n; }\n";
        let reader = program::compile_static(mounted.fixture.base.path(), "reader", reader).display().to_string();
        says_hello("a static reader", &started(&mounted, "spawn", &[&reader, &file]).output());
        says_hello("in a shell", &mounted.run(["sh", "-c", "\"$0\" \"$1\"; :", &reader, &file]).output());
        mounted.check();
    }
}
