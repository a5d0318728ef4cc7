// SPDX-License-Identifier: GPL-2.0-only
//! Which calls are printed.

use core::sync::atomic::{AtomicU64, AtomicU8, Ordering};

use stowaway_config::{ConfigError, Key};
use syscalls::Sysno;

use crate::observe::kinds::{self, name, Arg};
use crate::sys::thread::ServedBy;

const NUMBERS: usize = 512;
static CALLS: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(!0) }; NUMBERS / 64];
static ROUTES: AtomicU8 = AtomicU8::new(!0);

/// Whether a call of this number, served so, is printed. Numbers beyond the tables always are.
pub fn lets(nr: usize, by: ServedBy) -> bool {
    let call = CALLS.get(nr / 64).is_none_or(|word| word.load(Ordering::Relaxed) >> (nr % 64) & 1 != 0);
    call && ROUTES.load(Ordering::Relaxed) & bit(by) != 0
}

/// A bit for each, from the lowest.
fn bit(by: ServedBy) -> u8 {
    1 << (by as u8 - 1)
}

const MEMORY: &[Sysno] = &[
    Sysno::mmap,
    Sysno::munmap,
    Sysno::mprotect,
    Sysno::brk,
    Sysno::mremap,
    Sysno::madvise,
    Sysno::msync,
    Sysno::mlock,
    Sysno::munlock,
    Sysno::mincore,
    Sysno::shmat,
    Sysno::shmdt,
    Sysno::pkey_mprotect,
];
const PROCESS: &[Sysno] = &[
    Sysno::fork,
    Sysno::vfork,
    Sysno::clone,
    Sysno::clone3,
    Sysno::execve,
    Sysno::execveat,
    Sysno::exit,
    Sysno::exit_group,
    Sysno::wait4,
    Sysno::waitid,
    Sysno::kill,
    Sysno::tkill,
    Sysno::tgkill,
    Sysno::pidfd_open,
    Sysno::pidfd_send_signal,
    Sysno::rt_sigqueueinfo,
];
const WAIT: &[Sysno] = &[
    Sysno::poll,
    Sysno::ppoll,
    Sysno::select,
    Sysno::pselect6,
    Sysno::epoll_wait,
    Sysno::epoll_pwait,
    Sysno::epoll_pwait2,
    Sysno::futex,
    Sysno::nanosleep,
    Sysno::clock_nanosleep,
    Sysno::pause,
    Sysno::rt_sigsuspend,
    Sysno::rt_sigtimedwait,
    Sysno::wait4,
    Sysno::waitid,
];

fn has(nr: usize, of: impl Fn(&Arg) -> bool) -> bool {
    kinds::arguments(nr).is_some_and(|kinds| kinds.iter().any(of))
}

fn is_signal(nr: usize) -> bool {
    let name = name(nr);
    ["sig", "kill", "pause"].iter().any(|word| name.contains(word))
}

fn is_network(nr: usize) -> bool {
    let name = name(nr);
    let of_sockets = |kind: &Arg| matches!(kind, Arg::Family | Arg::Address | Arg::Message);
    let of_names = ["sock", "accept", "peer", "listen", "shutdown"];
    has(nr, of_sockets) || of_names.iter().any(|word| name.contains(word))
}

/// Whether a number belongs to a class; None: there is no such class.
fn in_class(class: &str, nr: usize) -> Option<bool> {
    let listed = |list: &[Sysno]| list.iter().any(|other| *other as usize == nr);
    Some(match class {
        "file" => has(nr, |kind| matches!(kind, Arg::Path)),
        "desc" => has(nr, |kind| matches!(kind, Arg::Fd | Arg::DirFd)),
        "memory" => listed(MEMORY),
        "network" => is_network(nr),
        "process" => listed(PROCESS),
        "signal" => is_signal(nr),
        "wait" => listed(WAIT),
        _ => return None,
    })
}

fn served_by(name: &str) -> Option<ServedBy> {
    Some(match name {
        "host" => ServedBy::Host,
        "kernel" => ServedBy::Kernel,
        "own" => ServedBy::Own,
        _ => return None,
    })
}

/// The calls that names and classes mean: their numbers (None: all), and the routes.
fn choose(only: &[String]) -> Result<([u64; NUMBERS / 64], u8), ConfigError> {
    let (mut calls, mut routes) = ([0u64; NUMBERS / 64], 0u8);
    for name in only {
        let name = name.strip_prefix('%').unwrap_or(name);
        if let Some(by) = served_by(name) {
            routes |= bit(by);
            continue;
        }
        let number = Sysno::iter().find(|nr| nr.name() == name).map(|nr| nr as usize);
        if number.is_none() && in_class(name, 0).is_none() {
            let why = format!("{name:?} is neither a call nor a class");
            return Err(ConfigError::new(Key::Trace.env(), why).advise(
                "classes are file, desc, memory, network, process, signal, wait, host, kernel, own",
            ));
        }
        for nr in 0..NUMBERS {
            if number == Some(nr) || in_class(name, nr) == Some(true) {
                calls[nr / 64] |= 1 << (nr % 64);
            }
        }
    }
    if calls == [0; NUMBERS / 64] {
        calls = [!0; NUMBERS / 64];
    }
    Ok((calls, if routes == 0 { !0 } else { routes }))
}

/// In the constructor.
pub fn set(only: &[String]) -> Result<(), ConfigError> {
    let (calls, routes) = choose(only)?;
    for (word, bits) in CALLS.iter().zip(calls) {
        word.store(bits, Ordering::Relaxed);
    }
    ROUTES.store(routes, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> (Vec<usize>, u8) {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let (calls, routes) = choose(&names).unwrap();
        ((0..NUMBERS).filter(|nr| calls[nr / 64] >> (nr % 64) & 1 != 0).collect(), routes)
    }

    #[test]
    fn names_and_classes() {
        kinds::describe_by(crate::syscalls::table::arguments);
        assert_eq!(chosen(&[]).0.len(), NUMBERS);
        assert_eq!(chosen(&["read", "openat"]), (vec![0, 257], !0));
        assert_eq!(chosen(&["kernel"]), ((0..NUMBERS).collect(), 0b10));
        assert_eq!(chosen(&["%memory"]).0.len(), MEMORY.len());
        let (file, _) = chosen(&["file"]);
        assert!(file.contains(&(Sysno::execve as usize)) && !file.contains(&0));
        let (network, _) = chosen(&["network"]);
        let some =
            [Sysno::socket, Sysno::bind, Sysno::sendto, Sysno::accept4, Sysno::listen, Sysno::getsockopt];
        assert!(some.iter().all(|nr| network.contains(&(*nr as usize))), "{network:?}");
        let (signal, _) = chosen(&["signal"]);
        assert!(
            signal.contains(&(Sysno::rt_sigaction as usize)) && signal.contains(&(Sysno::tgkill as usize))
        );
        assert!(choose(&["nonsense".into()]).unwrap_err().to_string().starts_with("STOWAWAY_TRACE: "));
    }
}
