// SPDX-License-Identifier: GPL-2.0-only
//! Names, in a network namespace of the test's own whose only network is its loopback: its resolver is a server of the test's.

use stowaway_tests::network::{has, Place, Server, Space};

/// Executes the other words with another /etc/resolv.conf of the host, in a mount namespace.
const WITH_RESOLVER: &str = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";

/// Asks in each way that programs have.
const ASK: &str = "import socket
print(socket.gethostbyname('name.example'), sorted({row[4][0] for row in socket.getaddrinfo('name.example', 80)}))";

fn look_up(net: &[&str], server: &str) -> Option<String> {
    if !has("passt") {
        return None;
    }
    let space = Space::new()?;
    let place = Place::new();
    std::fs::write(place.file("resolv.conf"), format!("nameserver {server}\n")).expect("a file");
    let _names = Server::start_as("names", &place, &space.inside(), server);
    let resolver = place.file("resolv.conf");
    let words = ["unshare", "-m", "sh", "-c", WITH_RESOLVER, "sh", &resolver].map(String::from);
    let before = [space.inside(), words.into()].concat();
    let outcome = place.run(&before, net, &["python3", "-c", ASK]).output();
    assert_eq!(outcome.err(), "");
    Some(outcome.expect_exit(0).out())
}

#[test]
fn names_by_the_resolver_of_the_host() {
    if let Some(said) = look_up(&["--net", "user"], "127.0.0.1") {
        assert_eq!(said, "192.0.2.77 ['192.0.2.77']\n");
    }
}

#[test]
fn names_by_a_resolver_that_is_said() {
    // The host's resolver is nobody; passt leads its gateway to the loopback.
    if let Some(said) = look_up(&["--net", "user", "--dns", "10.0.2.2"], "127.0.0.1") {
        assert_eq!(said, "192.0.2.77 ['192.0.2.77']\n");
    }
}

#[test]
fn names_over_a_tap_device() {
    let Some(space) = Space::new() else { return };
    let place = Place::new();
    let _names = Server::start_as("names", &place, &space.inside(), "10.9.0.1");
    let net = ["--net", "tap:tap0,ip=10.9.0.2/24", "--dns", "10.9.0.1"];
    let outcome = place.run(&space.inside(), &net, &["python3", "-c", ASK]).output();
    assert_eq!(
        (outcome.expect_exit(0).out().as_str(), outcome.err().as_str()),
        ("192.0.2.77 ['192.0.2.77']\n", "")
    );
}
