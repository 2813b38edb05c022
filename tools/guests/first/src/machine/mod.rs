//! What the laws need of a machine, and the machines.

#[cfg(target_arch = "riscv64")]
mod riscv;
#[cfg(target_arch = "s390x")]
mod s390;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "riscv64")]
pub use riscv::Riscv as This;
#[cfg(target_arch = "s390x")]
pub use s390::S390 as This;
#[cfg(target_arch = "x86_64")]
pub use x86::X86 as This;

use core::sync::atomic::AtomicU64;

use crate::report::{Law, Verdict};

/// A way to leave the guest and to come back.
pub struct Exit {
    /// Its name.
    pub name: &'static str,
    /// Leaves once, and checks what came back.
    pub make: fn() -> Verdict,
    /// Whether the guest takes neither an interrupt nor an exception by it.
    pub is_quiet: bool,
}

/// Registers that are filled and read by name, for no code of the guest uses them otherwise.
pub struct RegisterFile {
    /// Its name.
    pub name: &'static str,
    /// Writes values that follow from the seed; says why there are none.
    pub fill: fn(u64) -> Verdict,
    /// Compares with what that seed wrote.
    pub check: fn(u64) -> Verdict,
    /// Whether interrupts and exceptions change it.
    pub is_taken_by_traps: bool,
}

/// A machine, as its processors see it.
pub trait Machine {
    /// Returns the index of this processor: 0 for the one that booted, 1 for the second.
    fn index() -> usize;
    /// Returns how many processors there are.
    fn processors() -> usize;
    /// Starts the second processor; it calls `second::live`.
    fn start_second() -> Verdict;

    /// Returns the command line.
    fn command_line() -> &'static [u8];
    /// Calls `each` with every piece of memory that nobody uses.
    fn for_each_memory(each: &mut dyn FnMut(&'static [AtomicU64]));
    /// Prints text by the console that takes no device.
    fn print(text: &[u8]);
    /// Ends the machine with a status.
    fn power_off(status: u8) -> !;

    /// Returns the time.
    fn now() -> u64;
    /// Returns how fast it goes.
    fn ticks_per_millisecond() -> u64;
    /// Sets when this processor's timer interrupts, in place of what it was set to; `u64::MAX` is
    /// never. Its handler sets it to never.
    fn arm(deadline: u64);

    /// Lets this processor take no interrupts.
    fn mask();
    /// Lets this processor take interrupts.
    fn unmask();
    /// Waits until there is an interrupt, and takes it; interrupts are masked before and after.
    fn idle();
    /// Interrupts a processor.
    fn interrupt(processor: usize);
    /// Lets a device interrupt this processor once; its handler makes it quiet again.
    fn raise_device() -> Verdict;

    /// Returns the ways to leave the guest that are the machine's own.
    fn exits() -> &'static [Exit];
    /// Returns the register files.
    fn register_files() -> &'static [RegisterFile];
    /// Returns laws of devices.
    fn device_laws() -> &'static [Law];
    /// Returns laws of exceptions that the hypervisor makes the guest take.
    fn exception_laws() -> &'static [Law];
    /// Returns laws of the general registers: all but what an exit is there to change survive it.
    fn register_laws() -> &'static [Law];
}
