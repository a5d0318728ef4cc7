// SPDX-License-Identifier: GPL-2.0-only
//! Files of a mount in messages to other processes (SCM_RIGHTS), as programs of today send them. What happens to such a file in
//! detail is a fact (`programs/facts/passed.c`).

use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::{finish, Outcome, Run, DEADLINE};

#[track_caller]
fn is_ok(outcome: &Outcome) {
    let said = (outcome.status.as_str(), outcome.out(), outcome.err());
    assert_eq!(said, ("exit 0", "ok\n".to_string(), String::new()));
}

/// Runs a script natively, and on the mount with a network of its own.
#[track_caller]
fn on_both_sides(script: &str) {
    let mounted = Mounted::new(Kind::Basic);
    // A server of forks reads the program's file.
    let file = mounted.fixture.base.path().join("script.py");
    std::fs::write(&file, script).expect("a script");
    let words = |side: Side| ["python3".into(), file.clone(), mounted.fixture.dir(side)];
    is_ok(&Run::new(words(Side::Native)).output());
    is_ok(&mounted.run(words(Side::Image)).env("STOWAWAY_NET", "lo").output());
    mounted.check();
}

/// A pool of processes gets open files and a listening socket, in the ways that Python has.
const PYTHON: &str = r#"
import array, multiprocessing, os, socket, sys
from multiprocessing import reduction
def child(pipe, listener_there):
    file = os.fdopen(pipe.recv().detach(), "r+b")
    assert file.read() == b"from the parent"
    file.write(b", and back"); file.flush()
    if listener_there:
        listener = pipe.recv()
        connection, _ = listener.accept()
        connection.sendall(connection.recv(100).upper())
        connection.close()
    pipe.send("done")
def main(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs, True)); process.start()
    path = os.path.join(sys.argv[1], "shared-" + method)
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    os.write(fd, b"from the parent"); os.lseek(fd, 0, 0)
    ours.send(reduction.DupFd(fd))
    listener = socket.create_server(("127.0.0.1", 0))
    ours.send(listener)
    client = socket.create_connection(listener.getsockname())
    listener.close()
    client.sendall(b"hello"); assert client.recv(100) == b"HELLO"
    assert ours.recv() == "done"
    process.join()
    assert os.lseek(fd, 0, 1) == 25 and open(path).read() == "from the parent, and back"
def plainly():
    a, b = socket.socketpair()
    fds = [os.open(os.path.join(sys.argv[1], str(n)), os.O_CREAT | os.O_RDWR) for n in range(40)]
    pipe = os.pipe()
    socket.send_fds(a, [b"x"], fds + [pipe[0]])
    _, got, _, _ = socket.recv_fds(b, 10, 100)
    assert len(got) == 41 and [os.fstat(f).st_ino for f in got] == [os.fstat(f).st_ino for f in fds + [pipe[0]]]
    a.close(); b.close()
if __name__ == "__main__":
    plainly()
    for method in "fork", "forkserver": main(method)
    print("ok")
"#;

/// Privileges apart: a master opens files and binds, and workers without a right to do so are given them.
const MASTER: &str = r#"
import os, signal, socket, sys
control, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET), []
os.mkdir(os.path.join(sys.argv[1], "locked"), 0o700)
for n in range(3):
    if not (pid := os.fork()):
        control[0].close()
        if os.getuid() == 0: os.setresuid(65534, 65534, 65534)
        _, (listener, log), _, _ = socket.recv_fds(control[1], 100, 2)
        with socket.socket(fileno=listener) as server, os.fdopen(log, "a") as log:
            for _ in range(5):
                client, _ = server.accept()
                client.sendall(b"from worker"); client.close()
                log.write("served\n"); log.flush()
        os._exit(0)
    workers.append(pid)
path = os.path.join(sys.argv[1], "locked", "log")
listener, log = socket.create_server(("127.0.0.1", 0)), open(path, "a")
for _ in workers: socket.send_fds(control[0], [b"go"], [listener.fileno(), log.fileno()])
for _ in range(15):
    with socket.create_connection(listener.getsockname()) as client: assert client.recv(100) == b"from worker"
for pid in workers: assert os.waitpid(pid, 0)[1] == 0
assert open(path).read() == "served\n" * 15
print("ok")
"#;

/// Sends a file to whoever connects, and waits for an answer.
const TO_A_STRANGER: &str = r#"
import os, socket, sys
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[2] + "/stranger"); server.listen()
fd = os.open(sys.argv[1] + "/sent", os.O_CREAT | os.O_RDWR); os.write(fd, b"hello"); os.lseek(fd, 0, 0)
print("listens", flush=True)
peer, _ = server.accept()
socket.send_fds(peer, [b"x"], [fd])
back, again, _, _ = socket.recv_fds(peer, 10, 1)
assert os.read(again[0], 5) == b"hello" and os.lseek(fd, 0, 1) == 5
print("ok")
"#;

/// A process without a kernel: nothing can be done with what it gets, but to send it on.
const STRANGER: &str = r#"
import errno, mmap, os, socket, sys
peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1] + "/stranger")
_, (fd,), _, _ = socket.recv_fds(peer, 10, 1)
def fails(number, call):
    try: call()
    except OSError as error: assert error.errno == number, error
    else: assert False
fails(errno.EINVAL, lambda: os.read(fd, 100))
fails(errno.ENOTCONN, lambda: os.write(fd, b"x"))
fails(errno.ESPIPE, lambda: os.lseek(fd, 0, 0))
fails(errno.ENODEV, lambda: mmap.mmap(fd, 4096, prot=mmap.PROT_READ))
fails(errno.ENXIO, lambda: os.open("/proc/self/fd/%d" % fd, os.O_RDONLY))
socket.send_fds(peer, [b"x"], [fd])
print("ok")
"#;

/// A lock goes with a process that is killed, though it has sent a copy that is received by nobody.
const KILLED: &str = r#"
import fcntl, os, signal, socket, sys, time
path = os.path.join(sys.argv[1], "lock")
ready = os.pipe()
if not (pid := os.fork()):
    a, b = socket.socketpair()
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    for _ in range(20): socket.send_fds(a, [b"x"], [fd])
    os.close(fd)
    os.write(ready[1], b"x")
    time.sleep(60)
os.read(ready[0], 1)
fd = os.open(path, os.O_RDWR)
try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); assert False
except BlockingIOError: pass
os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
for _ in range(500):
    try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); break
    except BlockingIOError: time.sleep(0.01)
else: assert False
print("ok")
"#;

everyone! {
    fn python_passes_files_and_sockets() { on_both_sides(PYTHON); }
    fn a_master_and_its_workers() { on_both_sides(MASTER); }
    fn a_killed_sender_leaves_nothing() { on_both_sides(KILLED); }

    fn a_process_without_the_kernel_gets_nothing_that_can_be_read() {
        let mounted = Mounted::new(Kind::Basic);
        let words = ["python3", "-c", TO_A_STRANGER, &mounted.dir(), &mounted.host()];
        let mut sender = mounted.run(words).spawn();
        let mut line = String::new();
        let out = sender.stdout.take().expect("a pipe");
        let mut out = std::io::BufReader::new(out);
        std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
        is_ok(&Run::new(["python3", "-c", STRANGER, &mounted.host()]).output());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut out, &mut rest).expect("text");
        let outcome = finish(sender, DEADLINE);
        assert_eq!((outcome.status.as_str(), rest.as_str(), outcome.err().as_str()), ("exit 0", "ok\n", ""));
    }
}
