// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway serve`: an NBD server that has an image in a format of QEMU's (qcow2), which the kernel in a program cannot read.
//! `serve IMAGE --socket PATH` has it until it is asked to end; `stowaway run` starts one for each such image that is
//! mounted (`owner`), which lives as long as somebody could need it.
//!
//! Floors, from the lowest: lock, extent, header, formats, room, numbers, link, disk, packed, qemu, image, exports, requests, handshake, fuzz, server,
//! owner.

mod disk;
mod exports;
mod extent;
mod formats;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod header;
mod image;
mod link;
mod lock;
mod numbers;
pub mod owner;
mod packed;
mod qemu;
mod requests;
mod room;
mod server;

use std::io;
use std::sync::Arc;

use stowaway_config::Mount;

use crate::cli::ServeOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::image_file;
use crate::listener::listen;
use crate::sys;
use exports::Exports;
use image::Source;
use server::Server;

/// Says early what the first call under the mount would say later.
pub fn check(mount: &Mount) -> Result<(), Failure> {
    image_file::check(mount, formats::is_only_read)
}

/// Serves the image until the end.
pub fn serve(options: &ServeOptions) -> Result<i32, Failure> {
    let failed = |why: String| Failure::new(EXIT_FAILED, format!("{}: {why}", options.image.display()));
    let system = |error: io::Error| failed(reason(&error));
    let path = std::path::absolute(&options.image).map_err(system)?;
    let exports =
        Arc::new(Exports::new(Source { path, format: options.format, read_only: options.read_only }));
    let signals = sys::end_signals().map_err(system)?;
    let Some(socket) = &options.socket else { return owner::serve_owned(exports, signals) };
    exports.pin().map_err(|why| failed(why.to_string()))?;
    let listener = listen(socket)
        .map_err(|error| Failure::new(EXIT_FAILED, format!("{}: {}", socket.display(), reason(&error))))?;
    let ended = Server::new(Arc::clone(&exports))
        .and_then(|server| server.run(listener.socket(), Some(signals), None));
    drop(listener);
    ended.map_err(system)?;
    exports.close().map_err(|error| failed(format!("writing failed: {}; data was lost", reason(&error))))?;
    Ok(0)
}
