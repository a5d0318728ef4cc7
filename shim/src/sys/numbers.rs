// SPDX-License-Identifier: GPL-2.0-only
//! Numbers in a variable of the environment, by which one program's library tells another's: `NAME=1:2:3`.

use crate::sys::decimal::{self, Decimal};

/// The most bytes of a number and what ends it.
pub const EACH: usize = 21;

/// Writes the variable, with a NUL behind it. `name` ends with `=`; `text` has room for `name` and [`EACH`] for each number.
pub fn write(name: &[u8], numbers: &[usize], text: &mut [u8]) {
    let mut len = name.len();
    text[..len].copy_from_slice(name);
    for &number in numbers {
        let number = Decimal::new(number);
        let digits = number.as_bytes();
        text[len..len + digits.len()].copy_from_slice(digits);
        text[len + digits.len()] = b':';
        len += digits.len() + 1;
    }
    text[len - 1] = 0;
}

/// The numbers of the variable's value. `None`: there are fewer, or other things.
pub fn read<const N: usize>(value: &[u8]) -> Option<[usize; N]> {
    let mut fields = value.split(|&byte| byte == b':');
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = fields.next().and_then(decimal::parse)?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut text = [b'x'; 5 + 3 * EACH];
        write(b"NAME=", &[0, usize::MAX, 7], &mut text);
        let end = text.iter().position(|&byte| byte == 0).unwrap();
        assert_eq!(&text[..end], b"NAME=0:18446744073709551615:7");
        assert_eq!(read(&text[5..end]), Some([0, usize::MAX, 7]));
        assert_eq!(read::<4>(&text[5..end]), None);
        assert_eq!(read::<2>(b"1:x"), None);
    }
}
