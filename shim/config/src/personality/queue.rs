// SPDX-License-Identifier: GPL-2.0-only
//! Queueing disciplines in the words of tc(8), as the kernel takes them by rtnetlink(7): a structure, and attributes behind it. They
//! are read here, and not by the host's tc: a test under loss then needs no iproute2 and no further process, and works under plain
//! preload.

use super::units::{number, rate, size, time_ns, time_us};

/// A queueing discipline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discipline {
    /// As it was written, with one space between words.
    pub words: String,
    /// The kernel's name of it.
    pub kind: &'static str,
    /// The structure that its options begin with; often none.
    pub head: Vec<u8>,
    /// Its options, by their numbers.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// How the value of an option is written, and what the kernel gets.
#[derive(Clone, Copy)]
enum Value {
    Number,
    Size,
    TimeUs,
    Rate32,
    Rate64,
    /// The word alone says it.
    Is(u32),
    /// A power of two, of which the kernel gets the logarithm.
    Log,
    /// As `Is`, in one byte.
    IsByte(u8),
    /// A time of nanoseconds in 32 bits.
    TimeNs32,
}

/// (word, number of the attribute, value)
type Row = (&'static str, u16, Value);

const FQ: &[Row] = &[
    ("limit", 1, Value::Number),
    ("flow_limit", 2, Value::Number),
    ("quantum", 3, Value::Size),
    ("initial_quantum", 4, Value::Size),
    ("pacing", 5, Value::Is(1)),
    ("nopacing", 5, Value::Is(0)),
    ("maxrate", 7, Value::Rate32),
    ("buckets", 8, Value::Log),
    ("refill_delay", 9, Value::TimeUs),
    ("orphan_mask", 10, Value::Number),
    ("low_rate_threshold", 11, Value::Rate32),
    ("ce_threshold", 12, Value::TimeUs),
    ("timer_slack", 13, Value::TimeNs32),
    ("horizon", 14, Value::TimeUs),
    ("horizon_cap", 15, Value::IsByte(0)),
    ("horizon_drop", 15, Value::IsByte(1)),
];

const FQ_CODEL: &[Row] = &[
    ("target", 1, Value::TimeUs),
    ("limit", 2, Value::Number),
    ("interval", 3, Value::TimeUs),
    ("ecn", 4, Value::Is(1)),
    ("noecn", 4, Value::Is(0)),
    ("flows", 5, Value::Number),
    ("quantum", 6, Value::Size),
    ("ce_threshold", 7, Value::TimeUs),
    ("drop_batch", 8, Value::Number),
    ("memory_limit", 9, Value::Size),
];

const CAKE: &[Row] = &[
    ("bandwidth", 2, Value::Rate64),
    ("unlimited", 2, Value::Is(0)),
    ("diffserv3", 3, Value::Is(0)),
    ("diffserv4", 3, Value::Is(1)),
    ("diffserv8", 3, Value::Is(2)),
    ("besteffort", 3, Value::Is(3)),
    ("precedence", 3, Value::Is(4)),
    ("noatm", 4, Value::Is(0)),
    ("atm", 4, Value::Is(1)),
    ("ptm", 4, Value::Is(2)),
    ("flowblind", 5, Value::Is(0)),
    ("srchost", 5, Value::Is(1)),
    ("dsthost", 5, Value::Is(2)),
    ("hosts", 5, Value::Is(3)),
    ("flows", 5, Value::Is(4)),
    ("dual-srchost", 5, Value::Is(5)),
    ("dual-dsthost", 5, Value::Is(6)),
    ("triple-isolate", 5, Value::Is(7)),
    ("overhead", 6, Value::Number),
    ("rtt", 7, Value::TimeUs),
    ("memlimit", 10, Value::Size),
    ("nonat", 11, Value::Is(0)),
    ("nat", 11, Value::Is(1)),
    ("raw", 12, Value::Is(0)),
    ("nowash", 13, Value::Is(0)),
    ("wash", 13, Value::Is(1)),
    ("mpu", 14, Value::Number),
    ("no-ack-filter", 16, Value::Is(0)),
    ("ack-filter", 16, Value::Is(1)),
    ("ack-filter-aggressive", 16, Value::Is(2)),
    ("no-split-gso", 17, Value::Is(0)),
    ("split-gso", 17, Value::Is(1)),
];

const KINDS: &str = "fq, fq_codel, cake, tbf, pfifo or bfifo";

/// Reads a discipline: its kind, and its options.
pub fn read(text: &str) -> Result<Discipline, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some((&kind, options)) = words.split_first() else {
        return Err(format!("has no kind: {KINDS}"));
    };
    let mut made = match kind {
        "fq" => by_rows("fq", options, FQ),
        "fq_codel" => by_rows("fq_codel", options, FQ_CODEL),
        "cake" => by_rows("cake", options, CAKE),
        "pfifo" => fifo("pfifo", options, number),
        "bfifo" => fifo("bfifo", options, size),
        "tbf" => tbf(options),
        "netem" => Err("netem has a setting of its own, netem".into()),
        other => Err(format!("{other} is not known: {KINDS}")),
    }?;
    made.words = words.join(" ");
    Ok(made)
}

impl Discipline {
    pub(super) fn new(kind: &'static str, head: Vec<u8>, options: Vec<(u16, Vec<u8>)>) -> Discipline {
        Discipline { words: String::new(), kind, head, options }
    }
}

fn by_rows(kind: &'static str, words: &[&str], rows: &[Row]) -> Result<Discipline, String> {
    let mut options: Vec<(u16, Vec<u8>)> = Vec::new();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let row = rows.iter().find(|row| row.0 == word);
        let &(_, option, value) = row.ok_or_else(|| format!("{kind}: {word} is not known"))?;
        let bytes = match value {
            Value::Is(number) if (kind, option) == ("cake", 2) => {
                Some(u64::from(number).to_ne_bytes().to_vec())
            }
            Value::Is(number) => Some(number.to_ne_bytes().to_vec()),
            Value::IsByte(number) => Some(vec![number]),
            _ => words.next().and_then(|text| bytes(value, text)),
        };
        let bytes = bytes.ok_or_else(|| format!("{kind}: {word} has no {}", form(value)))?;
        if options.iter().any(|(other, _)| *other == option) {
            return Err(format!("{kind}: {word} says again what was said before"));
        }
        if (kind, word) == ("cake", "rtt") {
            // As tc(8): the delay that is aimed at is a twentieth.
            let rtt = bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
            options.push((8, (rtt / 20).max(1).to_ne_bytes().to_vec()));
        }
        options.push((option, bytes));
    }
    Ok(Discipline::new(kind, Vec::new(), options))
}

fn bytes(value: Value, text: &str) -> Option<Vec<u8>> {
    let number = match value {
        Value::Number => number(text)?,
        Value::Size => size(text)?,
        Value::TimeUs => time_us(text)?,
        Value::TimeNs32 => u32::try_from(time_ns(text)?).ok()?,
        // Rates of 32 bits end with all bits set, which is no limit.
        Value::Rate32 => u32::try_from(rate(text)?).ok()?,
        Value::Rate64 => return Some(rate(text)?.to_ne_bytes().to_vec()),
        Value::Log => number(text).filter(|all| all.is_power_of_two())?.ilog2(),
        Value::Is(number) => number,
        Value::IsByte(number) => number.into(),
    };
    Some(number.to_ne_bytes().to_vec())
}

fn form(value: Value) -> &'static str {
    match value {
        Value::Number => "number",
        Value::Size => "size, such as 1500 or 32kb",
        Value::TimeUs | Value::TimeNs32 => "time, such as 5ms",
        Value::Rate32 | Value::Rate64 => "rate, such as 10mbit",
        Value::Log => "power of two",
        Value::Is(_) | Value::IsByte(_) => "value",
    }
}

/// `struct tc_fifo_qopt`: the limit.
fn fifo(kind: &'static str, words: &[&str], read: fn(&str) -> Option<u32>) -> Result<Discipline, String> {
    match words {
        [] => Ok(Discipline::new(kind, Vec::new(), Vec::new())),
        ["limit", limit] => {
            let limit = read(limit).ok_or_else(|| format!("{kind}: limit has no number"))?;
            Ok(Discipline::new(kind, limit.to_ne_bytes().to_vec(), Vec::new()))
        }
        [word, ..] => Err(format!("{kind}: {word} is not known: limit NUMBER")),
    }
}

fn tbf(words: &[&str]) -> Result<Discipline, String> {
    let (mut speed, mut burst, mut limit, mut latency) = (None, None, None, None);
    for pair in words.chunks(2) {
        let &[word, text] = pair else { return Err(format!("tbf: {} has no value", pair[0])) };
        let is_read = match word {
            "rate" => rate(text).map(|read| speed = Some(read)),
            "burst" | "buffer" | "maxburst" => {
                size(text).filter(|&all| all > 0).map(|read| burst = Some(read))
            }
            "limit" => size(text).map(|read| limit = Some(read)),
            "latency" => time_ns(text).map(|read| latency = Some(read)),
            _ => return Err(format!("tbf: {word} is not known: rate, burst, and limit or latency")),
        };
        is_read.ok_or_else(|| format!("tbf: {word} has a wrong value"))?;
    }
    let (Some(speed), Some(burst)) = (speed, burst) else { return Err("tbf: needs rate and burst".into()) };
    let limit = match (limit, latency) {
        (Some(limit), None) => limit,
        (None, Some(ns)) => limit_of(speed, burst, ns),
        _ => return Err("tbf: needs limit or latency, and not both".into()),
    };
    Ok(token_bucket(speed, burst, limit))
}

/// Bytes that wait at most so long.
fn limit_of(speed: u64, burst: u32, latency_ns: i64) -> u32 {
    let waits = u128::from(speed) * u128::from(latency_ns.unsigned_abs()) / 1_000_000_000;
    u32::try_from(waits + u128::from(burst)).unwrap_or(u32::MAX)
}

/// `struct tc_tbf_qopt` in the attribute TCA_TBF_PARMS, and what does not fit into it.
fn token_bucket(speed: u64, burst: u32, limit: u32) -> Discipline {
    const PARMS: u16 = 1;
    const RATE64: u16 = 4;
    const BURST: u16 = 6;
    /// `TC_LINKLAYER_ETHERNET`: the kernel needs no table of rates.
    const ETHERNET: u8 = 1;
    let speed_32 = u32::try_from(speed).unwrap_or(u32::MAX);
    // A tick is 64 ns.
    let ticks = u64::from(burst) * 1_000_000_000 / speed.max(1) / 64;
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    let mut parms = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    parms.extend(speed_32.to_ne_bytes());
    parms.extend([0; 12]);
    parms.extend([limit, ticks, 0].map(u32::to_ne_bytes).concat());
    let mut options = vec![(PARMS, parms), (BURST, burst.to_ne_bytes().to_vec())];
    if speed > u64::from(u32::MAX) {
        options.push((RATE64, speed.to_ne_bytes().to_vec()));
    }
    Discipline::new("tbf", Vec::new(), options)
}

/// A rate that an interface whose longest packet is `mtu` sends at: a token bucket that holds what comes in 5 ms, or two packets, and
/// a queue of 50 ms, or four packets.
pub fn limited_to(speed: u64, mtu: u32) -> Discipline {
    const LINK_HEAD: u32 = 32;
    let packet = mtu.saturating_add(LINK_HEAD);
    let burst = u32::try_from(speed / 200).unwrap_or(u32::MAX).max(packet.saturating_mul(2)).min(1 << 30);
    let limit = limit_of(speed, burst, 50_000_000).max(burst.saturating_add(packet.saturating_mul(4)));
    token_bucket(speed, burst, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_numbers() {
        let cake = read(" cake  bandwidth 10mbit  nat ").unwrap();
        assert_eq!((cake.words.as_str(), cake.kind), ("cake bandwidth 10mbit nat", "cake"));
        assert_eq!(cake.options[0], (2, 1_250_000u64.to_ne_bytes().to_vec()));
        assert_eq!(
            read("fq maxrate 1mbit buckets 1024").unwrap().options[1],
            (8, 10u32.to_ne_bytes().to_vec())
        );
        assert_eq!(read("pfifo limit 7").unwrap().head, 7u32.to_ne_bytes());
        let tbf = read("tbf rate 8mbit burst 10kb latency 50ms").unwrap();
        assert_eq!(tbf.options[0].1.len(), 36);
        assert_eq!(tbf.options[0].1[24..28], (50_000u32 + 10_240).to_ne_bytes());
        assert_eq!(limited_to(1_250_000, 1500).options[1], (6, 6250u32.to_ne_bytes().to_vec()));
    }

    #[test]
    fn what_is_wrong_names_the_word() {
        for (text, word) in [
            ("", "no kind"),
            ("sfq", "sfq is not known"),
            ("fq colour", "fq: colour is not known"),
            ("fq limit", "limit has no number"),
            ("fq buckets 1000", "power of two"),
            ("cake bandwidth fast", "bandwidth has no rate"),
            ("cake nat nonat", "nonat says again"),
            ("tbf rate 1mbit", "needs rate and burst"),
            ("tbf rate 1mbit burst 2kb", "limit or latency"),
            ("tbf rate 1mbit burst 2kb peakrate 2mbit", "peakrate is not known"),
            ("tbf rate", "rate has no value"),
            ("pfifo limit x", "limit has no number"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
