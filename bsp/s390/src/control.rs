//! Control registers and the instructions between CPUs.

use core::arch::asm;

/// Loads a control register.
macro_rules! load {
    ($register:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: LCTLG reads eight bytes at the address of `value`. Registers of interruptions and
        // of DAT do not change what the kernel's own code does: it runs with both off.
        unsafe {
            core::arch::asm!(
                concat!("lctlg %c", $register, ", %c", $register, ", 0({})"),
                in(reg_addr) &raw const value,
                options(nostack, preserves_flags, readonly)
            );
        }
    }};
}
pub(crate) use load;

/// Orders of SIGP (PoP chapter 4, "Signal-Processor Orders").
pub mod order {
    /// Interrupts the CPU with an emergency signal.
    pub const EMERGENCY_SIGNAL: u64 = 3;
    /// Lets the stopped CPU load its restart PSW.
    pub const RESTART: u64 = 6;
    /// Stops the CPU.
    pub const STOP: u64 = 5;
    /// Sets the prefix of the stopped CPU.
    pub const SET_PREFIX: u64 = 13;
}

/// Sends an order to a CPU; waits while that is busy with another. Returns whether it was accepted.
pub fn signal(cpu: u64, order: u64, parameter: u64) -> bool {
    loop {
        let condition: u64;
        // SAFETY: SIGP accesses no memory; what the orders do to other CPUs is told by callers.
        unsafe {
            asm!(
                "sigp %r0, {cpu}, 0({order})",
                "ipm {condition}",
                "srlg {condition}, {condition}, 28",
                cpu = in(reg) cpu,
                order = in(reg_addr) order,
                condition = lateout(reg) condition,
                // The parameter is in the odd one of the pair, the status in the even one.
                inout("r0") 0_u64 => _,
                in("r1") parameter,
                options(nostack),
            );
        }
        match condition & 3 {
            0 => return true,
            2 => core::hint::spin_loop(),
            _ => return false,
        }
    }
}

/// Returns the address of the CPU that runs this.
pub fn own_address() -> u16 {
    let mut address = 0_u16;
    // SAFETY: STAP stores two bytes at the address of `address`.
    unsafe {
        asm!(
            "stap 0({})",
            in(reg_addr) &raw mut address,
            options(nostack, preserves_flags)
        );
    }
    address
}
