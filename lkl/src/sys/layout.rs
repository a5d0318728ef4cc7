// SPDX-License-Identifier: GPL-2.0-only
//! Rows that describe the layout of a structure which C and Rust share.
//!
//! The kernel has the same rows in `kernel/layout_rows.h`; a test compares both lists (`api/layout.rs`).

/// A fact about a layout: `sizeof TYPE` or `TYPE.FIELD`, and its value in bytes.
pub(crate) type Row = (&'static str, usize);

/// The rows of a `#[repr(C)]` structure: `layout_rows!("lkl_iov" = Iov { base, len })`. A field that C names
/// differently is `"c_name" = rust_name`; a field that C has and Rust keeps elsewhere is `"c_name" => offset`.
macro_rules! layout_rows {
    ($c:literal = $rust:ty { $($fields:tt)* }) => {{
        const ROWS: &[$crate::sys::layout::Row] =
            &$crate::sys::layout::layout_rows!(@ $c, $rust, [(concat!("sizeof ", $c), size_of::<$rust>())], $($fields)*);
        ROWS
    }};
    (@ $c:literal, $rust:ty, [$($rows:expr),*], ) => { [$($rows),*] };
    (@ $c:literal, $rust:ty, [$($rows:expr),*], $field:ident $(, $($rest:tt)*)?) => {
        $crate::sys::layout::layout_rows!(@ $c, $rust,
            [$($rows,)* (concat!($c, ".", stringify!($field)), std::mem::offset_of!($rust, $field))], $($($rest)*)?)
    };
    (@ $c:literal, $rust:ty, [$($rows:expr),*], $name:literal = $field:ident $(, $($rest:tt)*)?) => {
        $crate::sys::layout::layout_rows!(@ $c, $rust,
            [$($rows,)* (concat!($c, ".", $name), std::mem::offset_of!($rust, $field))], $($($rest)*)?)
    };
    (@ $c:literal, $rust:ty, [$($rows:expr),*], $name:literal => $offset:expr $(, $($rest:tt)*)?) => {
        $crate::sys::layout::layout_rows!(@ $c, $rust, [$($rows,)* (concat!($c, ".", $name), $offset)], $($($rest)*)?)
    };
}
pub(crate) use layout_rows;
