// SPDX-License-Identifier: GPL-2.0-only
//! The one errno type, and its two forms: a `Result` inside the library, a negative number at its edge.

use core::fmt;

pub use lkl::sys::{check as from_raw, to_raw, Errno};

/// A result in kernel ABI: a value, or -errno.
pub type Ret = isize;

/// What a system call gives: a value, or an errno.
pub type Result<T = usize> = core::result::Result<T, Errno>;

/// An errno in a message: `no such file or directory (ENOENT)`.
pub struct Explained(pub Errno);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(name), Some(description)) = (self.0.name(), self.0.description()) else {
            return write!(f, "errno {}", self.0.into_raw());
        };
        let is_word = description.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
        match description.split_at_checked(1) {
            Some((first, rest)) if is_word => write!(f, "{}{rest} ({name})", Lower(first)),
            _ => write!(f, "{description} ({name})"),
        }
    }
}

/// ASCII text in lower case.
struct Lower<'a>(&'a str);

impl fmt::Display for Lower<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write!(f, "{}", c.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_has_words() {
        assert_eq!(Explained(Errno::ENOENT).to_string(), "no such file or directory (ENOENT)");
        assert_eq!(Explained(Errno::EIO).to_string(), "I/O error (EIO)");
        assert_eq!(Explained(Errno::new(4000)).to_string(), "errno 4000");
        let silent = (1..=133).filter(|n| ![41, 58].contains(n)).find(|&n| Errno::new(n).name().is_none());
        assert_eq!(silent, None);
    }
}
