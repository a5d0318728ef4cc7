// SPDX-License-Identifier: GPL-2.0-only
// The words that the shim keeps for each thread (sys/thread.rs, ThreadWords).
//
// Contract: `stowaway_thread` is a TLS object of the initial-exec model: its distance from the thread pointer is one
// entry of the GOT. Zeroed for each new thread. No code; nothing is clobbered.
// Limits: 64 bytes, of the static TLS space that ld.so keeps for libraries.

.pushsection .tbss,"awT",@nobits
.p2align 3
.hidden stowaway_thread
.globl stowaway_thread
.type stowaway_thread,@object
.size stowaway_thread,64
stowaway_thread:
.zero 64
.popsection
