//! The virtual machine control structure of VMX: its fields (SDM 3D, appendix "Field Encoding in
//! VMCS"), its controls (SDM 3C, "VM-Execution Control Fields" and what follows), and why a guest was
//! left (SDM 3D, appendix "VMX Basic Exit Reasons").

use crate::msr;
use crate::one_reg::{Register, SegmentField};
use bitfield_struct::bitfield;

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

/// Pin-based controls (SDM 3C, "Pin-Based VM-Execution Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Pin {
    /// Physical interrupts leave the guest.
    pub external_interrupt: bool,
    #[bits(2)]
    __: u8,
    /// Non-maskable interrupts leave the guest.
    pub nmi: bool,
    __: bool,
    /// The guest's own non-maskable interrupts are tracked.
    pub virtual_nmis: bool,
    #[bits(26)]
    __: u32,
}

/// Primary processor-based controls (SDM 3C, "Processor-Based VM-Execution Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Primary {
    #[bits(2)]
    __: u8,
    /// The guest is left as soon as it can take an interrupt.
    pub interrupt_window: bool,
    #[bits(4)]
    __: u8,
    /// HLT leaves the guest.
    pub hlt: bool,
    #[bits(2)]
    __: u8,
    /// MWAIT leaves the guest.
    pub mwait: bool,
    /// RDPMC leaves the guest.
    pub rdpmc: bool,
    #[bits(10)]
    __: u16,
    /// The guest is left as soon as it can take a non-maskable interrupt.
    pub nmi_window: bool,
    /// Debug registers leave the guest.
    pub debug_registers: bool,
    /// Ports leave the guest.
    pub ports: bool,
    #[bits(3)]
    __: u8,
    /// Model-specific registers leave the guest as the bitmaps say.
    pub msr_bitmaps: bool,
    /// MONITOR leaves the guest.
    pub monitor: bool,
    __: bool,
    /// There are secondary controls.
    pub secondary: bool,
}

/// Secondary processor-based controls (SDM 3C, as above).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Secondary {
    __: bool,
    /// Extended page tables.
    pub ept: bool,
    __: bool,
    /// RDTSCP is an instruction.
    pub rdtscp: bool,
    __: bool,
    /// Translations have a virtual-processor identifier.
    pub vpid: bool,
    /// WBINVD leaves the guest.
    pub wbinvd: bool,
    /// The guest may be in real mode and without paging.
    pub unrestricted: bool,
    #[bits(4)]
    __: u8,
    /// INVPCID is an instruction.
    pub invpcid: bool,
    #[bits(19)]
    __: u32,
}

/// Exit controls (SDM 3C, "VM-Exit Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Exit {
    #[bits(2)]
    __: u8,
    /// The guest's DR7 is kept.
    pub save_debug: bool,
    #[bits(6)]
    __: u8,
    /// The host is in 64-bit mode.
    pub long_host: bool,
    #[bits(9)]
    __: u16,
    /// The host's IA32_PAT is loaded.
    pub load_pat: bool,
    /// The guest's IA32_EFER is kept.
    pub save_efer: bool,
    /// The host's IA32_EFER is loaded.
    pub load_efer: bool,
    #[bits(10)]
    __: u16,
}

/// Entry controls (SDM 3C, "VM-Entry Controls").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Entry {
    #[bits(2)]
    __: u8,
    /// The guest's DR7 is loaded.
    pub load_debug: bool,
    #[bits(6)]
    __: u8,
    /// The guest is in long mode.
    pub long_guest: bool,
    #[bits(4)]
    __: u8,
    /// The guest's IA32_PAT is loaded.
    pub load_pat: bool,
    /// The guest's IA32_EFER is loaded.
    pub load_efer: bool,
    #[bits(16)]
    __: u16,
}

/// Why the guest was left, as the processor numbers it.
pub mod exit {
    /// An exception, or a non-maskable interrupt.
    pub const EXCEPTION: u16 = 0;
    /// A physical interrupt waits.
    pub const INTERRUPT: u16 = 1;
    /// INIT, which waits.
    pub const INIT: u16 = 3;
    /// The guest can take an interrupt.
    pub const INTERRUPT_WINDOW: u16 = 7;
    /// The guest can take a non-maskable interrupt.
    pub const NMI_WINDOW: u16 = 8;
    /// CPUID.
    pub const CPUID: u16 = 10;
    /// HLT.
    pub const HLT: u16 = 12;
    /// INVD.
    pub const INVD: u16 = 13;
    /// VMCALL.
    pub const VMCALL: u16 = 18;
    /// A control register.
    pub const CONTROL_REGISTER: u16 = 28;
    /// A port.
    pub const PORT: u16 = 30;
    /// RDMSR.
    pub const READ_REGISTER: u16 = 31;
    /// WRMSR.
    pub const WRITE_REGISTER: u16 = 32;
    /// An access that the extended page tables do not allow.
    pub const EPT_VIOLATION: u16 = 48;
    /// WBINVD.
    pub const WBINVD: u16 = 54;
    /// XSETBV.
    pub const XSETBV: u16 = 55;
}

/// Exit reason (SDM 3C, "Basic VM-Exit Information").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Reason {
    /// One of [`exit`].
    pub basic: u16,
    #[bits(15)]
    __: u16,
    /// The guest was not entered: its state is not a valid one.
    pub entry_failed: bool,
}

/// An event that is injected or was being delivered (SDM 3C, "VM-Entry Controls for Event
/// Injection"). SVM has the same layout, with the error code in the upper half of 64 bits.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Event {
    /// The vector.
    pub vector: u8,
    /// One of [`kind`].
    #[bits(3)]
    pub kind: u8,
    /// There is an error code.
    pub has_error: bool,
    /// In the exit's event: the guest's IRET had ended the blocking of non-maskable interrupts.
    pub unblocked_nmi: bool,
    #[bits(18)]
    __: u32,
    /// There is an event.
    pub valid: bool,
}

/// Kinds of events.
pub mod kind {
    /// A maskable interrupt.
    pub const INTERRUPT: u8 = 0;
    /// A non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// An exception that no instruction asked for.
    pub const EXCEPTION: u8 = 3;
    /// INT n; 5 and 6 are INT1, and INT3 and INTO.
    pub const SOFTWARE: u8 = 4;
}

impl Event {
    /// Tells whether an exception of this vector has an error code in protected mode (SDM 3A,
    /// "Exception and Interrupt Reference").
    #[must_use]
    pub const fn takes_error(vector: u8) -> bool {
        matches!(vector, 8 | 10..=14 | 17 | 21)
    }

    /// Returns the event as the processor injects it. It has its own idea of what has an error code:
    /// an exception of some vectors, in protected mode. What an instruction of the guest asked for is
    /// injected with the length of that; without one it is an interrupt.
    #[must_use]
    pub const fn injected(self, is_protected: bool, length: u64) -> Self {
        let kind = match self.kind() {
            kind::SOFTWARE.. if length == 0 => kind::INTERRUPT,
            kind => kind,
        };
        let has_error = kind == kind::EXCEPTION && is_protected && Self::takes_error(self.vector());
        Self::new()
            .with_vector(self.vector())
            .with_kind(kind)
            .with_has_error(has_error)
            .with_valid(self.valid())
    }
}

/// Exit qualification of an access that the extended page tables do not allow (SDM 3C, "Exit
/// Qualification for EPT Violations").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Violation {
    /// A load.
    pub load: bool,
    /// A store.
    pub store: bool,
    /// A fetch.
    pub fetch: bool,
    /// What the entries allow: bits of [`crate::EptEntry`]; 0 where nothing is mapped.
    #[bits(3)]
    pub allowed: u8,
    __: bool,
    /// There is a linear address.
    pub has_linear: bool,
    /// It is of the access itself, not of a walk of the guest's tables.
    pub is_access: bool,
    #[bits(3)]
    __: u8,
    /// The guest's IRET had ended the blocking of non-maskable interrupts.
    pub unblocked_nmi: bool,
    #[bits(51)]
    __: u64,
}

impl Violation {
    /// Returns it as a page fault's error code (SDM 3A, "Interrupt 14"), as SVM gives it.
    #[must_use]
    pub const fn page_fault(self) -> u64 {
        (self.allowed() != 0) as u64 | (self.store() as u64) << 1 | (self.fetch() as u64) << 4
    }
}

/// Exit qualification of a port (SDM 3C, "Exit Qualification for I/O Instructions").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Port {
    /// Bytes, less 1.
    #[bits(3)]
    pub size: u8,
    /// IN.
    pub load: bool,
    /// A string instruction.
    pub string: bool,
    /// With a prefix that repeats it.
    pub repeated: bool,
    /// The port is in the instruction.
    pub immediate: bool,
    #[bits(9)]
    __: u16,
    /// The port.
    pub port: u16,
    __: u32,
}

impl Port {
    /// Returns it as SVM describes a port (APM, "IOIO Intercept").
    #[must_use]
    pub const fn described(self) -> u64 {
        let bytes = (self.size() as u64 & 3) + 1;
        self.load() as u64
            | (self.string() as u64) << 2
            | (self.repeated() as u64) << 3
            | bytes << 4
            | (self.port() as u64) << 16
    }
}

/// Exit qualification of a control register (SDM 3C, "Exit Qualification for Control-Register
/// Accesses").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct ControlAccess {
    /// The control register.
    #[bits(4)]
    pub number: u8,
    /// 0 MOV to it, 1 MOV from it, 2 CLTS, 3 LMSW.
    #[bits(2)]
    pub kind: u8,
    /// The operand of LMSW is in memory.
    pub in_memory: bool,
    __: bool,
    /// The general register.
    #[bits(4)]
    pub register: u8,
    #[bits(4)]
    __: u8,
    /// What LMSW loads.
    pub word: u16,
    __: u32,
}

impl ControlAccess {
    /// Returns the bytes of the shortest instruction that does the same, the first the least
    /// significant; LMSW has its memory operand at the address in rax.
    #[must_use]
    pub const fn instruction(self) -> u64 {
        const CLTS: u64 = 0x060f;
        const LMSW: u64 = 0x010f;
        let (number, register) = (self.number() as u64, self.register() as u64);
        let high = number >> 3 << 2 | register >> 3;
        let operands = (number & 7) << 3 | register & 7;
        match self.kind() {
            2 => CLTS,
            3 if self.in_memory() => LMSW | 6 << 19,
            3 => LMSW | (0xc0 | 6 << 3) << 16,
            kind => {
                let code = if kind == 0 { 0x220f } else { 0x200f };
                let bytes = code | (0xc0 | operands) << 16;
                if high == 0 {
                    bytes
                } else {
                    bytes << 8 | 0x40 | high
                }
            }
        }
    }
}

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
    fn controls_lie_where_the_manual_puts_them() {
        assert_eq!(Pin::new().with_nmi(true).into_bits(), 1 << 3);
        assert_eq!(Pin::new().with_virtual_nmis(true).into_bits(), 1 << 5);
        for (bit, control) in [
            (2, Primary::new().with_interrupt_window(true)),
            (7, Primary::new().with_hlt(true)),
            (10, Primary::new().with_mwait(true)),
            (11, Primary::new().with_rdpmc(true)),
            (22, Primary::new().with_nmi_window(true)),
            (23, Primary::new().with_debug_registers(true)),
            (24, Primary::new().with_ports(true)),
            (28, Primary::new().with_msr_bitmaps(true)),
            (29, Primary::new().with_monitor(true)),
            (31, Primary::new().with_secondary(true)),
        ] {
            assert_eq!(control.into_bits(), 1 << bit);
        }
        for (bit, control) in [
            (1, Secondary::new().with_ept(true)),
            (3, Secondary::new().with_rdtscp(true)),
            (5, Secondary::new().with_vpid(true)),
            (6, Secondary::new().with_wbinvd(true)),
            (7, Secondary::new().with_unrestricted(true)),
            (12, Secondary::new().with_invpcid(true)),
        ] {
            assert_eq!(control.into_bits(), 1 << bit);
        }
        assert_eq!(Exit::new().with_long_host(true).into_bits(), 1 << 9);
        assert_eq!(Exit::new().with_load_pat(true).into_bits(), 1 << 19);
        assert_eq!(Exit::new().with_load_efer(true).into_bits(), 1 << 21);
        assert_eq!(Entry::new().with_long_guest(true).into_bits(), 1 << 9);
        assert_eq!(Entry::new().with_load_pat(true).into_bits(), 1 << 14);
        assert_eq!(Entry::new().with_load_efer(true).into_bits(), 1 << 15);
        let failed = Reason::from_bits(0x8000_0021);
        assert!(failed.entry_failed() && failed.basic() == 33);
    }

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
    fn accesses_are_described_as_svm_does() {
        let load = Port::from_bits(0x3f8 << 16 | 1 << 3);
        assert_eq!(load.described(), 0x3f8 << 16 | 1 << 4 | 1);
        let store = Port::from_bits(0x1000 << 16 | 3);
        assert_eq!(store.described(), 0x1000 << 16 | 4 << 4);
        let string = Port::from_bits(0x60 << 16 | 1 << 5 | 1 << 4);
        assert_eq!(string.described(), 0x60 << 16 | 1 << 4 | 3 << 2);
        assert_eq!(Violation::from_bits(2).page_fault(), 2);
        assert_eq!(Violation::from_bits(4).page_fault(), 0x10);
        assert_eq!(Violation::from_bits(1 | 5 << 3).page_fault(), 1);
    }

    #[test]
    fn control_accesses_are_named_by_their_instructions() {
        let named = |bits| ControlAccess::from_bits(bits).instruction();
        // mov cr0, rax; mov rbx, cr4; mov cr4, r9; mov cr8, rcx; clts; lmsw ax.
        assert_eq!(named(0), 0xc0_220f);
        assert_eq!(named(3 << 8 | 1 << 4 | 4), 0xe3_200f);
        assert_eq!(named(9 << 8 | 4), 0xe1_220f_41);
        assert_eq!(named(1 << 8 | 8), 0xc1_220f_44);
        assert_eq!(named(2 << 4), 0x060f);
        assert_eq!(named(3 << 4), 0xf0_010f);
        assert_eq!(named(3 << 4 | 1 << 6), 0x30_010f);
    }

    #[test]
    fn events_have_an_error_code_where_the_processor_wants_one() {
        let fault = Event::new()
            .with_valid(true)
            .with_kind(kind::EXCEPTION)
            .with_vector(13);
        assert!(fault.injected(true, 0).has_error());
        assert!(!fault.with_has_error(true).injected(false, 0).has_error());
        assert!(
            !fault
                .with_vector(6)
                .with_has_error(true)
                .injected(true, 0)
                .has_error()
        );
        let software = fault.with_kind(kind::SOFTWARE).with_vector(0x80);
        assert_eq!(software.injected(true, 0).kind(), kind::INTERRUPT);
        assert_eq!(software.injected(true, 2).kind(), kind::SOFTWARE);
        assert!(!Event::new().injected(true, 0).valid());
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
