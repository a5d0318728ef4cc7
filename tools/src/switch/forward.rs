// SPDX-License-Identifier: GPL-2.0-only
//! The thread of a member: reads its frames, and hands them on.
//!
//! Frames that follow each other and go to the same place are one run: what stands in the buffer is what is sent, lengths and all,
//! so a run costs one call.

use std::io;
use std::sync::Arc;

use super::frames::{is_group, next, Frame, Mac, Next, HEAD, MOST};
use super::member::{count, Member};
use super::Switch;

/// Room for several of the longest frames.
const BUFFER: usize = 4 * (HEAD + MOST);

/// Where frames go.
#[derive(Clone)]
enum To {
    One(Arc<Member>),
    /// To all but the member that they come from.
    All,
    /// Back to where they come from: nowhere.
    Nobody,
}

/// Frames that follow each other in the buffer.
struct Run {
    addresses: (Mac, Mac),
    to: To,
    start: usize,
    end: usize,
    frames: u64,
}

/// Serves a member until it has gone. `Some`: why this side ends it.
pub fn run(switch: &Switch, member: &Arc<Member>) -> Option<&'static str> {
    let (mut buffer, mut filled) = (vec![0; BUFFER], 0);
    loop {
        match member.read(&mut buffer[filled..]) {
            Ok(0) => return None,
            Ok(got) => {
                filled += got;
                let Some(done) = hand_on(switch, member, &buffer[..filled]) else {
                    return Some("sends no frames (QEMU's framing is expected)");
                };
                buffer.copy_within(done..filled, 0);
                filled -= done;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if member.wait().is_err() {
                    return None;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Hands on all whole frames of a buffer; how many bytes they are. `None`: what follows is no frame.
fn hand_on(switch: &Switch, member: &Arc<Member>, buffer: &[u8]) -> Option<usize> {
    let (mut at, mut under_way): (usize, Option<Run>) = (0, None);
    loop {
        let frame = match next(buffer, at) {
            Next::Frame(frame) => frame,
            other => {
                under_way.iter().for_each(|run| send(switch, member, buffer, run));
                return (other == Next::Part).then_some(at);
            }
        };
        at = frame.end;
        match frame.addresses {
            Some(addresses) => under_way = Some(add(switch, member, buffer, under_way, frame, addresses)),
            None => {
                under_way.take().iter().for_each(|run| send(switch, member, buffer, run));
                // A length of 0 is of no frame.
                count(&member.counts.bad, u64::from(frame.end > frame.start + HEAD));
            }
        }
    }
}

/// The frame as a part of the run under way, or of a new one: the other is sent then.
fn add(
    switch: &Switch,
    member: &Arc<Member>,
    buffer: &[u8],
    under_way: Option<Run>,
    frame: Frame,
    addresses: (Mac, Mac),
) -> Run {
    count(&member.counts.frames_in, 1);
    count(&member.counts.bytes_in, (frame.end - frame.start) as u64);
    match under_way {
        Some(mut run) if run.addresses == addresses && run.end == frame.start => {
            (run.end, run.frames) = (frame.end, run.frames + 1);
            run
        }
        other => {
            other.iter().for_each(|run| send(switch, member, buffer, run));
            switch.table.learn(addresses.1, member);
            let to = destination(switch, member, &addresses.0);
            Run { addresses, to, start: frame.start, end: frame.end, frames: 1 }
        }
    }
}

fn destination(switch: &Switch, from: &Arc<Member>, mac: &Mac) -> To {
    if is_group(mac) {
        return To::All;
    }
    match switch.table.find(mac) {
        Some(member) if Arc::ptr_eq(&member, from) => To::Nobody,
        Some(member) => To::One(member),
        None => To::All,
    }
}

fn send(switch: &Switch, from: &Arc<Member>, buffer: &[u8], run: &Run) {
    let bytes = &buffer[run.start..run.end];
    match &run.to {
        To::One(member) => member.send(bytes, run.frames),
        To::All => {
            let others: Vec<Arc<Member>> =
                switch.members().iter().filter(|other| !Arc::ptr_eq(other, from)).cloned().collect();
            others.iter().for_each(|other| other.send(bytes, run.frames));
        }
        To::Nobody => {}
    }
}
