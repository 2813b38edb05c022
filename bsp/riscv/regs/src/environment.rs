//! What a hypervisor lets its guest use: henvcfg, hstateen0, hcounteren.

use bitfield_struct::bitfield;

/// Hypervisor environment configuration (II 15.2.5).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Henvcfg {
    /// Fences of I/O imply fences of memory.
    pub fiom: bool,
    __: bool,
    /// Landing pads in the guest's supervisor mode (Zicfilp).
    pub lpe: bool,
    /// Shadow stacks in the guest (Zicfiss).
    pub sse: bool,
    /// cbo.inval: 0 traps, 1 flushes, 3 invalidates (Zicbom).
    #[bits(2)]
    pub cbie: u8,
    /// cbo.clean and cbo.flush work (Zicbom).
    pub cbcfe: bool,
    /// cbo.zero works (Zicboz).
    pub cbze: bool,
    #[bits(24)]
    __: u32,
    /// Pointer masking in the guest's supervisor mode (Ssnpm).
    #[bits(2)]
    pub pmm: u8,
    #[bits(25)]
    __: u32,
    /// Double-trap detection in the guest (Ssdbltrp).
    pub dte: bool,
    __: bool,
    /// Hardware updates A and D bits of the guest's own tables (Svadu).
    pub adue: bool,
    /// Page-based memory types in the guest's own tables (Svpbmt).
    pub pbmte: bool,
    /// The guest has stimecmp (Sstc).
    pub stce: bool,
}

/// Hypervisor state enable 0 (II 4.1, Smstateen): a clear bit makes the guest's access trap.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Hstateen0 {
    /// Custom state.
    pub custom: bool,
    /// Floating-point control without F (Zfinx).
    pub fcsr: bool,
    /// Jump table of Zcmt.
    pub jvt: bool,
    #[bits(54)]
    __: u64,
    /// scontext.
    pub context: bool,
    /// The guest's interrupt file: stopei, and siselect 0x70 to 0xff.
    pub imsic: bool,
    /// Advanced interrupts other than the file.
    pub aia: bool,
    /// siselect and sireg.
    pub csrind: bool,
    __: bool,
    /// senvcfg.
    pub envcfg: bool,
    /// sstateen0.
    pub se0: bool,
}

/// Hypervisor counter enable (II 15.2.6).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Hcounteren {
    /// cycle.
    pub cy: bool,
    /// time.
    pub tm: bool,
    /// instret.
    pub ir: bool,
    /// hpmcounter3 to hpmcounter31.
    #[bits(29)]
    pub hpm: u32,
}

#[cfg(test)]
mod tests {
    use super::{Hcounteren, Henvcfg, Hstateen0};

    #[test]
    fn environment_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Henvcfg::new().with_fiom(true).into_bits(), 1);
        assert_eq!(Henvcfg::new().with_cbie(3).into_bits(), 3 << 4);
        assert_eq!(Henvcfg::new().with_cbcfe(true).into_bits(), 1 << 6);
        assert_eq!(Henvcfg::new().with_cbze(true).into_bits(), 1 << 7);
        assert_eq!(Henvcfg::new().with_pmm(3).into_bits(), 3 << 32);
        assert_eq!(Henvcfg::new().with_dte(true).into_bits(), 1 << 59);
        assert_eq!(Henvcfg::new().with_adue(true).into_bits(), 1 << 61);
        assert_eq!(Henvcfg::new().with_pbmte(true).into_bits(), 1 << 62);
        assert_eq!(Henvcfg::new().with_stce(true).into_bits(), 1 << 63);
    }

    #[test]
    fn state_enable_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Hstateen0::new().with_jvt(true).into_bits(), 1 << 2);
        assert_eq!(Hstateen0::new().with_context(true).into_bits(), 1 << 57);
        assert_eq!(Hstateen0::new().with_imsic(true).into_bits(), 1 << 58);
        assert_eq!(Hstateen0::new().with_aia(true).into_bits(), 1 << 59);
        assert_eq!(Hstateen0::new().with_csrind(true).into_bits(), 1 << 60);
        assert_eq!(Hstateen0::new().with_envcfg(true).into_bits(), 1 << 62);
        assert_eq!(Hstateen0::new().with_se0(true).into_bits(), 1 << 63);
        assert_eq!(Hcounteren::new().with_tm(true).into_bits(), 1 << 1);
    }
}
