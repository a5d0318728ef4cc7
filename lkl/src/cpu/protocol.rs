// SPDX-License-Identifier: GPL-2.0-only
//! The one virtual CPU: how host threads share it, wait, and are woken. (kernel/cpu.c says what happens on the CPU.)
//!
//! 1. **Holding.** `cpu` is FREE or HELD. A thread takes the CPU by compare-and-swap and frees it by exchange. Only the
//!    holder runs kernel code.
//! 2. **No event is left behind.** A thread that makes something pending sets its bit in `pending`. Then it looks for a
//!    thread that is going to see the bit:
//!    - the holder looks at `pending` after it has freed the CPU;
//!    - a spinning thread (`pollers`) looks at `pending` after it has stopped spinning;
//!    - otherwise the thread takes the free CPU itself.
//!
//!    Each side first says what it is or does, and then looks, with a full barrier between (Dekker). So while `pending` is
//!    not 0 and the CPU is free, some thread is on its way to look. There are two exceptions. The thread of a signal handler
//!    looks at the handler's PEND_INTERRUPT, if this thread waits. PEND_RESCHED alone is passed to the clock's thread.
//! 3. **One wake-up.** A request is completed once, by the thread that runs the kernel half of its task. `state` becomes DONE
//!    by exchange, and one futex wake-up follows if the waiting thread was SLEEPING. A thread becomes SLEEPING only by
//!    compare-and-swap from WAITING.
//! 4. **No deadline is missed.** The holder says in `deadline` when the next timer interrupt is due. The deadline has an
//!    owner: the clock's thread (`timer_until`), a waiting thread (`waiter_until`), or a thread that is still on its way. A
//!    thread that leaves the kernel looks whether one of the first two owns the deadline, and wakes the clock's thread if not.
//! 5. **Interrupted waits.** A signal handler sets `interrupted`, makes PEND_INTERRUPT pending, and turns SLEEPING into
//!    WAITING. A thread looks at `interrupted` after it has become SLEEPING.

use super::slots::*;
use super::sync::{barrier, taken, AtomicU32, Ordering::*, Step};

/// How a stay in the kernel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// There is nothing to do.
    Idle,
    /// The driver's request is done.
    Done,
}

/// What the protocol stands between: the kernel, and the host.
pub(crate) trait Env {
    /// A spinning thread's memory of one round.
    type Spin;
    fn begin_spin(&self) -> Self::Spin;
    /// Takes what is pending and runs what can run. The CPU is held. `post`: the driver has a request.
    fn run(&self, driver: Option<&CallSlot>, post: bool) -> Run;
    /// Sleeps while the word has this value, until `until` at most; may return early.
    fn sleep(&self, word: &AtomicU32, value: u32, until: u64);
    /// Ends the sleep of one thread on the word, which may not be there any more.
    fn wake(&self, word: *const AtomicU32);
    fn now(&self) -> u64;
    /// One turn of a spinning thread; whether it looks once more.
    /// `since`: when the wait began to take long; 0: it did not yet.
    fn spin_once(&self, w: &CallSlot, spin: &mut Self::Spin, since: &mut u64) -> bool;
    /// Asks a thread that is out in user code to look, and waits for a moment until it has: `answered`. None: nobody was asked.
    fn kick(&self, answered: &dyn Fn() -> bool) -> Option<bool>;
    /// Between two looks at the CPU.
    fn pause(&self);
}

/// After so many long waits in a row a thread no longer spins for long.
const SPIN_BUDGET: u32 = 2;
/// What a wake-up may be measured to cost, ns: outside of that the machine was busy with something else.
const WAKE_COST: (u64, u64) = (2_000, 50_000);

/// Tries to take the CPU without a look before.
const BLIND_TRIES: u32 = 8;

pub(crate) struct Cpu<'a, W> {
    pub words: &'a Shared,
    pub env: W,
}

impl<W: Env> Cpu<'_, W> {
    /// Tries to take the CPU. Returns whether this thread holds it now.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.words.cpu.compare_exchange(FREE, HELD, SeqCst, Relaxed).is_ok()
    }

    fn is_free(&self) -> bool {
        self.words.cpu.load(Relaxed) == FREE
    }

    /// Serves the request in `w`. The calling thread holds nothing. It looks at the CPU `spin_tries` times before it posts.
    pub fn request(&self, w: &CallSlot, spin_tries: u32) {
        w.state.store(WAITING, Relaxed);
        let mut tries = 0;
        loop {
            // Between the calls of a thread that makes one after the other the CPU is free for less than a look and a try take.
            if (tries < BLIND_TRIES || self.is_free()) && self.try_take() {
                return self.drive(w, true);
            }
            tries += 1;
            if tries >= spin_tries {
                break;
            }
            self.env.pause();
        }
        self.post(w);
        self.wait(w);
    }

    /// Leaves the request to the thread that holds the CPU, or to the next one that takes it.
    fn post(&self, w: &CallSlot) {
        self.words.count(Count::Posted);
        let mut head = self.words.inbox.load(Relaxed);
        loop {
            w.next.store(head, Relaxed);
            let new = std::ptr::from_ref(w).cast_mut();
            match self.words.inbox.compare_exchange_weak(head, new, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // We wait ourselves from here on: a poller, which looks.
        self.words.pending.fetch_or(PEND_INBOX, SeqCst);
    }

    /// The CPU is ours: runs the kernel until the request in `w` is done, here or elsewhere. `post`: it is new.
    pub fn drive(&self, w: &CallSlot, post: bool) {
        if !self.stay(w, post) {
            self.wait(w);
        }
    }

    /// After the first stay: the kernel is idle, the CPU ours, and `w` is done when it is up.
    pub fn booted(&self, w: &CallSlot) {
        if w.state.load(Acquire) == DONE {
            self.leave();
        } else {
            self.went_idle(w);
        }
    }

    /// After the kernel came back idle from the request in `w`, the CPU still ours.
    pub fn went_idle(&self, w: &CallSlot) {
        w.state.store(WAITING, Relaxed);
        if !self.release() {
            self.drive(w, false);
        } else {
            self.wait(w);
        }
    }

    /// Runs the kernel once, and frees the CPU in any case. Returns whether the request is done.
    fn stay(&self, w: &CallSlot, mut post: bool) -> bool {
        loop {
            let run = self.env.run(Some(w), post);
            post = false;
            if run == Run::Done || w.state.load(Acquire) == DONE {
                w.state.store(NO_REQUEST, Relaxed);
                self.leave();
                return true;
            }
            if self.release() {
                return false;
            }
        }
    }

    /// The CPU is ours and nothing of this thread's is left to do.
    #[inline]
    pub fn leave(&self) {
        while !self.release() {
            self.env.run(None, false);
        }
        self.ensure_deadline_owner();
    }

    /// Frees the CPU. False: this thread holds the CPU again, for something is pending.
    #[inline]
    pub fn release(&self) -> bool {
        self.words.cpu.swap(FREE, SeqCst);
        barrier();
        if !taken(Step::LookAfterFree) || self.words.pending.load(Relaxed) == 0 {
            return true;
        }
        self.release_pending()
    }

    #[cold]
    fn release_pending(&self) -> bool {
        if self.words.pollers.load(Relaxed) != 0 {
            return true;
        }
        // The clock's thread is asked once. It may be awake without the CPU, because threads that come and go hold the CPU
        // and keep runnable tasks from it. Then it is this thread's turn.
        if self.words.pending.load(Relaxed) == PEND_RESCHED && self.words.timer_until.load(Relaxed) != 0 {
            self.words.count(Count::Helped);
            self.wake_timer();
            return true;
        }
        !self.try_take()
    }

    /// Waits until the request in `w` is done. The CPU is not ours.
    fn wait(&self, w: &CallSlot) {
        let mut since = 0;
        loop {
            if self.poll(w, &mut since) && self.stay(w, false) {
                return;
            }
            if w.state.load(Acquire) == DONE {
                w.state.store(NO_REQUEST, Relaxed);
                self.learn(w, since);
                return self.ensure_deadline_owner();
            }
            self.sleep(w);
        }
    }

    /// Learns from this wait for the next one. To spin for as long as a wake-up costs is never worse than twice the best
    /// (competitive spinning). Where waits are long, spinning does not pay.
    fn learn(&self, w: &CallSlot, since: u64) {
        let words = self.words;
        if since == 0 {
            words.count(Count::Polled);
            return w.spin_budget.store(SPIN_BUDGET, Relaxed);
        }
        let now = self.env.now();
        let cost = words.wake_cost_ns.load(Relaxed);
        let woken_at_ns = w.woken_at_ns.swap(0, Relaxed);
        if woken_at_ns != 0 {
            let took = now.saturating_sub(woken_at_ns).clamp(WAKE_COST.0, WAKE_COST.1);
            words.wake_cost_ns.store((7 * cost + took) / 8, Relaxed);
        }
        let spin_budget = w.spin_budget.load(Relaxed);
        let long = now.saturating_sub(since) > 2 * cost;
        w.spin_budget.store(if long { spin_budget.saturating_sub(1) } else { SPIN_BUDGET }, Relaxed);
    }

    /// Looks for a while whether the request is done, or the CPU can be taken for what is pending. True: this thread holds the CPU.
    fn poll(&self, w: &CallSlot, since: &mut u64) -> bool {
        let words = self.words;
        words.pollers.fetch_add(1, SeqCst);
        let mut spin = self.env.begin_spin();
        let ours = loop {
            if w.state.load(Acquire) == DONE {
                break false;
            }
            if words.pending.load(Relaxed) != 0 && self.is_free() && self.try_take() {
                break true;
            }
            if !self.env.spin_once(w, &mut spin, since) {
                break false;
            }
        };
        words.pollers.fetch_sub(1, SeqCst);
        barrier();
        // Somebody may have relied on us.
        ours || (taken(Step::LookAfterPoll)
            && words.pending.load(Relaxed) != 0
            && (words.pollers.load(Relaxed) == 0)
            && self.try_take())
    }

    /// Sleeps until the request is done, its wait is interrupted, or a deadline of this thread's is due.
    fn sleep(&self, w: &CallSlot) {
        if w.state.compare_exchange(WAITING, SLEEPING, SeqCst, Acquire).is_err() {
            return;
        }
        barrier();
        let is_interrupted = taken(Step::LookForInterrupt)
            && w.interrupted.load(Relaxed) != 0
            && self.words.pending.load(Relaxed) & PEND_INTERRUPT != 0;
        if !is_interrupted {
            let until = self.claim_deadline();
            self.env.sleep(&w.state, SLEEPING, until);
            self.release_deadline(until);
        }
        let _ = w.state.compare_exchange(SLEEPING, WAITING, SeqCst, Acquire);
    }

    /// Until when this thread may sleep: to the deadline, if nobody else looks after it.
    fn claim_deadline(&self) -> u64 {
        let words = self.words;
        let deadline = words.deadline.load(Relaxed);
        if !self.has_no_owner(deadline) {
            return NEVER;
        }
        words.waiter_until.swap(deadline, SeqCst);
        deadline
    }

    fn release_deadline(&self, until: u64) {
        if until == NEVER {
            return;
        }
        let _ = self.words.waiter_until.compare_exchange(until, NEVER, SeqCst, Relaxed);
        if self.env.now() >= until && self.is_expired(until) {
            // It polls next, and so looks.
            self.words.pending.fetch_or(PEND_TIMER, SeqCst);
        }
    }

    /// Takes a deadline that is due. Returns whether this thread is to raise its interrupt.
    fn is_expired(&self, deadline: u64) -> bool {
        self.words.deadline.compare_exchange(deadline, NEVER, SeqCst, Relaxed).is_ok()
    }

    fn has_no_owner(&self, deadline: u64) -> bool {
        deadline < self.words.timer_until.load(Relaxed) && deadline < self.words.waiter_until.load(Relaxed)
    }

    /// On the way out, after a full barrier: somebody has to look after the deadline.
    #[inline]
    pub fn ensure_deadline_owner(&self) {
        barrier();
        if taken(Step::EnsureDeadlineOwner) && self.has_no_owner(self.words.deadline.load(Relaxed)) {
            self.wake_timer();
        }
    }

    #[cold]
    fn wake_timer(&self) {
        // Before the word: a thread that sleeps on the new one has said until when itself.
        self.words.timer_until.swap(0, SeqCst);
        self.words.timer_word.fetch_add(1, SeqCst);
        self.env.wake(&raw const self.words.timer_word);
    }

    /// Makes `bits` pending, and sees to it that some thread looks at them. From any thread outside the kernel; not from a
    /// signal handler.
    pub fn raise_irq(&self, bits: u64) {
        let words = self.words;
        words.count(Count::Rung);
        let was = words.pending.fetch_or(bits, SeqCst);
        barrier();
        if was & bits == bits || !self.is_free() || words.pollers.load(Relaxed) != 0 {
            return words.count(Count::Elided);
        }
        // A holder looks once more when it goes.
        let answered = || words.pending.load(SeqCst) & bits == 0 || !self.is_free();
        if let Some(answered) = self.env.kick(&answered) {
            words.count(Count::Kicked);
            if answered {
                return;
            }
        }
        if !self.try_take() {
            return words.count(Count::Elided);
        }
        words.count(Count::RanByRinger);
        self.env.run(None, false);
        self.leave();
    }

    /// Completes the request in `w`. `w` may be gone as soon as its state is DONE.
    pub fn complete(&self, w: &CallSlot) {
        let state = &raw const w.state;
        if w.state.load(Relaxed) == SLEEPING {
            w.woken_at_ns.store(self.env.now(), Relaxed);
        }
        if w.state.swap(DONE, SeqCst) == SLEEPING {
            self.words.count(Count::Woken);
            self.env.wake(state);
        }
    }

    /// Ends the wait of the request in `w`. Called by a signal handler on the thread of this request.
    pub fn interrupt_wait(&self, w: &CallSlot) {
        w.interrupted.store(1, SeqCst);
        self.words.pending.fetch_or(PEND_INTERRUPT, SeqCst);
        barrier();
        let _ = w.state.compare_exchange(SLEEPING, WAITING, SeqCst, Relaxed);
    }

    /// The holder: the next timer interrupt is due then. `soon`: not worth a wake-up now, it is looked at on the way out.
    pub fn arm(&self, deadline: u64, soon: bool) {
        self.words.deadline.swap(deadline, SeqCst);
        barrier();
        if !soon && self.has_no_owner(deadline) {
            self.wake_timer();
        }
    }

    /// One round of the clock's thread: raises the interrupt that is due, runs tasks if it was asked to, sleeps.
    pub fn tick(&self) {
        let words = self.words;
        let word = words.timer_word.load(SeqCst);
        words.timer_until.swap(0, SeqCst);
        barrier();
        if words.pending.load(Relaxed) != 0 && words.pollers.load(Relaxed) == 0 && self.try_take() {
            self.env.run(None, false);
            while !self.release() {
                self.env.run(None, false);
            }
        }
        let deadline = words.deadline.load(SeqCst);
        if deadline != NEVER && self.env.now() >= deadline {
            if self.is_expired(deadline) {
                self.raise_irq(PEND_TIMER);
            }
            return;
        }
        words.timer_until.swap(deadline, SeqCst);
        barrier();
        if taken(Step::LookAtDeadline) && words.deadline.load(Relaxed) < deadline {
            return;
        }
        self.env.sleep(&words.timer_word, word, deadline);
    }
}
