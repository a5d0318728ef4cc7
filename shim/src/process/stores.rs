// SPDX-License-Identifier: GPL-2.0-only
//! What a child of vfork(2) stores, for its parent. The two share their memory on Linux, and the parent waits until the child
//! ends or executes something. Here the child has a copy, because its descriptor table and its place in the kernel are its
//! own and lie in that memory too. So the child gives its stores back at these two moments, and the parent finds them.
//!
//! - *The caller's stack* above the call: the child keeps a copy of it from before its first instruction, and gives the bytes
//!   that it has changed. What other threads of the parent write meanwhile stays.
//! - *All pages* that the child wrote, if the parent has no other thread: then nobody else has written since the fork. Memory
//!   of ours is left out. A child that changed what is mapped, by malloc(3) say, gives none of them: an allocator that is
//!   told of memory which the parent has not got is worse than one that is told nothing.
//!
//! A way to the parent that needs no rights over it: shared memory, which the parent makes before the fork and reads when it
//! goes on.
#![allow(unsafe_code)]

use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use lkl::sys::memory;

use crate::process::alone::is_last_thread;
use crate::process::own_memory::{self, Program};
use crate::sys::mappings::PageMap;
use crate::sys::mem::{self, PAGE};
use crate::sys::{thread, user};

/// Room for what is given; pages are taken when used.
const BYTES: usize = 16 << 20;
const HEAD: usize = PAGE;
/// As much of the caller's stack is compared.
const STACK: usize = 256 << 10;
/// Changed bytes that are so near each other are given together.
const NEAR: usize = 16;

/// The head of the shared memory.
#[repr(C)]
struct Lent {
    /// Not 0: a child has it.
    is_taken: AtomicU32,
    /// The parent has no other thread.
    is_alone: bool,
    /// The caller's stack pointer.
    sp: usize,
    /// Where the child keeps its copy of the caller's stack.
    copy: AtomicUsize,
    copy_len: AtomicUsize,
    /// What is mapped, in a word ([`Program::mark`]).
    mark: AtomicUsize,
    /// How many bytes of records there are of the stack, and how many of all.
    stack: AtomicUsize,
    all: AtomicUsize,
}

/// A record: where, how many bytes, and the bytes, rounded up to words.
const RECORD: usize = 2 * size_of::<usize>();

fn lent(at: usize) -> &'static Lent {
    // SAFETY: `lend` made it at the start of the shared memory, which stays until the loan ends, or the process does.
    unsafe { &*(at as *const Lent) }
}

// ---------------------------------------------------------------- in the parent

/// Memory that is lent to a child.
pub struct Loan {
    at: usize,
    /// What the thread had lent before: this process is such a child itself, or a handler interrupted a call.
    before: usize,
    /// Where the host writes a number of the child, or 0.
    number_at: usize,
}

/// Before a child is made, that the parent waits for as for one of vfork(2): by a call with the stack pointer `sp`.
/// `number_at`: where the host leaves the child's id or descriptor. None: the host has no memory.
pub fn lend(sp: usize, number_at: usize) -> Option<Loan> {
    let thread = thread::current_or_new().ok()?;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, where there is none.
    let at = unsafe { memory::map(0, BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) }.ok()?;
    let none = || AtomicUsize::new(0);
    let head = Lent {
        is_taken: AtomicU32::new(0),
        is_alone: is_last_thread(),
        sp,
        copy: none(),
        copy_len: none(),
        mark: none(),
        stack: none(),
        all: none(),
    };
    // SAFETY: fresh memory of more than this size.
    unsafe { (at as *mut Lent).write(head) };
    let before = thread.lent.swap(at, Ordering::Relaxed);
    Some(Loan { at, before, number_at })
}

impl Loan {
    /// In the parent, which goes on: the child's stores are the parent's.
    pub fn take_back(self) {
        if let Some(thread) = thread::current() {
            thread.lent.store(self.before, Ordering::Relaxed);
        }
        let lent = lent(self.at);
        let stack = lent.stack.load(Ordering::Acquire);
        let all = lent.all.load(Ordering::Acquire).max(stack);
        let is_as_it_was = || {
            Program::new(lent.sp).is_some_and(|program| program.mark() == lent.mark.load(Ordering::Relaxed))
        };
        let len = if all > stack && is_as_it_was() { all } else { stack };
        if len > 0 {
            let kept = Kept::of(self.number_at);
            self.apply(len);
            kept.put_back();
        }
        // SAFETY: made by `lend`, and the child is gone.
        unsafe { memory::unmap(self.at, BYTES) };
    }

    fn apply(&self, len: usize) {
        let end = self.at + HEAD + len.min(BYTES - HEAD);
        let mut at = self.at + HEAD;
        while at + RECORD <= end {
            // SAFETY: within the shared memory, in which records begin at words.
            let [address, bytes] = unsafe { (at as *const [usize; 2]).read() };
            let from = at + RECORD;
            if bytes > end - from {
                return;
            }
            // SAFETY: within the shared memory.
            let bytes = unsafe { core::slice::from_raw_parts(from as *const u8, bytes) };
            // Memory that is not there is not written to.
            let _ = user::write_bytes(address, bytes);
            at = from + bytes.len().next_multiple_of(size_of::<usize>());
        }
    }
}

/// Words in the program's memory that are not the child's to change: what we keep of the thread beside what libc keeps, what
/// the host writes into the parent's memory alone.
struct Kept {
    words: thread::WordsCopy,
    rseq: Option<(usize, [u8; RSEQ])>,
    number: Option<(usize, u32)>,
}

/// `struct rseq`, as long as libc registers it.
const RSEQ: usize = 32;

impl Kept {
    fn of(number_at: usize) -> Kept {
        let rseq = thread::rseq().and_then(|at| user::read(at).ok().map(|bytes| (at, bytes)));
        let number = (number_at != 0).then(|| user::read(number_at).ok().map(|n| (number_at, n)));
        Kept { words: thread::WordsCopy::take(), rseq, number: number.flatten() }
    }

    fn put_back(self) {
        self.words.put_back();
        if let Some((at, bytes)) = self.rseq {
            let _ = user::write_bytes(at, &bytes);
        }
        if let Some((at, number)) = self.number {
            let _ = user::write(at, &number);
        }
    }
}

// ---------------------------------------------------------------- in the child

/// The memory that the parent lent to this process, or 0.
static OWED: AtomicUsize = AtomicUsize::new(0);

/// First in the child of any fork.
pub fn begin_in_child() {
    OWED.store(0, Ordering::Relaxed);
    let at = thread::current().map_or(0, |thread| thread.lent.swap(0, Ordering::Relaxed));
    if at == 0 || lent(at).is_taken.swap(1, Ordering::Relaxed) != 0 {
        return;
    }
    let lent = lent(at);
    if let Ok(copy) = mem::map(STACK) {
        // SAFETY: a mapping of so many bytes, of which this is the only user.
        let room = unsafe { core::slice::from_raw_parts_mut(copy as *mut u8, STACK) };
        let pages = parts(lent.sp, STACK);
        let read =
            |part: &Range<usize>| user::read_bytes(&mut room[part.clone()], lent.sp + part.start).is_ok();
        let len = pages.take_while(read).last().map_or(0, |part| part.end);
        lent.copy.store(copy, Ordering::Relaxed);
        lent.copy_len.store(len, Ordering::Relaxed);
    }
    OWED.store(at, Ordering::Relaxed);
}

/// Before the process ends or executes something: its parent gets what it stored. (An exec may fail, and the process go on:
/// what is given later replaces this.)
pub fn give_back() {
    let at = OWED.load(Ordering::Relaxed);
    if at == 0 {
        return;
    }
    let lent = lent(at);
    lent.all.store(0, Ordering::Relaxed);
    lent.stack.store(0, Ordering::Relaxed);
    let mut records = Records { at: at + HEAD, end: at + BYTES };
    let begin = records.at;
    if give_stack(lent, &mut records).is_some() {
        lent.stack.store(records.at - begin, Ordering::Release);
    }
    if lent.is_alone && give_pages(lent, &mut records).is_some() {
        lent.all.store(records.at - begin, Ordering::Release);
    }
}

/// Where the next record goes.
struct Records {
    at: usize,
    end: usize,
}

impl Records {
    /// None: there is no room.
    fn put(&mut self, what: Range<usize>) -> Option<()> {
        let len = what.len();
        if self.end - self.at < RECORD + len.next_multiple_of(size_of::<usize>()) {
            return None;
        }
        // SAFETY: there is room, at a word.
        unsafe { (self.at as *mut [usize; 2]).write([what.start, len]) };
        // SAFETY: as above.
        let to = unsafe { core::slice::from_raw_parts_mut((self.at + RECORD) as *mut u8, len) };
        // What cannot be read any more is unmapped.
        user::read_bytes(to, what.start).ok()?;
        self.at += RECORD + len.next_multiple_of(size_of::<usize>());
        Some(())
    }
}

/// `len` bytes from `start` on, in parts that end where pages end: the last page of a stack is whole.
fn parts(start: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let first = PAGE - start % PAGE;
    let begins = core::iter::once(0).chain((first..).step_by(PAGE));
    begins
        .take_while(move |&at| at < len)
        .map(move |at| at..len.min((start + at + 1).next_multiple_of(PAGE) - start))
}

/// What the child changed of its caller's stack.
fn give_stack(lent: &Lent, records: &mut Records) -> Option<()> {
    let (copy, len) = (lent.copy.load(Ordering::Relaxed), lent.copy_len.load(Ordering::Relaxed));
    for part in parts(lent.sp, len) {
        // SAFETY: the copy is ours, and has so many bytes.
        let before = unsafe { core::slice::from_raw_parts((copy + part.start) as *const u8, part.len()) };
        let (mut now, at) = ([0u8; PAGE], lent.sp + part.start);
        user::read_bytes(&mut now[..part.len()], at).ok()?;
        each_difference(before, &now[..part.len()], |changed| {
            records.put(at + changed.start..at + changed.end)
        })?;
    }
    Some(())
}

/// Does `what` to each run of bytes that differ, until there is none or `what` gives None.
fn each_difference(
    before: &[u8],
    now: &[u8],
    mut what: impl FnMut(Range<usize>) -> Option<()>,
) -> Option<()> {
    let mut differ = (0..now.len()).filter(|&n| before[n] != now[n]);
    let Some(first) = differ.next() else { return Some(()) };
    let mut run = first..first + 1;
    for n in differ {
        if n - run.end >= NEAR {
            what(run.clone())?;
            run.start = n;
        }
        run.end = n + 1;
    }
    what(run)
}

/// All pages of the program that the child wrote.
fn give_pages(lent: &Lent, records: &mut Records) -> Option<()> {
    let pages = PageMap::open().ok()?;
    let program = Program::new(lent.sp)?;
    lent.mark.store(program.mark(), Ordering::Relaxed);
    let mut has_room = Some(());
    own_memory::each_of_program(lent.sp, |range| {
        let start = range.start.next_multiple_of(PAGE).min(range.end);
        // What precedes the first whole page is the rest of the page that the caller's stack pointer is in.
        if start != range.start {
            has_room = has_room.and_then(|()| records.put(range.start..start));
        }
        let read = pages.each_own(start..range.end, |run| {
            has_room = has_room.and_then(|()| records.put(run));
        });
        has_room = has_room.filter(|()| read.is_ok());
    })?;
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_taken_to_its_end() {
        let all = |start, len| parts(start, len).collect::<Vec<_>>();
        assert_eq!(all(PAGE - 8, 2 * PAGE), [0..8, 8..PAGE + 8, PAGE + 8..2 * PAGE]);
        assert_eq!(all(PAGE, 2 * PAGE), [0..PAGE, PAGE..2 * PAGE]);
        let short = all(PAGE + 8, 100);
        assert_eq!((short.len(), &short[0]), (1, &(0..100)));
        assert_eq!(all(8, 0), []);
    }

    #[test]
    fn differences_are_found_in_runs() {
        let before = [0u8; 200];
        let mut now = before;
        for n in [0, 3, 40, 56, 73, 199] {
            now[n] = 1;
        }
        let mut runs = Vec::new();
        each_difference(&before, &now, |run| {
            runs.push(run);
            Some(())
        });
        assert_eq!(runs, [0..4, 40..57, 73..74, 199..200]);
        assert_eq!(each_difference(&before, &before, |_| None), Some(()));
        assert_eq!(each_difference(&before, &now, |_| None), None);
    }
}
