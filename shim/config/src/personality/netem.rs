// SPDX-License-Identifier: GPL-2.0-only
//! netem, in the words of tc-netem(8).

use super::queue::Discipline;
use super::units::{number, percent, rate, size, time_ns};

/// Numbers of the options (uapi/linux/pkt_sched.h).
const CORR: u16 = 1;
const REORDER: u16 = 3;
const CORRUPT: u16 = 4;
const LOSS: u16 = 5;
const RATE: u16 = 6;
const ECN: u16 = 7;
const RATE64: u16 = 8;
const LATENCY64: u16 = 10;
const JITTER64: u16 = 11;
/// The models of loss, in LOSS.
const GI: u16 = 1;
const GE: u16 = 2;

/// Packets that wait, if it is not said.
const LIMIT: u32 = 1000;

const KNOWN: &str = "limit, delay, loss, corrupt, duplicate, reorder, gap, rate, ecn";

#[derive(Default)]
struct Draft {
    limit: Option<u32>,
    delay_ns: Option<i64>,
    jitter_ns: i64,
    delay_corr: u32,
    loss: u32,
    loss_corr: u32,
    duplicate: u32,
    duplicate_corr: u32,
    gap: u32,
    reorder: Option<[u32; 2]>,
    corrupt: Option<[u32; 2]>,
    rate: Option<(u64, [u32; 3])>,
    /// A model of loss: its number, and its probabilities.
    model: Option<(u16, Vec<u32>)>,
    has_ecn: bool,
}

/// The words that are left.
struct Words<'a>(core::iter::Peekable<core::slice::Iter<'a, &'a str>>);

impl Words<'_> {
    /// The value of `word`, which has to be there.
    fn value<T>(&mut self, word: &str, form: &str, read: fn(&str) -> Option<T>) -> Result<T, String> {
        self.0.next().and_then(|text| read(text)).ok_or_else(|| format!("netem: {word} has no {form}"))
    }

    /// A value that may be there.
    fn more<T>(&mut self, read: fn(&str) -> Option<T>) -> Option<T> {
        let value = read(self.0.peek()?)?;
        self.0.next();
        Some(value)
    }

    /// A percentage that has to be there, and one that may be.
    fn chances(&mut self, word: &str) -> Result<[u32; 2], String> {
        Ok([self.value(word, PERCENT, percent)?, self.more(percent).unwrap_or(0)])
    }
}

const TIME: &str = "time, such as 50ms";
const PERCENT: &str = "percentage, such as 1%";

/// Reads the options.
pub fn read(words: &[&str]) -> Result<Discipline, String> {
    let mut draft = Draft::default();
    let mut seen: Vec<&str> = Vec::new();
    let mut words = Words(words.iter().peekable());
    while let Some(&word) = words.0.next() {
        let name = if word == "latency" { "delay" } else { word };
        if seen.contains(&name) {
            return Err(format!("netem: {name} stands there twice"));
        }
        seen.push(name);
        draft.take(name, &mut words)?;
    }
    if seen.is_empty() {
        return Err(format!("netem: does nothing; known are {KNOWN}"));
    }
    draft.finish()
}

impl Draft {
    fn take(&mut self, word: &str, words: &mut Words<'_>) -> Result<(), String> {
        match word {
            "limit" => self.limit = Some(words.value(word, "number of packets", number)?),
            "delay" => {
                self.delay_ns = Some(words.value(word, TIME, time_ns)?);
                if let Some(jitter) = words.more(time_ns) {
                    self.jitter_ns = jitter;
                    self.delay_corr = words.more(percent).unwrap_or(0);
                }
            }
            "loss" | "drop" => self.take_loss(words)?,
            "duplicate" => [self.duplicate, self.duplicate_corr] = words.chances(word)?,
            "corrupt" => self.corrupt = Some(words.chances(word)?),
            "reorder" => self.reorder = Some(words.chances(word)?),
            "gap" => self.gap = words.value(word, "number of packets", number)?,
            "rate" => {
                let speed = words.value(word, "rate, such as 10mbit", rate)?;
                let mut rest = [0; 3];
                for place in &mut rest {
                    let Some(read) = words.more(size) else { break };
                    *place = read;
                }
                self.rate = Some((speed, rest));
            }
            "ecn" => self.has_ecn = true,
            "distribution" | "slot" | "seed" => {
                return Err(format!("netem: {word} is not supported here; known are {KNOWN}"))
            }
            _ => return Err(format!("netem: {word} is not known; known are {KNOWN}")),
        }
        Ok(())
    }

    fn take_loss(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let kind = words.0.peek().map_or("", |word| **word);
        if matches!(kind, "random" | "state" | "gemodel") {
            words.0.next();
        }
        let mut chances = |most: usize| {
            let mut all = vec![words.value("loss", PERCENT, percent)?];
            while let Some(more) = (all.len() < most).then(|| words.more(percent)).flatten() {
                all.push(more);
            }
            Ok::<_, String>(all)
        };
        match kind {
            "state" => {
                let all = chances(5)?;
                let of = |at: usize, usual: u32| all.get(at).copied().unwrap_or(usual);
                // p13, p31, p32, p23, p14 as they are written; the kernel has the last two in the other order.
                let (p13, p31) = (all[0], of(1, u32::MAX - all[0]));
                self.model = Some((GI, vec![p13, p31, of(2, 0), of(4, 0), of(3, u32::MAX)]));
            }
            "gemodel" => {
                let all = chances(4)?;
                let of = |at: usize, usual: u32| all.get(at).copied().unwrap_or(usual);
                // p, r, 1-h, 1-k as they are written; the kernel has h.
                let h = u32::MAX - of(2, u32::MAX);
                self.model = Some((GE, vec![all[0], of(1, u32::MAX - all[0]), h, of(3, 0)]));
            }
            _ => {
                let all = chances(2)?;
                self.loss = all[0];
                self.loss_corr = all.get(1).copied().unwrap_or(0);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Discipline, String> {
        let delay = self.delay_ns.unwrap_or(0);
        if self.reorder.is_some() && delay == 0 {
            return Err("netem: reorder needs delay: packets that are not delayed overtake the others".into());
        }
        if self.gap > 0 && self.reorder.is_none() {
            return Err("netem: gap needs reorder".into());
        }
        if self.reorder.is_some() && self.gap == 0 {
            self.gap = 1;
        }
        if self.has_ecn && self.loss == 0 && self.model.is_none() {
            return Err("netem: ecn needs loss: packets are marked instead of dropped".into());
        }
        Ok(Discipline::new("netem", self.head(), self.options(delay)))
    }

    /// `struct tc_netem_qopt`; the times are options.
    fn head(&self) -> Vec<u8> {
        let limit = self.limit.unwrap_or(LIMIT);
        [0, limit, self.loss, self.gap, self.duplicate, 0].map(u32::to_ne_bytes).concat()
    }

    fn options(&self, delay_ns: i64) -> Vec<(u16, Vec<u8>)> {
        let words = |all: &[u32]| all.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let mut options = vec![
            (LATENCY64, delay_ns.to_ne_bytes().to_vec()),
            (JITTER64, self.jitter_ns.to_ne_bytes().to_vec()),
            (CORR, words(&[self.delay_corr, self.loss_corr, self.duplicate_corr])),
        ];
        options.extend(self.reorder.map(|all| (REORDER, words(&all))));
        options.extend(self.corrupt.map(|all| (CORRUPT, words(&all))));
        if let Some((model, chances)) = &self.model {
            // One attribute in another.
            let mut inner = (4 * chances.len() as u16 + 4).to_ne_bytes().to_vec();
            inner.extend(model.to_ne_bytes());
            inner.extend(words(chances));
            options.push((LOSS, inner));
        }
        if let Some((speed, rest)) = self.rate {
            let [overhead, cell, cell_overhead] = rest;
            let speed_32 = u32::try_from(speed).unwrap_or(u32::MAX);
            options.push((RATE, words(&[speed_32, overhead, cell, cell_overhead])));
            if speed > u64::from(u32::MAX) {
                options.push((RATE64, speed.to_ne_bytes().to_vec()));
            }
        }
        options.extend(self.has_ecn.then(|| (ECN, words(&[1]))));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn netem(text: &str) -> Result<Discipline, String> {
        read(&text.split_whitespace().collect::<Vec<_>>())
    }

    fn option(made: &Discipline, wanted: u16) -> Vec<u8> {
        made.options.iter().find(|(number, _)| *number == wanted).expect("it").1.clone()
    }

    #[test]
    fn words_become_numbers() {
        let made = netem("delay 50ms 10ms 25% loss 1% 50% duplicate 2% corrupt 0.1% reorder 25% 50% limit 7")
            .unwrap();
        let word = |at: usize| u32::from_ne_bytes(made.head[4 * at..4 * at + 4].try_into().unwrap());
        assert_eq!((word(1), word(2), word(3), word(4)), (7, 42_949_673, 1, 85_899_346));
        assert_eq!(option(&made, LATENCY64), 50_000_000i64.to_ne_bytes());
        assert_eq!(option(&made, JITTER64), 10_000_000i64.to_ne_bytes());
        assert_eq!(option(&made, CORR)[..8], [(1u32 << 30), 1 << 31].map(u32::to_ne_bytes).concat());
        assert_eq!(option(&made, REORDER), [(1u32 << 30), 1 << 31].map(u32::to_ne_bytes).concat());
        let made = netem("loss gemodel 1% 10% rate 100mbit 14 ecn").unwrap();
        assert_eq!(option(&made, LOSS).len(), 20);
        assert_eq!(option(&made, RATE)[..8], [12_500_000u32, 14].map(u32::to_ne_bytes).concat());
        assert_eq!(option(&netem("loss state 1%").unwrap(), LOSS).len(), 24);
        assert_eq!(option(&netem("rate 100gbit").unwrap(), RATE64), 12_500_000_000u64.to_ne_bytes());
    }

    #[test]
    fn what_is_wrong_names_the_word() {
        for (text, word) in [
            ("", "does nothing"),
            ("delay", "delay has no time"),
            ("delay 50", "delay has no time"),
            ("loss much", "loss has no percentage"),
            ("loss 200%", "loss has no percentage"),
            ("loss 1% loss 2%", "loss stands there twice"),
            ("delay 1ms latency 1ms", "delay stands there twice"),
            ("reorder 10%", "reorder needs delay"),
            ("delay 1ms gap 5", "gap needs reorder"),
            ("ecn", "ecn needs loss"),
            ("delay 1ms 1ms distribution normal", "distribution is not supported"),
            ("colour red", "colour is not known"),
            ("delay 1ms red", "red is not known"),
        ] {
            let why = netem(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
