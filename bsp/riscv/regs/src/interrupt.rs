//! Interrupt bit sets: sie/sip, hvip, hie, hip, hideleg.

use bitfield_struct::bitfield;

/// Bits of sie and sip (II 10.1.3).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct SupervisorInterrupts {
    __: bool,
    /// Software interrupt.
    pub software: bool,
    #[bits(3)]
    __: u8,
    /// Timer interrupt.
    pub timer: bool,
    #[bits(3)]
    __: u8,
    /// External interrupt.
    pub external: bool,
    #[bits(2)]
    __: u8,
    /// Guest external interrupt: of one of the guest interrupt files.
    pub guest_external: bool,
    /// Counter overflow (Sscofpmf).
    pub counter_overflow: bool,
    #[bits(50)]
    __: u64,
}

/// Bits of hvip, hie, hip and hideleg (II 15.2.2, 15.2.3).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct GuestInterrupts {
    #[bits(2)]
    __: u8,
    /// The guest's software interrupt (VSSIP).
    pub software: bool,
    #[bits(3)]
    __: u8,
    /// The guest's timer interrupt (VSTIP).
    pub timer: bool,
    #[bits(3)]
    __: u8,
    /// The guest's external interrupt (VSEIP).
    pub external: bool,
    __: bool,
    /// Guest external interrupt, for the hypervisor (SGEIP); not in hvip.
    pub guest_external: bool,
    #[bits(51)]
    __: u64,
}

impl GuestInterrupts {
    /// The three interrupts that a hypervisor can raise in a guest.
    pub const ALL: Self = Self::new()
        .with_software(true)
        .with_timer(true)
        .with_external(true);
}

#[cfg(test)]
mod tests {
    use super::{GuestInterrupts, SupervisorInterrupts};

    #[test]
    fn interrupt_bits_lie_where_the_manual_puts_them() {
        assert_eq!(GuestInterrupts::ALL.into_bits(), 0x444);
        assert_eq!(
            GuestInterrupts::new().with_guest_external(true).into_bits(),
            1 << 12
        );
        let all = SupervisorInterrupts::new()
            .with_software(true)
            .with_timer(true)
            .with_external(true);
        assert_eq!(all.into_bits(), 0x222);
        assert_eq!(
            SupervisorInterrupts::new()
                .with_guest_external(true)
                .into_bits(),
            1 << 12
        );
        assert_eq!(
            SupervisorInterrupts::new()
                .with_counter_overflow(true)
                .into_bits(),
            1 << 13
        );
    }
}
