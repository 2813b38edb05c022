//! x86-64: a PC with a local APIC, an I/O APIC, a PIT and a 16550, started by PVH.

mod apic;
mod context;
mod facts;
mod files;
mod laws;
mod port;
mod ports;
mod processor;
mod shadow;
mod start;
mod traps;

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use super::{Exit, Machine, RegisterFile};
use crate::report::{Law, Verdict};
use facts::facts;

/// A processor, or its image in a virtual machine.
pub struct X86;

impl Machine for X86 {
    fn index() -> usize {
        processor::index()
    }

    fn processors() -> usize {
        facts().processors
    }

    fn start_second() -> Verdict {
        start::place_trampoline();
        apic::start(facts::second_number());
        Ok(1)
    }

    fn command_line() -> &'static [u8] {
        facts().command_line()
    }

    fn for_each_memory(each: &mut dyn FnMut(&'static [AtomicU64])) {
        facts().free_memory().for_each(each);
    }

    fn print(text: &[u8]) {
        port::print(text);
    }

    fn power_off(status: u8) -> ! {
        shadow::report();
        if status != 0 || facts().is_virtual {
            port::print(b"EXIT: STATUS=");
            port::print_number(u64::from(status) << 1 | 1);
            port::print(b"\n");
        }
        if status == 0 {
            // Soft-off of ACPI: sleep type 0 of the machine q35, and the switch. The machine may go
            // on for some instructions, which must not be those that report a failure.
            processor::output_word(0x604, 0x2000);
        } else {
            processor::output_long(0xf4, status.into());
        }
        loop {
            // SAFETY: it stands still for ever.
            unsafe { asm!("cli", "hlt", options(nostack)) };
        }
    }

    fn now() -> u64 {
        processor::time()
    }

    fn ticks_per_millisecond() -> u64 {
        facts().ticks_per_millisecond
    }

    fn arm(deadline: u64) {
        apic::arm(deadline);
    }

    fn mask() {
        // SAFETY: the processor takes no interrupts any more.
        unsafe { asm!("cli", options(nostack)) };
    }

    fn unmask() {
        // SAFETY: the handlers are there.
        unsafe { asm!("sti", "nop", options(nostack)) };
    }

    fn idle() {
        shadow::stand_still();
    }

    fn interrupt(processor: usize) {
        apic::interrupt(facts().numbers[processor]);
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
