//! Control registers and EFER.

use bitfield_struct::bitfield;

/// Control register 0 (SDM 3A, "Control Registers").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cr0 {
    /// Protected mode.
    pub protection: bool,
    /// WAIT obeys `task_switched`.
    pub monitor_coprocessor: bool,
    /// Floating-point instructions fault.
    pub emulation: bool,
    /// The next floating-point instruction faults, so that its state can be switched lazily.
    pub task_switched: bool,
    /// Always set.
    pub extension_type: bool,
    /// Floating-point errors are exceptions.
    pub numeric_error: bool,
    #[bits(10)]
    __: u16,
    /// Supervisor mode obeys read-only pages.
    pub write_protect: bool,
    __: bool,
    /// Unaligned accesses of user mode fault where EFLAGS.AC is set.
    pub alignment_mask: bool,
    #[bits(10)]
    __: u16,
    /// Caches write through.
    pub not_write_through: bool,
    /// Caches are off.
    pub cache_disable: bool,
    /// Paging.
    pub paging: bool,
    __: u32,
}

/// Control register 3 (SDM 3A, "Use of CR3 with 4-Level Paging").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cr3 {
    /// Process-context identifier, with CR4.PCIDE; must be 0 without.
    #[bits(12)]
    pub pcid: u16,
    /// Page number of the root table.
    #[bits(40)]
    pub frame: u64,
    #[bits(11)]
    __: u16,
    /// On a write with CR4.PCIDE: cached translations of this PCID stay valid. Never stored.
    pub keep: bool,
}

/// Control register 4 (SDM 3A, "Control Registers"). A bit that CPUID does not announce must stay
/// clear.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cr4 {
    #[bits(4)]
    __: u8,
    /// 4 MiB pages without PAE.
    pub page_size_extension: bool,
    /// Entries of 64 bits: needed for long mode.
    pub physical_address_extension: bool,
    __: bool,
    /// Global pages.
    pub page_global: bool,
    __: bool,
    /// FXSAVE and SSE instructions.
    pub fxsr: bool,
    /// SSE exceptions.
    pub simd_exceptions: bool,
    /// User mode may not read descriptor-table registers (UMIP).
    pub user_instruction_prevention: bool,
    /// Five levels of tables.
    pub five_levels: bool,
    /// VMX instructions.
    pub vmx: bool,
    #[bits(2)]
    __: u8,
    /// RDFSBASE and its kin in user mode.
    pub fsgsbase: bool,
    /// Process-context identifiers.
    pub pcid: bool,
    /// XSAVE and extended states.
    pub xsave: bool,
    __: bool,
    /// Supervisor mode may not execute user pages (SMEP).
    pub supervisor_execution_prevention: bool,
    /// Supervisor mode may not access user pages (SMAP).
    pub supervisor_access_prevention: bool,
    /// Protection keys of user pages.
    pub protection_keys: bool,
    /// Control-flow enforcement (CET).
    pub control_flow_enforcement: bool,
    #[bits(40)]
    __: u64,
}

/// Extended feature enables (SDM 3A and APM, "Extended Feature Enable Register").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Efer {
    /// SYSCALL and SYSRET.
    pub system_call: bool,
    #[bits(7)]
    __: u8,
    /// Long mode begins with paging.
    pub long_mode: bool,
    __: bool,
    /// Long mode is in force.
    pub long_mode_active: bool,
    /// Entries have a no-execute bit.
    pub no_execute: bool,
    /// SVM instructions.
    pub svm: bool,
    #[bits(51)]
    __: u64,
}

#[cfg(test)]
mod tests {
    use super::{Cr0, Cr3, Cr4, Efer};

    #[test]
    fn control_bits_lie_where_the_manual_puts_them() {
        assert_eq!(Cr0::new().with_protection(true).into_bits(), 1);
        assert_eq!(Cr0::new().with_task_switched(true).into_bits(), 1 << 3);
        assert_eq!(Cr0::new().with_extension_type(true).into_bits(), 1 << 4);
        assert_eq!(Cr0::new().with_numeric_error(true).into_bits(), 1 << 5);
        assert_eq!(Cr0::new().with_write_protect(true).into_bits(), 1 << 16);
        assert_eq!(Cr0::new().with_alignment_mask(true).into_bits(), 1 << 18);
        assert_eq!(Cr0::new().with_not_write_through(true).into_bits(), 1 << 29);
        assert_eq!(Cr0::new().with_paging(true).into_bits(), 1 << 31);
        assert_eq!(Cr3::new().with_frame(0x12345).into_bits(), 0x1234_5000);
        assert_eq!(Cr3::new().with_pcid(0xfff).into_bits(), 0xfff);
        assert_eq!(Cr3::new().with_keep(true).into_bits(), 1 << 63);
    }

    #[test]
    fn feature_bits_lie_where_the_manual_puts_them() {
        let pae = Cr4::new().with_physical_address_extension(true);
        assert_eq!(pae.into_bits(), 1 << 5);
        assert_eq!(Cr4::new().with_page_global(true).into_bits(), 1 << 7);
        assert_eq!(Cr4::new().with_fxsr(true).into_bits(), 1 << 9);
        let umip = Cr4::new().with_user_instruction_prevention(true);
        assert_eq!(umip.into_bits(), 1 << 11);
        assert_eq!(Cr4::new().with_vmx(true).into_bits(), 1 << 13);
        assert_eq!(Cr4::new().with_fsgsbase(true).into_bits(), 1 << 16);
        assert_eq!(Cr4::new().with_pcid(true).into_bits(), 1 << 17);
        assert_eq!(Cr4::new().with_xsave(true).into_bits(), 1 << 18);
        let smep = Cr4::new().with_supervisor_execution_prevention(true);
        assert_eq!(smep.into_bits(), 1 << 20);
        let smap = Cr4::new().with_supervisor_access_prevention(true);
        assert_eq!(smap.into_bits(), 1 << 21);
        let cet = Cr4::new().with_control_flow_enforcement(true);
        assert_eq!(cet.into_bits(), 1 << 23);
        assert_eq!(Efer::new().with_system_call(true).into_bits(), 1);
        assert_eq!(Efer::new().with_long_mode(true).into_bits(), 1 << 8);
        assert_eq!(Efer::new().with_long_mode_active(true).into_bits(), 1 << 10);
        assert_eq!(Efer::new().with_no_execute(true).into_bits(), 1 << 11);
        assert_eq!(Efer::new().with_svm(true).into_bits(), 1 << 12);
    }
}
