//! What the device counted.

/// Counters since the start; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Register reads of the guest.
    pub reads: u64,
    /// Register writes of the guest.
    pub writes: u64,
    /// Accesses outside the registers, or wider than a byte.
    pub odd_accesses: u64,
    /// Bytes that the guest sent.
    pub sent: u64,
    /// Bytes that were handed to the guest.
    pub received: u64,
    /// Bytes that were not accepted because the receiver was full; the caller keeps them.
    pub refused: u64,
    /// Bytes of the guest that were lost because the output was not drained.
    pub dropped: u64,
    /// Changes of the interrupt line.
    pub interrupts: u64,
}
