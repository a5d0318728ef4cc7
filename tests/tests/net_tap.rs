// SPDX-License-Identifier: GPL-2.0-only
//! `--net tap:NAME` and `--net fd:N`: a tap device in a network namespace that the test makes. Root makes the namespace. The
//! program under test runs as root, which opens the device, and as an ordinary user, who is given the open device.

use stowaway_tests::network::{is_ok, Place, Server, Space};

const NET: &str = "tap:tap0,ip=10.9.0.2/24,ip=fd09::2/64,gw=10.9.0.1,gw=fd09::1";
const GIVEN: &str = "fd:9,ip=10.9.0.2/24,ip=fd09::2/64,gw=10.9.0.1,gw=fd09::1";
const MANY: &str = "104857600";

struct Scene {
    place: Place,
    space: Space,
}

impl Scene {
    fn new() -> Option<Scene> {
        Some(Scene { space: Space::new()?, place: Place::new() })
    }

    /// The peer's program does this, as root and as an ordinary user, with a server at `address`.
    #[track_caller]
    fn with_server(&self, address: &str, words: &[&str]) {
        let server = Server::start(&self.place, &self.space.inside(), address);
        let all: Vec<&str> =
            [words[0], address, &server.port].into_iter().chain(words[1..].iter().copied()).collect();
        for (who, net) in self.both() {
            is_ok(&self.place.peer(&who, &["--net", net], &all));
        }
    }

    /// Root, and an ordinary user.
    fn both(&self) -> [(Vec<String>, &'static str); 2] {
        [(self.space.inside(), NET), (self.space.inside_as_ordinary(), GIVEN)]
    }
}

#[track_caller]
fn with_server(words: &[&str]) {
    if let Some(scene) = Scene::new() {
        scene.with_server("10.9.0.1", words);
    }
}

#[test]
fn a_hundred_megabytes_go_out_whole() {
    with_server(&["upload", MANY]);
}

#[test]
fn a_hundred_megabytes_come_in_whole() {
    with_server(&["download", MANY]);
}

#[test]
fn answers_come_in_turn() {
    with_server(&["echo"]);
}

#[test]
fn datagrams_and_fragments() {
    with_server(&["udp"]);
}

#[test]
fn a_port_without_a_server_refuses() {
    with_server(&["refused"]);
}

#[test]
fn a_connection_is_reset() {
    with_server(&["reset"]);
}

#[test]
fn a_child_uses_a_connection() {
    with_server(&["child"]);
}

#[test]
fn a_connection_outlives_an_exec() {
    with_server(&["executed"]);
}

#[test]
fn a_thousand_connections() {
    with_server(&["many", "1000"]);
}

#[test]
fn ipv6() {
    let Some(scene) = Scene::new() else { return };
    scene.with_server("fd09::1", &["upload", "20000000"]);
    scene.with_server("fd09::1", &["download", "20000000"]);
    scene.with_server("fd09::1", &["udp"]);
}

#[test]
fn what_is_on_its_way_at_the_end_arrives() {
    let Some(scene) = Scene::new() else { return };
    let mut server = Server::start(&scene.place, &scene.space.inside(), "10.9.0.1");
    let outcome = scene.place.peer(
        &scene.space.inside(),
        &["--net", NET],
        &["linger", "10.9.0.1", &server.port, "5000000"],
    );
    assert_eq!((outcome.status.as_str(), outcome.err()), ("exit 0", String::new()));
    assert_eq!(server.line(), "got 5000000");
}

/// The first process, which waits for frames, goes by `how` amid a connection of its child's; the status that it ends with.
#[track_caller]
fn the_first_process_goes(how: &str, status: &str) {
    let Some(scene) = Scene::new() else { return };
    let server = Server::start(&scene.place, &scene.space.inside(), "10.9.0.1");
    for (who, net) in scene.both() {
        let script = format!("{GOES}\nscene('{how}', '10.9.0.1', {})", server.port);
        let _ = std::fs::remove_file(scene.place.file("said"));
        let outcome = scene.place.run(&who, &["--net", net], &["python3", "-c", &script]).output();
        assert_eq!(outcome.status, status, "{}", outcome.err());
        let said = (0..400).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::fs::read_to_string(scene.place.file("said")).ok().filter(|text| text.ends_with('\n'))
        });
        assert_eq!(said.as_deref(), Some("ok\n"), "{}", outcome.err());
    }
}

#[test]
fn the_network_goes_on_when_the_first_process_is_killed() {
    the_first_process_goes("kill", "signal 9");
}

#[test]
fn the_network_goes_on_when_the_first_process_ends() {
    the_first_process_goes("exit", "exit 7");
}

const GOES: &str = r#"
import os, signal, socket, sys, time
def scene(how, address, port):
    s = socket.create_connection((address, port))
    s.settimeout(20)
    s.sendall(b"echo....one")
    assert s.recv(3, socket.MSG_WAITALL) == b"one"
    parent, (r, w) = os.getpid(), os.pipe()
    if os.fork():
        os.close(w)
        if how != "exit": os.read(r, 1)
        os._exit(7)
    os.close(r)
    try:
        if how == "kill": os.kill(parent, signal.SIGKILL)
        for i in range(50):
            s.sendall(b"%05d" % i)
            assert s.recv(5, socket.MSG_WAITALL) == b"%05d" % i
            time.sleep(0.01)
        with socket.create_connection((address, port), 20) as t:
            t.sendall(b"echo....two")
            assert t.recv(3, socket.MSG_WAITALL) == b"two"
        said = "ok"
    except BaseException as e:
        said = repr(e)
    with open("said.new", "w") as f: f.write(said + "\n")
    os.rename("said.new", "said")
"#;

#[test]
fn a_server_and_a_client_in_one_shell() {
    let Some(scene) = Scene::new() else { return };
    let script = "python3 -c \"import socket; s = socket.create_server(('10.9.0.2', 7)); c, _ = s.accept(); c.sendall(c.recv(9) * 2)\" & \
                  python3 -c \"
import socket, time
for i in range(100):
    try: s = socket.create_connection(('10.9.0.2', 7)); break
    except ConnectionRefusedError: time.sleep(0.05)
s.sendall(b'hello'); print(s.recv(20, socket.MSG_WAITALL).decode())\"; wait";
    for (who, net) in scene.both() {
        let outcome = scene.place.run(&who, &["--net", net], &["sh", "-c", script]).output();
        assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), ("hellohello\n", ""));
    }
}

#[test]
fn the_program_is_reached_from_outside() {
    let Some(scene) = Scene::new() else { return };
    let script = "import socket\ns = socket.create_server(('', 80))\nprint('up', flush=True)\nc, a = s.accept()\nc.sendall(a[0].encode())\n";
    let mut child = scene
        .place
        .run(&scene.space.inside_as_ordinary(), &["--net", GIVEN], &["python3", "-c", script])
        .spawn();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().expect("output")),
        &mut line,
    )
    .expect("a line");
    assert_eq!(line, "up\n");
    let client = "import socket; print(socket.create_connection(('10.9.0.2', 80), 10).recv(99).decode())";
    let mut command = std::process::Command::new("ip");
    let seen = command
        .args(["netns", "exec", scene.space.name(), "python3", "-c", client])
        .output()
        .expect("a client");
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "10.9.0.1\n");
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn tools_see_the_network_of_the_program() {
    let Some(scene) = Scene::new() else { return };
    let net = format!("{GIVEN},mtu=1400,mac=02:00:00:00:00:07");
    let seen =
        |words: &[&str]| scene.place.run(&scene.space.inside_as_ordinary(), &["--net", &net], words).output();
    let link = seen(&["ip", "-o", "link", "show", "eth0"]).expect_exit(0).out();
    assert!(
        link.contains("mtu 1400") && link.contains("02:00:00:00:00:07") && link.contains("LOWER_UP"),
        "{link}"
    );
    let address = seen(&["ip", "-o", "addr", "show", "eth0"]).expect_exit(0).out();
    assert!(address.contains("10.9.0.2/24") && address.contains("fd09::2/64"), "{address}");
    let route = seen(&["ip", "route", "get", "192.0.2.1"]).expect_exit(0).out();
    assert!(route.contains("via 10.9.0.1 dev eth0"), "{route}");
    if !std::path::Path::new("/usr/bin/ping").exists() {
        return stowaway_tests::user::note("ping is not installed");
    }
    let outcome = seen(&["ping", "-c", "2", "-i", "0.2", "-W", "5", "10.9.0.1"]);
    assert!(outcome.expect_exit(0).out().contains("2 received"), "{}", outcome.out());
}

#[test]
fn the_link_goes_down_and_up_and_loses_packets() {
    let Some(scene) = Scene::new() else { return };
    let server = Server::start(&scene.place, &scene.space.inside(), "10.9.0.1");
    let script = format!(
        "does() {{ python3 peer.py $1 10.9.0.1 {} $2; }}
         does echo; ip link set eth0 down; sleep 0.2; ip link set eth0 up; does echo; ip link set eth0 mtu 1300; does upload 1000000
         tc qdisc add dev eth0 root netem delay 2ms loss 2% duplicate 2%; does upload 3000000; does download 3000000",
        server.port
    );
    let outcome = scene
        .place
        .run(&scene.space.inside_as_ordinary(), &["--net", GIVEN], &["sh", "-c", &script])
        .output();
    assert_eq!((outcome.expect_exit(0).out(), outcome.err()), ("ok\n".repeat(5), String::new()));
}

#[test]
fn the_end_is_not_held_up_by_somebody_who_is_silent() {
    let Some(scene) = Scene::new() else { return };
    // The other side is there for the beginning only.
    let script = "import os, socket
s = socket.create_connection(('10.9.0.1', 9))
os.system('tc qdisc add dev eth0 root netem loss 100%')
s.sendall(bytes(9000))
os._exit(3)";
    let listens = "import socket, time; s = socket.create_server(('10.9.0.1', 9)); print('up', flush=True); time.sleep(60)";
    let mut server = std::process::Command::new("ip")
        .args(["netns", "exec", scene.space.name(), "python3", "-c", listens])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a server");
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(server.stdout.take().expect("output")),
        &mut line,
    )
    .expect("a line");
    let begun = std::time::Instant::now();
    let outcome =
        scene.place.run(&scene.space.inside(), &["--net", NET], &["python3", "-c", script]).output();
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(outcome.status, "exit 3", "{}", outcome.err());
    assert!(begun.elapsed() < std::time::Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[test]
fn an_address_by_dhcp() {
    let Some(scene) = Scene::new() else { return };
    let _leases = Server::start_as("leases", &scene.place, &scene.space.inside(), "10.9.0.1");
    let server = Server::start(&scene.place, &scene.space.inside(), "10.9.0.1");
    let script = format!(
        "ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf; exec python3 peer.py echo 10.9.0.1 {}",
        server.port
    );
    for (who, net) in scene.both() {
        let net = format!("{},ip=dhcp", &net[..net.find(',').expect("options")]);
        let outcome = scene.place.run(&who, &["--net", &net], &["sh", "-c", &script]).output();
        let said = outcome.expect_exit(0).out();
        for word in ["10.9.0.77/24", "valid_lft 3", "default via 10.9.0.1", "nameserver 10.9.0.1\nok\n"] {
            assert!(said.contains(word), "no {word} in: {said}{}", outcome.err());
        }
    }
}

#[test]
fn without_a_server_of_dhcp_there_is_a_line() {
    let Some(scene) = Scene::new() else { return };
    let outcome =
        scene.place.run(&scene.space.inside(), &["--net", "tap:tap0,ip=dhcp"], &["echo", "never"]).output();
    assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
    assert!(
        outcome.err().contains("no server gives an address") && outcome.err().lines().count() == 1,
        "{}",
        outcome.err()
    );
}

#[test]
fn settings_of_the_network_are_set() {
    let Some(scene) = Scene::new() else { return };
    let script = "import socket; s = socket.socket(); print(s.getsockopt(socket.IPPROTO_TCP, 13, 20).rstrip(b'\\0').decode())";
    let options =
        ["--net", NET, "--sysctl", "net.ipv4.tcp_congestion_control=bbr", "--sysctl", "net.ipv4.tcp_ecn=1"];
    let outcome = scene.place.run(&scene.space.inside(), &options, &["python3", "-c", script]).output();
    assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), ("bbr\n", ""));
    let wrong = ["--net", NET, "--sysctl", "net.ipv4.no_such_thing=1"];
    let outcome = scene.place.run(&scene.space.inside(), &wrong, &["echo", "never"]).output();
    assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
    assert!(outcome.err().contains("net.ipv4.no_such_thing"), "{}", outcome.err());
}

#[test]
fn a_device_that_cannot_be_had_is_a_line() {
    let Some(scene) = Scene::new() else { return };
    let refused = |who: &[String], net: &str, word: &str| {
        let outcome = scene.place.run(who, &["--net", net], &["echo", "never"]).output();
        assert_eq!(
            (outcome.status.as_str(), outcome.out().as_str()),
            ("exit 125", ""),
            "{net}: {}",
            outcome.err()
        );
        assert!(
            outcome.err().contains(word) && outcome.err().lines().count() == 1,
            "{net}: {}",
            outcome.err()
        );
    };
    let setpriv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"].map(String::from);
    // EPERM, or EACCES where /dev/net/tun is root's alone.
    refused(&[scene.space.inside(), setpriv.into()].concat(), "tap:none9", "E");
    refused(&scene.space.inside(), "tap:lo", "EINVAL");
    refused(&scene.space.inside(), "fd:9", "fd:9");
    refused(&scene.space.inside(), "stream:/nonexistent/socket", "/nonexistent/socket");
    let mut first = scene.place.run(&scene.space.inside(), &["--net", NET], &["sleep", "60"]).spawn();
    std::thread::sleep(std::time::Duration::from_secs(1));
    refused(&scene.space.inside(), NET, "EBUSY");
    let _ = first.kill();
    let _ = first.wait();
}
