// SPDX-License-Identifier: GPL-2.0-only
//! A member: its socket, and what waits for room in it.
//!
//! Any thread sends to a member, with the lock of what waits; the member's own thread reads, and sends what waits when
//! there is room.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags};

use crate::sys;

/// So many bytes wait for a member, at most: beyond them, frames for the member are dropped. As much as a switch of hardware has, and
/// some milliseconds of a fast stream.
pub const WAITING_BYTES: usize = 1 << 20;

/// What was moved for a member.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames and bytes that came from the member.
    pub frames_in: AtomicU64,
    pub bytes_in: AtomicU64,
    /// Frames and bytes that went to the member, or wait for it.
    pub frames_out: AtomicU64,
    pub bytes_out: AtomicU64,
    /// Frames for the member that there was no room for.
    pub dropped: AtomicU64,
    /// What came from the member and is no frame.
    pub bad: AtomicU64,
}

/// One member.
pub struct Member {
    number: u64,
    /// Its process, if it can be named here.
    pid: Option<u32>,
    stream: UnixStream,
    /// Written when something begins to wait.
    bell: OwnedFd,
    waits: Mutex<VecDeque<u8>>,
    pub counts: Counts,
    /// How many addresses the table has of the member.
    pub addresses: AtomicUsize,
}

/// Adds to a count.
pub fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Member {
    pub fn new(number: u64, stream: UnixStream) -> io::Result<Member> {
        stream.set_nonblocking(true)?;
        Ok(Member {
            number,
            pid: sys::peer(&stream),
            stream,
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            waits: Mutex::default(),
            counts: Counts::default(),
            addresses: AtomicUsize::new(0),
        })
    }

    fn waits(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.waits().len()
    }

    /// Sends a run of whole frames, or drops it. Never waits.
    pub fn send(&self, run: &[u8], frames: u64) {
        let mut waits = self.waits();
        // A member that ends is seen by its own thread.
        let _ = self.flush(&mut waits);
        let sent = match waits.is_empty() {
            true => (&self.stream).write(run).unwrap_or(0),
            false => 0,
        };
        // What was begun has to be ended, or nobody knows where the next frame begins.
        if sent == 0 && waits.len() + run.len() > WAITING_BYTES {
            drop(waits);
            return count(&self.counts.dropped, frames);
        }
        if sent < run.len() {
            let is_first = waits.is_empty();
            waits.extend(&run[sent..]);
            drop(waits);
            if is_first {
                let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
            }
        }
        count(&self.counts.frames_out, frames);
        count(&self.counts.bytes_out, run.len() as u64);
    }

    fn flush(&self, waits: &mut VecDeque<u8>) -> io::Result<()> {
        while !waits.is_empty() {
            let sent = (&self.stream).write(waits.as_slices().0)?;
            waits.drain(..sent);
        }
        Ok(())
    }

    /// Waits until there is something to read, and sends what waits meanwhile. Err: the member has ended.
    pub fn wait(&self) -> io::Result<()> {
        loop {
            let room = if self.waiting() > 0 { PollFlags::OUT } else { PollFlags::empty() };
            let mut polled = [
                PollFd::from_borrowed_fd(self.stream.as_fd(), PollFlags::IN | room),
                PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Err(rustix::io::Errno::INTR) => continue,
                done => done?,
            };
            let [stream, bell] = polled.map(|fd| fd.revents());
            if !bell.is_empty() {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            }
            if stream.contains(PollFlags::OUT) {
                match self.flush(&mut self.waits()) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
            if stream.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                return Ok(());
            }
        }
    }

    /// Reads what is there. `Ok(0)`: the member has ended.
    pub fn read(&self, to: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(to)
    }

    /// The connection ends on both sides.
    pub fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "member {} (pid {pid})", self.number),
            None => write!(f, "member {}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> (Member, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Member::new(1, ours).unwrap(), theirs)
    }

    #[test]
    fn who_does_not_read_loses_whole_runs_and_nothing_in_between() {
        let (member, mut theirs) = member();
        let run: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        for _ in 0..40 {
            member.send(&run, 3);
        }
        let dropped = member.counts.dropped.load(Ordering::Relaxed);
        assert!(dropped > 0 && dropped % 3 == 0, "{dropped}");
        assert!(member.waiting() <= WAITING_BYTES);
        let kept = (120 - dropped) as usize / 3;
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while member.waiting() > 0 {
                    let _ = member.flush(&mut member.waits());
                    std::thread::yield_now();
                }
            });
            let mut all = vec![0; kept * run.len()];
            theirs.read_exact(&mut all).unwrap();
            assert!(all.chunks(run.len()).all(|part| part == run));
        });
        theirs.set_nonblocking(true).unwrap();
        assert!(theirs.read(&mut [0; 1]).is_err(), "more than was kept");
    }

    #[test]
    fn a_member_that_has_gone_is_no_error_of_the_sender() {
        let (member, theirs) = member();
        drop(theirs);
        member.send(&[1; 100], 1);
        assert!(member.wait().is_err() || matches!(member.read(&mut [0; 9]), Ok(0) | Err(_)));
    }
}
