// SPDX-License-Identifier: GPL-2.0-only
//! The one virtual CPU: how host threads share it, wait, and are woken. (kernel/cpu.c says what happens on the CPU.)
//!
//! 1. **Holding.** `cpu` is FREE, or has the number of the member whose thread holds it, with ENTERED while this thread is in
//!    the kernel. A thread takes the CPU by compare-and-swap and frees it by exchange. Only the
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
//! 5. **A call runs at home.** The kernel half of a call may only run on a thread of the process that made it (member). Where
//!    another member's thread comes upon such a call, it leaves the kernel with the CPU still held, and makes the `state` of
//!    the waiting thread HANDED. The waiting thread writes its member's number into `cpu`, makes its `state` WAITING, and
//!    goes on in the kernel. The CPU is not free in between.
//! 6. **Death.** A member may be killed at any moment. A thread that waits looks now and then whether the holder of the CPU
//!    lives: the member of the thread that is HANDED, if there is one; else the member in `cpu`. If the holder died, the
//!    waiting thread takes the CPU over by compare-and-swap. A thread that was HANDED the CPU had not gone on yet: its call
//!    goes on without it. If the dead thread had not ENTERED, nothing has happened. Otherwise the kernel may be in the middle
//!    of anything, and is declared dead.
//! 7. **Interrupted waits.** A signal handler sets `interrupted`, makes PEND_INTERRUPT pending, and turns SLEEPING into
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
    /// The CPU is for another member's thread: `Shared::away`.
    Away,
    /// The same, and the driver's request is done.
    DoneAway,
}

/// How a stay in the kernel begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With what is pending.
    Look,
    /// The driver has a new request.
    Post,
    /// Another member's thread has left the CPU to the driver.
    Resume,
    /// The same, to a thread whose process died before the thread went on.
    Adopt,
    /// The member `Shared::home` died while it drove.
    Died,
}

/// What the protocol stands between: the kernel, and the host.
pub(crate) trait Env {
    /// A spinning thread's memory of one round.
    type Spin;
    fn begin_spin(&self) -> Self::Spin;
    /// Takes what is pending and runs what can run. The CPU is held.
    fn run(&self, driver: Option<&CallSlot>, begin: Begin) -> Run;
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
    /// Lets other threads of the host go first.
    fn give_way(&self);
    /// This process's number among the members.
    fn me(&self) -> u32;
    /// Whether threads of this process may take the CPU: the process has not left.
    fn may_take(&self) -> bool;
    /// Whether the process of a member is no more.
    fn is_dead(&self, member: u32) -> bool;
    /// Looks whether all members live, if nobody did for a while. `w`: the waiting thread's.
    fn look_after_members(&self, w: Option<&CallSlot>);
    /// Starts the clock's thread in this process, if no process has it.
    fn look_after_clock(&self);
}

/// After so many long waits in a row a thread no longer spins for long.
const SPIN_BUDGET: u32 = 2;
/// What a wake-up may be measured to cost, ns: outside of that the machine was busy with something else.
const WAKE_COST: (u64, u64) = (2_000, 50_000);

/// Looks at a held CPU before others are let go first.
const LOOKS_BEFORE_YIELD: u32 = 64;
/// Tries to take the CPU without a look before.
const BLIND_TRIES: u32 = 8;
/// How long a thread sleeps before it looks after the other members, ns.
pub(crate) const LOOK_NS: u64 = 100_000_000;
/// The same in the keeper, whose work is to look.
const KEEPERS_LOOK_NS: u64 = 10_000_000;
/// The same where the only other member is the keeper, which nobody kills, or where all others have left in order.
const LOOK_AFTER_KEEPER_NS: u64 = 1_000_000_000;

pub(crate) struct Cpu<'a, W> {
    pub words: &'a Shared,
    pub env: W,
}

impl<W: Env> Cpu<'_, W> {
    /// Tries to take the CPU. Returns whether this thread holds it now.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.env.may_take()
            && self.words.cpu.compare_exchange(FREE, self.env.me(), SeqCst, Relaxed).is_ok()
            && self.may_keep()
    }

    /// The process may have left between the look and the taking.
    #[inline]
    fn may_keep(&self) -> bool {
        let may = self.env.may_take();
        if !may {
            self.words.cpu.swap(FREE, SeqCst);
        }
        may
    }

    /// The process leaves: when this returns, no thread of this process holds the CPU, or will. `left`: makes
    /// [`Env::may_take`] false.
    pub fn leave_for_good(&self, left: impl FnOnce()) {
        let mut looks = 0;
        while !self.try_take() {
            looks += 1;
            if looks % LOOKS_BEFORE_YIELD != 0 {
                self.env.pause();
                continue;
            }
            // The holder may have died, and this may be the only other member.
            if let Some(begin) = self.inherit() {
                if self.run(None, begin) != Run::Away {
                    break;
                }
                self.hand_over();
            }
            self.env.give_way();
        }
        left();
        self.leave_last();
    }

    /// As [`Cpu::leave`], where other threads of this process may not take the CPU any more, and this one may.
    fn leave_last(&self) {
        let me = self.env.me();
        loop {
            if self.words.pending.load(Relaxed) != 0 && self.run(None, Begin::Look) == Run::Away {
                return self.hand_over();
            }
            self.words.cpu.swap(FREE, SeqCst);
            barrier();
            let is_seen = self.words.pending.load(Relaxed) == 0 || self.any_poller();
            if is_seen || self.words.cpu.compare_exchange(FREE, me, SeqCst, Relaxed).is_err() {
                return;
            }
        }
    }

    /// Whether some thread is going to look. The count may be too low by those that died in the middle of a change.
    fn any_poller(&self) -> bool {
        self.words.pollers.load(Relaxed) as i32 > 0
    }

    /// Whether a thread of this process has the CPU, and is or will be in the kernel. A thread that was handed the CPU and has
    /// not taken it does not count: it will not, once [`Env::may_take`] is false.
    pub fn is_ours(&self) -> bool {
        let me = self.env.me();
        let holder = self.words.cpu.load(SeqCst);
        holder == me | ENTERED || (holder == me && self.handed_to() != Some(me))
    }

    /// Looks at what is pending, if nobody else is going to.
    pub fn look(&self) {
        if self.try_take() {
            self.leave();
        }
    }

    /// After an exec: what the threads that the exec took away had of the CPU.
    pub fn take_leftovers(&self) {
        let me = self.env.me();
        let holder = self.words.cpu.load(SeqCst);
        let begin = match self.handed_to() {
            Some(home) if home == me => Begin::Adopt,
            _ if holder == me => Begin::Look,
            _ if holder == me | ENTERED => Begin::Died,
            _ => return,
        };
        self.words.cpu.store(me, SeqCst);
        self.words.home.store(me, Relaxed);
        match self.run(None, begin) {
            Run::Away => self.hand_over(),
            _ => self.leave(),
        }
    }

    /// Runs the kernel. The CPU is held.
    fn run(&self, driver: Option<&CallSlot>, begin: Begin) -> Run {
        let me = self.env.me();
        self.words.cpu.store(me | ENTERED, Relaxed);
        let run = self.env.run(driver, begin);
        self.words.cpu.store(me, Relaxed);
        run
    }

    fn is_free(&self) -> bool {
        self.words.cpu.load(Relaxed) == FREE
    }

    /// Serves the request in `w`. The calling thread holds nothing. It looks at the CPU `spin_tries` times before it posts.
    pub fn request(&self, w: &CallSlot, spin_tries: u32) {
        let mut tries = 0;
        loop {
            // Between the calls of a thread that makes one after the other the CPU is free for less than a look and a try take.
            if (tries < BLIND_TRIES || self.is_free()) && self.try_take() {
                w.state.store(WAITING, Relaxed);
                return self.drive(w, Begin::Post);
            }
            tries += 1;
            if tries >= spin_tries {
                break;
            }
            self.env.pause();
        }
        // As late as can be: a process that is killed before has not begun the request.
        w.state.store(WAITING, Relaxed);
        self.post(w);
        self.wait(w);
    }

    /// Posts a request that nobody waits for. The caller looks at what is pending next.
    pub fn post_alone(&self, w: &CallSlot) {
        w.state.store(WAITING, Relaxed);
        self.post(w);
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

    /// The CPU is ours: runs the kernel until the request in `w` is done, here or elsewhere.
    pub fn drive(&self, w: &CallSlot, begin: Begin) {
        if !self.stay(w, begin) {
            self.wait(w);
        }
    }

    /// After the kernel came back from the request in `w` with the CPU for another member's thread.
    #[cold]
    pub fn went_away(&self, w: &CallSlot) {
        w.state.store(WAITING, Relaxed);
        self.hand_over();
        self.wait(w);
    }

    /// After the kernel came back from a call that is done, with the CPU for another member's thread.
    #[cold]
    pub fn done_and_away(&self) {
        self.hand_over();
        self.ensure_deadline_owner();
    }

    /// The CPU, which is ours, is for the thread of `Shared::away` from here on. The thread waits for its request.
    #[cold]
    fn hand_over(&self) {
        self.words.count(Count::Handed);
        let Some(to) = self.words.away() else { return };
        let state = &raw const to.state;
        if to.state.swap(HANDED, SeqCst) == SLEEPING {
            self.words.count(Count::Woken);
            self.env.wake(state);
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
            self.drive(w, Begin::Look);
        } else {
            self.wait(w);
        }
    }

    /// Runs the kernel once, and frees the CPU in any case. Returns whether the request is done.
    fn stay(&self, w: &CallSlot, mut begin: Begin) -> bool {
        loop {
            let run = self.run(Some(w), begin);
            begin = Begin::Look;
            if matches!(run, Run::Away | Run::DoneAway) {
                return self.stay_ended_away(w, run);
            }
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

    #[cold]
    fn stay_ended_away(&self, w: &CallSlot, run: Run) -> bool {
        let done = run == Run::DoneAway || w.state.load(Acquire) == DONE;
        if done {
            w.state.store(NO_REQUEST, Relaxed);
        }
        self.hand_over();
        if done {
            self.ensure_deadline_owner();
        }
        done
    }

    /// The CPU is ours and nothing of this thread's is left to do.
    #[inline]
    pub fn leave(&self) {
        while !self.release() {
            if self.run(None, Begin::Look) == Run::Away {
                self.hand_over();
                break;
            }
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
        if self.any_poller() {
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
            let ours = self.poll(w, &mut since);
            if w.state.load(Acquire) == HANDED {
                if !self.take_handed(w) {
                    self.env.give_way();
                    continue;
                }
                if self.stay(w, Begin::Resume) {
                    return;
                }
                continue;
            }
            if ours && self.stay(w, Begin::Look) {
                return;
            }
            if w.state.load(Acquire) == DONE {
                w.state.store(NO_REQUEST, Relaxed);
                self.learn(w, since);
                return self.ensure_deadline_owner();
            }
            self.sleep(w);
            if self.words.may_have_others() && w.state.load(Acquire) == WAITING {
                match self.inherit() {
                    Some(begin) if self.stay(w, begin) => return,
                    Some(_) => {}
                    None => self.env.look_after_members(Some(w)),
                }
            }
        }
    }

    /// The CPU was handed to the thread of `w`. The word first: who sees another `state` than HANDED sees a new word, too.
    /// False: the process executes another program, and the thread leaves the CPU as it is.
    fn take_handed(&self, w: &CallSlot) -> bool {
        if !self.env.may_take() {
            return false;
        }
        if taken(Step::TakeWord) {
            self.words.cpu.store(self.env.me(), SeqCst);
            w.state.store(WAITING, SeqCst);
        } else {
            w.state.store(WAITING, SeqCst);
            self.words.cpu.store(self.env.me(), SeqCst);
        }
        let may = self.env.may_take();
        if !may {
            w.state.store(HANDED, SeqCst);
        }
        may
    }

    /// Takes the CPU over from a member that died; how this thread goes on.
    pub fn inherit(&self) -> Option<Begin> {
        let holder = self.words.cpu.load(SeqCst);
        if !taken(Step::LookForDeath) || holder == FREE {
            return None;
        }
        let (to, begin) = match self.handed_to() {
            Some(home) => (home, Begin::Adopt),
            None if holder & ENTERED == 0 => (holder, Begin::Look),
            None => (holder & !ENTERED, Begin::Died),
        };
        if to == self.env.me() || !self.env.is_dead(to) {
            return None;
        }
        // A thread that was alive at the first look may have taken the CPU since. Now it cannot any more.
        let is_as_before = match begin {
            Begin::Adopt => self.handed_to() == Some(to),
            _ => self.handed_to().is_none(),
        };
        let me = self.env.me();
        if !is_as_before || self.words.cpu.compare_exchange(holder, me, SeqCst, Relaxed).is_err() {
            return None;
        }
        self.words.home.store(to, Relaxed);
        Some(begin)
    }

    /// The member that has the CPU, or is to take it.
    pub fn holder(&self) -> Option<u32> {
        let holder = self.words.cpu.load(SeqCst);
        (holder != FREE).then(|| self.handed_to().unwrap_or(holder & !ENTERED))
    }

    /// The member of the thread that the CPU was handed to, and that has not taken the CPU yet.
    fn handed_to(&self) -> Option<u32> {
        let to = self.words.away()?;
        (to.state.load(SeqCst) == HANDED).then(|| to.home.load(Relaxed))
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
        let own = &words.member(self.env.me()).pollers;
        own.fetch_add(1, Relaxed);
        words.pollers.fetch_add(1, SeqCst);
        let mut spin = self.env.begin_spin();
        let ours = loop {
            if matches!(w.state.load(Acquire), DONE | HANDED) {
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
        own.fetch_sub(1, Relaxed);
        barrier();
        // Somebody may have relied on us.
        ours || (taken(Step::LookAfterPoll)
            && words.pending.load(Relaxed) != 0
            && !self.any_poller()
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
            self.env.sleep(&w.state, SLEEPING, self.look_by(until));
            self.release_deadline(until);
        }
        let _ = w.state.compare_exchange(SLEEPING, WAITING, SeqCst, Acquire);
    }

    /// Not after `until`; and not too late to look after the other members, if there are any.
    fn look_by(&self, until: u64) -> u64 {
        let patience = match (self.words.may_have_others(), self.words.has_company()) {
            (true, _) if self.words.keeper.load(Relaxed) == self.env.me() => KEEPERS_LOOK_NS,
            (true, true) => LOOK_NS,
            (true, false) => LOOK_AFTER_KEEPER_NS,
            (false, _) => return until,
        };
        until.min(self.env.now().saturating_add(patience))
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
        if self.words.clock_home.load(Relaxed) == 0 {
            self.env.look_after_clock();
        }
        self.poke_clock();
    }

    #[cold]
    fn poke_clock(&self) {
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
        if was & bits == bits || !self.is_free() || self.any_poller() {
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
            if !self.env.may_take() {
                // This process has left: the clock's thread of another one looks.
                self.poke_clock();
            }
            return words.count(Count::Elided);
        }
        words.count(Count::RanByRinger);
        match self.run(None, Begin::Look) {
            Run::Away => self.hand_over(),
            _ => self.leave(),
        }
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
    pub fn interrupt_wait(&self, w: &CallSlot, by: Interruption) {
        w.interrupted.fetch_or(by as u32, SeqCst);
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
        if words.may_have_others() {
            self.env.look_after_members(None);
        }
        if words.pending.load(Relaxed) != 0 && !self.any_poller() && self.try_take() {
            self.tick_on_cpu();
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
        self.env.sleep(&words.timer_word, word, self.look_by(deadline));
    }

    fn tick_on_cpu(&self) {
        loop {
            if self.run(None, Begin::Look) == Run::Away {
                return self.hand_over();
            }
            if self.release() {
                return;
            }
        }
    }
}
