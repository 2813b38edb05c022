//! Feature bits of the boot information (`abi::boot::BootInfo::features`).

/// Guests are run by SVM: their hypercall is VMMCALL.
pub const SVM: u64 = 1;
/// Guests are run by VMX: their hypercall is VMCALL.
pub const VMX: u64 = 1 << 1;
