// SPDX-License-Identifier: GPL-2.0-only
//! Rewriting: a `syscall` instruction becomes a jmp to a stub near by, which calls the entry. From then on the site costs
//! nanoseconds instead of a signal.
//!
//! The pieces, in the order in which a site meets them: [`maps`] finds the mapping, [`module`] and [`view`] its ELF
//! module, [`functions`] (with [`unwind`] and [`golang`]) the function, [`decode`] its instructions; [`tactic`] decides,
//! [`emit`] makes the stub, [`near`] has the memory for it, [`write`] writes it. [`scan`] does the deciding for a whole
//! module. All but `near`, `module` and `write` are pure.
//!
//! Rules of the place: everything here but [`is_trap`] is called in ordinary context, with all signals blocked, on a
//! stack of ours with 64 KiB to spare. It allocates (the global allocator has to be one that is not the application's),
//! makes host calls through the gate alone, and touches neither TLS nor errno. One lock; nothing is called out to under
//! it.
#![allow(unsafe_code)]

use core::ops::Range;
use core::sync::atomic::Ordering;

mod addresses;
pub mod cache;
pub mod cfi;
pub mod decode;
pub mod emit;
mod engine;
pub mod functions;
mod gdb;
pub mod golang;
mod lock;
pub mod maps;
pub mod module;
pub mod near;
pub mod scan;
pub mod tactic;
pub mod unwind;
pub mod view;
pub mod write;

pub use scan::{scan_file, Report, Site};
pub use tactic::{Refusal, Shape, Tactic};
pub use write::is_trap;

use engine::Engine;
use lock::{Guard, Lock};

/// What [`start`] is told.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where stubs call: with the words of the stub's contract (emit.rs) on the stack.
    pub entry: usize,
    /// Rewrite every site at once: at [`all`], and whenever code is mapped.
    pub eager: bool,
    /// Where lists of sites are kept between runs ([`cache::directory`]); None in programs that run with more rights
    /// than their user has.
    pub cache: Option<Vec<u8>>,
    /// libgcc's `__register_frame`, where it is in the process. Only needed for who unwinds from within a stub: the
    /// entry's own tables can lead past it. It may allocate with the application's allocator: not to be given where a
    /// call may come from inside that.
    pub register_frame: Option<unsafe extern "C" fn(*const u8)>,
}

/// What became of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has its stub.
    Rewritten,
    /// It goes on reaching us through the backstop.
    Left(Why),
}

/// Why a site was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Not private code of a file: made by the program itself, shared, writable, execute-only; or ours.
    NotFileCode,
    /// No safe window.
    Tactic(Refusal),
    /// It can only be rewritten while there is one thread, and there are more.
    NotAlone,
    /// It can only be rewritten while its caller does not stand in the window: will be, at the first call of another
    /// site.
    StoodIn,
    /// No place for a stub near enough.
    OutOfReach,
    /// The host does not let us write.
    Refused,
    /// After [`freeze`].
    Frozen,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sites rewritten, by [`Shape`].
    pub rewritten: [usize; 4],
    /// Sites that were to be rewritten and were not.
    pub left: usize,
    /// Times a thread met a site that was being written.
    pub traps: usize,
}

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

/// The same, while a signal handler of the application runs: what it interrupted may stand anywhere, as another thread
/// may.
pub fn first_hit_in_handler(after: usize, rax: usize) -> Outcome {
    hit(after, rax, false)
}

fn hit(after: usize, rax: usize, alone: bool) -> Outcome {
    let hit = |engine: &mut Engine| engine.first_hit(syscall_before(after), rax as u64, alone);
    with(hit).unwrap_or(Outcome::Left(Why::Frozen))
}

fn syscall_before(after: usize) -> u64 {
    after.wrapping_sub(2) as u64
}

/// Whether [`first_hit`] need not be asked about the site that ends at `after`: it is left to the backstop. A look without
/// the lock, at no cost to speak of: code that a program makes itself is met at each of its calls.
pub fn is_left(after: usize) -> bool {
    engine::is_left(after.wrapping_sub(2))
}

/// The process is about to make its first thread, by a call that goes on at `after`. Rewrites what can only be
/// rewritten before.
pub fn before_first_thread(after: usize) {
    with(|engine| engine.before_first_thread(syscall_before(after)));
}

/// Whether [`before_first_thread`] was called since the start, or since the last fork.
pub fn has_threads() -> bool {
    engine::THREADS.load(Ordering::Relaxed)
}

/// Whether code that is known to us may lie in `len` bytes from `address`: only then [`unmapped`] matters.
pub fn concerns(address: usize, len: usize) -> bool {
    engine::CODE.meets(address, len)
}

/// Rewrites every site of everything mapped, none of which is the caller's own; with other threads running, those
/// that can be at any time.
pub fn all() {
    with(Engine::all);
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

/// From now on nothing is written any more: a filter of the application's may forbid the calls that it takes.
pub fn freeze() {
    with(Engine::freeze);
}

/// To be called in a child of fork that was made under [`hold`]: it has one thread, and nothing is held.
pub fn after_fork() {
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

/// See [`hold`].
pub struct Held {
    _guard: Guard<'static, Option<Engine>>,
}

fn range(address: usize, len: usize) -> Range<u64> {
    address as u64..(address as u64).saturating_add(len as u64)
}
