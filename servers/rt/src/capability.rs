//! Capabilities: the calls that work on any kind, and the typed handles.

use crate::sys;
use abi::{CallNumber, Error, Rights, SlotAddress};

/// What `Identify` says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Number of the [`abi::ObjectKind`].
    pub kind: u64,
    /// What the capability allows.
    pub rights: u64,
    /// Its badge.
    pub badge: u64,
    /// Base or address.
    pub base: u64,
    /// Size, as the kind defines it.
    pub size: u64,
}

/// A slot that holds, or is to hold, a capability of any kind: the address in its register form, as
/// calls take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(u64);

impl Capability {
    /// Returns the capability in a slot of the own table.
    #[must_use]
    pub const fn own(index: u32) -> Self {
        Self::at(SlotAddress::own(index))
    }

    /// Returns the capability at a slot address.
    #[must_use]
    pub const fn at(slot: SlotAddress) -> Self {
        Self(slot.into_bits())
    }

    /// Returns the address of the slot.
    #[must_use]
    pub const fn slot(self) -> SlotAddress {
        SlotAddress::from_bits(self.0)
    }

    /// Returns the address in its register form.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns what the slot holds.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn identify(self) -> Result<Identity, Error> {
        let [kind, rights, badge, base, size, _] = sys::call(CallNumber::Identify, [self.bits()])?;
        Ok(Identity {
            kind,
            rights,
            badge,
            base,
            size,
        })
    }

    /// Makes a copy in `destination`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn copy(self, destination: SlotAddress) -> Result<Self, Error> {
        sys::call(CallNumber::Copy, [self.bits(), destination.into_bits()])?;
        Ok(Self::at(destination))
    }

    /// Makes a copy in `destination` with at most the rights in `mask`, and a badge unless it is 0.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn mint(self, destination: SlotAddress, mask: Rights, badge: u64) -> Result<Self, Error> {
        let mask = u64::from(mask.into_bits());
        let arguments = [self.bits(), destination.into_bits(), mask, badge];
        sys::call(CallNumber::Mint, arguments)?;
        Ok(Self::at(destination))
    }

    /// Moves the capability to `destination`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn move_to(self, destination: SlotAddress) -> Result<Self, Error> {
        sys::call(CallNumber::Move, [self.bits(), destination.into_bits()])?;
        Ok(Self::at(destination))
    }

    /// Deletes the capability and all that was derived from it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn delete(self) -> Result<(), Error> {
        sys::call(CallNumber::Delete, [self.bits()]).map(drop)
    }

    /// Deletes all that was derived from the capability.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn revoke(self) -> Result<(), Error> {
        sys::call(CallNumber::Revoke, [self.bits()]).map(drop)
    }
}

/// Returns the version of the kernel's contract and the core that the caller runs on.
///
/// # Errors
///
/// None of a kernel that answers at all.
pub fn identify_kernel() -> Result<(u64, u64), Error> {
    let [version, core, ..] = sys::call(CallNumber::Identify, [0])?;
    Ok((version, core))
}

/// Lets other threads of the same priority run.
///
/// # Errors
///
/// None of a kernel that answers at all.
pub fn yield_now() -> Result<(), Error> {
    sys::call::<0>(CallNumber::Yield, []).map(drop)
}

/// Declares the handle of one kind of object.
macro_rules! handle {
    ($(#[$outer:meta])* $name:ident) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub(crate) $crate::capability::Capability);

        impl $name {
            /// The kind of object that the handle is for.
            pub const KIND: abi::ObjectKind = abi::ObjectKind::$name;

            /// Returns the handle of a slot of the own table; the kernel checks what it holds.
            #[must_use]
            pub const fn own(index: u32) -> Self {
                Self($crate::capability::Capability::own(index))
            }

            /// Returns the handle of what is at a slot address.
            #[must_use]
            pub const fn at(slot: abi::SlotAddress) -> Self {
                Self($crate::capability::Capability::at(slot))
            }

            /// Returns the capability, for the calls that work on any kind.
            #[must_use]
            pub const fn capability(self) -> $crate::capability::Capability {
                self.0
            }

            /// Returns the index of the slot in its table.
            #[must_use]
            pub const fn index(self) -> u32 {
                self.0.slot().index
            }

            /// Returns the slot's address in its register form.
            #[must_use]
            pub const fn bits(self) -> u64 {
                self.0.bits()
            }
        }
    };
}
pub(crate) use handle;
