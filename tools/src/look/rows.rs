// SPDX-License-Identifier: GPL-2.0-only
//! The layout of the kernel's structures, as the kernel's compiler laid them out: `kernel/look.c` and `drivers/lkb.c`, constants of the
//! library's file. So a command reads the kernel of another build than its own, if the rows are there that the command asks for.

use std::collections::BTreeMap;

use super::symbols::Library;

const TABLES: [&str; 2] = ["lkl_look_rows", "lkb_look_rows"];
/// `struct lkl_abi_row`: where the name is, and the value.
const ROW: usize = 16;

/// Offsets, sizes and numbers by their names: `STRUCT.FIELD`, `sizeof STRUCT`, `NAME`.
pub struct Rows(BTreeMap<String, u64>);

impl Rows {
    /// Reads them. `Err` says what is wrong.
    pub fn read(library: &Library) -> Result<Rows, String> {
        let rows = || {
            let image = library.image()?;
            let tables = TABLES.map(|table| read(image, library.table.object(table)? as usize));
            let tables: Option<Vec<_>> = tables.into_iter().collect();
            Some(tables?.into_iter().flatten().collect())
        };
        rows().map(Rows).ok_or(format!("{}: does not say how its kernel is laid out", library.shown))
    }

    /// A row.
    pub fn get(&self, name: &str) -> Result<u64, String> {
        self.0
            .get(name)
            .copied()
            .ok_or(format!("the library of this kernel is of another version: it has no {name}"))
    }
}

fn read(image: &[u8], mut at: usize) -> Option<BTreeMap<String, u64>> {
    let word = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
    let mut rows = BTreeMap::new();
    loop {
        let (name, value) = (word(at)?, word(at + 8)?);
        if name == 0 {
            return Some(rows);
        }
        let text = image.get(name as usize..)?.split(|byte| *byte == 0).next()?;
        rows.insert(String::from_utf8_lossy(text).into_owned(), value);
        at += ROW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_with_a_null_name() {
        let mut image = b"a.b\0sizeof c\0....".to_vec();
        image.truncate(16);
        for n in [0u64, 7, 4, 9, 0, 0] {
            image.extend_from_slice(&n.to_le_bytes());
        }
        // A name at 0 ends the list: the image's head is there, and no name.
        assert!(read(&image, 16).unwrap().is_empty());
        let rows = read(&image, 32).unwrap();
        assert_eq!(rows.into_iter().collect::<Vec<_>>(), [("sizeof c".to_owned(), 9)]);
        assert!(read(&image[..56], 32).is_none());
    }
}
