// SPDX-License-Identifier: GPL-2.0-only
//! The setting `as`: what the program is told that it is, and what it can do on mounts then, beside what root natively is
//! told and can do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{our_lines, said_ok, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::tree::{self, Tree};
use stowaway_tests::{program, user};

const TOLD: (&str, &str) = ("told", include_str!("../programs/facts/told.c"));
/// What the program prints as root with all of root's capabilities.
const AS_ROOT: &str = include_str!("../programs/facts/told.txt");

/// What root does, in `$D`; `$H` is a directory of the host.
const WORK: &str = include_str!("../programs/helpers/as_root.sh");
/// What is there afterwards: mode, owner, group, device, size of files, capabilities and other attributes.
const DONE: &str = include_str!("../programs/helpers/as_root.txt");

/// Every user may come this way.
fn open_to_all(mounted: &Mounted) {
    for path in [mounted.fixture.base.path().to_path_buf(), mounted.fixture.room(Side::Native)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a directory of ours");
    }
}

/// The program that says who it is, and the same linked statically.
fn told(mounted: &Mounted) -> [PathBuf; 2] {
    let program = mounted.program(TOLD.0, TOLD.1);
    let linked = program::compile_static(mounted.fixture.base.path(), "told_static", TOLD.1);
    [program, linked]
}

fn words(dir: &Path, host: &Path, [program, linked]: &[PathBuf; 2]) -> Vec<PathBuf> {
    vec![program.clone(), dir.into(), host.into(), linked.clone()]
}

/// One line for each file.
fn listing(tree: &Tree) -> String {
    let line = |(path, node): (&Vec<u8>, &tree::Node)| {
        let is_file = node.mode & libc::S_IFMT == libc::S_IFREG;
        let size = if is_file { node.size } else { 0 };
        let xattrs: Vec<String> = node
            .xattrs
            .iter()
            .map(|(name, value)| {
                format!(" {name}={}", value.iter().map(|b| format!("{b:02x}")).collect::<String>())
            })
            .collect();
        let same = if node.same_as == *path {
            String::new()
        } else {
            format!(" = {}", String::from_utf8_lossy(&node.same_as))
        };
        format!(
            "{} {:o} {}:{} {},{} {size}{}{same}\n",
            String::from_utf8_lossy(path),
            node.mode,
            node.uid,
            node.gid,
            node.device.0,
            node.device.1,
            xattrs.concat()
        )
    };
    tree.iter().filter(|(path, _)| !path.is_empty() && !path.starts_with(b"lost+found")).map(line).collect()
}

fn same(what: &str, expected: &str, found: &str) {
    for (number, (a, b)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(a, b, "{what}, line {}", number + 1);
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "{what}: {found}");
}

/// What root natively did becomes what is expected.
fn bless(file: &str, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(file);
        std::fs::write(path, text).expect("a file of the suite");
    }
}

fn works_as_root(outcome: &Outcome) {
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""), "{}", outcome.out());
}

fn script(dir: &Path, host: &Path) -> [PathBuf; 5] {
    ["bash".into(), "-c".into(), WORK.into(), dir.into(), host.into()]
}

everyone! {
    fn the_program_is_told_what_root_is() {
        let mounted = Mounted::new(Kind::Empty);
        open_to_all(&mounted);
        let programs = told(&mounted);
        if user::is_root() {
            let native = mounted.fixture.dir(Side::Native);
            let outcome = Run::new(words(&native, &mounted.fixture.host(Side::Native), &programs)).output();
            said_ok("natively", &outcome);
            bless("facts/told.txt", &outcome.out());
            same("natively", AS_ROOT, &outcome.out());
            return user::note("the_program_is_told_what_root_is: root is told nothing, and is only compared");
        }
        let all = words(mounted.dir().as_ref(), mounted.host().as_ref(), &programs);
        let outcome = mounted.run(all).env("STOWAWAY_AS", "root").output();
        said_ok("as root", &outcome);
        same("as root", AS_ROOT, &outcome.out());
        assert_eq!(outcome.err(), "");
        mounted.check();
        let mounted = Mounted::new(Kind::Empty);
        let all = words(mounted.dir().as_ref(), mounted.host().as_ref(), &told(&mounted));
        open_to_all(&mounted);
        let outcome = mounted.run_by_command(all).env("STOWAWAY_AS", "0:0").output();
        said_ok("by run", &outcome);
        same("by run", AS_ROOT, &outcome.out());
        mounted.check();
    }

    fn what_root_keeps_is_kept() {
        let mounted = Mounted::new(Kind::Empty);
        if user::is_root() {
            let native = mounted.fixture.dir(Side::Native);
            works_as_root(&Run::new(script(&native, &mounted.fixture.host(Side::Native))).output());
            let listing = listing(&tree::from_host(&native, false).expect("the native tree"));
            bless("helpers/as_root.txt", &listing);
            same("natively", DONE, &listing);
            return user::note("what_root_keeps_is_kept: root is told nothing, and is only compared");
        }
        let all = script(mounted.dir().as_ref(), mounted.host().as_ref());
        let outcome = mounted.run_by_command(all).env("STOWAWAY_AS", "root").output();
        works_as_root(&outcome);
        same("as root", DONE, &listing(&tree::from_image(&mounted.fixture.image).expect("the image's tree")));
        mounted.check();
    }

    fn somebody_else_has_their_own_rights() {
        let mounted = Mounted::new(Kind::Empty);
        let secret = format!("{}/secret", mounted.host());
        std::fs::write(&secret, "of the host\n").expect("a file");
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
        let prepare = "umask 077; echo x > $1/secret; mkdir -m 777 $1/open; chmod 755 $1";
        let bash = |who: &str, script: &str| {
            let (dir, host) = (mounted.dir(), mounted.host());
            mounted.run(["bash", "-c", script, "bash", &dir, &host]).env("STOWAWAY_AS", who).output()
        };
        works_as_root(&bash("root", prepare));
        let outcome = bash("1000:100", "cat $1/secret; echo y > $1/open/mine; stat -c '%u %g' $1/open/mine; id -u; id -g; \
            id -G; chown 0 $1/open/mine; cat $2/secret; bash -c 'id -u'");
        assert_eq!(outcome.out(), "1000 100\n1000\n100\n100\nof the host\n1000\n");
        let lines: Vec<String> = outcome.err().lines().map(str::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("/secret: Permission denied") && lines[1].contains("Operation not permitted"), "{lines:?}");
        mounted.check();
    }

    fn the_hosts_files_know_better() {
        if user::is_root() {
            return user::note("the_hosts_files_know_better: not run as root, who may do what the calls ask for");
        }
        let mounted = Mounted::new(Kind::Empty);
        let script = "id -u; head -c 0 /etc/shadow; mkdir /usr/stowaway-was-here; echo > $2/mine; chown 1 $2/mine; \
            stat -c %u $2/mine; kill -0 1; setpriv --reuid 1000 --regid 1000 --clear-groups id -u; id -u";
        let (dir, host) = (mounted.dir(), mounted.host());
        let outcome = mounted.run_by_command(["bash", "-c", script, "bash", &dir, &host]).env("STOWAWAY_AS", "root").output();
        assert_eq!(outcome.out(), format!("0\n{}\n1000\n0\n", user::id()));
        let said = outcome.err();
        for line in ["/etc/shadow", "stowaway-was-here", "changing ownership", "(1) - Operation not permitted"] {
            assert!(said.contains(line), "no {line} in {said}");
        }
        assert_eq!((said.lines().count(), our_lines(&outcome).len()), (4, 0), "{said}");
    }
}
