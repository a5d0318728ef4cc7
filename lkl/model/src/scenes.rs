// SPDX-License-Identifier: GPL-2.0-only
//! What the model plays.

use crate::protocol::Env;
use crate::slots::{Interruption, ENTERED};
use crate::stand_in::*;
use crate::sync::{Ordering::*, Step};
use loom::sync::Arc;
use loom::thread::{spawn, yield_now};

/// A few threads for loom.
#[derive(Debug)]
pub struct Scene {
    /// For people.
    pub name: &'static str,
    /// One run of it.
    pub play: fn(),
    /// How often loom takes a thread away that could go on.
    pub preemptions: usize,
    /// Steps that this scene cannot do without.
    pub needs: &'static [Step],
}

/// All of them.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "two threads call at once",
        play: two_callers,
        preemptions: 3,
        needs: &[Step::LookAfterFree],
    },
    Scene {
        name: "a device completes what a thread waits for",
        play: device,
        preemptions: 3,
        needs: &[Step::LookAfterFree, Step::LookAfterPoll, Step::Barrier],
    },
    Scene { name: "one thread waits for another", play: ping, preemptions: 3, needs: &[Step::LookAfterFree] },
    Scene { name: "a device, and a thread that calls", play: device_and_caller, preemptions: 2, needs: &[] },
    Scene { name: "a thread sleeps for a time", play: timed, preemptions: 2, needs: &[] },
    Scene {
        name: "a timer fires while its thread is out",
        play: timer_outside,
        preemptions: 3,
        needs: &[Step::EnsureDeadlineOwner, Step::LookAtDeadline],
    },
    Scene { name: "a signal ends a wait", play: interrupt, preemptions: 3, needs: &[Step::LookForInterrupt] },
    Scene {
        name: "one process waits for another",
        play: ping_between_processes,
        preemptions: 3,
        needs: &[Step::LookAfterFree],
    },
    Scene { name: "a device, and two processes", play: device_between_processes, preemptions: 2, needs: &[] },
    Scene {
        name: "a process dies in the kernel",
        play: death_inside,
        preemptions: 3,
        needs: &[Step::LookForDeath],
    },
    Scene {
        name: "a process dies between taking the CPU and entering",
        play: death_at_the_door,
        preemptions: 3,
        needs: &[Step::LookForDeath],
    },
    Scene {
        name: "a process dies that the CPU was handed to",
        play: death_of_the_handed,
        preemptions: 3,
        needs: &[Step::LookForDeath],
    },
    Scene {
        name: "a process dies that has handed the CPU on",
        play: death_of_the_hander,
        preemptions: 2,
        needs: &[Step::TakeWord],
    },
];

fn two_callers() {
    let machine = Machine::new();
    let other = Arc::clone(&machine);
    let thread = spawn(move || other.request(NOTHING));
    machine.request(NOTHING);
    thread.join().unwrap();
}

fn device() {
    let machine = Machine::new();
    let other = Arc::clone(&machine);
    let thread = spawn(move || other.cpu().raise_irq(DEVICE));
    machine.request(FOR_DEVICE);
    thread.join().unwrap();
}

fn ping() {
    let machine = Machine::new();
    let other = Arc::clone(&machine);
    let thread = spawn(move || other.request(POST));
    machine.request(FOR_POST);
    thread.join().unwrap();
}

fn device_and_caller() {
    let machine = Machine::new();
    let (ringer, caller) = (Arc::clone(&machine), Arc::clone(&machine));
    let threads = [spawn(move || ringer.cpu().raise_irq(DEVICE)), spawn(move || caller.request(NOTHING))];
    machine.request(FOR_DEVICE);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The clock's thread, until the timer has fired.
fn clock(machine: &Machine) {
    while !machine.fired.load(SeqCst) {
        machine.cpu().tick();
        yield_now();
    }
}

fn timed() {
    let machine = Machine::new();
    machine.request(FOR_TIMER);
}

fn timer_outside() {
    let machine = Machine::new();
    let other = Arc::clone(&machine);
    let thread = spawn(move || clock(&other));
    machine.request(START_TIMER);
    thread.join().unwrap();
}

fn ping_between_processes() {
    let machine = Machine::new();
    let other = Arc::clone(&machine);
    let thread = spawn(move || other.request_of(SECOND, POST));
    machine.request(FOR_POST);
    thread.join().unwrap();
}

fn device_between_processes() {
    let machine = Machine::new();
    let (ringer, caller) = (Arc::clone(&machine), Arc::clone(&machine));
    let threads = [
        spawn(move || ringer.cpu_of(SECOND).raise_irq(DEVICE)),
        spawn(move || caller.request_of(SECOND, NOTHING)),
    ];
    machine.request(FOR_DEVICE);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn die(machine: &Machine, number: u32) {
    machine.died[number as usize].store(true, SeqCst);
}

/// The thread of a process that is killed takes no more steps: here it ends, with the CPU in its hands.
fn death_inside() {
    let machine = Machine::shared();
    let other = Arc::clone(&machine);
    let thread = spawn(move || {
        if other.cpu_of(SECOND).try_take() {
            other.words.cpu.store(SECOND | ENTERED, Relaxed);
        }
        die(&other, SECOND);
    });
    machine.request(NOTHING);
    thread.join().unwrap();
}

/// Nothing has happened yet, so the kernel is as it was: a device that rang is not forgotten.
fn death_at_the_door() {
    let machine = Machine::shared();
    let other = Arc::clone(&machine);
    let thread = spawn(move || {
        let _ = other.cpu_of(SECOND).try_take();
        other.words.pending.fetch_or(DEVICE, SeqCst);
        die(&other, SECOND);
    });
    machine.request(FOR_DEVICE);
    thread.join().unwrap();
    assert!(machine.is_alive());
}

/// Its thread sleeps in a call when it is killed, and the CPU is handed to it before or after that.
fn death_of_the_handed() {
    let machine = Machine::shared();
    let asleep = Arc::new(waiter_of(SECOND, NOTHING));
    machine.leave_asleep(&asleep);
    let (other, same) = (Arc::clone(&machine), Arc::clone(&asleep));
    let thread = spawn(move || {
        die(&other, SECOND);
        drop(same);
    });
    machine.request(NOTHING);
    machine.request(NOTHING);
    thread.join().unwrap();
    assert!(machine.is_alive());
}

/// The CPU goes from the second process to the first, while a thread of a third looks once whether the holder lives.
fn death_of_the_hander() {
    let machine = Machine::shared();
    let (hander, looker) = (Arc::clone(&machine), Arc::clone(&machine));
    let threads = [
        spawn(move || {
            hander.request_of(SECOND, POST);
            die(&hander, SECOND);
        }),
        spawn(move || {
            let w = waiter_of(THIRD, NOTHING);
            if let Some(begin) = looker.cpu_of(THIRD).inherit() {
                looker.cpu_of(THIRD).drive(&w, begin);
            }
        }),
    ];
    machine.request(FOR_POST);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(machine.is_alive());
}

/// The handler runs on the thread that waits; here it is another thread, and the end of the sleep, which is a signal's own
/// doing, a wake-up.
fn interrupt() {
    let machine = Machine::new();
    let w = Arc::new(waiter(FOR_DEVICE));
    let (other, same) = (Arc::clone(&machine), Arc::clone(&w));
    let thread = spawn(move || {
        let cpu = other.cpu();
        cpu.interrupt_wait(&same, Interruption::BySignal);
        cpu.env.wake(&raw const same.state);
    });
    machine.serve(&w);
    thread.join().unwrap();
}
