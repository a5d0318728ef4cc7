// SPDX-License-Identifier: GPL-2.0-only
//! Servers of images: how long they live, who gets the image, and what is left when somebody is killed.
#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use stowaway_tests::everyone;
use stowaway_tests::fixture::{check_image, Kind};
use stowaway_tests::held::Held;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{kill, wait_until, Run, DEADLINE};
use stowaway_tests::qcow2::{qemu_img, Qcow2};
use stowaway_tests::user;

/// Has a file of the mount open, says so, and goes on when it is told to.
const HOLDER: &str = "exec 3>$1/held; echo held; read line; echo written >&3; echo $line";

/// `stowaway serve`, until it is dropped.
struct Service {
    child: Child,
    socket: PathBuf,
}

impl Service {
    fn start(mounted: &Mounted, image: &Path, words: &[&str]) -> Service {
        let socket = mounted.fixture.base.path().join("service");
        let mut command = Command::new(&mounted.artifacts.command);
        command.arg("serve").arg(image).arg("--socket").arg(&socket).args(words);
        let child = command.stderr(Stdio::piped()).spawn().expect("the command");
        let end = Instant::now() + DEADLINE;
        while !socket.exists() {
            assert!(Instant::now() < end, "no socket");
            std::thread::sleep(Duration::from_millis(10));
        }
        Service { child, socket }
    }

    fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket.display())
    }

    /// Ends by a signal, with status 0, and leaves no socket.
    #[track_caller]
    fn end(mut self) {
        // SAFETY: kill takes two numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = wait_until(&mut self.child, Instant::now() + DEADLINE).expect("an end");
        assert_eq!((status.code(), status.signal()), (Some(0), None));
        assert!(!self.socket.exists());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// QEMU's client, with commands one after the other.
fn qemu_io(uri: &str, commands: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "raw"]);
    for one in commands {
        command.args(["-c", one]);
    }
    let done = command.arg(uri).stdin(Stdio::null()).output().expect("qemu-io");
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8_lossy(&said).into_owned())
}

everyone! {
    fn the_program_and_its_output_are_its_own() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let program = "import os,sys\ntry:\n os.wait()\nexcept ChildProcessError:\n print('no child')\n\
            print(sorted(map(int, os.listdir('/proc/self/fd')))[:3])\n\
            print([n for n in os.environ if 'STOWAWAY' in n], os.getppid() == int(sys.argv[1]))\n";
        let own = std::process::id().to_string();
        let outcome = qcow2.run("", ["python3", "-c", program, &own]).output();
        outcome.expect_exit(0);
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("no child\n[0, 1, 2]\n[] True\n", ""));
        let outcome = qcow2.script("cat $1/hello.txt; kill -USR1 $$").output();
        assert_eq!((outcome.out().as_str(), outcome.status.as_str()), ("Hello, world!\n", "signal 10"));
        qcow2.no_servers();
    }

    fn the_servers_hold_nothing_of_the_caller() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let mut ours = [0; 2];
        // SAFETY: room for two descriptors, which every command started from here has from now on.
        assert_eq!(unsafe { libc::pipe(ours.as_mut_ptr()) }, 0);
        let held = Held::start(&qcow2.script("exec 3>$1/held; echo held; read line; echo $line"));
        let links = |pid: u32| -> Vec<String> {
            let dir = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the descriptors").flatten();
            dir.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned())).collect()
        };
        let callers: Vec<_> = links(held.child.id()).into_iter().filter(|to| to.starts_with("pipe:")).collect();
        let own = std::fs::read_link(format!("/proc/self/fd/{}", ours[1])).expect("a pipe");
        assert!(callers.len() >= 3 && callers.contains(&own.to_string_lossy().into_owned()), "{callers:?}");
        let servers = qcow2.servers();
        assert!(!servers.is_empty());
        for pid in servers {
            let (links, cwd) = (links(pid as u32), std::fs::read_link(format!("/proc/{pid}/cwd")));
            assert!(!links.iter().any(|to| callers.contains(to)), "{links:?} and {callers:?}");
            assert_eq!(cwd.expect("a directory"), std::path::Path::new("/"));
        }
        for fd in ours {
            // SAFETY: ours, and nobody else's.
            unsafe { libc::close(fd) };
        }
        held.finish();
        qcow2.no_servers();
    }

    fn one_after_the_other_without_a_pause() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        for turn in 0..30 {
            let outcome = qcow2.script(&format!("echo {turn} >$1/turn; cp $1/turn $1/copy; cat $1/copy")).output();
            outcome.expect_exit(0);
            assert_eq!((outcome.out(), outcome.err()), (format!("{turn}\n"), String::new()));
            qcow2.check();
        }
        assert_eq!(qcow2.content("/turn"), b"29\n");
        qcow2.no_servers();
    }

    fn who_comes_second_is_told_who_has_it() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let held = Held::start(&qcow2.script(HOLDER));
        let second = qcow2.script("cat $1/hello.txt").output();
        second.expect_exit(1);
        let lines = our_lines(&second);
        assert!(lines.len() == 1 && lines[0].contains("disk.qcow2: in use by pid "), "{lines:?}");
        let (status, said) = qemu_img(&["check".as_ref(), qcow2.image.as_ref()]);
        assert!(status != Some(0) && said.contains("lock"), "{said}");
        assert_eq!(held.finish(), ("go\n".to_string(), String::new()));
        qcow2.check();
        assert_eq!(qcow2.content("/held"), b"written\n");
        // Within the family, nobody is second.
        let outcome = qcow2.script("exec 3>$1/other; cat $1/hello.txt; echo word >&3").output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""));
        qcow2.check();
        assert_eq!(qcow2.content("/other"), b"word\n");
        qcow2.no_servers();
    }

    fn what_qemu_has_open_is_left_alone() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let socket = qcow2.image.with_extension("sock");
        let mut qemu = Command::new("qemu-nbd").args(["-f", "qcow2", "-t", "-k"]).arg(&socket).arg(&qcow2.image)
            .spawn().expect("qemu-nbd beside qemu-img");
        let end = Instant::now() + DEADLINE;
        while !socket.exists() {
            assert!(Instant::now() < end, "no socket");
            std::thread::sleep(Duration::from_millis(10));
        }
        for options in ["", ":ro"] {
            let outcome = qcow2.run(options, ["ls", &qcow2.mounted.dir()]).output();
            let wanted = format!("disk.qcow2: in use by pid {}", qemu.id());
            let lines = our_lines(&outcome);
            assert!(lines.len() == 1 && lines[0].contains(&wanted), "{lines:?}");
        }
        let _ = qemu.kill();
        let _ = qemu.wait();
        qcow2.script("cp $1/hello.txt $1/copy").output().expect_exit(0);
        qcow2.check();
    }

    fn a_killed_program_leaves_no_server_and_a_whole_image() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let script = "cp $1/hello.txt $1/safe; sync $1/safe; exec 3>$1/held; echo held; while :; do echo more >&3; done";
        let held = Held::start(&qcow2.script(script));
        std::thread::sleep(Duration::from_millis(300));
        held.kill();
        qcow2.no_servers();
        qcow2.check();
        let outcome = qcow2.script("cat $1/safe").output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""));
        assert_eq!(qcow2.content("/safe"), b"Hello, world!\n");
    }

    fn a_killed_server_is_an_error_and_no_hang() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let held = Held::start(&qcow2.script("exec 3>$1/held; echo held; read line; ! cat $1/hello.txt $1/dir/* 2>/dev/null; echo $line"));
        for pid in qcow2.servers() {
            kill(pid);
        }
        let (line, _) = held.finish();
        assert_eq!(line, "go\n");
    }

    fn a_server_lives_as_long_as_it_may_be_needed() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        // Left behind by the program, without a connection of the kernel's; and, after another exec, once more.
        let late = Path::new(&qcow2.mounted.host()).join("late.sh");
        let text = ": >$2/begun; sleep 1; cat $1/hello.txt >>$2/late; [ $3 = twice ] || exec sh $0 $1 $2 twice";
        std::fs::write(&late, text).expect("a script");
        let script = format!("setsid sh {} $1 $2 once >/dev/null 2>$2/errors & until [ -e $2/begun ]; do :; done; exit 3", late.display());
        let words = ["sh", "-c", &script, "sh", &qcow2.mounted.dir(), &qcow2.mounted.host()];
        let outcome = qcow2.run("", words).output();
        let left = Path::new(&qcow2.mounted.host()).join("late");
        outcome.expect_exit(3);
        assert!(!left.exists() && qcow2.servers().len() == 1);
        qcow2.no_servers();
        let host = Path::new(&qcow2.mounted.host()).join("errors");
        assert_eq!(std::fs::read_to_string(host).expect("errors"), "");
        assert_eq!(std::fs::read_to_string(left).expect("what was left"), "Hello, world!\n".repeat(2));
    }

    fn a_program_that_cannot_be_started_leaves_no_server() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let outcome = qcow2.run("", ["/does/not/exist"]).output();
        outcome.expect_exit(127);
        assert_eq!(our_lines(&outcome).len(), 1);
        qcow2.run("", ["/etc/passwd"]).output().expect_exit(126);
        qcow2.no_servers();
    }

    fn under_a_preload_it_is_said_how() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let dir = qcow2.mounted.dir();
        let mount = format!("{}:{dir}", qcow2.image.display());
        let outcome = qcow2.mounted.run(["ls", &dir]).env("STOWAWAY_MOUNT", mount).output();
        let lines = our_lines(&outcome);
        if Run::is_by_run() {
            return assert_eq!(outcome.status, "exit 0", "{lines:?}");
        }
        assert!(lines.len() == 1 && lines[0].contains("is mounted by stowaway run;"), "{lines:?}");
        assert!(lines[0].contains("stowaway serve IMAGE --socket SOCKET"), "{lines:?}");
        let service = Service::start(&qcow2.mounted, &qcow2.image, &[]);
        let mount = format!("{}:{dir}", service.uri());
        let outcome = qcow2.mounted.run(["cp", &format!("{dir}/hello.txt"), &format!("{dir}/copy")]);
        let outcome = outcome.env("STOWAWAY_MOUNT", mount).output();
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        service.end();
        qcow2.check();
        assert_eq!(qcow2.content("/copy"), b"Hello, world!\n");
    }

    fn a_raw_image_is_served_too_once() {
        let mounted = Mounted::new(Kind::Basic);
        let image = &mounted.fixture.image;
        let service = Service::start(&mounted, image, &[]);
        let other = mounted.fixture.base.path().join("other");
        let second = Command::new(&mounted.artifacts.command)
            .arg("serve").arg(image).arg("--socket").arg(&other).output().expect("the command");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        let wanted = format!("{}: in use by pid {}", image.display(), service.child.id());
        assert!(second.status.code() == Some(1) && said.contains(&wanted) && !other.exists(), "{said}");
        let mut run = mounted.run(["sh", "-c", &format!("cp {0}/hello.txt {0}/copy", mounted.dir())]);
        run.env.retain(|(name, _)| name != "STOWAWAY_MOUNT");
        let outcome = run.env("STOWAWAY_MOUNT", format!("{}:{}", service.uri(), mounted.dir())).output();
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        service.end();
        check_image(image).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(mounted.content("/copy"), b"Hello, world!\n");
    }

    fn a_silent_server_is_an_error_and_no_hang() {
        let mounted = Mounted::new(Kind::Basic);
        let service = Service::start(&mounted, &mounted.fixture.image, &[]);
        let program = "import os, sys\nfile = os.open(sys.argv[1] + '/held', os.O_CREAT | os.O_WRONLY)\n\
            print('held', flush=True)\nline = input()\ntry:\n os.write(file, b'x' * 100000)\n os.fsync(file)\n\
            except OSError as error:\n print(error.errno, line, flush=True)\n";
        let mut run = mounted.run(["python3", "-c", program, &mounted.dir()]);
        run.env.retain(|(name, _)| name != "STOWAWAY_MOUNT");
        let run = run.env("STOWAWAY_MOUNT", format!("{}&timeout=2:{}", service.uri(), mounted.dir()));
        let held = Held::start(&run);
        // SAFETY: kill takes two numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(service.child.id() as i32, libc::SIGSTOP) };
        let (line, said) = held.finish();
        assert_eq!(line, "5 go\n", "{said}");
        assert!(said.contains(": writing failed: I/O error (EIO); data was lost"), "{said}");
        let outcome = run.output();
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("no connection to the server: "), "{lines:?}");
        assert!(lines[0].contains("ETIMEDOUT"), "{lines:?}");
    }

    fn qemus_client_gets_what_it_asks_for() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        if Command::new("qemu-io").arg("--version").output().is_err() {
            return user::note("qemu-io is not installed: no foreign client");
        }
        let service = Service::start(&qcow2.mounted, &qcow2.image, &[]);
        let (status, said) = qemu_io(&service.uri(), &[
            "write -P 5 1M 3M", "write -f -P 6 4100k 5000", "write -z 1M 64k", "write -z -u 2M 1M", "discard 3M 64k", "flush",
            "read -P 0 1M 64k", "read -P 5 1088k 64k", "read -P 0 2M 1M", "read -P 6 4100k 4096", "read -P 5 3200k 64k",
        ]);
        assert!(status == Some(0) && !said.contains("rror") && !said.contains("failed"), "{said}");
        let end = std::fs::metadata(&qcow2.mounted.fixture.image).expect("the image").len();
        let (_, said) = qemu_io(&service.uri(), &[&format!("write {} 1024", end - 512)]);
        assert!(said.contains("failed") || said.contains("rror") || said.contains("beyond") , "{said}");
        service.end();
        qcow2.check();
        let service = Service::start(&qcow2.mounted, &qcow2.image, &["--read-only"]);
        let (_, said) = qemu_io(&service.uri(), &["write 0 512"]);
        assert!(said.contains("Permission denied"), "{said}");
        service.end();
    }
}
