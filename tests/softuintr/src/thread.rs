// SPDX-License-Identifier: GPL-2.0-only
//! What the CPU and the kernel keep per thread, and the table of targets.

use crate::{host, COALESCED, NOTIFIED, NOTIFY};
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

pub(crate) const MOST: usize = 512;
pub(crate) const TARGETS: usize = 256;
/// Bytes below rsp that belong to the interrupted code: UISTACKADJUST by default (OS_ABI_REDZONE).
pub(crate) const RED_ZONE: u64 = 128;
const SIGNAL_STACK: usize = 128 << 10;

/// UPID.nc: an outstanding notification; notifications suppressed.
const ON: u64 = 1;
const SN: u64 = 2;

/// A thread's UPID and its UINTR registers.
pub(crate) struct Thread {
    /// 0: the place is free.
    pub tid: AtomicU32,
    nc: AtomicU64,
    pir: AtomicU64,
    pub uirr: AtomicU64,
    pub handler: AtomicU64,
    /// UISTACKADJUST: how much below rsp the frame lies; with bit 0 set, where it lies.
    pub adjust: AtomicU64,
    pub uif: AtomicBool,
    pub receives: AtomicBool,
    /// In uintr_wait: the interrupt is delivered when that returns.
    pub waits: AtomicBool,
    /// The alternate signal stack that we gave it; 0: none.
    signal_stack: AtomicUsize,
}

static THREADS: [Thread; MOST] = [const {
    Thread {
        tid: AtomicU32::new(0),
        nc: AtomicU64::new(SN),
        pir: AtomicU64::new(0),
        uirr: AtomicU64::new(0),
        handler: AtomicU64::new(0),
        adjust: AtomicU64::new(RED_ZONE),
        uif: AtomicBool::new(false),
        receives: AtomicBool::new(false),
        waits: AtomicBool::new(false),
        signal_stack: AtomicUsize::new(0),
    }
}; MOST];
/// So many places were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// An entry of the UITT: the process has one table, as in Intel's later kernels.
pub(crate) struct Target {
    /// 1: valid; -1: being made.
    state: AtomicI32,
    vector: AtomicU32,
    thread: AtomicUsize,
    /// Whose it was made for: a place in [`THREADS`] has more than one owner in its life.
    tid: AtomicU32,
}

static TARGETS_TABLE: [Target; TARGETS] = [const {
    Target {
        state: AtomicI32::new(0),
        vector: AtomicU32::new(0),
        thread: AtomicUsize::new(0),
        tid: AtomicU32::new(0),
    }
}; TARGETS];
/// IA32_UINTR_TT\[0\]: somebody registered as a sender.
static SENDS: AtomicBool = AtomicBool::new(false);

pub(crate) fn has_targets() -> bool {
    SENDS.load(SeqCst)
}

/// The child of a fork inherits none of it.
pub(crate) unsafe extern "C" fn forget_all() {
    for thread in &THREADS[..USED.load(Relaxed).min(MOST)] {
        thread.clear();
        thread.tid.store(0, SeqCst);
        thread.signal_stack.store(0, Relaxed);
    }
    for target in &TARGETS_TABLE {
        target.state.store(0, SeqCst);
    }
    SENDS.store(false, SeqCst);
}

/// The calling thread's, by its tid: FS and GS may be anybody's.
pub(crate) fn current() -> &'static Thread {
    let tid = host::tid();
    let used = USED.load(SeqCst).min(MOST);
    if let Some(found) = THREADS[..used].iter().find(|thread| thread.tid.load(Relaxed) == tid) {
        return found;
    }
    let claimed = |thread: &&Thread| thread.tid.compare_exchange(0, tid, SeqCst, SeqCst).is_ok();
    let thread = THREADS[..used].iter().find(claimed).unwrap_or_else(|| {
        let next = USED.fetch_add(1, SeqCst);
        match THREADS.get(next) {
            Some(thread) if claimed(&thread) => thread,
            _ => of_the_dead(tid),
        }
    });
    thread.clear();
    thread.signal_stack.store(0, Relaxed);
    thread
}

/// A place whose thread is no more.
fn of_the_dead(tid: u32) -> &'static Thread {
    USED.store(MOST, SeqCst);
    for thread in &THREADS {
        let owner = thread.tid.load(SeqCst);
        let is_dead = owner == 0 || host::send_signal(owner, 0) == -libc::ESRCH as isize;
        if is_dead && thread.tid.compare_exchange(owner, tid, SeqCst, SeqCst).is_ok() {
            return thread;
        }
    }
    host::call(libc::SYS_exit_group, &[99]);
    unreachable!()
}

impl Thread {
    /// As after a register_handler, or before one.
    pub fn clear(&self) {
        self.nc.store(SN, SeqCst);
        self.receives.store(false, SeqCst);
        self.uif.store(false, SeqCst);
        self.pir.store(0, SeqCst);
        self.uirr.store(0, SeqCst);
        self.adjust.store(RED_ZONE, SeqCst);
    }

    /// Begins to receive; UIF stays as it is.
    pub fn receive(&self, handler: u64) {
        self.handler.store(handler, SeqCst);
        self.adjust.store(RED_ZONE, SeqCst);
        self.receives.store(true, SeqCst);
        self.nc.store(0, SeqCst);
    }

    /// Ends it: what is sent from now on is posted and goes nowhere.
    pub fn stop(&self) {
        self.nc.store(SN, SeqCst);
        self.receives.store(false, SeqCst);
        self.uirr.store(0, SeqCst);
    }

    /// User-interrupt notification processing: what was posted becomes requested.
    pub fn notice(&self) {
        self.nc.fetch_and(!ON, SeqCst);
        self.uirr.fetch_or(self.pir.swap(0, SeqCst), SeqCst);
    }

    pub fn has_requests(&self) -> bool {
        self.uirr.load(SeqCst) | self.pir.load(SeqCst) != 0
    }

    /// SENDUIPI's part at the target.
    fn post(&self, vector: u32) {
        self.pir.fetch_or(1 << vector, SeqCst);
        let tid = self.tid.load(SeqCst);
        if host::is_quiet() && !host::is_running(tid) {
            COALESCED.fetch_add(1, Relaxed);
            return;
        }
        let outstanding = self.nc.fetch_update(SeqCst, SeqCst, |nc| (nc & (SN | ON) == 0).then_some(nc | ON));
        match outstanding {
            Ok(_) => {
                NOTIFIED.fetch_add(1, Relaxed);
                host::send_signal(tid, NOTIFY);
            }
            Err(_) => {
                COALESCED.fetch_add(1, Relaxed);
            }
        }
    }

    /// Whether `address` is on the alternate signal stack that we gave it.
    pub fn is_on_signal_stack(&self, address: u64) -> bool {
        let base = self.signal_stack.load(Relaxed);
        base != 0 && (address as usize).wrapping_sub(base) <= SIGNAL_STACK
    }

    /// Gives it an alternate signal stack of ours; -errno.
    pub fn take_signal_stack(&self) -> isize {
        if self.signal_stack.load(Relaxed) != 0 || !host::gives_signal_stacks() {
            return 0;
        }
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE) as usize;
        let at = host::call(libc::SYS_mmap, &[0, SIGNAL_STACK, prot, flags, usize::MAX, 0]);
        if at < 0 {
            return at;
        }
        let stack = libc::stack_t { ss_sp: at as *mut _, ss_flags: 0, ss_size: SIGNAL_STACK };
        let r = host::call(libc::SYS_sigaltstack, &[&raw const stack as usize, 0]);
        if r == 0 {
            self.signal_stack.store(at as usize, Relaxed);
        }
        r
    }
}

/// SENDUIPI; false: there is no such target (#GP).
pub(crate) fn send(index: u64) -> bool {
    let Some(target) = usize::try_from(index).ok().and_then(|index| TARGETS_TABLE.get(index)) else {
        return false;
    };
    if target.state.load(SeqCst) != 1 {
        return false;
    }
    let thread = &THREADS[target.thread.load(Relaxed)];
    if thread.tid.load(SeqCst) == target.tid.load(Relaxed) {
        thread.post(target.vector.load(Relaxed));
    }
    true
}

/// A new target of the process; its index, or -errno.
pub(crate) fn add_target(thread: &'static Thread, vector: u32) -> isize {
    for (index, target) in TARGETS_TABLE.iter().enumerate() {
        if target.state.compare_exchange(0, -1, SeqCst, SeqCst).is_ok() {
            // SAFETY: both point into THREADS.
            let place = unsafe { (thread as *const Thread).offset_from(THREADS.as_ptr()) };
            target.thread.store(place as usize, Relaxed);
            target.tid.store(thread.tid.load(Relaxed), Relaxed);
            target.vector.store(vector, Relaxed);
            target.state.store(1, SeqCst);
            SENDS.store(true, SeqCst);
            return index as isize;
        }
    }
    -libc::ENOSPC as isize
}

/// False: there is none of that number.
pub(crate) fn remove_target(index: usize) -> bool {
    TARGETS_TABLE.get(index).is_some_and(|target| target.state.compare_exchange(1, 0, SeqCst, SeqCst).is_ok())
}

/// The receiver of that tid.
pub(crate) fn by_tid(tid: u32) -> Option<&'static Thread> {
    THREADS[..USED.load(SeqCst).min(MOST)].iter().find(|thread| thread.tid.load(Relaxed) == tid)
}
