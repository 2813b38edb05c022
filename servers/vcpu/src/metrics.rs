//! What this server counted; printed when a guest ends.

use abi::exit::{EXIT_CLASSES, ExitClass};

/// Counters since the guest's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    exits: [u64; EXIT_CLASSES],
    /// Firmware calls, by extension.
    pub calls: Calls,
    /// Accesses that were decoded here and forwarded to their device.
    pub forwarded: u64,
    /// Exceptions that the guest got from here.
    pub exceptions: u64,
    /// Exits that wait for a page; each is counted every time it is tried.
    pub waits: u64,
}

/// Firmware calls, by extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// BASE.
    pub base: u64,
    /// TIME.
    pub time: u64,
    /// IPI.
    pub ipi: u64,
    /// RFENCE.
    pub rfence: u64,
    /// HSM.
    pub hsm: u64,
    /// SRST.
    pub srst: u64,
    /// DBCN.
    pub dbcn: u64,
    /// Extensions that do not exist here.
    pub unknown: u64,
}

impl Metrics {
    /// Counts an exit.
    pub(crate) fn count(&mut self, class: ExitClass) {
        if let Some(count) = self.exits.get_mut(class as usize) {
            *count += 1;
        }
    }

    /// Returns the exits of a class that came here.
    #[must_use]
    pub fn exits(&self, class: ExitClass) -> u64 {
        self.exits.get(class as usize).copied().unwrap_or(0)
    }
}
