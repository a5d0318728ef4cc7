// SPDX-License-Identifier: GPL-2.0-only
//! Numbers with units, as tc(8) has them. `None`: it is none.

/// A number that is not negative, and the unit behind it.
fn split(word: &str) -> Option<(f64, &str)> {
    let end = word.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(word.len());
    let number: f64 = word[..end].parse().ok()?;
    Some((number, &word[end..]))
}

fn scaled(word: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, unit) = split(word)?;
    let (_, scale) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    Some(number * scale)
}

/// A time in nanoseconds. Versions of tc(8) differ about a number without a unit: it is refused.
pub(super) fn time_ns(word: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 12] = [
        ("s", 1e9),
        ("sec", 1e9),
        ("secs", 1e9),
        ("ms", 1e6),
        ("msec", 1e6),
        ("msecs", 1e6),
        ("us", 1e3),
        ("usec", 1e3),
        ("usecs", 1e3),
        ("ns", 1.0),
        ("nsec", 1.0),
        ("nsecs", 1.0),
    ];
    // An hour: what is longer is a mistake.
    scaled(word, &UNITS).filter(|&ns| ns <= 3.6e12).map(|ns| ns.round() as i64)
}

/// A time in microseconds that fits into 32 bits.
pub(super) fn time_us(word: &str) -> Option<u32> {
    u32::try_from(time_ns(word)? / 1_000).ok()
}

/// A part of one, of which u32::MAX is all. `word` is in percent.
pub(super) fn percent(word: &str) -> Option<u32> {
    let (number, unit) = split(word)?;
    let is_one = matches!(unit, "" | "%") && number <= 100.0;
    is_one.then(|| (number / 100.0 * f64::from(u32::MAX)).round() as u32)
}

/// A rate in bytes a second.
pub(super) fn rate(word: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 19] = [
        ("", 0.125),
        ("bit", 0.125),
        ("kbit", 125.0),
        ("mbit", 125e3),
        ("gbit", 125e6),
        ("tbit", 125e9),
        ("kibit", 128.0),
        ("mibit", 131_072.0),
        ("gibit", 134_217_728.0),
        ("tibit", 137_438_953_472.0),
        ("bps", 1.0),
        ("kbps", 1e3),
        ("mbps", 1e6),
        ("gbps", 1e9),
        ("tbps", 1e12),
        ("kibps", 1024.0),
        ("mibps", 1_048_576.0),
        ("gibps", 1_073_741_824.0),
        ("tibps", 1_099_511_627_776.0),
    ];
    let rate = scaled(word, &UNITS)?;
    (1.0..=1e15).contains(&rate).then_some(rate as u64)
}

/// A size in bytes.
pub(super) fn size(word: &str) -> Option<u32> {
    const UNITS: [(&str, f64); 11] = [
        ("", 1.0),
        ("b", 1.0),
        ("k", 1024.0),
        ("kb", 1024.0),
        ("m", 1_048_576.0),
        ("mb", 1_048_576.0),
        ("g", 1_073_741_824.0),
        ("gb", 1_073_741_824.0),
        ("kbit", 128.0),
        ("mbit", 131_072.0),
        ("gbit", 134_217_728.0),
    ];
    scaled(word, &UNITS).filter(|&size| size <= f64::from(u32::MAX)).map(|size| size.round() as u32)
}

/// A number.
pub(super) fn number(word: &str) -> Option<u32> {
    word.parse().ok().filter(|_| !word.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_tc_has_them() {
        assert_eq!(time_ns("50ms"), Some(50_000_000));
        assert_eq!(time_ns("1.5s"), Some(1_500_000_000));
        assert_eq!(time_us("100usec"), Some(100));
        for bad in ["50", "ms", "-1ms", "1e3ms", "2h", "1.2.3ms", "99999s"] {
            assert_eq!(time_ns(bad), None, "{bad}");
        }
        assert_eq!((percent("0"), percent("100%"), percent("50")), (Some(0), Some(u32::MAX), Some(1 << 31)));
        assert_eq!((percent("101%"), percent("1%%"), percent("")), (None, None, None));
        assert_eq!((rate("10mbit"), rate("8000"), rate("1kbps")), (Some(1_250_000), Some(1000), Some(1000)));
        assert_eq!((rate("0"), rate("10mb"), rate("10 mbit")), (None, None, None));
        assert_eq!((size("32kb"), size("1500"), size("16kbit")), (Some(32768), Some(1500), Some(2048)));
        assert_eq!((size("5g"), size("x")), (None, None));
    }
}
