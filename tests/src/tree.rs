// SPDX-License-Identifier: GPL-2.0-only
//! What a run leaves behind: a directory tree as a value, read from the host or from an image, and compared.
#![allow(unsafe_code)]

use crate::ext4::{Image, Inode, ROOT_INODE};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The unit of holes: both file systems have blocks of this size.
pub const BLOCK: u64 = 4096;
/// Files up to this size are kept whole, so that a difference can be shown.
const KEEP: u64 = 64 * 1024;

/// A time stamp: seconds and nanoseconds.
pub type Time = (i64, u32);

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length; zero for directories, whose length is the file system's own affair.
    pub size: u64,
    /// Link count.
    pub links: u32,
    /// Last access.
    pub atime: Time,
    /// Last modification.
    pub mtime: Time,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    /// Target of a symbolic link, or the content of a short file.
    pub text: Vec<u8>,
    /// Hash over the blocks that are not all zeros, with their positions.
    pub content: u64,
    /// Runs of blocks that hold data: first block and number of blocks.
    pub data: Vec<(u64, u64)>,
    /// Extended attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// The first path (in sorted order) that is the same inode.
    pub same_as: Vec<u8>,
}

/// A tree: paths relative to its root (the root itself is the empty path).
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// Collects the content of a file block by block.
struct Sum {
    hasher: DefaultHasher,
    data: Vec<(u64, u64)>,
    kept: Option<Vec<u8>>,
}

impl Sum {
    fn new(size: u64) -> Sum {
        let kept = (size <= KEEP).then(|| vec![0; size as usize]);
        Sum { hasher: DefaultHasher::new(), data: Vec::new(), kept }
    }

    /// Takes a block that is not a hole.
    fn block(&mut self, number: u64, size: u64, bytes: &[u8]) {
        if number * BLOCK >= size {
            return;
        }
        match self.data.last_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => self.data.push((number, 1)),
        }
        let end = bytes.len().min((size - number * BLOCK) as usize);
        let bytes = &bytes[..end];
        if let Some(kept) = &mut self.kept {
            let at = (number * BLOCK) as usize;
            kept[at..at + end].copy_from_slice(bytes);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            self.hasher.write_u64(number);
            self.hasher.write(bytes);
        }
    }
}

/// Reads a tree of the host. `settled` first writes each file out and forgets its cached pages: an allocated but
/// unwritten block with a cached page passes for data in `SEEK_DATA`.
pub fn from_host(root: &Path, settled: bool) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut inodes = HashMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(io::Error::other)?;
        let relative = entry.path().strip_prefix(root).map_err(io::Error::other)?;
        let path = relative.as_os_str().as_bytes().to_vec();
        let meta = entry.path().symlink_metadata()?;
        let first = inodes.entry(meta.ino()).or_insert_with(|| path.clone()).clone();
        let node = host_node(entry.path(), &meta, first, settled)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", entry.path().display())))?;
        tree.insert(path, node);
    }
    Ok(settle(tree))
}

/// Link groups are named by their smallest path, whatever order the readers came by.
fn settle(mut tree: Tree) -> Tree {
    let mut smallest: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for (path, node) in &tree {
        smallest.entry(node.same_as.clone()).or_insert_with(|| path.clone());
    }
    for node in tree.values_mut() {
        node.same_as = smallest[&node.same_as].clone();
    }
    tree
}

fn host_node(path: &Path, meta: &std::fs::Metadata, same_as: Vec<u8>, settled: bool) -> io::Result<Node> {
    let kind = meta.mode() & libc::S_IFMT;
    let mut node = Node {
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        size: if kind == libc::S_IFDIR { 0 } else { meta.size() },
        links: meta.nlink() as u32,
        atime: (meta.atime(), meta.atime_nsec() as u32),
        mtime: (meta.mtime(), meta.mtime_nsec() as u32),
        device: (libc::major(meta.rdev()), libc::minor(meta.rdev())),
        text: Vec::new(),
        content: 0,
        data: Vec::new(),
        xattrs: Vec::new(),
        same_as,
    };
    // xattr::list follows links only in its _deref form.
    for name in xattr::list(path)? {
        let value = xattr::get(path, &name)?.unwrap_or_default();
        node.xattrs.push((name.to_string_lossy().into_owned(), value));
    }
    node.xattrs.sort();
    match kind {
        libc::S_IFLNK => node.text = std::fs::read_link(path)?.as_os_str().as_bytes().to_vec(),
        libc::S_IFREG => fill(&mut node, host_content(path, meta, settled)?),
        _ => {}
    }
    Ok(node)
}

fn fill(node: &mut Node, sum: Sum) {
    node.content = sum.hasher.finish();
    node.data = sum.data;
    node.text = sum.kept.unwrap_or_default();
}

fn seek(file: &File, at: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    use std::os::fd::AsRawFd;
    // SAFETY: lseek takes no pointers.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at as libc::off_t, whence) };
    match found {
        -1 if io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        at => Ok(Some(at as u64)),
    }
}

fn host_content(path: &Path, meta: &std::fs::Metadata, settled: bool) -> io::Result<Sum> {
    let size = meta.size();
    let mut sum = Sum::new(size);
    // A file nobody may read is read all the same by root; for its owner the mode is lent for the moment.
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            let file = File::open(path);
            std::fs::set_permissions(path, meta.permissions())?;
            file?
        }
        other => other?,
    };
    if settled {
        use std::os::fd::AsRawFd;
        file.sync_all()?;
        // SAFETY: posix_fadvise takes no pointers.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    let mut at = 0;
    while let Some(start) = seek(&file, at, libc::SEEK_DATA)? {
        let end = seek(&file, start, libc::SEEK_HOLE)?.unwrap_or(size);
        let (first, last) = (start / BLOCK, end.div_ceil(BLOCK));
        for number in first..last {
            let mut bytes = vec![0; BLOCK.min(size - number * BLOCK) as usize];
            file.read_exact_at(&mut bytes, number * BLOCK)?;
            sum.block(number, size, &bytes);
        }
        at = end;
    }
    Ok(sum)
}

/// Reads the whole tree of an image.
pub fn from_image(path: &Path) -> io::Result<Tree> {
    let image = Image::open(path)?;
    if image.block_size != BLOCK {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the suite's images have blocks of 4096 bytes",
        ));
    }
    let mut tree = Tree::new();
    let mut inodes = HashMap::new();
    let mut todo = vec![(Vec::new(), ROOT_INODE)];
    while let Some((path, number)) = todo.pop() {
        let inode = image.inode(number)?;
        if inode.is_directory() {
            for (name, child) in image.entries(&inode)? {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(&name);
                todo.push((below, child));
            }
        }
        let first = inodes.entry(number).or_insert_with(|| path.clone()).clone();
        tree.insert(path, image_node(&image, &inode, first)?);
    }
    Ok(settle(tree))
}

fn image_node(image: &Image, inode: &Inode, same_as: Vec<u8>) -> io::Result<Node> {
    let kind = inode.mode & libc::S_IFMT;
    let special = kind == libc::S_IFCHR || kind == libc::S_IFBLK;
    let mut node = Node {
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        size: if kind == libc::S_IFDIR { 0 } else { inode.size },
        links: inode.links,
        atime: inode.atime,
        mtime: inode.mtime,
        device: if special { inode.device() } else { (0, 0) },
        text: Vec::new(),
        content: 0,
        data: Vec::new(),
        xattrs: image.xattrs(inode)?,
        same_as,
    };
    match kind {
        libc::S_IFLNK => node.text = image.read(inode)?,
        libc::S_IFREG => {
            let mut sum = Sum::new(inode.size);
            image.for_each_block(inode, |number, bytes| sum.block(number, inode.size, bytes))?;
            fill(&mut node, sum);
        }
        _ => {}
    }
    Ok(node)
}

/// How two trees are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Times not before these (native side, image side) mean "now" and are equal to each other.
    pub now: (i64, i64),
    /// Whether holes must be in the same places (both sides have the same block size).
    pub holes: bool,
    /// Whether access times must agree.
    pub atime: bool,
}

fn same_time(a: Time, b: Time, now: (i64, i64)) -> bool {
    a == b || (a.0 >= now.0 && b.0 >= now.1)
}

/// Lists the differences between two trees, a line each. `normal` makes paths in links and files comparable.
pub fn differences(
    native: &Tree,
    image: &Tree,
    rules: Rules,
    normal: &dyn Fn(&[u8]) -> Vec<u8>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let show = |path: &[u8]| format!("{:?}", OsStr::from_bytes(path));
    for (path, a) in native {
        let Some(b) = image.get(path) else {
            lines.push(format!("{}: only in the native tree", show(path)));
            continue;
        };
        for what in node_differences(a, b, rules, normal) {
            lines.push(format!("{}: {what}", show(path)));
        }
    }
    for path in image.keys().filter(|path| !native.contains_key(*path)) {
        lines.push(format!("{}: only in the image", show(path)));
    }
    lines
}

fn node_differences(a: &Node, b: &Node, rules: Rules, normal: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<String> {
    let mut found = Vec::new();
    let mut field = |name: &str, same: bool, a: String, b: String| {
        if !same {
            found.push(format!("{name}: native {a}, image {b}"));
        }
    };
    macro_rules! equal {
        ($($name:ident),*) => { $(
            field(stringify!($name), a.$name == b.$name, format!("{:?}", a.$name), format!("{:?}", b.$name));
        )* };
    }
    field("mode", a.mode == b.mode, format!("{:o}", a.mode), format!("{:o}", b.mode));
    equal!(uid, gid, size, links, device, xattrs);
    let (text_a, text_b) = (normal(&a.text), normal(&b.text));
    let shown = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
    field("text", text_a == text_b, shown(&text_a), shown(&text_b));
    if text_a.is_empty() {
        equal!(content);
    }
    field("same inode as", a.same_as == b.same_as, format!("{:?}", a.same_as), format!("{:?}", b.same_as));
    if rules.holes {
        equal!(data);
    }
    field(
        "mtime",
        same_time(a.mtime, b.mtime, rules.now),
        format!("{:?}", a.mtime),
        format!("{:?}", b.mtime),
    );
    if rules.atime {
        field(
            "atime",
            same_time(a.atime, b.atime, rules.now),
            format!("{:?}", a.atime),
            format!("{:?}", b.atime),
        );
    }
    found
}
