// SPDX-License-Identifier: GPL-2.0-only
//! Mounts: what is read, what is refused, and that what is written reads back the same.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use stowaway_config::{Config, Level, Mount, Net, Part, Sink, Somebody, Trace, DISK_TYPES, PSEUDO_TYPES};

fn mount(text: &str) -> Mount {
    Mount::parse(text.as_bytes()).unwrap()
}

fn env(value: &[u8]) -> Result<Config, String> {
    Config::from_env([("STOWAWAY_MOUNT", OsStr::from_bytes(value))]).map_err(|error| error.to_string())
}

#[test]
fn plain_and_full_forms() {
    let plain = mount("disk.img:/mnt/data");
    assert_eq!(plain.image, Some("disk.img".into()));
    assert_eq!(plain.path, b"/mnt/data");
    assert!(!plain.read_only && plain.fstype.is_none() && plain.opts.is_empty());

    let full = mount("/a/disk.img://mnt/./data/:ro,type=ext4,opts=noatime+data=journal");
    assert_eq!(full.path, b"/mnt/data");
    assert!(full.read_only);
    assert_eq!(full.fstype.as_deref(), Some("ext4"));
    assert_eq!(full.opts, ["noatime", "data=journal"]);

    assert!(mount("a:/b,ro").read_only);
    assert!(!mount("a:/b:rw").read_only);
    assert_eq!(mount("a:/b,type=auto").fstype, None);
    assert!(mount("a:/b,type=squashfs").read_only);
    assert_eq!(mount("none:/t,type=tmpfs,opts=size=1M").image, None);
    assert_eq!(mount("./none:/t").image, Some("./none".into()));
    assert_eq!(mount(r"a\:b\,c\;d\\e:/m\:n").image, Some(r"a:b,c;d\e".into()));
    assert_eq!(mount("a:/b,opts=x=1:2").opts, ["x=1:2"]);
}

#[test]
fn partitions() {
    let of = |text| (mount(text).image.unwrap(), mount(text).part.partition);
    assert_eq!(of("disk.img#2:/b"), ("disk.img".into(), Some(2)));
    assert_eq!(of(r"disk.img\#2:/b"), ("disk.img#2".into(), None));
    assert_eq!(of(r"disk\\#2:/b"), (r"disk\".into(), Some(2)));
    assert_eq!(of("a#b#3:/b"), ("a#b".into(), Some(3)));
    assert_eq!(of("#b:/b"), ("#b".into(), None));
    assert_eq!(of("b7:/b"), ("b7".into(), None));
    for (text, why) in [
        ("a#0:/b", "no partition number"),
        ("a#99999999999:/b", "no partition number"),
        ("#1:/b", "empty IMAGE"),
        ("none#1:/b,type=tmpfs", "a part of none"),
        ("a#1:/b;a#1:/c", "mounted twice"),
    ] {
        let line = env(text.as_bytes()).unwrap_err();
        assert!(line.contains(why), "{line}");
    }
    assert_eq!(env(b"a#1:/b;a#2:/c").unwrap().mounts.len(), 2);
}

#[test]
fn parts() {
    let all = mount("disk.img@1M#2[/a/b]:/m:ro");
    assert_eq!((all.image.as_deref(), all.read_only), (Some(Path::new("disk.img")), true));
    let part = Part { offset: 1 << 20, partition: Some(2), directory: Some(b"/a/b".to_vec()) };
    assert_eq!((&all.part, all.format()), (&part, "disk.img@1048576#2[/a/b]:/m:ro".into()));
    let found = mount("disk.img[/lost+found/a+b]:/m");
    assert_eq!(found.image.as_deref(), Some(Path::new("disk.img")));
    assert_eq!((found.part.directory.as_deref(), found.more.len()), (Some(&b"/lost+found/a+b"[..]), 0));
    let several = mount("a[/x+y]+b:/m");
    assert_eq!((several.part.directory.as_deref(), several.more.len()), (Some(&b"/x+y"[..]), 1));
    assert_eq!((mount("a[/x+b:/m").more.len(), mount("a+b:/m").more.len()), (1, 1));
    let named = mount(r"a\:b\@512\[/x\]:/m");
    assert_eq!((named.image.as_deref(), &named.part), (Some(Path::new("a:b@512[/x]")), &Part::default()));
    assert_eq!(mount("nbd://localhost/x@4096[/y]:/b").part.offset, 4096);
    for (text, why) in [
        ("a@9999999999999999999:/b", "no offset"),
        ("a[/..]:/b", "has .."),
        ("a[/x\\y]:/b", "after a backslash"),
        ("none[/x]:/b,type=tmpfs", "a part of none"),
        ("a@1M:/b;a@1M[/x]:/c", "mounted twice"),
    ] {
        let line = env(text.as_bytes()).unwrap_err();
        assert!(line.contains(why), "{line}");
    }
    assert!(env(b"a@1M:/b;a@2M:/c").is_ok());
}

#[test]
fn images_in_images() {
    let config = env(b"/h/live.iso:/iso;/iso/fs.sqfs:/r;/r/x.img#1:/s;/h/b.img:/iso/boot").unwrap();
    let holders: Vec<_> = (0..4).map(|at| config.holder(at)).collect();
    assert_eq!(holders, [None, Some(0), Some(1), None]);
    assert_eq!((config.parent(3), config.parent(0)), (Some(0), None));
    for circle in ["/a/x:/a", "/a/x:/b;/b/x:/a", "/a/x:/b;/b/x:/c;/c/x:/a", "/m/n/x:/m"] {
        assert!(env(circle.as_bytes()).unwrap_err().contains("in itself"), "{circle}");
    }
}

#[test]
fn servers() {
    for (text, image, path) in [
        ("nbd://10.0.0.1:10809/disk:/mnt", "nbd://10.0.0.1:10809/disk", &b"/mnt"[..]),
        ("nbd://[::1]/a:/mnt:ro", "nbd://[::1]/a", b"/mnt"),
        ("nbd://localhost:/mnt", "nbd://localhost", b"/mnt"),
        ("nbd+unix:///x?socket=/run/s:/mnt/a", "nbd+unix:///x?socket=/run/s", b"/mnt/a"),
        (r"nbd\://10.0.0.1\:1/disk:/mnt", "nbd://10.0.0.1:1/disk", b"/mnt"),
    ] {
        let mut config = env(text.as_bytes()).unwrap();
        config.absolutize(Path::new("/cwd")).unwrap();
        let got = &config.mounts[0];
        assert_eq!((got.image.as_deref(), &got.path[..]), (Some(Path::new(image)), path));
        assert_eq!(got.uri(), Some(image.as_bytes()));
        assert_eq!(Mount::parse(got.format().as_bytes()).as_ref(), Ok(got));
    }
    assert_eq!(mount("nbd://localhost/x#2:/b").part.partition, Some(2));
    assert_eq!(mount("a:/b").uri(), None);
    assert_eq!(mount("a:/b").address(), None);
    let served = mount("disk.qcow2#2:/b,socket=/run/a\\:b%c");
    assert_eq!((served.uri(), served.image.as_deref()), (None, Some(Path::new("disk.qcow2"))));
    assert_eq!(served.address().as_deref(), Some(&b"nbd+unix:///2?socket=/run/a:b%25c"[..]));
    assert!(
        Mount::parse(b"a:/b,socket=x").is_err() && Mount::parse(b"none:/b,type=tmpfs,socket=/x").is_err()
    );
}

#[test]
fn names_need_not_be_utf8() {
    let config = env(b"\xff\xfe.img:/mnt/\x80").unwrap();
    assert_eq!(config.mounts[0].image.as_deref(), Some(Path::new(OsStr::from_bytes(b"\xff\xfe.img"))));
    assert_eq!(config.mounts[0].path, b"/mnt/\x80");
}

#[test]
fn refusals_name_the_key_and_say_why() {
    let lines: [(&[u8], &str); 26] = [
        (b"disk.img", "has no PATH"),
        (b":/mnt", "empty IMAGE"),
        (b"a:", "empty PATH"),
        (b"a:mnt", "relative PATH"),
        (b"a:/", "whole tree"),
        (b"a://.//", "whole tree"),
        (b"a:/b/../c", "has .."),
        (b"a:/b:rx", "not ro or rw"),
        (b"a:/b:ro:x", "too many fields"),
        (b"a:/b,size=3", "unknown option \"size=3\""),
        (b"a:/b,", "empty option"),
        (b"a:/b,type", "without a value"),
        (b"a:/b,ro=1", "has a value"),
        (b"a:/b,type=ext5", "unknown type=ext5, did you mean ext"),
        (b"a:/b,type=", "unknown type="),
        (b"a:/b,type=tmpfs", "has an image for tmpfs"),
        (b"none:/b", "has no image"),
        (b"none:/b,type=ext4", "has no image"),
        (b"a:/b:ro,ro", "twice"),
        (b"a:/b,type=ext4,type=xfs", "twice"),
        (b"a:/b,opts=", "empty option in opts="),
        (b"a:/b,opts=ro", "has ro in opts="),
        (b"a:/b,opts=x\\,y", "comma in opts="),
        (b"a:/b,opts=\xff", "not in UTF-8"),
        (b"a:/b,type=erofs,rw", "always read-only"),
        (b"a\\b:/c", "after a backslash"),
    ];
    for (text, why) in lines {
        let line = env(text).unwrap_err();
        assert!(line.starts_with("STOWAWAY_MOUNT: ") && line.contains(why), "{line} should say {why}");
        assert!(!line.contains('\n'));
    }
    assert!(Mount::parse(b"a\0:/b").is_err());
    assert!(env(&[b"a:/", &[b'x'; 5000][..]].concat()).unwrap_err().contains("longer than"));
}

#[test]
fn lists() {
    assert_eq!(env(b"").unwrap().mounts, []);
    assert_eq!(env(b"\na:/a\n b:/b;\n  \n").unwrap().mounts.len(), 2);
    for overlapping in ["a:/m;b:/m", "a:/m;b:/m/"] {
        assert!(env(overlapping.as_bytes()).unwrap_err().contains("two mounts on"), "{overlapping}");
    }
    assert!(env(b"a:/m;b:/mn").is_ok() && env(b"a:/m;b:/m/n").is_ok() && env(b"a:/m/n;b:/m").is_ok());
    assert!(env(b"a:/m;./a:/n").unwrap_err().contains("mounted twice"));
    assert!(env(b"a:/m:ro;a:/n").unwrap_err().contains("mounted twice"));
    assert!(env(b"a:/m:ro;a:/n:ro").is_ok());
    assert!(env(b"none:/m,type=tmpfs;none:/n,type=tmpfs").is_ok());
}

#[test]
fn relative_names_become_absolute() {
    let mut config = env(b"a:/m;none:/t,type=tmpfs").unwrap();
    config.kernel_log = Sink::File("k.log".into());
    config.stats = Sink::File("s.log".into());
    config.trace.to = Sink::File("t.log".into());
    config.absolutize(Path::new("/home/u")).unwrap();
    assert_eq!(
        (config.stats, config.trace.to),
        (Sink::File("/home/u/s.log".into()), Sink::File("/home/u/t.log".into()))
    );
    config.stats = Sink::Off;
    config.trace = Trace::default();
    assert_eq!(config.mounts[0].image, Some("/home/u/a".into()));
    assert_eq!(config.mounts[1].image, None);
    assert_eq!(config.kernel_log, Sink::File("/home/u/k.log".into()));
    let twice = env(b"a:/m;/home/u/a:/n").unwrap().absolutize(Path::new("/home/u")).unwrap_err();
    assert!(twice.to_string().contains("mounted twice"));
}

#[test]
fn the_rest_of_the_environment() {
    let config =
        Config::from_env([("HOME", "/x"), ("STOWAWAY_LOG", "off"), ("STOWAWAY_LOG", "bad")]).unwrap();
    assert_eq!(config, Config { log: Level::Off, ..Config::default() });
    for (name, value) in [
        ("STOWAWAY_MEM", "1M"),
        ("STOWAWAY_NET", "eth0"),
        ("STOWAWAY_LOG", ""),
        ("STOWAWAY_KERNEL_LOG", "on"),
        ("STOWAWAY_FOLLOW", "maybe"),
        ("STOWAWAY_STATS", "on"),
        ("STOWAWAY_TRACE", "on"),
        ("STOWAWAY_CWD", "mnt"),
        ("STOWAWAY_RUN", "yes"),
        ("STOWAWAY_MOUNTT", "a:/b"),
        ("STOWAWAY_", "1"),
    ] {
        let line = Config::from_env([(name, value)]).unwrap_err().to_string();
        assert!(line.starts_with(&format!("{name}: ")), "{line}");
    }
}

fn name_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 1u8..=255, 1 => prop::sample::select(b":,;+#2\\\n= \x80".to_vec())];
    prop::collection::vec(byte.prop_filter("not a slash", |byte| *byte != b'/'), 1..12)
        .prop_filter("no dots", |name| name != b"." && name != b"..")
}

fn path_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name_bytes(), 1..4)
        .prop_map(|names| names.iter().flat_map(|name| [b"/", &name[..]].concat()).collect())
}

fn opts() -> impl Strategy<Value = Vec<String>> {
    let opt = "[a-z=:;+\\\\ ]{1,10}".prop_filter("not ro or rw", |opt| opt != "ro" && opt != "rw");
    prop::collection::vec(opt, 0..4)
}

fn any_mount() -> impl Strategy<Value = Mount> {
    let fstype = prop::option::of(prop::sample::select(DISK_TYPES[..5].to_vec()));
    let part = (0u64..4, prop::option::of(1u32..200), prop::option::of(path_bytes()));
    let part = part.prop_map(|(megabytes, partition, directory)| Part {
        offset: megabytes << 20,
        partition,
        directory,
    });
    let disk = (path_bytes(), part, fstype, any::<bool>());
    let disk = disk.prop_map(|(image, part, fstype, read_only)| (Some((image, part)), fstype, read_only));
    let pseudo = (prop::sample::select(PSEUDO_TYPES.to_vec()), any::<bool>());
    let pseudo = pseudo.prop_map(|(fstype, read_only)| (None, Some(fstype), read_only));
    let more = prop::collection::vec((path_bytes(), prop::option::of(1u32..200)), 0..3);
    (prop_oneof![3 => disk, 1 => pseudo], path_bytes(), opts(), prop::option::of(path_bytes()), more)
        .prop_map(|((image, fstype, read_only), path, opts, socket, more)| {
            let part = image.as_ref().map(|(_, part)| part.clone()).unwrap_or_default();
            let image = image.map(|(image, _)| PathBuf::from(OsStr::from_bytes(&image)));
            let fstype = fstype.map(str::to_string);
            // squashfs is read-only whatever is said.
            let read_only = read_only || fstype.as_deref() == Some("squashfs");
            let socket = image.as_ref().and(socket).map(|socket| PathBuf::from(OsStr::from_bytes(&socket)));
            let further = |(image, partition): (Vec<u8>, _)| Mount {
                image: Some(PathBuf::from(OsStr::from_bytes(&image))),
                part: Part { partition, ..Part::default() },
                more: Vec::new(),
                path: path.clone(),
                read_only,
                fstype: None,
                opts: Vec::new(),
                socket: None,
            };
            let more = if image.is_some() { more.into_iter().map(further).collect() } else { Vec::new() };
            Mount { image, part, more, path, read_only, fstype, opts, socket }
        })
}

#[test]
fn images_are_joined_by_a_plus() {
    let several = mount("a.img+b.img#2+/dev/c:/m:ro");
    let names: Vec<_> =
        several.more.iter().map(|m| (m.image.clone().unwrap(), m.part.partition, m.read_only)).collect();
    assert_eq!(names, [(PathBuf::from("b.img"), Some(2), true), (PathBuf::from("/dev/c"), None, true)]);
    assert!(mount("a\\+b:/m").more.is_empty());
    assert!(mount("nbd+unix:///?socket=/s:/m").more.is_empty());
    assert!(mount("c++.img:/m").more.is_empty() && mount("+a:/m").more.is_empty());
    for wrong in ["none+a:/m,type=tmpfs", "a+#2:/m", "a+b#0:/m", "a+b[/x]:/m"] {
        assert!(Mount::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_with_a_plus_in_its_name_is_one_image() {
    let dir = std::env::temp_dir().join(format!("stow-plus-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for name in ["c++.img", "e+f.img"] {
        std::fs::write(dir.join(name), "").unwrap();
    }
    for (text, image, partition, more) in [
        ("c++.img#3:/m", "c++.img", Some(3), 0),
        ("e+f.img#3:/m", "e+f.img", Some(3), 0),
        ("c+d.img:/m", "c", None, 1),
    ] {
        let mut config = env(text.as_bytes()).unwrap();
        config.absolutize(&dir).unwrap();
        let got = &config.mounts[0];
        assert_eq!(
            (got.image.clone().unwrap(), got.part.partition, got.more.len()),
            (dir.join(image), partition, more)
        );
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

proptest! {
    #[test]
    fn a_mount_reads_back(mount in any_mount()) {
        prop_assert_eq!(Mount::parse(mount.format().as_bytes()).unwrap(), mount);
    }

    #[test]
    fn an_environment_reads_back(
        mounts in prop::collection::vec(any_mount(), 0..3),
        pages in (16u64 << 8)..=(16 << 18),
        lo: bool,
        under_run: bool,
        file in prop::option::of(path_bytes()),
    ) {
        let config = Config {
            mounts,
            mem: pages << 12,
            net: if lo { Net::Lo } else { Net::None },
            kernel_log: file.map_or(Sink::Stderr, |f| Sink::File(OsStr::from_bytes(&f).into())),
            under_run,
            follow: !lo,
            run_as: lo.then_some(Somebody { uid: pages as u32, gid: 0 }),
            stats: if lo { Sink::Stderr } else { Sink::Off },
            trace: Trace { to: Sink::File("/a,b\\c".into()), only: vec!["read".into()] },
            doorbell: if lo { stowaway_config::Doorbell::Signal } else { stowaway_config::Doorbell::Auto },
            ..Config::default()
        };
        let vars: Vec<(String, OsString)> = config.to_env();
        match Config::from_env(vars) {
            Ok(back) => prop_assert_eq!(back, config),
            // Two random mounts may well overlap.
            Err(error) => prop_assert!(error.to_string().contains("two mounts on") || error.to_string().contains("itself") || error.to_string().contains("twice")),
        }
    }

    #[test]
    fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(mount) = Mount::parse(&text) {
            prop_assert_eq!(mount.path[0], b'/');
            prop_assert_eq!(Mount::parse(mount.format().as_bytes()).unwrap(), mount);
        }
    }
}

#[test]
fn a_plus_in_a_directory_joins_nothing() {
    for (text, directory, images) in [
        ("i.img[/lost+found]:/m", "/lost+found", 1),
        ("i.img#2[/a+b+c]:/m", "/a+b+c", 1),
        ("i.img[/a+b]+j.img:/m", "/a+b", 2),
        ("i.img[/a]+j[1]:/m", "/a", 2),
        ("i.img[/a\\+b]:/m", "/a+b", 1),
    ] {
        let got = mount(text);
        assert_eq!(got.part.directory.as_deref(), Some(directory.as_bytes()), "{text}");
        assert_eq!(got.more.len() + 1, images, "{text}");
        let formatted = got.format();
        assert_eq!(Mount::parse(formatted.as_bytes()).expect("what was formatted"), got, "{text}");
    }
    // Brackets that do not close are of a name.
    assert_eq!(mount("a[1]+b[/x+b.img:/m").more.len(), 2);
    assert!(Mount::parse(b"a[/x]+b[/y]:/m").is_err());
}
