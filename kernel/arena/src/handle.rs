//! Names of objects.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;

/// The name of an object: its physical address and its type.
///
/// A handle keeps nothing alive; [`crate::Entry::get`] checks it on every use.
#[repr(transparent)]
pub struct Handle<T> {
    address: NonZeroU64,
    object: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    /// Returns the handle for `address`, or `None` for 0.
    #[must_use]
    #[inline(always)]
    pub const fn from_address(address: u64) -> Option<Self> {
        match NonZeroU64::new(address) {
            Some(address) => Some(Self {
                address,
                object: PhantomData,
            }),
            None => None,
        }
    }

    /// Returns the same address as the name of another type; whether one is there is looked at
    /// when it is used.
    #[must_use]
    #[inline(always)]
    pub const fn cast<U>(self) -> Handle<U> {
        Handle {
            address: self.address,
            object: PhantomData,
        }
    }

    /// Returns the physical address.
    #[must_use]
    #[inline(always)]
    pub const fn address(self) -> u64 {
        self.address.get()
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> PartialEq for Handle<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for Handle<T> {}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}", self.address)
    }
}
