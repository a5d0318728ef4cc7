// SPDX-License-Identifier: GPL-2.0-only
//! What the shim reads at an exec and of paths. The shim is no library to link with, so its pure files are compiled here
//! once more, as they are.

use std::ops::Range;

use crate::target::Target;

#[path = "../../../../shim/src/process/handoff_text.rs"]
#[allow(dead_code, missing_docs)]
mod handoff_text;

#[path = "../../../../shim/src/exec/script.rs"]
#[allow(dead_code, missing_docs)]
mod script;

#[path = "../../../../shim/src/lookup/prefix.rs"]
#[allow(dead_code, missing_docs)]
mod prefix;

use handoff_text::{parse, What, Writer};

/// STOWAWAY_FDS, by which one program tells the next which files are open.
pub const HANDOFF: Target = Target {
    name: "exec_handoff_text",
    seeds: handoffs,
    words: &[b";", b"@", b"=", b"%3B", b"%25", b"18446744073709551615"],
    most: 4096,
    read: read_handoff,
};

/// The first line of a script.
pub const SCRIPT: Target = Target {
    name: "script_line",
    seeds: scripts,
    words: &[b"#!", b"\n", b"\t", b"\0"],
    most: 256,
    read: read_script,
};

/// An absolute path, held against the path of a mount.
pub const PATHS: Target = Target {
    name: "paths",
    seeds: paths,
    words: &[b"/", b"/.", b"/..", b"//", b"mnt", b"data"],
    most: 512,
    read: read_path,
};

fn handoffs() -> Vec<Vec<u8>> {
    let texts = ["3@1025@99@12@/mnt/a%3Bb;4=3;5;", "1@1@0@2@/mnt/data;2=1;", "7@0@18446744073709551615@1@/"];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What was read can be written, and is then read as before.
fn read_handoff(input: &[u8]) {
    let entries = parse(input);
    let mut room = vec![0; 64 << 10];
    let mut writer = Writer::new(&mut room, b"");
    for entry in &entries {
        let fits = writer.entry(entry.number, |w| match &entry.what {
            What::Lost => {}
            What::Same(other) => w.same(*other),
            What::File { flags, offset, inode, path } => w.file(*flags, *offset, *inode, path),
        });
        assert!(fits, "no room");
    }
    let len = writer.len();
    writer.finish();
    assert_eq!(parse(&room[..len]), entries);
}

fn scripts() -> Vec<Vec<u8>> {
    let lines = ["#!/bin/sh\necho", "#! \t/usr/bin/env  python3 -u \n", "#!/bin/sh", "#!\n"];
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn read_script(input: &[u8]) {
    let mut head = [0; script::HEAD];
    let n = input.len().min(head.len());
    head[..n].copy_from_slice(&input[..n]);
    let Some(line) = script::parse(&head) else { return };
    let word = |range: &Range<usize>| !head[range.clone()].contains(&0);
    assert!(!line.interpreter.is_empty() && word(&line.interpreter), "{line:?}");
    if let Some(argument) = &line.argument {
        assert!(line.interpreter.end < argument.start && word(argument), "{line:?}");
    }
}

fn paths() -> Vec<Vec<u8>> {
    let paths = ["/mnt/data/a/b", "//mnt/./data/", "/mnt/data2", "/mnt", "/mnt/data"];
    paths.iter().map(|path| path.as_bytes().to_vec()).collect()
}

/// Held against std's own reading of a path.
fn read_path(input: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    let end = input.iter().position(|&b| b == 0).unwrap_or(input.len());
    let text = &input[..end];
    let is_plain = text.first() == Some(&b'/') && !text.split(|&b| b == b'/').any(|name| name == b"..");
    let rest = prefix::strip(text, b"/mnt/data");
    if is_plain {
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(text));
        assert_eq!(rest.is_some(), path.starts_with("/mnt/data"), "{path:?}");
    }
    if let Some(at) = rest {
        assert!(at <= text.len() && text.get(at) != Some(&b'/'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_read() {
        assert!(handoffs().iter().all(|text| !parse(text).is_empty()));
        handoffs().iter().for_each(|text| read_handoff(text));
        scripts().iter().for_each(|line| read_script(line));
        paths().iter().for_each(|path| read_path(path));
    }
}
