//! s390x: a CPU with its prefix area, the service processor (SCLP), and the signal processor.

mod context;
mod control;
mod countdown;
mod facts;
mod files;
mod laws;
mod prefix;
mod service;
mod start;
mod translation;

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use s390_regs::PswMask;

use super::{Exit, Machine, RegisterFile};
use crate::report::{Law, Verdict, equal};
use control::order;
use facts::facts;

/// A CPU, or its image in a virtual machine.
pub struct S390;

/// Where the last disabled wait of a machine that ends well is.
const ENDED_WELL: u64 = 0xfff;
/// Ticks of the TOD clock in a millisecond.
const TICKS: u64 = 4_096_000;

impl Machine for S390 {
    fn index() -> usize {
        prefix::load(prefix::INDEX) as usize
    }

    fn processors() -> usize {
        facts().processors
    }

    fn start_second() -> Verdict {
        let cpu = facts().addresses[1];
        let prefix = start::second_prefix();
        equal(
            "set prefix",
            0,
            control::signal(cpu, order::SET_PREFIX, prefix).0,
        )?;
        equal("restart", 0, control::signal(cpu, order::RESTART, 0).0)
    }

    fn command_line() -> &'static [u8] {
        facts::command_line()
    }

    fn for_each_memory(each: &mut dyn FnMut(&'static [AtomicU64])) {
        each(facts().free_memory());
    }

    fn print(text: &[u8]) {
        service::print(text);
    }

    fn power_off(status: u8) -> ! {
        service::print_end(status);
        for cpu in facts()
            .addresses
            .into_iter()
            .filter(|cpu| *cpu != control::own_address())
        {
            control::signal(cpu, order::STOP, 0);
        }
        let wait = PswMask::BITS_64.with_wait(true).into_bits();
        let place = if status == 0 { ENDED_WELL } else { 0 };
        let psw = [wait, place];
        loop {
            // SAFETY: a disabled wait is how a machine ends.
            unsafe { asm!("lpswe 0({})", in(reg_addr) &raw const psw, options(nostack)) };
        }
    }

    fn now() -> u64 {
        control::time()
    }

    fn ticks_per_millisecond() -> u64 {
        TICKS
    }

    fn arm(deadline: u64) {
        control::set_comparator(deadline);
    }

    fn mask() {
        let mut old = 0_u8;
        // SAFETY: the CPU takes no interruptions any more; the byte gets what was.
        unsafe { asm!("stnsm 0({}), 0xfc", in(reg_addr) &raw mut old, options(nostack)) };
    }

    fn unmask() {
        let mut old = 0_u8;
        // SAFETY: the handlers are there; the byte gets what was.
        unsafe { asm!("stosm 0({}), 1", in(reg_addr) &raw mut old, options(nostack)) };
    }

    fn idle() {
        let wait = PswMask::BITS_64.with_wait(true).with_external(true);
        let mut psw = [wait.into_bits(), 0];
        // SAFETY: the handlers are there; that of an interruption ends the wait, with interruptions
        // masked.
        unsafe {
            asm!("larl {at}, 2f", "stg {at}, 8({psw})", "lpswe 0({psw})", "2:", at = out(reg) _,
                 psw = in(reg_addr) &raw mut psw, options(nostack));
        }
    }

    fn interrupt(processor: usize) {
        let cpu = facts().addresses[processor];
        control::signal(cpu, order::EMERGENCY, 0);
    }

    fn raise_device() -> Verdict {
        service::raise_interrupt()
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
