// SPDX-License-Identifier: GPL-2.0-only
//! The way into the kernel library: kernel sections.
//!
//! While a thread is in a section no handler of the application runs on that thread: `signals::deliver` notes a signal,
//! the kernel call is interrupted, and the handler runs here, on the way out. Then the call ends with EINTR or starts
//! again, as SA_RESTART says (signal(7)).
//!
//! A section may be run again from its start: a section that returns an error must leave nothing behind.
#![allow(unsafe_code)]

use core::sync::atomic::{compiler_fence, AtomicU8, Ordering};

use once_cell::sync::OnceCell;
use trampoline::gate::STOPPED;

use crate::instance::{boot, kick, limits, mounts};
use crate::signals::actions::interruption;
use crate::signals::cancel;
use crate::signals::deliver::deliver_noted;
use crate::sys::call::{self, Call};
use crate::sys::credentials::Credentials;
use crate::sys::errno::{from_raw, to_raw, Errno, Result};
use crate::sys::host::{Args, Ret};
use crate::sys::kernel::{self, park_forever_if_ending};
use crate::sys::report::Line;
use crate::sys::thread::{self, ServedBy, Thread};

/// What a section works with: the kernel, and the calling thread's task in it.
pub struct KernelContext {
    kernel: &'static lkl::Kernel,
    thread: &'static Thread,
}

impl KernelContext {
    /// Calls the kernel.
    pub fn call(&mut self, nr: i64, args: &Args) -> Result {
        from_raw(self.call_raw(nr, args, NO_NUMBER))
    }

    /// Makes a call that opens a descriptor, which is to become number `want`.
    pub fn call_at(&mut self, nr: i64, args: &Args, want: i32) -> Result {
        from_raw(self.call_raw(nr, args, want))
    }

    #[inline]
    fn call_raw(&mut self, nr: i64, args: &Args, want: i32) -> Ret {
        self.thread.in_call.store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let noted = self.thread.noted.sig.load(Ordering::Relaxed);
        if noted != 0 || cancel::is_stopped() {
            let by = if noted != 0 { interruption(noted as i32) } else { lkl::Interruption::BySignal };
            // The signal came before the call, which must not wait then.
            // SAFETY: called on the task's own thread.
            unsafe { self.kernel.interrupt(self.thread.task(), by) };
        }
        // SAFETY: the task is this thread's; wild pointers in the application's arguments the kernel answers with EFAULT.
        let r = unsafe { self.kernel.call(self.thread.task(), nr, args, want) };
        compiler_fence(Ordering::SeqCst);
        self.thread.in_call.store(0, Ordering::Relaxed);
        park_forever_if_ending();
        if r == EIO {
            self.kernel.take_unsaid(say_for_keeper);
        }
        r
    }

    /// What a child of fork needs to go on with this kernel. With `kernel::change` held until after the fork.
    pub fn new_member(&mut self) -> Result<lkl::NewMember> {
        // SAFETY: the task is this thread's.
        unsafe { self.kernel.new_member(self.thread.task()) }
    }

    /// The calling thread.
    pub fn thread(&self) -> &'static Thread {
        self.thread
    }

    /// The kernel itself.
    pub fn kernel(&self) -> &'static lkl::Kernel {
        self.kernel
    }

    /// Unmounts what is not in use. False: something is.
    pub fn unmount_idle(&mut self) -> bool {
        mounts::unmount_idle(self.kernel, self.thread)
    }

    /// The calling thread's task gets these credentials.
    pub fn set_credentials(&mut self, who: &Credentials) -> Result<()> {
        // SAFETY: the task is this thread's.
        unsafe { self.kernel.set_credentials(self.thread.task(), &who.for_kernel()) }
    }

    /// The kernel descriptor of a mount's root, mounted if need be.
    pub fn mount_root(&mut self, index: usize) -> Result<usize> {
        mounts::mount_root(self.kernel, self.thread, index).map(|root| root as usize)
    }
}

/// Says what the kernel said in the keeper.
fn say_for_keeper(text: &[u8]) {
    let text = text.strip_prefix(b"stowaway: ").unwrap_or(text);
    Line::new().bytes(text.strip_suffix(b"\n").unwrap_or(text)).print();
}

/// A call that opens no descriptor.
const NO_NUMBER: i32 = -1;

/// The current directory is to be entered before the next call of the application (`lookup::cwd`).
pub const DUE_CWD: u8 = 1;
/// Files that were open over an exec are to be opened (`process::handoff`).
pub const DUE_FILES: u8 = 2;

/// The root directory is to be entered (`sys::root`).
pub const DUE_ROOT: u8 = 4;

/// What the kernel has to be told of the process before the next call.
static DUE: AtomicU8 = AtomicU8::new(0);
static RESUME: OnceCell<fn(&mut KernelContext) -> Result<()>> = OnceCell::new();

/// Says how the kernel is told what is due. Called by the constructor.
pub fn resume_by(work: fn(&mut KernelContext) -> Result<()>) {
    let _ = RESUME.set(work);
}

/// Whether any of `what` is due.
#[inline]
pub fn is_due(what: u8) -> bool {
    DUE.load(Ordering::Acquire) & what != 0
}

/// The kernel is to be told.
pub fn set_due(what: u8) {
    DUE.fetch_or(what, Ordering::AcqRel);
}

/// The kernel knows. Whether it was due.
pub fn clear_due(what: u8) -> bool {
    DUE.fetch_and(!what, Ordering::AcqRel) & what != 0
}

/// Runs `work` as a kernel section; boots the kernel if need be.
#[inline]
pub fn enter_kernel(mut work: impl FnMut(&mut KernelContext) -> Result) -> Result {
    from_raw(enter_raw(|context| to_raw(work(context))))
}

#[inline]
fn enter_raw(mut work: impl FnMut(&mut KernelContext) -> Ret) -> Ret {
    run(&mut |context: &mut KernelContext| match is_due(DUE_CWD | DUE_FILES | DUE_ROOT) {
        false => work(context),
        true => resume(context).map_or_else(|e| to_raw(Err(e)), |()| work(context)),
    })
}

#[cold]
fn resume(context: &mut KernelContext) -> Result<()> {
    RESUME.get().map_or(Ok(()), |resume| resume(context))
}

/// Runs `work` as a kernel section in which a current directory that was left stays left (`lookup::cwd`).
pub fn enter_kernel_without_cwd(mut work: impl FnMut(&mut KernelContext) -> Result) -> Result {
    from_raw(run(&mut |context: &mut KernelContext| to_raw(work(context))))
}

#[inline]
fn run(work: &mut impl FnMut(&mut KernelContext) -> Ret) -> Ret {
    let thread = match thread::current_or_new() {
        Ok(thread) => thread,
        Err(e) => return to_raw(Err(e)),
    };
    thread.replace_served(Some(ServedBy::Kernel));
    if thread.is_inside() {
        // A call of the section's own work came back through a hook; the outer part leaves the kernel.
        return attempt(thread, work);
    }
    loop {
        thread.inside.store(1, Ordering::Relaxed);
        kick::leave_user(thread);
        compiler_fence(Ordering::SeqCst);
        let result = attempt(thread, work);
        compiler_fence(Ordering::SeqCst);
        thread.inside.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        kick::enter_user(thread);
        let ran = deliver_noted(thread);
        match result {
            ERESTARTNOINTR => {}
            ERESTARTSYS if !ran.without_restart => {}
            ERESTARTNOHAND | ERESTART_RESTARTBLOCK if !ran.any => {}
            ERESTARTSYS | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => return to_raw(Err(Errno::EINTR)),
            EFBIG => {
                limits::signal_excess();
                return result;
            }
            _ => return result,
        }
        if cancel::is_stopped() {
            return STOPPED;
        }
    }
}

/// Restart codes that leave the kernel library raw (include/linux/errno.h): not for the application.
const ERESTARTSYS: Ret = -512;
const ERESTARTNOINTR: Ret = -513;
const ERESTARTNOHAND: Ret = -514;
const ERESTART_RESTARTBLOCK: Ret = -516;
const EIO: Ret = -(libc::EIO as Ret);
const EFBIG: Ret = -(libc::EFBIG as Ret);

/// What a wait in a section ends with that a signal, or what else ends waits, has ended: EINTR, if a handler runs.
pub fn ended_by_signal() -> Result {
    from_raw(ERESTARTNOHAND)
}

/// Whether a signal, or what else ends waits, ended the call: before or after it became an errno of the application's.
pub fn is_interrupted(r: Result) -> bool {
    let interrupted = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK];
    r == Err(Errno::EINTR) || r.is_err() && interrupted.contains(&to_raw(r))
}

fn attempt(thread: &'static Thread, work: &mut impl FnMut(&mut KernelContext) -> Ret) -> Ret {
    let kernel = boot::kernel(thread).and_then(|kernel| boot::adopt(kernel, thread).map(|()| kernel));
    match kernel {
        Ok(kernel) => work(&mut KernelContext { kernel, thread }),
        Err(e) => to_raw(Err(e)),
    }
}

/// A section that must not be left for signals and boots nothing: the end of a process or a thread.
pub fn final_entry(work: impl FnOnce(&'static Thread)) {
    let Ok(thread) = thread::current_or_new() else { return };
    thread.inside.fetch_add(1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    work(thread);
}

/// After a [`final_entry`] the process goes on all the same: an exec failed.
pub fn reopen_after_final_entry() {
    if let Some(thread) = thread::current() {
        thread.inside.store(0, Ordering::Relaxed);
        deliver_noted(thread);
    }
}

/// Ends the kernel: files closed, images synced and unmounted. Returns when that is done, whoever does it.
pub fn shut_down() {
    park_forever_if_ending();
    if kernel::is_up() {
        final_entry(boot::shut_down);
    }
}

/// The flags that a kernel's descriptor is open with. EBADF: the descriptor is O_PATH, and so is not open to most calls.
pub fn open_flags(number: usize) -> Result<i32> {
    let args = call::args([number, libc::F_GETFL as usize]);
    match enter_kernel(|context| context.call(libc::SYS_fcntl, &args))? as i32 {
        flags if flags & libc::O_PATH != 0 => Err(Errno::EBADF),
        flags => Ok(flags),
    }
}

/// What a call ends with on a kernel file that is not of the one kind that the call takes: `errno`, if the file is open to calls.
pub fn not_of_kind(number: usize, errno: Errno) -> Errno {
    open_flags(number).map_or_else(|e| e, |_| errno)
}

/// Forwards a call of the application to the kernel as it is.
#[inline]
pub fn forward(nr: usize, args: &Args) -> Ret {
    enter_raw(|context| context.call_raw(nr as i64, args, NO_NUMBER))
}

impl Call<'_> {
    /// Makes the call as it is, in the kernel.
    pub fn to_kernel(&self) -> Result {
        from_raw(forward(self.nr, &self.args))
    }
}
