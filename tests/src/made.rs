// SPDX-License-Identifier: GPL-2.0-only
//! Images made by a file system's own tools and checked by its own checkers. A missing tool is said, not passed over.

use crate::fixture::{tool, Kind, Side};
use crate::mounted::Mounted;
use crate::process::Outcome;
use crate::user;
use std::ffi::OsStr;
use std::path::Path;

/// Whether a program is there.
pub fn installed(program: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(program).exists())
}

/// A test's place, or `None` with a note if a tool is missing.
pub fn place(test: &str, tools: &[&str]) -> Option<Mounted> {
    if let Some(missing) = tools.iter().find(|program| !installed(program)) {
        user::note(&format!("{test}: not run: {missing} is not installed"));
        return None;
    }
    Some(Mounted::new(Kind::Basic))
}

/// Runs a maker over the image's path; `{I}` is the image, `{T}` the native tree.
pub fn make(mounted: &Mounted, mebibytes: u64, line: &str) {
    let image = &mounted.fixture.image;
    let _ = std::fs::remove_file(image);
    if mebibytes > 0 {
        std::fs::File::create(image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image file");
    }
    let tree = mounted.fixture.dir(Side::Native).display().to_string();
    let line = line.replace("{I}", &image.display().to_string()).replace("{T}", &tree);
    let mut words = line.split(' ');
    let program = words.next().expect("a program");
    let arguments: Vec<&OsStr> = words.map(OsStr::new).collect();
    tool(program, &arguments);
}

/// A script of bash; `{D}` is the mount, `{H}` a directory of the host.
pub fn sh(mounted: &Mounted, script: &str) -> Outcome {
    let script = script.replace("{D}", &mounted.dir()).replace("{H}", &mounted.host());
    mounted.run(["bash", "-c", &script]).output()
}

/// The file system's own checker finds nothing.
pub fn make_check(program: &str, options: &[&str], mounted: &Mounted) {
    let mut words: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    words.push(mounted.fixture.image.as_os_str());
    tool(program, &words);
}

/// An ext file system's root directory given to the user who runs the test.
pub fn owned_by_us(mounted: &Mounted) {
    let image = mounted.fixture.image.as_os_str();
    for line in
        [format!("set_inode_field / uid {}", user::id()), format!("set_inode_field / gid {}", user::id())]
    {
        tool("debugfs", &["-w".as_ref(), "-R".as_ref(), line.as_ref(), image]);
    }
}

/// A read-only file system made from the native tree.
pub fn reads(mounted: &Mounted) {
    let outcome = sh(mounted, "cd {D}; read x < hello.txt; echo $x; exec cat dir/a long/LLL*");
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\nfile a\nlong name\n", ""));
    let outcome = sh(mounted, "exec cmp {D}/big.dat {H}/../../n/d/big.dat");
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
    let outcome = sh(mounted, "exec touch {D}/new");
    assert!(outcome.err().contains("Read-only file system"), "{}", outcome.err());
    let outcome = sh(mounted, "exec stat -c '%a %s %F' {D}/modes/f0755 {D}/link");
    assert_eq!(outcome.out().lines().count(), 2, "{}", outcome.err());
}

/// The tree without the file that nobody may read, which an ordinary user's maker could not copy.
pub fn without_hidden(mounted: &Mounted) {
    std::fs::remove_file(mounted.fixture.dir(Side::Native).join("modes/f0000"))
        .expect("a file of the fixture");
}

/// The tree with a name of 200 bytes for the longest: mkfs.erofs 1.5 and mkfs.cramfs give up on 255.
pub fn with_shorter_names(mounted: &Mounted) {
    let long = mounted.fixture.dir(Side::Native).join("long");
    std::fs::remove_dir_all(&long)
        .and_then(|()| std::fs::create_dir(&long))
        .expect("a directory of the fixture");
    std::fs::write(long.join("L".repeat(200)), "long name\n").expect("a file");
}
