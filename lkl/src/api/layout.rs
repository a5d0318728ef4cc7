// SPDX-License-Identifier: GPL-2.0-only
//! The layout of all structures and the numbers that the kernel and this library share, compared with the kernel's rows
//! (`kernel/layout_rows.h`).
//!
//! # Safety
//! The kernel's table is constant data of an image that is mapped and linked, but not booted.
#![allow(unsafe_code)]

use super::facts::{read_rows, AbiRow};
use super::kernel::Creds;
use super::private::{Access, AreaOp, PassHalf, Private, WatchOp};
use crate::instance::region::{Region, WINDOW_BYTES};
use crate::sys::layout::{layout_rows, Row};
use crate::{attach, cpu, dev};

const CREDS: &[Row] = layout_rows!("lkl_creds" = Creds {
    "ruid" = uid,
    "euid" => std::mem::offset_of!(Creds, uid) + 4,
    "suid" => std::mem::offset_of!(Creds, uid) + 8,
    "fsuid" => std::mem::offset_of!(Creds, uid) + 12,
    "rgid" = gid,
    "egid" => std::mem::offset_of!(Creds, gid) + 4,
    "sgid" => std::mem::offset_of!(Creds, gid) + 8,
    "fsgid" => std::mem::offset_of!(Creds, gid) + 12,
    ngroups, groups, permitted, effective, securebits,
});

/// Numbers of private calls, and the end of their range.
const PRIVATE_CALLS: &[Row] = &[
    ("LKL_NR_disk_add", Private::DiskAdd as usize),
    ("LKL_NR_anchor_mount", Private::AnchorMount as usize),
    ("LKL_NR_shutdown", Private::Shutdown as usize),
    ("LKL_NR_set_creds", Private::SetCreds as usize),
    ("LKL_NR_loopback_up", Private::LoopbackUp as usize),
    ("LKL_NR_getxattrat", Private::GetXattrAt as usize),
    ("LKL_NR_setxattrat", Private::SetXattrAt as usize),
    ("LKL_NR_listxattrat", Private::ListXattrAt as usize),
    ("LKL_NR_removexattrat", Private::RemoveXattrAt as usize),
    ("LKL_NR_statfsat", Private::StatfsAt as usize),
    ("LKL_NR_chdirat", Private::ChdirAt as usize),
    ("LKL_NR_truncateat", Private::TruncateAt as usize),
    ("LKL_NR_fd_path", Private::FdPath as usize),
    ("LKL_NR_anchor_release", Private::AnchorRelease as usize),
    ("LKL_NR_release_memory", Private::ReleaseMemory as usize),
    ("LKL_NR_leave_cwd", Private::LeaveCwd as usize),
    ("LKL_NR_link_fd", Private::LinkFd as usize),
    ("LKL_NR_crash", Private::Crash as usize),
    ("LKL_NR_reopen", Private::Reopen as usize),
    ("LKL_NR_disk_node", Private::DiskNode as usize),
    ("LKL_NR_disk_remove", Private::DiskRemove as usize),
    ("LKL_NR_member_new", Private::MemberNew as usize),
    ("LKL_NR_open_fds", Private::OpenFds as usize),
    ("LKL_NR_open_root", Private::OpenRoot as usize),
    ("LKL_NR_only_thread", Private::OnlyThread as usize),
    ("LKL_NR_area_new", Private::AreaNew as usize),
    ("LKL_NR_area_fault", Private::AreaFault as usize),
    ("LKL_NR_area_op", Private::AreaOp as usize),
    ("LKL_NR_areas_end", Private::AreasEnd as usize),
    ("LKL_NR_wait_arm", Private::WaitArm as usize),
    ("LKL_NR_wait_disarm", Private::WaitDisarm as usize),
    ("LKL_NR_mount_about", Private::MountAbout as usize),
    ("LKL_NR_root_anchor", Private::RootAnchor as usize),
    ("LKL_NR_root_at", Private::RootAt as usize),
    ("LKL_NR_net_add", Private::NetAdd as usize),
    ("LKL_NR_sysctl", Private::Sysctl as usize),
    ("LKL_NR_owner", Private::Owner as usize),
    ("LKL_NR_file_limit", Private::FileLimit as usize),
    ("LKL_BELLS", dev::bells::BELLS),
    ("LKL_NR_pass_park", Private::PassPark as usize),
    ("LKL_NR_pass_take", Private::PassTake as usize),
    ("LKL_NR_pass_look", Private::PassLook as usize),
    ("LKL_NR_pass_from", Private::PassFrom as usize),
    ("LKL_NR_proc_locks", Private::ProcLocks as usize),
    ("LKL_NR_pipe_look", Private::PipeLook as usize),
    ("LKL_NR_PRIVATE_END", Private::PipeLook as usize + 1),
    ("LKL_PASS_NOTHING", PassHalf::Nothing as usize),
    ("LKL_PASS_EPOLL", PassHalf::Epoll as usize),
    ("LKL_PASS_INOTIFY", PassHalf::Inotify as usize),
    ("LKL_NR_watch_begin", Private::WatchBegin as usize),
    ("LKL_NR_watch_op", Private::WatchOp as usize),
    ("LKL_NR_watch_read", Private::WatchRead as usize),
    ("LKL_NR_watch_add", Private::WatchAdd as usize),
    ("LKL_WATCH_TELL", WatchOp::Tell as usize),
    ("LKL_WATCH_CHIME", WatchOp::Chime as usize),
    ("LKL_WATCH_RESERVE", WatchOp::Reserve as usize),
    ("LKL_WATCH_USED", WatchOp::Used as usize),
    ("LKL_WATCH_RUNG", WatchOp::Rung as usize),
    ("LKL_CHIME", dev::bells::CHIME as usize),
    ("LKL_CHIMES", dev::bells::CHIMES),
    ("LKL_ACCESS_READ", Access::Read as usize),
    ("LKL_ACCESS_WRITE", Access::Write as usize),
    ("LKL_ACCESS_EXEC", Access::Exec as usize),
    ("LKL_AREA_UNMAP", AreaOp::Unmap as usize),
    ("LKL_AREA_REPLACE", AreaOp::Replace as usize),
    ("LKL_AREA_PROTECT", AreaOp::Protect as usize),
    ("LKL_AREA_ADVISE", AreaOp::Advise as usize),
    ("LKL_AREA_CORE", AreaOp::Core as usize),
    ("LKL_AREA_SYNC", AreaOp::Sync as usize),
    ("LKL_AREA_MOVE", AreaOp::Move as usize),
    ("LKL_AREA_LOCK", AreaOp::Lock as usize),
    ("LKL_MEMORY_FILE", attach::ops::MEMORY_FILE),
];

#[test]
fn both_sides_agree_on_layouts_and_numbers() {
    let ours: Vec<Row> = [
        cpu::layout::SHARED,
        cpu::layout::CALL_SLOT,
        dev::block::layout::IOV,
        dev::block::layout::REQUEST,
        super::mounts::DISK_LAYOUT,
        attach::ops::LAYOUT,
        dev::tickets::LAYOUT,
        CREDS,
        super::facts::ABI_ROW_LAYOUT,
        cpu::layout::VALUES,
        dev::net::layout::INTERFACE,
        dev::net::layout::LINK,
        dev::net::layout::VALUES,
        dev::block::layout::VALUES,
        super::mounts::DISK_VALUES,
        PRIVATE_CALLS,
        cpu::layout::MEMBER_ROW,
        &[("LKL_BOOT_LOG", attach::boot::BOOT_LOG), ("LKL_WINDOW_BYTES", WINDOW_BYTES)],
    ]
    .concat();
    let (region, loaded) = Region::new(16 << 20, ()).unwrap();
    // SAFETY: the entry has this type and returns a table that ends with a null name.
    let theirs: Vec<(String, u64)> = unsafe {
        let layout =
            std::mem::transmute::<usize, unsafe extern "C" fn() -> *const AbiRow>(loaded.entries.layout);
        read_rows(layout()).iter().map(|row| (row.name().to_str().unwrap().to_owned(), row.value)).collect()
    };
    region.unmap();
    let ours: Vec<(String, u64)> =
        ours.iter().map(|(name, value)| (name.to_string(), *value as u64)).collect();
    let missing: Vec<_> = theirs.iter().filter(|row| !ours.contains(row)).collect();
    let unknown: Vec<_> = ours.iter().filter(|row| !theirs.contains(row)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "only the kernel: {missing:?}; only Rust: {unknown:?}");
    assert!(theirs.len() > 110, "{} rows", theirs.len());
}
