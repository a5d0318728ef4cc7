// SPDX-License-Identifier: GPL-2.0-only
//! The text by which one program tells the next who it is (STOWAWAY_ID). Pure. Decimal numbers, separated by `,`, in
//! groups separated by `:`:
//!
//! `RUID,EUID,SUID,FSUID:RGID,EGID,SGID,FSGID:GROUP,...:INHERITABLE,PERMITTED,EFFECTIVE,BOUNDING,AMBIENT,SECUREBITS`

use super::{Told, GROUPS_MAX};
use crate::sys::decimal::{self, Decimal};

/// The longest text: 10 ids, 256 groups, 6 sets, each with a separator.
pub const TEXT_MAX: usize = (4 + 4 + GROUPS_MAX) * 11 + 6 * 21 + 1;

impl Told {
    /// Writes the text into `room`, which has [`TEXT_MAX`] bytes; its length.
    pub fn write(&self, room: &mut [u8]) -> usize {
        let mut writer = Writer { room, len: 0 };
        writer.list(self.uid.map(u64::from).into_iter());
        writer.put(b":");
        writer.list(self.gid.map(u64::from).into_iter());
        writer.put(b":");
        writer.list(self.groups().iter().copied().map(u64::from));
        writer.put(b":");
        let sets = [self.inheritable, self.permitted, self.effective, self.bounding, self.ambient];
        writer.list(sets.into_iter().chain([u64::from(self.securebits)]));
        writer.len
    }

    /// Reads such a text. None: it is none.
    pub fn read(text: &[u8]) -> Option<Told> {
        let mut fields = text.split(|&b| b == b':');
        let mut told = Told::new(0, 0);
        told.groups = [0; GROUPS_MAX];
        told.uid = ids(fields.next()?)?;
        told.gid = ids(fields.next()?)?;
        let groups = fields.next()?;
        let mut count = 0;
        for group in numbers(groups).filter(|_| !groups.is_empty()) {
            *told.groups.get_mut(count)? = group?.try_into().ok()?;
            count += 1;
        }
        told.group_count = count;
        let mut sets = numbers(fields.next()?);
        let mut next = || sets.next()?;
        told.inheritable = next()?;
        told.permitted = next()?;
        told.effective = next()?;
        told.bounding = next()?;
        told.ambient = next()?;
        told.securebits = next()?.try_into().ok()?;
        (fields.next().is_none() && sets.next().is_none()).then_some(told)
    }
}

fn numbers(text: &[u8]) -> impl Iterator<Item = Option<u64>> + '_ {
    text.split(|&b| b == b',').map(|number| decimal::parse(number).map(|number| number as u64))
}

fn ids(text: &[u8]) -> Option<[u32; 4]> {
    let mut ids = [0; 4];
    let mut given = numbers(text);
    for id in &mut ids {
        *id = given.next()??.try_into().ok()?;
    }
    given.next().is_none().then_some(ids)
}

struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, text: &[u8]) {
        self.room[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn list(&mut self, numbers: impl Iterator<Item = u64>) {
        for (at, number) in numbers.enumerate() {
            if at > 0 {
                self.put(b",");
            }
            self.put(Decimal::new(number as usize).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut told = Told::new(1000, 100);
        told.uid = [1, 2, 3, u32::MAX - 1];
        for groups in [&[][..], &[7], &[u32::MAX - 1; GROUPS_MAX]] {
            told.set_groups(groups).unwrap();
            (told.inheritable, told.ambient, told.securebits) = (5, u64::MAX, 0xff);
            let mut room = [0; TEXT_MAX];
            let n = told.write(&mut room);
            assert_eq!(Told::read(&room[..n]), Some(told.clone()));
        }
    }

    #[test]
    fn what_is_wrong_is_not_read() {
        let good = "0,0,0,0:0,0,0,0:1,2:0,0,0,0,0,0";
        assert!(Told::read(good.as_bytes()).is_some());
        for (what, with) in [("0,0,0,0:0", "0,0,0:0"), ("1,2", "1,,2"), ("1,2", "x"), (":1", ":4294967296:1")]
        {
            let bad = good.replacen(what, with, 1);
            assert_eq!(Told::read(bad.as_bytes()), None, "{bad}");
        }
        for end in [",0", ":", "x"] {
            assert_eq!(Told::read(format!("{good}{end}").as_bytes()), None);
        }
        assert_eq!(Told::read(b""), None);
    }
}
