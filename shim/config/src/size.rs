// SPDX-License-Identifier: GPL-2.0-only
//! Sizes: `64M`, `1GiB`, `4096`.

const UNITS: [(&str, u32); 5] = [("T", 40), ("G", 30), ("M", 20), ("K", 10), ("", 0)];

/// The bytes meant by `text`: a whole number with K, M, G or T (powers of 1024; `KiB`, `kB` and so on mean the
/// same). `None`: not a size, or more than 64 bits hold.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start().to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let shift = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(1 << shift)
}

/// `bytes` with the largest unit that loses nothing.
pub fn format_size(bytes: u64) -> String {
    let fits = |(_, shift): &&(&str, u32)| bytes != 0 && bytes % (1 << shift) == 0;
    let (unit, shift) = UNITS.iter().find(fits).unwrap_or(&("", 0));
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("64M", Some(64 << 20)),
            ("64m", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1 GB", Some(1 << 30)),
            ("16777216", Some(16 << 20)),
            ("512B", Some(512)),
            ("", None),
            ("M", None),
            ("-1M", None),
            ("1.5G", None),
            ("64Q", None),
            ("99999999T", None),
            ("99999999999999999999", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn formats_without_loss() {
        assert_eq!(format_size(64 << 20), "64M");
        assert_eq!(format_size(1 << 30), "1G");
        assert_eq!(format_size((1 << 30) + 1), "1073741825");
        assert_eq!(format_size(0), "0");
    }
}
