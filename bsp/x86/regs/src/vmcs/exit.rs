//! Why a guest was left, and the details that come with it.

use super::Event;
use bitfield_struct::bitfield;

/// An exception, or a non-maskable interrupt.
pub const EXCEPTION: u16 = 0;
/// A physical interrupt waits.
pub const INTERRUPT: u16 = 1;
/// INIT, which waits.
pub const INIT: u16 = 3;
/// An exception while a double fault was delivered.
pub const TRIPLE_FAULT: u16 = 2;
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
/// RDPMC.
pub const RDPMC: u16 = 15;
/// VMCALL.
pub const VMCALL: u16 = 18;
/// A control register.
pub const CONTROL_REGISTER: u16 = 28;
/// A debug register.
pub const DEBUG_REGISTER: u16 = 29;
/// A port.
pub const PORT: u16 = 30;
/// RDMSR.
pub const READ_REGISTER: u16 = 31;
/// WRMSR.
pub const WRITE_REGISTER: u16 = 32;
/// MWAIT.
pub const MWAIT: u16 = 36;
/// MONITOR.
pub const MONITOR: u16 = 39;
/// An access that the extended page tables do not allow.
pub const EPT_VIOLATION: u16 = 48;
/// The guest's timer came to its end.
pub const TIMER: u16 = 52;
/// WBINVD.
pub const WBINVD: u16 = 54;
/// XSETBV.
pub const XSETBV: u16 = 55;

/// Exit reason (SDM 3C, "Basic VM-Exit Information").
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Reason {
    /// One of the numbers above.
    pub basic: u16,
    #[bits(15)]
    __: u16,
    /// The guest was not entered: its state is not a valid one.
    pub entry_failed: bool,
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

/// Exit qualification of a debug register (SDM 3C, "Exit Qualification for MOV DR").
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct DebugAccess {
    /// The debug register.
    #[bits(3)]
    pub number: u8,
    __: bool,
    /// MOV from it.
    pub load: bool,
    #[bits(59)]
    __: u64,
}

/// Returns the exit code that SVM has for an exit of no class of its own (APM, appendix "SVM
/// Intercept Exit Codes"), so that a server has one list of them; `None` where SVM has none.
#[must_use]
pub const fn other(basic: u16, qualification: u64, event: Event) -> Option<u64> {
    const INVALID_INSTRUCTION: u64 = 0x80;
    Some(match basic {
        EXCEPTION => 0x40 + event.vector() as u64,
        TRIPLE_FAULT => 0x7f,
        RDPMC => 0x6f,
        // VMX's own instructions, as SVM's: CPUID tells a guest of neither.
        19..=27 | 50 | 53 => INVALID_INSTRUCTION,
        CONTROL_REGISTER => {
            // A store; loads are nobody's but the kernel's.
            0x10 + ControlAccess::from_bits(qualification).number() as u64
        }
        DEBUG_REGISTER => {
            let access = DebugAccess::from_bits(qualification);
            let first = if access.load() { 0x20 } else { 0x30 };
            first + access.number() as u64
        }
        MWAIT => 0x8b,
        MONITOR => 0x8a,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn exits_without_a_class_have_the_codes_of_svm() {
        let event = Event::new().with_vector(17);
        for (basic, qualification, code) in [
            (EXCEPTION, 0, Some(0x51)),
            (TRIPLE_FAULT, 0, Some(0x7f)),
            (DEBUG_REGISTER, 7, Some(0x37)),
            (DEBUG_REGISTER, 1 << 4 | 6, Some(0x26)),
            (CONTROL_REGISTER, 9 << 8 | 8, Some(0x18)),
            (RDPMC, 0, Some(0x6f)),
            (20, 0, Some(0x80)),
            (MONITOR, 0, Some(0x8a)),
            (9, 0, None),
        ] {
            assert_eq!(other(basic, qualification, event), code, "{basic}");
        }
    }

    #[test]
    fn control_accesses_name_both_registers() {
        let access = ControlAccess::from_bits(9 << 8 | 1 << 4 | 8);
        assert_eq!(
            (access.number(), access.kind(), access.register()),
            (8, 1, 9)
        );
    }

    #[test]
    fn a_failed_entry_is_told_by_its_own_bit() {
        let failed = Reason::from_bits(0x8000_0021);
        assert!(failed.entry_failed() && failed.basic() == 33);
    }
}
