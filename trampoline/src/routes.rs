// SPDX-License-Identifier: GPL-2.0-only
//! Where the entry sends a call without asking the handler: three tables that its assembler reads.

use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

/// Calls without a row here, and all of them until [`set_routes`]: the handler's.
pub(crate) const ROUTES: usize = 512;
pub(crate) const TO_HANDLER: u8 = 0;
pub(crate) const TO_HOST: u8 = 1;
pub(crate) const BY_DESCRIPTOR: u8 = 2;
pub(crate) const UNLESS_KILL_SECOND: u8 = 3;
pub(crate) const UNLESS_KILL_THIRD: u8 = 4;

/// Where the entry sends a call before it comes to the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Route {
    /// To the handler.
    Handler = TO_HANDLER,
    /// Straight to the host.
    Host = TO_HOST,
    /// To the host, if the class of the descriptor in the first argument is 0.
    ByDescriptor = BY_DESCRIPTOR,
    /// To the host, unless the second argument is SIGKILL.
    UnlessKillSecond = UNLESS_KILL_SECOND,
    /// To the host, unless the third argument is SIGKILL.
    UnlessKillThird = UNLESS_KILL_THIRD,
}

pub(crate) static STOWAWAY_ROUTES: [AtomicU8; ROUTES] = [const { AtomicU8::new(TO_HANDLER) }; ROUTES];
pub(crate) static STOWAWAY_CLASSES: AtomicPtr<AtomicU8> = AtomicPtr::new(core::ptr::null_mut());
pub(crate) static STOWAWAY_CLASS_COUNT: AtomicUsize = AtomicUsize::new(0);

/// From now on every call comes to the handler.
pub fn all_to_handler() {
    STOWAWAY_ROUTES.iter().for_each(|route| route.store(TO_HANDLER, Ordering::Release));
}

/// Sets where calls go; those that return twice, or not at all, must stay with the handler. `classes`: a byte for
/// each descriptor; those beyond its end are the host's.
pub fn set_routes(routes: impl Iterator<Item = (usize, Route)>, classes: &'static [AtomicU8]) {
    STOWAWAY_CLASSES.store(classes.as_ptr().cast_mut(), Ordering::Relaxed);
    STOWAWAY_CLASS_COUNT.store(classes.len(), Ordering::Release);
    for (nr, route) in routes {
        if nr < ROUTES && nr != libc::SYS_rt_sigreturn as usize {
            STOWAWAY_ROUTES[nr].store(route as u8, Ordering::Release);
        }
    }
}
