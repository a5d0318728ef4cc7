// SPDX-License-Identifier: GPL-2.0-only
//! Limits of the process (getrlimit(2)), and the edges of ours.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{fact, said_ok, Mounted};

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

    fn memory_of_the_process() {
        for name in ["RLIMIT_DATA", "RLIMIT_MEMLOCK", "RLIMIT_STACK"] {
            let mounted = Mounted::new(Kind::Basic);
            let outcome = python(&mounted, LOW, &[name]).output();
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("300000 True\n", ""), "{name}");
            mounted.check();
        }
    }

    fn what_goes_beyond_the_programs_memory() {
        assert_eq!(fact("overrun", include_str!("../programs/facts/overrun.c")).err(), "");
    }
}
