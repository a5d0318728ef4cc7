// SPDX-License-Identifier: GPL-2.0-only
//! What perf recorded, as stacks with weights: time on a CPU by samples, time off it by context switches.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use linux_perf_data::linux_perf_event_reader::{
    ContextSwitchRecord, EventRecord, RawDataU64, RecordType, SampleRecord, TaskWasPreempted,
};
use linux_perf_data::{PerfFileReader, PerfFileRecord};

use super::parts::{part, Frame, Part, Room};
use super::symbols::Symbols;

/// In a callchain: whose addresses follow (include/uapi/linux/perf_event.h).
const CONTEXT_KERNEL: u64 = -128i64 as u64;
const CONTEXT_USER: u64 = -512i64 as u64;
const CONTEXT_FIRST: u64 = -4095i64 as u64;
const PROT_EXEC: u32 = libc::PROT_EXEC as u32;
/// As the event is asked for: see `record.rs`.
pub const SWITCHES: &str = "context-switches";

/// Time spent in one place.
#[derive(Debug)]
pub struct Stay {
    pub ns: u64,
    /// Off the CPU.
    pub waits: bool,
    pub part: Part,
    /// Innermost first.
    pub stack: Vec<Frame>,
    /// The name of its thread.
    pub thread: String,
}

/// Executable memory of a process.
#[derive(Debug, Clone)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    path: PathBuf,
}

/// A thread that has been switched away from.
struct Away {
    since: u64,
    part: Option<Part>,
    stack: Vec<Frame>,
}

#[derive(Default)]
struct Thread {
    name: String,
    /// The stack of the last context-switches event.
    last: Vec<Frame>,
    away: Option<Away>,
}

/// Everything of one perf.data.
pub struct Trace {
    library: PathBuf,
    /// The name of the program's file; what there was before it began is perf's own.
    program: OsString,
    begun: bool,
    symbols: Symbols,
    mappings: HashMap<i32, Vec<Mapping>>,
    threads: HashMap<i32, Thread>,
    pub stays: Vec<Stay>,
    /// Records that perf could not keep up with.
    pub lost: u64,
}

impl Trace {
    /// `library`: libstowaway.so; `program`: what was started.
    pub fn read(data: &Path, library: &Path, program: &Path) -> Result<Trace> {
        let mut trace = Trace {
            library: library.to_path_buf(),
            program: program.file_name().unwrap_or_default().to_os_string(),
            begun: false,
            symbols: Symbols::new(),
            mappings: HashMap::new(),
            threads: HashMap::new(),
            stays: Vec::new(),
            lost: 0,
        };
        let PerfFileReader { mut perf_file, mut record_iter } =
            PerfFileReader::parse_file(BufReader::new(File::open(data)?))?;
        let names = perf_file.event_attributes().iter();
        let switches: Vec<bool> =
            names.map(|event| event.name().is_some_and(|name| name.starts_with(SWITCHES))).collect();
        while let Some(record) = record_iter.next_record(&mut perf_file)? {
            let PerfFileRecord::EventRecord { attr_index, record } = record else { continue };
            let common = record.common_data()?;
            let (tid, time) = (common.tid.unwrap_or(0), common.timestamp.unwrap_or(0));
            if record.record_type == RecordType::LOST_SAMPLES {
                trace.lost += 1;
            }
            match record.parse()? {
                EventRecord::Sample(sample) => {
                    trace.sample(&sample, switches.get(attr_index) == Some(&true));
                }
                EventRecord::ContextSwitch(ContextSwitchRecord::Out { preempted, .. }) => {
                    trace.out(tid, time, preempted == TaskWasPreempted::Yes);
                }
                EventRecord::ContextSwitch(ContextSwitchRecord::In { .. }) => trace.back(tid, time),
                EventRecord::Lost(lost) => trace.lost += lost.count,
                other => trace.process(other),
            }
        }
        Ok(trace)
    }

    /// Processes come, go and map.
    fn process(&mut self, record: EventRecord) {
        match record {
            EventRecord::Mmap2(map) if map.protection & PROT_EXEC != 0 && map.pid >= 0 => {
                let path = PathBuf::from(std::ffi::OsStr::from_bytes(&map.path.as_slice()));
                let (start, end) = (map.address, map.address + map.length);
                let mappings = self.mappings.entry(map.pid).or_default();
                mappings.retain(|old| old.end <= start || old.start >= end);
                mappings.push(Mapping { start, end, offset: map.page_offset, path });
            }
            EventRecord::Fork(fork) if fork.pid != fork.ppid => {
                let inherited = self.mappings.get(&fork.ppid).cloned().unwrap_or_default();
                self.mappings.insert(fork.pid, inherited);
            }
            EventRecord::Comm(comm) => {
                if comm.is_execve {
                    self.mappings.remove(&comm.pid);
                }
                let name = String::from_utf8_lossy(&comm.name.as_slice()).into_owned();
                // The name of a thread is cut to 15 bytes.
                if !self.begun && comm.is_execve && self.program.to_string_lossy().starts_with(&name) {
                    self.begun = true;
                    self.stays.clear();
                }
                self.threads.entry(comm.tid).or_default().name = name;
            }
            _ => {}
        }
    }

    fn sample(&mut self, sample: &SampleRecord, is_switch: bool) {
        let (Some(pid), Some(tid)) = (sample.pid, sample.tid) else { return };
        let stack = sample.callchain.map(|chain| self.stack(pid, &chain)).unwrap_or_default();
        let thread = self.threads.entry(tid).or_default();
        if is_switch {
            thread.last = stack;
            return;
        }
        let part = part(&stack, is_library_thread(&thread.name));
        let (ns, thread) = (sample.period.unwrap_or(0), thread.name.clone());
        self.stays.push(Stay { ns, waits: false, part, stack, thread });
    }

    fn out(&mut self, tid: i32, time: u64, preempted: bool) {
        let thread = self.threads.entry(tid).or_default();
        let stack = std::mem::take(&mut thread.last);
        let part = preempted.then_some(Part::Preempted);
        thread.away = Some(Away { since: time, part, stack });
    }

    fn back(&mut self, tid: i32, time: u64) {
        let thread = self.threads.entry(tid).or_default();
        let Some(away) = thread.away.take() else { return };
        // The library's own threads wait for work.
        if is_library_thread(&thread.name) {
            return;
        }
        let part = away.part.unwrap_or_else(|| part(&away.stack, false));
        let (ns, thread) = (time.saturating_sub(away.since), thread.name.clone());
        self.stays.push(Stay { ns, waits: true, part, stack: away.stack, thread });
    }

    fn stack(&mut self, pid: i32, chain: &RawDataU64) -> Vec<Frame> {
        let (mut frames, mut host, mut innermost) = (Vec::new(), false, true);
        for at in (0..chain.len()).filter_map(|i| chain.get(i)) {
            match at {
                CONTEXT_KERNEL => (host, innermost) = (true, true),
                CONTEXT_USER => (host, innermost) = (false, true),
                CONTEXT_FIRST.. => {}
                at => {
                    // A return address may be that of the next function.
                    let look = if innermost { at } else { at.saturating_sub(1) };
                    innermost = false;
                    match self.frame(pid, look, host) {
                        Some(frame) => frames.push(frame),
                        // Beyond the last function that keeps a frame pointer there is nothing to be had.
                        None => break,
                    }
                }
            }
        }
        frames
    }

    /// None: no code is there.
    fn frame(&mut self, pid: i32, at: u64, host: bool) -> Option<Frame> {
        if host {
            let name = self.symbols.host(at).unwrap_or("[host]").to_string();
            return Some(Frame { room: Room::Host, name });
        }
        if let Some(name) = self.symbols.library(pid, at) {
            return Some(Frame { room: Room::Kernel, name: name.to_string() });
        }
        let mappings = self.mappings.get(&pid)?;
        let mapping = mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&at))?.clone();
        let offset = at - mapping.start + mapping.offset;
        let shim = mapping.path.file_name() == self.library.file_name();
        if shim {
            if let Some(name) = self.symbols.embedded(&mapping.path, offset) {
                return Some(Frame { room: Room::Kernel, name: name.to_string() });
            }
        }
        let file = mapping.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.symbols.file(&mapping.path, offset).map_or(format!("[{file}]"), str::to_string);
        Some(Frame { room: if shim { Room::Shim } else { Room::Program }, name })
    }
}

fn is_library_thread(name: &str) -> bool {
    name.starts_with("stowaway-")
}
