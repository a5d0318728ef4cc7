// SPDX-License-Identifier: GPL-2.0-only
//! The one schema of Stowaway's settings.
