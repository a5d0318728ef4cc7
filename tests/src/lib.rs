// SPDX-License-Identifier: GPL-2.0-only
//! The parts of Stowaway's test suite: fixtures that exist twice (a host directory and an ext4 image with the same
//! content), cases read from data, a runner for commands with a deadline, and a reader of ext4 images that shares no
//! code with any kernel. The tests themselves are in `tests/`, the cases in `cases/`, small C programs in `programs/`:
//! `facts` (each says `ok`, natively and served), `helpers` (a test looks at what they do), `conform` and `real`.
//!
//! Environment of a run:
//! - `STOWAWAY_BIN_DIR`: where libstowaway.so and stowaway are, if not in the target directory's release build;
//! - `STOWAWAY_TEST_TMP`: where fixtures are made, if not in the system's temporary directory;
//! - `STOWAWAY_TEST_CASE`: only cases whose name contains this;
//! - `STOWAWAY_TEST_SEEDS`: how many seeds of random calls;
//! - `STOWAWAY_STRESS_SECONDS`, `STOWAWAY_STRESS_SEED`: how long the mixed stress runs on each file system, and which;
//! - `STOWAWAY_TEST_DOORBELL`: `signal`; or `uintr`: user interrupts, emulated (what a program starts with another environment
//!   has none);
//! - `STOWAWAY_TEST_BY_RUN`: what is preloaded otherwise goes through `stowaway run`;
//! - `STOWAWAY_TEST_BLOCK_ENGINE`: the block engine in every command;
//! - `STOWAWAY_TEST_GROUND`: `empty`, `full`: there is such a directory of the host under every mount;
//! - `STOWAWAY_TEST_LOG`: the library's log level in every command (outputs then differ, of course);
//! - `STOWAWAY_TEST_RUNNER=loop`: root only, no product: the host kernel's loop mount serves the image side of the
//!   coreutils cases. What fails then is wrong in the suite.

pub mod artifacts;
pub mod case;
pub mod conform;
pub mod ext4;
pub mod fixture;
pub mod floors;
pub mod gaps;
pub mod hang;
pub mod held;
pub mod keeper;
pub mod made;
pub mod mounted;
pub mod network;
pub mod normal;
pub mod process;
pub mod program;
pub mod qcow2;
pub mod real;
pub mod servers;
pub mod suite;
pub mod tree;
pub mod user;
pub mod words;
pub mod work;
