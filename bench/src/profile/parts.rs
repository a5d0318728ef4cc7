// SPDX-License-Identifier: GPL-2.0-only
//! What a stack's time counts as. The rules are data; the first that fits the innermost telling frame decides.

use serde::Serialize;

/// Whose code a frame is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Room {
    /// The program and its libraries.
    Program,
    /// libstowaway.so but for the kernel in it.
    Shim,
    /// The kernel in the process.
    Kernel,
    /// The host's.
    Host,
}

/// A function on a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    pub room: Room,
    pub name: String,
}

/// What time goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Application,
    Entry,
    Dispatch,
    Cpu,
    Kernel,
    HostIo,
    Completion,
    HostCall,
    Preempted,
    Start,
}

impl Part {
    pub const ALL: [Part; 10] = [
        Part::Application,
        Part::Entry,
        Part::Dispatch,
        Part::Cpu,
        Part::Kernel,
        Part::HostIo,
        Part::Completion,
        Part::HostCall,
        Part::Preempted,
        Part::Start,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Part::Application => "application",
            Part::Entry => "entry",
            Part::Dispatch => "dispatch",
            Part::Cpu => "waiting for the CPU",
            Part::Kernel => "kernel",
            Part::HostIo => "host I/O",
            Part::Completion => "completion",
            Part::HostCall => "host calls",
            Part::Preempted => "preempted",
            Part::Start => "start and end",
        }
    }

    /// In words, for the table.
    pub fn means(self) -> &'static str {
        match self {
            Part::Application => "the program's own code",
            Part::Entry => "hooks, rewritten sites, traps; the way into the kernel and out",
            Part::Dispatch => "whose call it is: descriptors, paths, sections",
            Part::Cpu => "until the virtual CPU is free, or what the call waits for has happened",
            Part::Kernel => "the kernel library, with the copying and the page faults in it",
            Part::HostIo => "the image's reads and writes, as the host does them",
            Part::Completion => "interrupts, timers, and the library's own threads",
            Part::HostCall => "calls of the program that the host serves",
            Part::Preempted => "runnable, but another program had the host's CPU",
            Part::Start => "loading, booting, mounting and unmounting",
        }
    }
}

struct Rule {
    room: Room,
    /// The name begins so.
    starts: &'static str,
    /// And has this in it.
    holds: &'static str,
    part: Part,
}

const fn shim(starts: &'static str, part: Part) -> Rule {
    Rule { room: Room::Shim, starts, holds: "", part }
}

const fn shim_with(starts: &'static str, holds: &'static str, part: Part) -> Rule {
    Rule { room: Room::Shim, starts, holds, part }
}

/// In order. Frames that no rule fits are asked for their caller.
const RULES: &[Rule] = &[
    shim("lkl::dev::block", Part::HostIo),
    shim("lkl::disk", Part::HostIo),
    shim("lkl::dev::irq", Part::Completion),
    shim("lkl::cpu::timer", Part::Completion),
    shim("lkl::kick", Part::Completion),
    shim_with("lkl::cpu", "raise_irq", Part::Completion),
    shim_with("lkl::cpu", "wait", Part::Cpu),
    shim_with("lkl::cpu", "sleep", Part::Cpu),
    shim_with("lkl::cpu", "poll", Part::Cpu),
    shim("lkl::cpu", Part::Entry),
    shim("stowaway_lkl_switch", Part::Entry),
    // What the kernel asks of us beside: time, random numbers, its log.
    shim("lkl::attach::ops", Part::Kernel),
    shim("lkl::attach", Part::Start),
    shim("lkl::instance", Part::Start),
    shim("stowaway::world::boot", Part::Start),
    shim("stowaway::load", Part::Start),
    shim("stowaway::start", Part::Start),
    shim("stowaway::hooks", Part::Entry),
    shim("stowaway::cancel", Part::Entry),
    shim("stowaway_entry", Part::Entry),
    shim("stowaway_resume", Part::Entry),
    shim("stowaway_sigsys", Part::Entry),
    shim("trampoline::rewrite", Part::Start),
    shim("trampoline", Part::Entry),
    shim("stowaway::", Part::Dispatch),
    // Without symbols.
    shim("[", Part::Dispatch),
    Rule { room: Room::Kernel, starts: "lkl_idle", holds: "", part: Part::Cpu },
    Rule { room: Room::Kernel, starts: "", holds: "", part: Part::Kernel },
];

/// The functions of the kernel and the shim that mean: this is no call, the instance comes or goes.
const STARTING: &[(Room, &str)] = &[
    (Room::Kernel, "start_kernel"),
    (Room::Kernel, "lkl_boot"),
    (Room::Kernel, "kernel_init"),
    (Room::Kernel, "lkl_shutdown"),
    (Room::Kernel, "anchor_mount"),
    (Room::Shim, "lkl::attach::boot"),
    (Room::Shim, "stowaway::start"),
    (Room::Shim, "stowaway::mounts"),
    (Room::Shim, "stowaway::life"),
];

/// What the time of a stack (innermost frame first) counts as; `library_thread`: it is a thread of the library's own.
pub fn part(stack: &[Frame], library_thread: bool) -> Part {
    if library_thread {
        return match telling(stack) {
            io @ (Part::HostIo | Part::Kernel) => io,
            _ => Part::Completion,
        };
    }
    let starts = |frame: &Frame| {
        STARTING.iter().any(|(room, name)| frame.room == *room && frame.name.starts_with(name))
    };
    if stack.iter().any(starts) {
        return Part::Start;
    }
    telling(stack)
}

/// By the innermost frame that tells.
fn telling(stack: &[Frame]) -> Part {
    let in_host = stack.first().is_some_and(|frame| frame.room == Room::Host);
    for frame in stack.iter().filter(|frame| frame.room != Room::Host && !is_gate(frame)) {
        // The gate itself keeps no frame: whoever called it from the kernel is what it called it for.
        if in_gate(stack) && frame.room == Room::Kernel && frame.name.starts_with("lkb") {
            return Part::HostIo;
        }
        if frame.room == Room::Program {
            return if in_host || in_gate(stack) { Part::HostCall } else { Part::Application };
        }
        let fits = |rule: &&Rule| {
            rule.room == frame.room && frame.name.starts_with(rule.starts) && frame.name.contains(rule.holds)
        };
        match RULES.iter().find(fits).map(|rule| rule.part) {
            // The host works on a call that the shim passed on.
            Some(Part::Dispatch | Part::Entry) if in_host && in_gate(stack) => return Part::HostCall,
            Some(part) => return part,
            None => {}
        }
    }
    if in_host {
        Part::HostCall
    } else {
        Part::Application
    }
}

/// The library's own `syscall` instruction.
fn is_gate(frame: &Frame) -> bool {
    frame.room == Room::Shim
        && (frame.name.starts_with("stowaway_gate") || frame.name.ends_with("plain_syscall"))
}

fn in_gate(stack: &[Frame]) -> bool {
    stack.iter().find(|frame| frame.room != Room::Host).is_some_and(is_gate)
}

/// The system call that the kernel library works on, by the name of its function.
pub fn call(stack: &[Frame]) -> Option<&str> {
    const PREFIXES: [&str; 3] = ["__x64_sys_", "__do_sys_", "__se_sys_"];
    let kernel = stack.iter().rev().filter(|frame| frame.room == Room::Kernel);
    let mut names = kernel.filter_map(|frame| {
        let name = frame.name.as_str();
        PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).or_else(|| {
            let plain = name.strip_prefix("sys_").or_else(|| name.strip_prefix("ksys_"))?;
            (!plain.is_empty()).then_some(plain)
        })
    });
    names.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &[(Room, &str)]) -> Vec<Frame> {
        frames.iter().map(|(room, name)| Frame { room: *room, name: (*name).into() }).collect()
    }

    #[test]
    fn the_innermost_telling_frame_decides() {
        use Room::{Host, Kernel, Program, Shim};
        let app = [(Shim, "stowaway::hooks::read"), (Program, "main")];
        let with = |more: &[(Room, &str)]| part(&stack(&[more, &app[..]].concat()), false);
        assert_eq!(part(&stack(&[(Program, "main")]), false), Part::Application);
        assert_eq!(part(&stack(&[(Host, "do_read"), (Program, "main")]), false), Part::HostCall);
        assert_eq!(with(&[]), Part::Entry);
        assert_eq!(with(&[(Shim, "stowaway::fd::class")]), Part::Dispatch);
        assert_eq!(with(&[(Kernel, "filemap_read"), (Kernel, "__x64_sys_read")]), Part::Kernel);
        assert_eq!(with(&[(Host, "exc_page_fault"), (Kernel, "copy_to_user")]), Part::Kernel);
        let io = [
            (Host, "vfs_read"),
            (Shim, "stowaway_gate"),
            (Shim, "lkl::dev::block::transfer::perform"),
            (Kernel, "submit_bio"),
        ];
        assert_eq!(with(&io), Part::HostIo);
        assert_eq!(with(&[io[0], io[1], (Kernel, "lkb_queue_rq"), io[3]]), Part::HostIo);
        let wait =
            [(Host, "futex_wait"), (Shim, "stowaway_gate"), (Shim, "lkl::cpu::protocol::Cpu<W>::wait")];
        assert_eq!(with(&wait), Part::Cpu);
        assert_eq!(with(&[(Host, "vfs_read"), (Shim, "stowaway_gate")]), Part::HostCall);
        assert_eq!(with(&[(Kernel, "ext4_fill_super"), (Shim, "stowaway::mounts::mount_root")]), Part::Start);
        assert_eq!(part(&stack(&[(Host, "futex"), (Shim, "lkl::cpu::timer::run")]), true), Part::Completion);
        assert_eq!(
            part(&stack(&[(Host, "vfs_read"), (Shim, "lkl::dev::block::workers::work")]), true),
            Part::HostIo
        );
    }

    #[test]
    fn calls_have_names() {
        let read = stack(&[
            (Room::Kernel, "vfs_read"),
            (Room::Kernel, "__x64_sys_pread64"),
            (Room::Program, "main"),
        ]);
        assert_eq!(call(&read), Some("pread64"));
        assert_eq!(call(&stack(&[(Room::Program, "main")])), None);
    }
}
