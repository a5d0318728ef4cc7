// SPDX-License-Identifier: GPL-2.0-only
//
// The two symbols of gdb's "JIT Compilation Interface" (gdb manual): gdb has a breakpoint in the function, and reads
// the list that the descriptor heads (rewrite/gdb).
//
// void __jit_debug_register_code(void): does nothing. Clobbers and stack: none.
// __jit_debug_descriptor: struct jit_descriptor, 24 bytes.
// Limits: both are hidden. A compiler in the same process has its own pair, which must not end up here.

    .pushsection .text.jit_debug,"ax",@progbits
    .hidden __jit_debug_register_code
    .globl __jit_debug_register_code
    .type __jit_debug_register_code,@function
__jit_debug_register_code:
    ret
    .size __jit_debug_register_code, 1
    .popsection
    // Version 1, action, relevant entry, first entry.
    .pushsection .data.jit_debug,"aw",@progbits
    .p2align 3
    .hidden __jit_debug_descriptor
    .globl __jit_debug_descriptor
    .type __jit_debug_descriptor,@object
__jit_debug_descriptor:
    .long 1, 0
    .quad 0, 0
    .size __jit_debug_descriptor, 24
    .popsection
