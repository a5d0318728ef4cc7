// SPDX-License-Identifier: GPL-2.0-only
//! A file system on several images: `IMAGE+IMAGE:PATH`. The first one is mounted; the others are disks beside it, which
//! options of the mount name.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicI32, Ordering};
use std::ffi::CString;

use lkl::{Disk, Kernel, Sectors};
use stowaway_config::Mount;

use crate::fdtable;
use crate::instance::images::{self, Said, Tries};
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::thread::Thread;

/// The further images of a mount, in the order of the settings.
pub struct FurtherImages(Vec<Further>);

struct Further {
    /// The kernel's number for the disk, and the image's host descriptor; -1: none.
    disk: AtomicI32,
    image: AtomicI32,
}

impl FurtherImages {
    /// Places for those of a mount; none is attached.
    pub fn of(mount: &Mount) -> FurtherImages {
        let none = |_: &Mount| Further { disk: AtomicI32::new(-1), image: AtomicI32::new(-1) };
        FurtherImages(mount.more.iter().map(none).collect())
    }

    /// Whether the image of this descriptor is one of them; its place among them.
    pub fn position(&self, image: i32) -> Option<usize> {
        self.0.iter().position(|further| further.image.load(Ordering::Relaxed) == image)
    }

    /// Makes the opened images disks of the kernel; the options that name them.
    pub fn attach(
        &self,
        kernel: &'static Kernel,
        thread: &'static Thread,
        mount: &Mount,
        tries: &Tries,
        opened: Vec<(Disk, &'static str)>,
    ) -> Result<Vec<String>> {
        let mut options = Vec::new();
        let mut failed = None;
        for ((place, further), (disk, option)) in self.0.iter().zip(&mount.more).zip(opened) {
            if failed.is_some() {
                images::close(disk);
                continue;
            }
            // SAFETY: the task is this thread's; the disk's descriptor stays open (reserved).
            match unsafe { kernel.attach_further(thread.task(), &disk) } {
                Ok(number) => {
                    place.disk.store(number as i32, Ordering::Relaxed);
                    place.image.store(disk.fd(), Ordering::Relaxed);
                    options.push(format!("{option}=/lkb{number}"));
                }
                Err(e) => {
                    images::close(disk);
                    let said = Said { name: &images::name(further)?, reported: &tries.reported };
                    failed =
                        Some(said.once(e, format_args!("the disk cannot be attached: {}", Explained(e))));
                }
            }
        }
        match failed {
            Some(e) => Err(e),
            None => Ok(options),
        }
    }

    /// Gives the images back, when their mount is gone.
    pub fn release(&self, kernel: &Kernel, thread: &'static Thread) {
        for further in &self.0 {
            if let Ok(number) = u32::try_from(further.disk.swap(-1, Ordering::Relaxed)) {
                // SAFETY: the task is this thread's, and the mount is gone.
                let _ = unsafe { kernel.remove_disk(thread.task(), number) };
            }
            let image = further.image.swap(-1, Ordering::Relaxed);
            if image >= 0 {
                fdtable::release(image as usize);
            }
        }
    }
}

/// Opens the further images of a mount, each with the option that names it. `first`: the image that is mounted.
pub fn open(
    mount: &Mount,
    tries: &Tries,
    first: &Disk,
    fstype: &str,
    read_only: bool,
) -> Result<Vec<(Disk, &'static str)>> {
    if mount.more.is_empty() {
        return Ok(Vec::new());
    }
    let name: CString = images::name(mount)?;
    let said = Said { name: &name, reported: &tries.reported };
    let options = options(first, fstype, mount.more.len())
        .map_err(|why| said.once(Errno::EINVAL, format_args!("{why}: {}", Explained(Errno::EINVAL))))?;
    let mut opened = Vec::new();
    for (further, option) in mount.more.iter().zip(options) {
        match images::open_further(further, tries, fstype, read_only) {
            Ok(disk) => opened.push((disk, option)),
            Err(e) => {
                opened.into_iter().for_each(|(disk, _)| images::close(disk));
                return Err(e);
            }
        }
    }
    Ok(opened)
}

/// What each further image is for: the option of its file system that names it.
fn options(first: &Disk, fstype: &str, count: usize) -> core::result::Result<Vec<&'static str>, String> {
    let wanted = match fstype {
        "btrfs" | "erofs" => return Ok(vec!["device"; count]),
        "ext3" | "ext4" => vec!["journal_path"],
        "xfs" => of_xfs(first)?,
        _ => return Err(format!("a {fstype} file system is on one image, and nothing belongs behind the +")),
    };
    if wanted.len() == count {
        return Ok(wanted);
    }
    let names: Vec<&str> = wanted.iter().map(|option| words(option)).collect();
    Err(match names.len() {
        0 => "is all of its file system: nothing belongs behind the +".into(),
        _ => format!("wants behind the +, in this order: {}", names.join(", ")),
    })
}

fn words(option: &str) -> &'static str {
    match option {
        "journal_path" => "its journal",
        "logdev" => "its log",
        "rtdev" => "its realtime device",
        _ => "a device",
    }
}

/// Has the file system its log elsewhere, and a realtime device? (`struct xfs_dsb`, fs/xfs/libxfs/xfs_format.h.)
fn of_xfs(first: &Disk) -> core::result::Result<Vec<&'static str>, String> {
    let mut superblock = [0; 64];
    first.read_at(&mut superblock, 0).map_err(|e| format!("cannot be read: {}", Explained(e)))?;
    let is_zero = |at: usize| superblock[at..at + 8] == [0; 8];
    let (realtime_blocks, log_start) = (16, 48);
    let mut wanted = Vec::new();
    if is_zero(log_start) {
        wanted.push("logdev");
    }
    if !is_zero(realtime_blocks) {
        wanted.push("rtdev");
    }
    Ok(wanted)
}
