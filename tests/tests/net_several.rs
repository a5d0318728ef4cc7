// SPDX-License-Identifier: GPL-2.0-only
//! Several interfaces of one kernel, and a kernel that is a router between two of them.

use std::process::Child;
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::network::{Place, COUNTING_CLIENT as CLIENT, COUNTING_SERVER as SERVER};

/// Starts a program that waits for a peer at a socket, and waits until it does.
fn start(place: &Place, socket: &str, net: &str, program: &[&str]) -> Child {
    let child = place.run(&[], &["--net", net], program).spawn();
    while !std::path::Path::new(socket).exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(50));
    child
}

fn ends_well(child: Child) {
    let done = child.wait_with_output().expect("a program");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

everyone! {
    fn a_router_between_two_hosts() {
        let place = Place::new();
        let (a, b) = (place.file("a"), place.file("b"));
        for (server, route, client) in [("10.2.0.2", "10.1.0.1", "10.1.0.2"), ("fd02::2", "fd01::1", "fd01::2")] {
            let bits = if server.contains(':') { 64 } else { 24 };
            let back = if server.contains(':') { "fd02::1" } else { "10.2.0.1" };
            let server_net = format!("stream:{b},listen,ip={server}/{bits},gw={back}");
            let client_net = format!("stream:{a},listen,ip={client}/{bits},gw={route}");
            let serves = start(&place, &b, &server_net, &["python3", "-c", SERVER, server, "1"]);
            let asks = start(&place, &a, &client_net, &["python3", "-c", CLIENT, server]);
            // The program on the router does nothing: the kernel forwards by itself.
            let first = format!("stream:{a},ip=10.1.0.1/24,ip=fd01::1/64");
            let second = format!("stream:{b},ip=10.2.0.1/24,ip=fd02::1/64");
            let options = ["--net", &first, "--net", &second, "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "net.ipv6.conf.all.forwarding=1"];
            let mut router = place.run(&[], &options, &["sleep", "60"]).spawn();
            let done = asks.wait_with_output().expect("the client");
            assert_eq!(String::from_utf8_lossy(&done.stdout), format!("3002100 from {client}\n"), "{}", String::from_utf8_lossy(&done.stderr));
            ends_well(serves);
            let _ = router.kill();
            let _ = router.wait();
        }
    }

    fn each_interface_has_its_own_settings_in_every_process() {
        let place = Place::new();
        let (a, b) = (place.file("a"), place.file("b"));
        let serves = [(&a, "10.1.0.2"), (&b, "10.2.0.2")].map(|(socket, ip)| start(&place, socket, &format!("stream:{socket},listen,ip={ip}/24"), &["python3", "-c", SERVER, ip, "2"]));
        let net = format!("stream:{a},ip=10.1.0.1/24,mtu=1400,mac=02:00:00:00:00:0a;stream:{b},ip=10.2.0.1/24,mtu=9000,mac=02:00:00:00:00:0b");
        // Two processes use both links at a time; then a program that was executed does.
        let script = "ip -o link show
            python3 -c \"$0\" 10.1.0.2 & python3 -c \"$0\" 10.2.0.2; wait
            python3 -c \"$0\" 10.1.0.2; exec python3 -c \"$0\" 10.2.0.2";
        let outcome = place.run(&[], &["--net", &net], &["sh", "-c", script, CLIENT]).output();
        let said = outcome.expect_exit(0).out();
        for word in ["02:00:00:00:00:0a", "02:00:00:00:00:0b", "eth0: ", "mtu 1400", "eth1: ", "mtu 9000"] {
            assert!(said.contains(word), "no {word} in: {said}{}", outcome.err());
        }
        assert_eq!(said.matches("3002100 from 10.1.0.1").count(), 2, "{said}{}", outcome.err());
        assert_eq!(said.matches("3002100 from 10.2.0.1").count(), 2, "{said}{}", outcome.err());
        serves.into_iter().for_each(ends_well);
    }

    fn the_end_of_one_link_leaves_the_others() {
        let place = Place::new();
        let (a, b) = (place.file("a"), place.file("b"));
        let serves = start(&place, &a, &format!("stream:{a},listen,ip=10.1.0.2/24"), &["python3", "-c", SERVER, "10.1.0.2", "1"]);
        let ends = start(&place, &b, &format!("stream:{b},listen,ip=10.2.0.2/24"), &["true"]);
        let options = ["--net", &format!("stream:{a},ip=10.1.0.1/24"), "--net", &format!("stream:{b},ip=10.2.0.1/24")];
        let script = "sleep 1; exec python3 -c \"$0\" 10.1.0.2";
        let outcome = place.run(&[], &options, &["sh", "-c", script, CLIENT]).output();
        assert_eq!(outcome.expect_exit(0).out(), "3002100 from 10.1.0.1\n", "{}", outcome.err());
        assert!(outcome.err().contains("eth1 has ended") && outcome.err().lines().count() <= 2, "{}", outcome.err());
        ends_well(serves);
        ends_well(ends);
    }

    fn one_that_cannot_be_opened_is_named() {
        let place = Place::new();
        let options = ["--net", "user", "--net", "stream:/nonexistent/socket"];
        let outcome = place.run(&[], &options, &["echo", "never"]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        assert!(outcome.err().contains("eth1: /nonexistent/socket: ") && outcome.err().lines().count() == 1, "{}", outcome.err());
    }
}
