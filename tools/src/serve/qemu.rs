// SPDX-License-Identifier: GPL-2.0-only
//! Images in formats that only QEMU reads: qemu-nbd serves the image to us, on a socket in a directory that only we may
//! enter. It ends when we disconnect, and has closed the image then.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Disk, OpenError};
use super::link::Link;
use super::room::Room;
use crate::fail::reason;

const PROGRAM: &str = "qemu-nbd";
/// Where it is looked for if there is no PATH.
const PLACES: &str = "/usr/bin:/usr/local/bin:/bin:/usr/sbin";
/// Until it listens. A large image may have a log to be replayed first.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// The program, if it is installed.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PLACES.into());
    let places = std::env::split_paths(&path).filter(|place| place.is_absolute());
    places.map(|place| place.join(PROGRAM)).find(|file| file.is_file())
}

/// What is said where it is not installed.
pub fn missing(format: &str) -> String {
    format!(
        "is a {format} image, which qemu-nbd reads: it is not installed (Debian package qemu-utils). \
         qemu-img convert -O raw makes a raw image of it"
    )
}

/// An image that qemu-nbd has.
pub struct Qemu {
    link: Mutex<Link>,
    child: Child,
    _room: Room,
}

impl Qemu {
    /// Starts qemu-nbd for the image at an absolute path.
    pub fn start(image: &Path, format: &'static str, read_only: bool) -> Result<Qemu, OpenError> {
        let program = program().ok_or_else(|| OpenError::Bad(missing(format)))?;
        let bad = |error: io::Error| OpenError::Bad(format!("{PROGRAM}: {}", reason(&error)));
        let room = Room::make().map_err(OpenError::Bad)?;
        let socket = room.socket();
        let mut command = Command::new(program);
        command.arg("--format").arg(format).arg("--socket").arg(&socket);
        command.args(if read_only { &["--read-only"][..] } else { &["--discard=unmap"] });
        command.arg(image).current_dir("/").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(bad)?;
        match connect(&mut child, &socket) {
            Ok(link) => {
                // What it says from now on nobody reads, and it must not wait for that.
                if let Some(mut pipe) = child.stderr.take() {
                    std::thread::spawn(move || io::copy(&mut pipe, &mut io::sink()));
                }
                Ok(Qemu { link: Mutex::new(link), child, _room: room })
            }
            Err(error) => {
                let _ = child.kill();
                let mut said = String::new();
                let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said));
                let _ = child.wait();
                Err(refusal(&said, &error))
            }
        }
    }

    pub fn bytes(&self) -> u64 {
        self.link().bytes
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects as soon as it listens.
fn connect(child: &mut Child, socket: &Path) -> io::Result<Link> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Link::negotiate(stream),
            Err(error) if child.try_wait()?.is_some() || Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// What it said when it would not.
fn refusal(said: &str, error: &io::Error) -> OpenError {
    let line = said.lines().find(|line| !line.is_empty()).map(|line| line.trim_start_matches("qemu-nbd: "));
    let why = match line {
        Some(line) => format!("{PROGRAM}: {line}"),
        None => format!("{PROGRAM}: {}", reason(error)),
    };
    // "Failed to get "write" lock", "Is another process using the image".
    if said.contains("\" lock") || said.contains("another process") {
        return OpenError::Busy(format!("in use by another process ({why})"));
    }
    OpenError::Bad(why)
}

impl Disk for Qemu {
    fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.link().read(to, at)
    }

    fn write(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.link().write(from, at)
    }

    fn flush(&self) -> io::Result<()> {
        self.link().flush()
    }

    fn trim(&self, at: u64, len: u64) -> io::Result<bool> {
        self.link().trim(at, len)
    }

    fn zero(&self, at: u64, len: u64, holes: bool) -> io::Result<bool> {
        self.link().zero(at, len, holes)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.link().disconnect();
        let _ = self.child.wait();
    }
}
