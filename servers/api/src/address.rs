//! Numbers that must not be mixed up.

use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// Bytes of the page that [`GuestPage`] counts in.
const PAGE: u64 = 4096;

/// An address in a guest's physical space; never a key to host memory.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, MaxSize,
)]
pub struct GuestPhys(u64);

impl GuestPhys {
    /// Returns the address `raw`.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the number.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns the address `bytes` further on, or `None` where the space ends before it.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }
}

/// A page-aligned address in a guest's physical space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct GuestPage(u64);

/// The address is not page-aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAligned;

impl core::fmt::Display for NotAligned {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("the address is not page-aligned")
    }
}

impl GuestPage {
    /// Returns the page at `raw`, or `None` unless it is page-aligned.
    #[must_use]
    pub const fn at(raw: u64) -> Option<Self> {
        if raw.is_multiple_of(PAGE) {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// Returns the page that holds `address`.
    #[must_use]
    pub const fn containing(address: GuestPhys) -> Self {
        Self(address.0 & !(PAGE - 1))
    }

    /// Returns its first address.
    #[must_use]
    pub const fn start(self) -> GuestPhys {
        GuestPhys(self.0)
    }
}

impl TryFrom<u64> for GuestPage {
    type Error = NotAligned;

    fn try_from(raw: u64) -> Result<Self, NotAligned> {
        Self::at(raw).ok_or(NotAligned)
    }
}

impl From<GuestPage> for u64 {
    fn from(page: GuestPage) -> Self {
        page.0
    }
}

impl MaxSize for GuestPage {
    const POSTCARD_MAX_SIZE: usize = u64::POSTCARD_MAX_SIZE;
}

/// Declares a number type without a law of its own.
macro_rules! number {
    ($(#[$outer:meta])* $name:ident: $int:ty) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, MaxSize)]
        pub struct $name($int);

        impl $name {
            /// Returns the number as this type.
            #[must_use]
            pub const fn new(raw: $int) -> Self {
                Self(raw)
            }

            /// Returns the number.
            #[must_use]
            pub const fn raw(self) -> $int {
                self.0
            }
        }
    };
}

number! {
    /// An address in the machine's physical space.
    HostPhys: u64
}
number! {
    /// The number of a vCPU in its VM.
    VcpuId: u16
}
number! {
    /// An input line of a guest's interrupt controller.
    LineNumber: u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aligned_addresses_are_pages() {
        assert_eq!(GuestPage::at(0x1001), None);
        let page = GuestPage::at(0x2000).unwrap();
        assert_eq!(GuestPage::containing(GuestPhys::new(0x2fff)), page);
        assert_eq!(page.start().raw(), 0x2000);
        assert_eq!(GuestPhys::new(u64::MAX).checked_add(1), None);
    }
}
