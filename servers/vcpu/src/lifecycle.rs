//! The life of a VM.
//!
//! ```text
//!            power off                      ┌─────────────┐
//!          ┌───────────────────────────────▶│ PoweredOff  │
//!  ┌───────┴─┐  reboot   ┌───────────┐      └─────────────┘
//!  │ Running │──────────▶│ Rebooting │  failure  ┌────────┐
//!  └─▲─────┬─┘           └─────┬─────┘──────────▶│ Failed │
//!    │     └───────────────────┼────────────────▶└────────┘
//!    └─────────────────────────┘ reloaded
//! ```
//! The first end counts: what comes after it changes nothing.

use crate::VcpuId;
use abi::exit::ExitClass;

/// Why a guest ended or wants to reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum EndReason {
    /// It gave none.
    None,
    /// It says that it failed.
    SystemFailure,
    /// It printed `EXIT: STATUS=n`; this is n.
    ExitLine(i64),
}

impl EndReason {
    /// Returns the exit status that `xtask run` reports: 0 is a clean end.
    #[must_use]
    pub const fn status(self) -> i64 {
        match self {
            Self::None => 0,
            Self::SystemFailure => 1,
            Self::ExitLine(number) => number >> 1,
        }
    }
}

/// How a guest wants to be rebooted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum RebootKind {
    /// As after power-on.
    Cold,
    /// Processors and devices, but not all of the system; here the same.
    Warm,
}

/// What a guest cannot recover from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum Failure {
    /// The machine made an exit that this server does not know.
    UnknownExit {
        /// Which vCPU.
        vcpu: VcpuId,
        /// The class of the exit.
        class: ExitClass,
        /// The machine's cause.
        cause: u64,
        /// The guest's program counter.
        program_counter: u64,
    },
    /// The kernel refused a register that every vCPU has: this server is to blame.
    Register {
        /// Which vCPU.
        vcpu: VcpuId,
        /// The id of the register.
        id: u64,
    },
}

/// Where a VM stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum Lifecycle {
    /// It runs.
    Running,
    /// It ended.
    PoweredOff {
        /// Why.
        reason: EndReason,
    },
    /// It is stopped and has to be loaded again.
    Rebooting {
        /// How.
        kind: RebootKind,
        /// Why.
        reason: EndReason,
    },
    /// It was stopped for ever.
    Failed(Failure),
}

/// What moves a VM's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// The guest powered off.
    PowerOff(EndReason),
    /// The guest asked for a reboot.
    Reboot(RebootKind, EndReason),
    /// The guest cannot go on.
    Fail(Failure),
    /// Image, device tree and registers are as at first.
    Reloaded,
}

impl Lifecycle {
    /// Returns the next state, and whether all vCPUs have to be stopped now.
    #[must_use]
    pub const fn step(self, event: LifecycleEvent) -> (Self, bool) {
        match (self, event) {
            (Self::Running, LifecycleEvent::PowerOff(reason)) => {
                (Self::PoweredOff { reason }, true)
            }
            (Self::Running, LifecycleEvent::Reboot(kind, reason)) => {
                (Self::Rebooting { kind, reason }, true)
            }
            (Self::Running, LifecycleEvent::Fail(failure)) => (Self::Failed(failure), true),
            (Self::Rebooting { .. }, LifecycleEvent::Fail(failure)) => {
                (Self::Failed(failure), false)
            }
            (Self::Rebooting { .. }, LifecycleEvent::Reloaded) => (Self::Running, false),
            (Self::Running, LifecycleEvent::Reloaded)
            | (Self::Rebooting { .. }, LifecycleEvent::PowerOff(_) | LifecycleEvent::Reboot(..))
            | (Self::PoweredOff { .. } | Self::Failed(_), _) => (self, false),
        }
    }

    /// Returns whether the VM ended for ever.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::PoweredOff { .. } | Self::Failed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{EndReason, Failure, Lifecycle, LifecycleEvent, RebootKind};
    use crate::VcpuId;
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = LifecycleEvent> {
        let failure = Failure::Register {
            vcpu: VcpuId::new(0).unwrap(),
            id: 7,
        };
        prop_oneof![
            Just(LifecycleEvent::PowerOff(EndReason::None)),
            Just(LifecycleEvent::Reboot(RebootKind::Cold, EndReason::None)),
            Just(LifecycleEvent::Fail(failure)),
            Just(LifecycleEvent::Reloaded),
        ]
    }

    proptest! {
        #[test]
        fn the_first_end_counts(events in proptest::collection::vec(event(), 0..20)) {
            let mut state = Lifecycle::Running;
            for event in events {
                let (next, stop) = state.step(event);
                prop_assert!(!state.has_ended() || next == state);
                prop_assert_eq!(stop, state == Lifecycle::Running && next != state);
                state = next;
            }
        }
    }

    #[test]
    fn exit_lines_carry_the_status_above_bit_0() {
        assert_eq!(EndReason::ExitLine(1).status(), 0);
        assert_eq!(EndReason::ExitLine(3).status(), 1);
        assert_eq!(EndReason::ExitLine(-1).status(), -1);
    }
}
