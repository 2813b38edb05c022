//! Time: the time-stamp counter.

/// Returns the time-stamp counter.
pub fn now() -> u64 {
    // SAFETY: RDTSC is in every x86-64 processor, and CR4.TSD does not matter to the supervisor.
    unsafe { core::arch::x86_64::_rdtsc() }
}
