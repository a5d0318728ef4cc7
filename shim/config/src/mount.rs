// SPDX-License-Identifier: GPL-2.0-only
//! One mount: `IMAGE[@OFFSET][#N][[/DIR]][+IMAGE[@OFFSET][#N]...]:PATH[:ro][,type=T][,opts=A+B]`, read and written.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::remote::Remote;
use crate::server::cut_uri;
use crate::source::{Part, Wrong};
use crate::text::{escape_into, find, is_escaped, nearest, show, split, unescape};

/// File systems that live on an image.
pub const DISK_TYPES: [&str; 20] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "squashfs", "erofs", "vfat", "iso9660", "exfat", "ntfs3", "f2fs",
    "udf", "nilfs2", "jfs", "hfs", "hfsplus", "minix", "cramfs", "romfs",
];
/// File systems without an image: IMAGE is `none`.
pub const PSEUDO_TYPES: [&str; 5] = ["tmpfs", "proc", "sysfs", "devtmpfs", "overlay"];
/// File systems that nobody can write to.
pub const READ_ONLY_TYPES: [&str; 5] = ["squashfs", "erofs", "iso9660", "cramfs", "romfs"];
/// What stands for "no image".
const NO_IMAGE: &[u8] = b"none";
/// The kernel's PATH_MAX counts the final NUL.
const PATH_MAX: usize = 4095;

const FORM: &str =
    "the form is IMAGE[@OFFSET][#PARTITION][[/DIR]][+IMAGE]:PATH[:ro][,type=T][,opts=A+B], with \\ before a : , ; # + @ [ ] or \\ that is meant";

/// A file system and the path under which the program sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The image's path; `None` for a pseudo file system.
    pub image: Option<PathBuf>,
    /// Which part of it.
    pub part: Part,
    /// The further images of a file system on several (btrfs, a journal or log of its own), in order. Each is a mount of its
    /// image, with this one's path, and nothing more.
    pub more: Vec<Mount>,
    /// Where it is mounted: absolute, without `.`, `..`, doubled or final slashes.
    pub path: Vec<u8>,
    /// Whether writing fails with EROFS.
    pub read_only: bool,
    /// The file system's type; `None`: found by looking at the image.
    pub fstype: Option<String>,
    /// Mount options, as after `mount -o`.
    pub opts: Vec<String>,
    /// The socket of a server that has the image, which `stowaway run` starts for images that are no plain disks.
    pub socket: Option<PathBuf>,
}

impl Mount {
    /// Reads one mount.
    pub fn parse(text: &[u8]) -> Result<Mount, ConfigError> {
        Mount::parse_as(text, "mount")
    }

    /// Reads one mount; errors speak of `key`.
    pub(crate) fn parse_as(text: &[u8], key: &str) -> Result<Mount, ConfigError> {
        let reader = Reader { key, text };
        if text.contains(&0) {
            return Err(reader.error("holds a NUL byte"));
        }
        let (place, options) = reader.cut(text);
        let (uri, place) = cut_uri(place);
        let mut fields = split(place, b":");
        if let (Some(uri), Some(image)) = (uri, fields.first_mut()) {
            *image = uri;
        }
        let (image, path, mode) = match fields[..] {
            [image, path] => (image, path, None),
            [image, path, mode] => (image, path, Some(mode)),
            [_] => return Err(reader.error("has no PATH").advise(FORM)),
            _ => return Err(reader.error("has too many fields").advise(FORM)),
        };
        let mut words = Words::default();
        if let Some(word) = mode.filter(|word| !matches!(*word, b"ro" | b"rw")) {
            return Err(reader.error(&format!("{} after PATH is not ro or rw", show(word))).advise(FORM));
        }
        for option in mode.into_iter().chain(options) {
            reader.option(option, &mut words)?;
        }
        let mut images = images(image, uri.is_some()).into_iter();
        let (image, part) = reader.part(images.next().unwrap_or(b""))?;
        let image = reader.meant(image)?;
        let path = reader.path(&reader.meant(path)?)?;
        let mount = reader.mount(image, path, words)?;
        if part != Part::default() && mount.image.is_none() {
            return Err(reader.error("has a part of none").advise(FORM));
        }
        reader.check_remote(&mount, &part)?;
        let more = images.map(|image| reader.further(image, &mount)).collect::<Result<_, _>>()?;
        Ok(Mount { part, more, ..mount })
    }

    /// The image's path made absolute against `cwd`.
    pub(crate) fn absolutize(&mut self, cwd: &Path) {
        if self.uri().is_some() || self.is_remote() {
            return;
        }
        if let Some(name) = self.one_name().filter(|name| cwd.join(name).exists()) {
            self.part = self.more.last().map(|last| last.part.clone()).unwrap_or_default();
            (self.image, self.more) = (Some(name), Vec::new());
        }
        for mount in &mut self.more {
            mount.absolutize(cwd);
        }
        if let Some(image) = &mut self.image {
            *image = cwd.join(&image);
        }
    }

    /// The images' names as one name with a + in it, if they can be one.
    fn one_name(&self) -> Option<PathBuf> {
        let (_, first) = self.more.split_last()?;
        let whole = |mount: &Mount| mount.part == Part::default();
        let mut name =
            self.image.clone().filter(|_| whole(self) && first.iter().all(whole))?.into_os_string();
        for mount in &self.more {
            name.push("+");
            name.push(mount.image.as_ref()?);
        }
        Some(name.into())
    }

    /// The mount as [`Mount::parse`] reads it.
    pub fn format(&self) -> OsString {
        let mut out = Vec::new();
        match &self.image {
            None => out.extend_from_slice(NO_IMAGE),
            Some(image) => {
                let image = image.as_os_str().as_bytes();
                // A file of that name is not the word.
                if image == NO_IMAGE {
                    out.extend_from_slice(b"./");
                }
                escape_into(&mut out, image);
                self.part.format_into(&mut out);
            }
        }
        for mount in &self.more {
            out.push(b'+');
            escape_into(&mut out, mount.image.as_ref().map_or(b"", |image| image.as_os_str().as_bytes()));
            mount.part.format_into(&mut out);
        }
        out.push(b':');
        escape_into(&mut out, &self.path);
        if self.read_only {
            out.extend_from_slice(b":ro");
        }
        if let Some(fstype) = &self.fstype {
            out.extend_from_slice(b",type=");
            escape_into(&mut out, fstype.as_bytes());
        }
        for (index, opt) in self.opts.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",opts=" } else { b"+" });
            escape_into(&mut out, opt.as_bytes());
        }
        if let Some(socket) = &self.socket {
            out.extend_from_slice(b",socket=");
            escape_into(&mut out, socket.as_os_str().as_bytes());
        }
        OsString::from_vec(out)
    }

    /// Whether `path` is the mount's path or below it.
    pub fn contains(&self, path: &[u8]) -> bool {
        match path.strip_prefix(&self.path[..]) {
            Some(rest) => rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }
}

/// The images that a + joins. The + of `nbd+unix://` joins nothing, and neither does one with nothing beside it: `c++.img`. One
/// in a directory is part of its name: `disk.img[/lost+found]`.
fn images(text: &[u8], is_uri: bool) -> Vec<&[u8]> {
    let mut images: Vec<&[u8]> = Vec::new();
    let mut from = 0;
    for piece in split(text, b"+") {
        let start = from;
        from += piece.len() + 1;
        match images.last_mut().filter(|last| is_cut_directory(last, text)) {
            Some(last) => *last = &text[start - 1 - last.len()..start + piece.len()],
            None => images.push(piece),
        }
    }
    if is_uri || images.iter().any(|image| image.is_empty()) {
        return vec![text];
    }
    images
}

/// Whether a piece of `text` has the begin of a directory, and not its end.
fn is_cut_directory(piece: &[u8], text: &[u8]) -> bool {
    let opened = piece.windows(2).position(|pair| pair == b"[/").filter(|&at| !is_escaped(piece, at));
    let is_closed = text.ends_with(b"]") || text.windows(2).any(|pair| pair == b"]+");
    is_closed && opened.is_some_and(|at| find(&piece[at..], b"]").is_none())
}

/// The pieces of a list of mounts: separated by `;` or newline, blank ones left out.
pub fn split_list(text: &[u8]) -> Vec<&[u8]> {
    split(text, b";\n").into_iter().filter(|piece| !piece.trim_ascii().is_empty()).collect()
}

/// The words after the path, each given at most once.
#[derive(Default)]
struct Words {
    read_only: Option<bool>,
    fstype: Option<String>,
    opts: Option<Vec<String>>,
    socket: Option<PathBuf>,
}

struct Reader<'a> {
    key: &'a str,
    text: &'a [u8],
}

impl Reader<'_> {
    fn error(&self, why: &str) -> ConfigError {
        ConfigError::new(self.key, format!("{} {why}", show(self.text)))
    }

    /// `IMAGE:PATH[:ro]` and the options after the first comma.
    fn cut<'t>(&self, text: &'t [u8]) -> (&'t [u8], Vec<&'t [u8]>) {
        match find(text, b",") {
            Some(comma) => (&text[..comma], split(&text[comma + 1..], b",")),
            None => (text, Vec::new()),
        }
    }

    /// The part of an image, and the image's name, still escaped.
    fn part<'t>(&self, image: &'t [u8]) -> Result<(&'t [u8], Part), ConfigError> {
        Part::cut(image, |text| self.meant(text).map_err(|e| Wrong(e.to_string(), FORM)))
            .map_err(|Wrong(why, advice)| self.error(&why).advise(advice))
    }

    /// An image behind a `+`.
    fn further(&self, image: &[u8], first: &Mount) -> Result<Mount, ConfigError> {
        let (image, part) = self.part(image)?;
        let image = self.meant(image)?;
        if image.is_empty() || first.image.is_none() {
            return Err(self.error("joins what is no image by a +").advise(FORM));
        }
        if part.directory.is_some() {
            return Err(self
                .error("has a directory of a further image")
                .advise("the first image has the directory"));
        }
        let image = Some(PathBuf::from(OsString::from_vec(image)));
        let (path, read_only) = (first.path.clone(), first.read_only);
        Ok(Mount {
            image,
            part,
            more: Vec::new(),
            path,
            read_only,
            fstype: None,
            opts: Vec::new(),
            socket: None,
        })
    }

    fn meant(&self, piece: &[u8]) -> Result<Vec<u8>, ConfigError> {
        unescape(piece).map_err(|next| {
            let what = next.map_or("nothing".to_string(), |byte| show(&[byte]));
            self.error(&format!("has {what} after a backslash"))
                .advise("\\ escapes only : , ; + # @ [ ] and \\")
        })
    }

    fn option(&self, option: &[u8], words: &mut Words) -> Result<(), ConfigError> {
        let (name, value) = match option.iter().position(|&byte| byte == b'=') {
            Some(at) => (&option[..at], Some(&option[at + 1..])),
            None => (option, None),
        };
        let twice = match (name, value) {
            (b"ro", None) => words.read_only.replace(true).is_some(),
            (b"rw", None) => words.read_only.replace(false).is_some(),
            (b"type", Some(value)) => words.fstype.replace(self.fstype(value)?).is_some(),
            (b"opts", Some(value)) => words.opts.replace(self.opts(value)?).is_some(),
            (b"socket", Some(value)) => words.socket.replace(self.socket(value)?).is_some(),
            (b"type" | b"opts" | b"socket", None) => {
                return Err(self.error(&format!("has {} without a value", show(name))).advise(FORM))
            }
            (b"ro" | b"rw", Some(_)) => {
                return Err(self.error(&format!("has a value for {}", show(name))).advise(FORM))
            }
            _ => return Err(self.unknown(option, name)),
        };
        if twice {
            let which = if value.is_some() { show(name) } else { "ro or rw".to_string() };
            return Err(self.error(&format!("says {which} twice")));
        }
        Ok(())
    }

    fn unknown(&self, option: &[u8], name: &[u8]) -> ConfigError {
        if name.is_empty() {
            return self.error("has an empty option").advise(FORM);
        }
        self.error(&format!("has the unknown option {}", show(option)))
            .advise("known are ro, rw, type=T and opts=A+B (a file system's own options go into opts=)")
    }

    fn fstype(&self, value: &[u8]) -> Result<String, ConfigError> {
        let value = self.meant(value)?;
        let known = || ["auto"].into_iter().chain(DISK_TYPES).chain(PSEUDO_TYPES);
        if let Some(fstype) = known().find(|name| name.as_bytes() == value) {
            return Ok(fstype.to_string());
        }
        let near = nearest(&String::from_utf8_lossy(&value), known());
        let guess = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
        Err(self
            .error(&format!("has the unknown type={}{guess}", String::from_utf8_lossy(&value)))
            .advise(format!("known are {}", known().collect::<Vec<_>>().join(", "))))
    }

    fn opts(&self, value: &[u8]) -> Result<Vec<String>, ConfigError> {
        let mut opts = Vec::new();
        for piece in split(value, b"+") {
            let opt =
                String::from_utf8(self.meant(piece)?).map_err(|_| self.error("has opts= not in UTF-8"))?;
            match opt.as_str() {
                "" => {
                    return Err(self
                        .error("has an empty option in opts=")
                        .advise("opts=A+B, such as opts=noatime"))
                }
                "ro" | "rw" => {
                    return Err(self
                        .error(&format!("has {opt} in opts="))
                        .advise("write IMAGE:PATH:ro instead"))
                }
                _ if opt.contains([',', '\n']) => {
                    return Err(self.error("has a comma in opts=").advise("write + between the options"))
                }
                _ => opts.push(opt),
            }
        }
        Ok(opts)
    }

    fn socket(&self, value: &[u8]) -> Result<PathBuf, ConfigError> {
        match self.meant(value)? {
            path if path.starts_with(b"/") => Ok(PathBuf::from(OsString::from_vec(path))),
            _ => Err(self.error("has a socket= that is no absolute path")),
        }
    }

    /// The mount path, checked and normalised.
    fn path(&self, path: &[u8]) -> Result<Vec<u8>, ConfigError> {
        if path.first() != Some(&b'/') {
            let why = if path.is_empty() { "has an empty PATH" } else { "has a relative PATH" };
            return Err(self.error(why).advise("PATH begins with /, such as /mnt/data"));
        }
        let mut clean = Vec::with_capacity(path.len());
        for name in path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            if name == b".." {
                return Err(self.error("has .. in PATH").advise("write the path that is meant"));
            }
            clean.push(b'/');
            clean.extend_from_slice(name);
        }
        match clean.len() {
            0 => Err(self.error("would cover the whole tree").advise("mount below /, such as on /mnt/data")),
            len if len > PATH_MAX => Err(self.error("has a PATH longer than 4095 bytes")),
            _ => Ok(clean),
        }
    }

    /// What a server has is mounted whole, by the client of its protocol.
    fn check_remote(&self, mount: &Mount, part: &Part) -> Result<(), ConfigError> {
        let image = mount.image.as_ref().map_or(&b""[..], |image| image.as_os_str().as_bytes());
        let Some(remote) = Remote::parse(image) else { return Ok(()) };
        let remote = remote.map_err(|why| {
            self.error(&why).advise(
                "the forms are nfs://SERVER[:PORT]/EXPORT, smb://[USER@]SERVER[:PORT]/SHARE and 9p://[USER@]SERVER[:PORT]/TREE",
            )
        })?;
        if *part != Part::default() {
            return Err(self
                .error("has a part of what a server has")
                .advise("name the directory in the URI"));
        }
        match &mount.fstype {
            Some(fstype) if fstype != remote.protocol.fstype() => {
                Err(self.error(&format!("says type={fstype}")).advise("the URI says what the server speaks"))
            }
            _ => Ok(()),
        }
    }

    /// Puts the parts together: which of them go together?
    fn mount(&self, image: Vec<u8>, path: Vec<u8>, words: Words) -> Result<Mount, ConfigError> {
        let fstype = words.fstype.filter(|fstype| fstype != "auto");
        let pseudo = fstype.as_deref().is_some_and(|fstype| PSEUDO_TYPES.contains(&fstype));
        let image = match (&image[..], &fstype) {
            (b"", _) => return Err(self.error("has an empty IMAGE").advise(FORM)),
            (NO_IMAGE, _) if pseudo => None,
            (NO_IMAGE, _) => {
                return Err(self.error("has no image").advise(format!(
                    "none goes with type={}; a file of that name is ./none",
                    PSEUDO_TYPES.join(", type=")
                )))
            }
            (_, Some(fstype)) if pseudo => {
                return Err(self.error(&format!("has an image for {fstype}")).advise("its IMAGE is none"))
            }
            _ => Some(PathBuf::from(OsStr::from_bytes(&image))),
        };
        let never_written = fstype.as_deref().is_some_and(|fstype| READ_ONLY_TYPES.contains(&fstype));
        if never_written && words.read_only == Some(false) {
            return Err(self.error("says rw for a file system that is always read-only"));
        }
        let read_only = never_written || words.read_only.unwrap_or(false);
        let (opts, socket) = (words.opts.unwrap_or_default(), words.socket);
        if socket.is_some() && image.is_none() {
            return Err(self.error("has a socket for none").advise(FORM));
        }
        Ok(Mount { image, part: Part::default(), more: Vec::new(), path, read_only, fstype, opts, socket })
    }
}
