//! Address translation: satp and hgatp.

use bitfield_struct::bitfield;

/// Modes of satp (II 10.1.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// No translation.
    Bare = 0,
    /// Three levels, 39-bit addresses.
    Sv39 = 8,
    /// Four levels, 48-bit addresses.
    Sv48 = 9,
    /// Five levels, 57-bit addresses.
    Sv57 = 10,
}

impl Mode {
    /// Modes with translation, the smallest first.
    pub const TRANSLATING: [Self; 3] = [Self::Sv39, Self::Sv48, Self::Sv57];

    /// Returns the mode that a register's mode field encodes, or `None` for a reserved one.
    #[must_use]
    pub const fn from_field(field: u8) -> Option<Self> {
        match field {
            0 => Some(Self::Bare),
            8 => Some(Self::Sv39),
            9 => Some(Self::Sv48),
            10 => Some(Self::Sv57),
            _ => None,
        }
    }

    /// Returns the number of table levels; 0 of [`Mode::Bare`].
    #[must_use]
    pub const fn levels(self) -> u32 {
        match self {
            Self::Bare => 0,
            Self::Sv39 => 3,
            Self::Sv48 => 4,
            Self::Sv57 => 5,
        }
    }

    /// Returns the bits of a virtual address; 64 of [`Mode::Bare`].
    #[must_use]
    pub const fn virtual_bits(self) -> u32 {
        match self {
            Self::Bare => 64,
            _ => 12 + 9 * self.levels(),
        }
    }

    /// Returns the bits of a guest-physical address that the second stage of this mode translates.
    #[must_use]
    pub const fn guest_physical_bits(self) -> u32 {
        match self {
            Self::Bare => 56,
            _ => self.virtual_bits() + 2,
        }
    }

    /// Returns the name in a device tree's `mmu-type`.
    #[must_use]
    pub const fn device_tree_name(self) -> &'static str {
        match self {
            Self::Bare => "riscv,none",
            Self::Sv39 => "riscv,sv39",
            Self::Sv48 => "riscv,sv48",
            Self::Sv57 => "riscv,sv57",
        }
    }
}

/// Supervisor address translation and protection (II 10.1.11); vsatp has the same layout.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Satp {
    /// Page number of the root table.
    #[bits(44)]
    pub ppn: u64,
    /// Address-space identifier.
    pub asid: u16,
    /// Encodes a [`Mode`].
    #[bits(4)]
    pub mode: u8,
}

/// Hypervisor guest address translation and protection (II 15.2.10).
///
/// With mode 0 every other field must be zero: never probe VMID bits in mode 0.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Hgatp {
    /// Page number of the root table, which is 16 KiB aligned.
    #[bits(44)]
    pub ppn: u64,
    /// Virtual-machine identifier.
    #[bits(14)]
    pub vmid: u16,
    #[bits(2)]
    __: u8,
    /// Encodes a [`Mode`], of the x4 kind.
    #[bits(4)]
    pub mode: u8,
}

/// Bytes of the second stage's root table, and its alignment.
pub const GUEST_ROOT_BYTES: u64 = 16 << 10;

impl Hgatp {
    /// Returns the value that finds how many VMID bits stick: all ones, in a mode that the hart
    /// has, for with mode 0 they may read as zero.
    #[must_use]
    pub const fn vmid_probe(mode: Mode) -> Self {
        Self::new().with_mode(mode as u8).with_vmid(0x3fff)
    }

    /// Returns the number of VMID bits, from what was read back after [`Hgatp::vmid_probe`].
    #[must_use]
    pub const fn vmid_bits(self) -> u32 {
        16 - self.vmid().leading_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::{Hgatp, Mode, Satp};

    #[test]
    fn translation_fields_lie_where_the_manual_puts_them() {
        assert_eq!(Satp::new().with_mode(8).into_bits(), 8 << 60);
        assert_eq!(Satp::new().with_asid(0xffff).into_bits(), 0xffff << 44);
        assert_eq!(Hgatp::new().with_vmid(0x3fff).into_bits(), 0x3fff << 44);
        assert_eq!(Hgatp::new().with_mode(9).into_bits(), 9 << 60);
    }

    #[test]
    fn vmid_bits_are_counted_from_what_reads_back() {
        for bits in [0u32, 1, 7, 14] {
            let read = Hgatp::vmid_probe(Mode::Sv39).with_vmid(((1u32 << bits) - 1) as u16);
            assert_eq!(read.vmid_bits(), bits);
        }
        assert_ne!(Hgatp::vmid_probe(Mode::Sv39).mode(), 0);
    }

    #[test]
    fn second_stage_addresses_are_two_bits_wider() {
        assert_eq!(Mode::Sv39.guest_physical_bits(), 41);
        assert_eq!(Mode::Sv48.guest_physical_bits(), 50);
        assert_eq!(Mode::Sv57.guest_physical_bits(), 59);
    }
}
