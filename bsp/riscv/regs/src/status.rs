//! Status registers: sstatus, vsstatus, hstatus.

use bitfield_struct::bitfield;

/// State of a register file that is switched lazily (II 3.1.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum UnitState {
    /// Instructions of the unit trap.
    Off = 0,
    /// The registers have their initial values.
    Initial = 1,
    /// The registers equal what was saved last.
    Clean = 2,
    /// The registers changed since they were saved.
    Dirty = 3,
}

impl UnitState {
    /// Returns the state that two bits encode.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Off,
            1 => Self::Initial,
            2 => Self::Clean,
            _ => Self::Dirty,
        }
    }

    /// Returns the two bits of this state.
    #[must_use]
    pub const fn into_bits(self) -> u8 {
        self as u8
    }
}

/// Supervisor status (II 10.1.1); the guest's copy, vsstatus, has the same layout (II 15.2.11).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Sstatus {
    __: bool,
    /// Interrupts are enabled in supervisor mode.
    pub sie: bool,
    #[bits(3)]
    __: u8,
    /// What `sie` was before the last trap.
    pub spie: bool,
    /// User mode is big-endian.
    pub ube: bool,
    __: bool,
    /// The last trap came from supervisor mode.
    pub spp: bool,
    /// Vector registers.
    #[bits(2)]
    pub vs: UnitState,
    #[bits(2)]
    __: u8,
    /// Floating-point registers.
    #[bits(2)]
    pub fs: UnitState,
    /// Other user-mode state.
    #[bits(2)]
    pub xs: UnitState,
    __: bool,
    /// Supervisor mode may access user pages.
    pub sum: bool,
    /// Executable pages may be read.
    pub mxr: bool,
    #[bits(3)]
    __: u8,
    /// A landing pad was expected before the last trap (Zicfilp).
    pub spelp: bool,
    /// A trap is being handled (Ssdbltrp).
    pub sdt: bool,
    #[bits(7)]
    __: u8,
    /// Width of user mode: 2 is 64 bits.
    #[bits(2)]
    pub uxl: u8,
    #[bits(29)]
    __: u32,
    /// `fs`, `vs` or `xs` is dirty.
    pub sd: bool,
}

/// The guest's supervisor status.
pub type Vsstatus = Sstatus;

/// Hypervisor status (II 15.2.1).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Hstatus {
    #[bits(5)]
    __: u8,
    /// The guest's supervisor mode is big-endian.
    pub vsbe: bool,
    /// The last trap wrote a guest virtual address to stval.
    pub gva: bool,
    /// The last trap came from a guest; sret returns to one.
    pub spv: bool,
    /// The privilege of the guest at the last trap, and of HLV/HSV: set is supervisor.
    pub spvp: bool,
    /// HLV and HSV work in user mode.
    pub hu: bool,
    #[bits(2)]
    __: u8,
    /// The guest interrupt file in use; 0 is none.
    #[bits(6)]
    pub vgein: u8,
    #[bits(2)]
    __: u8,
    /// The guest's satp and sfence.vma trap.
    pub vtvm: bool,
    /// The guest's wfi traps.
    pub vtw: bool,
    /// The guest's sret traps.
    pub vtsr: bool,
    #[bits(9)]
    __: u16,
    /// Width of the guest's supervisor mode: 2 is 64 bits.
    #[bits(2)]
    pub vsxl: u8,
    #[bits(14)]
    __: u16,
    /// Pointer masking of HLV and HSV in user mode.
    #[bits(2)]
    pub hupmm: u8,
    #[bits(14)]
    __: u16,
}

#[cfg(test)]
mod tests {
    use super::{Hstatus, Sstatus, UnitState};

    #[test]
    fn status_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Sstatus::new().with_sie(true).into_bits(), 1 << 1);
        assert_eq!(Sstatus::new().with_spie(true).into_bits(), 1 << 5);
        assert_eq!(Sstatus::new().with_spp(true).into_bits(), 1 << 8);
        assert_eq!(Sstatus::new().with_vs(UnitState::Dirty).into_bits(), 3 << 9);
        assert_eq!(
            Sstatus::new().with_fs(UnitState::Dirty).into_bits(),
            3 << 13
        );
        assert_eq!(
            Sstatus::new().with_xs(UnitState::Dirty).into_bits(),
            3 << 15
        );
        assert_eq!(Sstatus::new().with_sum(true).into_bits(), 1 << 18);
        assert_eq!(Sstatus::new().with_mxr(true).into_bits(), 1 << 19);
        assert_eq!(Sstatus::new().with_spelp(true).into_bits(), 1 << 23);
        assert_eq!(Sstatus::new().with_sdt(true).into_bits(), 1 << 24);
        assert_eq!(Sstatus::new().with_uxl(2).into_bits(), 2 << 32);
        assert_eq!(Sstatus::new().with_sd(true).into_bits(), 1 << 63);
    }

    #[test]
    fn hypervisor_status_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Hstatus::new().with_vsbe(true).into_bits(), 1 << 5);
        assert_eq!(Hstatus::new().with_gva(true).into_bits(), 1 << 6);
        assert_eq!(Hstatus::new().with_spv(true).into_bits(), 1 << 7);
        assert_eq!(Hstatus::new().with_spvp(true).into_bits(), 1 << 8);
        assert_eq!(Hstatus::new().with_hu(true).into_bits(), 1 << 9);
        assert_eq!(Hstatus::new().with_vgein(0x3f).into_bits(), 0x3f << 12);
        assert_eq!(Hstatus::new().with_vtvm(true).into_bits(), 1 << 20);
        assert_eq!(Hstatus::new().with_vtw(true).into_bits(), 1 << 21);
        assert_eq!(Hstatus::new().with_vtsr(true).into_bits(), 1 << 22);
        assert_eq!(Hstatus::new().with_vsxl(2).into_bits(), 2 << 32);
        assert_eq!(Hstatus::new().with_hupmm(3).into_bits(), 3 << 48);
    }
}
