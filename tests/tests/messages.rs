// SPDX-License-Identifier: GPL-2.0-only
//! Messages reach a person, also when descriptor 2 is a file of a mount.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::Run;

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

/// A program whose standard error is a file of the image, and that makes a call which is refused with a line.
fn refused(mounted: &Mounted) -> Run {
    let dir = mounted.dir();
    let call = format!("import ctypes; ctypes.CDLL(None).mount(b\"none\", b\"{dir}\", b\"tmpfs\", 0, None)");
    let script = format!("exec 2>{dir}/errors; exec python3 -c '{call}'");
    mounted.run_by_command(["bash", "-c", &script])
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
        let mut run = refused(&mounted);
        run.before = ["python3", "-c", ON_A_TERMINAL].map(Into::into).to_vec();
        let outcome = run.output();
        assert!(outcome.expect_exit(0).out().contains(MESSAGE), "{}{}", outcome.out(), outcome.err());
        check_errors(&mounted);
    }

    fn in_the_log_file() {
        let mounted = Mounted::new(Kind::Basic);
        let log = mounted.fixture.base.path().join("messages.log");
        let mut run = refused(&mounted).env("STOWAWAY_KERNEL_LOG", &log);
        run.before = vec!["setsid".into(), "-w".into()];
        run.output().expect_exit(0);
        let log = std::fs::read_to_string(&log).expect("a log");
        assert!(log.contains(MESSAGE), "{log}");
        check_errors(&mounted);
    }
}
