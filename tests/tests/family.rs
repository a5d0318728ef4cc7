// SPDX-License-Identifier: GPL-2.0-only
//! Several processes on one mount, with one kernel: forks, execs and their ends, against a directory of the host.

use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{self, our_lines, said_ok, Mounted};
use stowaway_tests::process::{Outcome, Run};

/// Runs the words natively and on the mount; `@` stands for the directory.
fn both(mounted: &Mounted, words: &[&str]) -> [Outcome; 2] {
    let with = |dir: &str| words.iter().map(|word| word.replace('@', dir)).collect::<Vec<_>>();
    let native = mounted.fixture.dir(Side::Native).display().to_string();
    let shared = mounted.run(with(&mounted.dir()));
    [Run::new(with(&native)).output(), shared.output()]
}

/// The same output, status and complaints in both, nothing from us, and a clean image.
fn same(words: &[&str]) {
    let mounted = Mounted::new(Kind::Basic);
    same_on(&mounted, words);
    mounted.check();
}

fn same_on(mounted: &Mounted, words: &[&str]) {
    let [native, ours] = both(mounted, words);
    let plain = |outcome: &Outcome| {
        let dirs = [mounted.fixture.dir(Side::Native).display().to_string(), mounted.dir()];
        let text = |text: String| dirs.iter().fold(text, |text, dir| text.replace(dir, "@"));
        (outcome.status.clone(), text(outcome.out()), text(outcome.err()))
    };
    assert_eq!(plain(&ours), plain(&native), "{words:?}");
    assert_eq!(our_lines(&ours), Vec::<String>::new(), "{words:?}");
}

/// A program that checks one matter; nothing is said of it.
fn fact((name, source): (&str, &str)) {
    assert_eq!(mounted::fact(name, source).err(), "");
}

/// A shell's line, in bash and in dash.
fn shells(script: &str) {
    for shell in ["bash", "dash"] {
        same(&[shell, "-c", script]);
    }
}

fn python(script: &str) {
    same(&["python3", "-c", script, "@"]);
}

everyone! {
    fn what_a_child_has_of_its_parent() {
        fact(("shared_forks", include_str!("../programs/facts/shared_forks.c")));
    }

    fn children_that_are_killed_as_they_end() {
        fact(("ends_amid_kills", include_str!("../programs/facts/ends_amid_kills.c")));
    }

    fn a_file_mapped_in_several_processes() {
        fact(("shared_maps", include_str!("../programs/facts/shared_maps.c")));
    }

    fn forks_amid_the_work_of_other_threads() {
        fact(("crowd", include_str!("../programs/facts/crowd.c")));
    }

    fn children_that_share_their_parents_memory() {
        fact(("borrowed", include_str!("../programs/facts/borrowed.c")));
    }

    fn a_process_in_its_parents_memory_cannot_reach_a_mount() {
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program("guest", include_str!("../programs/facts/guest.c"));
        let words = [program.as_os_str(), mounted.dir().as_ref(), mounted.host().as_ref()].map(ToOwned::to_owned);
        let outcome = mounted.run(words).output();
        said_ok("served", &outcome);
        let lines: Vec<_> = ["reach what is in a mount", "make processes or threads", "execute anything"]
            .map(|what| format!("stowaway: a process that shares its parent's memory, and is not waited for, cannot {what}"))
            .into();
        assert_eq!(our_lines(&outcome), lines);
        mounted.check();
    }

    fn children_of_a_process_that_ends() {
        fact(("ending", include_str!("../programs/facts/ending.c")));
    }

    fn waits_for_files_of_both_kernels() {
        fact(("shared_waits", include_str!("../programs/facts/shared_waits.c")));
    }

    fn groups_and_redirections_of_a_shell() {
        shells("{ ls -d /; ls -d /usr; } >@/list; cat @/list; (cat @/list; echo more) >>@/both; cat <@/both");
        shells("seq 3 >@/n; wc -l <@/n; while read x; do cat @/n; done <@/n; exec 3<@/n; cat <&3");
        shells("x=$(cat @/hello.txt; cat <@/hello.txt); echo \"$x\"; echo text | tee @/t | cat - @/t");
    }

    fn pipelines_with_both_ends_on_the_mount() {
        shells("seq 500 >@/in; sort -r <@/in | uniq | head -n 400 | tail -n 3 >@/out; cat @/out");
        shells("mkfifo @/pipe; seq 2000 >@/pipe & cat @/pipe | md5sum; wait; ls @");
    }

    fn processes_that_end_at_the_same_moment() {
        shells("for i in $(seq 60); do x=$(echo $i | cat | cat | cat); echo $x >>@/list; done; md5sum <@/list");
    }

    /// The signal comes right after the fork, amid the exec, and where the new program begins.
    fn a_signal_for_a_child_that_has_just_begun() {
        shells(
            "i=0; while [ $i -lt 150 ]; do sleep 60 <@/hello.txt & [ $((i % 3)) = 0 ] || sleep 0.00$((i % 10)); kill $!; \
             wait $!; s=$?; [ $s = 143 ] || echo \"$i: $s\"; i=$((i+1)); done 2>/dev/null; echo done",
        );
    }

    /// Little memory makes the kernel write while the child is about to leave.
    fn what_a_child_has_begun_to_write_when_it_ends() {
        let mounted = Mounted::new(Kind::Basic);
        let script = "import os, sys\nfor n in range(40):\n name = f'{sys.argv[1]}/z{n}'\n if os.fork() == 0:\n  \
            file = os.open(name, os.O_CREAT | os.O_WRONLY)\n  for i in range(1500): os.write(file, bytes(4096))\n  os._exit(0)\n \
            os.wait()\n os.unlink(name)\n";
        let run = mounted.run(["python3", "-c", script, &mounted.dir()]).env("STOWAWAY_MEM", "16M");
        assert_eq!(run.output().expect_exit(0).err(), "");
        mounted.check();
    }

    fn a_stopped_process_is_in_nobodys_way() {
        // A busy process is inside the kernel most of the time. What it holds is the CPU, or it is handed the CPU.
        shells("sh -c 'while :; do echo x >@/busy; done' & a=$!; mkfifo @/pipe; cat @/pipe >@/out & b=$!; \
            for i in 1 2 3 4 5 6; do kill -STOP $a $b; ls @/hello.txt; kill -CONT $a $b; sleep 0.05; done; kill -STOP $a; \
            cat @/hello.txt; echo text >@/pipe; wait $b; cat @/out; kill -KILL $a; cat @/hello.txt");
    }

    fn a_process_that_is_stopped_while_it_mounts() {
        // The child is the first to touch the mount, and is stopped at some moment of that.
        let script = "import os, random, signal, sys, time
pid = os.fork()
if not pid:
    try: os.listdir(sys.argv[1])
    finally: time.sleep(60)
time.sleep(random.random() * 0.012)
os.kill(pid, signal.SIGSTOP)
print('hello.txt' in os.listdir(sys.argv[1]))
os.kill(pid, signal.SIGKILL)";
        for turn in 0..25 {
            let mounted = Mounted::new(Kind::Basic);
            let mut run = mounted.run(["python3", "-c", script, &mounted.dir()]);
            run.deadline = Some(Duration::from_secs(20));
            let outcome = run.output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "True\n"), "{turn}: {}", outcome.err());
        }
    }

    fn ps_lists_the_family() {
        let mounted = Mounted::new(Kind::Basic);
        let command = mounted.artifacts.command.display().to_string();
        let script = format!("cat <@/hello.txt >@/copy; sleep 0.3; mkfifo @/pipe; (read x <@/pipe; true) & \
            env -u LD_PRELOAD STOWAWAY_MOUNT= {command} ps; kill $!; wait").replace('@', &mounted.dir());
        let outcome = mounted.run(["bash", "-c", &script]).stdin("").output();
        assert_eq!((outcome.status.as_str(), our_lines(&outcome)), ("exit 0", vec![]), "{}", outcome.err());
        let out = outcome.out();
        let image = mounted.fixture.image.display().to_string();
        let ours = out.split("instance ").find(|part| part.contains(&image)).unwrap_or_else(|| panic!("{out}"));
        assert!(ours.matches("bash -c").count() >= 2 && ours.contains("  stowaway-keeper\n"), "{out}");
        mounted.check();
    }

    fn directories_of_a_shell() {
        shells("mkdir -p @/a/b; cd @/a; ls; cd b; pwd; cd ..; touch f; ls -A; (cd b && touch g); ls b; cd /; ls @/a");
        shells("mkdir @/gone; cd @/gone; rmdir ../gone; ls -A . ; ls .. | grep -c gone; cd /");
    }

    fn a_directory_deeper_than_a_path_may_be_long() {
        let script = "import os, sys, subprocess as s\nd = sys.argv[1]\nos.chdir(d)\n\
            for i in range(40): os.mkdir('d' * 120); os.chdir('d' * 120)\n\
            def said(what):\n\
            \x20   try: return what()\n\
            \x20   except OSError as e: return e.strerror\n\
            long = (d + ('/' + 'd' * 120) * 40)\n\
            print(said(os.getcwd) == long, said(lambda: os.readlink('/proc/self/cwd')))\n\
            print(s.run(['/bin/pwd'], capture_output=True).stdout.decode() == long + '\\n')\n\
            print(s.run(['sh', '-c', 'touch made; ls -A; cd ..; ls -A | wc -c; cd ../..; pwd -P | wc -c'], capture_output=True).stdout[:130])\n\
            print(os.listdir('.'), os.listdir('..') == ['d' * 120])";
        python(script);
    }

    fn a_directory_that_is_renamed_or_removed_under_its_processes() {
        python("import os, sys, subprocess as s\nd = sys.argv[1]\nos.makedirs(d + '/a/b'); os.chdir(d + '/a/b')\n\
            os.rename(d + '/a', d + '/new')\n\
            print(s.run(['sh', '-c', '/bin/pwd; touch f; ls ..'], capture_output=True).stdout, os.getcwd(), os.listdir(d + '/new/b'))\n\
            os.remove('f'); os.rmdir(d + '/new/b')\n\
            print(s.run(['ls', '-A'], capture_output=True))\n\
            print(s.run(['touch', 'here'], capture_output=True))\n\
            print(s.run(['ls', '..'], capture_output=True))\n\
            try: os.getcwd()\n\
            except OSError as e: print(e.strerror)");
    }

    fn commands_that_a_tool_starts() {
        same(&["sh", "-c", "for i in 1 2 3; do echo $i >@/f$i; done; find @ -name 'f?' -exec cat {} + | sort; \
            cd @ && find . -name 'f?' -execdir cat {} \\; | sort; ls @/f? | xargs -P2 -n1 cat | sort"]);
        same(&["sh", "-c", "printf 'all: a b\\n\\tcat a b >c\\na b:\\n\\techo $* >$*\\n' | tr '*' '\\100' >@/Makefile; make -s -j2 -C @ 2>&1; cat @/c"]);
        same(&["sh", "-c", "mkdir @/from; seq 9 >@/from/s; tar -C @ -czf @/a.tgz from; mkdir @/to; tar -C @/to -xzf @/a.tgz; cat @/to/from/s"]);
    }

    fn an_offset_is_shared_after_fork_and_exec() {
        python("import os, sys\nd = sys.argv[1]\n\
            open(d + '/o', 'w').write('abcdefghij')\n\
            f = os.open(d + '/o', os.O_RDWR)\n\
            os.set_inheritable(f, True)\n\
            print(os.read(f, 2))\n\
            p = os.fork()\n\
            if p == 0:\n    print(os.read(f, 2), flush=True); os._exit(0)\n\
            os.waitpid(p, 0)\n\
            print(os.read(f, 1), flush=True)\n\
            p = os.spawnvp(os.P_WAIT, 'sh', ['sh', '-c', 'head -c 2 <&%d >/dev/null' % f])\n\
            print(p, os.lseek(f, 0, os.SEEK_CUR) > 5)");
    }

    fn locks_between_processes() {
        python("import os, sys, fcntl, errno, time\nd = sys.argv[1]\n\
            a = os.open(d + '/l', os.O_CREAT | os.O_RDWR)\n\
            fcntl.lockf(a, fcntl.LOCK_EX)\n\
            b = os.open(d + '/l', os.O_RDWR)\n\
            r, w = os.pipe()\n\
            p = os.fork()\n\
            if p == 0:\n\
            \x20   try: fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB); print('got it')\n\
            \x20   except OSError as e: print(errno.errorcode[e.errno])\n\
            \x20   sys.stdout.flush(); os.write(w, b'x'); fcntl.lockf(b, fcntl.LOCK_EX); print('then', flush=True); os._exit(0)\n\
            os.read(r, 1)\n\
            fcntl.lockf(a, fcntl.LOCK_UN)\n\
            print(os.waitpid(p, 0)[1])");
        python("import os, sys, fcntl\nd = sys.argv[1]\n\
            a = os.open(d + '/l', os.O_CREAT | os.O_RDWR)\n\
            fcntl.flock(a, fcntl.LOCK_EX)\n\
            p = os.fork()\n\
            if p == 0:\n    fcntl.flock(a, fcntl.LOCK_UN); os._exit(0)\n\
            os.waitpid(p, 0)\n\
            b = os.open(d + '/l', os.O_RDWR)\n\
            print(fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB))");
    }

    fn what_is_open_survives_exec() {
        python("import os, sys\nd = sys.argv[1]\n\
            if len(sys.argv) == 2:\n\
            \x20   names = []\n\
            \x20   for i in range(100):\n\
            \x20       f = os.open('%s/file-%04d' % (d, i), os.O_CREAT | os.O_RDWR); os.write(f, b'%04d' % i)\n\
            \x20       os.set_inheritable(f, i % 10 != 9); names.append(str(f))\n\
            \x20   f = os.open(d, os.O_TMPFILE | os.O_RDWR); os.write(f, b'0100'); os.set_inheritable(f, True); names.append(str(f))\n\
            \x20   f = os.open(d + '/u', os.O_CREAT | os.O_RDWR); os.write(f, b'0101'); os.unlink(d + '/u'); os.set_inheritable(f, True); names.append(str(f))\n\
            \x20   script = open('/proc/self/cmdline', 'rb').read().split(b'\\0')[2]\n\
            \x20   os.chdir(d)\n\
            \x20   os.execv(sys.executable, [sys.executable, '-c', script, d, ','.join(names)])\n\
            for i, f in enumerate(map(int, sys.argv[2].split(','))):\n\
            \x20   try: ok = os.pread(f, 9, 0) == b'%04d' % i\n\
            \x20   except OSError as e: ok = e.strerror\n\
            \x20   if ok is not True: print(i, ok)\n\
            print(os.getcwd() == d, len(os.listdir('.')))");
    }

    fn a_child_of_a_program_with_threads() {
        python("import os, sys, subprocess\nd = sys.argv[1]\n\
            from concurrent.futures import ThreadPoolExecutor\n\
            pool = ThreadPoolExecutor(2)\n\
            print(pool.submit(lambda: open(d + '/hello.txt').read()).result())\n\
            print(subprocess.run(['cat', d + '/hello.txt'], capture_output=True))\n\
            print(subprocess.run(['cat'], stdin=open(d + '/hello.txt'), stdout=open(d + '/copy', 'w')).returncode)\n\
            print(open(d + '/copy').read())");
    }

    fn an_orphan_goes_on() {
        shells("(sleep 0.4; echo late >@/late) & echo early >@/early; sleep 0.8; cat @/early @/late");
    }

    fn a_failed_exec_changes_nothing() {
        python("import os, sys\nd = sys.argv[1]\n\
            f = os.open(d + '/hello.txt', os.O_RDONLY)\n\
            open(d + '/s', 'w').write('echo hi'); os.chmod(d + '/s', 0o755)\n\
            for name in ['/nonexistent', d + '/s', d, d + '/hello.txt']:\n\
            \x20   try: os.execv(name, ['x'])\n\
            \x20   except OSError as e: print(e.errno)\n\
            print(os.read(f, 9), os.listdir(d).count('s'))");
    }

    fn an_exec_of_what_runs_or_is_no_program() {
        python("import os, sys, shutil, subprocess as s\nd = sys.argv[1]\n\
            f = os.open(d + '/hello.txt', os.O_RDONLY)\n\
            w = os.open(d + '/written', os.O_CREAT | os.O_WRONLY); os.write(w, b'\\x7fELF'); os.fchmod(w, 0o755)\n\
            open(d + '/plain', 'w').write('echo plain $0'); os.chmod(d + '/plain', 0o755)\n\
            open(d + '/bad', 'w').write('#!/there/is/none\\n'); os.chmod(d + '/bad', 0o755)\n\
            shutil.copy('/bin/true', d + '/true')\n\
            for name in ['written', 'plain', 'bad', 'none', 'hello.txt', '.']:\n\
            \x20   try: os.execv(d + '/' + name, ['x'])\n\
            \x20   except OSError as e: print(name, e.strerror)\n\
            \x20   try: print(s.run([d + '/' + name]).returncode)\n\
            \x20   except OSError as e: print(name, e.strerror)\n\
            os.close(w); print(s.run([d + '/true']).returncode)\n\
            print(s.run(['sh', '-c', d + '/plain | tr / .'], capture_output=True).stdout.endswith(b'.plain\\n'))\n\
            print(os.read(f, 5), sorted(os.listdir(d)))");
    }

    fn multiprocessing() {
        python("import sys, multiprocessing as m, os\nd = sys.argv[1]\n\
            def work(n):\n\
            \x20   with open('%s/m%d' % (d, n), 'w') as f: f.write(str(n * n))\n\
            \x20   return os.path.getsize('%s/m%d' % (d, n))\n\
            open(d + '/first', 'w').close()\n\
            with m.get_context('fork').Pool(3) as pool: print(pool.map(work, range(20)))\n\
            print(sorted(os.listdir(d)))");
    }
}
