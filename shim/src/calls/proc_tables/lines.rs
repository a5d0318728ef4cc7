// SPDX-License-Identifier: GPL-2.0-only
//! A mount's line in the three tables of /proc (proc(5), fs/proc_namespace.c). Bytes in, bytes out.

use stowaway_config::Mount;

use super::text::Text;
use crate::sys::decimal::Decimal;
use crate::sys::errno::Result;

/// What is escaped in a path, and in a source.
const IN_PATH: &[u8] = b" \t\n\\";
const IN_SOURCE: &[u8] = b" \t\n\\#";

/// Which table.
#[derive(Clone, Copy)]
pub enum Kind {
    Mounts,
    Info,
    Stats,
}

/// What the kernel library says of a mount (`lkl::Private::MountAbout`).
pub struct About<'a> {
    /// Of the mount, as STATX_MNT_ID says.
    pub id: &'a [u8],
    device: &'a [u8],
    root: &'a [u8],
    options: &'a [u8],
    fstype: &'a [u8],
    of_file_system: &'a [u8],
    all_options: &'a [u8],
}

impl About<'_> {
    /// Reads the fields, which are escaped already.
    pub fn parse(text: &[u8]) -> Option<About<'_>> {
        let mut fields = text.split(|&b| b == b' ');
        let mut next = || fields.next().filter(|field| !field.is_empty());
        Some(About {
            id: next()?,
            device: next()?,
            root: next()?,
            options: next()?,
            fstype: next()?,
            of_file_system: next()?,
            all_options: next()?,
        })
    }
}

/// A line.
pub struct Line<'a> {
    pub mount: &'a Mount,
    pub about: About<'a>,
    /// Where the process sees the mount.
    pub path: &'a [u8],
    /// The id of the mount that it is mounted on.
    pub parent: &'a [u8],
}

impl Line<'_> {
    /// Appends the line.
    pub fn write(&self, kind: Kind, text: &mut Text) -> Result<()> {
        let About { id, device, root, options, fstype, of_file_system, all_options } = self.about;
        match kind {
            Kind::Mounts => {
                self.source(text)?;
                text.put(b" ")?;
                text.put_escaped(self.path, IN_PATH)?;
                [b" ", fstype, b" ", all_options, b" 0 0\n"].iter().try_for_each(|part| text.put(part))
            }
            Kind::Info => {
                for field in [id, self.parent, device, root] {
                    text.put(field)?;
                    text.put(b" ")?;
                }
                text.put_escaped(self.path, IN_PATH)?;
                [b" ", options, b" - ", fstype, b" "].iter().try_for_each(|part| text.put(part))?;
                self.source(text)?;
                [b" ", of_file_system, b"\n"].iter().try_for_each(|part| text.put(part))
            }
            Kind::Stats => {
                text.put(b"device ")?;
                self.source(text)?;
                text.put(b" mounted on ")?;
                text.put_escaped(self.path, IN_PATH)?;
                [b" with fstype ", fstype, b"\n"].iter().try_for_each(|part| text.put(part))
            }
        }
    }

    /// What is mounted: the image, as the user named it, and which part of it. (Its directory is the root.)
    fn source(&self, text: &mut Text) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let image = self.mount.image.as_ref().map_or(&b"none"[..], |image| image.as_os_str().as_bytes());
        text.put_escaped(image, IN_SOURCE)?;
        if self.mount.part.offset != 0 {
            text.put(b"@")?;
            text.put(Decimal::new(self.mount.part.offset as usize).as_bytes())?;
        }
        if let Some(number) = self.mount.part.partition {
            text.put_escaped(b"#", IN_SOURCE)?;
            text.put(Decimal::new(number as usize).as_bytes())?;
        }
        Ok(())
    }
}

/// The id of the host's mount that `path` lies in, by the host's mountinfo. None: the text is another table.
pub fn parent_on_host<'a>(info: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
    let escaped = Text::new().and_then(|mut text| text.put_escaped(path, IN_PATH).map(|()| text)).ok()?;
    let mut best: Option<(&[u8], usize)> = None;
    for line in info.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b' ');
        let (Some(id), Some(place)) = (fields.next(), fields.nth(3)) else { continue };
        // Of those on one place the last one covers the others.
        if lies_in(escaped.bytes(), place) && best.is_none_or(|(_, len)| place.len() >= len) {
            best = Some((id, place.len()));
        }
    }
    best.map(|(id, _)| id)
}

fn lies_in(path: &[u8], place: &[u8]) -> bool {
    place == b"/" || path.strip_prefix(place).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &[u8] = b"16777216 3840:0 / rw,relatime ext4 rw,errors=continue rw,relatime,errors=continue";

    fn line(mount: &str, kind: Kind) -> String {
        let mount = Mount::parse(mount.as_bytes()).unwrap();
        let mut text = Text::new().unwrap();
        let about = About::parse(ABOUT).unwrap();
        Line { path: &mount.path, mount: &mount, about, parent: b"27" }.write(kind, &mut text).unwrap();
        String::from_utf8(text.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_lines_of_a_mount() {
        assert_eq!(
            line("/h/a b.img#2:/mnt/x y", Kind::Info),
            "16777216 27 3840:0 / /mnt/x\\040y rw,relatime - ext4 /h/a\\040b.img\\0432 rw,errors=continue\n"
        );
        assert_eq!(line("a.img:/m", Kind::Mounts), "a.img /m ext4 rw,relatime,errors=continue 0 0\n");
        assert_eq!(line("none:/m,type=tmpfs", Kind::Stats), "device none mounted on /m with fstype ext4\n");
        assert_eq!(line("a@512:/m", Kind::Stats), "device a@512 mounted on /m with fstype ext4\n");
    }

    #[test]
    fn the_mount_that_a_path_lies_in() {
        let info = b"1 0 0:1 / / rw - ext4 a rw\n7 1 0:2 / /mnt rw - tmpfs b rw\n8 1 0:2 / /mnt\\040x rw - tmpfs b rw\n9 7 0:3 / /mnt rw - tmpfs b rw\n";
        for (path, id) in [("/mnt/x", "9"), ("/mnt", "9"), ("/mntx", "1"), ("/mnt x/y", "8"), ("/x", "1")] {
            assert_eq!(parent_on_host(info, path.as_bytes()), Some(id.as_bytes()), "{path}");
        }
        assert_eq!(parent_on_host(b"a /m ext4 rw 0 0\n", b"/x"), None);
    }

    #[test]
    fn too_few_fields_are_no_mount() {
        assert!(About::parse(b"1 2 3").is_none() && About::parse(b"").is_none());
    }
}
