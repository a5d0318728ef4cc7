// SPDX-License-Identifier: GPL-2.0-only
//! Rewrites the sites that calls come from, as they are met.

use core::sync::atomic::{AtomicBool, Ordering};

use super::signals::uninterrupted;
use crate::frame::Frame;
use crate::{entry, rewrite, thread};

/// Sites are rewritten when they are met.
static REWRITES: AtomicBool = AtomicBool::new(false);

/// From now on a site that is met through SIGSYS is rewritten, if it can be. `eager`: all are, now and whenever code
/// is mapped. `cache`: the directory in which lists of sites are kept between runs. After
/// [`install`](super::install).
pub fn rewrite_sites(eager: bool, cache: Option<Vec<u8>>) {
    // The entry's own tables lead unwinders past the stub: no need to register any.
    let settings = rewrite::Settings { entry: entry::entry_address(), eager, register_frame: None, cache };
    uninterrupted(|| {
        rewrite::start(settings.clone());
        if eager {
            // The caller's own site is none: it calls us.
            rewrite::all();
        }
    });
    REWRITES.store(true, Ordering::Release);
    entry::set_on_signal(learn);
}

/// The application is about to set a filter, by a call that goes on at `after` with the stack pointer `sp`: what can be
/// rewritten is now, and nothing afterwards. A caller that did not come through the entry has neither.
pub fn freeze(caller: Option<&Frame>) {
    complete(caller, rewrite::freeze);
}

/// A tracer is about to see each signal of this process, by a call that goes on at `after`: what can be rewritten is now,
/// for a call from a site that is not would stop the process.
pub fn learn_all(caller: Option<&Frame>) {
    complete(caller, rewrite::all_but);
}

/// `how`: what is done with the address behind the caller's call, if nobody else stands anywhere (true).
fn complete(caller: Option<&Frame>, how: fn(usize, bool)) {
    if !REWRITES.load(Ordering::Relaxed) || rewrite::is_frozen() {
        return;
    }
    let here = 0u8;
    let (after, sp) = caller.map_or((0, &raw const here as usize), |frame| (frame.rip, frame.rsp));
    let alone = !thread::is_in_handler(sp);
    uninterrupted(|| how(after, alone));
}

/// Before a thread is made by a call that goes on at `after`: what can be rewritten only as long as there is none.
pub(super) fn before_thread(after: usize) {
    if REWRITES.load(Ordering::Relaxed) && !rewrite::has_threads() && !rewrite::is_frozen() {
        uninterrupted(|| rewrite::before_first_thread(after));
    }
}

/// Rewrites the site that a call came from through SIGSYS.
fn learn(frame: &Frame) {
    let (after, nr) = (frame.rip, frame.nr);
    // Those do not come back: a program that does little else must not pay for a look at all of libc.
    let is_last = matches!(nr as i64, libc::SYS_exit_group | libc::SYS_execve | libc::SYS_execveat);
    if is_last || thread::is_guest() || rewrite::is_frozen() || rewrite::is_skipped(after) {
        return;
    }
    let in_handler = thread::is_in_handler(frame.rsp);
    uninterrupted(|| {
        match in_handler {
            true => rewrite::first_hit_in_handler(after, nr),
            false => rewrite::first_hit(after, nr),
        };
    });
}
