//! What a thread's fault handler is told.

crate::error::numbered! {
    /// Why a thread stopped. The label of the message; words: 0 program counter, 1 address
    /// (or 0), 2 the machine's cause.
    pub enum FaultKind: u16 {
        /// A load from an address that is not mapped for reading.
        Load = 0,
        /// A store to an address that is not mapped for writing.
        Store = 1,
        /// An instruction fetch from an address that is not mapped for execution.
        Fetch = 2,
        /// An instruction that the machine does not have, or not in user mode.
        IllegalInstruction = 3,
        /// A breakpoint instruction.
        Breakpoint = 4,
        /// An access that the machine wants aligned.
        Misaligned = 5,
        /// The budget ran out inside a server, and so did the grace after it.
        Timeout = 6,
    }
}
