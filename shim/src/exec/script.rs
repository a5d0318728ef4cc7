// SPDX-License-Identifier: GPL-2.0-only
//! A script's first line, read as fs/binfmt_script.c reads it.

use core::ops::Range;

/// BINPRM_BUF_SIZE: what is looked at; a shorter file is filled up with NUL.
pub const HEAD: usize = 256;

/// Where interpreter and argument stand in the head.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub interpreter: Range<usize>,
    pub argument: Option<Range<usize>>,
}

/// Whether a file that begins so claims to be a script.
pub fn is_script(head: &[u8; HEAD]) -> bool {
    head.starts_with(b"#!")
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first index from `from` to `last` that holds something else than a blank.
fn next_word(head: &[u8; HEAD], from: usize, last: usize) -> Option<usize> {
    (from..=last).find(|&i| !is_blank(head[i]))
}

/// The first one that holds a blank or NUL.
fn next_end(head: &[u8; HEAD], from: usize, last: usize) -> Option<usize> {
    (from..=last).find(|&i| is_blank(head[i]) || head[i] == 0)
}

/// Up to the first NUL.
fn word(head: &[u8; HEAD], range: Range<usize>) -> Range<usize> {
    let len = head[range.clone()].iter().position(|&b| b == 0).unwrap_or(range.len());
    range.start..range.start + len
}

/// Takes the line apart; `None`: the kernel says ENOEXEC.
pub fn parse(head: &[u8; HEAD]) -> Option<Line> {
    const LAST: usize = HEAD - 1;
    if !is_script(head) {
        return None;
    }
    let newline = head.iter().take_while(|&&b| b != 0).position(|&b| b == b'\n');
    let mut end = match newline {
        Some(at) => at,
        None => {
            // A name that is cut off must not be executed.
            let name = next_word(head, 2, LAST)?;
            next_end(head, name, LAST)?;
            LAST
        }
    };
    while is_blank(head[end - 1]) {
        end -= 1;
    }
    let name = next_word(head, 2, end).filter(|&at| at != end)?;
    let separator = next_end(head, name, end);
    let argument = separator.filter(|&at| head[at] != 0).and_then(|at| next_word(head, at, end));
    let interpreter = word(head, name..separator.unwrap_or(end));
    let argument = argument.map(|at| word(head, at..end));
    (!interpreter.is_empty()).then_some(Line { interpreter, argument })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut head = [0; HEAD];
        let n = text.len().min(HEAD);
        head[..n].copy_from_slice(&text[..n]);
        let line = parse(&head)?;
        Some((head[line.interpreter].to_vec(), line.argument.map(|a| head[a].to_vec())))
    }

    #[test]
    fn lines_are_read_as_the_kernel_reads_them() {
        let both = |name: &[u8], argument: &[u8]| Some((name.to_vec(), Some(argument.to_vec())));
        let alone = |name: &[u8]| Some((name.to_vec(), None));
        assert_eq!(parsed(b"#!/bin/sh\necho"), alone(b"/bin/sh"));
        assert_eq!(parsed(b"#! \t/bin/sh  \n"), alone(b"/bin/sh"));
        assert_eq!(parsed(b"#!/bin/sh"), alone(b"/bin/sh"));
        assert_eq!(parsed(b"#!/usr/bin/env -S a  b \t\n"), both(b"/usr/bin/env", b"-S a  b"));
        assert_eq!(parsed(b"#!/usr/bin/env\t python3\n"), both(b"/usr/bin/env", b"python3"));
        assert_eq!(parsed(b"#!\n/bin/sh"), None);
        assert_eq!(parsed(b"#!   \n"), None);
        assert_eq!(parsed(b"#!"), None);
        assert_eq!(parsed(b"\n#!"), None);
    }

    #[test]
    fn a_line_too_long_loses_its_argument_but_not_its_name() {
        let long = [b"#!/bin/sh ".as_slice(), &[b'x'; 400]].concat();
        assert_eq!(parsed(&long).unwrap().1.unwrap().len(), HEAD - 1 - b"#!/bin/sh ".len());
        assert_eq!(parsed(&[b"#!".as_slice(), &[b'x'; 400]].concat()), None);
    }
}
