//! The states of a hart (SBI 9, figure 1).
//!
//! ```text
//!             start request                runs
//!  ┌─────────┐ ──────────▶ ┌──────────────┐ ──▶ ┌─────────┐
//!  │ Stopped │             │ StartPending │     │ Started │
//!  └─────────┘ ◀────────── └──────────────┘     └────┬────┘
//!       ▲        killed                              │ stop request
//!       │  parked  ┌─────────────┐                   │
//!       └───────── │ StopPending │ ◀─────────────────┘
//!                  └─────────────┘
//! ```
//! A started hart that suspends itself is `Suspended` until its vCPU was seen to run; whether it still
//! waits, the kernel knows ([`Hart::status`]).

/// State of a hart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hart {
    /// It executes.
    Started,
    /// It waits for an interrupt, or did when it was last seen.
    Suspended,
    /// It will execute.
    StartPending,
    /// It asked to be stopped and its vCPU is not parked yet.
    StopPending,
    /// It does not execute.
    Stopped,
}

/// What happens to a hart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HartEvent {
    /// Another hart, or the boot, wants it to start.
    StartRequest,
    /// Its vCPU runs, or was seen to have run.
    Running,
    /// It wants to stop.
    StopRequest,
    /// It wants to wait for an interrupt.
    SuspendRequest,
    /// Its vCPU is stopped, at its own request.
    Parked,
    /// Its vCPU was stopped because the VM ended or reboots.
    Killed,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HartAction {
    /// Nothing.
    None,
    /// Set its registers and let its vCPU run.
    Start,
    /// Stop its vCPU by the reply to the exit.
    Park,
    /// Refuse the request: the hart is not stopped.
    Refuse,
}

impl Hart {
    /// Returns the next state and what has to be done.
    #[must_use]
    pub const fn step(self, event: HartEvent) -> (Self, HartAction) {
        match (self, event) {
            (Self::Stopped, HartEvent::StartRequest) => (Self::StartPending, HartAction::Start),
            (_, HartEvent::StartRequest) => (self, HartAction::Refuse),
            (Self::StartPending | Self::Suspended, HartEvent::Running) => {
                (Self::Started, HartAction::None)
            }
            (Self::Started, HartEvent::StopRequest) => (Self::StopPending, HartAction::Park),
            (Self::StopPending, HartEvent::Parked) | (_, HartEvent::Killed) => {
                (Self::Stopped, HartAction::None)
            }
            (Self::Started, HartEvent::SuspendRequest) => (Self::Suspended, HartAction::None),
            (
                _,
                HartEvent::Running
                | HartEvent::StopRequest
                | HartEvent::SuspendRequest
                | HartEvent::Parked,
            ) => (self, HartAction::None),
        }
    }

    /// Returns the number in answers to `sbi_hart_get_status`, of a hart that waits for an interrupt
    /// now if `is_idle`.
    #[must_use]
    pub const fn status(self, is_idle: bool) -> u64 {
        match self {
            Self::Suspended if is_idle => 4,
            Self::Started | Self::Suspended => 0,
            Self::Stopped => 1,
            Self::StartPending => 2,
            Self::StopPending => 3,
        }
    }

    /// Returns whether interrupts and fences concern the hart.
    #[must_use]
    pub const fn is_interruptible(self) -> bool {
        matches!(self, Self::Started | Self::StartPending | Self::Suspended)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hart, HartAction, HartEvent};

    const STATES: [Hart; 5] = [
        Hart::Started,
        Hart::Stopped,
        Hart::StartPending,
        Hart::StopPending,
        Hart::Suspended,
    ];
    const EVENTS: [HartEvent; 6] = [
        HartEvent::StartRequest,
        HartEvent::Running,
        HartEvent::StopRequest,
        HartEvent::SuspendRequest,
        HartEvent::Parked,
        HartEvent::Killed,
    ];

    #[test]
    fn only_a_stopped_hart_starts_and_only_a_started_one_stops() {
        for state in STATES {
            for event in EVENTS {
                let (next, action) = state.step(event);
                let starts = state == Hart::Stopped && event == HartEvent::StartRequest;
                assert_eq!(action == HartAction::Start, starts);
                let stops = state == Hart::Started && event == HartEvent::StopRequest;
                assert_eq!(action == HartAction::Park, stops);
                let refused = state != Hart::Stopped && event == HartEvent::StartRequest;
                assert_eq!(action == HartAction::Refuse, refused);
                assert!(action != HartAction::Refuse || next == state);
            }
        }
    }

    #[test]
    fn a_hart_never_runs_out_of_stopped_without_a_request() {
        for event in EVENTS
            .into_iter()
            .filter(|&event| event != HartEvent::StartRequest)
        {
            assert_eq!(Hart::Stopped.step(event).0, Hart::Stopped);
        }
    }
}
