// SPDX-License-Identifier: GPL-2.0-only
//! The emulator against the manual and Intel's ABI, by real instructions. Each check has a thread of its own, as the state
//! is per thread.
#![allow(unsafe_code)]

use softuintr::abi::{self, call};
use std::arch::{asm, global_asm};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a handler saw, newest last; by asm.
#[repr(C)]
struct Log {
    count: AtomicU64,
    entries: [[AtomicU64; 6]; 64],
}
static LOG: Log = Log { count: AtomicU64::new(0), entries: [const { [const { AtomicU64::new(0) }; 6] }; 64] };
static FAST: AtomicU64 = AtomicU64::new(0);
const VECTOR: usize = 0;
const RIP: usize = 1;
const FLAGS: usize = 2;
const RSP: usize = 3;
const FRAME: usize = 4;
const UIF: usize = 5;

global_asm!(
    ".globl ui_log", // writes [vector, rip, rflags, rsp, frame, UIF] into the log
    "ui_log:",
    "endbr64",
    "push rax",
    "push rcx",
    "push rdx",
    "lea rdx, [rip + {log}]",
    "mov rcx, [rdx]",
    "imul rax, rcx, 48",
    "inc qword ptr [rdx]",
    "lea rdx, [rdx + rax + 8]",
    ".irp i,0,1,2,3",
    "mov rax, [rsp + 24 + 8*\\i]",
    "mov [rdx + 8*\\i], rax",
    ".endr",
    "lea rax, [rsp + 24]",
    "mov [rdx + 32], rax",
    "mov eax, 0",
    "testui",
    "adc eax, 0",
    "mov [rdx + 40], rax",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 8",
    "uiret",
    ".globl ui_fast",
    "ui_fast:",
    "endbr64",
    "lock inc qword ptr [rip + {fast}]",
    "add rsp, 8",
    "uiret",
    ".globl ui_noreenable", // the flexible UIRET: returns with UIF 0
    "ui_noreenable:",
    "endbr64",
    "lock inc qword ptr [rip + {fast}]",
    "and qword ptr [rsp + 16], -3",
    "add rsp, 8",
    "uiret",
    ".globl ui_astray", // returns to an address that is none
    "ui_astray:",
    "endbr64",
    "mov rax, 0x8000000000000000",
    "mov [rsp + 8], rax",
    "add rsp, 8",
    "uiret",
    log = sym LOG,
    fast = sym FAST,
);
extern "C" {
    static ui_log: u8;
    static ui_fast: u8;
    static ui_noreenable: u8;
    static ui_astray: u8;
}

fn stui() {
    // SAFETY: the emulator carries it out.
    unsafe { asm!("stui", in("ecx") 1) }
}

fn clui() {
    // SAFETY: as above.
    unsafe { asm!("clui", in("ecx") 1) }
}

fn testui() -> bool {
    let uif: u8;
    // SAFETY: as above.
    unsafe { asm!("testui", "setc {}", out(reg_byte) uif) };
    uif != 0
}

fn send(index: isize) {
    // SAFETY: as above.
    unsafe { asm!("senduipi {}", in(reg) index) }
}

/// The emulated call.
fn sys(nr: i64, a: usize, b: usize) -> isize {
    // SAFETY: handlers and stacks given live for ever.
    unsafe { call(nr, a, b, 0) }
}

fn no(error: i32) -> isize {
    -error as isize
}

fn address(handler: &u8) -> usize {
    handler as *const u8 as usize
}

/// One at a time, for the log and the senders are the process's.
static TURN: Mutex<()> = Mutex::new(());

fn alone(check: impl FnOnce() + Send) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    softuintr::install();
    LOG.count.store(0, SeqCst);
    FAST.store(0, SeqCst);
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            check();
            clui();
            sys(abi::UNREGISTER_HANDLER, 0, 0);
            // Nobody else's table has what this check left.
            for index in 0..256 {
                sys(abi::UNREGISTER_SENDER, index, 0);
            }
        });
        if let Err(panic) = done.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn seen(entry: usize, what: usize) -> u64 {
    LOG.entries[entry][what].load(SeqCst)
}

fn count() -> u64 {
    LOG.count.load(SeqCst)
}

/// A target of this thread for a vector, by a descriptor.
fn target(vector: usize) -> isize {
    let fd = sys(abi::VECTOR_FD, vector, 0);
    assert!(fd >= 0, "{fd}");
    let index = sys(abi::REGISTER_SENDER, fd as usize, 0);
    assert!(index >= 0, "{index}");
    // SAFETY: a descriptor of ours.
    unsafe { libc::close(fd as i32) };
    index
}

fn receive(handler: &u8) {
    assert_eq!(sys(abi::REGISTER_HANDLER, address(handler), 0), 0);
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::hint::spin_loop();
    }
}

/// Runs `child` in a fork; how that ended.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child makes raw calls, executes instructions and leaves.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(child());
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        status
    }
}

/// SAFETY of all: the handlers are static code.
fn log_handler() -> &'static u8 {
    // SAFETY: see above.
    unsafe { &ui_log }
}

fn fast_handler() -> &'static u8 {
    // SAFETY: see above.
    unsafe { &ui_fast }
}

#[test]
fn the_calls_and_their_errnos() {
    alone(|| {
        let handler = address(log_handler());
        assert_eq!(sys(abi::VECTOR_FD, 0, 0), no(libc::EINVAL));
        assert_eq!(sys(abi::WAIT, 1000, 0), no(libc::EOPNOTSUPP));
        assert_eq!(sys(abi::ALT_STACK, 0, 0), no(libc::EOPNOTSUPP));
        assert_eq!(sys(abi::UNREGISTER_HANDLER, 0, 0), no(libc::EINVAL));
        assert_eq!(sys(abi::REGISTER_HANDLER, handler, 1), no(libc::EINVAL));
        assert_eq!(sys(abi::REGISTER_HANDLER, 0, 0), no(libc::EFAULT));
        assert_eq!(sys(abi::REGISTER_HANDLER, handler, 0x1000), 0);
        assert_eq!(sys(abi::REGISTER_HANDLER, handler, 0), no(libc::EBUSY));
        assert_eq!(sys(abi::VECTOR_FD, 64, 0), no(libc::ENOSPC));
        assert_eq!(sys(abi::REGISTER_SENDER, 9999, 0), no(libc::EBADF));
        assert_eq!(sys(abi::REGISTER_SENDER, 0, 0), no(libc::EOPNOTSUPP));
        assert_eq!(sys(abi::UNREGISTER_SENDER, 200, 0), no(libc::EINVAL));
        assert_eq!(sys(abi::IPI_FD, 0, 0), no(libc::ENOSYS));
        assert_eq!(sys(abi::UNREGISTER_HANDLER, 0, 0), 0);
    });
}

#[test]
fn the_first_send_without_a_sender_is_an_illegal_instruction() {
    alone(|| {
        let status = forked(|| {
            send(0);
            0
        });
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGILL, "{status:x}");
    });
}

#[test]
fn a_send_to_nobody_is_a_protection_fault() {
    alone(|| {
        receive(log_handler());
        target(1);
        for index in [77, 256, -1] {
            let status = forked(|| {
                // SAFETY: raw calls.
                unsafe { call(abi::REGISTER_HANDLER, address(log_handler()), 0, 0) };
                sys(abi::REGISTER_SELF, 1, 0);
                // SAFETY: std's handler of stack overflows is none of ours.
                unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
                send(index);
                0
            });
            assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status:x}");
        }
    });
}

#[test]
fn a_return_to_no_address_is_a_protection_fault() {
    alone(|| {
        let status = forked(|| {
            // SAFETY: as above.
            receive(unsafe { &ui_astray });
            let index = sys(abi::REGISTER_SELF, 1, 0);
            // SAFETY: as above.
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            stui();
            send(index);
            std::thread::sleep(Duration::from_millis(100));
            0
        });
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status:x}");
    });
}

#[test]
fn an_instruction_that_is_truly_illegal_stays_so() {
    alone(|| {
        let status = forked(|| {
            // SAFETY: ends the child.
            unsafe { asm!("ud2") };
            0
        });
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGILL, "{status:x}");
    });
}

#[test]
fn masked_sends_coalesce_and_come_highest_first() {
    alone(|| {
        receive(log_handler());
        let [three, high, ten] = [3, 63, 10].map(target);
        assert!(!testui());
        for index in [three, high, ten, three, three] {
            send(index);
        }
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(count(), 0);
        stui();
        assert_eq!(count(), 3);
        assert_eq!([0, 1, 2].map(|i| seen(i, VECTOR)), [63, 10, 3]);
        assert_eq!([0, 1, 2].map(|i| seen(i, UIF)), [0, 0, 0]);
        assert!(testui());
    });
}

#[test]
fn the_frame_is_the_architectures() {
    alone(|| {
        receive(log_handler());
        send(target(3));
        std::thread::sleep(Duration::from_millis(2));
        let (sp, after): (u64, u64);
        // SAFETY: reads two registers around the instruction.
        unsafe {
            asm!("mov {0}, rsp", "lea {1}, [rip + 2f]", "stc", "stui", "2:", out(reg) sp, out(reg) after, in("ecx") 1);
        }
        assert_eq!(count(), 1);
        assert_eq!((seen(0, RIP), seen(0, RSP), seen(0, FLAGS) & 1), (after, sp, 1));
        assert_eq!(seen(0, FRAME), ((sp - 128) & !15) - 32);
    });
}

/// Another thread that runs `work` until this is dropped.
struct Rain<'a>(&'a AtomicBool, Option<std::thread::JoinHandle<()>>);

impl<'a> Rain<'a> {
    fn new(stop: &'static AtomicBool, work: impl Fn() + Send + 'static) -> Rain<'a> {
        stop.store(false, SeqCst);
        let thread = std::thread::spawn(move || {
            while !stop.load(SeqCst) {
                work();
            }
        });
        Rain(stop, Some(thread))
    }
}

impl Drop for Rain<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
        let _ = self.1.take().map(|thread| thread.join());
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

#[test]
fn a_thread_that_only_computes_is_interrupted() {
    alone(|| {
        receive(log_handler());
        let index = target(10);
        stui();
        let _rain = Rain::new(&STOP, move || {
            send(index);
            std::thread::sleep(Duration::from_millis(5));
        });
        until("an interrupt", || count() > 0);
        assert_eq!(seen(0, VECTOR), 10);
        clui();
    });
}

/// A leaf with live data in its red zone, xmm7 and the flags CF and DF; how often it found them changed.
#[inline(never)]
fn leaf(rounds: u64) -> u64 {
    let bad: u64;
    // SAFETY: touches its red zone, scratch registers, and the flags, which it puts right.
    unsafe {
        asm!(
            "mov rax, 0x1122334455667788", "mov [rsp - 128], rax", "not rax", "mov [rsp - 8], rax",
            "mov eax, 0x5a5a", "movq xmm7, rax", "xor {bad}, {bad}", "std", "stc",
            "2:", "jnc 9f",
            "mov rcx, 0x1122334455667788", "cmp [rsp - 128], rcx", "jne 9f",
            "not rcx", "cmp [rsp - 8], rcx", "jne 9f",
            "movq rcx, xmm7", "cmp rcx, 0x5a5a", "jne 9f",
            "lea rsp, [rsp - 128]", "pushfq", "pop rcx", "lea rsp, [rsp + 128]", "bt rcx, 10", "jnc 9f",
            "dec {n}", "stc", "jnz 2b", "jmp 8f",
            "9:", "inc {bad}", "8:", "cld",
            bad = out(reg) bad, n = inout(reg) rounds => _, out("rax") _, out("rcx") _, out("xmm7") _,
        );
    }
    bad
}

#[test]
fn red_zone_vectors_and_flags_survive_a_rain_of_interrupts() {
    alone(|| {
        receive(fast_handler());
        let index = target(5);
        let before = softuintr::stats().delivered;
        stui();
        let rain = Rain::new(&STOP, move || {
            send(index);
            for _ in 0..200 {
                std::hint::spin_loop();
            }
        });
        let end = Instant::now() + Duration::from_millis(800);
        while Instant::now() < end {
            assert_eq!(leaf(100_000), 0);
        }
        drop(rain);
        clui();
        let delivered = softuintr::stats().delivered - before;
        assert!(delivered > 100, "{delivered}");
    });
}

#[test]
fn the_alternate_stack_is_used_from_its_top() {
    alone(|| {
        receive(log_handler());
        let stack = vec![0u128; 4096].leak();
        let (base, top) = (stack.as_ptr() as u64, stack.as_ptr_range().end as u64);
        // SAFETY: the stack lives for ever.
        assert_eq!(unsafe { call(abi::ALT_STACK, top as usize, 65536, 1) }, no(libc::EINVAL));
        assert_eq!(sys(abi::ALT_STACK, top as usize, 65536), 0);
        send(target(3));
        stui();
        assert_eq!(count(), 1);
        assert_eq!(seen(0, FRAME), top - 32);
        assert!(seen(0, FRAME) > base);
        assert_eq!(sys(abi::ALT_STACK, 0, 0), 0);
    });
}

#[test]
fn a_wait_ends_behind_the_handler_or_with_its_time() {
    alone(|| {
        receive(log_handler());
        let index = target(3);
        stui();
        static LATER: AtomicI64 = AtomicI64::new(0);
        LATER.store(index as i64, SeqCst);
        let sender = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            send(LATER.load(SeqCst) as isize);
        });
        assert_eq!(sys(abi::WAIT, 2_000_000, 0), no(libc::EINTR));
        assert_eq!(count(), 1);
        sender.join().expect("the sender");
        assert_eq!(sys(abi::WAIT, 2000, 0), 0);
        assert_eq!(sys(abi::WAIT, 0, 1), no(libc::EINVAL));
    });
}

#[test]
fn a_flexible_return_leaves_interrupts_off() {
    alone(|| {
        softuintr::set_flexible_uiret(true);
        // SAFETY: static code.
        receive(unsafe { &ui_noreenable });
        let index = sys(abi::REGISTER_SELF, 7, 0);
        assert!(index >= 0);
        stui();
        send(index);
        until("the interrupt", || FAST.load(SeqCst) == 1);
        assert!(!testui());
        softuintr::set_flexible_uiret(false);
    });
}

#[test]
fn a_fork_inherits_nothing() {
    alone(|| {
        receive(log_handler());
        target(3);
        stui();
        let status = forked(|| {
            let is_new = sys(abi::UNREGISTER_HANDLER, 0, 0) == no(libc::EINVAL) && !testui();
            i32::from(!is_new)
        });
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:x}");
        assert!(testui());
    });
}

#[test]
fn no_wake_up_is_lost_while_the_receiver_masks_and_unmasks() {
    alone(|| {
        receive(fast_handler());
        let index = target(33);
        stui();
        static DONE: AtomicBool = AtomicBool::new(false);
        DONE.store(false, SeqCst);
        let sender = std::thread::spawn(move || {
            for _ in 0..2000 {
                let before = FAST.load(SeqCst);
                send(index);
                until("an interrupt", || FAST.load(SeqCst) != before);
            }
            DONE.store(true, SeqCst);
        });
        let mut random = 1u32;
        let mut pause = |shift: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for _ in 0..random >> shift {
                std::hint::spin_loop();
            }
        };
        while !DONE.load(SeqCst) && !sender.is_finished() {
            clui();
            pause(20);
            stui();
            pause(22);
        }
        clui();
        sender.join().expect("every interrupt came");
        assert!(FAST.load(SeqCst) >= 2000);
    });
}

#[test]
fn more_threads_than_places() {
    alone(|| {
        for _ in 0..600 {
            std::thread::spawn(|| {
                receive(fast_handler());
                stui();
            })
            .join()
            .expect("a thread");
        }
    });
}

#[test]
fn latency_is_shown() {
    alone(|| {
        receive(fast_handler());
        let index = target(5);
        stui();
        static DONE: AtomicBool = AtomicBool::new(false);
        DONE.store(false, SeqCst);
        let sender = std::thread::spawn(move || {
            let mut times: Vec<u128> = (0..500)
                .map(|_| {
                    let (before, start) = (FAST.load(SeqCst), Instant::now());
                    send(index);
                    until("an interrupt", || FAST.load(SeqCst) != before);
                    start.elapsed().as_nanos()
                })
                .collect();
            DONE.store(true, SeqCst);
            times.sort_unstable();
            times
        });
        while !DONE.load(SeqCst) && !sender.is_finished() {
            std::hint::spin_loop();
        }
        clui();
        let times = sender.join().expect("the sender");
        println!(
            "emulated, send to first instruction of the handler: p50 {} ns, p99 {} ns",
            times[250], times[495]
        );
    });
}
