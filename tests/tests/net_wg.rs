// SPDX-License-Identifier: GPL-2.0-only
//! `--wg FILE`: two programs with a kernel each on a `stream:` link, and a WireGuard tunnel over it; a program and wireguard-go;
//! files that are wrong.

use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stowaway_tests::everyone;
use stowaway_tests::network::{has, Place, Space};
use stowaway_tests::process::{Ended, Outcome};
use stowaway_tests::user::is_root;

/// Keys of nobody: private and public, of the server and of the client, and one that both have.
const SERVER: [&str; 2] =
    ["sKAEQu/mtx2TyezI0F1HdGbY17TdsZ+5ZRmn8p+vsGA=", "77ejhtHaAg1631witRC2SsQZh2F4A2E/cI90tyIf43g="];
const CLIENT: [&str; 2] =
    ["2EJiy25zCwMeGanl3hFMyuxiFEUZjK2uphVseF3armI=", "pc0RSFagwL/ofBIpWm5emPF6Bu2XoLsUA9/4PdUDu1w="];
const SHARED: &str = "til5/G/a2ltuSgObvz7GuPb7qh+8afG/NIJAs029nxM=";

/// A server for one client: answers with the client's address and the digest of what came. Names are answered, too.
const SERVE: &str = "import hashlib, socket, sys, threading
def names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('10.8.0.1', 53))
    while True:
        q, peer = s.recvfrom(512)
        end = 12
        while q[end]: end += q[end] + 1
        a = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\5\\0\\4\\x0a\\x08\\0\\1' if q[end + 1:end + 3] == b'\\0\\1' else b''
        s.sendto(q[:2] + b'\\x81\\x80\\0\\1\\0' + bytes([bool(a)]) + bytes(4) + q[12:end + 5] + a, peer)
threading.Thread(target=names, daemon=True).start()
s = socket.create_server(('::', 7), family=socket.AF_INET6, dualstack_ipv6=True)
c, peer = s.accept()
digest = hashlib.sha256()
while part := c.recv(1 << 17): digest.update(part)
c.sendall((peer[0].removeprefix('::ffff:') + ' ' + digest.hexdigest()).encode())
c.close()
";

/// Its client: sends 2 MB by the tunnel, and looks at the frames of eth0 meanwhile. Nothing of it may be seen there.
const GO: &str = "import hashlib, os, socket, sys, threading, time
to = sys.argv[1]
seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
seen.bind(('eth0', 0))
seen.settimeout(0.2)
counts = {'tunnel': 0, 'plain': 0}
def look():
    while counts is not None:
        try: frame = seen.recv(70000)
        except TimeoutError: continue
        counts['plain'] += b'secret of the program' in frame
        counts['tunnel'] += (51820).to_bytes(2, 'big') in frame[34:58]
threading.Thread(target=look, daemon=True).start()
for i in range(200):
    try: s = socket.create_connection((to, 7), 5); break
    except OSError: time.sleep(0.05)
data = b'secret of the program, ' * 87000
s.sendall(data)
s.shutdown(socket.SHUT_WR)
said = b''
while part := s.recv(999): said += part
address, digest = said.decode().split()
time.sleep(0.3)
assert digest == hashlib.sha256(data).hexdigest(), 'the digest'
assert counts['plain'] == 0, 'plain text on the wire'
assert counts['tunnel'] > 100, counts
print(address)
";

/// The server's file.
fn server_file(place: &Place, name: &str) -> String {
    let path = place.file(name);
    let [private, _] = SERVER;
    let [_, public] = CLIENT;
    let text = format!(
        "[Interface]\nPrivateKey = {private}\nListenPort = 51820\nAddress = 10.99.0.1/24, fd99::1/64, 203.0.113.5/32, 2001:db8:5::5\n\
         [Peer]\nPublicKey = {public}\nPresharedKey = {SHARED}\nAllowedIPs = 10.99.0.2/32, fd99::2/128\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

/// The client's file, with other lines of the interface and the peer.
fn client_file(place: &Place, name: &str, interface: &str, peer: &str) -> String {
    let path = place.file(name);
    let [private, _] = CLIENT;
    let [_, public] = SERVER;
    let text = format!(
        "[Interface]\nPrivateKey = {private}\nAddress = 10.99.0.2/24\nAddress = fd99::2/64\n{interface}\n\n\
         [Peer]\nPublicKey = {public}\nPresharedKey = {SHARED}\nPersistentKeepalive = 1\n{peer}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The server, in a kernel of its own behind a socket.
fn serve(place: &Place, socket: &str) -> Child {
    let net = format!("stream:{socket},listen,ip=10.8.0.1/24,ip=fd08::1/64");
    let file = server_file(place, "server.conf");
    let child = place.run(&[], &["--net", &net, "--wg", &file], &["python3", "-c", SERVE]).spawn();
    wait_until("the server's socket", || std::path::Path::new(socket).exists());
    std::thread::sleep(Duration::from_millis(50));
    child
}

/// What the client says, of a server that it reaches at `to`.
fn through(interface: &str, peer: &str, to: &str, more: &[&str]) -> Outcome {
    let place = Place::new();
    let socket = place.file("net.socket");
    let server = serve(&place, &socket);
    let net = format!("stream:{socket},ip=10.8.0.2/24,ip=fd08::2/64,gw=10.8.0.1,gw=fd08::1");
    let file = client_file(&place, "client.conf", interface, peer);
    let options = [&["--net", &net, "--wg", &file], more].concat();
    let outcome = place.run(&[], &options, &["python3", "-c", GO, to]).output();
    let done = server.wait_with_output().expect("the server");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    outcome
}

fn is_from(outcome: &Outcome, address: &str) {
    let said = outcome.err();
    // The server's side may end first: at most a line says so.
    assert!(said.is_empty() || (said.contains("has ended") && said.lines().count() == 1), "{said}");
    assert_eq!(outcome.expect_exit(0).out(), format!("{address}\n"));
}

/// A peer of the link that says nothing: the program has a network, and nobody in it.
fn with_nobody(place: &Place, options: &[&str], program: &[&str]) -> Outcome {
    let socket = place.file("nobody.socket");
    let _ = std::fs::remove_file(&socket);
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let net = format!("stream:{socket},ip=10.8.0.2/24,gw=10.8.0.1");
    place.run(&[], &[&["--net", &net], options].concat(), program).output()
}

everyone! {
    fn what_is_allowed_goes_through_the_tunnel() {
        for (endpoint, to, from) in [
            ("10.8.0.1:51820", "10.99.0.1", "10.99.0.2"),
            ("[fd08::1]:51820", "fd99::1", "fd99::2"),
            ("10.8.0.1:51820", "203.0.113.5", "10.99.0.2"),
        ] {
            let peer = format!("Endpoint = {endpoint}\nAllowedIPs = 10.99.0.1/32, fd99::1, 203.0.113.0/24");
            is_from(&through("", &peer, to, &[]), from);
        }
    }

    fn everything_goes_through_the_tunnel_but_the_tunnel_itself() {
        for (allowed, endpoint, to, from) in [
            ("0.0.0.0/0", "10.8.0.1:51820", "203.0.113.5", "10.99.0.2"),
            ("0.0.0.0/0, ::/0", "[fd08::1]:51820", "2001:db8:5::5", "fd99::2"),
            ("0.0.0.0/1, 128.0.0.0/1", "10.8.0.1:51820", "203.0.113.5", "10.99.0.2"),
        ] {
            let peer = format!("AllowedIPs = {allowed}\nEndpoint = {endpoint}");
            is_from(&through("FwMark = 0x77", &peer, to, &[]), from);
            is_from(&through("", &peer, to, &["--sysctl", "net.ipv4.conf.all.rp_filter=1"]), from);
        }
    }

    fn the_name_of_an_endpoint_is_asked_of_the_network_below() {
        let peer = "Endpoint = vpn.example:51820\nAllowedIPs = 0.0.0.0/0";
        is_from(&through("DNS = 10.99.0.1", peer, "203.0.113.5", &["--dns", "10.8.0.1"]), "10.99.0.2");
    }

    fn addresses_mtu_rules_and_resolvers_are_those_of_the_file() {
        let place = Place::new();
        let interface = "DNS = 10.99.0.1, corp.example\nMTU = 1300";
        let file = client_file(&place, "c.conf", interface, "AllowedIPs = 0.0.0.0/0\nEndpoint = 10.8.0.1:51820");
        let script = "cat /etc/resolv.conf; ip -o link show wg0 | grep -o 'mtu [0-9]*'; ip -o -4 addr show dev wg0 | awk '{print $4}'
            ip -4 rule | tr -s '\\t' ' '; ip route get 1.2.3.4 | head -1 | cut -d' ' -f1-5; ip route get 10.8.0.1 | head -1 | cut -d' ' -f1-3";
        let outcome = with_nobody(&place, &["--wg", &file], &["sh", "-c", script]);
        assert_eq!(
            outcome.expect_exit(0).out(),
            "nameserver 10.99.0.1\nsearch corp.example\nmtu 1300\n10.99.0.2/24\n0: from all lookup local\n\
             32764: from all lookup main suppress_prefixlength 0\n32765: not from all fwmark 0xca6c lookup 51820\n\
             32766: from all lookup main\n32767: from all lookup default\n\
             1.2.3.4 dev wg0 table 51820\n10.8.0.1 dev eth0\n",
            "{}", outcome.err()
        );
        // --dns is what the user says now; Table = off leaves the routes alone.
        let file = client_file(&place, "off.conf", "DNS = 10.99.0.1\nTable = off", "AllowedIPs = 0.0.0.0/0\nEndpoint = 10.8.0.1:51820");
        let script = "cat /etc/resolv.conf; ip -o link show wg0 | grep -o 'mtu [0-9]*'; ip -4 rule | wc -l; ip route get 1.2.3.4 | head -1 | cut -d' ' -f1-5";
        let outcome = with_nobody(&place, &["--wg", &file, "--dns", "192.0.2.9"], &["sh", "-c", script]);
        assert_eq!(outcome.expect_exit(0).out(), "nameserver 192.0.2.9\nmtu 1420\n3\n1.2.3.4 via 10.8.0.1 dev eth0\n", "{}", outcome.err());
        let file = client_file(&place, "table.conf", "Table = 77", "AllowedIPs = 0.0.0.0/0, 10.1.0.0/16\nEndpoint = 10.8.0.1:51820");
        let outcome = with_nobody(&place, &["--wg", &file], &["sh", "-c", "ip -4 rule | wc -l; ip route show table 77"]);
        assert_eq!(outcome.expect_exit(0).out(), "3\ndefault dev wg0 scope link \n10.1.0.0/16 dev wg0 scope link \n", "{}", outcome.err());
    }

    fn a_file_with_thousands_of_networks() {
        let place = Place::new();
        let networks: Vec<String> = (0..3000).map(|n| format!("172.{}.{}.0/24", 16 + n / 256, n % 256)).collect();
        let peer = format!("Endpoint = 10.8.0.1:51820\nAllowedIPs = {}", networks.join(", "));
        let file = client_file(&place, "many.conf", "", &peer);
        let outcome = with_nobody(&place, &["--wg", &file], &["sh", "-c", "ip route show dev wg0 | grep -c ^172; ip route get 172.27.183.1 | head -1"]);
        let said = outcome.expect_exit(0).out();
        assert!(said.starts_with("3000\n172.27.183.1 dev wg0"), "{said}{}", outcome.err());
        if std::path::Path::new("/usr/bin/wg").exists() {
            let outcome = with_nobody(&place, &["--wg", &file], &["sh", "-c", "wg show wg0 allowed-ips | wc -w"]);
            assert_eq!(outcome.expect_exit(0).out(), "3001\n", "{}", outcome.err());
        }
    }

    fn wg_shows_what_the_file_says() {
        if !has("wg") {
            return;
        }
        let place = Place::new();
        let file = client_file(&place, "c.conf", "ListenPort = 4711\nFwMark = 7", "AllowedIPs = 10.1.0.0/16, fd01::/16\nEndpoint = [2001:db8::1]:51820");
        let outcome = with_nobody(&place, &["--wg", &file], &["wg", "show", "wg0", "dump"]);
        let wanted = format!(
            "{}\t{}\t4711\t0x7\n{}\t{SHARED}\t[2001:db8::1]:51820\t10.1.0.0/16,fd01::/16\t0\t0\t0\t1\n", CLIENT[0], CLIENT[1], SERVER[1]
        );
        let said = outcome.expect_exit(0).out();
        // How much it has sent so far differs.
        let said: Vec<&str> = said.split('\t').collect();
        let wanted: Vec<&str> = wanted.split('\t').collect();
        assert_eq!((&said[..9], said.last()), (&wanted[..9], wanted.last()), "{}", outcome.err());
    }

    fn what_is_wrong_ends_the_run_with_a_line() {
        let place = Place::new();
        for (interface, peer, words) in [
            ("PostUp = iptables -I INPUT", "", "c.conf: line 5: PostUp: commands are not run"),
            ("Address = 10.0.0.300", "", "line 5: Address is not"),
            ("MTU = 5", "", "line 5: MTU is not"),
            ("SaveConfig = true", "", "line 5: SaveConfig is not false"),
            ("", "AllowedIPs = 10.0.0.0/99", "line 11: AllowedIPs is not"),
            ("", "Endpoint = x", "line 11: Endpoint is not"),
            ("", "[Peer]", "line 11: the [Peer] has no PublicKey"),
        ] {
            let file = client_file(&place, "c.conf", interface, peer);
            let outcome = place.run(&[], &["--net", "user", "--wg", &file], &["echo", "never"]).output();
            is_refused(&outcome, words);
        }
        let outcome = place.run(&[], &["--net", "user", "--wg", "/nonexistent.conf"], &["echo", "never"]).output();
        is_refused(&outcome, "/nonexistent.conf: No such file");
        is_refused(&place.run(&[], &["--net", "user", "--wg", "/"], &["echo", "never"]).output(), "is no file");
        let file = client_file(&place, "c.conf", "", "");
        is_refused(&place.run(&[], &["--net", "lo", "--wg", &file], &["echo", "never"]).output(), "network below");
        is_refused(&place.run(&[], &["--wg", &file], &["echo", "never"]).output(), "network below");
        // What only the kernel can say.
        let file = client_file(&place, "c.conf", "", "AllowedIPs = 10.8.0.0/24");
        is_refused(&with_nobody(&place, &["--wg", &file], &["echo", "never"]), "AllowedIPs 10.8.0.0/24: file exists (EEXIST)");
        let file = client_file(&place, "c.conf", "", "Endpoint = vpn.example:51820");
        is_refused(&with_nobody(&place, &["--wg", &file, "--dns", "10.8.0.9"], &["echo", "never"]), "Endpoint vpn.example: 10.8.0.9: ");
    }

    fn a_tunnel_that_is_not_there_lets_nothing_out_under_plain_preload() {
        let place = Place::new();
        let socket = place.file("nobody.socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let file = client_file(&place, "c.conf", "PostUp = x", "");
        let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a server of the host's");
        let port = host.local_addr().expect("its address").port();
        let script = format!("import socket\ntry: socket.create_connection(('127.0.0.1', {port}), 3)\nexcept OSError: print('out of reach')");
        let mut run = stowaway_tests::process::Run::new(["python3", "-c", &script]);
        for (name, value) in [("LD_PRELOAD", place.file("libstowaway.so")), ("STOWAWAY_NET", format!("stream:{socket},ip=10.8.0.2/24")), ("STOWAWAY_WG", file)] {
            run = run.env(name, value);
        }
        let outcome = run.output();
        assert_eq!(outcome.expect_exit(0).out(), "out of reach\n");
        assert!(outcome.err().contains("line 5: PostUp") && outcome.err().lines().count() == 1, "{}", outcome.err());
    }
}

#[track_caller]
fn is_refused(outcome: &Outcome, words: &str) {
    let said = outcome.err();
    assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{said}");
    assert!(said.contains(words) && said.lines().count() == 1, "{words}: {said}");
    for key in [SERVER[0], CLIENT[0], SHARED] {
        assert!(!said.contains(&key[..8]), "a key in {said}");
    }
}

/// Against an implementation that is not Linux'.
#[test]
fn a_tunnel_to_wireguard_go() {
    let Some(space) = Space::new() else { return };
    if !["wireguard-go", "wg", "passt"].into_iter().all(has) {
        return;
    }
    assert!(is_root());
    let place = Place::new();
    let words = [space.inside(), ["wireguard-go", "-f", "wgo"].map(String::from).into()].concat();
    let mut go = Command::new(&words[0]);
    go.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _go = Ended(go.spawn().expect("wireguard-go"));
    let name = space.name();
    let is_there = || {
        Command::new("ip")
            .args(["-n", name, "link", "show", "wgo"])
            .output()
            .is_ok_and(|done| done.status.success())
    };
    wait_until("wireguard-go's interface", is_there);
    let whole = std::fs::read_to_string(server_file(&place, "server.conf")).expect("it");
    let plain: Vec<&str> = whole.lines().filter(|line| !line.starts_with("Address")).collect();
    std::fs::write(place.file("plain.conf"), plain.join("\n")).expect("a file");
    space.ip(&format!("netns exec {name} wg setconf wgo {}", place.file("plain.conf")));
    space.ip(&format!("-n {name} addr add 10.99.0.1/24 dev wgo"));
    space.ip(&format!("-n {name} addr add 203.0.113.5/32 dev wgo"));
    space.ip(&format!("-n {name} link set wgo up"));
    let server = stowaway_tests::network::Server::start(&place, &space.inside(), "203.0.113.5");
    // Over a tap device; and over passt, whose gateway leads to the loopback of the namespace.
    for (net, endpoint) in [("fd:9,ip=10.9.0.2/24", "10.9.0.1"), ("user", "10.0.2.2")] {
        let peer = format!("Endpoint = {endpoint}:51820\nAllowedIPs = 0.0.0.0/0");
        let file = client_file(&place, "client.conf", "", &peer);
        for what in ["upload", "download"] {
            let words = [what, "203.0.113.5", &server.port, "20000000"];
            let options = ["--net", net, "--wg", &file];
            stowaway_tests::network::is_ok(&place.peer(&space.inside_as_ordinary(), &options, &words));
        }
    }
}
