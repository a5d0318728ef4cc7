// SPDX-License-Identifier: GPL-2.0-only
//! A poll or select of files of both kernels.

use crate::fdtable::sets::{set_at, Set};
use crate::fdtable::{self, stand_in, KERNEL, RESERVED};
use crate::instance::enter::{is_interrupted, KernelContext};
use crate::sys::call::{self, args};
use crate::sys::errno::{Errno, Result};
use crate::wait::both::{At, Wait};

/// One file that a thread waits for.
#[derive(Clone, Copy)]
pub struct Polled {
    /// The number; negative: none.
    pub fd: i32,
    /// What is asked for.
    pub events: i16,
    /// Which results end the wait.
    pub counts: i16,
    /// What was found.
    pub revents: i16,
}

/// The files of one kernel: entries for poll(2), and which of all files each one is.
#[derive(Default)]
struct Part {
    entries: Vec<libc::pollfd>,
    of: Vec<usize>,
}

impl Part {
    fn add(&mut self, number: usize, file: &Polled) {
        self.entries.push(libc::pollfd { fd: file.fd, events: file.events, revents: 0 });
        self.of.push(number);
    }

    /// Adds what was found to the files. An entry that shows what does not count there is not asked again: it would show
    /// it for ever.
    fn tell(&mut self, files: &mut [Polled]) {
        for (entry, &number) in self.entries.iter_mut().zip(&self.of) {
            let file = &mut files[number];
            file.revents |= entry.revents & file.counts;
            if entry.revents & !file.counts != 0 && entry.revents & file.counts == 0 {
                entry.fd = -1;
            }
        }
    }
}

/// All files of a call.
pub struct Files {
    all: Vec<Polled>,
    host: Part,
    kernel: Part,
    /// The host's entries show what the sleep found.
    has_slept: bool,
}

impl Files {
    /// Sorts the files by their kernels.
    pub fn new(all: Vec<Polled>) -> Files {
        let (mut host, mut kernel) = (Part::default(), Part::default());
        for (number, file) in all.iter().enumerate().filter(|(_, file)| file.fd >= 0) {
            match fdtable::class(file.fd as usize) {
                KERNEL => {
                    kernel.add(number, file);
                    if set_at(file.fd as usize) == Set::Both {
                        host.add(number, file);
                    }
                }
                // Not open, to the program.
                RESERVED => host.add(number, &Polled { fd: i32::MAX, ..*file }),
                _ => {
                    let fd = stand_in::of(file.fd as usize).map_or(file.fd, |fd| fd as i32);
                    host.add(number, &Polled { fd, ..*file });
                }
            }
        }
        // The waker's place.
        host.entries.push(libc::pollfd { fd: -1, events: 0, revents: 0 });
        Files { all, host, kernel, has_slept: false }
    }

    /// All files, with what was found.
    pub fn all(&self) -> &[Polled] {
        &self.all
    }
}

impl Wait for Files {
    const ALONE: bool = false;

    fn look(&mut self, context: &mut KernelContext, _: At) -> Result {
        self.all.iter_mut().for_each(|file| file.revents = 0);
        let entries = &mut self.kernel.entries;
        let asked = args([entries.as_mut_ptr() as usize, entries.len(), 0]);
        match context.call(libc::SYS_poll, &asked) {
            // A signal, if nothing is ready: what is ready in the host counts more.
            r if is_interrupted(r) => {}
            r => {
                r?;
            }
        }
        self.kernel.tell(&mut self.all);
        if !core::mem::replace(&mut self.has_slept, false) {
            look_at_host(&mut self.host.entries)?;
        }
        self.host.tell(&mut self.all);
        Ok(self.all.iter().filter(|file| file.revents != 0).count())
    }

    fn kernel_files(&mut self) -> &mut [libc::pollfd] {
        &mut self.kernel.entries
    }

    fn host_files(&mut self) -> &mut [libc::pollfd] {
        self.has_slept = true;
        &mut self.host.entries
    }
}

fn look_at_host(entries: &mut [libc::pollfd]) -> Result<()> {
    let Some((waker, entries)) = entries.split_last_mut() else { return Ok(()) };
    waker.revents = 0;
    loop {
        let asked = args([entries.as_mut_ptr() as usize, entries.len(), 0]);
        match call::host(libc::SYS_poll, &asked) {
            // A signal, which is noted now, or not for the program.
            Err(Errno::EINTR) => {}
            r => return r.map(drop),
        }
    }
}
