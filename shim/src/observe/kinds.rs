// SPDX-License-Identifier: GPL-2.0-only
//! What the arguments of a call are, as the table of system calls says.

use once_cell::sync::OnceCell;
use syscalls::Sysno;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arg {
    Fd,
    DirFd,
    Path,
    Flags,
    Mode,
    Size,
    Offset,
    Int,
    Hex,
    /// Data the call reads; its size follows.
    Buf,
    /// Data the call fills, as much as its result says; the room follows.
    Fill,
    Text,
    Iov,
    FillIov,
    /// A structure.
    Ptr,
    // Structures, flags and values that have names.
    Argv,
    Envp,
    Stat,
    Time,
    /// A socket's; its size follows.
    Address,
    Open,
    At,
    Access,
    Prot,
    Map,
    Signal,
    How,
    Whence,
    Command,
    Clone,
    Futex,
    Family,
    Socket,
    Message,
    Advice,
    Wait,
    Rename,
    Clock,
    Limit,
    Epoll,
}

/// Gives the kinds of a call's arguments; None: nothing is known of the number.
pub type Describe = fn(usize) -> Option<&'static [Arg]>;
static DESCRIBE: OnceCell<Describe> = OnceCell::new();

/// Says where the kinds are found: the table stands in a room above.
pub fn describe_by(describe: Describe) {
    let _ = DESCRIBE.set(describe);
}

/// The kinds of a call's arguments.
pub fn arguments(nr: usize) -> Option<&'static [Arg]> {
    DESCRIBE.get().and_then(|describe| describe(nr))
}

/// The call's name, if it has one.
pub fn known_name(nr: usize) -> Option<&'static str> {
    Sysno::new(nr).map(|nr| nr.name())
}

/// The call's name, for messages.
pub fn name(nr: usize) -> &'static str {
    known_name(nr).unwrap_or("unknown system call")
}
