// SPDX-License-Identifier: GPL-2.0-only
//! Attributes of netlink(7), of which one may hold others.

/// `NLA_F_NESTED`: the value is attributes.
const NESTED: u16 = 1 << 15;

/// Attributes, one behind the other.
#[derive(Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// Adds an attribute. Its value is shorter than 64 KiB.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Attributes {
        self.add(kind, value);
        self
    }

    /// Adds one that holds others.
    #[must_use]
    pub fn with_nested(self, kind: u16, inner: &Attributes) -> Attributes {
        self.with(kind | NESTED, &inner.0)
    }

    /// Adds one that holds a list: members of the same kind, whose own numbers say nothing.
    #[must_use]
    pub fn with_list(self, kind: u16, members: &[Attributes]) -> Attributes {
        let list = members.iter().fold(Attributes::new(), |list, member| list.with_nested(0, member));
        self.with_nested(kind, &list)
    }

    fn add(&mut self, kind: u16, value: &[u8]) {
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The value of the first attribute `kind` in `bytes`.
pub fn find(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let found = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & !NESTED;
        let value = bytes.get(4..len)?;
        if found == kind {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found() {
        let inner = Attributes::new().with(1, b"abc").with(2, b"");
        let all = Attributes::new().with(7, &[1, 2, 3, 4, 5]).with_list(8, &[inner]);
        assert_eq!(all.bytes().len(), 12 + 4 + 4 + 8 + 4);
        assert_eq!(find(all.bytes(), 7), Some(&[1, 2, 3, 4, 5][..]));
        let member = find(find(all.bytes(), 8).unwrap(), 0).unwrap();
        assert_eq!(
            (find(member, 1), find(member, 2), find(member, 3)),
            (Some(&b"abc"[..]), Some(&b""[..]), None)
        );
        assert_eq!(find(&[4, 0, 1], 1), None);
        assert_eq!(find(&[0; 8], 1), None);
    }
}
