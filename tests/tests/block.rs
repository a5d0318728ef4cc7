// SPDX-License-Identifier: GPL-2.0-only
//! Where the sectors come from: the engines that do the I/O, and parts of images.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;
use stowaway_tests::work::processes;

/// One process after another.
fn script(dir: &str) -> String {
    format!("set -- {dir}; {}", processes(60, 40))
}

/// Threads at the same time in one process.
const THREADS: &str = r#"
import os, sys, threading
def work(number):
    path = f"{sys.argv[1]}/thread{number}"
    for turn in range(8):
        want = bytes([number + turn]) * (300_000 + 4096 * number)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for at in range(0, len(want), 50_000):
            os.pwrite(file, want[at:at + 50_000], at)
            if at % 100_000 == 0:
                os.fsync(file)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        if os.pread(file, len(want) + 1, 0) != want:
            os._exit(3)
        os.close(file)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print("done")
"#;

fn works_by(engine: &str) {
    let mounted = Mounted::new(Kind::Basic);
    let dir = mounted.dir();
    let run = |words: [&str; 4], out: &str| {
        let outcome = mounted.run(words).env("STOWAWAY_BLOCK_ENGINE", engine).output();
        outcome.expect_exit(0);
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (out, ""));
        mounted.check();
    };
    run(["sh", "-c", &script(&dir), "sh"], "");
    run(["python3", "-c", THREADS, &dir], "done\n");
    assert_eq!(mounted.content("/file1").len(), 60 << 16);
    assert_eq!(mounted.content("/sync3"), vec![0; 40 << 12]);
    assert_eq!(mounted.content("/thread2"), vec![9; 300_000 + 8192]);
}

/// A disk of two partitions, the second of which holds the fixture's file system.
fn partitioned(mounted: &Mounted) -> std::path::PathBuf {
    const SECTOR: u32 = 512;
    let inner = std::fs::read(&mounted.fixture.image).expect("the image");
    let disk = mounted.fixture.base.path().join("disk#1.img");
    let file = File::create(&disk).expect("a file");
    let mut table = [0u8; 512];
    let parts = [(2048u32, 2048u32), (8192, (inner.len() as u32) / SECTOR)];
    for (i, (start, sectors)) in parts.into_iter().enumerate() {
        let at = 446 + i * 16;
        table[at + 4] = 0x83;
        table[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        table[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all_at(&table, 0).expect("a table");
    file.write_all_at(&inner, 8192 * u64::from(SECTOR)).expect("room");
    disk
}

fn cat(mounted: &Mounted, disk: &Path, part: &str, options: &str) -> (String, Vec<String>) {
    let image = disk.display().to_string().replace('#', "\\#");
    let mount = format!("{image}{part}:{}{options}", mounted.dir());
    let run: Run = mounted.run(["cat", &format!("{}/hello.txt", mounted.dir())]).env("STOWAWAY_MOUNT", mount);
    let outcome = run.output();
    (outcome.out(), our_lines(&outcome))
}

/// qemu-nbd serves the fixture's image on a socket until it is dropped.
struct Server {
    child: Child,
    uri: String,
}

impl Server {
    fn start(mounted: &Mounted) -> Option<Server> {
        Server::of(&mounted.fixture.image, "raw")
    }

    fn of(image: &Path, format: &str) -> Option<Server> {
        let socket = image.with_extension("nbd");
        let mut command = Command::new("qemu-nbd");
        command.args(["-f", format, "-t", "-x", "disk", "-k"]).arg(&socket).arg(image);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(_) => {
                user::note("qemu-nbd is not installed: no disk of a real server");
                return None;
            }
        };
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Server { child, uri: format!("nbd+unix:///disk?socket={}", socket.display()) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is asked to end writes out what it has.
        // SAFETY: kill takes two numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

/// A server that does not do what it should, until it is dropped.
struct Hostile {
    child: Child,
    uri: String,
}

/// `endless`: information without end; `silent`: nothing at all; `trickle`: a byte now and then; `probe`: an export whose reads
/// are not answered; `broken`: one whose reads fail.
const HOSTILE: &str = r#"
import socket, struct, sys, threading, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(9)
print("held", flush=True)
def exactly(client, length):
    got = b""
    while len(got) < length:
        part = client.recv(length - len(got))
        if not part:
            raise OSError
        got += part
    return got
def serve(client, way):
    try:
        if way == "silent":
            time.sleep(99)
        if way == "trickle":
            while True:
                client.sendall(b"N")
                time.sleep(0.3)
        client.sendall(b"NBDMAGICIHAVEOPT\0\3")
        exactly(client, 4)
        option = exactly(client, 16)
        exactly(client, struct.unpack(">I", option[12:])[0])
        head = struct.pack(">Q4s", 0x3e889045565a9, option[8:12])
        info = struct.pack(">IIHQH", 3, 12, 0, 1 << 26, 1)
        while way == "endless":
            client.sendall(head + info)
            time.sleep(0.001)
        client.sendall(head + info + head + struct.pack(">II", 1, 0))
        while way == "broken":
            request = exactly(client, 28)
            client.sendall(struct.pack(">II8s", 0x67446698, 5, request[8:16]))
        time.sleep(99)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(server.accept()[0], sys.argv[2]), daemon=True).start()
"#;

impl Hostile {
    fn start(mounted: &Mounted, way: &str) -> Hostile {
        let socket = mounted.fixture.image.with_extension(way);
        let mut command = Command::new("python3");
        command.args(["-c", HOSTILE]).arg(&socket).arg(way).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n");
        Hostile { child, uri: format!("nbd+unix:///?socket={}", socket.display()) }
    }

    fn run(&self, mounted: &Mounted, timeout: &str, words: &[&str]) -> Run {
        let mount = format!("{}&{timeout}:{}", self.uri, mounted.dir());
        mounted.run(words.iter().copied()).env("STOWAWAY_MOUNT", mount)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fixture's image as a block device of the host, until it is dropped.
struct Loop {
    device: String,
}

impl Loop {
    fn make(image: &Path) -> Option<Loop> {
        Loop::with(image, &[])
    }

    fn with(image: &Path, options: &[&str]) -> Option<Loop> {
        if !user::is_root() {
            user::note("a loop device needs root: no block device");
            return None;
        }
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .args(options)
            .arg(image)
            .output()
            .expect("losetup");
        if !made.status.success() {
            user::note(&format!(
                "no loop device can be made here: {}",
                String::from_utf8_lossy(&made.stderr).trim()
            ));
            return None;
        }
        Some(Loop { device: String::from_utf8_lossy(&made.stdout).trim().to_string() })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}

everyone! {
    fn a_block_device_is_mounted() {
        let mounted = Mounted::new(Kind::Basic);
        let Some(disk) = Loop::make(&mounted.fixture.image) else { return };
        let dir = mounted.dir();
        let run = |words: &[&str], options: &str| {
            let mount = format!("{}:{dir}{options}", disk.device);
            mounted.run(words.iter().copied()).env("STOWAWAY_MOUNT", mount).output()
        };
        let script = script(&dir);
        for words in [&["sh", "-c", &script][..], &["python3", "-c", THREADS, &dir]] {
            let outcome = run(words, "");
            outcome.expect_exit(0);
            assert_eq!(outcome.err(), "");
        }
        let outcome = run(&["cat", &format!("{dir}/hello.txt")], ":ro");
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""));
        drop(disk);
        mounted.check();
        assert_eq!(mounted.content("/thread2"), vec![9; 300_000 + 8192]);
    }

    fn a_write_protected_device_is_only_read() {
        let mounted = Mounted::new(Kind::Basic);
        let Some(disk) = Loop::with(&mounted.fixture.image, &["--read-only"]) else { return };
        let cat = |options: &str| {
            let mount = format!("{}:{}{options}", disk.device, mounted.dir());
            mounted.run(["cat", &format!("{}/hello.txt", mounted.dir())]).env("STOWAWAY_MOUNT", mount).output()
        };
        let lines = our_lines(&cat(""));
        assert!(lines.len() == 1 && lines[0].contains("(EROFS); mount it read-only (:ro)"), "{lines:?}");
        assert_eq!((cat(":ro").out().as_str(), cat(":ro").err().as_str()), ("Hello, world!\n", ""));
    }

    fn a_servers_disk_is_mounted() {
        let mounted = Mounted::new(Kind::Basic);
        let Some(mut server) = Server::start(&mounted) else { return };
        let dir = mounted.dir();
        let run = |words: &[&str]| {
            let mount = format!("{}:{dir}", server.uri);
            mounted.run(words.iter().copied()).env("STOWAWAY_MOUNT", mount).output()
        };
        let script = script(&dir);
        for words in [&["sh", "-c", &script][..], &["python3", "-c", THREADS, &dir]] {
            let outcome = run(words);
            outcome.expect_exit(0);
            assert_eq!(outcome.err(), "");
        }
        let _ = server.child.kill();
        let _ = server.child.wait();
        let lost = run(&["cat", &format!("{dir}/hello.txt")]);
        let lines = our_lines(&lost);
        assert!(lines.len() == 1 && lines[0].contains("no connection to the server"), "{lines:?}");
        mounted.check();
        assert_eq!(mounted.content("/thread2"), vec![9; 300_000 + 8192]);
    }

    fn a_server_that_never_ends_its_answer_is_given_up() {
        let mounted = Mounted::new(Kind::Empty);
        let server = Hostile::start(&mounted, "endless");
        for _ in 0..2 {
            let outcome = server.run(&mounted, "timeout=1", &["cat", &format!("{}/x", mounted.dir())]).output();
            assert!(outcome.err().contains("Connection timed out"), "{}: {}", outcome.status, outcome.err());
            let lines = our_lines(&outcome);
            assert!(lines.len() == 1 && lines[0].contains("no connection to the server"), "{lines:?}");
        }
    }

    fn a_lost_server_is_waited_for_once() {
        let mounted = Mounted::new(Kind::Empty);
        for way in ["silent", "trickle", "probe"] {
            let server = Hostile::start(&mounted, way);
            let script = "import os, sys, time\nfor i in range(4):\n before = time.monotonic()\n try:\n  os.stat(sys.argv[1] + '/x')\n \
                except OSError as error:\n  print(error.errno, i == 0 or time.monotonic() - before < 1)\n";
            let outcome = server.run(&mounted, "timeout=2", &["python3", "-c", script, &mounted.dir()]).output();
            assert_eq!(outcome.out(), "110 True\n".repeat(4), "{way}: {}", outcome.err());
            assert_eq!(our_lines(&outcome).len(), 1, "{way}: {}", outcome.err());
        }
    }

    fn signals_end_the_way_to_a_server() {
        let mounted = Mounted::new(Kind::Empty);
        let server = Hostile::start(&mounted, "silent");
        // Default actions, a handler that ends the call, and one after which the call goes on, and its time runs out.
        for (signal, status) in [("SIGTERM", "signal 15"), ("SIGINT", "signal 2"), ("SIGALRM", "signal 14")] {
            let script = format!("import os, signal, sys\nsignal.signal(signal.{signal}, signal.SIG_DFL)\n\
                if not os.fork():\n import time\n time.sleep(1)\n os.kill(os.getppid(), signal.{signal})\n os._exit(0)\n\
                os.stat(sys.argv[1] + '/x')\n");
            let outcome = server.run(&mounted, "timeout=50", &["python3", "-c", &script, &mounted.dir()]).output();
            assert_eq!((outcome.status.as_str(), outcome.err().as_str()), (status, ""));
        }
        let handled = "import os, signal, sys\nclass Over(Exception): pass\ndef over(*_): raise Over\nsignal.signal(signal.SIGALRM, over)\n\
            signal.alarm(1)\ntry:\n os.stat(sys.argv[1] + '/x')\nexcept Over:\n print('over')\n";
        let outcome = server.run(&mounted, "timeout=50", &["python3", "-c", handled, &mounted.dir()]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("over\n", ""));
        let restarted = "import os, signal, sys, time\nran = []\nsignal.signal(signal.SIGALRM, lambda *_: ran.append(1))\n\
            signal.siginterrupt(signal.SIGALRM, False)\nsignal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)\n\
            try:\n os.stat(sys.argv[1] + '/x')\nexcept OSError as error:\n time.sleep(0)\n print(error.errno, bool(ran))\n";
        let outcome = server.run(&mounted, "timeout=2", &["python3", "-c", restarted, &mounted.dir()]).output();
        assert_eq!(outcome.out(), "110 True\n", "{}", outcome.err());
    }

    fn an_error_of_the_server_is_no_unknown_file_system() {
        let mounted = Mounted::new(Kind::Empty);
        let server = Hostile::start(&mounted, "broken");
        let outcome = server.run(&mounted, "timeout=5", &["cat", &format!("{}/x", mounted.dir())]).output();
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("cannot be read"), "{lines:?}");
        assert!(outcome.err().contains("x: Input/output error"), "{}", outcome.err());
    }

    fn a_qcow2_image_is_mounted_through_qemus_server() {
        let mounted = Mounted::new(Kind::Basic);
        let qcow2 = mounted.fixture.base.path().join("disk.qcow2");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-O", "qcow2"]).arg(&mounted.fixture.image).arg(&qcow2);
        if !convert.status().is_ok_and(|status| status.success()) {
            return user::note("qemu-img is not installed: no qcow2 image");
        }
        let server = Server::of(&qcow2, "qcow2").expect("qemu-nbd beside qemu-img");
        let mount = format!("{}:{}", server.uri, mounted.dir());
        let run = mounted.run(["sh", "-c", &script(&mounted.dir())]);
        run.env("STOWAWAY_MOUNT", mount).output().expect_exit(0);
        drop(server);
        let back = mounted.fixture.base.path().join("back.img");
        let mut convert = Command::new("qemu-img");
        let done = convert.args(["convert", "-O", "raw"]).arg(&qcow2).arg(&back).status();
        assert!(done.expect("qemu-img").success());
        stowaway_tests::fixture::check_image(&back).unwrap_or_else(|why| panic!("{why}"));
    }

    fn inline() {
        works_by("inline");
    }

    fn threads() {
        works_by("threads");
    }

    fn io_uring() {
        works_by("io_uring");
    }

    fn auto() {
        works_by("auto");
    }

    fn a_partition_is_mounted() {
        let mounted = Mounted::new(Kind::Basic);
        let disk = partitioned(&mounted);
        assert_eq!(cat(&mounted, &disk, "#2", ""), ("Hello, world!\n".to_string(), vec![]));
        assert_eq!(cat(&mounted, &disk, "#2", ":ro"), ("Hello, world!\n".to_string(), vec![]));
    }

    fn the_partitions_are_named_where_one_is_missing() {
        let mounted = Mounted::new(Kind::Basic);
        let disk = partitioned(&mounted);
        for (part, why) in [
            ("", "has a partition table: mount a partition, as IMAGE#N; it has 1 (1024K, Linux), 2 ("),
            ("#3", "has no partition 3; it has 1 (1024K, Linux), 2 ("),
            ("#1", "not a file system that is known here"),
        ] {
            let (out, lines) = cat(&mounted, &disk, part, "");
            assert_eq!((out.as_str(), lines.len()), ("", 1), "{lines:?}");
            assert!(lines[0].contains(why), "{lines:?}");
        }
        let (_, lines) = cat(&mounted, &mounted.fixture.image, "#1", "");
        assert!(lines.len() == 1 && lines[0].contains("has no partition table"), "{lines:?}");
    }

    fn the_types_of_partitions_are_named() {
        let mounted = Mounted::new(Kind::Basic);
        let disk = mounted.fixture.base.path().join("table.img");
        let (gpt, dos) = (
            "label: gpt\nsize=1M, type=U\nsize=1M, type=S\nsize=1M, type=L\n\
             size=1M, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\nsize=1M, type=11111111-2222-3333-4444-555555555555\n",
            "label: dos\nsize=1M, type=c\nsize=1M, type=82\nsize=4M, type=5\nsize=1M, type=99\n\
             size=1M, type=8e\n",
        );
        let of_gpt = "it has 1 (1024K, EFI system), 2 (1024K, Linux swap), 3 (1024K, Linux), \
            4 (1024K, Linux root (x86-64)), 5 (1024K, type 11111111-2222-3333-4444-555555555555)";
        let of_dos = "it has 1 (1024K, FAT32), 2 (1024K, Linux swap), 4 (1024K, type 0x99), 5 (1024K, Linux LVM)";
        for (script, list) in [(gpt, of_gpt), (dos, of_dos)] {
            File::create(&disk).and_then(|file| file.set_len(16 << 20)).expect("a disk");
            let disk_name = disk.display().to_string();
            let made = Run::new(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", &disk_name]).stdin(script).output();
            made.expect_exit(0);
            for part in ["", "#9"] {
                let (_, lines) = cat(&mounted, &disk, part, "");
                assert!(lines.len() == 1 && lines[0].ends_with(list), "{lines:?}");
            }
            let doctor = Run::new([mounted.artifacts.command.as_os_str(), "doctor".as_ref(), disk.as_os_str()]).output();
            assert!(doctor.out().contains(list), "{}", doctor.out());
        }
    }
}
