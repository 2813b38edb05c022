//! Frame numbers, and how a machine's memory is described.

/// Base-two logarithm of the bytes of a frame.
pub const FRAME_SHIFT: u32 = 12;

/// Names a frame of 4 KiB of host memory: its address divided by 4096.
///
/// It has no arithmetic. Whether the frame behind it exists, and has the next descriptor, is not
/// known; only an [`Extent`](crate::Extent) knows, and counts inside itself.
///
/// ```compile_fail
/// let frame = mem::FrameNumber::of_address(0x8000_0000).unwrap();
/// let next = frame + 1;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(u64);

impl FrameNumber {
    /// The first of all.
    pub(crate) const FIRST: Self = Self(0);

    /// Returns the frame with this number, which the tree of free frames had: of a frame that exists.
    #[inline]
    pub(crate) const fn of_tree(number: u64) -> Self {
        debug_assert!(number < 1 << (64 - FRAME_SHIFT));
        Self(number)
    }

    /// Returns the frame with this number; `None` above 2^52 - 1, where its address would not be a
    /// number of 64 bits.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number < 1 << (64 - FRAME_SHIFT) {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the frame at a physical address, or `None` where that is no multiple of 4 KiB.
    #[must_use]
    pub const fn of_address(address: u64) -> Option<Self> {
        if address.is_multiple_of(1 << FRAME_SHIFT) {
            Some(Self(address >> FRAME_SHIFT))
        } else {
            None
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the physical address of its first byte.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 << FRAME_SHIFT
    }

    /// Returns the frame `count` behind this one, for those modules that know that it exists.
    #[inline]
    pub(crate) const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

/// The largest block that a machine's second stage maps by one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gigantic {
    /// Nothing above the usual large pages.
    No,
    /// 1 GiB.
    OneGib,
    /// 16 GiB, or groups of 1 GiB entries that the machine treats as one.
    SixteenGib,
}

/// How a machine's memory is divided into sections, and where their frame descriptors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Base-two logarithm of the frames of a section.
    pub section_shift: u8,
    /// Whether the descriptors of neighbouring sections are neighbours too, whatever was allocated
    /// when. If not, each section's descriptors are where there was room for them.
    pub vmemmap: bool,
    /// What the machine maps.
    pub gigantic: Gigantic,
}

/// The largest order of a folio where nothing gigantic is mapped: 4 MiB.
const ORDINARY_ORDER: u8 = 10;

impl Geometry {
    /// Returns the largest order of an extent, in frames: the rule of `semantics.md`, A3.
    #[must_use]
    pub const fn max_order(&self) -> u8 {
        let mapped = match self.gigantic {
            Gigantic::No => ORDINARY_ORDER,
            Gigantic::OneGib => 18,
            Gigantic::SixteenGib => 22,
        };
        if self.vmemmap || self.section_shift > mapped {
            mapped
        } else {
            self.section_shift
        }
    }

    /// Returns the section that a frame lies in.
    #[inline]
    #[must_use]
    pub const fn section_of(&self, frame: FrameNumber) -> u64 {
        frame.0 >> self.section_shift
    }

    /// Returns the frames of a section.
    #[inline]
    #[must_use]
    pub const fn section_frames(&self) -> u64 {
        1 << self.section_shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_contiguous_descriptors_no_folio_is_larger_than_a_section() {
        let geometry = |section_shift, vmemmap, gigantic| Geometry {
            section_shift,
            vmemmap,
            gigantic,
        };
        for (geometry, order) in [
            (geometry(15, true, Gigantic::OneGib), 18),
            (geometry(15, true, Gigantic::SixteenGib), 22),
            (geometry(15, true, Gigantic::No), 10),
            (geometry(15, false, Gigantic::OneGib), 15),
            (geometry(15, false, Gigantic::SixteenGib), 15),
            (geometry(15, false, Gigantic::No), 10),
            (geometry(4, false, Gigantic::No), 4),
        ] {
            assert_eq!(geometry.max_order(), order, "{geometry:?}");
        }
    }

    #[test]
    fn a_frame_has_a_whole_address() {
        assert_eq!(FrameNumber::of_address(0x8000_1001), None);
        assert_eq!(FrameNumber::new(1 << 52), None);
        let last = FrameNumber::new((1 << 52) - 1).unwrap();
        assert_eq!(FrameNumber::of_address(last.address()), Some(last));
    }
}
