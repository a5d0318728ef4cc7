// SPDX-License-Identifier: GPL-2.0-only
//! The connections of a server, each of which has a thread.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::exports::Exports;
use super::{handshake, requests};
use crate::sys;

/// A program that executes another has no connection for a moment. The image is free meanwhile.
const LINGER: Duration = Duration::from_millis(500);
/// For what is under way when the server is asked to end.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
const STACK_BYTES: usize = 512 << 10;

/// The connections, each of which has a thread.
pub(super) struct Server {
    exports: Arc<Exports>,
    streams: Mutex<HashMap<u64, UnixStream>>,
    /// A byte for each connection that has ended.
    ended: (UnixStream, UnixStream),
}

impl Server {
    pub(super) fn new(exports: Arc<Exports>) -> io::Result<Arc<Server>> {
        let ended = UnixStream::pair()?;
        ended.0.set_nonblocking(true)?;
        ended.1.set_nonblocking(true)?;
        Ok(Arc::new(Server { exports, streams: Mutex::default(), ended }))
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until a signal asks for the end, or until the owner has ended and nobody is connected.
    pub(super) fn run(
        self: &Arc<Self>,
        listener: &UnixListener,
        signals: Option<OwnedFd>,
        owner: Option<OwnedFd>,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let (mut owner, mut idle, mut number) = (owner, None, 0);
        let owned = owner.is_some();
        loop {
            let left = idle.map(|since: Instant| LINGER.saturating_sub(since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let other = owner.as_ref().or(signals.as_ref()).map_or(listener.as_fd(), AsFd::as_fd);
            let waited: [BorrowedFd; 3] = [listener.as_fd(), self.ended.0.as_fd(), other];
            let ready = sys::wait_readable(&waited, left.map(|left| left + Duration::from_millis(1)))?;
            if ready[0] {
                number += 1;
                self.accept(listener, number);
            }
            if ready[1] {
                let _ = (&self.ended.0).read(&mut [0; 64]);
            }
            match (ready[2], owner.is_some(), signals.is_some()) {
                (true, true, _) => owner = None,
                (true, false, true) => break,
                _ => {}
            }
            let nobody = owned && owner.is_none() && self.streams().is_empty();
            idle = nobody.then(|| idle.unwrap_or_else(Instant::now));
        }
        self.finish();
        Ok(())
    }

    fn accept(self: &Arc<Self>, listener: &UnixListener, number: u64) {
        let Ok((stream, _)) = listener.accept() else {
            // out of descriptors, or the client went: not to be tried without a pause
            return std::thread::sleep(Duration::from_millis(1));
        };
        let Ok(kept) = stream.set_nonblocking(false).and_then(|()| stream.try_clone()) else { return };
        self.streams().insert(number, kept);
        let server = Arc::clone(self);
        let work = move || {
            let gone = Gone { server: &server, number };
            server.converse(stream);
            drop(gone);
        };
        if std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).is_err() {
            self.streams().remove(&number);
        }
    }

    fn converse(&self, mut stream: UnixStream) {
        let Ok(Some(claim)) = handshake::negotiate(&mut stream, &self.exports) else { return };
        let _ = requests::serve(&mut stream, claim.image(), self.exports.read_only());
        // The client waits for the end of the stream, and the image is free by then.
        drop(claim);
    }

    /// Lets requests that are under way come to their end.
    fn finish(&self) {
        for stream in self.streams().values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let deadline = Instant::now() + LAST_REQUESTS;
        while !self.streams().is_empty() && Instant::now() < deadline {
            let _ = sys::wait_readable(&[self.ended.0.as_fd()], Some(Duration::from_millis(100)));
            let _ = (&self.ended.0).read(&mut [0; 64]);
        }
    }
}

/// Takes a connection off the list when its thread ends, however it does.
struct Gone<'a> {
    server: &'a Server,
    number: u64,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.server.streams().remove(&self.number) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = (&self.server.ended.1).write(&[0]);
    }
}
