// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway run` loads programs itself: they find everything as if the host had executed them, and every call is
//! caught from the first one on, however they are linked.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use stowaway_tests::fixture::{tool, Kind, Side};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::{everyone, user};

const HELLO: &str = "Hello, world!\n";

/// How programs are linked: a name, the compiler, its options.
const LINKS: [(&str, &str, &[&str]); 9] = [
    ("pie", "cc", &[]),
    ("fixed", "cc", &["-no-pie"]),
    ("static", "cc", &["-static"]),
    ("static-pie", "cc", &["-static-pie"]),
    ("aligned", "cc", &["-Wl,-z,max-page-size=0x200000,-z,common-page-size=0x200000"]),
    (
        "aligned-static-pie",
        "cc",
        &["-static-pie", "-Wl,-z,max-page-size=0x200000,-z,common-page-size=0x200000"],
    ),
    ("one-segment", "cc", &["-Wl,-z,noseparate-code"]),
    ("musl", "musl-gcc", &[]),
    ("musl-static", "musl-gcc", &["-static"]),
];

fn has(program: &str) -> bool {
    let found = ["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    if !found {
        user::note(&format!("{program} is not installed: what is made by it is not tested"));
    }
    found
}

/// Compiles a program of `programs/` in one way.
fn link(mounted: &Mounted, source: &str, link: &(&str, &str, &[&str])) -> PathBuf {
    let base = mounted.fixture.base.path();
    let (text, program) = (base.join(format!("{}.c", link.0)), base.join(link.0));
    fs::write(&text, source).expect("a source file");
    let mut words = vec!["-O1".as_ref(), "-w".as_ref(), "-o".as_ref(), program.as_os_str(), text.as_os_str()];
    words.extend(link.2.iter().map(std::ffi::OsStr::new));
    tool(link.1, &words);
    program
}

/// A command through `stowaway run`, with the image mounted.
fn loaded<S: AsRef<std::ffi::OsStr>>(mounted: &Mounted, words: &[S]) -> Run {
    let mount = mounted.fixture.mount(mounted.options);
    let command = mounted.artifacts.command.clone().into_os_string();
    let mut all = vec![command, "run".into(), "--mount".into(), mount.into(), "--".into()];
    all.extend(words.iter().map(|word| word.as_ref().into()));
    beside(mounted, Run::new(all))
}

fn beside(mounted: &Mounted, mut run: Run) -> Run {
    run.cwd = Some(mounted.fixture.host(Side::Image));
    run
}

/// What differs is shown line by line: whole outputs are long.
#[track_caller]
fn same(what: &str, native: &Outcome, loaded: &Outcome) {
    for (a, b) in native.out().lines().zip(loaded.out().lines()) {
        assert_eq!(a, b, "{what}: natively, and loaded");
    }
    assert_eq!(native.out().len(), loaded.out().len(), "{what}");
    assert_eq!((&native.status, loaded.err().as_str()), (&loaded.status, ""), "{what}");
}

/// Runs a program natively and loaded, with the same odd surroundings.
#[track_caller]
fn compare(mounted: &Mounted, program: &Path, arguments: &[&str]) -> Outcome {
    let around = |run: Run| {
        let run = run.env("MALLOC_ARENA_MAX", "1").env("LD_BIND_NOW", "1").env("EMPTY", "");
        run.env("STOWAWAY_TEST_X", "of the user").env("GLIBC_TUNABLES", "glibc.malloc.check=0")
    };
    let words: Vec<&str> = [&[program.to_str().expect("a name")], arguments].concat();
    let native = around(beside(mounted, Run::new(words.clone()))).output();
    let outcome = around(loaded(mounted, &words)).output();
    same(&program.display().to_string(), &native, &outcome);
    outcome
}

fn executable(path: &Path, text: &[u8]) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

everyone! {
    fn a_program_finds_everything_as_natively() {
        let mounted = Mounted::new(Kind::Basic);
        for way in LINKS.iter().filter(|way| has(way.1)) {
            let program = link(&mounted, include_str!("../programs/helpers/initial.c"), way);
            let outcome = compare(&mounted, &program, &["one", "", "two words"]);
            assert_eq!(outcome.status, "exit 7");
            assert!(outcome.out().contains("\nvariable LD_BIND_NOW=1\n"), "{}", outcome.out());
            assert!(outcome.out().contains("the host's copy: ") && !outcome.out().contains("same 0"), "{}", outcome.out());
        }
    }

    fn memory_is_as_the_file_says() {
        let mounted = Mounted::new(Kind::Basic);
        for way in LINKS.iter().filter(|way| has(way.1)) {
            let program = link(&mounted, include_str!("../programs/helpers/mapped.c"), way);
            assert!(compare(&mounted, &program, &[]).out().ends_with("ok\n"), "{}", way.0);
        }
        let way = ("on-stack", "cc", &["-DCODE_ON_STACK", "-Wl,-z,execstack"][..]);
        let program = link(&mounted, include_str!("../programs/helpers/mapped.c"), &way);
        assert!(compare(&mounted, &program, &[]).out().contains("code on the stack 11\n"));
    }

    fn every_call_is_caught_however_it_is_linked() {
        let mounted = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", mounted.dir());
        let source = "#include <stdio.h>\nint main(int c, char **v) { char t[99]; FILE *f = fopen(v[1], \"r\"); \
                      return !f || !fgets(t, 99, f) || fputs(t, stdout) < 0; }\n";
        for way in LINKS.iter().filter(|way| has(way.1)) {
            let program = link(&mounted, source, way);
            let outcome = loaded(&mounted, &[program.as_os_str(), file.as_ref()]).output();
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (HELLO, ""), "{}", way.0);
        }
        if has("busybox") {
            let script = format!("cat {file}; /bin/cat {file}; ls {} | /bin/grep hello", mounted.dir());
            let outcome = loaded(&mounted, &["busybox", "sh", "-c", &script]).output();
            assert_eq!((outcome.out(), outcome.err()), (format!("{HELLO}{HELLO}hello.txt\n"), String::new()));
        }
        mounted.check();
    }

    fn threads_of_another_libc() {
        if !has("musl-gcc") {
            return;
        }
        let mounted = Mounted::new(Kind::Basic);
        let source = include_str!("../programs/helpers/readers.c");
        for way in &LINKS[2..] {
            if has(way.1) {
                let program = link(&mounted, source, way);
                let outcome = loaded(&mounted, &[program.as_os_str(), mounted.dir().as_ref()]).output();
                assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("ok\n", ""), "{}", way.0);
            }
        }
        mounted.check();
    }

    fn a_go_program() {
        if !has("go") {
            return;
        }
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path();
        let (text, program) = (base.join("main.go"), base.join("gopher"));
        fs::write(&text, include_str!("../programs/helpers/gopher.go")).expect("a source file");
        // Its home is where it keeps what it compiled.
        let build = Run::new(["go", "build", "-o", program.to_str().unwrap(), text.to_str().unwrap()]);
        let mut build = build.env("HOME", base).env("GO111MODULE", "off").env("GOFLAGS", "-p=2");
        build.deadline = Some(std::time::Duration::from_secs(240));
        build.output().expect_exit(0);
        let outcome = loaded(&mounted, &[program.as_os_str(), mounted.dir().as_ref()]).output();
        assert_eq!(outcome.out(), format!("a child\nok {}\n", program.display()), "{}", outcome.err());
        mounted.check();
    }

    fn a_library_on_the_image_is_loaded_before_any_constructor() {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path();
        let library = base.join("libearly.so");
        fs::write(base.join("early.c"), "int early(void) { return 42; }\n").expect("a source file");
        let text = base.join("early.c");
        tool("cc", &["-shared".as_ref(), "-fPIC".as_ref(), "-o".as_ref(), library.as_os_str(), text.as_os_str()]);
        let options = ["-L", base.to_str().unwrap(), "-learly"];
        let program = link(&mounted, "int early(void);\nint main(void) { return early(); }\n", &("early", "cc", &options));
        loaded(&mounted, &["cp".as_ref(), library.as_os_str(), mounted.dir().as_ref()]).output().expect_exit(0);
        let run = loaded(&mounted, &[&program]).env("LD_LIBRARY_PATH", mounted.dir());
        assert_eq!((run.output().status.as_str(), run.output().err().as_str()), ("exit 42", ""));
        mounted.check();
    }

    fn a_program_on_the_image() {
        let mounted = Mounted::new(Kind::Basic);
        let program = link(&mounted, include_str!("../programs/helpers/initial.c"), &LINKS[0]);
        let there = format!("{}/program", mounted.dir());
        let script = format!("cp {} {there}; printf '#!{there} x\\n' >{there}.sh; chmod 755 {there}.sh", program.display());
        loaded(&mounted, &["sh", "-c", &script]).output().expect_exit(0);
        for name in [there.clone(), format!("{there}.sh")] {
            for words in [&[name.as_str(), "last"][..], &["sh", "-c", "exec \"$@\"", "sh", &name, "last"]] {
                let outcome = loaded(&mounted, words).output();
                assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 7", ""), "{words:?}");
                let lines = [format!("execfn {name}, "), format!("\nlink {there} "), "\nargument last\n".to_string()];
                for line in lines {
                    assert!(outcome.out().contains(&line), "{line} of {words:?} in {}", outcome.out());
                }
                assert!(!outcome.out().contains("another file"), "{}", outcome.out());
            }
        }
        mounted.check();
    }

    fn exec_says_what_the_host_says() {
        let mounted = Mounted::new(Kind::Basic);
        let place = mounted.fixture.base.path().join("x");
        fs::create_dir(&place).expect("a directory");
        let shows = "#include <stdio.h>\n#include <sys/auxv.h>\n#include <sys/prctl.h>\n#include <unistd.h>\n\
                     int main(int c, char **v) { char n[17] = \"\", e[4096] = \"\"; prctl(PR_GET_NAME, n); \
                     readlink(\"/proc/self/exe\", e, 4095); printf(\"%s %s %s\", (char *)getauxval(AT_EXECFN), n, e); \
                     for (int i = 0; i < c; i++) printf(\" %s\", v[i]); puts(\"\"); return c; }\n";
        let good = link(&mounted, shows, &LINKS[0]);
        let bytes = fs::read(&good).expect("a program");
        fs::copy(link(&mounted, shows, &LINKS[2]), place.join("static")).expect("a copy");
        let interpreter = |name: &str, path: &str| {
            let option = format!("-Wl,--dynamic-linker={path}");
            fs::copy(link(&mounted, shows, &("odd", "cc", &[&option])), place.join(name)).expect("a copy");
        };
        interpreter("no-interpreter", "/no/such");
        interpreter("text-interpreter", "/etc/passwd");
        interpreter("directory-interpreter", "/");
        executable(&place.join("text"), b"echo text\n");
        executable(&place.join("empty"), b"");
        executable(&place.join("cut"), &bytes[..100]);
        let changed = |name: &str, at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            executable(&place.join(name), &bytes);
        };
        changed("object", 16, 1);
        changed("odd-class", 4, 1);
        changed("many-headers", 57, 0xff);
        changed("odd-headers", 54, 7);
        fs::copy(&good, place.join("s0")).expect("a copy");
        for i in 1..8 {
            let before = place.join(format!("s{}", i - 1));
            executable(&place.join(format!("s{i}")), format!("#!{} a{i} b \n", before.display()).as_bytes());
        }
        executable(&place.join("lost"), b"#!/no/such\n");
        executable(&place.join("nameless"), b"#! \n");
        executable(&place.join("long"), &[&b"#!/"[..], &[b'x'; 300]].concat());
        executable(&place.join("circle"), format!("#!{}/circle\n", place.display()).as_bytes());
        fs::write(place.join("plain"), &bytes).expect("a file");
        symlink(place.join("s1"), place.join("link")).expect("a link");
        let mut files: Vec<_> = fs::read_dir(&place).expect("a directory").map(|e| e.unwrap().path()).collect();
        files.sort();
        files.extend(["none", "text/x", "s0/"].map(|name| place.join(name)));
        files.extend([place.clone(), "/dev/null".into(), "/proc/self/exe".into()]);
        let program = mounted.program("execs", include_str!("../programs/helpers/execs.c"));
        let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let lines = compare(&mounted, &program, &files).out().lines().count();
        assert!(lines > 150, "{lines}");
    }

    fn what_cannot_be_loaded_runs_untouched_with_a_line() {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path();
        let program = if user::is_root() {
            let program = base.join("setuid");
            fs::copy("/bin/true", &program).expect("a copy");
            std::os::unix::fs::chown(&program, Some(1000), None).expect("chown");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("chmod");
            vec![program.display().to_string()]
        } else {
            vec!["/usr/bin/su".to_string(), "--version".to_string()]
        };
        let by_shell: Vec<String> =
            [&["sh", "-c", "\"$@\"; :", "sh"].map(String::from)[..], &program].concat();
        for words in [&program, &by_shell] {
            let outcome = loaded(&mounted, words).output();
            let lines = our_lines(&outcome);
            assert_eq!((outcome.status.as_str(), lines.len()), ("exit 0", 1), "{words:?}: {}", outcome.err());
            assert!(lines[0].contains(&program[0]) && lines[0].contains("setuid"), "{lines:?}");
        }
        let secret = base.join("secret");
        fs::copy("/bin/true", &secret).expect("a copy");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o111)).expect("chmod");
        let outcome = loaded(&mounted, &[&secret]).output();
        let lines = our_lines(&outcome);
        // Root may read anything.
        assert_eq!((outcome.status.as_str(), lines.len()), ("exit 0", usize::from(!user::is_root())), "{lines:?}");
    }

    fn an_address_that_is_taken() {
        let mounted = Mounted::new(Kind::Basic);
        // In the midst of the library, where the host maps it when addresses are not random: below the stack, downwards.
        let options = ["-static", "-nostdlib", "-Wl,--build-id=none,-Ttext-segment=0x7ffff7000000"];
        let source = "__asm__(\".globl _start\\n_start: mov $60, %eax\\nmov $3, %edi\\nsyscall\");\n";
        let program = link(&mounted, source, &("there", "cc", &options));
        let fixed = |run: Run| {
            let mut words = vec!["setarch".into(), "-R".into()];
            words.extend(run.words.clone());
            Run { words, ..run }
        };
        assert_eq!(fixed(Run::new([&program])).output().status, "exit 3");
        let outcome = fixed(loaded(&mounted, &[&program])).output();
        assert_eq!(outcome.status, "exit 126", "{}", outcome.err());
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("addresses are taken"), "{}", outcome.err());
        assert_eq!(loaded(&mounted, &[&program]).output().status, "exit 3");
    }

    fn the_library_by_hand_says_what_it_is_for() {
        let mounted = Mounted::new(Kind::Basic);
        let outcome = Run::new([&mounted.artifacts.library]).output();
        assert_eq!(outcome.status, "exit 125");
        assert!(our_lines(&outcome).len() == 1 && outcome.err().contains("stowaway run"), "{}", outcome.err());
    }

    fn another_root() {
        if !user::is_root() {
            return user::note("another_root: only root may change it");
        }
        let mounted = Mounted::new(Kind::Basic);
        // There is no libc, no dynamic loader and no /proc in that root: the library needs none.
        let source = "#include <unistd.h>\n#include <fcntl.h>\nint main(int n, char **words) { char text[99]; int file = open(words[1], O_RDONLY);\
            return write(1, text, read(file, text, 99)) < 0; }\n";
        let program = link(&mounted, source, &LINKS[2]);
        let base = mounted.fixture.base.path().display().to_string();
        let file = format!("{}/hello.txt", mounted.dir());
        let inside = file.strip_prefix(&base).expect("the mount is below the root");
        assert!(program.ends_with("static"));
        let outcome = loaded(&mounted, &["chroot", &base, "/static", inside]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (HELLO, ""));
        mounted.check();
    }

    fn one_run_inside_of_another() {
        let mounted = Mounted::new(Kind::Basic);
        let inner = Mounted::new(Kind::Basic);
        let file = format!("{}/hello.txt", inner.dir());
        let run = loaded(&inner, &["cat", &file]);
        let words: Vec<&str> = run.words.iter().map(|word| word.to_str().unwrap()).collect();
        let outcome = loaded(&mounted, &words).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (HELLO, ""));
    }
}
