//! Numbers of model-specific registers (SDM 4, "Model-Specific Registers").

/// [`crate::Efer`].
pub const EFER: u32 = 0xc000_0080;
/// The TSC value at which the local APIC's timer fires (SDM 3A, "TSC-Deadline Mode").
pub const TSC_DEADLINE: u32 = 0x6e0;
/// Interrupt command of the local APIC in x2APIC mode (SDM 3A, "ICR Operation in x2APIC Mode").
pub const X2APIC_INTERRUPT_COMMAND: u32 = 0x830;
