// SPDX-License-Identifier: GPL-2.0-only
//! However a program ends, its status is its own and the image is consistent: unmounted wherever code could still run.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{finish, Outcome, Run, DEADLINE};

fn ends(mounted: &Mounted, way: &str, signal: i32) -> Run {
    let program = mounted.program("ends", include_str!("../programs/helpers/ends.c"));
    mounted.run([program.into_os_string(), mounted.dir().into(), way.into(), signal.to_string().into()])
}

/// What was written before the end is in the image, and the image is clean.
#[track_caller]
fn data_is_there(mounted: &Mounted, buffered: bool) {
    mounted.check();
    assert_eq!(mounted.content("data"), vec![b'd'; 100_000]);
    assert_eq!(mounted.content("stdio"), if buffered { &b"buffered"[..] } else { b"" });
}

#[track_caller]
fn ends_with(way: &str, signal: i32, status: &str, buffered: bool) {
    let mounted = Mounted::new(Kind::Empty);
    let through = ends(&mounted, way, signal);
    let mut native = Run::new(through.words.clone());
    native.words[1] = mounted.fixture.dir(Side::Native).into();
    assert_eq!(native.output().status, status, "{way}, natively");
    let outcome = through.output();
    assert_eq!(outcome.status, status, "{way}: {}", outcome.err());
    assert_eq!(outcome.err(), "", "{way}");
    data_is_there(&mounted, buffered);
}

/// Starts the program, waits for its `ready`, and sends it a signal.
fn signalled(mounted: &Mounted, way: &str, signal: i32) -> Outcome {
    let mut child = ends(mounted, way, 0).spawn();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    std::thread::sleep(Duration::from_millis(20));
    // SAFETY: kill takes two numbers; the child is ours and not yet waited for.
    unsafe { libc::kill(child.id() as i32, signal) };
    finish(child, DEADLINE)
}

/// Ends while other threads work in the kernel or are blocked there.
fn busy_threads(way: &str, status: &str) {
    let mounted = Mounted::new(Kind::Basic);
    let program = mounted.program("busyexit", include_str!("../programs/helpers/busyexit.c"));
    let run = |dir: String| Run::new([program.clone().into_os_string(), dir.into(), way.into()]);
    let native = mounted.fixture.dir(Side::Native).display().to_string();
    assert_eq!(run(native).output().status, status, "{way}, natively");
    let outcome = mounted.run(run(mounted.dir()).words).output();
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), (status, ""), "{way}");
    mounted.check();
    assert_eq!(mounted.content("done"), b"done");
}

fn text_of(program: &str, script: &str, status: &str) {
    let mounted = Mounted::new(Kind::Empty);
    let script = script.replace("{D}", &mounted.dir());
    let flag = if program == "python3" { "-c" } else { "-e" };
    let outcome = mounted.run([program, flag, &script]).output();
    assert_eq!(outcome.status, status, "{script}: {}", outcome.err());
    assert!(our_lines(&outcome).is_empty(), "{}", outcome.err());
    mounted.check();
    assert_eq!(mounted.content("data"), vec![b'd'; 70_000]);
}

everyone! {
    fn return_from_main() { ends_with("return", 0, "exit 3", true); }
    fn exit() { ends_with("exit", 0, "exit 4", true); }
    fn underscore_exit() { ends_with("_exit", 0, "exit 5", false); }
    fn exit_group() { ends_with("exit_group", 0, "exit 6", false); }
    fn quick_exit() { ends_with("quick_exit", 0, "exit 8", false); }
    fn abort() { ends_with("abort", 0, "signal 6", false); }
    fn exec() { ends_with("exec", 0, "exit 9", false); }
    fn exit_in_a_thread() { ends_with("thread-exit", 0, "exit 7", true); }
    fn underscore_exit_in_a_thread() { ends_with("thread-_exit", 0, "exit 7", false); }
    fn a_fault_in_a_thread() { ends_with("thread-segv", 0, "signal 11", false); }
    fn main_leaves_before_the_last_thread() { ends_with("main-leaves", 0, "exit 0", true); }
    fn a_true_segmentation_fault() { ends_with("SIGSEGV-fault", libc::SIGSEGV, "signal 11", false); }
    fn a_true_illegal_instruction() { ends_with("SIGILL-fault", libc::SIGILL, "signal 4", false); }

    fn every_signal_that_kills_by_default() {
        use libc::{SIGALRM, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSYS};
        use libc::{SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ};
        for signal in [
            SIGALRM, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSYS, SIGTERM,
            SIGTRAP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ, 34 + 3,
        ] {
            ends_with(&format!("raise {signal}"), signal, &format!("signal {signal}"), false);
        }
    }

    fn terminated_from_outside_while_it_waits() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            let mounted = Mounted::new(Kind::Empty);
            let outcome = signalled(&mounted, "wait", signal);
            assert_eq!((outcome.status.as_str(), outcome.err().as_str()), (&*format!("signal {signal}"), ""));
            data_is_there(&mounted, false);
        }
    }

    fn terminated_from_outside_amid_file_work() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTERM] {
            let mounted = Mounted::new(Kind::Empty);
            let outcome = signalled(&mounted, "busy", signal);
            assert_eq!((outcome.status.as_str(), outcome.err().as_str()), (&*format!("signal {signal}"), ""));
            data_is_there(&mounted, false);
        }
    }

    fn ends_while_other_threads_are_inside() {
        for (way, status) in [("return", "exit 3"), ("exit", "exit 4"), ("_exit", "exit 5"), ("kill", "signal 15")] {
            for _ in 0..3 {
                busy_threads(way, status);
            }
        }
    }

    fn a_pipe_that_breaks() {
        let mounted = Mounted::new(Kind::Basic);
        let script = format!("cat {0}/big.dat | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}", mounted.dir());
        let outcome = mounted.run(["bash", "-c", &script]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("141\n", ""));
        mounted.check();
    }

    fn python_programs() {
        let write = "import os, sys, signal; f = open('{D}/data', 'w'); f.write('d' * 70000); f.flush(); ";
        for (end, status) in [
            ("", "exit 0"), ("sys.exit(3)", "exit 3"), ("os._exit(4)", "exit 4"), ("raise ValueError", "exit 1"),
            ("os.kill(os.getpid(), signal.SIGTERM)", "signal 15"),
            ("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()", "signal 6"),
            ("import threading; threading.Thread(target=lambda: os._exit(6)).start(); signal.pause()", "exit 6"),
        ] {
            text_of("python3", &format!("{write}{end}"), status);
        }
    }

    fn perl_programs() {
        let write = "open(F, '>', '{D}/data') or die; print F 'd' x 70000; close F; ";
        for (end, status) in [
            ("", "exit 0"), ("exit 5;", "exit 5"), ("$! = 0; die 'x';", "exit 255"), ("kill 'TERM', $$; sleep 5;", "signal 15"),
            ("use POSIX; POSIX::_exit(6);", "exit 6"),
        ] {
            text_of("perl", &format!("{write}{end}"), status);
        }
    }
}
