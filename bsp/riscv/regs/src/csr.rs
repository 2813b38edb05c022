//! Numbers of control and status registers (II 2.2).

/// Declares named CSR numbers.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)+) => {
        $($(#[$doc])* pub const $name: u16 = $value;)+
    };
}

numbers! {
    /// Supervisor status.
    SSTATUS = 0x100;
    /// Supervisor interrupt enable.
    SIE = 0x104;
    /// Supervisor trap vector.
    STVEC = 0x105;
    /// Supervisor counter enable.
    SCOUNTEREN = 0x106;
    /// Supervisor environment configuration.
    SENVCFG = 0x10a;
    /// Supervisor state enable 0.
    SSTATEEN0 = 0x10c;
    /// Supervisor scratch.
    SSCRATCH = 0x140;
    /// Supervisor exception program counter.
    SEPC = 0x141;
    /// Supervisor trap cause.
    SCAUSE = 0x142;
    /// Supervisor trap value.
    STVAL = 0x143;
    /// Supervisor interrupt pending.
    SIP = 0x144;
    /// Supervisor timer compare (Sstc).
    STIMECMP = 0x14d;
    /// Supervisor address translation.
    SATP = 0x180;
    /// The guest's status.
    VSSTATUS = 0x200;
    /// The guest's interrupt enable.
    VSIE = 0x204;
    /// The guest's trap vector.
    VSTVEC = 0x205;
    /// The guest's scratch.
    VSSCRATCH = 0x240;
    /// The guest's exception program counter.
    VSEPC = 0x241;
    /// The guest's trap cause.
    VSCAUSE = 0x242;
    /// The guest's trap value.
    VSTVAL = 0x243;
    /// The guest's interrupt pending.
    VSIP = 0x244;
    /// The guest's timer compare (Sstc).
    VSTIMECMP = 0x24d;
    /// The guest's address translation.
    VSATP = 0x280;
    /// Hypervisor status.
    HSTATUS = 0x600;
    /// Exceptions delegated to the guest.
    HEDELEG = 0x602;
    /// Interrupts delegated to the guest.
    HIDELEG = 0x603;
    /// Hypervisor interrupt enable.
    HIE = 0x604;
    /// Difference between the guest's time and the machine's.
    HTIMEDELTA = 0x605;
    /// Counters that the guest may read.
    HCOUNTEREN = 0x606;
    /// Enabled guest interrupt files.
    HGEIE = 0x607;
    /// Hypervisor environment configuration.
    HENVCFG = 0x60a;
    /// Hypervisor state enable 0.
    HSTATEEN0 = 0x60c;
    /// Guest-physical address of a fault, shifted right by two.
    HTVAL = 0x643;
    /// Hypervisor interrupt pending.
    HIP = 0x644;
    /// Interrupts raised in the guest.
    HVIP = 0x645;
    /// The instruction that trapped, transformed.
    HTINST = 0x64a;
    /// Second-stage address translation.
    HGATP = 0x680;
    /// Cycle counter.
    CYCLE = 0xc00;
    /// Real-time counter.
    TIME = 0xc01;
    /// Instruction counter.
    INSTRET = 0xc02;
    /// Pending guest interrupt files.
    HGEIP = 0xe12;
}

/// Returns whether writes to the register are illegal, by the top two bits of its number.
#[must_use]
pub const fn is_read_only(csr: u16) -> bool {
    csr >> 10 == 3
}
