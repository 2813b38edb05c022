//! Register ids of a guest, in KVM's layout of ONE_REG: architecture 0x20 in bits 63:56, the size in
//! 55:52, the type in 39:32, the index in 31:0. Type 2 is KVM's; the others are Skerry's own.

/// All ids: architecture and size of eight bytes.
const ALL: u64 = 0x2030_0000_0000_0000;
/// Type: model-specific registers, by number.
const MODEL_SPECIFIC: u64 = 2;
/// Type: registers of the processor.
const CORE: u64 = 4;
/// Type: segments; the index is the segment's times 4 plus the field's.
const SEGMENT: u64 = 5;

/// A register of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// General register 0 to 15.
    General(u8),
    /// The instruction pointer.
    Rip,
    /// The flags.
    Rflags,
    /// Control register 0.
    Cr0,
    /// Control register 2.
    Cr2,
    /// Control register 3.
    Cr3,
    /// Control register 4.
    Cr4,
    /// Debug register 6.
    Dr6,
    /// Debug register 7.
    Dr7,
    /// The event that is injected at the next entry, as SVM's EVENTINJ has it.
    Event,
    /// Control register 8, as it is read. A guest's store leaves it: the priority is the interrupt
    /// controller's, which keeps this up to date.
    Cr8,
    /// A field of a segment.
    Segment(u8, SegmentField),
    /// A model-specific register.
    ModelSpecific(u32),
}

/// A field of a segment: ES, CS, SS, DS, FS, GS, GDTR, LDTR, IDTR, TR are 0 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentField {
    /// The selector.
    Selector,
    /// Type, S, DPL, P in bits 7:0, AVL, L, D, G in bits 11:8.
    Attributes,
    /// The limit in bytes.
    Limit,
    /// The base.
    Base,
}

/// What a server needs that decodes the instruction of an access which the hardware does not describe:
/// such an exit, of class `Device` or `Unclaimed`, leaves these in the register page, from word
/// [`NOTED_FROM`] on.
pub const NOTED: [Register; 6] = [
    Register::Cr0,
    Register::Cr3,
    Register::Cr4,
    Register::ModelSpecific(crate::msr::EFER),
    Register::Segment(1, SegmentField::Attributes),
    Register::Segment(1, SegmentField::Base),
];
/// First word of the register page with one of [`NOTED`]; general registers are before it.
pub const NOTED_FROM: usize = 16;

impl Register {
    /// Returns the register with this id.
    #[must_use]
    pub const fn from_id(id: u64) -> Option<Self> {
        if id & 0xffff_ff00_0000_0000 != ALL {
            return None;
        }
        let index = id as u32;
        match id >> 32 & 0xff {
            MODEL_SPECIFIC => Some(Self::ModelSpecific(index)),
            CORE => Some(match index {
                0..=15 => Self::General(index as u8),
                16 => Self::Rip,
                17 => Self::Rflags,
                18 => Self::Cr0,
                19 => Self::Cr2,
                20 => Self::Cr3,
                21 => Self::Cr4,
                22 => Self::Dr6,
                23 => Self::Dr7,
                24 => Self::Event,
                25 => Self::Cr8,
                _ => return None,
            }),
            SEGMENT if index < 40 => {
                let field = match index % 4 {
                    0 => SegmentField::Selector,
                    1 => SegmentField::Attributes,
                    2 => SegmentField::Limit,
                    _ => SegmentField::Base,
                };
                Some(Self::Segment((index / 4) as u8, field))
            }
            _ => None,
        }
    }

    /// Returns the register's id.
    #[must_use]
    pub const fn id(self) -> u64 {
        let (kind, index) = match self {
            Self::General(number) => (CORE, number as u32),
            Self::Rip => (CORE, 16),
            Self::Rflags => (CORE, 17),
            Self::Cr0 => (CORE, 18),
            Self::Cr2 => (CORE, 19),
            Self::Cr3 => (CORE, 20),
            Self::Cr4 => (CORE, 21),
            Self::Dr6 => (CORE, 22),
            Self::Dr7 => (CORE, 23),
            Self::Event => (CORE, 24),
            Self::Cr8 => (CORE, 25),
            Self::Segment(segment, field) => (SEGMENT, segment as u32 * 4 + field as u32),
            Self::ModelSpecific(number) => (MODEL_SPECIFIC, number),
        };
        ALL | kind << 32 | index as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Register, SegmentField};

    #[test]
    fn ids_are_those_of_the_contract_and_come_back() {
        let efer = Register::ModelSpecific(0xc000_0080);
        assert_eq!(efer.id(), 0x2030_0002_c000_0080);
        assert_eq!(Register::Rip.id(), 0x2030_0004_0000_0010);
        for index in 0..26 {
            let id = 0x2030_0004_0000_0000 + index;
            assert_eq!(Register::from_id(id).map(Register::id), Some(id));
        }
        for index in 0..40 {
            let id = 0x2030_0005_0000_0000 + index;
            assert_eq!(Register::from_id(id).map(Register::id), Some(id));
        }
        let base = Register::Segment(1, SegmentField::Base);
        assert_eq!(base.id(), 0x2030_0005_0000_0007);
        for id in [
            0,
            u64::MAX,
            0x2030_0004_0000_001a,
            0x2030_0005_0000_0028,
            0x2030_0001_0000_0000,
        ] {
            assert_eq!(Register::from_id(id), None);
        }
    }
}
