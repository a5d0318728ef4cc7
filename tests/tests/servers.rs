// SPDX-License-Identifier: GPL-2.0-only
//! What servers of the network have, mounted: NFS by nfs-ganesha, 9P by diod, SMB by smbd. The program's own network is the host's.

use std::fs;
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::held::Held;
use stowaway_tests::network::{has, Place};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::servers::FileServer;
use stowaway_tests::user::{is_root, note};

const WORK: &str = include_str!("../programs/servers/work.py");
/// (ganesha's file system in memory has its old bytes behind a cut, when the file grows again)
const NFS: &[&str] = &["links", "modes", "silly", "shared", "direct", "locks"];
const NINE_P: &[&str] = &["links", "modes", "locks", "zeros"];
const SMB: &[&str] = &["shared", "direct", "zeros"];

/// A place with the program of `work.py`, and a server.
fn with(server: fn() -> Option<FileServer>) -> Option<(Place, FileServer)> {
    let server = has("passt").then(server)??;
    let place = Place::new();
    fs::write(place.path().join("work.py"), WORK).expect("a program");
    Some((place, server))
}

fn mounted(place: &Place, mounts: &[&str], program: &[&str]) -> Run {
    let options: Vec<&str> = mounts.iter().flat_map(|mount| ["--mount", mount]).collect();
    place.run(&[], &options, program)
}

fn work(place: &Place, mount: &str, features: &[&str]) -> Outcome {
    let script = place.file("work.py");
    let words = [&["python3", &script, "/mnt/srv"][..], features].concat();
    mounted(place, &[mount], &words).output()
}

/// Work on the mount has the same results as natively.
#[track_caller]
fn as_native(place: &Place, mount: &str, features: &[&str]) {
    let native = tempfile::tempdir().expect("a folder");
    let (script, folder) = (place.file("work.py"), native.path().display().to_string());
    let words = [&["python3", &script[..], &folder][..], features].concat();
    let expected = Run::new(words.iter().map(ToString::to_string).collect::<Vec<_>>()).output();
    let seen = work(place, mount, features);
    assert_eq!((seen.status.as_str(), seen.err().as_str()), ("exit 0", ""), "{}", seen.out());
    assert_eq!(seen.out(), expected.expect_exit(0).out());
}

/// A shell with a server's directory, which goes on with `then` when it gets a line, or the end of its input.
fn held(place: &Place, uri: &str, then: &str) -> Held {
    Held::start(&mounted(place, &[uri], &["sh", "-c", &format!("ls /mnt/srv; echo held; read line; {then}")]))
}

everyone! {
    fn nfs() {
        let Some((place, server)) = with(FileServer::nfs) else { return };
        for options in ["", ",opts=vers=4.1", ",opts=vers=4.0"] {
            as_native(&place, &format!("nfs://127.0.0.1:{}/mem:/mnt/srv{options}", server.port), NFS);
        }
    }

    fn nine_p() {
        let Some((place, server)) = with(FileServer::nine_p) else { return };
        let uri = format!("9p://127.0.0.1:{}{}:/mnt/srv", server.port, server.export().display());
        as_native(&place, &uri, NINE_P);
        if !is_root() {
            return note("9P with cache=mmap logs in as root, which an ordinary user's server refuses");
        }
        // With a cache it has mappings of several programs, too.
        as_native(&place, &format!("{uri},opts=cache=mmap"), &[NINE_P, &["shared"]].concat());
    }

    fn smb() {
        let Some((place, server)) = with(FileServer::smb) else { return };
        let uri = format!("smb://127.0.0.1:{}/share:/mnt/srv", server.port);
        as_native(&place, &uri, SMB);
        as_native(&place, &format!("{uri},opts=cache=none"), &["direct"]);
    }

    fn what_is_written_is_the_servers_and_there_for_the_next() {
        let Some((place, server)) = with(FileServer::nfs) else { return };
        let uri = format!("nfs://localhost:{}/mem:/mnt/srv", server.port);
        let first = mounted(&place, &[&uri], &["sh", "-c", "mkdir /mnt/srv/d && seq 100000 >/mnt/srv/d/n && ls -l /mnt/srv/d/n | wc -l"]).output();
        assert_eq!((first.expect_exit(0).out().as_str(), first.err().as_str()), ("1\n", ""));
        let script = "cksum </mnt/srv/d/n; grep -c srv /proc/mounts; stat -f -c %T /mnt/srv; echo x >/mnt/srv/x";
        let seen = mounted(&place, &[&format!("{uri}:ro")], &["sh", "-c", script]).output();
        assert_eq!(seen.out(), "2052179976 588895\n1\nnfs\n");
        assert!(seen.err().contains("Read-only file system"), "{}", seen.err());
    }

    fn the_program_has_the_network_of_the_host_beside() {
        let Some((place, server)) = with(FileServer::nfs) else { return };
        let uri = format!("nfs://127.0.0.1:{0}/mem:/mnt/srv", server.port);
        let script = format!("import socket, os\nsocket.create_connection(('127.0.0.1', {}))\nprint(os.listdir('/mnt/srv'))", server.port);
        let seen = mounted(&place, &[&uri], &["python3", "-c", &script]).output();
        assert_eq!((seen.expect_exit(0).out().as_str(), seen.err().as_str()), ("[]\n", ""));
        // And with a network of the program's own, the server is behind the gateway.
        let own = script.replace("127.0.0.1", "10.0.2.2");
        let seen = place.run(&[], &["--net", "user", "--mount", &uri], &["python3", "-c", &own]).output();
        assert_eq!((seen.expect_exit(0).out().as_str(), seen.err().as_str()), ("[]\n", ""));
    }

    fn many_processes() {
        let Some((place, server)) = with(FileServer::nfs) else { return };
        let uri = format!("nfs://127.0.0.1:{}/mem:/mnt/srv", server.port);
        let script = "cd /mnt/srv && for i in 1 2 3 4; do (for j in $(seq 20); do echo $i-$j >>all; echo $i >$i-$j; done) & done; wait
            sort all | uniq | wc -l; ls | wc -l; tar c . | tar t | wc -l; find . -name '*-7' | xargs cat | sort | tr '\\n' ' '";
        let seen = mounted(&place, &[&uri], &["bash", "-c", script]).output();
        // O_APPEND of NFS is one machine's: the instance is one.
        assert_eq!((seen.expect_exit(0).out().as_str(), seen.err().as_str()), ("80\n81\n82\n1 2 3 4 ", ""));
    }

    fn an_image_that_a_server_has() {
        let Some((place, server)) = with(FileServer::nine_p) else { return };
        let image = server.export().join("a.img");
        assert!(std::process::Command::new("truncate").args(["-s", "16M"]).arg(&image).status().expect("truncate").success());
        assert!(std::process::Command::new("/sbin/mkfs.ext4").args(["-q", "-F", "-E", "root_owner"]).arg(&image).status().expect("mkfs.ext4").success());
        let uri = format!("9p://127.0.0.1:{}{}:/mnt/srv", server.port, server.export().display());
        let seen = mounted(&place, &[&uri, "/mnt/srv/a.img:/mnt/in"], &["sh", "-c", "echo hello >/mnt/in/a; sync; cat /mnt/in/a; ls /mnt/srv"]).output();
        assert_eq!((seen.expect_exit(0).out().as_str(), seen.err().as_str()), ("hello\na.img\n", ""));
        let checked = std::process::Command::new("/sbin/e2fsck").arg("-fn").arg(&image).output().expect("e2fsck");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    fn a_server_that_comes_back_is_waited_for() {
        let Some((place, mut server)) = with(FileServer::nfs) else { return };
        let held = held(&place, &format!("nfs://127.0.0.1:{}/mem:/mnt/srv", server.port), "exec ls -d /mnt/srv/.");
        server.kill();
        server.restart();
        assert_eq!(held.finish(), ("/mnt/srv/.\n".into(), String::new()));
    }

    fn what_cannot_be_mounted_says_why() {
        let Some((place, server)) = with(FileServer::nfs) else { return };
        let says = |options: &[&str], words: &[&str]| {
            let seen = place.run(&[], options, &["echo", "started"]).output();
            let all = (seen.status.clone(), seen.out(), seen.err());
            assert_eq!((all.0.as_str(), all.1.as_str()), ("exit 125", ""), "{options:?}: {all:?}");
            assert!(words.iter().all(|word| all.2.contains(word)) && all.2.lines().count() == 1, "{options:?}: {all:?}");
        };
        let port = server.port;
        says(&["--mount", "nfs://127.0.0.1:1/x:/mnt/srv"], &["127.0.0.1", "port 1 ", "ECONNREFUSED"]);
        says(&["--mount", "nfs://no-such-host.invalid/x:/mnt/srv"], &["no-such-host.invalid", "no such name"]);
        says(&["--mount", &format!("nfs://127.0.0.1:{port}/missing:/mnt/srv")], &["cannot mount as nfs", "ENOENT"]);
        says(&["--mount", &format!("9p://127.0.0.1:{port}/x:/mnt/srv,opts=colour=red")], &["9p"]);
        says(&["--mount", "smb://127.0.0.1:1/:/mnt/srv"], &["names no share"]);
        says(&["--mount", "nfs://me@host/:/mnt/srv"], &["NFS knows none"]);
        says(&["--mount", "nfs://host/:/mnt/srv,type=ext4"], &["says type=ext4"]);
        says(&["--net", "lo", "--mount", "nfs://host/:/mnt/srv"], &["lo leads to no server"]);
        says(&["--mount", "smb://127.0.0.1/a:/mnt/srv,opts=credentials=/no/such/file"], &["credentials=/no/such/file"]);
    }

    fn a_program_ends_without_its_server() {
        let Some((place, mut server)) = with(FileServer::nfs) else { return };
        let held = held(&place, &format!("nfs://127.0.0.1:{}/mem:/mnt/srv", server.port), "echo ends; exit 0");
        server.kill();
        assert_eq!(held.finish().0, "ends\n");
    }

    fn a_wait_for_a_server_is_ended_by_a_deadly_signal() {
        let Some((place, server)) = with(FileServer::nfs) else { return };
        let uri = format!("nfs://127.0.0.1:{}/mem:/mnt/srv", server.port);
        // (What starts the tests may ignore SIGINT and SIGHUP, which programs inherit.)
        for (name, number) in [("TERM", libc::SIGTERM), ("USR1", libc::SIGUSR1), ("KILL", libc::SIGKILL)] {
            let mut held = held(&place, &uri, "exec cat /mnt/srv/none");
            server.pause();
            held.child.stdin.take();
            std::thread::sleep(Duration::from_secs(1));
            assert!(held.child.try_wait().expect("the program").is_none(), "it does not wait");
            let pid = held.child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
            assert_eq!(held.rest().status, format!("signal {number}"));
            server.go_on();
        }
    }
}
