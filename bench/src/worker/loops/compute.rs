// SPDX-License-Identifier: GPL-2.0-only
//! Computing: a piece of work, and two threads side by side.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::machine::pin::pin;
use crate::worker::protocol::Answer;

/// Arithmetic that no compiler shortens.
pub fn work(rounds: u64) {
    let mut state = std::hint::black_box(1u64);
    for _ in 0..rounds {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    std::hint::black_box(state);
}

/// The throughput of two threads by that of one. Each says how long its own part took.
pub fn both(
    one: impl Fn() -> Result<Duration>,
    other: impl Fn() -> Result<Duration> + Sync,
) -> Result<Answer> {
    let start = Instant::now();
    pin(0)?;
    let alone = one()?.as_secs_f64();
    let gate = std::sync::Barrier::new(2);
    let together = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let pinned = pin(1);
            gate.wait();
            pinned.and_then(|()| other())
        });
        gate.wait();
        let mine = one();
        let theirs = other.join().map_err(|_| anyhow::anyhow!("the other thread panicked"))?;
        // The longer one: while it goes on alone it has the machine to itself, which flatters by little.
        Ok::<_, anyhow::Error>(mine?.max(theirs?).as_secs_f64())
    })?;
    Ok(Answer::with_value(start.elapsed(), 2.0 * alone / together))
}
