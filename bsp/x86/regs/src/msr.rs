//! Numbers of model-specific registers (SDM 4, "Model-Specific Registers").

/// Base address and mode of the local APIC.
pub const APIC_BASE: u32 = 0x1b;
/// Whether VMX may be turned on (SDM 3C, "Enabling and Entering VMX Operation").
pub const FEATURE_CONTROL: u32 = 0x3a;
/// Code segment of SYSENTER.
pub const SYSENTER_CS: u32 = 0x174;
/// Stack of SYSENTER.
pub const SYSENTER_ESP: u32 = 0x175;
/// Where SYSENTER goes.
pub const SYSENTER_EIP: u32 = 0x176;
/// Memory types of the page attribute table.
pub const PAT: u32 = 0x277;
/// What VMX has (SDM 3D, appendix "VMX Capability Reporting Facility").
pub const VMX_BASIC: u32 = 0x480;
/// Further of it: bits 4:0 are how far the TSC is shifted for the timer of guests.
pub const VMX_MISC: u32 = 0x485;
/// Bits of CR4 that can be set while VMX is on.
pub const VMX_CR4_FIXED1: u32 = 0x489;
/// Secondary processor-based controls that can be.
pub const VMX_SECONDARY: u32 = 0x48b;
/// What extended page tables and the tags of translations have.
pub const VMX_EPT_VPID_CAP: u32 = 0x48c;
/// Pin-based controls that can be.
pub const VMX_TRUE_PIN: u32 = 0x48d;
/// Primary processor-based controls that can be.
pub const VMX_TRUE_PRIMARY: u32 = 0x48e;
/// Exit controls that can be.
pub const VMX_TRUE_EXIT: u32 = 0x48f;
/// Entry controls that can be.
pub const VMX_TRUE_ENTRY: u32 = 0x490;
/// The TSC value at which the local APIC's timer fires (SDM 3A, "TSC-Deadline Mode").
pub const TSC_DEADLINE: u32 = 0x6e0;
/// Register 0 of the local APIC in x2APIC mode.
pub const X2APIC: u32 = 0x800;
/// [`crate::Efer`].
pub const EFER: u32 = 0xc000_0080;
/// Segments of SYSCALL and SYSRET.
pub const STAR: u32 = 0xc000_0081;
/// Where SYSCALL goes.
pub const LSTAR: u32 = 0xc000_0082;
/// Where SYSCALL goes from 32-bit code.
pub const CSTAR: u32 = 0xc000_0083;
/// Flags that SYSCALL clears.
pub const SYSCALL_MASK: u32 = 0xc000_0084;
/// Base of FS.
pub const FS_BASE: u32 = 0xc000_0100;
/// Base of GS.
pub const GS_BASE: u32 = 0xc000_0101;
/// What SWAPGS exchanges with the base of GS.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// SVM is switched off or locked (APM, "VM_CR MSR").
pub const VM_CR: u32 = 0xc001_0114;
/// Physical address of the page that VMRUN saves the host's state to.
pub const VM_HSAVE_PA: u32 = 0xc001_0117;
