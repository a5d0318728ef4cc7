// SPDX-License-Identifier: GPL-2.0-only
//! Messages reach a person, also when descriptor 2 is a file of a mount.

use stowaway_tests::everyone;
use stowaway_tests::fixture::{tool, Kind};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;

/// Runs its arguments on a terminal of their own, and prints what they wrote there.
const ON_A_TERMINAL: &str = "import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        text = os.read(terminal, 4096)
    except OSError:
        break
    if not text:
        break
    os.write(1, text)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

const MESSAGE: &str = "stowaway: mount: not supported on a path in a mount (ENOSYS)";

/// A program that makes a call which is refused with a line.
fn refused(mounted: &Mounted, redirection: &str) -> Run {
    let dir = mounted.dir();
    let call = format!("import ctypes; ctypes.CDLL(None).mount(b\"none\", b\"{dir}\", b\"tmpfs\", 0, None)");
    mounted.run_by_command(["bash", "-c", &format!("{redirection}exec python3 -c '{call}'")])
}

/// The same; its standard error is a file of the image.
fn refused_into_a_file(mounted: &Mounted) -> Run {
    refused(mounted, &format!("exec 2>{}/errors; ", mounted.dir()))
}

/// Nothing of ours is in the program's file.
#[track_caller]
fn check_errors(mounted: &Mounted) {
    mounted.check();
    assert_eq!(String::from_utf8_lossy(&mounted.content("/errors")), "");
}

everyone! {
    fn on_the_terminal() {
        let mounted = Mounted::new(Kind::Basic);
        let mut run = refused_into_a_file(&mounted);
        run.before = ["python3", "-c", ON_A_TERMINAL].map(Into::into).to_vec();
        let outcome = run.output();
        assert!(outcome.expect_exit(0).out().contains(MESSAGE), "{}{}", outcome.out(), outcome.err());
        check_errors(&mounted);
    }

    fn on_the_stderr_that_the_shell_had() {
        let mounted = Mounted::new(Kind::Basic);
        let mut run = refused_into_a_file(&mounted);
        run.before = vec!["setsid".into(), "-w".into()];
        let outcome = run.output();
        assert!(outcome.expect_exit(0).err().contains(MESSAGE), "{}", outcome.err());
        check_errors(&mounted);
    }

    fn in_the_log_file() {
        // Nothing else takes the message: stderr is full, closed, or has no reader, and there is no terminal.
        for stderr in ["2>/dev/full", "2>&-", "2> >(exec true); sleep 0.1"] {
            let mounted = Mounted::new(Kind::Basic);
            let log = mounted.fixture.base.path().join("messages.log");
            let mut run = refused(&mounted, "").env("STOWAWAY_KERNEL_LOG", &log);
            let shell = format!("exec {stderr}; exec \"$@\"");
            run.before = ["setsid", "-w", "bash", "-c", &shell, "bash"].map(Into::into).to_vec();
            run.output().expect_exit(0);
            let log = std::fs::read_to_string(&log).expect("a log");
            assert!(log.contains(MESSAGE), "{stderr}: {log}");
            mounted.check();
        }
    }

    fn where_all_is_roots_in_an_image_of_ones_own() {
        let mounted = Mounted::new(Kind::Basic);
        let image = mounted.fixture.base.path().join("fresh.img").display().to_string();
        std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("an image file");
        tool("mkfs.ext4", &["-q", "-F", &image].map(AsRef::as_ref));
        let (command, dir) = (mounted.artifacts.command.display().to_string(), mounted.dir());
        let run = |options: &str, script: &str| {
            let mount = format!("{image}:{dir}{options}");
            Run::new([&command, "run", "--mount", &mount, "--", "bash", "-c", script]).output()
        };
        let script = format!("ls {dir} >/dev/null; mkdir {dir}/a; (mkdir {dir}/b; bash -c 'mkdir {dir}/c'); true");
        let lines = our_lines(&run("", &script));
        // One line, whatever number of processes is refused; root is refused nothing.
        assert_eq!(lines.len(), usize::from(!user::is_root()), "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("--as root") && line.contains(&dir)), "{lines:?}");
        assert_eq!(our_lines(&run("", &format!("ls {dir}"))), Vec::<String>::new());
        assert_eq!(our_lines(&run(":ro", &format!("mkdir {dir}/a; ls {dir}/lost+found; true"))), Vec::<String>::new());
    }
}
