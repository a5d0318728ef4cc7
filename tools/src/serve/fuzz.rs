// SPDX-License-Identifier: GPL-2.0-only
//! The borders of the server, for the fuzzer: what it reads of images and of clients.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::exports::Exports;
use super::formats::{self, Made};
use super::handshake;
use super::header::{refusal, HEAD_BYTES};
use super::image::Source;
use crate::cli::Format;

/// Why a qcow2 image that begins with `bytes` is refused, if so.
pub fn qcow2_refusal(bytes: &[u8]) -> Option<String> {
    let mut head = [0; HEAD_BYTES];
    let len = bytes.len().min(HEAD_BYTES);
    head[..len].copy_from_slice(&bytes[..len]);
    refusal(&head)
}

/// Opens a qcow2 image for reading; its size, or what is wrong with it.
pub fn open_qcow2(path: &Path) -> Result<u64, String> {
    let source = Source { path: path.to_path_buf(), format: Format::Qcow2, read_only: true };
    // No other program is to be started by a random image.
    if formats::at(path).is_some_and(|made| matches!(made, Made::Qemu { .. })) {
        return Err("it is for qemu-nbd".into());
    }
    source.open().map(|image| image.bytes).map_err(|error| error.to_string())
}

/// Talks to a client that may have the plain image `path` for reading. Whether the client chose an export.
pub fn negotiate(stream: &mut UnixStream, path: &Path) -> io::Result<bool> {
    let source = Source { path: path.to_path_buf(), format: Format::Raw, read_only: true };
    let claim = handshake::negotiate(stream, &Arc::new(Exports::new(source)))?;
    Ok(claim.is_some())
}
