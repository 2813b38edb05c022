//! Numbers of model-specific registers (SDM 4, chapter 2).

/// [`crate::Efer`].
pub const EFER: u32 = 0xc000_0080;
/// The TSC value at which the local APIC's timer fires, in TSC-deadline mode (SDM 3A 13.5.4.1).
pub const TSC_DEADLINE: u32 = 0x6e0;
/// Interrupt command of the local APIC in x2APIC mode (SDM 3A 13.12.9).
pub const X2APIC_INTERRUPT_COMMAND: u32 = 0x830;
