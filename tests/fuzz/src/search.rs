// SPDX-License-Identifier: GPL-2.0-only
//! The loop: case after case, until one breaks the target or the time is over.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::mutate::mutate;
use crate::target::Target;

/// A target with its seeds, and the seed of a run.
pub struct Search<'a> {
    target: &'a Target,
    seeds: Vec<Vec<u8>>,
    seed: u64,
}

/// A case that broke the target.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its number.
    pub case: u64,
    /// What the panic said.
    pub why: String,
}

impl<'a> Search<'a> {
    /// Reads the target's seeds.
    pub fn new(target: &'a Target, seed: u64) -> Self {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}: this machine has no input to begin with", target.name);
        Search { target, seeds, seed }
    }

    /// The input of a case. The first cases are the seeds as they are.
    pub fn input(&self, case: u64) -> Vec<u8> {
        if let Some(seed) = self.seeds.get(case as usize) {
            return seed.clone();
        }
        let mut rng = Rng::with_seed(self.seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut pick = || &self.seeds[rng.usize(..self.seeds.len())];
        let (mut input, other) = (pick().clone(), pick());
        mutate(&mut rng, &mut input, other, self.target.words, self.target.most);
        input
    }

    /// Runs cases for `time`, and the seeds in any case; how many. `begin` is told the number of each.
    pub fn run(&self, time: Duration, mut begin: impl FnMut(u64)) -> Result<u64, Failure> {
        let end = Instant::now() + time;
        for case in 0.. {
            if case >= self.seeds.len() as u64 && Instant::now() >= end {
                return Ok(case);
            }
            begin(case);
            self.case(&self.input(case)).map_err(|why| Failure { case, why })?;
        }
        unreachable!("a run ends before its cases do")
    }

    /// Runs one input; what the panic says, if it breaks the target.
    pub fn case(&self, input: &[u8]) -> Result<(), String> {
        let read = self.target.read;
        catch_unwind(AssertUnwindSafe(|| read(input))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_string()
        })
    }
}
