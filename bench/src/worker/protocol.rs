// SPDX-License-Identifier: GPL-2.0-only
//! What the driver and a worker process say to each other: names in the environment, tasks, and answers.

use std::time::Duration;

use crate::rows::Op;
use crate::stats::tail::Tail;

/// Names a directory in the image to a worker that works on the host.
pub const TOUCH: &str = "STOWAWAY_BENCH_TOUCH";
/// Tells a worker to catch its calls itself.
pub const CATCH: &str = "STOWAWAY_BENCH_CATCH";
/// The task of a worker that boots the kernel library.
pub const BOOT: &str = "boot";
/// First argument of a worker process.
pub const VERB: &str = "worker";

/// Tells a worker to call the kernel library itself.
pub const DIRECT: &str = "STOWAWAY_BENCH_DIRECT";
/// Names an image to such a worker.
pub const IMAGE: &str = "STOWAWAY_BENCH_IMAGE";
/// Bytes of one piece of the stream.
pub const PIECE: usize = 64 << 10;
/// The task of a worker that repeats `op`. The loops about files parse it.
pub fn task(op: Op) -> String {
    match op {
        Op::Pread4k => "pread".into(),
        Op::Pwrite4k => "pwrite".into(),
        Op::OpenClose => "open-close".into(),
        Op::Stat => "stat".into(),
        Op::Fstat => "fstat".into(),
        Op::Fsync4k => "fsync".into(),
        Op::Random4k => "random".into(),
        Op::TwoPread => "pread-two".into(),
        Op::ReadPass(block) => format!("pass:{block}"),
        Op::Fork => "fork".into(),
        Op::ForkTrue => "fork-true".into(),
        Op::ForkCat => "fork-cat".into(),
        Op::NullSite => "null-site".into(),
        Op::AllowedSite => "allowed-site".into(),
        Op::PreadSite => "pread-site".into(),
        Op::HandlerSite => "handler-site".into(),
        Op::RefusedSite => "refused-site".into(),
    }
}

/// What a run of a loop found.
pub struct Answer {
    pub took: Duration,
    /// In place of the time of one round.
    pub value: Option<f64>,
    pub tail: Option<Tail>,
}

impl Answer {
    pub fn of(took: Duration) -> Answer {
        Answer { took, value: None, tail: None }
    }

    pub fn with_value(took: Duration, value: f64) -> Answer {
        Answer { took, value: Some(value), tail: None }
    }

    /// As the driver reads it.
    pub(super) fn line(&self) -> String {
        let tail = self.tail.iter().flat_map(|t| [t.p50, t.p99, t.p999, t.max]);
        let numbers: Vec<String> = self.value.into_iter().chain(tail).map(|n| n.to_string()).collect();
        format!("{} {}", self.took.as_nanos(), numbers.join(" ")).trim_end().to_string()
    }
}
