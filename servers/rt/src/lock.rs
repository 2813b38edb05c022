//! A short lock for state that the threads of a server share.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// Rounds of waiting after which the waiter lets others of its priority run.
const ROUNDS: u32 = 64;

/// A lock that is granted in the order of asking. Hold it for a few instructions, never over a
/// call; threads of one core that share it have the same priority, or the waiter starves the holder.
#[derive(Debug, Default)]
pub struct TicketLock<T> {
    next: AtomicU32,
    serving: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only by the holder of the current ticket, one thread at a time.
unsafe impl<T: Send> Sync for TicketLock<T> {}

impl<T> TicketLock<T> {
    /// Returns an open lock.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for its turn and returns the access.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        let ticket = self.next.fetch_add(1, Relaxed);
        if self.serving.load(Acquire) != ticket {
            self.wait(ticket);
        }
        Guard { lock: self }
    }

    /// Waits until it is the ticket's turn.
    #[cold]
    #[inline(never)]
    fn wait(&self, ticket: u32) {
        let mut rounds = 0_u32;
        while self.serving.load(Acquire) != ticket {
            core::hint::spin_loop();
            rounds += 1;
            if rounds.is_multiple_of(ROUNDS) {
                let _ = crate::capability::yield_now();
            }
        }
    }
}

/// Access to what a [`TicketLock`] protects.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a TicketLock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the current ticket, so nobody else reaches the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the current ticket and is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Only who holds the current ticket writes it.
        let ticket = self.lock.serving.load(Relaxed);
        self.lock.serving.store(ticket.wrapping_add(1), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::TicketLock;

    #[test]
    fn no_increment_is_lost() {
        let count = TicketLock::new(0_u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| *count.lock() += 1));
            }
        });
        assert_eq!(*count.lock(), 4000);
    }
}
