// SPDX-License-Identifier: GPL-2.0-only
//! Images that a server has: how they are written in a mount, and where the server is.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;

use crate::mount::Mount;
use crate::remote::schemes;

/// What a server's URI begins with.
const SCHEMES: [&[u8]; 2] = [b"nbd://", b"nbd+unix://"];

/// A URI at the beginning, whose colons need no backslash: it ends before the first `:/` after the scheme, where PATH
/// begins. What is left starts with that colon.
pub(crate) fn cut_uri(place: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut schemes = SCHEMES.into_iter().chain(schemes());
    let Some(scheme) = schemes.find(|scheme| place.starts_with(scheme)) else { return (None, place) };
    match place[scheme.len()..].windows(2).position(|pair| pair == b":/") {
        Some(at) => (Some(&place[..scheme.len() + at]), &place[scheme.len() + at..]),
        None => (None, place),
    }
}

impl Mount {
    /// Whether a server has what is mounted: there is no file to open.
    pub fn is_a_servers(&self) -> bool {
        self.address().is_some() || self.is_remote()
    }

    /// The URI that the image is named by, if it is (`nbd://`, `nbd+unix://`).
    pub fn uri(&self) -> Option<&[u8]> {
        let image = self.image.as_ref()?.as_os_str().as_bytes();
        SCHEMES.iter().any(|scheme| image.starts_with(scheme)).then_some(image)
    }

    /// The URI by which the image is reached, if a server has it. The export of a server that `stowaway run` started has
    /// the partition's number as its name: that is what a client claims of the disk.
    pub fn address(&self) -> Option<Cow<'_, [u8]>> {
        let Some(socket) = &self.socket else { return self.uri().map(Cow::Borrowed) };
        let mut uri = b"nbd+unix:///".to_vec();
        if let Some(number) = self.part.partition {
            uri.extend_from_slice(number.to_string().as_bytes());
        }
        uri.extend_from_slice(b"?socket=");
        for &byte in socket.as_os_str().as_bytes() {
            match byte {
                b'%' | b'?' | b'&' | b'#' | b' ' => uri.extend_from_slice(format!("%{byte:02x}").as_bytes()),
                _ => uri.push(byte),
            }
        }
        Some(Cow::Owned(uri))
    }
}
