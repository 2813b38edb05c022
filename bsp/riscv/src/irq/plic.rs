//! The platform-level interrupt controller of the host (RISC-V PLIC specification 1.0).

use crate::percore;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::word::Word;

/// Physical address of the controller's registers, 0 where there is none.
static BASE: Word = Word::new(0);
/// Context number of each core's supervisor mode.
static CONTEXTS: [Word; abi::MAX_CORES] = [const { Word::new(0) }; abi::MAX_CORES];

/// First enable register, one block per context.
const ENABLE: u64 = 0x2000;
/// Bytes of a context's enable block.
const ENABLE_STRIDE: u64 = 0x80;
/// First threshold register, one block per context; the claim register follows it.
const THRESHOLD: u64 = 0x20_0000;
/// Bytes of a context's threshold block.
const THRESHOLD_STRIDE: u64 = 0x1000;

/// Notes where the controller is.
pub fn set_base(physical: u64) {
    BASE.set(physical);
}

/// Notes which context is a core's supervisor mode.
pub fn set_context(core: usize, context: u64) {
    if let Some(word) = CONTEXTS.get(core) {
        word.set(context);
    }
}

/// Returns a register of the controller.
fn register(offset: u64) -> Option<&'static AtomicU32> {
    let base = BASE.get();
    if base == 0 {
        return None;
    }
    super::register(base + offset)
}

/// Returns the enable register of a context that has `line`.
fn enable(context: u64, line: u32) -> Option<&'static AtomicU32> {
    register(ENABLE + context * ENABLE_STRIDE + u64::from(line / 32) * 4)
}

/// Returns the context of the core that runs this.
fn own_context() -> u64 {
    let core = usize::try_from(percore::current().core.get()).unwrap_or(usize::MAX);
    CONTEXTS.get(core).map_or(0, Word::get)
}

/// Lets every interrupt that is enabled through to this core.
pub fn start_core() {
    if let Some(threshold) = register(THRESHOLD + own_context() * THRESHOLD_STRIDE) {
        threshold.store(0, Ordering::Relaxed);
    }
}

/// Masks a line on all cores.
pub fn mask(line: u32) {
    for core in 0..abi::MAX_CORES {
        let Some(context) = CONTEXTS.get(core).map(Word::get) else {
            return;
        };
        if context == 0 && core != 0 {
            continue;
        }
        if let Some(enable) = enable(context, line) {
            enable.fetch_and_relaxed(!(1 << (line % 32)));
        }
    }
}

/// Unmasks a line for the core that runs this.
pub fn unmask(line: u32) {
    if let Some(priority) = register(u64::from(line) * 4) {
        priority.store(1, Ordering::Relaxed);
    }
    if let Some(enable) = enable(own_context(), line) {
        enable.fetch_or_relaxed(1 << (line % 32));
    }
}

/// Takes the line that interrupts this core and masks it.
pub fn claim() -> Option<u32> {
    let claim = register(THRESHOLD + own_context() * THRESHOLD_STRIDE + 4)?;
    let line = claim.load(Ordering::Relaxed);
    if line == 0 {
        return None;
    }
    mask(line);
    claim.store(line, Ordering::Relaxed);
    Some(line)
}

/// Read-modify-write of device registers, which do not take atomic instructions. Only the holder
/// of the line's masked state changes its bit, and cores change registers of their own context
/// but for `mask`, which the kernel calls under the capability lock or at a claim.
trait DeviceBits {
    /// Clears bits.
    fn fetch_and_relaxed(&self, bits: u32);
    /// Sets bits.
    fn fetch_or_relaxed(&self, bits: u32);
}

impl DeviceBits for AtomicU32 {
    fn fetch_and_relaxed(&self, bits: u32) {
        self.store(self.load(Ordering::Relaxed) & bits, Ordering::Relaxed);
    }

    fn fetch_or_relaxed(&self, bits: u32) {
        self.store(self.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
    }
}
