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
//! Suspending is not supported, so a hart is never seen suspended.

/// State of a hart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hart {
    /// It executes.
    Started,
    /// It does not execute.
    Stopped,
    /// It will execute.
    StartPending,
    /// It asked to be stopped and its vCPU is not parked yet.
    StopPending,
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
            (Self::StartPending, HartEvent::Running) => (Self::Started, HartAction::None),
            (Self::Started, HartEvent::StopRequest) => (Self::StopPending, HartAction::Park),
            (Self::StopPending, HartEvent::Parked) | (_, HartEvent::Killed) => {
                (Self::Stopped, HartAction::None)
            }
            (_, HartEvent::Running | HartEvent::StopRequest | HartEvent::Parked) => {
                (self, HartAction::None)
            }
        }
    }

    /// Returns the number in answers to `sbi_hart_get_status`.
    #[must_use]
    pub const fn status(self) -> u64 {
        match self {
            Self::Started => 0,
            Self::Stopped => 1,
            Self::StartPending => 2,
            Self::StopPending => 3,
        }
    }

    /// Returns whether interrupts and fences concern the hart.
    #[must_use]
    pub const fn is_interruptible(self) -> bool {
        matches!(self, Self::Started | Self::StartPending)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hart, HartAction, HartEvent};

    const STATES: [Hart; 4] = [
        Hart::Started,
        Hart::Stopped,
        Hart::StartPending,
        Hart::StopPending,
    ];
    const EVENTS: [HartEvent; 5] = [
        HartEvent::StartRequest,
        HartEvent::Running,
        HartEvent::StopRequest,
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
