// SPDX-License-Identifier: GPL-2.0-only
//! The exports of a server: the image, its partitions, and who has them. As with an image that is a plain file: one
//! client at a time has a disk (or a partition of it) that is written, any number one that is only read. While nobody has
//! the image, the image is closed and unlocked.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::image::{Image, OpenError, Source};

/// Who has the image may be on its way out: the one before in a script, the left side of a pipeline.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

pub struct Exports {
    source: Source,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    image: Option<Arc<Image>>,
    claims: Vec<Held>,
    next: u64,
    /// The image stays open while nobody has it.
    pinned: bool,
}

struct Held {
    id: u64,
    part: String,
    pid: Option<u32>,
}

/// The right to use the image; dropping it gives it back.
pub struct Claim {
    exports: Arc<Exports>,
    id: u64,
    image: Option<Arc<Image>>,
}

impl Exports {
    pub fn new(source: Source) -> Exports {
        Exports { source, state: Mutex::default(), freed: Condvar::new() }
    }

    pub fn read_only(&self) -> bool {
        self.source.read_only
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the image for as long as this lives.
    pub fn pin(&self) -> Result<(), OpenError> {
        let image = self.open()?;
        let mut state = self.state();
        (state.image, state.pinned) = (Some(image), true);
        Ok(())
    }

    /// Closes a pinned image. `Err`: not all of it could be written.
    pub fn close(&self) -> std::io::Result<()> {
        let mut state = self.state();
        match state.image.take() {
            Some(image) if !self.source.read_only => image.flush(),
            _ => Ok(()),
        }
    }

    /// Whether the image could be opened, but for others that use it now.
    pub fn try_out(&self) -> Result<(), OpenError> {
        match (Source { read_only: true, ..self.source.clone() }).open() {
            Ok(_) | Err(OpenError::Busy(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes the disk, or (for who writes) a partition of it: no two have the same.
    pub fn claim(self: &Arc<Self>, part: &str, pid: Option<u32>) -> Result<Claim, OpenError> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        while let Some(other) = state.claims.iter().find(|held| !self.go_together(&held.part, part)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let who = other.pid.map_or("another process".into(), |pid| format!("pid {pid}"));
                return Err(OpenError::Busy(format!("in use by {who}")));
            }
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let image = match &state.image {
            Some(image) => Arc::clone(image),
            None => self.open()?,
        };
        state.image = Some(Arc::clone(&image));
        state.next += 1;
        let id = state.next;
        state.claims.push(Held { id, part: part.to_string(), pid });
        Ok(Claim { exports: Arc::clone(self), id, image: Some(image) })
    }

    fn go_together(&self, one: &str, other: &str) -> bool {
        self.source.read_only || !(one == other || one.is_empty() || other.is_empty())
    }

    fn open(&self) -> Result<Arc<Image>, OpenError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.source.open() {
                Err(OpenError::Busy(_)) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                done => return done.map(Arc::new),
            }
        }
    }
}

impl Claim {
    pub fn image(&self) -> &Image {
        self.image.as_deref().expect("a claim has its image until it is dropped")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.image = None;
        let mut state = self.exports.state();
        let id = self.id;
        state.claims.retain(|held| held.id != id);
        if state.claims.is_empty() && !state.pinned {
            // The last: it is written out and unlocked here, before anybody is told that it is free.
            state.image = None;
        }
        self.exports.freed.notify_all();
    }
}
