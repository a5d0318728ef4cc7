// SPDX-License-Identifier: GPL-2.0-only
//! poll(2), ppoll(2), select(2), pselect6(2).

use crate::fdtable::{self, Owner};
use crate::instance::enter::enter_kernel;
use crate::signals::mask::{under_mask, with_mask};
use crate::sys::call::{args, Call};
use crate::sys::errno::Result;
use crate::sys::user;
use crate::wait::owners::Owners;

/// poll(2) and ppoll(2)
pub fn poll(c: &Call<'_>) -> Result {
    let is_ppoll = c.nr == libc::SYS_ppoll as usize;
    let owner = if fdtable::any_special_now() { polled(c)?.one()? } else { Owner::Host };
    match owner {
        Owner::Host if is_ppoll => with_mask(&c.args, 3, |args| c.to_host_with(args)),
        Owner::Host => c.to_host(),
        Owner::Kernel if is_ppoll => {
            let mut args = c.args;
            args[3] = 0;
            under_mask(c.args[3], || enter_kernel(|context| context.call(libc::SYS_ppoll, &args)))
        }
        Owner::Kernel => c.to_kernel(),
    }
}

fn polled(c: &Call<'_>) -> Result<Owners> {
    let mut owners = Owners::default();
    for i in 0..c.args[1].min(fdtable::LIMIT) {
        let entry: libc::pollfd = user::read(c.args[0] + i * size_of::<libc::pollfd>())?;
        if entry.fd >= 0 {
            owners.add(entry.fd as usize);
        }
    }
    Ok(owners)
}

/// select(2) and pselect6(2)
pub fn select(c: &Call<'_>) -> Result {
    let is_pselect = c.nr == libc::SYS_pselect6 as usize;
    let owner = if fdtable::any_special_now() { selected(c)?.one()? } else { Owner::Host };
    match owner {
        owner if is_pselect => pselect(c, owner),
        Owner::Host => c.to_host(),
        Owner::Kernel => c.to_kernel(),
    }
}

fn selected(c: &Call<'_>) -> Result<Owners> {
    let count = c.args[0] as u32 as usize;
    let mut owners = Owners::default();
    for set in c.args[1..4].iter().filter(|&&set| set != 0) {
        for byte in 0..count.min(fdtable::LIMIT).div_ceil(8) {
            let bits: u8 = user::read(set + byte)?;
            for number in (byte * 8..count.min(byte * 8 + 8)).filter(|number| bits & (1 << (number % 8)) != 0)
            {
                owners.add(number);
            }
        }
    }
    Ok(owners)
}

/// pselect6: the mask lies behind one more pointer, with its size (select(2), "C library/kernel differences").
fn pselect(c: &Call<'_>, owner: Owner) -> Result {
    let mut own = c.args;
    let [mask, size] = if own[5] == 0 { [0, 8] } else { user::read::<[usize; 2]>(own[5])? };
    if owner == Owner::Kernel {
        own[5] = 0;
        return under_mask(mask, || enter_kernel(|context| context.call(libc::SYS_pselect6, &own)));
    }
    with_mask(&args([mask]), 0, |cleaned| {
        let pair = [cleaned[0], size];
        if own[5] != 0 {
            own[5] = pair.as_ptr() as usize;
        }
        c.to_host_with(&own)
    })
}
