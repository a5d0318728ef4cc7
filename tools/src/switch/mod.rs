// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway switch`: a learning switch (IEEE 802.1D, 7.8) between whoever connects to a Unix socket and speaks QEMU's protocol.
//!
//! Each member has a thread, which reads the member's frames and writes them to the other members' sockets right away, as
//! runs of frames with one destination. Nobody waits for anybody: what a socket does not take stays with the member that it is
//! for, up to a limit, and what is past the limit is dropped and counted there. docs/design/network.md says why it is made so.
//!
//! Floors, from the lowest: frames, member, table, forward, report.

mod forward;
#[doc(hidden)]
pub mod frames;
mod member;
mod report;
mod table;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::cli::SwitchOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::listener::{listen, Listener};
use crate::sys;
use member::Member;
use table::Table;

/// Members at a time.
const MOST_MEMBERS: usize = 256;
const STACK_BYTES: usize = 256 << 10;
/// How often addresses that nobody uses any more are forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// A pause after a connection that could not be taken: there are too many descriptors or threads.
const PAUSE: Duration = Duration::from_millis(100);

/// What all threads share.
struct Switch {
    members: RwLock<Vec<Arc<Member>>>,
    table: Table,
    /// Frames dropped for members that have gone.
    dropped_before: AtomicU64,
    verbose: bool,
}

/// Is a switch until a signal ends it.
pub fn switch(options: &SwitchOptions) -> Result<i32, Failure> {
    let failed = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "is in use: another switch listens there, or it is no socket".into(),
            _ => reason(&error),
        };
        Failure::new(EXIT_FAILED, format!("{}: {why}", options.socket.display()))
    };
    let signals =
        sys::signals(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1]).map_err(failed)?;
    let listener = listen(&options.socket).map_err(failed)?;
    let switch = Arc::new(Switch {
        members: RwLock::default(),
        table: Table::default(),
        dropped_before: AtomicU64::new(0),
        verbose: options.verbose,
    });
    let ended = switch.run(&listener, &signals);
    if options.stats {
        report::print(&switch);
    }
    ended.map_err(failed).map(|()| 0)
}

impl Switch {
    fn members(&self) -> RwLockReadGuard<'_, Vec<Arc<Member>>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(self: &Arc<Self>, listener: &Listener, signals: &OwnedFd) -> io::Result<()> {
        listener.socket().set_nonblocking(true)?;
        let mut number = 0;
        loop {
            let ready = sys::wait_readable(&[listener.socket().as_fd(), signals.as_fd()], Some(SWEEP))?;
            if ready[1] {
                match sys::read_signal(signals) {
                    Some(libc::SIGUSR1) => report::print(self),
                    Some(_) => return Ok(()),
                    None => {}
                }
            }
            if ready[0] {
                number += 1;
                match listener.socket().accept() {
                    Ok((stream, _)) => self.take(number, stream),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
            self.table.sweep();
        }
    }

    /// One more member.
    fn take(self: &Arc<Self>, number: u64, stream: UnixStream) {
        if self.members().len() == MOST_MEMBERS {
            return eprintln!("stowaway: a connection is refused: {MOST_MEMBERS} members are the most");
        }
        let Ok(member) = Member::new(number, stream).map(Arc::new) else {
            return std::thread::sleep(PAUSE);
        };
        self.members.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&member));
        if self.verbose {
            eprintln!("stowaway: {member} joins");
        }
        let (switch, here) = (Arc::clone(self), Arc::clone(&member));
        let work = move || {
            let why = forward::run(&switch, &here);
            switch.lose(&here, why);
        };
        if std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).is_err() {
            self.lose(&member, Some("there can be no more threads"));
            std::thread::sleep(PAUSE);
        }
    }

    /// A member has gone. `why`: it was this side that ended the connection.
    fn lose(&self, member: &Arc<Member>, why: Option<&str>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.retain(|other| !Arc::ptr_eq(other, member));
        drop(members);
        member.end();
        self.table.forget(member);
        self.dropped_before.fetch_add(member.counts.dropped.load(Ordering::Relaxed), Ordering::Relaxed);
        match why {
            Some(why) => eprintln!("stowaway: {member} is put out: it {why}"),
            None if self.verbose => eprintln!("stowaway: {member} leaves"),
            None => {}
        }
    }
}
