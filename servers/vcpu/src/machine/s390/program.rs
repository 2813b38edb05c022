//! What interrupts a guest, and how that is stored into its prefix area (PoP chapter 6 and chapter
//! 3, "Assigned Storage Locations").

use super::{Trouble, operand, read, write};
use crate::{Effects, VcpuId};
use irq_api::floating::{InputOutput, Interruption};
use s390_regs::one_reg::Register;

/// Program exceptions that are recognised here; the numbers are the interruption codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Exception {
    /// There is no such instruction.
    Operation = 0x01,
    /// The instruction is the supervisor's.
    PrivilegedOperation = 0x02,
    /// The access is not allowed.
    Protection = 0x04,
    /// There is no such storage.
    Addressing = 0x05,
    /// An operand is not as it has to be.
    Specification = 0x06,
    /// The guest's segment table has no entry.
    SegmentTranslation = 0x10,
    /// The guest's page table has none.
    PageTranslation = 0x11,
    /// The address is beyond what the designation of the space reaches.
    AsceType = 0x38,
    /// The guest's region-first table has no entry.
    RegionFirstTranslation = 0x39,
    /// The guest's region-second table has none.
    RegionSecondTranslation = 0x3a,
    /// The guest's region-third table has none.
    RegionThirdTranslation = 0x3b,
}

impl Exception {
    /// Returns whether the instruction is nullified: the old PSW is at it, not behind it.
    #[must_use]
    pub const fn nullifies(self) -> bool {
        self as u16 >= Self::SegmentTranslation as u16
    }
}

/// What interrupts a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEvent {
    /// A program exception of an instruction with this length.
    Program {
        /// Which.
        exception: Exception,
        /// Bytes of the instruction.
        length: u64,
        /// Translation-exception identification; 0 where there is none.
        identification: u64,
    },
    /// An interruption that was pending.
    Pending(Interruption),
    /// An order of SIGP.
    Restart,
}

/// Offsets of an old PSW; the new one lies 0x80 behind it.
mod old {
    pub const RESTART: u64 = 0x120;
    pub const EXTERNAL: u64 = 0x130;
    pub const PROGRAM: u64 = 0x150;
    pub const MACHINE_CHECK: u64 = 0x160;
    pub const INPUT_OUTPUT: u64 = 0x170;
    pub const TO_NEW: u64 = 0x80;
}

/// What is stored beside the PSW: an offset and a word.
type Stored = (u64, u32);

/// Returns the words of an external interruption: parameter, then CPU address and code.
const fn external(parameter: u32, cpu: u8, code: u16) -> [Option<Stored>; 3] {
    let second = (cpu as u32) << 16 | code as u32;
    [Some((0x80, parameter)), Some((0x84, second)), None]
}

/// Returns the place of the old PSW and the words of an interruption that was pending.
fn stored(interruption: Interruption) -> (u64, [Option<Stored>; 3]) {
    let words = match interruption {
        Interruption::EmergencySignal { sender } => external(0, sender, 0x1201),
        Interruption::ExternalCall { sender } => external(0, sender, 0x1202),
        Interruption::ClockComparator => external(0, 0, 0x1004),
        Interruption::CpuTimer => external(0, 0, 0x1005),
        Interruption::ServiceSignal { parameter } => external(parameter, 0, 0x2401),
        Interruption::InputOutput(InputOutput {
            subsystem,
            parameter,
            word,
        }) => {
            let words = [(0xb8, subsystem), (0xbc, parameter), (0xc0, word)];
            return (old::INPUT_OUTPUT, words.map(Some));
        }
        Interruption::MachineCheck { code } => {
            let words = [(0xe8, (code >> 32) as u32), (0xec, code as u32)];
            return (old::MACHINE_CHECK, [Some(words[0]), Some(words[1]), None]);
        }
    };
    (old::EXTERNAL, words)
}

/// Interrupts a guest: stores what happened and the old PSW, and loads the new one. Nothing happens
/// where its prefix area is absent.
pub(super) fn interrupt<E: Effects>(
    vcpu: VcpuId,
    event: GuestEvent,
    effects: &mut E,
) -> Result<(), Trouble> {
    let (place, words) = match event {
        GuestEvent::Restart => (old::RESTART, [None; 3]),
        GuestEvent::Pending(interruption) => stored(interruption),
        GuestEvent::Program {
            exception,
            length,
            identification,
        } => {
            let code = (length as u32 & 6) << 16 | u32::from(exception as u16);
            let [high, low] = [(identification >> 32) as u32, identification as u32];
            let words =
                [(0xa8, high), (0xac, low)].map(|word| (identification != 0).then_some(word));
            (old::PROGRAM, [Some((0x8c, code)), words[0], words[1]])
        }
    };
    let prefix = read(vcpu, Register::Prefix, effects)?;
    let mut new = [0; 16];
    operand::read_absolute(prefix + place + old::TO_NEW, &mut new, effects)?;
    let mask = read(vcpu, Register::PswMask, effects)?;
    let address = read(vcpu, Register::PswAddress, effects)?;
    let mut psw = [0; 16];
    psw[..8].copy_from_slice(&mask.to_be_bytes());
    psw[8..].copy_from_slice(&address.to_be_bytes());
    operand::write_absolute(prefix + place, &psw, effects)?;
    for (offset, word) in words.into_iter().flatten() {
        operand::write_absolute(prefix + offset, &word.to_be_bytes(), effects)?;
    }
    let [mask, address] = halves(new);
    write(vcpu, Register::PswMask, mask, effects)?;
    write(vcpu, Register::PswAddress, address, effects)
}

/// Returns the two doublewords of a PSW.
pub fn halves(psw: [u8; 16]) -> [u64; 2] {
    let value = u128::from_be_bytes(psw);
    [(value >> 64) as u64, value as u64]
}
