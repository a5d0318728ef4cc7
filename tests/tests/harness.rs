// SPDX-License-Identifier: GPL-2.0-only
//! The suite's own instruments: a test that cannot fail proves nothing.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};
use stowaway_tests::ext4::Image;
use stowaway_tests::fixture::{check_image, tool, Fixture, Kind, Side, Stock};
use stowaway_tests::process::Run;
use stowaway_tests::tree::{self, Rules};

fn differences(fixture: &Fixture) -> Vec<String> {
    let native = tree::from_host(&fixture.dir(Side::Native), false).expect("the native tree");
    let image = tree::from_image(&fixture.image).expect("the image's tree");
    let rules = Rules { now: (i64::MAX, i64::MAX), holes: false, atime: true };
    tree::differences(&native, &image, rules, &|bytes| bytes.to_vec())
}

/// A change of the native tree, and a word of the difference that must be noticed.
type Change = (&'static str, fn(&Path) -> std::io::Result<()>, &'static str);

const CHANGES: [Change; 11] = [
    ("content", |dir| fs::write(dir.join("hello.txt"), "Hello, World!\n"), "text"),
    (
        "a byte in the middle of a big file",
        |dir| open(&dir.join("big.dat"))?.write_all_at(b"?", 700_001),
        "content",
    ),
    ("length", |dir| open(&dir.join("big.dat"))?.set_len(1 << 20), "size"),
    ("mode", |dir| fs::set_permissions(dir.join("empty"), fs::Permissions::from_mode(0o604)), "mode"),
    ("a new file", |dir| fs::write(dir.join("dir/new"), ""), "only in the native tree"),
    ("a lost file", |dir| fs::remove_file(dir.join("dir/a")), "only in the image"),
    ("a link's target", |dir| relink(&dir.join("link"), "hello.txT"), "text"),
    (
        "a broken hard link",
        |dir| {
            fs::remove_file(dir.join("hard2")).and(fs::copy(dir.join("hard1"), dir.join("hard2")).map(drop))
        },
        "links",
    ),
    ("an attribute", |dir| xattr::set(dir.join("xattr.txt"), "user.color", b"blux"), "xattrs"),
    ("a lost attribute", |dir| xattr::remove(dir.join("dir"), "user.note"), "xattrs"),
    ("a time", |dir| open(&dir.join("tabs.txt"))?.set_modified(std::time::UNIX_EPOCH), "mtime"),
];

fn open(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().write(true).open(path)
}

fn relink(path: &Path, target: &str) -> std::io::Result<()> {
    fs::remove_file(path)?;
    std::os::unix::fs::symlink(target, path)
}

#[test]
fn fixtures_are_the_same_on_both_sides() {
    let stock = Stock::default();
    for kind in [Kind::Basic, Kind::Empty, Kind::Many, Kind::Small] {
        let fixture = stock.fixture(kind);
        assert_eq!(differences(&fixture), Vec::<String>::new(), "{kind:?}");
        check_image(&fixture.image).unwrap_or_else(|why| panic!("{kind:?}: {why}"));
    }
}

#[test]
fn every_kind_of_difference_is_noticed() {
    let stock = Stock::default();
    for (what, change, word) in CHANGES {
        let fixture = stock.fixture(Kind::Basic);
        change(&fixture.dir(Side::Native)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = differences(&fixture);
        assert!(found.iter().any(|line| line.contains(word)), "{what} was not noticed: {found:?}");
    }
}

#[test]
fn the_reader_agrees_with_debugfs() {
    let fixture = Stock::default().fixture(Kind::Basic);
    let image = Image::open(&fixture.image).expect("the image");
    for path in ["/big.dat", "/sparse.dat", "/hello.txt", "/modes/f4755", "/dir", "/hard1"] {
        let (number, inode) = image.lookup(path).expect("a file of the fixture");
        let stat =
            tool("debugfs", &["-R".as_ref(), format!("stat {path}").as_ref(), fixture.image.as_os_str()]);
        assert!(stat.contains(&format!("Inode: {number} ")), "{path}: {stat}");
        assert!(stat.contains(&format!("Mode:  0{:o} ", inode.mode & 0o7777)), "{path}: {stat}");
        assert!(stat.contains(&format!("Size: {}\n", inode.size)), "{path}: {stat}");
        assert!(stat.contains(&format!("Links: {} ", inode.links)), "{path}: {stat}");
        assert!(stat.contains(&format!("mtime: 0x{:08x}:00000000", inode.mtime.0)), "{path}: {stat}");
    }
    let dumped = fixture.base.path().join("dumped");
    let line = format!("dump /sparse.dat {}", dumped.display());
    tool("debugfs", &["-R".as_ref(), line.as_ref(), fixture.image.as_os_str()]);
    assert!(fs::read(dumped).expect("the dump") == image.read_path("/sparse.dat").expect("the file"));
}

#[test]
fn a_bad_image_is_noticed() {
    let stock = Stock::default();
    let fixture = stock.fixture(Kind::Basic);
    let line = "set_super_value feature_incompat 0x2c6".as_ref();
    tool("debugfs", &["-w".as_ref(), "-R".as_ref(), line, fixture.image.as_os_str()]);
    assert!(check_image(&fixture.image).is_err(), "an image whose journal needs recovery passed");
    let fixture = stock.fixture(Kind::Basic);
    let line = "set_inode_field /hello.txt links_count 7".as_ref();
    tool("debugfs", &["-w".as_ref(), "-R".as_ref(), line, fixture.image.as_os_str()]);
    assert!(check_image(&fixture.image).is_err(), "an image with a wrong link count passed");
}

#[test]
fn a_command_that_hangs_is_a_result() {
    let start = Instant::now();
    let run =
        Run { deadline: Some(Duration::from_millis(300)), ..Run::new(["sh", "-c", "sleep 60 & sleep 60"]) };
    let outcome = run.output();
    assert_eq!(outcome.status, "hang");
    let said = outcome.err();
    assert_eq!(said.matches("hangs: sleep 60").count(), 2, "{said}");
    assert!(said.contains("(sleep): S (sleeping), waits in "), "{said}");
    assert!(start.elapsed() < Duration::from_secs(60));
}
