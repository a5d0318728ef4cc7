// SPDX-License-Identifier: GPL-2.0-only
//! The layout of all structures that the kernel and this library share, compared with the kernel's own rows
//! (`kernel/layout_rows.h`).
//!
//! # Safety
//! The kernel's table is constant data of an image that is mapped and linked, but not booted.
#![allow(unsafe_code)]

use super::facts::{read_rows, AbiRow};
use super::kernel::Creds;
use crate::instance::region::Region;
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
    ngroups, groups,
});

#[test]
fn both_sides_lay_out_shared_structures_alike() {
    let ours: Vec<Row> = [
        cpu::layout::SHARED,
        cpu::layout::CALL_SLOT,
        dev::block::layout::IOV,
        dev::block::layout::REQUEST,
        super::mounts::DISK_LAYOUT,
        attach::ops::LAYOUT,
        CREDS,
        super::facts::ABI_ROW_LAYOUT,
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
    assert!(theirs.len() > 70, "{} rows", theirs.len());
}
