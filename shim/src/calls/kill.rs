// SPDX-License-Identifier: GPL-2.0-only
//! kill(2) and its family, with SIGKILL: the host sends the signal. A SIGKILL that meets a process of the instance inside the kernel would
//! stop the kernel for all processes (docs/design/members.md). So where a process of the instance sends it, nobody is inside
//! meanwhile.

use crate::instance::enter::enter_kernel;
use crate::instance::keeper;
use crate::sys::call::Call;
use crate::sys::errno::Result;
use crate::sys::host;
use crate::sys::kernel::running;
use lkl::sys::process::has_ended;

/// kill(2)
pub fn kill(c: &Call<'_>) -> Result {
    send(c, &|| targets_have_ended(c.args[0] as i32))
}

/// tkill(2)
pub fn tkill(c: &Call<'_>) -> Result {
    send(c, &|| !host::is_there(c.args[0] as i32, false))
}

/// tgkill(2)
pub fn tgkill(c: &Call<'_>) -> Result {
    send(c, &|| has_ended(c.args[0] as u32))
}

/// rt_sigqueueinfo(2)
pub fn rt_sigqueueinfo(c: &Call<'_>) -> Result {
    send(c, &|| has_ended(c.args[0] as u32))
}

/// pidfd_send_signal(2)
pub fn pidfd_send_signal(c: &Call<'_>) -> Result {
    send(c, &|| lkl::sys::process::is_over(c.args[0] as i32))
}

/// Makes the call, which sends SIGKILL. `is_over`: whether the processes that the signal was sent to are no more.
fn send(c: &Call<'_>, is_over: &dyn Fn() -> bool) -> Result {
    let Some(kernel) = running() else { return c.to_host() };
    keeper::ensure(kernel);
    if !kernel.may_have_others() {
        return c.to_host();
    }
    enter_kernel(|context| context.kernel().kill_outside(|| c.to_host(), is_over))
}

/// Whether no process of the instance is left among the targets of kill(2).
fn targets_have_ended(target: i32) -> bool {
    match target {
        1.. => has_ended(target as u32),
        -1 => !any_member(|_| true),
        0 => in_group_have_ended(host::group_of(0)),
        group => in_group_have_ended(Some(group.unsigned_abs())),
    }
}

fn in_group_have_ended(group: Option<u32>) -> bool {
    !any_member(|pid| host::group_of(pid) == group)
}

fn any_member(is_target: impl Fn(u32) -> bool) -> bool {
    let own = host::pid() as u32;
    running().is_some_and(|kernel| kernel.any_process(|pid| pid != own && is_target(pid)))
}
