// SPDX-License-Identifier: GPL-2.0-only
//! What the engine is told, and what it answers.

use super::decide::tactic::Refusal;

/// What [`start`](super::start) is told.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where stubs call: with the words of the stub's contract (emit.rs) on the stack.
    pub entry: usize,
    /// Rewrite every site at once: at [`all`](super::all), and whenever code is mapped.
    pub eager: bool,
    /// Where lists of sites are kept between runs ([`directory`](super::cache::directory)); None in programs that run with more rights
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
    Skipped(SkipReason),
}

/// Why a site was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Not private code of a file: made by the program itself, shared, writable, execute-only; or ours.
    NotFileCode,
    /// No safe window.
    Tactic(Refusal),
    /// It can only be rewritten while there is one thread, and there are more.
    OtherThreads,
    /// It can only be rewritten while its caller does not stand in the window: will be, at the first call of another
    /// site.
    CallerInside,
    /// No place for a stub near enough.
    OutOfReach,
    /// The host does not let us write.
    Refused,
    /// After [`freeze`](super::freeze).
    Frozen,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sites rewritten, by [`Shape`](super::Shape).
    pub rewritten: [usize; 4],
    /// Sites that were to be rewritten and were not.
    pub skipped: usize,
    /// Times a thread met a site that was being written.
    pub traps: usize,
}
