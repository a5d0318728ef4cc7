// SPDX-License-Identifier: GPL-2.0-only
//! Rewriting: a `syscall` instruction becomes a jmp to a stub near by, which calls the entry. From then on the site costs
//! nanoseconds instead of a signal.
//!
//! The rooms, in the order in which a site meets them: [`find`] has the mapping, its ELF module, the function and its
//! instructions; [`decide`] chooses the bytes that become the jmp; [`write`](mod@write) makes the stub, has memory for it
//! near by, and writes both; [`cache`] keeps decisions between runs; `gdb` tells a debugger. The engine holds what was
//! done, under one lock.
//!
//! Floors, from the lowest: lock, address_set, find, decide, write, cache, gdb, outcome, engine.
//!
//! Rules of the place: everything here but [`is_trap`] is called in ordinary context, with all signals blocked, on a
//! stack of ours with 64 KiB to spare. It allocates (the global allocator has to be one that is not the application's),
//! makes host calls through the gate alone, and touches neither TLS nor errno. One lock; nothing is called out to under
//! it.
use core::ops::Range;

mod address_set;
pub mod cache;
pub mod decide;
mod engine;
pub mod find;
mod gdb;
mod lock;
mod outcome;
pub mod write;

pub use decide::scan::{scan_file, Report, Site};
pub use decide::tactic::{Refusal, Shape, Tactic};
pub use outcome::{Counts, Outcome, Settings, SkipReason};
pub use write::live::is_trap;

use engine::Engine;
use lock::{Guard, Lock};

static ENGINE: Lock<Option<Engine>> = Lock::new(None);

/// To be called once, before anything else.
pub fn start(settings: Settings) {
    *ENGINE.take() = Some(Engine::new(settings));
}

fn with<R>(what: impl FnOnce(&mut Engine) -> R) -> Option<R> {
    ENGINE.take().as_mut().map(what)
}

/// A call has come in through the backstop from the `syscall` that ends at `after`, with `rax`. Rewrites it, if that
/// can be done. The call itself goes on at `after` as it would have.
pub fn first_hit(after: usize, rax: usize) -> Outcome {
    hit(after, rax, true)
}

/// As [`first_hit`], while a signal handler of the application runs: what the handler interrupted may stand anywhere, as another thread
/// may.
pub fn first_hit_in_handler(after: usize, rax: usize) -> Outcome {
    hit(after, rax, false)
}

fn hit(after: usize, rax: usize, alone: bool) -> Outcome {
    let hit = |engine: &mut Engine| engine.first_hit(syscall_before(after), rax as u64, alone);
    with(hit).unwrap_or(Outcome::Skipped(SkipReason::Frozen))
}

fn syscall_before(after: usize) -> u64 {
    after.wrapping_sub(2) as u64
}

/// Whether [`first_hit`] need not be asked about the site that ends at `after`: it is left to the backstop. A look without
/// the lock, at no cost to speak of: code that a program makes itself is met at each of its calls.
pub fn is_skipped(after: usize) -> bool {
    engine::is_skipped(after.wrapping_sub(2))
}

/// The process is about to make its first thread, by a call that goes on at `after`. Rewrites what can only be
/// rewritten before.
pub fn before_first_thread(after: usize) {
    with(|engine| engine.before_first_thread(syscall_before(after)));
}

/// Whether [`before_first_thread`] was called since the start, or since the last fork.
pub fn has_threads() -> bool {
    engine::has_threads()
}

/// Whether code that is known to us may lie in `len` bytes from `address`: only then [`unmapped`] matters.
pub fn concerns(address: usize, len: usize) -> bool {
    !is_frozen() && engine::concerns(address, len)
}

/// Rewrites every site of everything mapped, none of which is the caller's own; with other threads running, those
/// that can be at any time.
pub fn all() {
    with(Engine::all);
}

/// Rewrites what [`freeze`] would, and goes on rewriting what is met later.
pub fn all_but(after: usize, alone: bool) {
    with(|engine| engine.all_but(syscall_before(after), alone));
}

/// `len` bytes from `address` have become executable code of a file, and nobody has run any of it yet.
pub fn mapped(address: usize, len: usize) {
    with(|engine| engine.mapped(range(address, len)));
}

/// What was at `len` bytes from `address` is there no longer, or is no longer what it was: unmapped, mapped over, or
/// made writable.
pub fn unmapped(address: usize, len: usize) {
    with(|engine| engine.unmapped(range(address, len)));
}

/// Rewrites what can be at any time (`alone`: what can be while there is one thread, and no handler of the application
/// runs), but for the site of the call that goes on at `after`. From then on nothing is written any more: a filter of the
/// application's may forbid the calls that it takes.
pub fn freeze(after: usize, alone: bool) {
    with(|engine| engine.freeze(syscall_before(after), alone));
    engine::set_frozen();
}

/// Whether [`freeze`] was called: then no call may be made in order to rewrite anything.
pub fn is_frozen() -> bool {
    engine::is_frozen()
}

/// To be called in a child of fork that was made under [`hold`]: it has one thread, and nothing is held.
pub fn reset_in_child() {
    ENGINE.release_in_child();
    with(Engine::alone_again);
}

/// What happened so far.
pub fn counts() -> Counts {
    with(|engine| engine.counts()).unwrap_or_default()
}

/// Waits until nothing is being written. As long as the result lives, nothing is: held over fork, by parent and child.
pub fn hold() -> Held {
    Held { _guard: ENGINE.take() }
}

/// While this lives, nothing is written: [`hold`] makes it.
pub struct Held {
    _guard: Guard<'static, Option<Engine>>,
}

fn range(address: usize, len: usize) -> Range<u64> {
    address as u64..(address as u64).saturating_add(len as u64)
}
