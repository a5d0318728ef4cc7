// SPDX-License-Identifier: GPL-2.0-only
//! How long a wait may take, as the application says it.

use lkl::sys::time::monotonic_ns;

use crate::sys::errno::{Errno, Result};
use crate::sys::user;

/// How long a wait may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeout {
    /// From the beginning, in ns; None: for ever.
    ns: Option<u64>,
    /// When it is over, once that was asked.
    until: Option<u64>,
}

const NS: i64 = 1_000_000_000;

impl Timeout {
    fn new(ns: Option<u64>) -> Timeout {
        Timeout { ns, until: None }
    }

    /// Milliseconds; negative: for ever.
    pub fn of_ms(ms: i32) -> Timeout {
        Timeout::new(u64::try_from(ms).ok().map(|ms| ms * 1_000_000))
    }

    /// A `struct timespec` of the application's; no address: for ever.
    pub fn of_timespec(address: usize) -> Result<Timeout> {
        Timeout::of_pair(address, |[seconds, ns]| Some([seconds, ns]))
    }

    /// A `struct timeval`, of which the microseconds may be more than a second (fs/select.c, `kern_select`).
    pub fn of_timeval(address: usize) -> Result<Timeout> {
        Timeout::of_pair(address, |[seconds, us]| {
            Some([seconds.checked_add(us / 1_000_000)?, us % 1_000_000 * 1_000])
        })
    }

    fn of_pair(address: usize, to_ns: impl Fn([i64; 2]) -> Option<[i64; 2]>) -> Result<Timeout> {
        if address == 0 {
            return Ok(Timeout::new(None));
        }
        match to_ns(user::read(address)?) {
            Some([seconds, ns]) if seconds >= 0 && (0..NS).contains(&ns) => {
                Ok(Timeout::new(Some((seconds as u64).saturating_mul(NS as u64).saturating_add(ns as u64))))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the wait ends at some time, if nothing comes.
    pub fn ends(&self) -> bool {
        self.ns.is_some()
    }

    /// The wait began then, and not when [`Timeout::left_ns`] is first asked.
    pub fn began_at(&mut self, then: u64) {
        self.until = self.ns.map(|ns| then.saturating_add(ns));
    }

    /// How much is left, in ns; None: it never ends.
    pub fn left_ns(&mut self) -> Option<u64> {
        let ns = self.ns?;
        if ns == 0 {
            return Some(0);
        }
        let now = monotonic_ns();
        let until = *self.until.get_or_insert(now.saturating_add(ns));
        Some(until.saturating_sub(now))
    }

    /// Writes what is left where the application said the time, if it did: in seconds and parts of which a second has
    /// `parts`. An address that cannot be written is nobody's concern (fs/select.c, `poll_select_finish`).
    pub fn tell(&mut self, address: usize, parts: u64) {
        if let (Some(left), true) = (self.left_ns(), address != 0) {
            let part = left % NS as u64 / (NS as u64 / parts);
            let _ = user::write(address, &[(left / NS as u64) as i64, part as i64]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeval(seconds: i64, us: i64) -> Result<Timeout> {
        let pair = [seconds, us];
        Timeout::of_timeval(&raw const pair as usize)
    }

    #[test]
    fn times_are_read_as_linux_reads_them() {
        assert_eq!(Timeout::of_ms(-7), Timeout::new(None));
        assert_eq!(Timeout::of_ms(3), Timeout::new(Some(3_000_000)));
        assert_eq!(Timeout::of_timespec(0), Ok(Timeout::new(None)));
        assert_eq!(timeval(1, 2_500_000), Ok(Timeout::new(Some(3_500_000_000))));
        assert_eq!(timeval(0, -1), Err(Errno::EINVAL));
        assert_eq!(timeval(-1, 0), Err(Errno::EINVAL));
        assert_eq!(timeval(i64::MAX, 2_000_000), Err(Errno::EINVAL));
        let pair = [0i64, NS];
        assert_eq!(Timeout::of_timespec(&raw const pair as usize), Err(Errno::EINVAL));
    }

    #[test]
    fn what_is_left_is_told_in_the_units_of_the_call() {
        let mut told = [-1i64; 2];
        let mut timeout = Timeout::of_ms(0);
        timeout.tell(&raw mut told as usize, 1_000_000);
        assert_eq!(told, [0, 0]);
        let mut timeout = Timeout::of_ms(5_000);
        timeout.tell(&raw mut told as usize, 1_000_000);
        assert!(told == [5, 0] || (told[0] == 4 && told[1] > 900_000), "{told:?}");
    }
}
