// SPDX-License-Identifier: GPL-2.0-only
//! One C program per matter: it must say `ok` natively and through the shim.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::held::Held;
use stowaway_tests::mounted::{fact, fact_mounted, fact_on, our_lines, said_ok, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::{tree, user};

macro_rules! program {
    ($name:literal) => {
        ($name, include_str!(concat!("../programs/facts/", $name, ".c")))
    };
}

/// A fact of every kernel, with nothing said by us.
#[track_caller]
fn as_native((name, source): (&str, &str)) {
    let outcome = fact(name, source);
    assert_eq!(outcome.err(), "");
}

/// A fact with no directory of the host under the mount path, and with one.
#[track_caller]
fn on_both_grounds((name, source): (&str, &str)) {
    for mounted in [Mounted::new(Kind::Basic), Mounted::over_a_directory(Kind::Basic)] {
        assert_eq!(fact_on(&mounted, name, source).err(), "");
    }
}

/// A program that says ok at its end, on one side.
fn on_side(mounted: &Mounted, program: &Path, side: Side, seed: u64) -> Outcome {
    let (dir, host) = (mounted.fixture.dir(side), mounted.fixture.host(side));
    let words = [program.as_os_str(), dir.as_os_str(), host.as_os_str()];
    let run = if side == Side::Native { Run::new(words) } else { mounted.run(words) };
    let outcome = run.env("SEED", seed.to_string()).output();
    said_ok(&format!("seed {seed}, {side:?}"), &outcome);
    outcome
}

/// Runs a program that prints what its random calls gave, natively and through the shim: the same lines.
fn same_lines(mounted: &Mounted, (name, source): (&str, &str), seed: u64) -> Result<(), String> {
    let program = mounted.program(name, source);
    let on = |side: Side| {
        let outcome = on_side(mounted, &program, side, seed);
        assert_eq!(outcome.err(), "", "seed {seed}");
        let room = mounted.fixture.room(side).display().to_string();
        outcome.out().replace(&room, "{B}")
    };
    let (native, image) = (on(Side::Native), on(Side::Image));
    for (number, (a, b)) in native.lines().zip(image.lines()).enumerate() {
        if a != b {
            let before: Vec<&str> = native.lines().skip(number.saturating_sub(3)).take(3).collect();
            return Err(format!("seed {seed}, line {number}: native {a:?}, shim {b:?}, after {before:?}"));
        }
    }
    mounted.check();
    Ok(())
}

/// Random calls on both sides give equal results and equal trees.
fn random(seed: u64) -> Result<(), String> {
    let mounted = Mounted::over_a_directory(Kind::Basic);
    same_lines(&mounted, program!("random"), seed)?;
    let native = tree::from_host(&mounted.fixture.dir(Side::Native), false).expect("the native tree");
    let image = tree::from_image(&mounted.fixture.image).expect("the image's tree");
    // What "now" is differs by the time between the runs; everything after the fixtures' times is now.
    let rules = tree::Rules { now: (1_700_000_000, 1_700_000_000), holes: false, atime: false };
    let same = |bytes: &[u8]| bytes.to_vec();
    let differences = tree::differences(&native, &image, rules, &same);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(format!("seed {seed}: {}", differences.join("\n")))
    }
}

fn of_many_seeds(differs: impl Fn(u64) -> Result<(), String>) {
    let seeds = std::env::var("STOWAWAY_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(25);
    let wrong: Vec<String> = (1..=seeds).filter_map(|seed| differs(seed).err()).collect();
    assert!(wrong.is_empty(), "{} of {seeds} seeds differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Random work on a mapped file agrees with a copy in memory, natively and on the image, which is whole afterwards, and has the
/// same file.
fn random_maps(mounted: Mounted) {
    let (name, source) = program!("random_maps");
    let program = mounted.program(name, source);
    for seed in 1..=10 {
        on_side(&mounted, &program, Side::Native, seed);
        assert_eq!(on_side(&mounted, &program, Side::Image, seed).err(), "", "seed {seed}");
        let native = std::fs::read(mounted.fixture.dir(Side::Native).join(name)).expect("the native file");
        assert!(mounted.content(name) == native, "seed {seed}: the image has another file");
    }
    mounted.check();
}

everyone! {
    fn descriptor_numbers() { as_native(program!("fds")); }
    fn paths_and_inodes() { on_both_grounds(program!("paths")); }
    fn transfers() { as_native(program!("transfer")); }
    fn long_reads() { as_native(program!("long_reads")); }
    fn asynchronous_requests() { as_native(program!("aio")); }
    fn descriptors_in_messages() { as_native(program!("passed")); }
    fn direct_io() {
        let (name, source) = program!("direct");
        assert_eq!(fact_mounted(name, source).err(), "");
    }
    fn splices() { as_native(program!("splice")); }
    fn mappings_of_files() { as_native(program!("maps")); }
    fn random_stores_and_cuts_of_a_mapped_file() { random_maps(Mounted::new(Kind::Basic)); }
    fn threads() { as_native(program!("threads")); }
    fn signals() { as_native(program!("signals")); }
    fn rare_ways_of_common_calls() { as_native(program!("odds")); }
    fn signals_that_files_send() { as_native(program!("files_signals")); }
    fn a_new_file_is_at_most_a_tick_older_than_its_creation() {
        // Not natively: the time of a file of the host is that of the host's last tick, which may be late itself.
        let mounted = Mounted::new(Kind::Basic);
        let script = "import os, sys, time\nfor i in range(100):\n before = time.time_ns()\n \
            path = f'{sys.argv[1]}/new{i}'\n open(path, 'w').write('x')\n \
            late = before - os.stat(path).st_mtime_ns\n assert late <= 4_100_000, late\n time.sleep(0.003)\nprint('ok')\n";
        let outcome = mounted.run(["python3", "-c", script, &mounted.dir()]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("ok\n", ""));
    }
    fn alternate_signal_stacks() { as_native(program!("alternate")); }
    fn calls_by_the_32_bit_gate() { as_native(program!("calls32")); }
    fn calls_by_the_32_bit_gate_that_are_not_served_say_so() {
        // stat64(2), whose structure is another; fstat64(2) of a file of the host works, and of the image does not.
        let source = "#include \"fact.h\"\nstatic int check(void)\n{\n\
            char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);\n\
            long r[3], fd[2] = { open(\"/\", O_RDONLY), open(HELLO, O_RDONLY) };\n\
            strcpy(low, HELLO);\n\
            __asm__ volatile(\"int $0x80\" : \"=a\"(r[0]) : \"a\"(195L), \"b\"(low), \"c\"(low + 4096) : \"memory\");\n\
            for (int i = 0; i < 2; i++)\n\
            __asm__ volatile(\"int $0x80\" : \"=a\"(r[i + 1]) : \"a\"(197L), \"b\"(fd[i]), \"c\"(low + 4096) : \"memory\");\n\
            CHECK((int)r[0] == -ENOSYS && !r[1] && (int)r[2] == -ENOSYS);\nreturn 0;\n}\n";
        let lines = our_lines(&fact_mounted("refused32", source));
        assert!(lines.len() == 1 && lines[0].contains("int 0x80, call 195"), "{lines:?}");
    }
    fn a_deadly_signal_amid_others() { as_native(program!("ends_amid_signals")); }
    fn signals_ignored_from_the_start() { as_native(program!("inherited")); }
    fn owners_of_files() { as_native(program!("owners")); }
    fn waits_under_a_mask() { as_native(program!("masks")); }
    fn waits_for_files_of_both_kernels() { as_native(program!("waits")); }
    fn watches_in_both_kernels() { on_both_grounds(program!("inotify")); }
    fn faults_whoever_does_the_work() { as_native(program!("helpers")); }
    fn a_timer_during_a_write_load() { as_native(program!("timer")); }

    fn ways_into_the_directory() { on_both_grounds(program!("ways")); }
    fn the_host_may_fill_what_lies_under_the_mount() {
        let mounted = Mounted::over_a_directory(Kind::Basic);
        // What changed a moment ago is not relied on.
        std::thread::sleep(Duration::from_millis(200));
        let script = "import os, sys\nway = sys.argv[1] + '/way'\nos.symlink(sys.argv[2], way)\n\
            def sizes():\n for name in ('', 'hello.txt', 'late'):\n  try:\n   \
            yield os.path.exists(f'{way}/{name}'), os.stat(f'{way}/{name}').st_size % 4096\n   \
            if name: yield len(open(f'{way}/{name}').read())\n  \
            except OSError as e: yield e.errno\n\
            first = list(sizes())\nprint('held', flush=True)\ninput()\nprint(first == list(sizes()), *first)\n";
        let held = Held::start(&mounted.run(["python3", "-c", script, &mounted.host(), &mounted.dir()]));
        for name in ["late", "hello.txt"] {
            std::fs::write(format!("{}/{name}", mounted.dir()), "other").expect("a file of the host");
        }
        assert_eq!(held.finish().0, "True (True, 0) (True, 14) 14 2\n");
        mounted.check();
    }
    fn the_host_may_forbid_what_lies_under_the_mount() {
        let mounted = Mounted::over_a_directory(Kind::Basic);
        std::fs::set_permissions(mounted.dir(), Permissions::from_mode(0o444)).expect("chmod of a directory of ours");
        std::thread::sleep(Duration::from_millis(200));
        let way = format!("{}/way", mounted.host());
        std::os::unix::fs::symlink(mounted.dir(), &way).expect("a symlink");
        let outcome = mounted.run(["cat", &format!("{way}/hello.txt"), &format!("{way}/missing")]).output();
        let missing = format!("cat: {way}/missing: No such file or directory\n");
        assert_eq!((outcome.out(), outcome.err()), ("Hello, world!\n".to_string(), missing));
        std::fs::set_permissions(mounted.dir(), Permissions::from_mode(0o755)).expect("chmod of a directory of ours");
        mounted.check();
    }

    fn ends_of_paths() { on_both_grounds(program!("lastnames")); }
    fn the_mount_in_the_tables_of_proc() {
        let (name, source) = program!("mount_tables");
        assert_eq!(fact_mounted(name, source).err(), "");
    }
    fn locks_in_proc() { as_native(program!("locks")); }
    fn names_in_proc() { on_both_grounds(program!("procfd")); }

    fn a_database() {
        let mounted = Mounted::new(Kind::Empty);
        let script = include_str!("../programs/facts/sqlite.py");
        let native = mounted.fixture.dir(Side::Native).display().to_string();
        said_ok("natively", &Run::new(["python3", "-c", script, &native]).output());
        let outcome = mounted.run(["python3", "-c", script, &mounted.dir()]).output();
        said_ok("through the shim", &outcome);
        assert_eq!(outcome.err(), "");
        mounted.check();
    }

    fn forks_amid_the_work_of_other_threads() { as_native(program!("crowd")); }
    fn calls_on_the_smallest_stack() {
        if std::env::var_os("STOWAWAY_TEST_DOORBELL").is_some() {
            return user::note("calls_on_the_smallest_stack: not run: signals that interrupt the program use its stack");
        }
        as_native(program!("small_stack"));
    }

    fn whoever_the_process_becomes() {
        if !user::is_root() {
            return user::note("whoever_the_process_becomes: only root can become somebody else");
        }
        as_native(program!("rights"));
    }

    fn what_capabilities_allow() {
        if !user::is_root() {
            return user::note("what_capabilities_allow: only root has capabilities to give up");
        }
        as_native(program!("capabilities"));
    }

    fn random_calls() { of_many_seeds(random); }

    fn contained_paths() { on_both_grounds(program!("contained_border")); }
    fn contained_random_paths() {
        of_many_seeds(|seed| {
            let mounted = if seed % 2 == 0 { Mounted::new(Kind::Basic) } else { Mounted::over_a_directory(Kind::Basic) };
            same_lines(&mounted, program!("contained"), seed)
        });
    }

    fn wrong_arguments_are_named_alike() {
        if user::is_root() {
            return user::note("wrong_arguments_are_named_alike: not run as root, who may do what the calls ask for");
        }
        let mounted = Mounted::new(Kind::Basic);
        let (name, source) = program!("errnos");
        let program = mounted.program(name, source);
        let said = [Side::Native, Side::Image].map(|side| on_side(&mounted, &program, side, 0).out());
        let differs: Vec<_> = said[0].lines().zip(said[1].lines()).filter(|(a, b)| a != b).take(20).collect();
        assert!(differs.is_empty(), "native and served: {differs:#?}");
        assert!(said[0].lines().count() > 30_000);
        mounted.check();
    }

    fn rings_of_requests() {
        let mounted = Mounted::over_a_directory(Kind::Basic);
        let (name, source) = program!("uring");
        let program = mounted.program(name, source).display().to_string();
        for (side, role) in [(Side::Native, "native"), (Side::Image, "served")] {
            let [dir, host] = [mounted.fixture.dir(side), mounted.fixture.host(side)].map(|dir| dir.display().to_string());
            let words = [program.clone(), dir, host, role.into()];
            let run = if side == Side::Native { Run::new(words) } else { mounted.run(words) };
            said_ok(role, &run.output());
        }
        // What the host has below the mount.
        let below = std::fs::read_dir(mounted.dir()).expect("a directory").count();
        assert_eq!(below, 0);
        mounted.check();
    }

    fn answers_in_rare_places() { as_native(program!("answers")); }
    fn names_of_unix_sockets() { on_both_grounds(program!("unix_names")); }
    fn names_of_unix_sockets_do_not_stay_behind() {
        // One socket is removed, one is not, one is a child's that outlives its parent.
        let script = r#"
import os, socket, sys
os.chdir(sys.argv[1])
sockets = [socket.socket(socket.AF_UNIX) for _ in range(3)]
for i, one in enumerate(sockets):
    one.bind(sys.argv[1] + "/left%d" % i)
    one.listen()
os.unlink("left0")
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)
    client = socket.socket(socket.AF_UNIX)
    client.connect("left1")
    print(client.getpeername() == sys.argv[1] + "/left1", flush=True)
    os._exit(0)
"#;
        let mounted = Mounted::new(Kind::Basic);
        let dir = mounted.dir().to_string();
        let outcome = mounted.run(["python3", "-c", script, &dir]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("True\n", ""));
        let room = format!("/tmp/.stowaway-{}", user::id());
        for entry in std::fs::read_dir(room).into_iter().flatten().flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            assert!(!target.starts_with(&dir), "{:?} leads to {target:?}", entry.path());
        }
    }
    fn relative_names_never_reach_the_host() {
        let (name, source) = program!("elsewhere");
        let lines = our_lines(&fact_mounted(name, source));
        for word in ["swapon", "mount", "file_setattr", "fanotify_mark", "system call 500"] {
            assert!(lines.iter().any(|line| line.contains(word)), "no line about {word}: {lines:?}");
        }
    }
    fn forks() {
        // With a kernel of its own for each process.
        let (name, source) = program!("forks");
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program(name, source);
        let words = [program.as_os_str(), mounted.dir().as_ref(), mounted.host().as_ref()].map(ToOwned::to_owned);
        let outcome = mounted.run(words).env("STOWAWAY_SHARE", "no").output();
        said_ok("through the shim", &outcome);
        mounted.check();
        let lines = our_lines(&outcome);
        // One child tried, with open files and with paths: at most a line each.
        assert!(matches!(lines.len(), 1 | 2), "{lines:?}");
    }

    fn the_border_between_the_kernels() {
        let (name, source) = program!("border");
        let outcome = fact_mounted(name, source);
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("EPOLLONESHOT"), "{lines:?}");
    }
}
