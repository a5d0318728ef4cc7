// SPDX-License-Identifier: GPL-2.0-only
//! Escaping, splitting and quoting of what users write. Bytes, not text: a path need not be UTF-8.

/// Bytes that a backslash takes the meaning from, in a mount.
const ESCAPABLE: &[u8] = b":,;+#@[]\\\n";

/// `value` in quotes, for a message.
pub(crate) fn show(value: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(value))
}

/// Cuts `raw` at each unescaped byte of `separators`; the pieces keep their escapes.
pub(crate) fn split<'a>(raw: &'a [u8], separators: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = raw;
    while let Some(at) = find(rest, separators) {
        pieces.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    pieces.push(rest);
    pieces
}

/// The place of the first unescaped byte of `separators`.
pub(crate) fn find(raw: &[u8], separators: &[u8]) -> Option<usize> {
    let mut escaped = false;
    raw.iter().position(|&byte| {
        let hit = !escaped && separators.contains(&byte);
        escaped = !escaped && byte == b'\\';
        hit
    })
}

/// Whether the byte at `at` has an odd number of backslashes before it.
pub(crate) fn is_escaped(raw: &[u8], at: usize) -> bool {
    raw[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// The bytes meant by an escaped piece; `Err`: what follows the wrong backslash.
pub(crate) fn unescape(piece: &[u8]) -> Result<Vec<u8>, Option<u8>> {
    let mut meant = Vec::with_capacity(piece.len());
    let mut bytes = piece.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, byte == b'\\') {
            (byte, false) => meant.push(byte),
            _ => match bytes.next() {
                Some(&next) if ESCAPABLE.contains(&next) => meant.push(next),
                other => return Err(other.copied()),
            },
        }
    }
    Ok(meant)
}

/// Appends `meant` with every byte escaped that has a meaning.
pub(crate) fn escape_into(out: &mut Vec<u8>, meant: &[u8]) {
    for &byte in meant {
        if ESCAPABLE.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// The known name that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |other: &&str| distance(name.as_bytes(), other.as_bytes());
    known.min_by_key(near).filter(|best| near(best) <= 1 + name.len() / 5)
}

/// Levenshtein's distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_unescaped_separators_only() {
        assert_eq!(split(b"a;b\\;c;", b";"), [&b"a"[..], b"b\\;c", b""]);
        assert_eq!(split(b"a\\\\;b", b";"), [&b"a\\\\"[..], b"b"]);
    }

    #[test]
    fn escapes_come_back() {
        let meant = b"a:b,c;d\\e+f\ng#2@3[/x]";
        let mut out = Vec::new();
        escape_into(&mut out, meant);
        assert_eq!(unescape(&out).unwrap(), meant);
        assert_eq!(unescape(b"a\\x"), Err(Some(b'x')));
        assert_eq!(unescape(b"a\\"), Err(None));
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(nearest("mnt", ["mount", "mem"].into_iter()), None);
        assert_eq!(nearest("mounts", ["mount", "mem"].into_iter()), Some("mount"));
    }
}
