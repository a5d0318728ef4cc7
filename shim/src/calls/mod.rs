// SPDX-License-Identifier: GPL-2.0-only
//! The calls that need more than forwarding, by family. Each takes its [`Call`] and gives the result in
//! kernel ABI; the table says which call goes where.

use trampoline::Frame;

use crate::sys::host::{Args, Ret};

pub mod descriptors;
pub mod links;
pub mod memory;
pub mod paths;
pub mod process;
pub mod sockets;
pub mod transfer;
pub mod xattrs;

/// One call of the application.
pub struct Call<'a> {
    /// x86-64 number.
    pub nr: usize,
    /// As in the registers.
    pub args: Args,
    /// All registers, where the call came through the trampoline and not through a libc hook.
    pub frame: Option<&'a Frame>,
}

impl Call<'_> {
    /// The call as it is, to the host.
    pub fn to_host(&self) -> Ret {
        crate::sys::host::forward(self.nr, &self.args)
    }

    /// The call as it is, to the kernel.
    pub fn to_kernel(&self) -> Ret {
        crate::instance::enter::forward(self.nr, &self.args)
    }
}
