//! Exceptions that the guest provokes.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::interrupts::PROCESSORS;
use crate::machine::{Machine, This};

/// An exception that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// scause.
    pub cause: u64,
    /// sepc.
    pub program_counter: u64,
    /// stval.
    pub value: u64,
}

/// What a processor expects and gets: 0 for nothing, 1 for an exception, 2 for one that came; then
/// the three words of it.
static PLACES: [[AtomicU64; 4]; PROCESSORS] =
    [const { [const { AtomicU64::new(0) }; 4] }; PROCESSORS];

/// Does what may provoke exceptions, and returns the first. Execution went on behind the
/// instruction at which each was taken.
pub fn catch(action: impl FnOnce()) -> Option<Caught> {
    let [state, cause, program_counter, value] = &PLACES[This::index()];
    state.store(1, Relaxed);
    action();
    (state.swap(0, Relaxed) == 2).then(|| Caught {
        cause: cause.load(Relaxed),
        program_counter: program_counter.load(Relaxed),
        value: value.load(Relaxed),
    })
}

/// Notes an exception; returns where to go on. One that nobody expects ends the guest.
pub fn exception(cause: u64, program_counter: u64, value: u64) -> u64 {
    let places = &PLACES[This::index()];
    let state = places[0].load(Relaxed);
    assert!(
        state != 0,
        "exception {cause} at {program_counter:#x}, value {value:#x}"
    );
    if state == 1 {
        for (place, word) in places.iter().zip([2, cause, program_counter, value]) {
            place.store(word, Relaxed);
        }
    }
    let instruction = core::ptr::with_exposed_provenance::<u16>(program_counter as usize);
    // SAFETY: the exceptions that are provoked are those of data accesses and of instructions, so
    // that the instruction itself is in the guest's text.
    let bits = unsafe { instruction.read() };
    program_counter + if bits & 3 == 3 { 4 } else { 2 }
}
