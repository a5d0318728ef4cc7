// SPDX-License-Identifier: GPL-2.0-only
//! `,pcap=FILE`: what went through an interface, as other programs read it.

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::fs::File;
use std::process::Command;
use stowaway_tests::everyone;
use stowaway_tests::network::Place;
use stowaway_tests::user::note;

/// Two processes send to each of two hosts, then a third that was executed.
const SCRIPT: &str =
    "for i in 1 2; do python3 -c \"$0\" 10.$i.0.1 & done; wait; exec python3 -c \"$0\" 10.1.0.1";
const SENDS: &str = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(500): s.sendto(b'%04d' % i + bytes(i % 97), (sys.argv[1], 9))
";

/// What a file holds: comments, names of interfaces, and of each frame the interface, whether it came, and its bytes.
struct Seen {
    comments: Vec<String>,
    names: Vec<String>,
    frames: Vec<(u32, bool, Vec<u8>)>,
}

fn read(path: &str) -> Seen {
    let mut reader = PcapNgReader::new(File::open(path).expect("the file")).expect("a section");
    let mut seen = Seen { comments: Vec::new(), names: Vec::new(), frames: Vec::new() };
    for option in &reader.section().options {
        if let SectionHeaderOption::Comment(text) = option {
            seen.comments.push(text.to_string());
        }
    }
    while let Some(block) = reader.next_block() {
        match block.expect("a whole block") {
            Block::InterfaceDescription(block) => {
                seen.names.extend(block.options.iter().filter_map(|option| match option {
                    InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                    _ => None,
                }));
            }
            Block::EnhancedPacket(block) => {
                let came =
                    block.options.iter().any(|option| matches!(option, EnhancedPacketOption::Flags(1)));
                assert_eq!(block.original_len as usize, block.data.len());
                seen.frames.push((block.interface_id, came, block.data.to_vec()));
            }
            other => panic!("{other:?}"),
        }
    }
    seen
}

/// A switch, which has nobody else: frames are sent to an address that nobody has, by a fixed neighbour.
fn with_switch(place: &Place, nets: &[String], script: &str) -> String {
    let lan = place.file("lan");
    let mut switch = Command::new(place.file("stowaway")).args(["switch", &lan]).spawn().expect("a switch");
    while std::os::unix::net::UnixStream::connect(&lan).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let options: Vec<&str> = nets.iter().flat_map(|net| ["--net", net]).collect();
    let script = format!("ip neigh add 10.1.0.1 lladdr 02:00:00:00:00:01 dev eth0; ip neigh add 10.2.0.1 lladdr 02:00:00:00:00:02 dev eth1; {script}");
    let outcome = place
        .run(&[], &[&["--instance", "caught"], &options[..]].concat(), &["sh", "-c", &script, SENDS])
        .env("XDG_RUNTIME_DIR", place.file("run"))
        .output();
    let _ = switch.kill();
    let _ = switch.wait();
    outcome.expect_exit(0);
    outcome.err()
}

fn net(place: &Place, number: u8, file: &str) -> String {
    format!("switch:{},ip=10.{number}.0.2/24,pcap={}", place.file("lan"), place.file(file))
}

fn make_run(place: &Place) {
    use std::os::unix::fs::PermissionsExt;
    let run = place.file("run");
    std::fs::create_dir(&run).expect("a folder");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).expect("a folder of our own");
}

/// The numbers that were sent, in order, to a host: each sender has sent all.
fn numbers(seen: &Seen, interface: u32, host: u8) -> Vec<u32> {
    let is_ours = |frame: &&(u32, bool, Vec<u8>)| {
        frame.0 == interface
            && !frame.1
            && frame.2.len() >= 46
            && frame.2[12..14] == [8, 0]
            && frame.2[30..34] == [10, host, 0, 1]
    };
    let mut all: Vec<u32> = seen
        .frames
        .iter()
        .filter(is_ours)
        .map(|(_, _, data)| std::str::from_utf8(&data[42..46]).expect("a number").parse().expect("a number"))
        .collect();
    all.sort_unstable();
    all
}

everyone! {
    fn one_file_for_two_interfaces_and_three_processes() {
        let place = Place::new();
        make_run(&place);
        let said = with_switch(&place, &[net(&place, 1, "all.pcapng"), net(&place, 2, "all.pcapng")], SCRIPT);
        assert_eq!(said, "");
        let seen = read(&place.file("all.pcapng"));
        assert!(seen.comments[0].contains("instance caught"), "{:?}", seen.comments);
        assert_eq!(seen.names, ["eth0", "eth1"]);
        let twice: Vec<u32> = (0..500).flat_map(|i| [i, i]).collect();
        assert_eq!(numbers(&seen, 0, 1), twice);
        assert_eq!(numbers(&seen, 1, 2), (0..500).collect::<Vec<_>>());
        // What eth1 sends to all comes in at eth0.
        assert!(seen.frames.iter().any(|(_, came, _)| *came));
    }

    fn tcpdump_reads_it() {
        let Some(tcpdump) = ["/usr/bin/tcpdump", "/usr/sbin/tcpdump"].into_iter().find(|path| std::path::Path::new(path).exists()) else {
            return note("tcpdump is not installed");
        };
        let place = Place::new();
        make_run(&place);
        with_switch(&place, &[net(&place, 1, "one.pcapng"), net(&place, 2, "two.pcapng")], SCRIPT);
        for (file, host, wanted) in [("one.pcapng", "10.1.0.1", 1000), ("two.pcapng", "10.2.0.1", 500)] {
            let done = Command::new(tcpdump).args(["-n", "-r", &place.file(file), "udp and dst host", host]).output().expect("tcpdump");
            let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            assert!(done.status.success() && out.lines().count() == wanted, "{file}: {} lines; {err}", out.lines().count());
        }
    }

    fn a_file_that_cannot_be_had_is_a_line() {
        let place = Place::new();
        make_run(&place);
        for (file, word) in [("/nonexistent/x", "ENOENT"), ("/dev/null", "EINVAL"), ("/", "EISDIR")] {
            let outcome = place.run(&[], &["--net", &format!("pair:{},pcap={file}", place.file("link"))], &["echo", "never"]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
            assert!(outcome.err().contains(&format!("pcap={file}: ")) && outcome.err().contains(word) && outcome.err().lines().count() == 1, "{}", outcome.err());
        }
        // Another instance writes to it.
        let net = |link: &str| format!("pair:{},pcap={}", place.file(link), place.file("x.pcapng"));
        let mut first = place.run(&[], &["--net", &net("a")], &["sh", "-c", "echo up; exec sleep 60"]).spawn();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(first.stdout.take().expect("output")), &mut line).expect("a line");
        let outcome = place.run(&[], &["--net", &net("b")], &["echo", "never"]).output();
        let _ = first.kill();
        let _ = first.wait();
        assert!(outcome.status == "exit 125" && outcome.err().contains("is written by another instance"), "{}", outcome.err());
        assert_eq!(read(&place.file("x.pcapng")).names, ["eth0"]);
    }
}
