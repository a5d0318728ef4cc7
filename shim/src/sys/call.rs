// SPDX-License-Identifier: GPL-2.0-only
//! One call of the application, as the handlers of `calls` get it.

use trampoline::Frame;

use crate::sys::errno::{from_raw, Result};
use crate::sys::forward::to_host;
use crate::sys::host::Args;

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
    /// Makes the call as it is, on the host.
    pub fn to_host(&self) -> Result {
        from_raw(to_host(self.nr, &self.args))
    }

    /// Makes the call on the host with other arguments.
    pub fn to_host_with(&self, args: &Args) -> Result {
        from_raw(to_host(self.nr, args))
    }
}

/// Makes another call on the host in the application's name.
pub fn host(nr: i64, args: &Args) -> Result {
    from_raw(to_host(nr as usize, args))
}

/// Arguments, of which those that are not given are zero.
pub fn args<const N: usize>(given: [usize; N]) -> Args {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&given);
    all
}
