//! Untyped memory, capability tables, frames and spaces.

use crate::capability::{Capability, handle};
use crate::sys;
use abi::{CallNumber, Error, ObjectKind, Rights, SlotAddress};

handle! {
    /// Memory that has no type yet.
    Untyped
}
handle! {
    /// A table of capability slots.
    CapTable
}
handle! {
    /// One power-of-two block of memory that can be mapped.
    Frame
}
handle! {
    /// An address space of a process.
    Space
}

impl Untyped {
    /// Makes `count` objects of `kind` in consecutive slots from `destination` on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn retype(
        self,
        kind: ObjectKind,
        size: u64,
        count: u64,
        destination: SlotAddress,
    ) -> Result<Capability, Error> {
        let arguments = [
            self.bits(),
            kind.number(),
            size,
            count,
            destination.into_bits(),
        ];
        sys::call(CallNumber::Retype, arguments)?;
        Ok(Capability::at(destination))
    }

    /// Returns the bytes that are left.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bytes_left(self) -> Result<u64, Error> {
        self.capability().identify().map(|identity| identity.size)
    }
}

impl Frame {
    /// Maps the frame; `space` is a Space or a GuestSpace.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn map(self, space: Capability, address: u64, rights: Rights) -> Result<(), Error> {
        let rights = u64::from(rights.into_bits());
        sys::call(
            CallNumber::Map,
            [self.bits(), space.bits(), address, rights],
        )
        .map(drop)
    }

    /// Unmaps the frame.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn unmap(self) -> Result<(), Error> {
        sys::call(CallNumber::Unmap, [self.bits()]).map(drop)
    }

    /// Changes the rights of `length` bytes from `offset` on inside the mapped frame.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn protect(self, offset: u64, length: u64, rights: Rights) -> Result<(), Error> {
        let rights = u64::from(rights.into_bits());
        sys::call(CallNumber::Protect, [self.bits(), offset, length, rights]).map(drop)
    }

    /// Halves the frame; the upper half goes to `destination`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn split(self, destination: SlotAddress) -> Result<Self, Error> {
        sys::call(CallNumber::Split, [self.bits(), destination.into_bits()])?;
        Ok(Self::at(destination))
    }
}

/// Gives a Space or GuestSpace all of an untyped capability for its page tables.
///
/// # Errors
///
/// The kernel's.
pub fn fund(space: Capability, untyped: Untyped) -> Result<(), Error> {
    sys::call(CallNumber::Fund, [space.bits(), untyped.bits()]).map(drop)
}
