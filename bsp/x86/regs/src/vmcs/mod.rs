//! The virtual machine control structure of VMX: its fields (SDM 3D, appendix "Field Encoding in
//! VMCS"), its controls (SDM 3C, "VM-Execution Control Fields" and what follows), and why a guest was
//! left (SDM 3D, appendix "VMX Basic Exit Reasons").

mod controls;
mod event;
pub mod exit;

use crate::msr;
use crate::one_reg::{Register, SegmentField};

pub use controls::{Entry, Exit, Pin, Primary, Secondary};
pub use event::{Event, kind};
pub use exit::{ControlAccess, Port, Reason, Violation};

/// A field. Its width and kind are in its number: bits 14:13 are 0 for 16 bits, 1 for 64, 2 for 32,
/// 3 for as many as an address has; bits 11:10 are 0 for controls, 1 for what the processor says, 2
/// for the guest's state, 3 for the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Field(pub u32);

impl Field {
    /// Virtual-processor identifier.
    pub const VPID: Self = Self(0x0000);
    /// Guest's selector of ES; those of CS, SS, DS, FS, GS, LDTR, TR follow, 2 apart.
    pub const GUEST_ES_SELECTOR: Self = Self(0x0800);
    /// Host's selector of CS.
    pub const HOST_CS_SELECTOR: Self = Self(0x0c02);
    /// Host's selector of SS.
    pub const HOST_SS_SELECTOR: Self = Self(0x0c04);
    /// Host's selector of TR.
    pub const HOST_TR_SELECTOR: Self = Self(0x0c0c);
    /// Address of the MSR bitmaps.
    pub const MSR_BITMAPS: Self = Self(0x2004);
    /// Address of the area that registers are stored to at an exit.
    pub const EXIT_STORE_AREA: Self = Self(0x2006);
    /// Address of the area that registers are loaded from at an exit.
    pub const EXIT_LOAD_AREA: Self = Self(0x2008);
    /// Address of the area that registers are loaded from at an entry.
    pub const ENTRY_LOAD_AREA: Self = Self(0x200a);
    /// Extended-page-table pointer.
    pub const EPT_POINTER: Self = Self(0x201a);
    /// Guest-physical address of an access.
    pub const GUEST_PHYSICAL: Self = Self(0x2400);
    /// VMCS link pointer: all ones.
    pub const LINK: Self = Self(0x2800);
    /// Guest's IA32_PAT.
    pub const GUEST_PAT: Self = Self(0x2804);
    /// Guest's IA32_EFER.
    pub const GUEST_EFER: Self = Self(0x2806);
    /// Host's IA32_PAT.
    pub const HOST_PAT: Self = Self(0x2c00);
    /// Host's IA32_EFER.
    pub const HOST_EFER: Self = Self(0x2c02);
    /// Pin-based controls.
    pub const PIN_CONTROLS: Self = Self(0x4000);
    /// Primary processor-based controls.
    pub const PRIMARY_CONTROLS: Self = Self(0x4002);
    /// Exceptions that leave the guest, by vector.
    pub const EXCEPTIONS: Self = Self(0x4004);
    /// Exit controls.
    pub const EXIT_CONTROLS: Self = Self(0x400c);
    /// Registers that are stored at an exit.
    pub const EXIT_STORE_COUNT: Self = Self(0x400e);
    /// Registers that are loaded at an exit.
    pub const EXIT_LOAD_COUNT: Self = Self(0x4010);
    /// Entry controls.
    pub const ENTRY_CONTROLS: Self = Self(0x4012);
    /// Registers that are loaded at an entry.
    pub const ENTRY_LOAD_COUNT: Self = Self(0x4014);
    /// The event that is injected: an [`Event`].
    pub const ENTRY_EVENT: Self = Self(0x4016);
    /// Its error code.
    pub const ENTRY_ERROR: Self = Self(0x4018);
    /// Length of the instruction that it is the effect of.
    pub const ENTRY_LENGTH: Self = Self(0x401a);
    /// Secondary processor-based controls.
    pub const SECONDARY_CONTROLS: Self = Self(0x401e);
    /// Why a VMX instruction failed.
    pub const INSTRUCTION_ERROR: Self = Self(0x4400);
    /// Why the guest was left: a [`Reason`].
    pub const EXIT_REASON: Self = Self(0x4402);
    /// The event that left the guest.
    pub const EXIT_EVENT: Self = Self(0x4404);
    /// The event that was being delivered: an [`Event`].
    pub const VECTORING_EVENT: Self = Self(0x4408);
    /// Its error code.
    pub const VECTORING_ERROR: Self = Self(0x440a);
    /// Length of the instruction that left the guest.
    pub const EXIT_LENGTH: Self = Self(0x440c);
    /// Guest's limit of ES; as the selectors, then GDTR and IDTR.
    pub const GUEST_ES_LIMIT: Self = Self(0x4800);
    /// Guest's access rights of ES; as the selectors.
    pub const GUEST_ES_RIGHTS: Self = Self(0x4814);
    /// Interruptibility: [`BLOCKED_BY_STI`] and its kin.
    pub const INTERRUPTIBILITY: Self = Self(0x4824);
    /// Guest's IA32_SYSENTER_CS.
    pub const GUEST_SYSENTER_CS: Self = Self(0x482a);
    /// What the timer of a guest counts down from at an entry.
    pub const TIMER: Self = Self(0x482e);
    /// Bits of CR0 that are not the guest's.
    pub const CR0_MASK: Self = Self(0x6000);
    /// Bits of CR4 that are not the guest's.
    pub const CR4_MASK: Self = Self(0x6002);
    /// What the guest reads of them in CR0.
    pub const CR0_SHADOW: Self = Self(0x6004);
    /// What the guest reads of them in CR4.
    pub const CR4_SHADOW: Self = Self(0x6006);
    /// Exit qualification.
    pub const QUALIFICATION: Self = Self(0x6400);
    /// Guest's linear address of an access.
    pub const LINEAR_ADDRESS: Self = Self(0x640a);
    /// Guest's CR0.
    pub const GUEST_CR0: Self = Self(0x6800);
    /// Guest's CR3.
    pub const GUEST_CR3: Self = Self(0x6802);
    /// Guest's CR4.
    pub const GUEST_CR4: Self = Self(0x6804);
    /// Guest's base of ES; as the limits.
    pub const GUEST_ES_BASE: Self = Self(0x6806);
    /// Guest's DR7.
    pub const GUEST_DR7: Self = Self(0x681a);
    /// Guest's RSP.
    pub const GUEST_RSP: Self = Self(0x681c);
    /// Guest's RIP.
    pub const GUEST_RIP: Self = Self(0x681e);
    /// Guest's RFLAGS.
    pub const GUEST_RFLAGS: Self = Self(0x6820);
    /// Guest's IA32_SYSENTER_ESP.
    pub const GUEST_SYSENTER_ESP: Self = Self(0x6824);
    /// Guest's IA32_SYSENTER_EIP.
    pub const GUEST_SYSENTER_EIP: Self = Self(0x6826);
    /// Host's CR0.
    pub const HOST_CR0: Self = Self(0x6c00);
    /// Host's CR3.
    pub const HOST_CR3: Self = Self(0x6c02);
    /// Host's CR4.
    pub const HOST_CR4: Self = Self(0x6c04);
    /// Host's base of GS.
    pub const HOST_GS_BASE: Self = Self(0x6c08);
    /// Host's base of TR.
    pub const HOST_TR_BASE: Self = Self(0x6c0a);
    /// Host's base of GDTR.
    pub const HOST_GDTR_BASE: Self = Self(0x6c0c);
    /// Host's base of IDTR.
    pub const HOST_IDTR_BASE: Self = Self(0x6c0e);
    /// Host's RSP.
    pub const HOST_RSP: Self = Self(0x6c14);
    /// Host's RIP.
    pub const HOST_RIP: Self = Self(0x6c16);

    /// Fields that have to be zero and stay so, or that a reset leaves zero.
    pub const ZEROS: [Self; 17] = [
        // Page-fault error codes; CR3 targets; what an exit and an entry inject; length and error.
        Self(0x4006),
        Self(0x4008),
        Self(0x400a),
        Self::ENTRY_EVENT,
        Self::ENTRY_ERROR,
        Self::ENTRY_LENGTH,
        // Guest's debug control, interruptibility, activity, SMBASE, and pending debug exceptions.
        Self(0x2802),
        Self::INTERRUPTIBILITY,
        Self(0x4826),
        Self(0x4828),
        Self(0x6822),
        // Registers that are zero after a reset.
        Self::GUEST_SYSENTER_CS,
        Self::GUEST_SYSENTER_ESP,
        Self::GUEST_SYSENTER_EIP,
        Self::GUEST_CR3,
        Self::GUEST_RSP,
        // Host's base of FS.
        Self(0x6c06),
    ];
    /// Host's selectors that are empty, and the bases of SYSENTER.
    pub const HOST_ZEROS: [Self; 7] = [
        Self(0x0c00),
        Self(0x0c06),
        Self(0x0c08),
        Self(0x0c0a),
        Self(0x4c00),
        Self(0x6c10),
        Self(0x6c12),
    ];

    /// Returns the field of a segment; ES, CS, SS, DS, FS, GS, GDTR, LDTR, IDTR, TR are 0 to 9, and
    /// GDTR and IDTR have only base and limit.
    #[must_use]
    pub const fn segment(segment: u8, field: SegmentField) -> Option<Self> {
        // In the VMCS, LDTR and TR come before GDTR and IDTR.
        let place = match segment {
            0..=5 => segment,
            6 => 8,
            7 => 6,
            8 => 9,
            9 => 7,
            _ => return None,
        } as u32;
        let first = match field {
            SegmentField::Selector if place < 8 => Self::GUEST_ES_SELECTOR,
            SegmentField::Attributes if place < 8 => Self::GUEST_ES_RIGHTS,
            SegmentField::Limit => Self::GUEST_ES_LIMIT,
            SegmentField::Base => Self::GUEST_ES_BASE,
            SegmentField::Selector | SegmentField::Attributes => return None,
        };
        Some(Self(first.0 + 2 * place))
    }

    /// Returns the field that is a register as it is: no bit of it is somebody else's.
    #[must_use]
    pub const fn of(register: Register) -> Option<Self> {
        Some(match register {
            Register::General(4) => Self::GUEST_RSP,
            Register::Cr3 => Self::GUEST_CR3,
            Register::Dr7 => Self::GUEST_DR7,
            Register::Segment(segment, field) => return Self::segment(segment, field),
            Register::ModelSpecific(number) => match number {
                msr::SYSENTER_CS => Self::GUEST_SYSENTER_CS,
                msr::SYSENTER_ESP => Self::GUEST_SYSENTER_ESP,
                msr::SYSENTER_EIP => Self::GUEST_SYSENTER_EIP,
                msr::PAT => Self::GUEST_PAT,
                msr::EFER => Self::GUEST_EFER,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// Interruptibility: behind STI.
pub const BLOCKED_BY_STI: u64 = 1;
/// Interruptibility: behind MOV SS or POP SS.
pub const BLOCKED_BY_MOV_SS: u64 = 1 << 1;
/// Interruptibility: from a non-maskable interrupt to the end of its handler.
pub const BLOCKED_BY_NMI: u64 = 1 << 3;
/// Access rights: the segment is not to be used.
pub const UNUSABLE: u64 = 1 << 16;

/// Returns an access-rights field of a segment's attributes, which lack four bits that are always
/// zero and have no bit for what is not to be used: that is what is not present.
#[must_use]
pub const fn rights(attributes: u64) -> u64 {
    const PRESENT: u64 = 1 << 7;
    let unusable = if attributes & PRESENT == 0 {
        UNUSABLE
    } else {
        0
    };
    attributes & 0xff | (attributes & 0xf00) << 4 | unusable
}

/// Returns a segment's attributes of its access rights.
#[must_use]
pub const fn attributes(rights: u64) -> u64 {
    // What is not to be used keeps nothing but its privilege level.
    if rights & UNUSABLE != 0 {
        return rights & 0x60;
    }
    rights & 0xff | rights >> 4 & 0xf00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_have_the_fields_of_the_manual() {
        let field = |segment, field| Field::segment(segment, field).map(|field| field.0);
        assert_eq!(field(1, SegmentField::Selector), Some(0x802));
        assert_eq!(field(7, SegmentField::Selector), Some(0x80c));
        assert_eq!(field(9, SegmentField::Selector), Some(0x80e));
        assert_eq!(field(6, SegmentField::Limit), Some(0x4810));
        assert_eq!(field(8, SegmentField::Limit), Some(0x4812));
        assert_eq!(field(6, SegmentField::Base), Some(0x6816));
        assert_eq!(field(9, SegmentField::Base), Some(0x6814));
        assert_eq!(field(9, SegmentField::Attributes), Some(0x4822));
        assert_eq!(field(6, SegmentField::Selector), None);
        assert_eq!(field(8, SegmentField::Attributes), None);
    }

    #[test]
    fn attributes_come_back_from_access_rights() {
        for attributes_of in [0x9b, 0x93, 0xa9b, 0xc93, 0x82, 0x8b] {
            let there = rights(attributes_of);
            assert_eq!((there & UNUSABLE, attributes(there)), (0, attributes_of));
        }
        assert_eq!(rights(0xa9b), 0xa09b);
        assert_eq!(attributes(rights(0)), 0);
    }

    #[test]
    fn registers_that_are_fields_are_found() {
        let field = |register| Field::of(register).map(|field| field.0);
        assert_eq!(field(Register::General(4)), Some(0x681c));
        assert_eq!(field(Register::General(0)), None);
        assert_eq!(field(Register::Cr0), None);
        assert_eq!(field(Register::ModelSpecific(msr::EFER)), Some(0x2806));
        assert_eq!(field(Register::ModelSpecific(msr::STAR)), None);
    }
}
