// SPDX-License-Identifier: GPL-2.0-only
//! What is mounted of an image: `IMAGE[@OFFSET][#N][[/DIR]]`, read from its end. What is no number after `@` or `#`, and no
//! path between the last brackets, is part of the name.

use crate::size::parse_size;
use crate::text::{escape_into, is_escaped, show};

/// The part of an image that a mount is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Where in the image the disk begins, in bytes.
    pub offset: u64,
    /// Which partition of that; `None`: the disk is the file system.
    pub partition: Option<u32>,
    /// Which directory of the file system is the mount's root, absolute; `None`: the root directory.
    pub directory: Option<Vec<u8>>,
}

/// What is wrong, and what to do.
pub(crate) struct Wrong(pub String, pub &'static str);

impl Part {
    /// Takes the part off the end of `image`; what is left is the name, still escaped. `meant` unescapes.
    pub(crate) fn cut(
        image: &[u8],
        meant: impl Fn(&[u8]) -> Result<Vec<u8>, Wrong>,
    ) -> Result<(&[u8], Part), Wrong> {
        let (image, directory) = match brackets(image) {
            Some((image, text)) => (image, directory(&meant(text)?)?),
            None => (image, None),
        };
        let (image, partition) = partition(image)?;
        let (image, offset) = offset(image)?;
        Ok((image, Part { offset, partition, directory }))
    }

    /// As [`Part::cut`] reads it.
    pub(crate) fn format_into(&self, out: &mut Vec<u8>) {
        if self.offset != 0 {
            out.extend_from_slice(format!("@{}", self.offset).as_bytes());
        }
        if let Some(number) = self.partition {
            out.extend_from_slice(format!("#{number}").as_bytes());
        }
        if let Some(directory) = &self.directory {
            out.push(b'[');
            escape_into(out, directory);
            out.push(b']');
        }
    }

    /// Whether two mounts of one image may have bytes in common. A whole disk and a partition of it: the lock says so.
    pub(crate) fn is_same(&self, other: &Part) -> bool {
        (self.offset, self.partition) == (other.offset, other.partition)
    }
}

/// `IMAGE[/DIR]`: the image, and what the brackets hold.
fn brackets(image: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = image.strip_suffix(b"]").filter(|inner| !is_escaped(image, inner.len()))?;
    let start = (0..inner.len()).rev().find(|&at| inner[at] == b'[' && !is_escaped(inner, at))?;
    inner[start + 1..].starts_with(b"/").then(|| (&inner[..start], &inner[start + 1..]))
}

/// A path without doubled and final slashes; `None`: the root.
fn directory(text: &[u8]) -> Result<Option<Vec<u8>>, Wrong> {
    let mut clean = Vec::with_capacity(text.len());
    for name in text.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
        if name == b".." {
            return Err(Wrong(format!("has .. in {}", show(text)), "write the directory that is meant"));
        }
        clean.push(b'/');
        clean.extend_from_slice(name);
    }
    Ok((!clean.is_empty()).then_some(clean))
}

/// The text behind the last `mark`, and where the mark is. What has a slash is a name.
fn behind(image: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = image.iter().rposition(|&byte| byte == mark).filter(|&at| !is_escaped(image, at))?;
    Some((&image[..at], &image[at + 1..]))
}

fn partition(image: &[u8]) -> Result<(&[u8], Option<u32>), Wrong> {
    let number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let Some((rest, text)) = behind(image, b'#').filter(|(_, text)| number(text)) else {
        return Ok((image, None));
    };
    let parsed = std::str::from_utf8(text).ok().and_then(|n| n.parse().ok());
    match parsed.filter(|&n| n > 0) {
        Some(parsed) => Ok((rest, Some(parsed))),
        None => Err(Wrong(
            format!("has no partition number in {}", show(&image[rest.len()..])),
            "partitions count from 1; a name with # in it is written with \\ before the #",
        )),
    }
}

/// `@OFFSET`, in bytes or as 1M.
fn offset(image: &[u8]) -> Result<(&[u8], u64), Wrong> {
    let is_offset = |text: &[u8]| {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && matches!(text[digits..].to_ascii_uppercase()[..], [] | [b'K' | b'M' | b'G' | b'T'])
    };
    // A name such as me@2host has none.
    let Some((rest, text)) = behind(image, b'@').filter(|(_, text)| is_offset(text)) else {
        return Ok((image, 0));
    };
    let parsed = std::str::from_utf8(text).ok().and_then(parse_size);
    match parsed.filter(|bytes| i64::try_from(*bytes).is_ok()) {
        Some(bytes) => Ok((rest, bytes)),
        None => Err(Wrong(
            format!("has no offset in {}", show(&image[rest.len()..])),
            "an offset is a number of bytes, such as @1048576 or @1M; a name with @ in it is written with \\ before the @",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(image: &str) -> Result<(String, Part), String> {
        let meant = |text: &[u8]| Ok(text.to_vec());
        let (rest, part) = Part::cut(image.as_bytes(), meant).map_err(|wrong| wrong.0)?;
        Ok((String::from_utf8(rest.to_vec()).unwrap(), part))
    }

    fn part(offset: u64, partition: u32, directory: &str) -> Part {
        Part {
            offset,
            partition: (partition != 0).then_some(partition),
            directory: (!directory.is_empty()).then(|| directory.into()),
        }
    }

    #[test]
    fn parts_and_names() {
        for (image, name, expected) in [
            ("a.img", "a.img", part(0, 0, "")),
            ("a.img#2", "a.img", part(0, 2, "")),
            ("a.img@1M", "a.img", part(1 << 20, 0, "")),
            ("a.img@512#3[/x/y]", "a.img", part(512, 3, "/x/y")),
            ("a.img[//x/./y/]", "a.img", part(0, 0, "/x/y")),
            ("a.img[/]", "a.img", part(0, 0, "")),
            ("a.img#2[/x]", "a.img", part(0, 2, "/x")),
            ("me@host.img", "me@host.img", part(0, 0, "")),
            ("me@2host", "me@2host", part(0, 0, "")),
            ("me@2b", "me@2b", part(0, 0, "")),
            ("a.run@188393", "a.run", part(188_393, 0, "")),
            ("a@1g", "a", part(1 << 30, 0, "")),
            ("me@1M/a.img", "me@1M/a.img", part(0, 0, "")),
            ("a[1]", "a[1]", part(0, 0, "")),
            ("a[/x].img", "a[/x].img", part(0, 0, "")),
            ("a\\@512", "a\\@512", part(0, 0, "")),
            ("a\\#2", "a\\#2", part(0, 0, "")),
            ("a[/x\\]", "a[/x\\]", part(0, 0, "")),
            ("a#2@512", "a#2", part(512, 0, "")),
        ] {
            assert_eq!(cut(image), Ok((name.to_string(), expected)), "{image}");
        }
        for (image, why) in
            [("a@99999999999999999999", "no offset"), ("a#0", "no partition"), ("a[/../x]", "has ..")]
        {
            assert!(cut(image).unwrap_err().contains(why), "{image}");
        }
    }
}
