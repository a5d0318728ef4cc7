// SPDX-License-Identifier: GPL-2.0-only
//! NBD: a server that says anything to the kernel library, a client that says anything to `stowaway serve`, and addresses.
//!
//! # Safety
//! The host calls of [`without_sockets`] are the library's own, handed on unchanged.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Mutex, Once, OnceLock};

use lkl::{Disk, DiskError};
use stowaway_tools::serve::fuzz;

use crate::target::Target;

const NBDMAGIC: &[u8] = b"NBDMAGIC";
const IHAVEOPT: &[u8] = b"IHAVEOPT";
const REPLY: &[u8] = b"\x00\x03\xe8\x89\x04\x55\x65\xa9";

/// What a server says to the library.
pub const HANDSHAKE: Target = Target {
    name: "nbd_handshake",
    seeds: server_says,
    words: &[NBDMAGIC, IHAVEOPT, REPLY],
    most: 16 << 10,
    read: connect,
};

/// What a client says to `stowaway serve`.
pub const SERVER: Target = Target {
    name: "nbd_server",
    seeds: client_says,
    words: &[IHAVEOPT, b"\0\0\0\x01", b"\0\0\0\x03", b"\0\0\0\x06", b"\0\0\0\x07"],
    most: 16 << 10,
    read: serve,
};

/// Addresses.
pub const URI: Target = Target {
    name: "nbd_uri",
    seeds: uris,
    words: &[b"nbd://", b"nbd+unix://", b"?socket=", b"&timeout=", b"%2f", b"%00", b"localhost", b"[::1]"],
    most: 1024,
    read: parse,
};

/// A greeting, and the answers to NBD_OPT_GO: one that grants, one that refuses, one of the old way.
fn server_says() -> Vec<Vec<u8>> {
    let greeting = [NBDMAGIC, IHAVEOPT, b"\0\x03"].concat();
    let reply = |option: u32, kind: u32, data: &[u8]| {
        let numbers = [option, kind, data.len() as u32].map(u32::to_be_bytes).concat();
        [REPLY, &numbers, data].concat()
    };
    let export = [&[0, 0][..], &(8u64 << 20).to_be_bytes(), &[0x01, 0x2d]].concat();
    let block = [&[0, 3][..], &[1u32, 4096, 32 << 20].map(u32::to_be_bytes).concat()].concat();
    let granted = [reply(7, 3, &export), reply(7, 3, &block), reply(7, 1, b"")].concat();
    vec![
        [&greeting[..], &granted].concat(),
        [&greeting[..], &reply(7, 1 << 31 | 6, b"no such export")].concat(),
        [&greeting[..], &reply(7, 1 << 31 | 1, b""), &export[2..], &[0; 124]].concat(),
    ]
}

/// NBD_OPT_LIST, NBD_OPT_INFO and NBD_OPT_GO; NBD_OPT_EXPORT_NAME; NBD_OPT_ABORT.
fn client_says() -> Vec<Vec<u8>> {
    let option = |number: u32, data: &[u8]| {
        [IHAVEOPT, &number.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat()
    };
    let go = b"\0\0\0\x011\0\x01\0\x03";
    vec![
        [&3u32.to_be_bytes()[..], &option(3, b""), &option(6, go), &option(7, go)].concat(),
        [&1u32.to_be_bytes()[..], &option(1, b"2")].concat(),
        [&3u32.to_be_bytes()[..], &option(7, b"\0\0\0\0\0\0")].concat(),
        [&3u32.to_be_bytes()[..], &option(2, b"")].concat(),
    ]
}

fn uris() -> Vec<Vec<u8>> {
    let uris = [
        "nbd://localhost/disk",
        "nbd://127.0.0.1:10809",
        "nbd://[::1]:1234/a%20b?timeout=5",
        "nbd+unix:///1?socket=/run/nbd.sock",
        "nbd+unix:///?socket=/tmp/s%3f&timeout=86400",
    ];
    uris.iter().map(|uri| uri.as_bytes().to_vec()).collect()
}

/// A server in a thread that says to each client what it is told.
struct Server {
    uri: String,
    says: Sender<Vec<u8>>,
}

fn server() -> &'static Mutex<Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("nbd.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        // The name goes with the directory; the descriptor leads to the socket as long as the process lives.
        let name = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path).expect("its name");
        let fd = name.into_raw_fd();
        let (says, told) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            for text in told {
                let Ok((mut client, _)) = listener.accept() else { return };
                // The client may have gone: that is its right.
                let _ = client.write_all(&text).and_then(|()| client.shutdown(Shutdown::Write));
                let _ = client.read_to_end(&mut Vec::new());
            }
        });
        Mutex::new(Server { uri: format!("nbd+unix:///?socket=/proc/self/fd/{fd}"), says })
    })
}

fn connect(input: &[u8]) {
    // Any error is an answer, but for one about the address.
    if let Err(DiskError::Address(why)) = size(input) {
        panic!("the address of the test {why}");
    }
}

/// The size of the disk of a server that says `input`.
fn size(input: &[u8]) -> Result<u64, DiskError> {
    let server = server().lock().expect("the server");
    server.says.send(input.to_vec()).expect("its thread");
    let disk = Disk::connect(server.uri.as_bytes(), true, 3, lkl::sys::time::monotonic_ns());
    let disk = disk.inspect_err(|error| assert!(!error.to_string().is_empty()))?;
    let bytes = disk.bytes();
    disk.close();
    Ok(bytes)
}

fn serve(input: &[u8]) {
    talk(input);
}

/// Whether a client that says `input` gets an export.
fn talk(input: &[u8]) -> bool {
    static IMAGE: OnceLock<tempfile::NamedTempFile> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 20).expect("its size");
        file
    });
    let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
    let text = input.to_vec();
    let client = std::thread::spawn(move || {
        let _ = theirs.write_all(&text).and_then(|()| theirs.shutdown(Shutdown::Write));
        let _ = theirs.read_to_end(&mut Vec::new());
    });
    // Any error is an end of the connection.
    let chosen = fuzz::negotiate(&mut ours, image.path()).unwrap_or(false);
    drop(ours);
    client.join().expect("the client");
    chosen
}

thread_local! {
    /// The calling thread gets no socket.
    static REFUSES: Cell<bool> = const { Cell::new(false) };
}

/// The gate of the library while addresses are read: a socket is refused where the thread says so, everything else is
/// handed on.
unsafe extern "C" fn without_sockets(
    nr: i64,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    if nr == libc::SYS_socket && REFUSES.get() {
        return -libc::EAFNOSUPPORT as isize;
    }
    // SAFETY: the caller answers for the call.
    match unsafe { libc::syscall(nr, a, b, c, d, e, f) } {
        -1 => -(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) as isize),
        result => result as isize,
    }
}

/// Connects as far as the address leads without a socket.
fn connect_without_sockets(address: &[u8]) -> Result<Disk, DiskError> {
    static GATE: Once = Once::new();
    GATE.call_once(|| lkl::sys::set_gate(without_sockets));
    REFUSES.set(true);
    let connected = Disk::connect(address, true, 3, lkl::sys::time::monotonic_ns());
    REFUSES.set(false);
    connected
}

/// No input may reach a machine.
fn parse(input: &[u8]) {
    match connect_without_sockets(input) {
        Ok(_) => panic!("connected without a socket"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_negotiations() {
        let sizes: Vec<_> = server_says().iter().map(|text| size(text).ok()).collect();
        assert_eq!(sizes, [Some(8 << 20), None, None]);
        let chosen: Vec<_> = client_says().iter().map(|text| talk(text)).collect();
        assert_eq!(chosen, [true, true, true, false]);
    }

    #[test]
    fn the_seeds_are_addresses() {
        for uri in uris() {
            let error = connect_without_sockets(&uri).map(|_| ()).expect_err("no socket");
            assert!(matches!(error, DiskError::Io(_)), "{}: {error}", String::from_utf8_lossy(&uri));
        }
    }
}
