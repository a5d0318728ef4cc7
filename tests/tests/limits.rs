// SPDX-License-Identifier: GPL-2.0-only
//! Limits of the process (getrlimit(2)), limits of the kernel's memory, and the edges of ours.

use std::ffi::OsStr;
use std::path::Path;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{tool, Kind};
use stowaway_tests::mounted::{fact, our_lines, said_ok, Mounted};
use stowaway_tests::user;

/// Opens a file of the mount with so many free descriptors below the soft limit, then shows the limit.
const FEW_DESCRIPTORS: &str = r#"
import os, resource, sys
free = int(sys.argv[2])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3 + free, hard))
files = []
try:
    while True:
        files.append(os.open(sys.argv[1] + "/hello.txt", os.O_RDONLY))
except OSError as error:
    print(len(files), error.errno, resource.getrlimit(resource.RLIMIT_NOFILE) == (3 + free, hard))
"#;

/// Lowers a soft limit to what the process has, and works on.
const LOW: &str = r#"
import os, resource, sys
def have(word):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(word)) * 1024
name = sys.argv[2]
value = {"RLIMIT_MEMLOCK": lambda: 0, "RLIMIT_STACK": lambda: 256 << 10,
    "RLIMIT_DATA": lambda: have("VmData:") + (4 << 20)}[name]()
which = getattr(resource, name)
limit = (value, resource.getrlimit(which)[1])
resource.setrlimit(which, limit)
with open(sys.argv[1] + "/made", "wb") as file:
    file.write(b"x" * 300000)
    os.fsync(file.fileno())
print(len(open(sys.argv[1] + "/made", "rb").read()), resource.getrlimit(which) == limit)
"#;

/// Fills pipes of the image, which nobody reads, as an ordinary user may.
const PIPES: &str = r#"
import os, resource, sys
made = []
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
try:
    for i in range(1000):
        path = f"{sys.argv[1]}/pipe{i}"
        os.mkfifo(path)
        made.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        try:
            while True:
                os.write(made[-1], b"x" * 65536)
        except BlockingIOError:
            pass
except OSError:
    pass
for file in made:
    os.close(file)
with open(sys.argv[1] + "/after", "w") as file:
    file.write("alive")
    os.fsync(file.fileno())
print(open(sys.argv[1] + "/after").read())
"#;

/// Threads that each have a task of the kernel.
const THREADS: &str = r#"
import os, sys, threading
go, ended = threading.Event(), []
def work():
    try:
        os.stat(sys.argv[1] + "/hello.txt")
    except OSError as error:
        ended.append(error.errno)
    go.wait()
threads = [threading.Thread(target=work) for _ in range(400)]
[thread.start() for thread in threads]
go.set()
[thread.join() for thread in threads]
with open(sys.argv[1] + "/after", "w") as file:
    file.write("alive")
    os.fsync(file.fileno())
print(open(sys.argv[1] + "/after").read(), set(ended) <= {11, 12})
"#;

/// Makes many directories and files before anything is written back, each with a watch where that is asked for.
const MANY: &str = r#"
import ctypes, os, sys
libc, made = ctypes.CDLL(None), 0
watches = libc.inotify_init() if sys.argv[2] == "watched" else -1
try:
    for made in range(9000):
        path = f"{sys.argv[1]}/{made}"
        os.mkdir(path)
        if made % 3 == 0:
            open(path + "/file", "wb").write(b"x" * (made * 13 % 9000))
        if watches >= 0 and libc.inotify_add_watch(watches, path.encode(), 0xfff) < 0:
            break
except OSError as error:
    # Watches stay in memory.
    if watches < 0 or error.errno != 12:
        print(error)
with open(sys.argv[1] + "/after", "w") as file:
    file.write("alive")
    os.fsync(file.fileno())
print(made > (8000 if watches < 0 else 1000), open(sys.argv[1] + "/after").read())
"#;

fn python(mounted: &Mounted, script: &str, more: &[&str]) -> stowaway_tests::process::Run {
    let dir = mounted.dir();
    let words = ["python3", "-c", script, &dir].into_iter().chain(more.iter().copied());
    mounted.run(words)
}

everyone! {
    fn the_size_of_files() {
        assert_eq!(fact("filesize", include_str!("../programs/facts/filesize.c")).err(), "");
    }

    fn the_size_of_files_with_every_engine() {
        for engine in ["inline", "threads", "io_uring"] {
            let mounted = Mounted::new(Kind::Basic);
            let program = mounted.program("filesize", include_str!("../programs/facts/filesize.c"));
            let words = [program.as_os_str(), mounted.dir().as_ref()].map(std::ffi::OsString::from);
            let outcome = mounted.run(words).env("STOWAWAY_BLOCK_ENGINE", engine).output();
            said_ok(engine, &outcome);
            assert_eq!(outcome.err(), "");
            mounted.check();
            assert_eq!(mounted.content("/many39"), vec![b'x'; 16384]);
        }
    }

    fn the_number_of_descriptors() {
        let mounted = Mounted::new(Kind::Basic);
        for free in ["1", "2", "5"] {
            let outcome = python(&mounted, FEW_DESCRIPTORS, &[free]).output();
            assert_eq!((outcome.out(), outcome.err()), (format!("{free} 24 True\n"), String::new()));
        }
        mounted.check();
    }

    fn the_size_of_files_that_another_process_sets() {
        let script = "import os, resource, signal, sys\nsignal.signal(signal.SIGXFSZ, lambda *_: print('SIGXFSZ'))\n\
            file = os.open(sys.argv[1] + '/limited', os.O_RDWR | os.O_CREAT)\nother = os.getpid()\n\
            def limited(to, at):\n child = os.fork()\n if not child:\n  \
            resource.prlimit(other, resource.RLIMIT_FSIZE, (to, resource.RLIM_INFINITY))\n  os._exit(0)\n \
            os.waitpid(child, 0)\n try: print(os.pwrite(file, b'x' * 10, at))\n \
            except OSError as error: print(error.errno)\n\
            limited(1000, 5000)\nlimited(6000, 5000)\nlimited(1000, 5000)\n\
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\nprint(os.pwrite(file, b'x', 5000))\n";
        let mounted = Mounted::new(Kind::Basic);
        let outcome = python(&mounted, script, &[]).output();
        let expected = "SIGXFSZ\n27\n10\nSIGXFSZ\n27\n1\n";
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (expected, ""));
        mounted.check();
    }

    fn a_soft_limit_of_address_space_is_the_programs() {
        let script = "import os, resource, subprocess, sys\n\
            def have():\n lines = open('/proc/self/status').read().splitlines()\n \
            return next(int(line.split()[1]) for line in lines if line.startswith('VmSize:')) << 10\n\
            own = have() + (40 << 20)\nhard = resource.getrlimit(resource.RLIMIT_AS)[1]\n\
            if sys.argv[2] == 'later': open(sys.argv[1] + '/hello.txt').read()\n\
            own = have() + (40 << 20) if sys.argv[2] == 'early' else 150 << 20\n\
            resource.setrlimit(resource.RLIMIT_AS, (own, hard))\n\
            with open(sys.argv[1] + '/made', 'wb') as file: file.write(bytearray(20 << 20))\n\
            print(resource.getrlimit(resource.RLIMIT_AS) == (own, hard))\n\
            try: bytearray(own)\nexcept MemoryError: print('no memory')\n\
            print(subprocess.check_output(['sh', '-c', 'ulimit -v; cat $0/hello.txt', sys.argv[1]]) == \
            b'%d\\nHello, world!\\n' % (own >> 10))\n\
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))\nprint(resource.getrlimit(resource.RLIMIT_AS) == (hard, hard))\n";
        for when in ["early", "later"] {
            let mounted = Mounted::new(Kind::Basic);
            let outcome = python(&mounted, script, &[when]).output();
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("True\nno memory\nTrue\nTrue\n", ""), "{when}");
            mounted.check();
        }
    }

    fn memory_of_the_process() {
        for name in ["RLIMIT_DATA", "RLIMIT_MEMLOCK", "RLIMIT_STACK"] {
            let mounted = Mounted::new(Kind::Basic);
            let outcome = python(&mounted, LOW, &[name]).output();
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("300000 True\n", ""), "{name}");
            mounted.check();
        }
    }

    fn pipes_do_not_take_all_memory() {
        for mem in ["16M", "64M"] {
            let mounted = Mounted::new(Kind::Basic);
            let outcome = python(&mounted, PIPES, &[]).env("STOWAWAY_MEM", mem).output();
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("alive\n", ""), "{mem}");
            mounted.check();
            assert_eq!(mounted.content("/after"), b"alive");
        }
    }

    fn transactions_do_not_take_all_memory() {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path();
        let owner = format!("root_owner={}:{}", user::id(), user::id());
        // With a journal that has more room than the kernel has memory.
        let ext4 = ["-q", "-F", "-J", "size=64", "-E", &owner];
        for (program, options, mem, what) in [
            ("mkfs.ext4", &ext4[..], "16M", "plain"),
            ("mkfs.ext4", &ext4[..], "16M", "watched"),
            ("mkfs.xfs", &["-q", "-f"][..], "24M", "plain"),
        ] {
            if program == "mkfs.xfs" && !(user::is_root() && Path::new("/usr/sbin/mkfs.xfs").exists()) {
                user::note("transactions_do_not_take_all_memory: without XFS: the root directory is root's, or mkfs.xfs is missing");
                continue;
            }
            let image = base.join("many.img");
            let _ = std::fs::remove_file(&image);
            std::fs::File::create(&image).and_then(|file| file.set_len(1 << 30)).expect("an image file");
            let words: Vec<&OsStr> = options.iter().map(OsStr::new).chain([image.as_os_str()]).collect();
            tool(program, &words);
            let mount = format!("{}:{}", image.display(), mounted.dir());
            let run = python(&mounted, MANY, &[what]).env("STOWAWAY_MOUNT", mount).env("STOWAWAY_MEM", mem);
            let outcome = run.output();
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("True alive\n", ""), "{program} {mem} {what}");
            let checker = if program == "mkfs.ext4" { ["e2fsck", "-fn"] } else { ["xfs_repair", "-n"] };
            tool(checker[0], &[checker[1].as_ref(), image.as_os_str()]);
        }
    }

    fn threads_do_not_take_all_memory() {
        let mounted = Mounted::new(Kind::Basic);
        let outcome = python(&mounted, THREADS, &[]).env("STOWAWAY_MEM", "16M").output();
        assert_eq!(outcome.out(), "alive True\n", "{}", outcome.err());
        mounted.check();
    }

    fn what_goes_beyond_the_programs_memory() {
        assert_eq!(fact("overrun", include_str!("../programs/facts/overrun.c")).err(), "");
    }

    fn a_limit_of_address_space_that_is_too_small_is_named() {
        let mounted = Mounted::new(Kind::Basic);
        let mut run = mounted.run_by_command(["cat", &format!("{}/hello.txt", mounted.dir())]);
        // Soft and hard.
        run.before = ["prlimit", "--as=52428800"].map(Into::into).to_vec();
        let outcome = run.output();
        let lines = our_lines(&outcome);
        assert_eq!(outcome.expect_exit(1).out(), "");
        assert!(lines.len() == 1 && lines[0].contains("(RLIMIT_AS, ulimit -v) is 50 MiB"), "{lines:?}");
    }
}
