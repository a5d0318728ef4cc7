// SPDX-License-Identifier: GPL-2.0-only
//! poll(2), ppoll(2), select(2), pselect6(2).

use crate::fdtable::{self, Owner};
use crate::signals::mask::{asked, with_mask};
use crate::sys::call::{args, Call};
use crate::sys::errno::Result;
use crate::sys::{host, user};
use crate::wait::masked::{check_time, wait_in_kernel};
use crate::wait::owners::Owners;

/// Up to so many entries a poll is not asked whether the limit of descriptors allows them: that costs a call of the host.
const MAY_BE_TOO_MANY: usize = 64;

/// poll(2) and ppoll(2)
pub fn poll(c: &Call<'_>) -> Result {
    let is_ppoll = c.nr == libc::SYS_ppoll as usize;
    if is_ppoll {
        check_time(c.args[2])?;
        asked(c.args[3], c.args[4])?;
    }
    let owner = if fdtable::any_special_now() { polled(c)? } else { Owner::Host };
    match owner {
        Owner::Host if is_ppoll => with_mask(&c.args, 3, |args| c.to_host_with(args)),
        Owner::Host => c.to_host(),
        Owner::Kernel if is_ppoll => {
            let mut args = c.args;
            args[3] = 0;
            wait_in_kernel(libc::SYS_ppoll, &args, asked(c.args[3], c.args[4])?)
        }
        Owner::Kernel => c.to_kernel(),
    }
}

fn polled(c: &Call<'_>) -> Result<Owner> {
    let count = c.args[1] as u32 as usize;
    if count > MAY_BE_TOO_MANY
        && host::soft_limit(libc::RLIMIT_NOFILE).is_ok_and(|limit| count as u64 > limit)
    {
        // The host says EINVAL, before anything is read.
        return Ok(Owner::Host);
    }
    let mut owners = Owners::default();
    for i in 0..count {
        let entry: libc::pollfd = user::read(c.args[0] + i * size_of::<libc::pollfd>())?;
        if entry.fd >= 0 {
            owners.add(entry.fd as usize);
        }
    }
    owners.one()
}

/// select(2) and pselect6(2)
pub fn select(c: &Call<'_>) -> Result {
    let is_pselect = c.nr == libc::SYS_pselect6 as usize;
    if is_pselect {
        check_time(c.args[4])?;
    }
    let owner = if fdtable::any_special_now() { selected(c)? } else { Owner::Host };
    match owner {
        owner if is_pselect => pselect(c, owner),
        Owner::Host => c.to_host(),
        Owner::Kernel => c.to_kernel(),
    }
}

fn selected(c: &Call<'_>) -> Result<Owner> {
    // A negative count is EINVAL, which the host says.
    let count = usize::try_from(c.args[0] as i32).unwrap_or(0).min(fdtable::LIMIT);
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
    owners.one()
}

/// pselect6: the mask lies behind one more pointer, with its size (select(2), "C library/kernel differences").
fn pselect(c: &Call<'_>, owner: Owner) -> Result {
    let mut own = c.args;
    let [mask, size] = if own[5] == 0 { [0, 8] } else { user::read::<[usize; 2]>(own[5])? };
    if owner == Owner::Kernel {
        own[5] = 0;
        return wait_in_kernel(libc::SYS_pselect6, &own, asked(mask, size)?);
    }
    with_mask(&args([mask, size]), 0, |cleaned| {
        let pair = [cleaned[0], size];
        if own[5] != 0 {
            own[5] = pair.as_ptr() as usize;
        }
        c.to_host_with(&own)
    })
}
