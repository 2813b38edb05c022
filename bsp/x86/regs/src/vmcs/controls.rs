//! Controls of VMX.

use bitfield_struct::bitfield;

/// Pin-based controls (SDM 3C, "Pin-Based VM-Execution Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Pin {
    /// Physical interrupts leave the guest.
    pub external_interrupt: bool,
    #[bits(2)]
    __: u8,
    /// Non-maskable interrupts leave the guest.
    pub nmi: bool,
    __: bool,
    /// The guest's own non-maskable interrupts are tracked.
    pub virtual_nmis: bool,
    /// A timer leaves the guest.
    pub timer: bool,
    #[bits(25)]
    __: u32,
}

/// Primary processor-based controls (SDM 3C, "Processor-Based VM-Execution Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Primary {
    #[bits(2)]
    __: u8,
    /// The guest is left as soon as it can take an interrupt.
    pub interrupt_window: bool,
    #[bits(4)]
    __: u8,
    /// HLT leaves the guest.
    pub hlt: bool,
    #[bits(2)]
    __: u8,
    /// MWAIT leaves the guest.
    pub mwait: bool,
    /// RDPMC leaves the guest.
    pub rdpmc: bool,
    #[bits(7)]
    __: u8,
    /// Loads of CR8 leave the guest.
    pub cr8_load: bool,
    /// Stores of CR8 leave the guest.
    pub cr8_store: bool,
    __: bool,
    /// The guest is left as soon as it can take a non-maskable interrupt.
    pub nmi_window: bool,
    /// Debug registers leave the guest.
    pub debug_registers: bool,
    /// Ports leave the guest.
    pub ports: bool,
    #[bits(3)]
    __: u8,
    /// Model-specific registers leave the guest as the bitmaps say.
    pub msr_bitmaps: bool,
    /// MONITOR leaves the guest.
    pub monitor: bool,
    __: bool,
    /// There are secondary controls.
    pub secondary: bool,
}

/// Secondary processor-based controls (SDM 3C, as above).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Secondary {
    __: bool,
    /// Extended page tables.
    pub ept: bool,
    __: bool,
    /// RDTSCP is an instruction.
    pub rdtscp: bool,
    __: bool,
    /// Translations have a virtual-processor identifier.
    pub vpid: bool,
    /// WBINVD leaves the guest.
    pub wbinvd: bool,
    /// The guest may be in real mode and without paging.
    pub unrestricted: bool,
    #[bits(4)]
    __: u8,
    /// INVPCID is an instruction.
    pub invpcid: bool,
    #[bits(19)]
    __: u32,
}

/// Exit controls (SDM 3C, "VM-Exit Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Exit {
    #[bits(2)]
    __: u8,
    /// The guest's DR7 is kept.
    pub save_debug: bool,
    #[bits(6)]
    __: u8,
    /// The host is in 64-bit mode.
    pub long_host: bool,
    #[bits(9)]
    __: u16,
    /// The host's IA32_PAT is loaded.
    pub load_pat: bool,
    /// The guest's IA32_EFER is kept.
    pub save_efer: bool,
    /// The host's IA32_EFER is loaded.
    pub load_efer: bool,
    #[bits(10)]
    __: u16,
}

/// Entry controls (SDM 3C, "VM-Entry Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Entry {
    #[bits(2)]
    __: u8,
    /// The guest's DR7 is loaded.
    pub load_debug: bool,
    #[bits(6)]
    __: u8,
    /// The guest is in long mode.
    pub long_guest: bool,
    #[bits(4)]
    __: u8,
    /// The guest's IA32_PAT is loaded.
    pub load_pat: bool,
    /// The guest's IA32_EFER is loaded.
    pub load_efer: bool,
    #[bits(16)]
    __: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_lie_where_the_manual_puts_them() {
        assert_eq!(Pin::new().with_nmi(true).into_bits(), 1 << 3);
        assert_eq!(Pin::new().with_virtual_nmis(true).into_bits(), 1 << 5);
        assert_eq!(Pin::new().with_timer(true).into_bits(), 1 << 6);
        for (bit, control) in [
            (2, Primary::new().with_interrupt_window(true)),
            (7, Primary::new().with_hlt(true)),
            (10, Primary::new().with_mwait(true)),
            (11, Primary::new().with_rdpmc(true)),
            (19, Primary::new().with_cr8_load(true)),
            (20, Primary::new().with_cr8_store(true)),
            (22, Primary::new().with_nmi_window(true)),
            (23, Primary::new().with_debug_registers(true)),
            (24, Primary::new().with_ports(true)),
            (28, Primary::new().with_msr_bitmaps(true)),
            (29, Primary::new().with_monitor(true)),
            (31, Primary::new().with_secondary(true)),
        ] {
            assert_eq!(control.into_bits(), 1 << bit);
        }
        for (bit, control) in [
            (1, Secondary::new().with_ept(true)),
            (3, Secondary::new().with_rdtscp(true)),
            (5, Secondary::new().with_vpid(true)),
            (6, Secondary::new().with_wbinvd(true)),
            (7, Secondary::new().with_unrestricted(true)),
            (12, Secondary::new().with_invpcid(true)),
        ] {
            assert_eq!(control.into_bits(), 1 << bit);
        }
        assert_eq!(Exit::new().with_long_host(true).into_bits(), 1 << 9);
        assert_eq!(Exit::new().with_load_pat(true).into_bits(), 1 << 19);
        assert_eq!(Exit::new().with_load_efer(true).into_bits(), 1 << 21);
        assert_eq!(Entry::new().with_long_guest(true).into_bits(), 1 << 9);
        assert_eq!(Entry::new().with_load_pat(true).into_bits(), 1 << 14);
        assert_eq!(Entry::new().with_load_efer(true).into_bits(), 1 << 15);
    }
}
