//! Counts of the interrupts that each processor took.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;

use crate::machine::{Machine, This};

/// What interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The processor's own timer.
    Timer,
    /// Another processor, or the processor itself.
    Processor,
    /// A device.
    Device,
}

/// Processors that the guest uses.
pub const PROCESSORS: usize = 2;

/// Interrupts taken, by processor and source.
static TAKEN: [[AtomicU64; 3]; PROCESSORS] =
    [const { [const { AtomicU64::new(0) }; 3] }; PROCESSORS];
/// The newest message to each processor.
static POSTED: [AtomicU64; PROCESSORS] = [const { AtomicU64::new(0) }; PROCESSORS];
/// The message that each processor found at its latest interrupt by a processor.
static FOUND: [AtomicU64; PROCESSORS] = [const { AtomicU64::new(0) }; PROCESSORS];

/// Counts an interrupt that this processor takes; the machine's handler calls it once for each,
/// after it was acknowledged.
pub fn note(source: Source) {
    let own = This::index();
    TAKEN[own][source as usize].fetch_add(1, SeqCst);
    if source == Source::Processor {
        FOUND[own].store(POSTED[own].load(SeqCst), SeqCst);
    }
}

/// Returns how many interrupts of `source` this processor took so far.
pub fn taken(source: Source) -> u64 {
    TAKEN[This::index()][source as usize].load(SeqCst)
}

/// Leaves a message for a processor and interrupts it.
pub fn post(processor: usize, message: u64) {
    POSTED[processor].store(message, SeqCst);
    This::interrupt(processor);
}

/// Returns the message that this processor found at its latest interrupt.
pub fn found() -> u64 {
    FOUND[This::index()].load(SeqCst)
}
