//! RISC-V: supervisor mode above the firmware interface (SBI 2.0).

mod catch;
mod context;
mod csr;
mod facts;
mod files;
mod firmware;
mod laws;
mod port;
mod start;

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use super::{Exit, Machine, RegisterFile};
use crate::report::{Law, Verdict, equal};
use facts::facts;

/// A hart, or its image in a virtual machine.
pub struct Riscv;

impl Machine for Riscv {
    fn index() -> usize {
        let index: usize;
        // SAFETY: reads the register that `start` gave this processor's index.
        unsafe { asm!("mv {}, tp", out(reg) index, options(nomem, nostack, preserves_flags)) };
        index
    }

    fn processors() -> usize {
        facts().processors
    }

    fn start_second() -> Verdict {
        let hart = facts().harts[1];
        let entry = start::second_entry();
        equal("error of hart_start", 0, firmware::start_hart(hart, entry))
    }

    fn command_line() -> &'static [u8] {
        facts().command_line()
    }

    fn for_each_memory(each: &mut dyn FnMut(&'static [AtomicU64])) {
        facts().free_memory().for_each(each);
    }

    fn print(text: &[u8]) {
        firmware::print(text);
    }

    fn power_off(status: u8) -> ! {
        if status != 0 {
            // The firmware's reason cannot tell more than whether it failed.
            port::print(b"EXIT: STATUS=");
            port::print_number(u64::from(status) << 1 | 1);
            port::print(b"\n");
        }
        loop {
            firmware::shut_down(status != 0);
        }
    }

    fn now() -> u64 {
        csr::read!("time")
    }

    fn ticks_per_millisecond() -> u64 {
        facts().ticks_per_millisecond
    }

    fn arm(deadline: u64) {
        firmware::set_timer(deadline);
    }

    fn mask() {
        csr::clear!("sstatus", csr::SIE);
    }

    fn unmask() {
        csr::set!("sstatus", csr::SIE);
    }

    fn idle() {
        // SAFETY: the wait ends at an interrupt that is enabled, whether it is taken or not.
        unsafe { asm!("wfi", options(nostack)) };
        Self::unmask();
        Self::mask();
    }

    fn interrupt(processor: usize) {
        firmware::interrupt(facts().harts[processor]);
    }

    fn raise_device() -> Verdict {
        port::raise_interrupt()
    }

    fn exits() -> &'static [Exit] {
        &laws::EXITS
    }

    fn register_files() -> &'static [RegisterFile] {
        &files::FILES
    }

    fn device_laws() -> &'static [Law] {
        &laws::DEVICE
    }

    fn exception_laws() -> &'static [Law] {
        &laws::EXCEPTION
    }

    fn register_laws() -> &'static [Law] {
        &context::LAWS
    }
}
