//! Fields of kernel objects: words that several cores may look at.
//!
//! Every field is a relaxed atomic, which costs what a plain field costs and leaves no data race
//! to argue about. Where order between cores matters, the code says so with the atomic itself.

use arena::Handle;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::FromBytes;

/// A 64-bit field.
#[derive(FromBytes)]
#[repr(transparent)]
pub struct Word(AtomicU64);

impl Word {
    /// Makes a word with this value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Returns the value.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the value.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Sets the value and returns the one before; not atomic.
    #[inline(always)]
    pub fn replace(&self, value: u64) -> u64 {
        let before = self.get();
        self.set(value);
        before
    }

    /// Adds to the value, wrapping; not atomic.
    #[inline(always)]
    pub fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }

    /// Returns the atomic, for the places where cores meet.
    #[inline(always)]
    pub const fn shared(&self) -> &AtomicU64 {
        &self.0
    }
}

/// A field that names an object, or nothing.
#[derive(FromBytes)]
#[repr(transparent)]
pub struct Link<T> {
    address: AtomicU64,
    object: PhantomData<fn() -> T>,
}

impl<T> Link<T> {
    /// Makes a link to nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            address: AtomicU64::new(0),
            object: PhantomData,
        }
    }

    /// Returns the handle.
    #[inline(always)]
    pub fn get(&self) -> Option<Handle<T>> {
        Handle::from_address(self.address.load(Ordering::Relaxed))
    }

    /// Returns the address, or 0.
    #[inline(always)]
    pub fn address(&self) -> u64 {
        self.address.load(Ordering::Relaxed)
    }

    /// Sets the handle.
    #[inline(always)]
    pub fn set(&self, handle: Option<Handle<T>>) {
        self.address
            .store(handle.map_or(0, Handle::address), Ordering::Relaxed);
    }

    /// Takes the handle out.
    #[inline(always)]
    pub fn take(&self) -> Option<Handle<T>> {
        let handle = self.get();
        self.set(None);
        handle
    }
}
