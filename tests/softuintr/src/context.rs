// SPDX-License-Identifier: GPL-2.0-only
//! The registers of an interrupted thread, by the numbers that instructions have for them.

use libc::{
    REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_R8, REG_R9, REG_RAX, REG_RBP, REG_RBX, REG_RCX,
    REG_RDI, REG_RDX, REG_RSI, REG_RSP,
};

/// By ModRM and REX.B (Intel SDM vol. 2, table 2-2).
const BY_NUMBER: [i32; 16] = [
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
    REG_R12, REG_R13, REG_R14, REG_R15,
];

pub(crate) const RF: u64 = 1 << 16;
pub(crate) const TF: u64 = 1 << 8;
/// The flags that TESTUI defines: CF is UIF; ZF, AF, OF, PF and SF are cleared.
pub(crate) const ARITHMETIC: u64 = 0x8d5;
/// The flags that UIRET loads.
pub(crate) const BY_UIRET: u64 = 0x25_4dd5;

/// See the module.
pub(crate) struct Context<'a>(&'a mut libc::ucontext_t);

impl<'a> Context<'a> {
    pub fn new(uc: &'a mut libc::ucontext_t) -> Self {
        Context(uc)
    }

    fn get(&self, name: i32) -> u64 {
        self.0.uc_mcontext.gregs[name as usize] as u64
    }

    fn set(&mut self, name: i32, value: u64) {
        self.0.uc_mcontext.gregs[name as usize] = value as i64;
    }

    pub fn register(&self, number: u8) -> u64 {
        self.get(BY_NUMBER[usize::from(number & 15)])
    }

    pub fn rip(&self) -> u64 {
        self.get(libc::REG_RIP)
    }

    pub fn rsp(&self) -> u64 {
        self.get(libc::REG_RSP)
    }

    /// Whether the interrupted code was on the alternate signal stack.
    pub fn is_on_signal_stack(&self) -> bool {
        let stack = &self.0.uc_stack;
        self.rsp().wrapping_sub(stack.ss_sp as u64) <= stack.ss_size as u64
    }

    pub fn flags(&self) -> u64 {
        self.get(libc::REG_EFL)
    }

    /// The exception that this thread had last (`trapnr` of arch/x86/include/asm/trapnr.h).
    pub fn trap(&self) -> u64 {
        self.get(libc::REG_TRAPNO)
    }

    pub fn set_flags(&mut self, flags: u64) {
        self.set(libc::REG_EFL, flags);
    }

    /// Goes on elsewhere.
    pub fn go(&mut self, rip: u64, rsp: u64) {
        self.set(libc::REG_RIP, rip);
        self.set(libc::REG_RSP, rsp);
    }

    /// The instruction of this length is done: the fault before it had set RF.
    pub fn done(&mut self, len: usize) {
        self.set(libc::REG_RIP, self.rip() + len as u64);
        self.set_flags(self.flags() & !RF);
    }
}
