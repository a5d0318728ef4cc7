// SPDX-License-Identifier: GPL-2.0-only
//! Splits the command lines of cases into words, as a shell would for plain words and quotes (`'…'`, `"…"`, `$'…'`
//! with `\n`, `\t`, `\xHH`), with no other expansion: what a case says is what the program gets, byte for byte.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Splits a line. Panics on an unfinished quote: cases are data of this repository.
pub fn split(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut rest = line.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b' ' | b'\n' => words.extend(word.take().map(OsString::from_vec)),
            b'\'' => rest = quoted(after, b'\'', word.get_or_insert_default(), false),
            b'"' => rest = quoted(after, b'"', word.get_or_insert_default(), false),
            b'$' if after.first() == Some(&b'\'') => {
                rest = quoted(&after[1..], b'\'', word.get_or_insert_default(), true);
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word.take().map(OsString::from_vec));
    words
}

fn quoted<'a>(mut rest: &'a [u8], end: u8, word: &mut Vec<u8>, escapes: bool) -> &'a [u8] {
    loop {
        let (&byte, after) = rest.split_first().expect("unfinished quote in a case");
        rest = after;
        if byte == end {
            return rest;
        }
        if byte == b'\\' && escapes {
            rest = escape(rest, word);
        } else {
            word.push(byte);
        }
    }
}

fn escape<'a>(rest: &'a [u8], word: &mut Vec<u8>) -> &'a [u8] {
    let (used, byte) = match rest[0] {
        b'n' => (1, b'\n'),
        b't' => (1, b'\t'),
        b'r' => (1, b'\r'),
        b'0' => (1, 0),
        b'x' => {
            let digits = std::str::from_utf8(&rest[1..3]).expect("two hex digits");
            (3, u8::from_str_radix(digits, 16).expect("two hex digits"))
        }
        other => (1, other),
    };
    word.push(byte);
    &rest[used..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn words_and_quotes() {
        let words = split(r#"tr 'a b' "c'd" $'\xff\n' '' x"y"z"#);
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        assert_eq!(bytes, [&b"tr"[..], b"a b", b"c'd", b"\xff\n", b"", b"xyz"]);
    }
}
