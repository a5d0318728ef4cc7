// SPDX-License-Identifier: GPL-2.0-only
//! Makes the outputs of the two sides comparable: the sides differ by one directory name of the same length, which
//! both become `{B}`; a case may ask for more.

/// Replaces every occurrence of `from`.
pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// Lines in sorted order, for programs whose order is that of readdir.
pub fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.join(&b'\n')
}

/// Every run of digits becomes `N` and blanks go, for sizes that belong to the file system at hand.
pub fn no_numbers(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        let byte = match byte {
            b'0'..=b'9' => b'N',
            other => other,
        };
        if byte == b' ' || (byte == b'N' && out.last() == Some(&byte)) {
            continue;
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_order_and_numbers() {
        assert_eq!(replace(b"/t/n/d: /t/n", b"/t/n", b"{B}"), b"{B}/d: {B}");
        assert_eq!(sorted(b"b\na\n"), b"\na\nb");
        assert_eq!(no_numbers(b"12/  345%"), b"N/N%");
    }
}
