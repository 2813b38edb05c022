//! Instructions of the CPU that have a name here.

use core::arch::asm;

use s390_regs::Cr0;

/// Orders of SIGNAL PROCESSOR (PoP chapter 4).
pub mod order {
    pub const SENSE: u64 = 1;
    pub const EMERGENCY: u64 = 3;
    pub const STOP: u64 = 5;
    pub const RESTART: u64 = 6;
    pub const SET_PREFIX: u64 = 0xd;
}

/// Floating-point registers other than the first four, in control register 0.
const ALL_FLOAT: u64 = 1 << 18;
/// What control register 0 has after a reset.
const RESET: u64 = 0xe0;
/// The interruptions that the guest takes.
const OPEN: Cr0 = Cr0::new()
    .with_emergency_signal(true)
    .with_clock_comparator(true);

/// Condition code of an order that has to be given again.
const BUSY: u64 = 2;

/// Opens this CPU to what interrupts the guest, and to the service signal where it is asked for.
pub fn open(service: bool) {
    let value = OPEN.with_service_signal(service).into_bits() | ALL_FLOAT | RESET;
    // SAFETY: the handlers are there, and all floating-point registers may be used.
    unsafe { asm!("lctlg %c0, %c0, 0({})", in(reg_addr) &raw const value, options(nostack)) };
}

/// Reads control register 0.
pub fn open_to() -> u64 {
    let mut value = 0_u64;
    // SAFETY: writes the word.
    unsafe { asm!("stctg %c0, %c0, 0({})", in(reg_addr) &raw mut value, options(nostack)) };
    value
}

/// Sets control register 0.
pub fn set_open_to(value: u64) {
    // SAFETY: the handlers are there.
    unsafe { asm!("lctlg %c0, %c0, 0({})", in(reg_addr) &raw const value, options(nostack)) };
}

/// Takes one interruption, if one is pending.
pub fn take_one() {
    let mut old = [0_u8; 2];
    // SAFETY: the handlers are there; the bytes get what was.
    unsafe {
        asm!("stosm 0({0}), 1", "stnsm 1({0}), 0xfc", in(reg_addr) old.as_mut_ptr(), options(nostack));
    }
    if old[0] & 1 != 0 {
        // SAFETY: interruptions were taken before.
        unsafe { asm!("stosm 0({0}), 1", in(reg_addr) old.as_mut_ptr(), options(nostack)) };
    }
}

/// Gives an order to a CPU, again while it is busy; returns condition code and status.
pub fn signal(cpu: u16, order: u64, parameter: u64) -> (u64, u64) {
    loop {
        let (condition, status): (u64, u64);
        // SAFETY: orders that are given here change no register, and no memory of others.
        unsafe {
            asm!("sigp %r1, {cpu}, 0({order})", "ipm {condition}", "srlg {condition}, {condition}, 28",
                 cpu = in(reg) u64::from(cpu), order = in(reg_addr) order, condition = out(reg) condition,
                 inout("r1") parameter => status, options(nostack));
        }
        let condition = condition & 3;
        if condition != BUSY {
            return (condition, status);
        }
    }
}

/// Returns the address of this CPU.
pub fn own_address() -> u16 {
    let mut address = 0_u16;
    // SAFETY: writes the halfword.
    unsafe { asm!("stap 0({})", in(reg_addr) &raw mut address, options(nostack)) };
    address
}

/// Returns what the CPU is.
pub fn identification() -> u64 {
    let mut identification = 0_u64;
    // SAFETY: writes the doubleword.
    unsafe { asm!("stidp 0({})", in(reg_addr) &raw mut identification, options(nostack)) };
    identification
}

/// Returns the address of the prefix area.
pub fn prefix() -> u32 {
    let mut prefix = 0_u32;
    // SAFETY: writes the word.
    unsafe { asm!("stpx 0({})", in(reg_addr) &raw mut prefix, options(nostack)) };
    prefix
}

/// Returns the level of the machine on which the program runs: 1 is a machine, 2 a partition, 3 a
/// virtual machine.
pub fn level() -> u64 {
    let level: u64;
    // SAFETY: function code 0 stores nothing.
    unsafe {
        asm!("lghi %r0, 0", "lghi %r1, 0", "stsi 0({0})", "lgr {1}, %r0", in(reg_addr) 0_u64, out(reg) level,
             out("r0") _, out("r1") _, options(nostack));
    }
    level >> 28 & 15
}

/// Returns the TOD clock.
pub fn time() -> u64 {
    let mut time = 0_u64;
    // SAFETY: writes the doubleword.
    unsafe { asm!("stckf 0({})", in(reg_addr) &raw mut time, options(nostack)) };
    time
}

/// Sets the CPU timer.
pub fn set_cpu_timer(ticks: u64) {
    // SAFETY: reads the doubleword.
    unsafe { asm!("spt 0({})", in(reg_addr) &raw const ticks, options(nostack)) };
}

/// Sets the clock comparator.
pub fn set_comparator(deadline: u64) {
    // SAFETY: reads the doubleword.
    unsafe { asm!("sckc 0({})", in(reg_addr) &raw const deadline, options(nostack)) };
}
