// SPDX-License-Identifier: GPL-2.0-only
//! chroot(2): a mount outside of the new root is out of reach, one inside of it has a shorter path, and the new root may be in
//! a mount.

use std::path::Path;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{line_with, our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

/// Prints what each expression gives, or its errno; the first words are the arguments.
const PRINT: &str = "import os, sys, errno\nargs = sys.argv[1:]\nread = lambda path: open(path).read()\n\
    def say(*work):\n for one in work:\n  try: print(one())\n  except OSError as e: print(errno.errorcode[e.errno])\n\
    sys.stdout.reconfigure(line_buffering=True)\n";

/// Python in the mount and with it, as root of the mount.
fn as_root(mounted: &Mounted, script: &str, arguments: &[&str]) -> Outcome {
    let mount = mounted.fixture.mount("");
    let command = mounted.artifacts.command.display().to_string();
    let script = format!("{PRINT}{script}");
    let mut words =
        vec![command.as_str(), "run", "--as", "0", "--mount", &mount, "--", "python3", "-c", &script];
    words.extend(arguments);
    Run::new(words).output()
}

#[track_caller]
fn says(outcome: &Outcome, expected: &str) {
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (expected, ""));
}

/// A program with its libraries below a directory, at the paths that they have here.
fn copy_with_libraries(program: &str, to: &Path) {
    let listed = std::process::Command::new("ldd").arg(program).output().expect("ldd");
    let said = String::from_utf8_lossy(&listed.stdout).into_owned();
    let files = said.split_whitespace().filter(|word| word.starts_with('/')).chain([program]);
    for file in files {
        let copy = to.join(&file[1..]);
        std::fs::create_dir_all(copy.parent().expect("a directory")).expect("a directory");
        std::fs::copy(file, &copy).expect("a copy");
    }
}

everyone! {
    fn mounts_are_where_the_new_root_has_them() {
        if !user::is_root() {
            return user::note("mounts_are_where_the_new_root_has_them: only root may change the root of the host");
        }
        let mounted = Mounted::new(Kind::Basic);
        let (dir, host) = (mounted.dir(), mounted.host());
        let room = Path::new(&dir).parent().expect("a directory above").display().to_string();
        let run = |script: &str, root: &str| {
            let script = format!("{PRINT}{script}");
            mounted.run(["python3", "-c", &script, &dir, root]).output()
        };
        // Outside: not by its old name, not by what is left of the name; the program's own files stay open.
        let outside = "f = open(args[0] + '/hello.txt')\nos.chroot(args[1]); os.chdir('/')\n\
            say(lambda: read(args[0] + '/hello.txt'), lambda: open(args[0] + '/new', 'w'), lambda: os.stat('/elsewhere/hello.txt'), lambda: f.read(), \
            lambda: os.getcwd(), lambda: 'only' in os.listdir('/'), lambda: os.listdir(args[0]))\n\
            pid = os.fork()\nif not pid:\n say(lambda: read(args[0] + '/hello.txt')); os._exit(0)\nos.waitpid(pid, 0)";
        std::fs::write(format!("{host}/only"), "").expect("a file");
        says(&run(outside, &host), "ENOENT\nENOENT\nENOENT\nHello, world!\n\n/\nTrue\nENOENT\nENOENT\n");
        // Inside, used before or not; by a relative name, a link and `..`.
        let inside = "new = args[0][len(args[1]):]\nif len(args) > 2: os.stat(args[0])\nos.symlink(new + '/dir', args[1] + '/link')\n\
            os.chroot(args[1])\nsay(lambda: os.getcwd() == '/')\nos.chdir('/')\n\
            say(lambda: read(new + '/hello.txt'), lambda: read(new[1:] + '/dir/../hello.txt'), lambda: read('/link/a'), lambda: read('/link/../../../..' + new + '/hello.txt'), \
            lambda: read(args[0] + '/hello.txt'))\n\
            os.chdir(new + '/dir')\nsay(lambda: os.getcwd() == new + '/dir', lambda: read('a'), lambda: os.path.exists('/..' + new))\n\
            os.unlink('/link')\npid = os.fork()\nif not pid:\n say(lambda: os.getcwd() == new + '/dir', lambda: read(new + '/hello.txt')); os._exit(0)\nos.waitpid(pid, 0)";
        let expected = "False\nHello, world!\n\nHello, world!\n\nfile a\n\nHello, world!\n\nENOENT\nTrue\nfile a\n\nTrue\nTrue\nHello, world!\n\n";
        says(&run(inside, &room), expected);
        mounted.check();
    }

    fn programs_with_another_root() {
        if !user::is_root() {
            return user::note("programs_with_another_root: only root may change the root of the host");
        }
        let mounted = Mounted::new(Kind::Basic);
        let dir = mounted.dir();
        let room = Path::new(&dir).parent().expect("a directory above").to_path_buf();
        let new = format!("/{}", Path::new(&dir).file_name().expect("a name").to_string_lossy());
        for program in ["/bin/cat", "/bin/sh", &mounted.artifacts.library.display().to_string()] {
            copy_with_libraries(program, &room);
        }
        // The shell and its children are served, without /proc and without the library's path there.
        let script = format!("cd {new}/dir && cat a && cd .. && /bin/cat hello.txt && (/bin/cat {new}/hello.txt)");
        let outcome = mounted.run_by_command(["chroot", &room.display().to_string(), "/bin/sh", "-c", &script]).output();
        says(&outcome, "file a\nHello, world!\nHello, world!\n");
        mounted.check();
    }

    fn a_root_in_a_mount() {
        let mounted = Mounted::new(Kind::Basic);
        let dir = mounted.dir();
        let script = "host = open('/etc/passwd')\nos.symlink('/dir/a', args[0] + '/absolute'); os.chdir(args[0] + '/dir')\nos.chroot(args[0])\n\
            say(lambda: os.getcwd(), lambda: read('/hello.txt'), lambda: read('a'), lambda: read('../hello.txt'), lambda: read('/absolute'), lambda: read('../../../../absolute'), \
            lambda: read('/../hello.txt'), lambda: read(args[0] + '/hello.txt'), lambda: read('/etc/passwd'), lambda: open('/proc/self/mounts'), lambda: os.readlink('/absolute'))\n\
            os.chdir('/')\nsay(lambda: os.getcwd(), lambda: os.rmdir('/'), lambda: os.mkdir('/made'), lambda: os.rename('/made', '/renamed'), lambda: sorted(os.listdir('/renamed')), lambda: len(host.read()) > 1)\n\
            pid = os.fork()\nif not pid:\n say(lambda: os.getcwd(), lambda: read('/absolute'), lambda: read('/etc/passwd')); os._exit(0)\nos.waitpid(pid, 0)\n\
            os.chroot('/dir'); say(lambda: read('/a'), lambda: read('/hello.txt'), lambda: read('/../hello.txt'))";
        let outcome = as_root(&mounted, script, &[&dir]);
        let hello = "Hello, world!\n\n";
        says(&outcome, &format!("/dir\n{hello}file a\n\n{hello}file a\n\nfile a\n\n{hello}ENOENT\nENOENT\nENOENT\n/dir/a\n/\nEBUSY\nNone\nNone\n[]\nTrue\n/\nfile a\n\nENOENT\nfile a\n\nENOENT\nENOENT\n"));
        // From a directory of the host: a relative path goes on there, and an absolute link leads to the new root.
        std::os::unix::fs::symlink("/dir/a", format!("{}/link", mounted.host())).expect("a link");
        let script = "os.chdir(args[1]); os.chroot(args[0]); say(lambda: read('host.txt') != '', lambda: read('link'), lambda: os.getcwd().startswith('(unreachable)/'))\nos.chroot('.'); say(lambda: os.listdir('/') != [])";
        let outcome = as_root(&mounted, script, &[&dir, &mounted.host()]);
        let last = if user::is_root() { "True\n" } else { "" };
        assert!(outcome.out().starts_with("True\nfile a\n\n") && outcome.out().ends_with(last), "{} {}", outcome.out(), outcome.err());
        // Who may not.
        let script = format!("{PRINT}say(lambda: os.chroot(args[0]))");
        if !user::is_root() {
            says(&mounted.run(["python3", "-c", &script, &dir]).output(), "EPERM\n");
        }
        let outcome = mounted.run(["python3", "-c", &script, &dir]).env("STOWAWAY_SHARE", "no").output();
        assert_eq!(outcome.out(), "ENOSYS\n");
        line_with(&outcome, &["chroot", "ENOSYS"]);
        mounted.check();
    }

    fn programs_with_a_root_in_a_mount() {
        let mounted = Mounted::new(Kind::Basic);
        let dir = mounted.dir();
        let tree = mounted.fixture.base.path().join("tree");
        for program in ["/bin/sh", "/bin/cat", "/bin/ls", "/bin/chmod", "/usr/bin/env", "/bin/busybox"] {
            copy_with_libraries(program, &tree);
        }
        let mount = mounted.fixture.mount("");
        let command = mounted.artifacts.command.display().to_string();
        let script = "cp -r $0/. $1 && exec chroot $1 /bin/sh -c 'cat /dir/a; cd /dir && /bin/busybox pwd; ls /etc/passwd 2>&1; env -i /bin/sh -c \"/bin/cat ../hello.txt | /bin/cat\"; echo \"#!/bin/sh\necho script\" >/s; /bin/chmod +x /s; /s; echo \"echo plain\" >/p; /bin/chmod +x /p; /p; exec /bin/busybox cat /hello.txt'";
        let tree = tree.display().to_string();
        let outcome = Run::new([&command, "run", "--as", "0", "--mount", &mount, "--", "sh", "-c", script, &tree, &dir]).output();
        let expected = "file a\n/dir\nls: cannot access '/etc/passwd': No such file or directory\nHello, world!\nscript\nplain\nHello, world!\n";
        says(&outcome, expected);
        mounted.check();
        // A program with the library preloaded is executed by the host's loader, with the host's root: it is refused.
        if !Run::is_by_run() && user::is_root() {
            let outcome = mounted.run(["chroot", &dir, "/bin/cat", "/hello.txt"]).output();
            assert_ne!(outcome.status, "exit 0");
            assert!(our_lines(&outcome).iter().any(|line| line.contains("root in a mount")), "{}", outcome.err());
        }
    }
}
