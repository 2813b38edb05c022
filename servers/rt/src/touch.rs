//! An access to what is not the process's own, for tests of isolation.

/// Reads the word at `address`, rounded down to a whole one. Where nothing of this process is
/// mapped, the thread faults, and its fault handler hears of it. Image, stacks and pages of the
/// runtime are not read: they are 0.
#[must_use]
pub fn touch(address: u64) -> u64 {
    let address = address & !7;
    if address < crate::start::MAPPED {
        return 0;
    }
    // SAFETY: from `MAPPED` on lies no Rust object that is not atomic or read-only; an address at
    // which nothing is mapped stops the thread.
    unsafe { (address as *const u64).read_volatile() }
}
