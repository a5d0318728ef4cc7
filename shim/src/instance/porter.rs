// SPDX-License-Identifier: GPL-2.0-only
//! The keeper's door, where an instance has a name: programs come to it that want to use the instance, and are given the
//! descriptors and a member each. `process::door` is the other side; `stowaway_config::instance` has the protocol.
//!
//! A thread waits for connections, so that the keeper can sleep until anything happens. There is one visitor at a time.

use std::sync::atomic::{AtomicU32, AtomicU8, Ordering};

use lkl::sys::futex::{self, Scope};
use lkl::sys::helper_thread::HelperThread;
use lkl::sys::socket;
use lkl::{Duties, Handover, Kernel};
use stowaway_config::instance::{ASK, JOIN, REFUSED};

use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::{host, numbers};

/// How long a visitor may take to say what it wants.
const PATIENCE_MS: u32 = 1_000;
const PAUSE_NS: i64 = 10_000_000;

/// The visitor's connection, and 1; 0: there is none. And what the visitor wants.
static VISITOR: AtomicU32 = AtomicU32::new(0);
static WISH: AtomicU8 = AtomicU8::new(0);

/// What the keeper does at its door, if it has one.
pub struct Porter {
    /// The settings of the instance, as they are sent.
    settings: Vec<u8>,
    /// The name of the variable that tells a program where the kernel is.
    member: &'static [u8],
    unmounts: fn(),
}

impl Porter {
    /// The keeper's. `listener`: the door's socket. `unmounts` is called when nobody is left.
    pub fn new(listener: Option<i32>, settings: Vec<u8>, member: &'static [u8], unmounts: fn()) -> Porter {
        if let Some(listener) = listener {
            let _ = HelperThread::spawn(c"stowaway-door", wait_for_visitors, listener as usize);
        }
        Porter { settings, member, unmounts }
    }

    /// Lets the visitor in, or says why not: the answer to its wish.
    fn answer_to(
        &self,
        connection: &OwnedFd,
        admit: &mut dyn FnMut(u32) -> core::result::Result<Handover, Errno>,
    ) {
        let refuse = |why: &str| send(connection, &[&[REFUSED], why.as_bytes()].concat(), &[]);
        let Ok(peer) = fs::peer(connection.raw()) else { return };
        if peer.uid != host::effective_user() && peer.uid != 0 {
            return refuse("the instance is another user's");
        }
        match WISH.load(Ordering::Relaxed) {
            ASK => send(connection, &self.settings, &[]),
            JOIN => match admit(peer.pid as u32) {
                Ok(from) => self.let_in(connection, &from),
                Err(e) => refuse(&format!("the instance takes nobody more: {}", Explained(e))),
            },
            _ => refuse("another build of the library started the instance"),
        }
    }

    fn let_in(&self, connection: &OwnedFd, from: &Handover) {
        let Handover { memory, store, base, ram_bytes, member, task } = *from;
        let mut text = vec![0; self.member.len() + 4 * numbers::EACH];
        numbers::write(self.member, &[base, ram_bytes, member as usize, task], &mut text);
        let end = text.iter().position(|&byte| byte == 0).map_or(text.len(), |end| end + 1);
        text.truncate(end);
        text.extend_from_slice(&self.settings);
        send(connection, &text, &[memory, store.read, store.write]);
    }
}

/// Sends all of an answer: a new connection has room for it. A visitor that has gone meanwhile is told nothing; if it was let in,
/// it is a member whose process is no more.
fn send(connection: &OwnedFd, answer: &[u8], fds: &[i32]) {
    let _ = socket::send_with_fds(connection.raw(), answer, fds);
}

impl Duties for Porter {
    fn has_visitor(&self) -> bool {
        VISITOR.load(Ordering::Acquire) != 0
    }

    fn answer(&mut self, admit: &mut dyn FnMut(u32) -> core::result::Result<Handover, Errno>) {
        let Some(fd) = VISITOR.load(Ordering::Acquire).checked_sub(1) else { return };
        self.answer_to(&fs::owned(fd as i32), admit);
        VISITOR.store(0, Ordering::Release);
        futex::wake(&raw const VISITOR, 1, Scope::Private);
    }

    fn unmounts(&mut self) {
        (self.unmounts)();
    }
}

/// What the thread runs. It allocates nothing, and has nothing of libc's.
extern "C" fn wait_for_visitors(listener: usize) {
    loop {
        let Ok((connection, wish)) = next_visitor(listener as i32) else {
            host::sleep_ns(PAUSE_NS);
            continue;
        };
        WISH.store(wish, Ordering::Relaxed);
        let visitor = connection.into_raw() as u32 + 1;
        VISITOR.store(visitor, Ordering::Release);
        if let Some(kernel) = Kernel::get() {
            kernel.call_keeper();
        }
        while VISITOR.load(Ordering::Acquire) == visitor {
            futex::wait(&VISITOR, visitor, Scope::Private);
        }
    }
}

fn next_visitor(listener: i32) -> Result<(OwnedFd, u8)> {
    let connection = fs::accept(listener)?;
    socket::set_timeouts(connection.raw(), PATIENCE_MS);
    let mut wish = [0];
    match fs::read(connection.raw(), &mut wish)? {
        1 => Ok((connection, wish[0])),
        _ => Err(Errno::ECONNRESET),
    }
}
