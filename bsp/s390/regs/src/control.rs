//! Control register 0 (PoP chapter 4) and address-space-control elements (PoP chapter 3), which
//! control registers 1, 7 and 13 hold.

use crate::TableType;
use bitfield_struct::bitfield;

/// Control register 0: which external interrupts are taken, and facilities of DAT.
#[bitfield(u64, order = Msb)]
#[derive(PartialEq, Eq)]
pub struct Cr0 {
    #[bits(35)]
    __: u64,
    /// Accesses to the first 512 bytes of each of the first two pages are refused to stores.
    pub low_address_protection: bool,
    #[bits(4)]
    __: u8,
    /// Large pages and access bits of tables (EDAT).
    pub enhanced_translation: bool,
    #[bits(2)]
    __: u8,
    /// Page and segment entries can forbid fetches of instructions.
    pub execution_protection: bool,
    __: bool,
    /// All floating-point registers and instructions can be used; without it registers 0, 2, 4 and
    /// 6 can be loaded and stored.
    pub additional_float: bool,
    #[bits(2)]
    __: u8,
    /// Another CPU entered the check-stop state.
    pub malfunction_alert: bool,
    /// Another CPU sent an emergency signal.
    pub emergency_signal: bool,
    /// Another CPU sent an external call.
    pub external_call: bool,
    __: bool,
    /// The TOD clock passed the clock comparator.
    pub clock_comparator: bool,
    /// The CPU timer is negative.
    pub cpu_timer: bool,
    /// The service processor (SCLP) signals.
    pub service_signal: bool,
    #[bits(9)]
    __: u16,
}

/// Address-space-control element.
#[bitfield(u64, order = Msb)]
#[derive(PartialEq, Eq)]
pub struct Asce {
    /// Page number of the root table.
    #[bits(52)]
    pub frame: u64,
    #[bits(2)]
    __: u8,
    /// Subspaces.
    pub subspace: bool,
    /// No translation of this space is shared with others.
    pub private_space: bool,
    /// Storage-alteration events are recorded.
    pub storage_alteration: bool,
    /// Space-switch events are recorded.
    pub space_switch: bool,
    /// Virtual addresses are real addresses; there is no table.
    pub real_space: bool,
    __: bool,
    /// What the root table is.
    #[bits(2)]
    pub root: TableType,
    /// Its length in pages, minus one: 3 is the whole 16 KiB.
    #[bits(2)]
    pub length: u8,
}

#[cfg(test)]
mod tests {
    use super::{Asce, Cr0};
    use crate::TableType;

    #[test]
    fn control_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Cr0::new().with_service_signal(true).into_bits(), 0x200);
        assert_eq!(Cr0::new().with_cpu_timer(true).into_bits(), 0x400);
        assert_eq!(Cr0::new().with_clock_comparator(true).into_bits(), 0x800);
        assert_eq!(Cr0::new().with_external_call(true).into_bits(), 0x2000);
        assert_eq!(Cr0::new().with_emergency_signal(true).into_bits(), 0x4000);
        assert_eq!(Cr0::new().with_malfunction_alert(true).into_bits(), 0x8000);
        let execution = Cr0::new().with_execution_protection(true);
        assert_eq!(execution.into_bits(), 1 << (63 - 43));
        let enhanced = Cr0::new().with_enhanced_translation(true);
        assert_eq!(enhanced.into_bits(), 1 << (63 - 40));
        let float = Cr0::new().with_additional_float(true);
        assert_eq!(float.into_bits(), 1 << (63 - 45));
        let low = Cr0::new().with_low_address_protection(true);
        assert_eq!(low.into_bits(), 1 << (63 - 35));
    }

    #[test]
    fn a_space_is_named_by_root_type_and_length() {
        let space = Asce::new().with_frame(0x1234).with_length(3);
        assert_eq!(space.into_bits(), 0x0123_4003);
        let wide = space.with_root(TableType::RegionThird);
        assert_eq!(wide.into_bits(), 0x0123_4007);
        assert_eq!(Asce::new().with_real_space(true).into_bits(), 0x20);
        assert_eq!(Asce::new().with_private_space(true).into_bits(), 0x100);
    }
}
