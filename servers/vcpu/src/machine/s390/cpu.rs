//! The states of a CPU (PoP chapter 4, "CPU States").

/// State of a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cpu {
    /// It executes, or waits for an interruption.
    Operating,
    /// It does not execute.
    #[default]
    Stopped,
    /// It stopped itself and its vCPU is not parked yet.
    Stopping,
    /// It waits and no interruption can end that; like a stopped one, but an order says so.
    Waiting,
}

impl Cpu {
    /// Returns whether it is stopped as SENSE has it.
    #[must_use]
    pub const fn is_stopped(self) -> bool {
        matches!(self, Self::Stopped | Self::Stopping)
    }
}
