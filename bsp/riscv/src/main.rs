//! The kernel's image for RISC-V with the hypervisor extension.
//!
//! Everything here is mechanism of the machine: entry and return, translation-table formats, the
//! timer, interrupts and the guest's registers. What happens is decided in `kernel`.
#![no_std]
#![no_main]
#![cfg_attr(not(target_arch = "riscv64"), allow(unused))]

#[cfg(target_arch = "riscv64")]
mod boot;
#[cfg(target_arch = "riscv64")]
mod cores;
#[cfg(target_arch = "riscv64")]
mod csr;
#[cfg(target_arch = "riscv64")]
mod entry;
#[cfg(target_arch = "riscv64")]
mod float;
#[cfg(target_arch = "riscv64")]
mod frame;
#[cfg(target_arch = "riscv64")]
mod guest;
#[cfg(target_arch = "riscv64")]
mod irq;
#[cfg(target_arch = "riscv64")]
mod machine;
#[cfg(target_arch = "riscv64")]
mod paging;
#[cfg(target_arch = "riscv64")]
mod percore;
#[cfg(target_arch = "riscv64")]
mod sbi;
#[cfg(target_arch = "riscv64")]
mod timer;
#[cfg(target_arch = "riscv64")]
mod trap;
