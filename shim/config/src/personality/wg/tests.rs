// SPDX-License-Identifier: GPL-2.0-only
use super::*;

/// Keys of nobody.
const PRIVATE: &str = "YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PUBLIC: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

fn whole() -> String {
    format!(
        "# of a provider\n[interface]\nPrivateKey={PRIVATE}\nAddress = 10.64.0.2/32, fc00::2/128 # two\nADDRESS=10.65.0.2\n\
         DNS = 10.64.0.1, example.org\nMTU = 1380\nListenPort = 51820\nFwMark = 0xca6c\nTable = auto\nSaveConfig = false\n\n\
         [Peer]\r\nPublicKey = {PUBLIC}\nPresharedKey = {PRIVATE}\nAllowedIPs = 0.0.0.0/0, ::/0\nAllowedIPs = 10.1.2.3/16\n\
         Endpoint = [2001:db8::1]:51820\nPersistentKeepalive = 25\n"
    )
}

#[test]
fn a_whole_file() {
    let tunnel = read(whole().as_bytes()).unwrap();
    assert_eq!(tunnel.private_key.bytes()[..3], [0x60, 0x09, 0xf3]);
    assert_eq!(tunnel.addresses.len(), 3);
    assert_eq!(tunnel.addresses[2], ("10.65.0.2".parse().unwrap(), 32));
    assert_eq!((tunnel.dns.len(), &tunnel.search[..]), (1, &["example.org".to_string()][..]));
    assert_eq!((tunnel.mtu, tunnel.listen_port, tunnel.mark), (Some(1380), Some(51820), 51820));
    let peer = &tunnel.peers[0];
    assert_eq!(peer.allowed[2], ("10.1.0.0".parse().unwrap(), 16));
    assert_eq!(peer.endpoint, Some(Endpoint::Address("[2001:db8::1]:51820".parse().unwrap())));
    assert_eq!(peer.keepalive, 25);
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_key() {
    let whole = whole();
    for (from, to, line, word) in [
        ("Table = auto", "PostUp = iptables -F", 10, "PostUp: commands are not run"),
        ("Table = auto", "preup = x", 10, "PreUp"),
        ("SaveConfig = false", "SaveConfig = true", 11, "SaveConfig"),
        ("MTU = 1380", "MTU = 13800000", 7, "MTU"),
        ("MTU = 1380", "MTU", 7, "KEY = VALUE"),
        ("MTU = 1380", "MTU = 1380\nMTU = 1380", 8, "MTU stands in line 7"),
        ("ListenPort = 51820", "ListenPort = 70000", 8, "ListenPort"),
        ("FwMark = 0xca6c", "FwMark = 0x+a", 9, "FwMark"),
        ("Table = auto", "Table = 0", 10, "Table"),
        ("Table = auto", "Jc = 4", 10, "is of no key"),
        ("Table = auto", "Tabel = auto", 10, "did you mean Table?"),
        ("Table = auto", "Endpoint = 1.2.3.4:5", 10, "Endpoint belongs into [Peer]"),
        ("10.64.0.2/32", "10.64.0.2/33", 4, "Address"),
        ("10.64.0.2/32", "10.64.0.2/+1", 4, "Address"),
        ("10.64.0.2/32", "224.0.0.1/32", 4, "Address"),
        ("DNS = 10.64.0.1", "DNS = 10.64.0.1.1", 6, "DNS"),
        ("[Peer]", "[Pear]", 13, "no section"),
        ("[Peer]", "[Interface]", 13, "second [Interface]"),
        ("PersistentKeepalive = 25", "PersistentKeepalive = 65536", 19, "PersistentKeepalive"),
        ("[2001:db8::1]:51820", "2001:db8::1:51820", 18, "Endpoint"),
        ("[2001:db8::1]:51820", "[2001:db8::1]", 18, "Endpoint"),
        ("[2001:db8::1]:51820", "vpn.example.org:0", 18, "Endpoint"),
        ("[2001:db8::1]:51820", "300.1.1.1:51820", 18, "Endpoint"),
        ("0.0.0.0/0, ", "+0.0.0.0/0, ", 16, "AllowedIPs"),
        ("[interface]", "", 3, "before [Interface]"),
        ("PublicKey = ", "# ", 13, "no PublicKey"),
        ("PrivateKey=", "# ", 0, "no PrivateKey"),
    ] {
        let text = whole.replacen(from, to, 1);
        assert_ne!(text, whole, "{from}");
        let wrong = read(text.as_bytes()).unwrap_err();
        assert!(wrong.line == line && wrong.why.contains(word), "{to}: {wrong}");
    }
    assert_eq!(read(b"").unwrap_err().to_string(), "there is no [Interface]");
    assert_eq!(read(b"\xff").unwrap_err().line, 1);
    let twice = format!("{whole}[Peer]\nPublicKey = {PUBLIC}\n");
    assert_eq!(read(twice.as_bytes()).unwrap_err().line, 20);
}

/// However a file is broken, no piece of a key is in what is said.
#[test]
fn a_key_is_never_said() {
    let whole = whole();
    let glued = format!("PrivateKey{} = ", &PRIVATE[32..42]);
    for (from, to) in [
        ("PrivateKey=", ""),
        ("PrivateKey=", "PrivateKey"),
        ("PrivateKey=", "PrivatKey="),
        ("PrivateKey=", "PrivateKey=="),
        ("PrivateKey=", &glued),
        ("PrivateKey=", "Address="),
        ("PrivateKey=", "MTU="),
        ("PrivateKey=", "["),
        ("PrivateKey=", "PrivateKey=x"),
        ("PublicKey =", "Endpoint ="),
        ("PresharedKey =", "AllowedIPs ="),
    ] {
        let text = whole.replacen(from, to, 1);
        assert_ne!(text, whole, "{from}");
        let said = read(text.as_bytes()).unwrap_err().to_string();
        for key in [PRIVATE, PUBLIC] {
            assert!(!(0..key.len() - 6).any(|at| said.contains(&key[at..at + 6])), "{to}: {said}");
        }
    }
    // A key that is broken into lines.
    for at in 1..43 {
        let text = format!("[Interface]\nPrivateKey = {}\n{}\n", &PRIVATE[..at], &PRIVATE[at..]);
        let said = read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said, "line 2: PrivateKey is not a key: 32 bytes in base64, as wg genkey prints them");
        let text = format!("[Interface]\n{}\n", &PRIVATE[at..]);
        let said = read(text.as_bytes()).unwrap_err().to_string();
        assert!(said.starts_with("line 2: is of no key"), "{said}");
    }
    assert!(!format!("{:?}", read(whole.as_bytes()).unwrap()).contains("96, 9"));
}

#[test]
fn keys_are_read_as_wg_reads_them() {
    assert_eq!(key_bytes(&format!("{}=", "A".repeat(43))), Some([0; 32]));
    assert_eq!(key_bytes(&format!("{}8=", "/".repeat(42))), Some([0xff; 32]));
    for bad in ["", "=", &"A".repeat(44), &format!("{}B=", "A".repeat(42)), &format!("{}-=", "A".repeat(42))]
    {
        assert_eq!(key_bytes(bad), None, "{bad}");
    }
}
