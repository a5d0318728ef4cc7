// SPDX-License-Identifier: GPL-2.0-only
//! A program that is held while something happens to it.

use crate::process::{finish, kill_group, Outcome, Run, DEADLINE};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout};

/// A program that runs until it reads a line.
pub struct Held {
    /// The process.
    pub child: Child,
    out: BufReader<ChildStdout>,
}

impl Held {
    /// Starts it, and waits until it says `held`.
    pub fn start(run: &Run) -> Held {
        let mut child = run.clone().stdin(Vec::new()).spawn();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n");
        Held { child, out }
    }

    /// Lets it go on; what it prints then, and its errors.
    pub fn finish(mut self) -> (String, String) {
        self.child.stdin.take().expect("a pipe").write_all(b"go\n").expect("a reader");
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        let outcome = finish(self.child, DEADLINE);
        outcome.expect_exit(0);
        (line, outcome.err())
    }

    /// It reads the end of its input instead; all that it prints then.
    pub fn rest(mut self) -> Outcome {
        self.child.stdin.take();
        // It waits, and has printed no more than that line.
        self.child.stdout = Some(self.out.into_inner());
        finish(self.child, DEADLINE)
    }

    /// Kills it, and what it started.
    pub fn kill(mut self) {
        kill_group(&self.child);
        let _ = self.child.wait();
    }
}
