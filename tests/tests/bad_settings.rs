// SPDX-License-Identifier: GPL-2.0-only
//! Settings that are wrong, programs that cannot take the library, hosts that lack something: a clear line, exit 125
//! from `stowaway run`; under plain preload the line and no mount.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::{program, user};

/// Names and values that are refused, with a word that the line must have besides the name.
const WRONG: [(&str, &str, &str); 41] = [
    ("STOWAWAY_MUONT", "x:/y", "STOWAWAY_MOUNT"),
    ("STOWAWAY_FOO", "1", "STOWAWAY_FOO"),
    ("STOWAWAY_MOUNT", "disk.img", "PATH"),
    ("STOWAWAY_MOUNT", "disk.img:relative/path", "relative"),
    ("STOWAWAY_MOUNT", "disk.img:", "PATH"),
    ("STOWAWAY_MOUNT", ":/mnt/x", "IMAGE"),
    ("STOWAWAY_MOUNT", "disk.img:/", "/"),
    ("STOWAWAY_MOUNT", "disk.img:/mnt/../x", ".."),
    ("STOWAWAY_MOUNT", "disk.img:/mnt/x:rx", "rx"),
    ("STOWAWAY_MOUNT", "disk.img:/mnt/x,type=ext5", "ext5"),
    ("STOWAWAY_MOUNT", "disk.img:/mnt/x,typo=ext4", "typo"),
    ("STOWAWAY_MOUNT", "disk.img:/mnt/x,opts=", "opts"),
    ("STOWAWAY_MOUNT", "none:/mnt/x", "none"),
    ("STOWAWAY_MOUNT", "/mnt/x/a.img:/mnt/x", "itself"),
    ("STOWAWAY_MOUNT", "a.img@9999999999999999999:/mnt/x", "offset"),
    ("STOWAWAY_MOUNT", "a.img:/mnt/x;b.img:/mnt/x", "two mounts"),
    ("STOWAWAY_MOUNT", "a.img:/mnt/x;a.img:/mnt/y", "twice"),
    ("STOWAWAY_MOUNT", "a.img:/mnt/x\\", "\\"),
    ("STOWAWAY_MEM", "lots", "lots"),
    ("STOWAWAY_MEM", "1M", "16M"),
    ("STOWAWAY_MEM", "999999G", "999999G"),
    ("STOWAWAY_NET", "tap0", "lo"),
    ("STOWAWAY_NET", "tap:tap0,ip=10.0.0.2", "BITS"),
    ("STOWAWAY_NET", "user,colour=red", "colour"),
    ("STOWAWAY_DNS", "example.org", "10.0.0.1"),
    ("STOWAWAY_DNS", "10.0.0.1", "network"),
    ("STOWAWAY_PUBLISH", "80", "8080:80"),
    ("STOWAWAY_SYSCTL", "kernel.x=1", "net.ipv4"),
    ("STOWAWAY_WG", "", "file"),
    ("STOWAWAY_WG", "wg0.conf", "network below"),
    ("STOWAWAY_NETEM", "delay 50", "50ms"),
    ("STOWAWAY_NETEM", "loss 1%", "network"),
    ("STOWAWAY_QDISC", "sfq", "fq_codel"),
    ("STOWAWAY_RATE", "fast", "10mbit"),
    ("STOWAWAY_NFT", "", "file"),
    ("STOWAWAY_AS", "me", "UID:GID"),
    ("STOWAWAY_AS", "0:", "UID:GID"),
    ("STOWAWAY_AS", "4294967295", "UID:GID"),
    ("STOWAWAY_LOG", "loud", "debug"),
    ("STOWAWAY_KERNEL_LOG", "", "STOWAWAY_KERNEL_LOG"),
    ("STOWAWAY_CONFIG", "/nonexistent/stowaway.toml", "/nonexistent/stowaway.toml"),
];

#[track_caller]
fn one_line_with(outcome: &Outcome, words: &[&str]) {
    let lines = our_lines(outcome);
    assert_eq!(lines.len(), 1, "{}", outcome.err());
    for word in words {
        assert!(lines[0].contains(word), "no {word} in: {}", lines[0]);
    }
    assert_eq!(outcome.err().lines().count(), 1, "{}", outcome.err());
}

fn stowaway(mounted: &Mounted, words: &[&str]) -> Run {
    let mut all = vec![mounted.artifacts.command.clone().into_os_string()];
    all.extend(words.iter().map(|word| word.into()));
    Run::new(all)
}

/// A settings file in the fixture's directory.
fn config(mounted: &Mounted, text: &str) -> String {
    let path = mounted.fixture.base.path().join("stowaway.toml");
    fs::write(&path, text).expect("a settings file");
    path.display().to_string()
}

everyone! {
    fn wrong_values_in_the_environment() {
        let mounted = Mounted::new(Kind::Empty);
        for (name, value, word) in WRONG {
            let outcome = mounted.preload(Run::new(["echo", "on the host"])).env(name, value).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "on the host\n"), "{name}={value}");
            one_line_with(&outcome, &[name, word]);
            let outcome = stowaway(&mounted, &["run", "--", "echo", "never"]).env(name, value).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{name}={value}: {}", outcome.err());
            one_line_with(&outcome, &[name, word]);
        }
    }

    fn wrong_values_on_the_command_line() {
        let mounted = Mounted::new(Kind::Empty);
        for (name, value, word) in WRONG.iter().skip(2) {
            if value.contains([';', '\n']) {
                continue;
            }
            let option = format!("--{}", name["STOWAWAY_".len()..].to_lowercase().replace('_', "-"));
            let outcome = stowaway(&mounted, &["run", &format!("{option}={value}"), "--", "echo", "never"]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{option}={value}: {}", outcome.err());
            let word = if *word == *name { &option } else { *word };
            assert!(outcome.err().contains(word), "{}", outcome.err());
        }
        let outcome = stowaway(&mounted, &["run", "--muont", "x", "--", "echo", "never"]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        assert!(outcome.err().contains("--muont"), "{}", outcome.err());
    }

    fn a_wrong_settings_file() {
        let mounted = Mounted::new(Kind::Empty);
        for (text, word) in [
            ("muont = []", "muont"), ("mem = \"lots\"", "mem"), ("mount = \"x:/y:ro:\"", "mount"), ("net = 7", "net"),
            ("this is no TOML", "stowaway.toml"), ("[deep]\nmem = \"64M\"", "deep"), ("mem = \"64M\"\nmem = \"32M\"", "duplicate"),
        ] {
            let path = config(&mounted, text);
            let outcome = mounted.preload(Run::new(["echo", "on the host"])).env("STOWAWAY_CONFIG", &path).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "on the host\n"), "{text}");
            one_line_with(&outcome, &[word]);
            let outcome = stowaway(&mounted, &["run", "--config", &path, "--", "echo", "never"]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{text}: {}", outcome.err());
            one_line_with(&outcome, &[word]);
        }
    }

    fn file_environment_and_options_in_turn() {
        let (a, b) = (Mounted::new(Kind::Basic), Mounted::new(Kind::Empty));
        let hello = format!("{}/hello.txt", a.dir());
        let path = config(&a, &format!("mount = [\"{}\"]\nmem = \"32M\"\nlog = \"error\"\n", a.fixture.mount(":ro")));
        assert_eq!(stowaway(&a, &["run", "--config", &path, "--", "cat", &hello]).output().expect_exit(0).out(), "Hello, world!\n");
        assert_eq!(stowaway(&a, &["run", "--", "cat", &hello]).env("STOWAWAY_CONFIG", &path).output().expect_exit(0).err(), "");
        let plain = a.preload(Run::new(["cat", &hello])).env("STOWAWAY_CONFIG", &path);
        assert_eq!(plain.output().expect_exit(0).out(), "Hello, world!\n");
        // The environment's mounts replace the file's, the options' replace both.
        let other = format!("{}:{}", b.fixture.image.display(), a.dir());
        let over = stowaway(&a, &["run", "--config", &path, "--", "ls", &a.dir()]).env("STOWAWAY_MOUNT", &other);
        assert_eq!(over.output().expect_exit(0).out(), "");
        let over = stowaway(&a, &["run", "--mount", &a.fixture.mount(""), "--", "cat", &hello]).env("STOWAWAY_MOUNT", &other);
        assert_eq!(over.output().expect_exit(0).out(), "Hello, world!\n");
    }

    fn nothing_of_ours_on_standard_output() {
        let mounted = Mounted::new(Kind::Basic);
        let hello = format!("{}/hello.txt", mounted.dir());
        let run = mounted.run(["cat", &hello]).env("STOWAWAY_LOG", "trace").env("STOWAWAY_KERNEL_LOG", "stderr");
        let outcome = run.output();
        assert_eq!(outcome.expect_exit(0).out(), "Hello, world!\n");
        assert!(outcome.err().contains("Linux version 6.1"), "the kernel's log: {}", outcome.err());
        let log = mounted.fixture.base.path().join("kernel.log");
        let outcome = mounted.run(["cat", &hello]).env("STOWAWAY_KERNEL_LOG", &log).output();
        assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""));
        assert!(fs::read_to_string(&log).expect("the kernel's log").contains("Linux version 6.1"));
        mounted.check();
    }

    fn without_the_standard_descriptors() {
        let mounted = Mounted::new(Kind::Basic);
        let (dir, host) = (mounted.dir(), mounted.host());
        let script = format!("exec 0<&- 1>&- 2>&-; exec 0<{dir}/hello.txt 1>{host}/out 2>{host}/err; read x; echo $x; exec 3<{dir}/dir/a; read -u 3 y; echo $y; ls -l /proc/self/fd >/dev/null");
        mounted.run(["bash", "-c", &script]).output().expect_exit(0);
        assert_eq!(fs::read_to_string(format!("{host}/out")).expect("its output"), "Hello, world!\nfile a\n");
        let script = format!("exec 0<&- 1>&- 2>&-; exec cp {dir}/big.dat {dir}/copied");
        mounted.run(["bash", "-c", &script]).output().expect_exit(0);
        mounted.check();
        assert!(mounted.content("copied") == mounted.content("big.dat"));
    }

    fn too_little_memory() {
        let mounted = Mounted::new(Kind::Basic);
        let script = format!("ulimit -v 65536; exec cat {}/hello.txt", mounted.dir());
        let outcome = mounted.run(["bash", "-c", &script]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 1", ""), "{}", outcome.err());
        assert!(outcome.err().contains("Cannot allocate memory"), "{}", outcome.err());
        assert_eq!(our_lines(&outcome).len(), 1, "{}", outcome.err());
        // The least that may be set is enough to work with.
        let big = format!("{}/big.dat", mounted.dir());
        let copy = format!("{}/copy", mounted.dir());
        mounted.run(["cp", &big, &copy]).env("STOWAWAY_MEM", "16M").output().expect_exit(0);
        mounted.check();
        assert!(mounted.content("copy") == mounted.content("big.dat"));
    }

    fn a_host_without_syscall_user_dispatch() {
        let mounted = Mounted::new(Kind::Basic);
        let nosud = mounted.program("nosud", include_str!("../programs/helpers/nosud.c"));
        let plain = mounted.program("plain", include_str!("../programs/helpers/plain.c"));
        let hello = format!("{}/hello.txt", mounted.dir());
        let outcome = mounted.run([nosud.as_os_str(), plain.as_os_str(), hello.as_ref()]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "Hello, world!\n"), "{}", outcome.err());
        let lines = our_lines(&outcome);
        // The filter's own exec is a process too: it has the dispatch still, the program behind it has not.
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].to_lowercase().contains("syscall user dispatch"), "{lines:?}");
        mounted.check();
    }

    fn a_static_program() {
        let mounted = Mounted::new(Kind::Basic);
        let fixed = program::compile_static(mounted.fixture.base.path(), "fixed", "int main(void) { return 0; }\n");
        let path = fixed.display().to_string();
        let mount = mounted.fixture.mount("");
        let outcome = stowaway(&mounted, &["run", "--preload", "--mount", &mount, "--", &path]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        one_line_with(&outcome, &["static"]);
        let outcome = stowaway(&mounted, &["run", "--mount", &mount, "--", &path]).output();
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        let doctor = stowaway(&mounted, &["doctor", &path]).output();
        assert_eq!(doctor.status, "exit 0", "{}", doctor.out());
        assert!(doctor.out().contains("static"), "{}", doctor.out());
    }

    fn a_setuid_program() {
        let mounted = Mounted::new(Kind::Basic);
        let path = if user::is_root() {
            // For root a program of root's is not special: one that becomes somebody else is.
            let path = mounted.fixture.base.path().join("setuid");
            fs::copy("/bin/true", &path).expect("a copy");
            std::os::unix::fs::chown(&path, Some(1000), None).expect("chown");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("chmod");
            path.display().to_string()
        } else {
            "/usr/bin/su".to_string()
        };
        let mount = mounted.fixture.mount("");
        let outcome = stowaway(&mounted, &["run", "--preload", "--mount", &mount, "--", &path]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        one_line_with(&outcome, &["setuid"]);
        let outcome = stowaway(&mounted, &["run", "--mount", &mount, "--", &path, "--version"]).output();
        assert_eq!(outcome.status, "exit 0", "{}", outcome.err());
        one_line_with(&outcome, &["setuid"]);
        let doctor = stowaway(&mounted, &["doctor", &path]).output();
        assert_eq!(doctor.status, "exit 1", "{}", doctor.out());
        assert!(doctor.out().contains("setuid"), "{}", doctor.out());
    }

    fn programs_that_are_not_there() {
        let mounted = Mounted::new(Kind::Empty);
        let mount = mounted.fixture.mount("");
        let run = |program: &str| stowaway(&mounted, &["run", "--mount", &mount, "--", program]).output();
        assert_eq!(run("nosuchprogram").status, "exit 127");
        assert_eq!(run("/nonexistent/program").status, "exit 127");
        assert_eq!(run("/etc/passwd").status, "exit 126");
        assert_eq!(run("/etc").status, "exit 126");
        assert_eq!(run("false").expect_exit(1).err(), "");
        mounted.check();
    }
}
