// SPDX-License-Identifier: GPL-2.0-only
//! Networks for tests: namespaces of the host that the test makes, with one side of a tap device in them, and servers of
//! `programs/net/peer.py`.

use crate::process::{Outcome, Run};
use crate::user;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The program of both sides.
const PEER: &str = include_str!("../programs/net/peer.py");

/// Opens the tap device as root, and executes the other words as a user.
const OPEN_TAP: &str = "import fcntl, os, struct, sys
fd = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'tap0', 0x5002))
os.dup2(fd, 9)
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])";

/// The ordinary user of these tests, where the test is root.
const ORDINARY: &str = "65534";

/// A server at port 7 of the address that it is given, which answers each client with how many bytes the client sent: so many clients,
/// or for ever. It says `up` first.
pub const COUNTING_SERVER: &str = "import socket, sys
s = socket.create_server((sys.argv[1], 7), family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
print('up', flush=True)
left = int(sys.argv[2]) if sys.argv[2:] else -1
while left:
    left -= 1
    c, a = s.accept()
    n = 0
    while part := c.recv(1 << 17): n += len(part)
    c.sendall(b'%d from %s' % (n, a[0].encode()))
    c.close()
";

/// Its client, which waits until the server is there, and prints the answer.
pub const COUNTING_CLIENT: &str = "import socket, sys, time
for i in range(200):
    try: s = socket.create_connection((sys.argv[1], 7), 1); break
    except OSError: time.sleep(0.05)
s.settimeout(30)
for i in range(300): s.sendall(bytes(10007))
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
";

/// Whether a program is installed; says so if not.
pub fn has(program: &str) -> bool {
    let found = std::env::split_paths("/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin")
        .any(|place| place.join(program).is_file());
    if !found {
        user::note(&format!("{program} is not installed"));
    }
    found
}

/// A port of the host's loopback that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

/// A folder with copies of the products that any user may read, and the peer's program.
pub struct Place {
    base: tempfile::TempDir,
}

impl Place {
    /// A new folder.
    pub fn new() -> Place {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().expect("a folder");
        for product in ["libstowaway.so", "stowaway"] {
            std::fs::hard_link(user::copies().join(product), base.path().join(product)).expect("a link");
        }
        std::fs::write(base.path().join("peer.py"), PEER).expect("a program");
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(base.path(), all).expect("a folder for all");
        Place { base }
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> String {
        self.base.path().join(name).display().to_string()
    }

    /// The folder.
    pub fn path(&self) -> PathBuf {
        self.base.path().into()
    }

    /// `stowaway run` with these options and this program, `before` in front of all.
    pub fn run(&self, before: &[String], options: &[&str], program: &[&str]) -> Run {
        let mut words: Vec<String> = before.to_vec();
        words.extend([self.file("stowaway"), "run".into()]);
        words.extend(options.iter().map(ToString::to_string));
        words.push("--".into());
        words.extend(program.iter().map(ToString::to_string));
        let mut run = Run::new(words);
        run.cwd = Some(self.path());
        run.deadline = Some(Duration::from_secs(120));
        run
    }

    /// What the program of the peer does, under `stowaway run`.
    pub fn peer(&self, before: &[String], options: &[&str], words: &[&str]) -> Outcome {
        let script = self.file("peer.py");
        let program: Vec<&str> = ["python3", &script].into_iter().chain(words.iter().copied()).collect();
        self.run(before, options, &program).output()
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

/// Says `ok`, and nothing else.
#[track_caller]
pub fn is_ok(outcome: &Outcome) {
    let seen = (outcome.status.as_str(), outcome.out(), outcome.err());
    assert_eq!(seen, ("exit 0", "ok\n".into(), String::new()));
}

/// A namespace of the host with a tap device `tap0` in it: 10.9.0.1/24 and fd09::1/64.
pub struct Space {
    name: String,
}

impl Space {
    /// A new one. `None`: only root can make one.
    pub fn new() -> Option<Space> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !user::is_root() {
            user::note("network namespaces need root");
            return None;
        }
        let name = format!("stowaway-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let space = Space { name };
        for line in [
            format!("netns add {}", space.name),
            format!("-n {} link set lo up", space.name),
            format!("netns exec {} ip tuntap add dev tap0 mode tap user {ORDINARY}", space.name),
            format!("-n {} addr add 10.9.0.1/24 dev tap0", space.name),
            format!("-n {} addr add fd09::1/64 dev tap0 nodad", space.name),
            format!("-n {} link set tap0 up", space.name),
        ] {
            space.ip(&line);
        }
        Some(space)
    }

    /// ip(8)
    #[track_caller]
    pub fn ip(&self, line: &str) {
        let done = Command::new("ip").args(line.split_whitespace()).output().expect("ip(8)");
        assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// What is put in front of a command that runs there, as root.
    pub fn inside(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(String::from).into()
    }

    /// The same as an ordinary user, with the tap device open at descriptor 9: /dev/net/tun may be root's alone.
    pub fn inside_as_ordinary(&self) -> Vec<String> {
        [self.inside(), ["python3", "-c", OPEN_TAP, ORDINARY].map(String::from).into()].concat()
    }

    /// The name, for ip(8).
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// A server of the peer's program, which ends with the value.
pub struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// The port, TCP and UDP.
    pub port: String,
}

impl Server {
    /// A server at this address.
    pub fn start(place: &Place, before: &[String], address: &str) -> Server {
        Server::start_as("serve", place, before, address)
    }

    /// A server of names, or another one of the peer's program.
    pub fn start_as(what: &str, place: &Place, before: &[String], address: &str) -> Server {
        let mut words = before.to_vec();
        words.extend(["python3".into(), place.file("peer.py"), what.into(), address.into()]);
        let mut command = Command::new(&words[0]);
        // A connection that is reset is an exception there.
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a server");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut server = Server { child, lines, port: String::new() };
        server.port = server.line();
        server
    }

    /// The next line that the server says.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim().into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
