// SPDX-License-Identifier: GPL-2.0-only
//! poll(2) and ppoll(2).

use crate::fdtable::{self, stand_in};
use crate::instance::enter::ended_by_signal;
use crate::signals::mask::{asked, with_mask};
use crate::sys::call::Call;
use crate::sys::errno::Result;
use crate::sys::host::Args;
use crate::sys::{host, sleep, user};
use crate::wait::both;
use crate::wait::files::{Files, Polled};
use crate::wait::masked::{check_time, wait_in_kernel, wait_under};
use crate::wait::owners::{Owners, Whose};
use crate::wait::timeout::Timeout;

/// Up to so many entries a poll is not asked whether the limit of descriptors allows them: that costs a call of the host.
const MAY_BE_TOO_MANY: usize = 64;

/// Programs that wait for changes of a table of mounts wait for few files.
const STAND_INS_AMONG: usize = 16;

const ENTRY: usize = size_of::<libc::pollfd>();
/// Where the results stand in an entry.
const REVENTS: usize = core::mem::offset_of!(libc::pollfd, revents);

/// poll(2) and ppoll(2)
pub fn poll(c: &Call<'_>) -> Result {
    let is_ppoll = c.nr == libc::SYS_ppoll as usize;
    if is_ppoll {
        check_time(c.args[2])?;
        asked(c.args[3], c.args[4])?;
    }
    let whose = if fdtable::any_special_now() { polled(c)? } else { Whose::Host };
    match whose {
        Whose::Host if stand_in::any() => with_stand_ins(c, is_ppoll),
        Whose::Host if is_ppoll => with_mask(&c.args, 3, |args| c.to_host_with(args)),
        Whose::Host => c.to_host(),
        Whose::Kernel if is_ppoll => {
            let mut args = c.args;
            args[3] = 0;
            wait_in_kernel(libc::SYS_ppoll, &args, asked(c.args[3], c.args[4])?)
        }
        Whose::Kernel => c.to_kernel(),
        Whose::Both if is_ppoll => {
            let mut timeout = Timeout::of_timespec(c.args[2])?;
            let r = poll_both(c, asked(c.args[3], c.args[4])?, &mut timeout);
            timeout.tell(c.args[2], 1_000_000_000);
            r
        }
        Whose::Both => poll_both(c, None, &mut Timeout::of_ms(c.args[2] as i32)),
    }
}

/// A poll of the host in which files may stand in for others.
#[cold]
#[inline(never)]
fn with_stand_ins(c: &Call<'_>, is_ppoll: bool) -> Result {
    let make = |args: &Args| match is_ppoll {
        true => with_mask(args, 3, |args| c.to_host_with(args)),
        false => c.to_host_with(args),
    };
    let count = count(c);
    let any = (0..count.min(STAND_INS_AMONG)).any(|number| {
        entry(c, number).is_ok_and(|entry| entry.fd >= 0 && stand_in::of(entry.fd as usize).is_some())
    });
    if !any || count > STAND_INS_AMONG {
        return make(&c.args);
    }
    let mut entries = [libc::pollfd { fd: -1, events: 0, revents: 0 }; STAND_INS_AMONG];
    for (number, to) in entries.iter_mut().enumerate().take(count) {
        *to = entry(c, number)?;
        to.fd = stand_in::of(to.fd as usize).map_or(to.fd, |fd| fd as i32);
    }
    let mut args = c.args;
    args[0] = entries.as_mut_ptr() as usize;
    let ready = make(&args)?;
    for (number, entry) in entries.iter().enumerate().take(count) {
        user::write(c.args[0] + number * ENTRY + REVENTS, &(entry.revents as u16))?;
    }
    Ok(ready)
}

fn count(c: &Call<'_>) -> usize {
    c.args[1] as u32 as usize
}

fn entry(c: &Call<'_>, number: usize) -> Result<libc::pollfd> {
    user::read(c.args[0] + number * ENTRY)
}

fn polled(c: &Call<'_>) -> Result<Whose> {
    let count = count(c);
    if count > MAY_BE_TOO_MANY
        && host::soft_limit(libc::RLIMIT_NOFILE).is_ok_and(|limit| count as u64 > limit)
    {
        // The host says EINVAL, before anything is read.
        return Ok(Whose::Host);
    }
    let mut owners = Owners::default();
    for number in 0..count {
        let entry = entry(c, number)?;
        if entry.fd >= 0 {
            owners.add(entry.fd as usize);
        }
    }
    owners.all()
}

fn poll_both(c: &Call<'_>, mask: Option<u64>, timeout: &mut Timeout) -> Result {
    wait_under(mask, |context| {
        let read = |number| {
            entry(c, number).map(|entry| Polled {
                fd: entry.fd,
                events: entry.events,
                counts: !0,
                revents: 0,
            })
        };
        let mut files = Files::new((0..count(c)).map(read).collect::<Result<_>>()?);
        let ready = both::wait(context, &mut files, timeout)?;
        if ready == 0 && sleep::is_disturbed(context.thread()) {
            return ended_by_signal();
        }
        for (number, file) in files.all().iter().enumerate() {
            user::write(c.args[0] + number * ENTRY + REVENTS, &(file.revents as u16))?;
        }
        Ok(ready)
    })
}
