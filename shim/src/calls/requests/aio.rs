// SPDX-License-Identifier: GPL-2.0-only
//! io_submit(2) with kernel files. Contexts, queues of events and their eventfds are the host's.
//!
//! A request on a kernel file is carried out within io_submit, as Linux does with buffered files. Its event comes from the
//! host: a write of as many bytes to /dev/null gives the same result, at once, for the same `struct iocb`. The structure says
//! so for the time of one host call; io_getevents(2) does not return meanwhile, so that nobody sees it. A request that fails
//! has no such form: its error is io_submit's own (fs/aio.c has both ways for errors).

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use lkl::sys::futex::{self, Scope};

use super::serve;
use crate::fdtable::{self, Keep, KERNEL};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::signal_lock::SignalsWait;
use crate::sys::{fs, user};

/// `struct iocb` in words (include/uapi/linux/aio_abi.h).
type Words = [u64; 8];
/// Words of it: key and flags of the operation; operation, priority and descriptor; then single things.
const KEY: usize = 1;
const WHAT: usize = 2;
const BUFFER: usize = 3;
const LEN: usize = 4;
const OFFSET: usize = 5;
const RESERVED: usize = 6;
const FLAGS: usize = 7;

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const POLL: u16 = 5;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;

/// Of the flags: the event is told to an eventfd.
const RESFD: u64 = 1;
const RWF_NOWAIT: u64 = 8;

/// The head of a context's queue of events, where the host maps it: `struct aio_ring` (fs/aio.c).
const MAGIC: u32 = 0xa10a_10a1;

/// /dev/null, at a number of ours; -1: not opened yet.
static NULL: AtomicI32 = AtomicI32::new(-1);
/// How many structures say something else than the application wrote.
static CHANGED: AtomicU32 = AtomicU32::new(0);

/// io_submit(2)
pub fn submit(c: &Call<'_>) -> Result {
    let [context, count, list, ..] = c.args;
    if !fdtable::any_kernel() || isize::try_from(count).is_err() || !is_context(context) {
        return c.to_host();
    }
    let at = |n: usize| list.wrapping_add(n * size_of::<usize>());
    let mut done = 0;
    while done < count {
        let ours = (done..count).find_map(|n| Request::on_kernel_file(at(n)).map(|request| (n, request)));
        let next = ours.as_ref().map_or(count, |(n, _)| *n);
        let result = match (next - done, ours) {
            (0, Some((_, request))) => request.carry_out(context).map(|()| 1),
            (hosts, _) => call::host(libc::SYS_io_submit, &args([context, hosts, at(done)])),
        };
        match result {
            Ok(n) if n == (next - done).max(1) => done += n,
            Ok(n) => return Ok(done + n),
            Err(e) => return if done == 0 { Err(e) } else { Ok(done) },
        }
    }
    match count {
        0 => c.to_host(),
        _ => Ok(done),
    }
}

/// io_getevents(2), io_pgetevents(2)
pub fn events(c: &Call<'_>) -> Result {
    let got = c.to_host()?;
    loop {
        match CHANGED.load(Ordering::Acquire) {
            n if n != 0 && got != 0 => futex::wait(&CHANGED, n, Scope::Private),
            _ => return Ok(got),
        }
    }
}

fn is_context(at: usize) -> bool {
    user::read::<[u32; 5]>(at).is_ok_and(|head| head[4] == MAGIC)
}

/// EAGAIN: as many events as the context was made for wait to be looked at. (The host makes room for twice as many.)
fn check_has_room(context: usize) -> Result<()> {
    let [_, size, head, tail, _] = user::read::<[u32; 5]>(context)?;
    let waiting = (tail.wrapping_add(size)).wrapping_sub(head).checked_rem(size).ok_or(Errno::EINVAL)?;
    if waiting < size / 2 {
        Ok(())
    } else {
        Err(Errno::EAGAIN)
    }
}

/// A request on a kernel file.
struct Request {
    at: usize,
    words: Words,
}

impl Request {
    /// The request whose address is at `place`. None: it is the host's, or cannot be read.
    fn on_kernel_file(place: usize) -> Option<Request> {
        let at = user::read::<usize>(place).ok()?;
        let request = Request { at, words: user::read::<Words>(at).ok()? };
        (fdtable::class(request.fd()) == KERNEL).then_some(request)
    }

    fn fd(&self) -> usize {
        (self.words[WHAT] >> 32) as u32 as usize
    }

    fn carry_out(&self, context: usize) -> Result<()> {
        check_has_room(context)?;
        let null = null()?;
        let result = self.call()?;
        self.post(context, null, result)
    }

    /// Does what the request says, in the order of checks of fs/aio.c (`io_submit_one`).
    fn call(&self) -> Result {
        let [_, key, what, buffer, len, offset, reserved, _] = self.words;
        let operation = what as u16;
        if reserved != 0 || isize::try_from(len).is_err() {
            return Err(Errno::EINVAL);
        }
        let flags = key >> 32;
        match operation {
            FSYNC | FDSYNC if buffer | offset | len | flags != 0 => Err(Errno::EINVAL),
            FSYNC => serve(libc::SYS_fsync, &args([self.fd()])),
            FDSYNC => serve(libc::SYS_fdatasync, &args([self.fd()])),
            PREAD | PWRITE | PREADV | PWRITEV if (offset as i64) < 0 => Err(Errno::EINVAL),
            PREAD | PWRITE | PREADV | PWRITEV if flags & RWF_NOWAIT != 0 => Err(Errno::EOPNOTSUPP),
            PREAD | PWRITE | PREADV | PWRITEV => self.transfer(operation, flags as usize),
            POLL => {
                say_once!("io_submit: IOCB_CMD_POLL is not supported on a file in a mount (EINVAL)");
                Err(Errno::EINVAL)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn transfer(&self, operation: u16, flags: usize) -> Result {
        let nr = match operation {
            PREAD | PREADV => libc::SYS_preadv2,
            _ => libc::SYS_pwritev2,
        };
        let [buffer, len, offset] = [BUFFER, LEN, OFFSET].map(|word| self.words[word] as usize);
        let vector = [buffer, len];
        let (vectors, count) = match operation {
            PREAD | PWRITE => (vector.as_ptr() as usize, 1),
            _ => (buffer, len),
        };
        let at = |offset| serve(nr, &[self.fd(), vectors, count, offset, 0, flags]);
        match at(offset) {
            // A FIFO has no positions.
            Err(Errno::ESPIPE) => at(usize::MAX),
            result => result,
        }
    }

    /// Lets the host tell that the request has ended with `result`.
    fn post(&self, context: usize, null: i32, result: usize) -> Result<()> {
        let mut posted = self.words;
        posted[KEY] = 0;
        posted[WHAT] = u64::from(PWRITE) | (null as u64) << 32;
        posted[BUFFER] = 0;
        posted[LEN] = result as u64;
        posted[OFFSET] = 0;
        posted[FLAGS] &= !(u64::from(u32::MAX)) | RESFD;
        // No handler of the application runs until the structure is as it was.
        let _signals = SignalsWait::begin();
        CHANGED.fetch_add(1, Ordering::AcqRel);
        let posted = user::write(self.at, &posted).and_then(|()| {
            let list = [self.at];
            call::host(libc::SYS_io_submit, &args([context, 1, list.as_ptr() as usize]))
        });
        let _ = user::write(self.at, &self.words);
        CHANGED.fetch_sub(1, Ordering::AcqRel);
        futex::wake_all(&raw const CHANGED, Scope::Private);
        posted.map(drop)
    }
}

/// /dev/null, opened at the first need.
fn null() -> Result<i32> {
    match NULL.load(Ordering::Acquire) {
        -1 => {}
        fd => return Ok(fd),
    }
    let fd = fs::open(c"/dev/null", libc::O_WRONLY | libc::O_CLOEXEC, 0)
        .and_then(|opened| fdtable::reserve(opened.raw(), Keep::OverFork))
        .inspect_err(|_| {
            say_once!("io_submit: /dev/null is needed for files in a mount, and cannot be opened")
        })?;
    match NULL.compare_exchange(-1, fd, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(fd),
        Err(theirs) => {
            fdtable::release(fd as usize);
            Ok(theirs)
        }
    }
}

const _: () = assert!(RESERVED + 1 == FLAGS);
