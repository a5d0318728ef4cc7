// SPDX-License-Identifier: GPL-2.0-only
//! Who the program is told that it is, where the setting `as` says so: the ids, groups and capabilities of each thread,
//! which the host knows nothing of. They count for what the kernel library serves. For the host's files the host's own
//! rights count, whatever the program is told.
//!
//! A thread has them from its maker, as natively. What a process began with is in [`BEGAN`]; a thread that became
//! somebody else since has a page of its own, or shares that of its maker. The trampoline keeps the page's address
//! with the thread and hands the address on to a new one. A child of fork has its own copy of everything.
//!
//! # Safety
//! `unsafe` stands where the address that a thread keeps becomes a page. The page lives as long as a thread counts it.
#![allow(unsafe_code)]

mod capabilities;
mod ids;
#[cfg(test)]
mod tests;
mod text;

use core::sync::atomic::{AtomicUsize, Ordering};

use once_cell::sync::OnceCell;

use crate::sys::credentials::Credentials;
use crate::sys::errno::Result;
use crate::sys::mem::{self, Pages, PAGE};

pub use capabilities::{FileCapabilities, FileRights, Sets};
pub use ids::{Kind, EFFECTIVE, GROUPS_MAX, REAL};

/// The variable that tells the next program.
pub const ID: &[u8] = b"STOWAWAY_ID=";

/// Who a thread is told that it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Real, effective, saved, file system user id.
    pub uid: [u32; 4],
    /// Real, effective, saved, file system group id.
    pub gid: [u32; 4],
    groups: [u32; GROUPS_MAX],
    group_count: usize,
    inheritable: u64,
    /// The permitted set of capabilities: bit N is capability N.
    pub permitted: u64,
    /// The effective set.
    pub effective: u64,
    bounding: u64,
    ambient: u64,
    /// PR_GET_SECUREBITS
    pub securebits: u32,
}

impl Told {
    /// Somebody who just logged in: root has every capability, nobody else has one.
    pub fn new(uid: u32, gid: u32) -> Told {
        let all = if uid == 0 { capabilities::ALL } else { 0 };
        let mut groups = [0; GROUPS_MAX];
        groups[0] = gid;
        Told {
            uid: [uid; 4],
            gid: [gid; 4],
            groups,
            group_count: 1,
            inheritable: 0,
            permitted: all,
            effective: all,
            bounding: capabilities::ALL,
            ambient: 0,
            securebits: 0,
        }
    }
}

/// What a thread has a page of.
struct Counted {
    threads: AtomicUsize,
    told: Told,
}

const _: () = assert!(size_of::<Counted>() <= PAGE);

/// Who the process was told that it is when it began; empty: the host says who it is.
static BEGAN: OnceCell<Told> = OnceCell::new();

/// In the constructor: the setting's user and group, and what the program before the exec handed on. Whoever is this user
/// anyway is told nothing: then the host's calls say so, and change the real rights.
pub fn begin(uid: u32, gid: u32, handed_on: Option<&[u8]>) {
    if handed_on == Some(HOST) {
        return;
    }
    let told = handed_on.and_then(Told::read);
    let is_that = |who: Credentials| who.uid == [uid; 4] && who.gid == [gid; 4];
    if told.is_some() || !Credentials::now().is_ok_and(is_that) {
        let _ = BEGAN.set(told.unwrap_or_else(|| Told::new(uid, gid)));
    }
}

/// Whether the program is told who it is.
#[inline]
pub fn is_told() -> bool {
    BEGAN.get().is_some() && trampoline::is_installed()
}

/// Who the calling thread is told that it is. None: the host says so.
pub fn now() -> Option<Told> {
    let began = BEGAN.get().filter(|_| trampoline::is_installed())?;
    // SAFETY: the page is counted for this thread.
    Some(unsafe { page().as_ref() }.map_or(began, |page| &page.told).clone())
}

/// As [`now`], before anything is installed as well: what the process begins with.
pub fn at_start() -> Option<&'static Told> {
    BEGAN.get()
}

/// The calling thread is somebody else from now on. ENOMEM: the host has no memory.
pub fn become_one(told: Told) -> Result<()> {
    let page = mem::map(PAGE)? as *mut Counted;
    // SAFETY: a fresh page, which has room.
    unsafe { page.write(Counted { threads: AtomicUsize::new(1), told }) };
    leave(page);
    Ok(())
}

/// Counts the page for a thread that is about to be made; to be taken back if the thread does not come into being.
pub fn lend() {
    // SAFETY: the page is counted for this thread.
    if let Some(page) = unsafe { page().as_ref() } {
        page.threads.fetch_add(1, Ordering::Relaxed);
    }
}

/// After [`lend`]: there is no new thread.
pub fn take_back() {
    give_up(page());
}

/// The calling thread ends.
pub fn forget() {
    leave(core::ptr::null_mut());
}

fn page() -> *mut Counted {
    match BEGAN.get() {
        Some(_) if trampoline::is_installed() => trampoline::thread::inherited() as *mut Counted,
        _ => core::ptr::null_mut(),
    }
}

fn leave(for_page: *mut Counted) {
    if is_told() {
        let before = page();
        trampoline::thread::set_inherited(for_page as usize);
        give_up(before);
    }
}

fn give_up(page: *mut Counted) {
    // SAFETY: the page is counted for the caller, which makes no use of it after this; the last one unmaps it.
    unsafe {
        if page.as_ref().is_some_and(|page| page.threads.fetch_sub(1, Ordering::AcqRel) == 1) {
            mem::unmap(page as usize, PAGE);
        }
    }
}

/// What the variable says of somebody who is told nothing, though the setting is there.
const HOST: &[u8] = b"host";

/// The variable for a program that is executed by somebody who is `told` this; None: the host says who that is.
pub fn variable(told: Option<&Told>) -> Result<Pages> {
    let mut pages = Pages::new(ID.len() + text::TEXT_MAX + 1)?;
    let bytes = pages.bytes();
    bytes[..ID.len()].copy_from_slice(ID);
    match told {
        Some(told) => {
            told.write(&mut bytes[ID.len()..]);
        }
        None => bytes[ID.len()..ID.len() + HOST.len()].copy_from_slice(HOST),
    }
    Ok(pages)
}
