//! The states of a processor (SDM 3A, 10.4): all but the first wait until they are started.
//!
//! ```text
//!             start                      init, power off
//!  ┌─────────┐ ──────▶ ┌─────────┐ ──────────────────────▶ ┌─────────┐
//!  │ Waiting │         │ Running │                         │ Waiting │
//!  └─────────┘         └─────────┘                         └─────────┘
//! ```

/// State of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// It waits to be started, and executes nothing.
    Waiting,
    /// It executes.
    Running,
}
