// SPDX-License-Identifier: GPL-2.0-only
//! select(2) and pselect6(2).

use crate::fdtable;
use crate::instance::enter::ended_by_signal;
use crate::signals::mask::{asked, with_mask};
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::{sleep, user};
use crate::wait::both;
use crate::wait::files::{Files, Polled};
use crate::wait::masked::{check_time, wait_in_kernel, wait_under};
use crate::wait::owners::{Owners, Whose};
use crate::wait::timeout::Timeout;

/// A word of a set: as kernels copy them (`get_fd_set`).
const BITS: usize = u64::BITS as usize;

/// What poll(2) calls that which puts a descriptor into the three sets, and what it is asked for (fs/select.c,
/// `POLLIN_SET` and so on; poll(2) itself adds POLLERR and POLLHUP to what is asked for).
const ASKED: [i16; 3] = [
    libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND,
    libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND,
    libc::POLLPRI,
];
const COUNTS: [i16; 3] = [ASKED[0] | libc::POLLHUP | libc::POLLERR, ASKED[1] | libc::POLLERR, ASKED[2]];

/// select(2) and pselect6(2)
pub fn select(c: &Call<'_>) -> Result {
    let is_pselect = c.nr == libc::SYS_pselect6 as usize;
    if is_pselect {
        check_time(c.args[4])?;
    }
    let whose = if fdtable::any_special_now() { selected(c)? } else { Whose::Host };
    match whose {
        whose if is_pselect => pselect(c, whose),
        Whose::Host => c.to_host(),
        Whose::Kernel => c.to_kernel(),
        Whose::Both => {
            let mut timeout = Timeout::of_timeval(c.args[4])?;
            let r = select_both(c, None, &mut timeout);
            timeout.tell(c.args[4], 1_000_000);
            r
        }
    }
}

/// pselect6: the mask lies behind one more pointer, with its size (select(2), "C library/kernel differences").
fn pselect(c: &Call<'_>, whose: Whose) -> Result {
    let mut own = c.args;
    let [mask, size] = if own[5] == 0 { [0, 8] } else { user::read::<[usize; 2]>(own[5])? };
    match whose {
        Whose::Host => with_mask(&args([mask, size]), 0, |cleaned| {
            let pair = [cleaned[0], size];
            if own[5] != 0 {
                own[5] = pair.as_ptr() as usize;
            }
            c.to_host_with(&own)
        }),
        Whose::Kernel => {
            own[5] = 0;
            wait_in_kernel(libc::SYS_pselect6, &own, asked(mask, size)?)
        }
        Whose::Both => {
            let mut timeout = Timeout::of_timespec(c.args[4])?;
            let r = select_both(c, asked(mask, size)?, &mut timeout);
            timeout.tell(c.args[4], 1_000_000_000);
            r
        }
    }
}

/// How many numbers the call is about. A negative count is EINVAL, which the host says.
fn count(c: &Call<'_>) -> usize {
    usize::try_from(c.args[0] as i32).unwrap_or(0).min(fdtable::LIMIT)
}

fn selected(c: &Call<'_>) -> Result<Whose> {
    let count = count(c);
    let mut owners = Owners::default();
    for set in c.args[1..4].iter().filter(|&&set| set != 0) {
        for byte in 0..count.div_ceil(8) {
            // A kernel reads no further than its table of descriptors goes.
            let bits: u8 = match user::read(set + byte) {
                Ok(bits) => bits,
                Err(_) if byte > 0 => break,
                Err(e) => return Err(e),
            };
            for number in (byte * 8..count.min(byte * 8 + 8)).filter(|number| bits & (1 << (number % 8)) != 0)
            {
                owners.add(number);
            }
        }
    }
    owners.all()
}

/// The three sets of a call, word by word: what is asked, or what was found.
struct Sets([Vec<u64>; 3]);

impl Sets {
    fn read(c: &Call<'_>) -> Result<Sets> {
        let count = count(c);
        let read = |at: usize| -> Result<Vec<u64>> {
            let mut words = Vec::new();
            for word in (0..count.div_ceil(BITS)).take_while(|_| at != 0) {
                match user::read(at + word * 8) {
                    Ok(bits) => words.push(bits),
                    Err(_) if word > 0 => break,
                    Err(e) => return Err(e),
                }
            }
            if let Some(last) = words.get_mut(count / BITS) {
                *last &= (1 << (count % BITS)) - 1;
            }
            Ok(words)
        };
        Ok(Sets([read(c.args[1])?, read(c.args[2])?, read(c.args[3])?]))
    }

    fn has(&self, set: usize, number: usize) -> bool {
        self.0[set].get(number / BITS).is_some_and(|bits| bits >> (number % BITS) & 1 != 0)
    }

    /// An entry for each number that is in some set.
    fn files(&self) -> Vec<Polled> {
        let end = self.0.iter().map(Vec::len).max().unwrap_or(0) * BITS;
        let of = |number: usize, what: [i16; 3]| {
            (0..3).filter(|&set| self.has(set, number)).fold(0, |all, set| all | what[set])
        };
        let file = |number: usize| Polled {
            fd: number as i32,
            events: of(number, ASKED),
            // It is an error that ends the call.
            counts: of(number, COUNTS) | libc::POLLNVAL,
            revents: 0,
        };
        (0..end).map(file).filter(|file| file.events != 0).collect()
    }

    /// Leaves in the sets what was found. How many bits that is.
    fn keep_found(&mut self, files: &[Polled]) -> usize {
        let asked = Sets(self.0.clone());
        self.0.iter_mut().flatten().for_each(|word| *word = 0);
        let mut bits = 0;
        for file in files {
            let number = file.fd as usize;
            for set in (0..3).filter(|&set| asked.has(set, number) && file.revents & COUNTS[set] != 0) {
                self.0[set][number / BITS] |= 1 << (number % BITS);
                bits += 1;
            }
        }
        bits
    }

    fn write(&self, c: &Call<'_>) -> Result<()> {
        for (words, &at) in self.0.iter().zip(&c.args[1..4]) {
            for (number, word) in words.iter().enumerate() {
                user::write(at + number * 8, word)?;
            }
        }
        Ok(())
    }
}

fn select_both(c: &Call<'_>, mask: Option<u64>, timeout: &mut Timeout) -> Result {
    wait_under(mask, |context| {
        let mut sets = Sets::read(c)?;
        let mut files = Files::new(sets.files());
        let ready = both::wait(context, &mut files, timeout)?;
        if ready == 0 && sleep::is_disturbed(context.thread()) {
            return ended_by_signal();
        }
        if files.all().iter().any(|file| file.revents & libc::POLLNVAL != 0) {
            return Err(Errno::EBADF);
        }
        let bits = sets.keep_found(files.all());
        sets.write(c)?;
        Ok(bits)
    })
}
